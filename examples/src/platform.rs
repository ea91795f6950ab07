//! What a platform is made of.

use fanfare::{Authorizer, Catalog, Config};
use rand::rngs::StdRng;
use serde_json::Value;

/// One of the platforms that fanfare carries.
pub trait Platform: 'static {
    /// Its name, as in the banner.
    const NAME: &'static str;
    /// Its live page.
    const PAGE: &'static str;

    /// Its numbers, where no file says otherwise.
    fn config() -> Config;

    /// Its events.
    fn catalog() -> Catalog;

    /// Who may do what.
    fn authorizer() -> impl Authorizer;

    /// One envelope as its backend might publish it.
    fn sample(random: &mut StdRng) -> Value;
}
