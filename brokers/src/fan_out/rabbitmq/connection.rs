//! One connection to the server, from its beginning to its end.

use std::fmt;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use fanfare::{BrokerError, BrokerErrorKind};
use lapin::options::BasicQosOptions;
use lapin::protocol::AMQPErrorKind;
use lapin::tcp::{AsyncTcpStream, TLSConfig};
use lapin::types::ShortString;
use lapin::uri::{AMQPAuthority, AMQPQueryString, AMQPScheme, AMQPUri, AMQPUserInfo};
use lapin::{Channel, ConnectionProperties};
use tokio::time::timeout;

use super::config::Config;

/// For connecting and logging in; a start has 5 s in all where the server is away.
const CONNECT: Duration = Duration::from_secs(4);
/// How long the server may take for an answer.
const ANSWER: Duration = Duration::from_secs(5);
/// In seconds. Both sides give up on each other after twice that without a word; the pulse is
/// quicker, and this is for what it does not see.
const HEARTBEAT: u16 = 5;
/// In bytes. The client library has buffers of 64 times that for a connection.
const FRAME: u32 = 1 << 16;

/// A connection that is never renewed, so that nothing waits in it for another one.
pub(super) struct Session {
    connection: lapin::Connection,
    line: Line,
}

impl Session {
    pub(super) async fn connect(config: &Config) -> Result<Self, Failure> {
        let place = config.place();
        let line = Line::default();
        let connecting = timeout(CONNECT, Box::pin(dial(config, line.clone())));
        let connected = connecting.await.map_err(|_| {
            line.cut();
            Failure::away(format!("{place} does not answer"))
        })?;
        let connection = connected.map_err(|error| match error.kind() {
            lapin::ErrorKind::IOError(error) => {
                Failure::away(format!("{place} cannot be connected to: {error}"))
            }
            _ => Failure::of(
                &format!("{place} lets nobody in as {:?}", config.user),
                &error,
            ),
        })?;
        Ok(Self { connection, line })
    }

    pub(super) async fn channel(&self) -> Result<Channel, Failure> {
        answer("opening a channel", self.connection.create_channel()).await
    }

    /// A channel for a consumer that is given so many messages before it has to acknowledge them.
    pub(super) async fn reading(&self, prefetch: u16) -> Result<Channel, Failure> {
        let channel = self.channel().await?;
        let limited = channel.basic_qos(prefetch, BasicQosOptions::default());
        answer("limiting a consumer", limited).await?;
        Ok(channel)
    }

    /// Whether the server takes publications: not while its memory or disk is short.
    pub(super) fn is_open(&self) -> bool {
        let status = self.connection.status();
        status.connected() && !status.blocked()
    }

    /// Takes leave of the server.
    pub(super) async fn close(self) {
        let closing = self.connection.close(200, "OK".into());
        let _ = timeout(Duration::from_secs(1), closing).await;
    }
}

/// What the client library has not written must not be written later: it would appear behind the
/// back of those who were told that it was not sent.
impl Drop for Session {
    fn drop(&mut self) {
        self.line.cut();
    }
}

