//! Who a client is, and what it may do.

pub mod jwt;

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use http::HeaderMap;

use crate::BoxFuture;
use crate::channel::Channel;
use crate::error::Error;

/// What is known of a client before it has said who it is.
#[derive(Clone, Debug, Default)]
pub struct Handshake {
    /// The token that came with the request.
    pub token: Option<String>,
    /// The request's headers, for authenticators that look at cookies and the like.
    pub headers: HeaderMap,
}

/// A client that has been recognized.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The user id; always able to stand as one segment of a channel name.
    pub user: Arc<str>,
    /// The user's roles, compared exactly.
    pub roles: Vec<String>,
    /// Channels that the connection is subscribed to from the start.
    pub channels: Vec<Channel>,
    /// When the identity ends, unless it is refreshed.
    pub expires_at: Option<SystemTime>,
}

impl Identity {
    /// A user without roles, for ever.
    ///
    /// # Errors
    /// [`AuthError::Invalid`] where the id could not stand as a segment of a channel name: `a.b`
    /// would reach into the channels of user `a`.
    pub fn new(user: &str) -> Result<Self, AuthError> {
        if !Channel::is_segment(user) {
            return Err(AuthError::Invalid(
                "the user id is not of A-Z a-z 0-9 _ - :".into(),
            ));
        }
        Ok(Self {
            user: user.into(),
            roles: Vec::new(),
            channels: Vec::new(),
            expires_at: None,
        })
    }

    /// Whether the user has a role.
    #[must_use]
    pub fn has_role(&self, role: &str) -> bool {
        self.roles.iter().any(|known| known == role)
    }

    /// Whole seconds until the identity ends; none if it does not.
    #[must_use]
    pub fn ttl(&self) -> Option<u32> {
        let left = self
            .expires_at?
            .duration_since(SystemTime::now())
            .unwrap_or_default();
        // Rounded up: a client that refreshes when the time is over must not come too early.
        Some(u32::try_from(left.as_secs()).map_or(u32::MAX, |seconds| seconds.saturating_add(1)))
    }
}

/// Recognizes clients.
pub trait Authenticator: fmt::Debug + Send + Sync + 'static {
    /// Says who comes with `token` and `handshake`. `token` is the dialect's own, or the request's
    /// where the dialect brought none.
    ///
    /// # Errors
    /// [`AuthError`] says why not.
    fn authenticate<'a>(
        &'a self,
        token: Option<&'a str>,
        handshake: &'a Handshake,
    ) -> BoxFuture<'a, Result<Identity, AuthError>>;
}

/// Why a client was not recognized.
#[derive(Debug)]
#[non_exhaustive]
pub enum AuthError {
    /// It brought no token.
    Missing,
    /// It brought one that is none of ours; the text says what is wrong, for the log.
    Invalid(Box<dyn std::error::Error + Send + Sync>),
    /// Its token was good once.
    Expired,
    /// Whoever knows could not be asked.
    Unavailable(Box<dyn std::error::Error + Send + Sync>),
}

impl fmt::Display for AuthError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Missing => "a token is needed",
            Self::Invalid(_) => "the token is not valid",
            Self::Expired => "the token has expired",
            Self::Unavailable(_) => "the token cannot be checked now",
        })
    }
}

impl std::error::Error for AuthError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Missing | Self::Expired => None,
            Self::Invalid(source) | Self::Unavailable(source) => Some(&**source),
        }
    }
}

/// What a client wants to do.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Action<'a> {
    /// Get a channel's events.
    Subscribe(&'a Channel),
    /// Publish an event by that name to a channel.
    Publish(&'a Channel, &'a str),
    /// Read what a channel remembers.
    History(&'a Channel),
    /// See who listens to a channel.
    Presence(&'a Channel),
}

impl<'a> Action<'a> {
    /// The channel that it concerns.
    #[must_use]
    pub const fn channel(&self) -> &'a Channel {
        match self {
            Self::Subscribe(channel)
            | Self::Publish(channel, _)
            | Self::History(channel)
            | Self::Presence(channel) => channel,
        }
    }
}

/// Decides what clients may do.
pub trait Authorizer: fmt::Debug + Send + Sync + 'static {
    /// Lets the action happen, or refuses it.
    ///
    /// # Errors
    /// The refusal that the client gets, usually of kind
    /// [`PermissionDenied`](crate::ErrorKind::PermissionDenied).
    fn authorize<'a>(
        &'a self,
        identity: &'a Identity,
        action: Action<'a>,
    ) -> BoxFuture<'a, Result<(), Error>>;
}

/// Lets everyone subscribe to everything but others' `user.{id}` channels, and publish nothing.
///
/// What a node does that was not told otherwise.
#[derive(Clone, Copy, Debug, Default)]
pub struct OwnUserChannels;

impl Authorizer for OwnUserChannels {
    fn authorize<'a>(
        &'a self,
        identity: &'a Identity,
        action: Action<'a>,
    ) -> BoxFuture<'a, Result<(), Error>> {
        let mut segments = action.channel().segments();
        let allowed = !matches!(action, Action::Publish(..))
            && (segments.next() != Some("user") || segments.next() == Some(&identity.user));
        let result = if allowed {
            Ok(())
        } else {
            Err(crate::ErrorKind::PermissionDenied.into())
        };
        Box::pin(std::future::ready(result))
    }
}
