//! What a client asks for, and what it is answered.

use std::sync::Arc;

use tracing::{debug, warn};

use super::Session;
use crate::auth::{Action, AuthError, Identity};
use crate::channel::Channel;
use crate::codec::{Command, Connect, Connected, Notice, Reply, Request, Subscribe, Subscribed};
use crate::disconnect::Disconnect;
use crate::error::{Error, ErrorKind};
use crate::event::Publisher;
use crate::metrics;
use crate::wire::Flush;

/// Why a client got no reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It is answered with an error; the connection may go on.
    Error(Error),
    /// The connection ends.
    Disconnect(Disconnect),
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

impl From<ErrorKind> for Refusal {
    fn from(kind: ErrorKind) -> Self {
        Self::Error(kind.into())
    }
}

impl From<Disconnect> for Refusal {
    fn from(disconnect: Disconnect) -> Self {
        Self::Disconnect(disconnect)
    }
}

impl Session {
    /// Does what one message of the client asks for; the replies stand in the outbox afterwards,
    /// several in one frame.
    ///
    /// Waits while more than the budget is queued for the client, so that one that asks without
    /// reading is not answered without bound. Not cancel safe: drop the session if the future was
    /// dropped. Box it where sessions idle: it is many times the size of an idle connection.
    ///
    /// # Errors
    /// The disconnect that the message deserves; the transport closes with it.
    pub async fn receive(&mut self, message: &[u8]) -> Result<(), Disconnect> {
        let form = self.connection.outbox.form();
        self.connection.outbox.room().await;
        let requests = form.codec.decode(message)?;
        let joins = requests
            .iter()
            .any(|request| matches!(request.command, Command::Connect(_) | Command::Subscribe(_)));
        let mut messages = form.messages();
        let mut outcome = Ok(());
        if joins {
            self.connection.outbox.hold();
        }
        for Request { id, command } in requests {
            match self.handle(command).await {
                Ok(Some(mut reply)) => {
                    let recovered = self.set_apart(&mut reply);
                    form.codec.reply(id, Ok(&reply), &mut messages);
                    if !recovered.is_empty() {
                        // What was recovered stands behind the reply that announces it.
                        let frame = std::mem::replace(&mut messages, form.messages()).finish();
                        self.queue(frame, recovered);
                    }
                }
                Ok(None) => {}
                Err(Refusal::Error(error)) => form.codec.reply(id, Err(&error), &mut messages),
                Err(Refusal::Disconnect(disconnect)) => {
                    outcome = Err(disconnect);
                    break;
                }
            }
            if messages.len() > form.message_bytes {
                self.answer(
                    std::mem::replace(&mut messages, form.messages()).finish(),
                    joins,
                );
                self.connection.outbox.room().await;
                if joins {
                    self.connection.outbox.hold();
                }
            }
        }
        self.answer(messages.finish(), joins);
        outcome
    }

    /// Connects a client whose dialect has no message for that: the transport knows from its request
    /// all there is to know. The reply and what the client recovers stand in the outbox afterwards.
    ///
    /// Not cancel safe: drop the session if the future was dropped.
    ///
    /// # Errors
    /// The refusal; the transport answers it in its own way, and drops the session.
    pub async fn connect(&mut self, connect: Connect) -> Result<(), Refusal> {
        let form = self.connection.outbox.form();
        self.connection.outbox.hold();
        let mut messages = form.messages();
        let mut recovered = Vec::new();
        let outcome = match self.handle_connect(connect).await {
            Ok(mut reply) => {
                recovered = self.set_apart(&mut reply);
                form.codec.reply(0, Ok(&reply), &mut messages);
                Ok(())
            }
            Err(refusal) => Err(refusal),
        };
        self.queue(messages.finish(), recovered);
        self.answer(None, true);
        outcome
    }

    /// Counts what a reply brings of missed events, and takes it out where the dialect writes such
    /// events like any other.
    fn set_apart(&self, reply: &mut Reply) -> Vec<Flush> {
        let form = self.connection.outbox.form();
        let mut apart = Vec::new();
        let mut visit = |subscribed: &mut Subscribed| {
            self.count_recovery(subscribed);
            self.connection
                .transport
                .recovered(&subscribed.publications);
            if form.codec.has_cursor() && !subscribed.publications.is_empty() {
                let publications = std::mem::take(&mut subscribed.publications);
                let channel = subscribed.channel.clone();
                apart.push(Flush::new(channel, publications.into()));
            }
        };
        match reply {
            Reply::Connected(connected) => connected.subscriptions.iter_mut().for_each(visit),
            Reply::Subscribed(subscribed) => visit(subscribed),
            _ => {}
        }
        apart
    }

