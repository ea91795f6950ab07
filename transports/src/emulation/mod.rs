//! The Centrifuge protocol where WebSockets are blocked: frames come as one long answer, commands go
//! as requests of their own, and the official clients fall back to it by themselves.
//!
//! Schema: `EmulationRequest` of `definitions/client.proto`, repository centrifugal/protocol.

mod framing;

use std::sync::{Arc, Weak};

use bytes::Bytes;
use dashmap::DashMap;
use fanfare::codec::centrifuge::Centrifuge;
use fanfare::{Disconnect, Error, ErrorKind, Node, Opening, Session};
use http::request::Parts;
use http::{Response, StatusCode};
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;
use uuid::Uuid;

use self::framing::{EventLines, Lines};
use crate::publish::read;
use crate::request::{channels, handshake, query};
use crate::subscriber::refused;
use crate::{Body, events};

/// What an emulation request adds to the message that it carries: quotes, escapes and names.
const AROUND_MESSAGE: usize = 1024;

/// The sessions whose commands come by other requests, by the names that their clients were told.
#[derive(Debug, Default)]
pub(crate) struct Emulation {
    sessions: Arc<Sessions>,
}

type Sessions = DashMap<String, Weak<Mutex<Session>>>;

/// How the frames come.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Stream {
    /// `POST /connection/http_stream`: lines of JSON.
    Http,
    /// `GET /connection/sse`: events.
    Events,
}

/// A session that is kept for as long as its stream is.
#[derive(Debug)]
struct Held {
    name: String,
    sessions: Arc<Sessions>,
    _session: Arc<Mutex<Session>>,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.sessions.remove(&self.name);
    }
}

#[derive(Deserialize)]
struct EmulationRequest {
    session: String,
    node: String,
    data: String,
}

#[derive(Serialize)]
struct LastPush<'a> {
    push: DisconnectPush<'a>,
}

#[derive(Serialize)]
struct DisconnectPush<'a> {
    disconnect: End<'a>,
}

#[derive(Serialize)]
struct End<'a> {
    code: u16,
    reason: &'a str,
}

impl Emulation {
    /// Answers the connect command that `parts` or `body` brings with everything that follows.
    ///
    /// # Errors
    /// The refusal, where nothing can be opened; what is wrong with the command, the stream says.
    pub(crate) async fn open<B>(
        &self,
        node: &Node,
        stream: Stream,
        parts: &Parts,
        body: B,
    ) -> Result<Response<Body>, Error>
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let command = match stream {
            Stream::Http => read(body, node.config().limits.message).await?,
            Stream::Events => {
                let command = query(parts, "cf_connect").next();
                let command = command.ok_or_else(|| bad_request("cf_connect is missing"))?;
                command.into_owned().into()
            }
        };
        let name = Uuid::new_v4().simple().to_string();
        let opening = Opening {
            // What it is, whatever is said over it.
            transport: "sse",
            codec: Arc::new(Centrifuge),
            framing: match stream {
                Stream::Http => Arc::new(Lines),
                Stream::Events => Arc::new(EventLines),
            },
            handshake: handshake(parts),
            identity: None,
            channels: channels(parts)?,
            own_channel: false,
            session: Some(name.clone()),
        };
        let mut session = node
            .open(opening)
            .map_err(|disconnect| refused(disconnect.into()))?;
        let outbound = session.outbound();
        if let Err(disconnect) = session.receive(&command).await {
            outbound.close(disconnect);
        }
        let session = Arc::new(Mutex::new(session));
        self.sessions.insert(name.clone(), Arc::downgrade(&session));
        let held = Held {
            name,
            sessions: self.sessions.clone(),
            _session: session,
        };
        Ok(match stream {
            Stream::Http => events::answer(
                "application/x-ndjson",
                held,
                outbound,
                |disconnect: &Disconnect| {
                    let mut line = last_push(disconnect);
                    line.push(b'\n');
                    Bytes::from(line)
                },
            ),
            Stream::Events => events::answer(
                "text/event-stream",
                held,
                outbound,
                |disconnect: &Disconnect| {
                    let push = last_push(disconnect);
                    Bytes::from([b"data: ", &push[..], b"\n\n"].concat())
                },
            ),
        })
    }

    /// Gives a session the commands that a request brings. The answers come in its stream.
    ///
    /// # Errors
    /// [`MethodNotFound`](ErrorKind::MethodNotFound), which clients take as a reason to connect
    /// anew, where another node had the session.
    pub(crate) async fn receive<B>(&self, node: &Node, body: B) -> Result<Response<Body>, Error>
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        // Every byte of the message may be escaped as six.
        let most = node.config().limits.message;
        let body = read(body, 6 * most + AROUND_MESSAGE).await?;
        let request = serde_json::from_slice::<EmulationRequest>(&body)
            .map_err(|error| bad_request(format!("no emulation request: {error}")))?;
        if request.data.len() > most {
            let message = format!("a message may have {most} bytes");
            return Err(Error::new(ErrorKind::TooLarge, message));
        }
        if request.node != node.id() {
            let message = "this node has no such session";
            return Err(Error::new(ErrorKind::MethodNotFound, message));
        }
        let session = self.sessions.get(&request.session);
        let session = session.and_then(|session| session.upgrade());
        if let Some(session) = session {
            let mut session = session.lock().await;
            if let Err(disconnect) = session.receive(request.data.as_bytes()).await {
                session.outbound().close(disconnect);
            }
        }
        // A session that is gone from a node that is there has ended its stream by now.
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NO_CONTENT;
        Ok(response)
    }
}

fn last_push(disconnect: &Disconnect) -> Vec<u8> {
    let (code, reason) = (disconnect.code(), disconnect.reason());
    let disconnect = End { code, reason };
    let push = LastPush {
        push: DisconnectPush { disconnect },
    };
    serde_json::to_vec(&push).expect("numbers and strings serialize")
}

fn bad_request(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::BadRequest, message)
}
