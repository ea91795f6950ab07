//! Clients whose request says all there is to know: who, which channels, and from where on.

use std::sync::Arc;
use std::time::Duration;

use fanfare::codec::{Codec, Connect, Since};
use fanfare::{
    Action, Channel, Disconnect, Epoch, Error, ErrorKind, Framing, Handshake, Identity, Node,
    Opening, Refusal, Resume, Session, metrics,
};
use http::request::Parts;

use crate::refusal::unauthenticated;
use crate::request::{channels, handshake, last_event_id, query};

/// When to come back after a refusal that will not last.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// A request for the events of some channels that has been checked.
#[derive(Debug)]
pub(crate) struct Subscriber {
    handshake: Handshake,
    identity: Identity,
    channels: Vec<Channel>,
    /// Where it stands.
    pub(crate) connect: Connect,
}

impl Subscriber {
    /// Reads and checks a request. Nothing is opened for it.
    ///
    /// # Errors
    /// What its client is answered.
    pub(crate) async fn of(node: &Node, parts: &Parts) -> Result<Self, Error> {
        if node.is_draining() {
            metrics::connection_rejected("draining");
            return Err(refused(Disconnect::SHUTDOWN.into()));
        }
        let handshake = handshake(parts);
        let identity = match node.authenticate(None, &handshake).await {
            Ok(identity) => identity,
            Err(error) => {
                metrics::connection_rejected("auth_failed");
                return Err(unauthenticated(&error));
            }
        };
        let read = read(node, parts, &identity);
        let (channels, connect) =
            read.inspect_err(|_| metrics::connection_rejected("bad_request"))?;
        for channel in &channels {
            node.authorize(&identity, Action::Subscribe(channel))
                .await?;
        }
        if channels.is_empty() {
            may_have_any(node, &identity).await?;
        }
        if let Err(error) = node.has_room_for(&identity.user).await {
            metrics::connection_rejected("connection_limit");
            return Err(error);
        }
        Ok(Self {
            handshake,
            identity,
            channels,
            connect,
        })
    }

    /// Who it is.
    pub(crate) fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Opens a session. The client is not in yet: it still has to connect.
    pub(crate) fn open(
        self,
        node: &Node,
        transport: &'static str,
        codec: impl Codec,
        framing: Arc<dyn Framing>,
    ) -> Result<(Session, Connect), Error> {
        let opening = Opening {
            transport,
            codec: Arc::new(codec),
            framing,
            handshake: self.handshake,
            identity: Some(self.identity),
            channels: self.channels,
            own_channel: false,
            session: None,
        };
        match node.open(opening) {
            Ok(session) => Ok((session, self.connect)),
            Err(disconnect) => Err(refused(disconnect.into())),
        }
    }
}

/// A refusal by the session as an answer of HTTP.
pub(crate) fn refused(refusal: Refusal) -> Error {
    let disconnect = match refusal {
        Refusal::Error(error) => return error,
        Refusal::Disconnect(disconnect) => disconnect,
    };
    let is = |other: &Disconnect| disconnect == *other;
    let kind = if is(&Disconnect::CONNECTION_LIMIT) {
        ErrorKind::LimitExceeded
    } else if is(&Disconnect::CHANNEL_LIMIT) {
        ErrorKind::BadRequest
    } else if is(&Disconnect::INVALID_TOKEN) {
        ErrorKind::Unauthorized
    } else if is(&Disconnect::EXPIRED) {
        ErrorKind::TokenExpired
    } else if disconnect.reconnect() {
        ErrorKind::Unavailable
    } else {
        ErrorKind::PermissionDenied
    };
    let error = Error::new(kind, disconnect.reason());
    match kind {
        ErrorKind::LimitExceeded | ErrorKind::Unavailable => error.retry_after(RETRY_AFTER),
        _ => error,
    }
}

/// The channels that a request names, and where the client stands in them.
fn read(node: &Node, parts: &Parts, identity: &Identity) -> Result<(Vec<Channel>, Connect), Error> {
    let channels = channels(parts)?;
    let asked = channels.len() + identity.channels.len();
    if asked == 0 {
        let message = "name at least one channel: ?channel=";
        return Err(Error::new(ErrorKind::BadRequest, message));
    }
    let most = node.config().limits.subscriptions;
    if asked > most {
        let message = format!("{asked} channels were asked for, at most {most} are allowed");
        return Err(Error::new(ErrorKind::BadRequest, message));
    }
    let mut connect = Connect {
        resume: cursor(parts)?,
        ..Connect::default()
    };
    if connect.resume.is_none() {
        connect.positions = since(parts, &channels)?;
    }
    Ok((channels, connect))
}

/// The cursor that a client brings. An EventSource keeps its URL when it comes back, so its header
/// is the newer one.
fn cursor(parts: &Parts) -> Result<Option<Resume>, Error> {
    let text = match last_event_id(parts)? {
        Some(header) => Some(header.into()),
        None => query(parts, "cursor").next(),
    };
    let Some(text) = text.filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    text.parse()
        .map(Some)
        .map_err(|error| Error::new(ErrorKind::BadRequest, format!("cursor: {error}")))
}

/// The positions of `?since=EPOCH:OFFSET`, one for each `?channel=` in the same order.
fn since(parts: &Parts, channels: &[Channel]) -> Result<Vec<(String, Since)>, Error> {
    let refuse = |message| Error::new(ErrorKind::BadRequest, message);
    let mut positions = Vec::new();
    for text in query(parts, "since") {
        let position = position(&text)
            .ok_or_else(|| refuse("since: a position is an epoch, a colon and an offset".into()))?;
        positions.push(position);
    }
    if !positions.is_empty() && positions.len() != channels.len() {
        let (given, wanted) = (positions.len(), channels.len());
        return Err(refuse(format!(
            "since: {given} positions for {wanted} channels, one is needed for each"
        )));
    }
    let names = channels.iter().map(|channel| channel.as_str().to_owned());
    Ok(names.zip(positions).collect())
}

fn position(text: &str) -> Option<Since> {
    let (epoch, offset) = text.split_once(':')?;
    epoch.parse::<Epoch>().ok()?;
    if !offset.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some(Since {
        epoch: epoch.to_owned(),
        offset: offset.parse().ok()?,
    })
}

/// Whether a client gets any of the channels that its token names; those it may not have are left
/// out.
async fn may_have_any(node: &Node, identity: &Identity) -> Result<(), Error> {
    let mut refusal = Error::from(ErrorKind::PermissionDenied);
    for channel in &identity.channels {
        match node.authorize(identity, Action::Subscribe(channel)).await {
            Ok(()) => return Ok(()),
            Err(error) => refusal = error,
        }
    }
    Err(refusal)
}
