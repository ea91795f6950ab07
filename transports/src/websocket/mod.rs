//! WebSocket (RFC 6455) as a transport.

pub mod close;
pub mod deflate;
pub mod frame;
mod tcp;
mod upgrade;

use std::cell::RefCell;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use fanfare::{Batch, Disconnect, Framing, Outbound, Session, Transport};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tracing::trace;

use self::frame::{DataOpcode, Decoder, Message, close_frame, header, pong_frame};
use self::tcp::serve_tcp;
pub(crate) use self::upgrade::{Framings, Handshake, Socket, Upgrading, is_upgrade, upgrade};

/// Bytes read at once, into a buffer that all connections of a thread share.
const READ_BYTES: usize = 16 << 10;
/// How long a socket may take to accept what waits when its connection ends, and then to answer the
/// close frame.
const CLOSE_WITHIN: Duration = Duration::from_secs(5);
/// A pong is left out for a client that has this much unread: it asks without reading.
const PONG_UNREAD: usize = 64 << 10;

thread_local! {
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ_BYTES].into());
}

/// A message as one unmasked text frame.
#[derive(Clone, Copy, Debug, Default)]
pub struct WebSocketFraming;

impl Framing for WebSocketFraming {
    fn name(&self) -> &'static str {
        "websocket-text"
    }

    fn frame(&self, message: &[u8], out: &mut BytesMut) {
        out.extend_from_slice(&header(DataOpcode::Text, message.len()));
        out.extend_from_slice(message);
    }
}

/// Who takes the text messages of a WebSocket: a session, or what stands in front of one.
pub(crate) trait Receiver: Send + 'static {
    /// Where the frames to write come from.
    fn outbound(&self) -> Outbound;

    /// Takes one message. Not cancel safe, as [`Session::receive`].
    fn receive(&mut self, message: &[u8]) -> impl Future<Output = Result<(), Disconnect>> + Send;
}

impl Receiver for Session {
    fn outbound(&self) -> Outbound {
        self.outbound()
    }

    async fn receive(&mut self, message: &[u8]) -> Result<(), Disconnect> {
        self.receive(message).await
    }
}

/// A WebSocket after its handshake.
///
/// A bare TCP stream is lent to the node, which then writes to it without waking the connection's
/// task; any other stream is written by the task.
#[derive(Debug)]
pub struct WebSocket<S> {
    stream: S,
    early: Bytes,
    /// As it is for a connection of which nothing was read.
    decoder: Decoder,
}

impl<S> WebSocket<S> {
    /// A WebSocket on a stream, with what was read behind the handshake (`early`), that takes
    /// client messages of at most `max_message` bytes.
    pub fn new(stream: S, early: &[u8], max_message: usize) -> Self {
        // A copy: even an empty slice would keep the server's whole read buffer for as long as it lives.
        let early = Bytes::copy_from_slice(early);
        Self {
            stream,
            early,
            decoder: Decoder::new(max_message),
        }
    }

    /// The same where permessage-deflate was [`accept`](deflate::accept)ed: client messages may come
    /// compressed, and `max_message` holds for what they inflate to. What goes out is up to the
    /// session's framing, which is then a [`DeflateFraming`](deflate::DeflateFraming).
    #[must_use]
    pub fn with_deflate(mut self, accepted: bool) -> Self {
        self.decoder = self.decoder.with_deflate(accepted);
        self
    }
}

impl WebSocket<TcpStream> {
    /// Serves with the stream lent to the node; [`Transport::serve`] leaves writing to the task.
    pub fn serve_lent(self, session: Session) -> impl Future<Output = Disconnect> + Send {
        self.serve_lent_to(session)
    }

    pub(crate) fn serve_lent_to(
        self,
        receiver: impl Receiver,
    ) -> impl Future<Output = Disconnect> + Send {
        serve_tcp(self, receiver)
    }
}

impl<S: AsyncRead + AsyncWrite + Send + 'static> Transport for WebSocket<S> {
    fn serve(self, session: Session) -> impl Future<Output = Disconnect> + Send {
        self.serve_to(session)
    }
}

impl<S: AsyncRead + AsyncWrite + Send + 'static> WebSocket<S> {
    pub(crate) async fn serve_to(self, mut receiver: impl Receiver) -> Disconnect {
        let (read, mut write) = tokio::io::split(self.stream);
        let mut source = Stream(read);
        let outbound = receiver.outbound();
        let mut end = {
            let reading = pin!(read_messages(
                &mut source,
                self.early,
                self.decoder,
                &mut receiver
            ));
            let writing = async {
                let mut batch = Batch::default();
                loop {
                    if let Err(disconnect) = outbound.next_batch(&mut batch).await {
                        return End::disconnect(disconnect);
                    }
                    if write.write_all_buf(&mut batch).await.is_err()
                        || write.flush().await.is_err()
                    {
                        return End::gone();
                    }
                }
            };
            let mut writing = pin!(writing);
            let mut end = tokio::select! {
                end = reading => end,
                end = &mut writing => End { finish: false, ..end },
                disconnect = outbound.closing() => End::disconnect(disconnect),
            };
            if end.finish {
                outbound.close(end.disconnect.clone());
                if tokio::time::timeout(CLOSE_WITHIN, writing).await.is_err() {
                    // Half a frame is on the wire, and nothing may lie inside it.
                    end.frame = None;
                }
            }
            end
        };
        if let Some(frame) = end.frame.take() {
            let closing = async {
                write.write_all(&frame).await?;
                write.flush().await?;
                write.shutdown().await
            };
            let _ = tokio::time::timeout(CLOSE_WITHIN, closing).await;
            // The client counts as gone once it has been told, not before: a node that goes down
            // waits for that.
            drop(receiver);
            let _ = tokio::time::timeout(CLOSE_WITHIN, drain(&mut source)).await;
        }
        trace!(disconnect = %end.disconnect, "closed");
        end.disconnect
    }
}