    fn queue(&self, reply: Option<bytes::Bytes>, recovered: Vec<Flush>) {
        let outbox = &self.connection.outbox;
        if let Some(frame) = reply {
            outbox.push_control(frame);
        }
        for flush in recovered {
            outbox.push_recovered(Arc::new(flush));
        }
    }

    fn answer(&self, reply: Option<bytes::Bytes>, release: bool) {
        if release {
            self.connection.outbox.release(reply);
        } else if let Some(frame) = reply {
            self.connection.outbox.push_control(frame);
        }
        self.connection.outbox.write();
    }

    async fn handle(&mut self, command: Command) -> Result<Option<Reply>, Refusal> {
        if let Command::Connect(connect) = command {
            return self.handle_connect(connect).await.map(Some);
        }
        let Some(identity) = self.identity() else {
            return Err(Disconnect::BAD_REQUEST.into());
        };
        match command {
            Command::Subscribe(subscribe) => self.subscribe(&identity, subscribe).await.map(Some),
            Command::Unsubscribe { channel } => {
                self.leave(&parse(&channel)?);
                Ok(Some(Reply::Unsubscribed))
            }
            Command::Publish { channel, data } => {
                self.publish(&identity, &channel, &data).await?;
                Ok(Some(Reply::Published))
            }
            Command::History {
                channel,
                limit,
                since,
                reverse,
            } => {
                let channel = parse(&channel)?;
                self.node
                    .authorize(&identity, Action::History(&channel))
                    .await?;
                let limit = limit.unwrap_or(usize::MAX);
                let (publications, top) = self
                    .node
                    .history_seen_by(
                        self.connection.sees(),
                        &channel,
                        since.as_ref(),
                        limit,
                        reverse,
                    )
                    .await?;
                Ok(Some(Reply::History { publications, top }))
            }
            Command::Refresh { token } => self.refresh(&identity, &token).await.map(Some),
            Command::Ping => Ok(Some(Reply::Pong)),
            Command::Pong => {
                self.connection.timers.ponged();
                let received = self.connection.outbox.ponged();
                let shared = &self.node.hub().shared;
                self.connection.note_receipt(received, shared);
                Ok(None)
            }
            Command::Presence { channel } => {
                let channel = self.may_see(&identity, &channel).await?;
                let members = self.node.presence(&channel)?;
                Ok(Some(Reply::Presence { members }))
            }
            Command::PresenceStats { channel } => {
                let channel = self.may_see(&identity, &channel).await?;
                let (clients, users) = self.node.presence_stats(&channel)?;
                Ok(Some(Reply::PresenceStats { clients, users }))
            }
            Command::Invalid(error) => Err(error.into()),
            Command::Unsupported | Command::Connect(_) => Err(ErrorKind::MethodNotFound.into()),
        }
    }

    async fn handle_connect(&mut self, connect: Connect) -> Result<Reply, Refusal> {
        let positions = connect.positions.clone();
        let session = self
            .opening
            .as_mut()
            .and_then(|opening| opening.session.take());
        let channels = self.enter(connect).await?;
        let ttl = self.identity().and_then(|identity| identity.ttl());
        let mut subscriptions = Vec::with_capacity(channels.len());
        for channel in channels {
            if self.is_subscribed(&channel) {
                continue;
            }
            let since = positions
                .iter()
                .find(|(name, _)| name == channel.as_str())
                .map(|(_, since)| since);
            match self.join(&channel, since, false).await {
                Ok(subscribed) => subscriptions.push(subscribed),
                Err(error) if error.kind() == ErrorKind::LimitExceeded => {
                    return Err(Disconnect::CHANNEL_LIMIT.into());
                }
                Err(_) => return Err(Disconnect::SERVER_ERROR.into()),
            }
        }
        Ok(Reply::Connected(Connected {
            client: self.connection.id.to_string(),
            ttl,
            subscriptions,
            ping: self.connection.timers.ping_every,
            session,
            node: self.node.id().to_owned(),
        }))
    }

