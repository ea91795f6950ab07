//! NATS.

mod address;
mod session;

pub use self::address::{Address, UrlError};
pub(super) use self::address::{CLUSTER, check_cluster, number, parse};
pub(super) use self::session::{Failure, Session, chain};
