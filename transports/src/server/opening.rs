//! A TCP stream whose first bytes say which HTTP it speaks.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// The beginning of the connection preface of HTTP/2 (RFC 9113 section 3.4), as much of it as tells
/// it from any request of HTTP/1.1: no method is called `PRI`.
const PREFACE: [u8; 4] = *b"PRI ";

/// A stream from which a few bytes have been read, and will be read once more.
#[derive(Debug)]
pub(crate) struct Opened {
    stream: TcpStream,
    first: [u8; PREFACE.len()],
    /// The part of `first` that is still to be read again.
    from: u8,
    to: u8,
}

impl Opened {
    /// Reads until it is clear which version the client speaks, and whether that is HTTP/2. Takes as
    /// long as the client does; not cancel safe.
    pub(super) async fn read(mut stream: TcpStream) -> io::Result<(Self, bool)> {
        let mut first = [0; PREFACE.len()];
        let mut filled = 0;
        while filled < PREFACE.len() && first[..filled] == PREFACE[..filled] {
            let count = stream.read(&mut first[filled..]).await?;
            if count == 0 {
                break;
            }
            filled += count;
        }
        let opened = Self {
            stream,
            first,
            from: 0,
            to: u8::try_from(filled).expect("the preface is short"),
        };
        Ok((opened, first == PREFACE))
    }

    /// The stream, and what has been read from it but not from this.
    pub(crate) fn into_parts(self) -> (TcpStream, Bytes) {
        let unread = Bytes::copy_from_slice(self.unread());
        (self.stream, unread)
    }

    fn unread(&self) -> &[u8] {
        &self.first[usize::from(self.from)..usize::from(self.to)]
    }
}

impl AsyncRead for Opened {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let unread = self.unread();
        if unread.is_empty() {
            return Pin::new(&mut self.stream).poll_read(context, buffer);
        }
        let count = unread.len().min(buffer.remaining());
        buffer.put_slice(&unread[..count]);
        self.from += u8::try_from(count).expect("the preface is short");
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Opened {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