    /// Lets the client in, and says which channels it is to be subscribed to.
    pub(super) async fn enter(&mut self, connect: Connect) -> Result<Vec<Channel>, Refusal> {
        if self.node.is_draining() {
            return Err(Disconnect::SHUTDOWN.into());
        }
        let Some(welcome) = self.opening.take() else {
            return Err(Disconnect::BAD_REQUEST.into());
        };
        let identity = match (&connect.token, welcome.identity) {
            (None, Some(identity)) => identity,
            (token, _) => self.recognize(token.as_deref(), &welcome.handshake).await?,
        };
        let claimed = identity.channels.clone();
        for channel in &welcome.channels {
            if self
                .node
                .authorize(&identity, Action::Subscribe(channel))
                .await
                .is_err()
            {
                return Err(Disconnect::PERMISSION_DENIED.into());
            }
        }
        let mut channels = welcome.channels;
        if welcome.own_channel {
            let own = Channel::new(&format!("user.{}", identity.user));
            channels.push(own.expect("a user id can stand as a segment"));
        }
        for channel in claimed {
            if let Err(error) = self
                .node
                .authorize(&identity, Action::Subscribe(&channel))
                .await
            {
                warn!(%channel, user = %identity.user, %error, "a token claims a channel that its user may not have");
            } else {
                channels.push(channel);
            }
        }
        self.node.verify_elsewhere(&identity.user).await;
        self.admit(identity)?;
        self.resume = connect.resume.map(Box::new);
        Ok(channels)
    }

    async fn recognize(
        &self,
        token: Option<&str>,
        handshake: &crate::auth::Handshake,
    ) -> Result<Identity, Refusal> {
        self.node
            .authenticate(token, handshake)
            .await
            .map_err(|error| {
                debug!(
                    error = &error as &dyn std::error::Error,
                    "not authenticated"
                );
                match error {
                    AuthError::Missing | AuthError::Invalid(_) => {
                        metrics::connection_rejected("auth_failed");
                        Refusal::from(Disconnect::INVALID_TOKEN)
                    }
                    AuthError::Expired => {
                        metrics::connection_rejected("auth_failed");
                        ErrorKind::TokenExpired.into()
                    }
                    AuthError::Unavailable(_) => ErrorKind::Unavailable.into(),
                }
            })
    }

    async fn subscribe(
        &mut self,
        identity: &Identity,
        subscribe: Subscribe,
    ) -> Result<Reply, Refusal> {
        let channel = parse(&subscribe.channel)?;
        self.node
            .authorize(identity, Action::Subscribe(&channel))
            .await?;
        if self.is_subscribed(&channel) {
            return Err(ErrorKind::AlreadySubscribed.into());
        }
        Ok(Reply::Subscribed(
            self.join(&channel, subscribe.recover.as_ref(), subscribe.follow)
                .await?,
        ))
    }

    async fn publish(
        &self,
        identity: &Identity,
        channel: &str,
        data: &serde_json::value::RawValue,
    ) -> Result<(), Refusal> {
        let limits = self.node.limits();
        limits.take_from_client(self.connection.id, &identity.user)?;
        let Some(catalog) = self.node.catalog() else {
            return Err(ErrorKind::PermissionDenied.into());
        };
        let channel = if channel.is_empty() {
            None
        } else {
            Some(parse(channel)?)
        };
        let event = catalog.read_from_client(identity, channel.as_ref(), data)?;
        self.node
            .authorize(identity, Action::Publish(event.channel(), event.name()))
            .await?;
        limits.take_from_channel(event.channel())?;
        let client = Arc::from(self.connection.id.to_string());
        let publisher = Publisher {
            user: identity.user.clone(),
            client,
        };
        self.node.publish(event.published_by(publisher)).await?;
        Ok(())
    }

    async fn may_see(&self, identity: &Identity, channel: &str) -> Result<Channel, Error> {
        let channel = parse(channel)?;
        let action = Action::Presence(&channel);
        self.node.authorize(identity, action).await?;
        Ok(channel)
    }

    async fn refresh(&self, identity: &Identity, token: &str) -> Result<Reply, Refusal> {
        let handshake = crate::auth::Handshake::default();
        let renewed = self.recognize(Some(token), &handshake).await?;
        if renewed.user != identity.user {
            return Err(Disconnect::INVALID_TOKEN.into());
        }
        let ttl = renewed.ttl();
        self.leave_what_is_no_longer_allowed(&renewed).await;
        self.set_identity(renewed);
        Ok(Reply::Refreshed { ttl })
    }

    /// A newer token may have fewer roles than the one that opened the subscriptions.
    async fn leave_what_is_no_longer_allowed(&self, identity: &Identity) {
        let channels = self.connection.channels();
        let form = self.connection.outbox.form();
        let mut messages = form.messages();
        for channel in channels {
            if self
                .node
                .authorize(identity, Action::Subscribe(&channel))
                .await
                .is_err()
            {
                self.leave(&channel);
                form.codec
                    .notice(&Notice::Unsubscribed { channel }, &mut messages);
            }
        }
        if let Some(frame) = messages.finish() {
            self.connection.send(frame);
        }
    }
}

fn parse(channel: &str) -> Result<Channel, Error> {
    Channel::new(channel).map_err(|error| Error::new(ErrorKind::BadRequest, error.to_string()))
}
