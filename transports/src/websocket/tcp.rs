//! WebSockets on bare TCP streams: the node writes, the task reads.

use std::io::{self, IoSlice};
use std::net::Shutdown;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use fanfare::{DirectWrite, Disconnect, Outbound};
use socket2::SockRef;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tracing::trace;

use super::{CLOSE_WITHIN, End, Receiver, Source, WebSocket, drain, read_messages};

/// The node's hand on a socket.
struct Lent(Arc<TcpStream>);

impl DirectWrite for Lent {
    fn try_write(&self, frames: &[IoSlice<'_>]) -> io::Result<usize> {
        match frames {
            [frame] => self.0.try_write(frame),
            frames => self.0.try_write_vectored(frames),
        }
    }
}

impl Source for &TcpStream {
    fn poll_fill(
        &mut self,
        context: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.poll_read_ready(context))?;
            match self.try_read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => return Poll::Ready(result),
            }
        }
    }
}

pub(super) async fn serve_tcp(
    socket: WebSocket<TcpStream>,
    mut receiver: impl Receiver,
) -> Disconnect {
    let WebSocket {
        stream,
        early,
        decoder,
    } = socket;
    let stream = Arc::new(stream);
    let outbound = receiver.outbound();
    outbound.lend(Lent(stream.clone()));
    let end = {
        let mut source = &*stream;
        let reading = pin!(read_messages(&mut source, early, decoder, &mut receiver));
        let mut driving = pin!(outbound.drive(|| writable(&stream)));
        tokio::select! {
            end = reading => end,
            disconnect = driving.as_mut() => End::disconnect(disconnect),
        }
    };
    Box::pin(close(&stream, &outbound, end, receiver)).await
}

async fn writable(stream: &TcpStream) {
    // An error shows in the write that follows.
    let _ = stream.writable().await;
}

async fn close(
    stream: &TcpStream,
    outbound: &Outbound,
    mut end: End,
    receiver: impl Receiver,
) -> Disconnect {
    if end.finish {
        outbound.close(end.disconnect.clone());
        if timeout(CLOSE_WITHIN, outbound.finish(|| writable(stream)))
            .await
            .is_err()
        {
            // Half a frame is on the wire, and nothing may lie inside it.
            end.frame = None;
        }
    }
    if let Some(mut frame) = end.frame {
        let _ = timeout(CLOSE_WITHIN, write_all(stream, &mut frame)).await;
        // The server ends TCP first (RFC 6455 section 7.1.1); clients wait for it to.
        let _ = SockRef::from(stream).shutdown(Shutdown::Write);
        // The client counts as gone once it has been told, not before: a node that goes down waits
        // for that.
        drop(receiver);
        let _ = timeout(CLOSE_WITHIN, drain(&mut &*stream)).await;
    }
    trace!(disconnect = %end.disconnect, "closed");
    end.disconnect
}

async fn write_all(stream: &TcpStream, frame: &mut Bytes) -> io::Result<()> {
    while frame.has_remaining() {
        stream.writable().await?;
        match stream.try_write(frame) {
            Ok(count) => frame.advance(count),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