async fn dial(config: &Config, line: Line) -> lapin::Result<lapin::Connection> {
    let scheme = if config.tls {
        AMQPScheme::AMQPS
    } else {
        AMQPScheme::AMQP
    };
    let uri = AMQPUri {
        scheme,
        authority: AMQPAuthority {
            userinfo: AMQPUserInfo {
                username: config.user.clone(),
                password: config.password.clone(),
            },
            host: config.host.clone(),
            port: config.port,
        },
        vhost: config.vhost.clone(),
        query: AMQPQueryString {
            heartbeat: Some(HEARTBEAT),
            frame_max: Some(FRAME),
            ..AMQPQueryString::default()
        },
    };
    let name = format!("fanfare {}", config.cluster);
    let properties = ConnectionProperties::default().with_connection_name(name.into());
    let (host, port, tls) = (config.host.clone(), config.port, config.tls);
    let runtime = lapin::runtime::default_runtime()?;
    let reactor = runtime.clone();
    let dialled = async move |_, _| {
        let addresses = tokio::net::lookup_host((&*host, port)).await?;
        let addresses = addresses.collect::<Vec<SocketAddr>>();
        let stream = AsyncTcpStream::connect(&reactor, &*addresses).await?;
        if let AsyncTcpStream::Plain(stream) = &stream {
            let stream = stream.get_ref();
            stream.set_nodelay(true)?;
            line.hold(stream.as_fd().try_clone_to_owned()?.into())?;
        }
        if tls {
            let secured = stream.into_tls(&host, TLSConfig::default());
            return Ok(Box::pin(secured).await?);
        }
        Ok(stream)
    };
    lapin::Connection::connector(uri, runtime, dialled, properties).await
}

/// A second handle of the socket, to end it by: the client library has no way to let go of a
/// connection whose other end is silent, and keeps a thread for it.
#[derive(Clone, Default)]
struct Line(Arc<Mutex<(bool, Option<TcpStream>)>>);

impl Line {
    fn hold(&self, stream: TcpStream) -> std::io::Result<()> {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if held.0 {
            return Err(std::io::ErrorKind::ConnectionAborted.into());
        }
        held.1 = Some(stream);
        Ok(())
    }

    fn cut(&self) {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        held.0 = true;
        if let Some(stream) = held.1.take() {
            // Whose other end is gone needs none.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

/// Waits for an answer of the server, but not for ever.
pub(super) async fn answer<T>(
    what: &str,
    asked: impl Future<Output = lapin::Result<T>>,
) -> Result<T, Failure> {
    match timeout(ANSWER, asked).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(Failure::of(&format!("{what} failed"), &error)),
        Err(_) => Err(Failure::away(format!("{what} was not answered"))),
    }
}

/// Why something could not be done, as a sentence.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    pub(super) kind: BrokerErrorKind,
    pub(super) sentence: String,
}

impl Failure {
    pub(super) fn away(sentence: impl Into<String>) -> Self {
        Self {
            kind: BrokerErrorKind::Unavailable,
            sentence: sentence.into(),
        }
    }

    pub(super) fn of(what: &str, error: &lapin::Error) -> Self {
        // Rights, the virtual host, an exchange of that name but another type: no later try helps. But
        // a stream that has just been made, or whose server has just started, is refused with
        // "precondition failed" as well, for a moment.
        let refused = match error.kind() {
            lapin::ErrorKind::ProtocolError(error) => match error.get_id() {
                403 | 530 => true,
                406 => error.get_message().as_str().contains("inequivalent"),
                _ => false,
            },
            _ => false,
        };
        let said = match error.kind() {
            lapin::ErrorKind::ProtocolError(error) => error.get_message().to_string(),
            _ => error.to_string(),
        };
        Self {
            kind: if refused {
                BrokerErrorKind::Rejected
            } else {
                BrokerErrorKind::Unavailable
            },
            sentence: format!("{what}: {said}"),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sentence)
    }
}

impl From<Failure> for BrokerError {
    fn from(failure: Failure) -> Self {
        Self::new(failure.kind, failure.sentence)
    }
}

/// Whether the server says that there is no such queue. It answers with the same code where the
/// queue is there and the server that holds it is down, which must not be taken for that.
pub(super) fn is_missing(error: &lapin::Error) -> bool {
    match error.kind() {
        lapin::ErrorKind::ProtocolError(error) => {
            matches!(error.kind(), AMQPErrorKind::Soft(_))
                && error.get_id() == 404
                && error.get_message().as_str().contains("no queue")
        }
        _ => false,
    }
}

/// A name of ours, which is short enough.
pub(super) fn name(text: &str) -> ShortString {
    ShortString::try_new(text).expect("names are of at most 255 bytes")
}
