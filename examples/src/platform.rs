//! What a platform is made of.

use std::future::{Future, ready};
#[cfg(feature = "brokers")]
use std::sync::Arc;

#[cfg(feature = "brokers")]
use fanfare::BrokerError;
use fanfare::auth::jwt::Jwt;
use fanfare::{Authenticator, Authorizer, Catalog, Config, Identity, Node};
#[cfg(feature = "brokers")]
use fanfare_brokers::services::{Engine, engine_from_url};
use fanfare_transports::socket_io::Arguments;
use metrics_exporter_prometheus::PrometheusHandle;
use rand::rngs::StdRng;
use serde_json::Value;

/// One of the platforms that fanfare carries.
pub trait Platform: 'static {
    /// Its name, as in the banner.
    const NAME: &'static str;
    /// Its live page.
    const PAGE: &'static str;
    /// What its events bring to Socket.IO clients.
    const SOCKET_IO: Arguments = Arguments::Envelope;
    /// The user of the token that is printed where no secret was given.
    const DEMO_USER: &'static str = "1";
    /// That user's roles.
    const DEMO_ROLES: &'static [&'static str] = &[];
    /// The scheme of the server that its documents have for service topics, if they have any. Where
    /// `--broker` names such a server, it is used for both.
    const TOPICS: Option<&'static str> = None;

    /// Its numbers, where no file says otherwise.
    fn config() -> Config;

    /// Its events.
    fn catalog() -> Catalog;

    /// Recognizes clients, by `jwt` and what else the platform goes by.
    fn authenticator(jwt: Jwt) -> impl Authenticator {
        jwt
    }

    /// Who may do what.
    fn authorizer() -> impl Authorizer;

    /// What it does beside serving clients, until the node goes down. `metrics` renders what the node
    /// counts.
    fn beside(node: Node, metrics: PrometheusHandle) -> impl Future<Output = ()> + Send {
        drop((node, metrics));
        ready(())
    }

    /// Connects to the server of its service topics.
    ///
    /// # Errors
    /// What is wrong with the URL, or that the server is away.
    #[cfg(feature = "brokers")]
    fn engine(url: &str) -> impl Future<Output = Result<Arc<dyn Engine>, BrokerError>> + Send {
        engine_from_url(url)
    }

    /// What an event stream begins with; none where that is the first event.
    fn sse_welcome() -> Option<fn(&Identity) -> String> {
        None
    }

    /// What its backend might publish, for ever: the same story for the same seed, apart from times.
    fn life(random: StdRng) -> impl Iterator<Item = Value> + Send + 'static;
}
