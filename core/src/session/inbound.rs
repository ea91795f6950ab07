//! What a client asks for, and what it is answered.

use std::sync::Arc;

use tracing::{debug, warn};

use super::Session;
use crate::auth::{Action, AuthError, Identity};
use crate::channel::Channel;
use crate::codec::{Command, Connect, Connected, Notice, Reply, Request, Subscribe};
use crate::disconnect::Disconnect;
use crate::error::{Error, ErrorKind};
use crate::event::Publisher;
use crate::metrics;

/// Why a command got no reply.
enum Refusal {
    /// It is answered with an error.
    Error(Error),
    /// It ends the connection.
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
        let form = self.connection.outbox.form().clone();
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
                Ok(Some(reply)) => form.codec.reply(id, Ok(&reply), &mut messages),
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
            return self.connect(connect).await.map(Some);
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
                    .history(&channel, since.as_ref(), limit, reverse)
                    .await?;
                Ok(Some(Reply::History { publications, top }))
            }
            Command::Refresh { token } => self.refresh(&identity, &token).await.map(Some),
            Command::Ping => Ok(Some(Reply::Pong)),
            Command::Pong => {
                self.connection.timers.ponged();
                Ok(None)
            }
            Command::Presence { .. } | Command::PresenceStats { .. } => {
                Err(ErrorKind::NotAvailable.into())
            }
            Command::Unsupported | Command::Connect(_) => Err(ErrorKind::MethodNotFound.into()),
        }
    }

    async fn connect(&mut self, connect: Connect) -> Result<Reply, Refusal> {
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
        let ttl = identity.ttl();
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
        self.admit(identity)?;
        let mut subscriptions = Vec::with_capacity(channels.len());
        for channel in channels {
            if self.is_subscribed(&channel) {
                continue;
            }
            let since = connect
                .positions
                .iter()
                .find(|(name, _)| name == channel.as_str())
                .map(|(_, since)| since);
            match self.join(&channel, since).await {
                Ok(subscribed) => subscriptions.push((channel, subscribed)),
                Err(error) if error.kind() == ErrorKind::LimitExceeded => {
                    return Err(Disconnect::CHANNEL_LIMIT.into());
                }
                Err(_) => return Err(Disconnect::SERVER_ERROR.into()),
            }
        }
        let ping = self.node.config().heartbeat.ping.as_secs();
        Ok(Reply::Connected(Connected {
            client: self.connection.id.to_string(),
            ttl,
            subscriptions,
            ping: u32::try_from(ping).unwrap_or(u32::MAX),
        }))
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

    async fn subscribe(&self, identity: &Identity, subscribe: Subscribe) -> Result<Reply, Refusal> {
        let channel = parse(&subscribe.channel)?;
        self.node
            .authorize(identity, Action::Subscribe(&channel))
            .await?;
        if self.is_subscribed(&channel) {
            return Err(ErrorKind::AlreadySubscribed.into());
        }
        Ok(Reply::Subscribed(
            self.join(&channel, subscribe.recover.as_ref()).await?,
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
