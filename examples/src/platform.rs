//! What a platform is made of.

use std::future::{Future, ready};

use fanfare::auth::jwt::Jwt;
use fanfare::{Authenticator, Authorizer, Catalog, Config, Node};
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

    /// One envelope as its backend might publish it.
    fn sample(random: &mut StdRng) -> Value;
}
