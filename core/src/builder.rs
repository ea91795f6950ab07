//! How a node is put together.

use std::fmt;
use std::sync::Arc;

use crate::BoxFuture;
use crate::auth::jwt::{Jwt, JwtKey, JwtKeyError};
use crate::auth::{AuthError, Authenticator, Authorizer, Handshake, Identity, OwnUserChannels};
use crate::broker::{self, Broker, BrokerError, SpillPart};
use crate::catalog::Catalog;
use crate::config::{Config, ConfigError};
use crate::history::{self, HistoryStore};
use crate::node::Node;
use crate::sink::Sink;
use crate::visibility::{RolesError, Visibility};

/// Chooses the parts of a [`Node`]. Everything has a default that needs nothing else installed; only
/// clients are not let in until an authenticator says whom.
#[derive(Debug)]
#[must_use]
pub struct NodeBuilder {
    pub(crate) config: Config,
    pub(crate) broker: Arc<dyn Broker>,
    pub(crate) store: Arc<dyn HistoryStore>,
    pub(crate) sink: Option<Arc<dyn Sink>>,
    pub(crate) authenticator: Arc<dyn Authenticator>,
    pub(crate) authorizer: Arc<dyn Authorizer>,
    pub(crate) catalog: Option<Arc<Catalog>>,
}

impl Default for NodeBuilder {
    fn default() -> Self {
        Self {
            config: Config::default(),
            broker: Arc::new(broker::memory::Memory::default()),
            store: Arc::new(history::memory::Memory::default()),
            sink: None,
            authenticator: Arc::new(Nobody),
            authorizer: Arc::new(OwnUserChannels),
            catalog: None,
        }
    }
}

impl NodeBuilder {
    /// Sets the numbers.
    pub fn config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// Carries events between nodes; in memory by default, for a node that is alone.
    pub fn broker(mut self, broker: impl Broker) -> Self {
        self.broker = Arc::new(broker);
        self
    }

    /// Keeps history; in memory by default.
    pub fn history(mut self, store: impl HistoryStore) -> Self {
        self.store = Arc::new(store);
        self
    }

    /// Takes the records of events that are also [for services](crate::ForServices). Without one,
    /// what they name is left out.
    pub fn sink(mut self, sink: Arc<dyn Sink>) -> Self {
        self.sink = Some(sink);
        self
    }

    /// Recognizes clients.
    pub fn authenticator(mut self, authenticator: impl Authenticator) -> Self {
        self.authenticator = Arc::new(authenticator);
        self
    }

    /// Recognizes clients by JSON Web Tokens.
    ///
    /// # Errors
    /// [`JwtKeyError`] where the key cannot be read.
    pub fn jwt(self, key: JwtKey<'_>) -> Result<Self, JwtKeyError> {
        Ok(self.authenticator(Jwt::new(key)?))
    }

    /// Decides what clients may do; [`OwnUserChannels`] by default.
    pub fn authorizer(mut self, authorizer: impl Authorizer) -> Self {
        self.authorizer = Arc::new(authorizer);
        self
    }

    /// The event set, against which envelopes and client publications are checked. Without one,
    /// clients publish nothing.
    pub fn catalog(mut self, catalog: Catalog) -> Self {
        self.catalog = Some(Arc::new(catalog));
        self
    }

    /// Starts the node on the current Tokio runtime, whose tasks end with the last clone of it.
    ///
    /// # Errors
    /// [`StartError`] where the numbers contradict each other, more is asked of the broker than it gives
    /// ([`Required`](crate::config::Required)), the roles of the event set cannot be served, or the
    /// broker cannot be reached.
    ///
    /// # Panics
    /// Outside a Tokio runtime.
    pub async fn start(self) -> Result<Node, StartError> {
        self.config.check().map_err(StartError::Config)?;
        let visibility = Visibility::new(self.catalog.iter().flat_map(|catalog| catalog.roles()))
            .map_err(StartError::Roles)?;
        let bytes = self.config.buffers.spill as u64;
        let has_spill = self.store.spill(SpillPart::Broker, bytes).is_some();
        let required = self.config.broker;
        required
            .check(&self.broker.guarantees(), self.broker.is_local(), has_spill)
            .map_err(StartError::Config)?;
        Box::pin(Node::start(self, visibility))
            .await
            .map_err(StartError::Broker)
    }
}

/// Why a node did not start.
#[derive(Debug)]
#[non_exhaustive]
pub enum StartError {
    /// The configuration cannot work.
    Config(ConfigError),
    /// The roles that the event set binds its events to cannot be served.
    Roles(RolesError),
    /// The broker did not start.
    Broker(BrokerError),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Config(_) => "the configuration cannot work",
            Self::Roles(_) => "the event set cannot be served",
            Self::Broker(_) => "the broker did not start",
        })
    }
}

impl std::error::Error for StartError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(match self {
            Self::Config(error) => error,
            Self::Roles(error) => error,
            Self::Broker(error) => error,
        })
    }
}

/// Lets nobody in.
#[derive(Debug)]
struct Nobody;

impl Authenticator for Nobody {
    fn authenticate<'a>(
        &'a self,
        _token: Option<&'a str>,
        _handshake: &'a Handshake,
    ) -> BoxFuture<'a, Result<Identity, AuthError>> {
        let error = AuthError::Invalid("this node was built without an authenticator".into());
        Box::pin(std::future::ready(Err(error)))
    }
}