/// How a connection ends.
#[derive(Debug)]
struct End {
    disconnect: Disconnect,
    /// The close frame to send; none where the socket is gone.
    frame: Option<Bytes>,
    /// Whether what is queued still has to leave before it.
    finish: bool,
}

impl End {
    /// By the server's will.
    fn disconnect(disconnect: Disconnect) -> Self {
        let frame = close_frame(disconnect.code(), disconnect.reason());
        Self {
            disconnect,
            frame: Some(frame),
            finish: true,
        }
    }

    /// By the client's will, or by its breach of the WebSocket protocol.
    fn closed(code: u16, reason: &str) -> Self {
        Self {
            disconnect: Disconnect::CONNECTION_CLOSED,
            frame: Some(close_frame(code, reason)),
            // Of which the first thing is to queue nothing more: a flush that came after the close
            // frame would be a breach of the protocol.
            finish: true,
        }
    }

    /// Without a word.
    fn gone() -> Self {
        Self {
            disconnect: Disconnect::CONNECTION_CLOSED,
            frame: None,
            finish: false,
        }
    }
}

/// Where bytes come from.
trait Source {
    fn poll_fill(
        &mut self,
        context: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>>;
}

struct Stream<R>(R);

impl<R: AsyncRead + Unpin> Source for Stream<R> {
    fn poll_fill(
        &mut self,
        context: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let mut buffer = ReadBuf::new(buffer);
        ready!(Pin::new(&mut self.0).poll_read(context, &mut buffer))?;
        Poll::Ready(Ok(buffer.filled().len()))
    }
}

/// Feeds the receiver until the client, or the receiver, has had enough.
///
/// Whatever is needed only while there is something to do is boxed: an idle connection holds this
/// future, and nothing more.
async fn read_messages(
    source: &mut impl Source,
    early: Bytes,
    mut decoder: Decoder,
    receiver: &mut impl Receiver,
) -> End {
    if !early.is_empty() {
        let decoded = decode(&mut decoder, &mut BytesMut::from(early));
        if let Err(end) = Box::pin(answer(decoded, receiver)).await {
            return end;
        }
    }
    loop {
        let decoded =
            std::future::poll_fn(|context| poll_messages(context, source, &mut decoder)).await;
        let answered = match decoded {
            Ok(decoded) => Box::pin(answer(decoded, receiver)).await,
            Err(_) => return End::gone(),
        };
        if let Err(end) = answered {
            return end;
        }
    }
}

async fn answer((messages, error): Decoded, receiver: &mut impl Receiver) -> Result<(), End> {
    let outbound = receiver.outbound();
    for message in messages {
        match message {
            Message::Text(text) => receiver
                .receive(text.as_bytes())
                .await
                .map_err(End::disconnect)?,
            Message::Binary(_) => return Err(End::disconnect(Disconnect::BAD_REQUEST)),
            Message::Ping(payload) if outbound.queued() < PONG_UNREAD => {
                outbound.send(pong_frame(&payload));
            }
            Message::Ping(_) | Message::Pong(_) => {}
            Message::Close(Some(close)) => return Err(End::closed(close.code, &close.reason)),
            Message::Close(None) => return Err(End::closed(close::NO_STATUS, "")),
        }
    }
    match error {
        Some(error) => Err(End::closed(error.close_code(), &error.to_string())),
        None => Ok(()),
    }
}

type Decoded = (Vec<Message<'static>>, Option<frame::ProtocolError>);

/// Reads once and decodes what came. The buffer is the thread's, so a connection that waits holds
/// none.
fn poll_messages(
    context: &mut Context<'_>,
    source: &mut impl Source,
    decoder: &mut Decoder,
) -> Poll<io::Result<Decoded>> {
    SCRATCH.with_borrow_mut(|scratch| {
        let count = ready!(source.poll_fill(context, scratch))?;
        if count == 0 {
            return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
        }
        Poll::Ready(Ok(decode(decoder, &mut scratch[..count])))
    })
}

fn decode(decoder: &mut Decoder, mut input: &mut [u8]) -> Decoded {
    let mut messages = Vec::new();
    loop {
        match decoder.decode(&mut input) {
            Ok(Some(message)) => messages.push(message.into_owned()),
            Ok(None) => return (messages, None),
            Err(error) => return (messages, Some(error)),
        }
    }
}

/// Reads on until the client has seen the end. A socket closed with unread bytes is reset, which
/// can take the close frame away from the client.
async fn drain(source: &mut impl Source) -> io::Result<()> {
    loop {
        let count = std::future::poll_fn(|context| {
            SCRATCH.with_borrow_mut(|scratch| source.poll_fill(context, scratch))
        })
        .await?;
        if count == 0 {
            return Ok(());
        }
    }
}
