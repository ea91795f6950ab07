//! What a platform is made of.

#[cfg(feature = "brokers")]
use std::sync::Arc;

#[cfg(feature = "brokers")]
use fanfare::BrokerError;
use fanfare::{Authorizer, Catalog, Config, Identity};
#[cfg(feature = "brokers")]
use fanfare_brokers::services::{Engine, engine_from_url};
use rand::rngs::StdRng;
use serde_json::Value;

/// One of the platforms that fanfare carries.
pub trait Platform: 'static {
    /// Its name, as in the banner.
    const NAME: &'static str;
    /// Its live page.
    const PAGE: &'static str;
    /// The scheme of the server that its documents have for service topics, if they have any. Where
    /// `--broker` names such a server, it is used for both.
    const TOPICS: Option<&'static str> = None;

    /// Its numbers, where no file says otherwise.
    fn config() -> Config;

    /// Its events.
    fn catalog() -> Catalog;

    /// Who may do what.
    fn authorizer() -> impl Authorizer;

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

    /// One envelope as its backend might publish it.
    fn sample(random: &mut StdRng) -> Value;
}
