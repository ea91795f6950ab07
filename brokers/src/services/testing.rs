//! The conformance kit for engines: proof that one keeps the promises of [`Engine`], and that a
//! [`Consumer`](super::Consumer) on it keeps its own.
//!
//! Whoever writes an engine outside this repository proves it with these checks, against the real
//! server, and ours pass nothing else. A check that fails panics with the promise that was broken and
//! with what was seen instead:
//!
//! ```text
//! broken promise: records of a key come in the order in which they were published
//!   seen: record 17 of key 3 after record 18
//! ```
//!
//! ```no_run
//! # use std::sync::Arc;
//! # use fanfare_brokers::services::Engine;
//! use fanfare_brokers::services::testing::{Plan, check_all};
//!
//! # async fn connect() -> Arc<dyn Engine> { unimplemented!() }
//! # async fn example() {
//! check_all(async || connect().await, &Plan::default()).await;
//! # }
//! ```
//!
//! [`check_foreign`] needs somebody else who writes to the server, and [`check_crash`] somebody who
//! kills it; they are called besides.
//!
//! The checks need a Tokio runtime with time enabled, go by real time, and use topics of their own
//! with random names.

mod consuming;
mod crash;
mod dead_letters;
mod foreign;
mod groups;
mod order;
mod reading;
mod records;
mod settling;

use std::sync::Arc;
use std::time::Duration;

pub use self::consuming::{check_poison, check_stopping, check_turns};
pub use self::crash::{Power, check_crash};
pub use self::dead_letters::check_dead_letters;
pub use self::foreign::check_foreign;
pub use self::groups::check_groups;
pub use self::order::{check_order, check_prefetch};
pub use self::records::check_records;
pub use self::settling::{check_giving_back, check_retrying, check_settling};
use super::engine::Engine;

/// Panics with the promise that was broken, unless it holds.
macro_rules! promise {
    ($holds:expr, $promise:expr, $($seen:tt)+) => {
        if !$holds {
            panic!("broken promise: {}\n  seen: {}", $promise, format_args!($($seen)+));
        }
    };
}

use promise;

/// The numbers of the checks. The defaults take a minute or so.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Records of a check, at least 20; default 200.
    pub records: u32,
    /// Keys that they have, at least 2; default 8.
    pub keys: u32,
    /// How long anything may take that must happen; default 20 s.
    pub patience: Duration,
    /// How long nothing must happen where nothing may; default 700 ms.
    pub quiet: Duration,
    /// The pause before a retry; default 1 s. Longer for an engine whose clock is coarser.
    pub pause: Duration,
    /// How much later than that a retry may come; default 2 s.
    pub lateness: Duration,
    /// How long a group needs to find itself after another consumer has joined; default none.
    pub joining: Duration,
    /// How long after it made something for a group a server must not be killed, because it does not
    /// remember that yet; default none.
    pub forgets: Duration,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            records: 200,
            keys: 8,
            patience: Duration::from_secs(20),
            quiet: Duration::from_millis(700),
            pause: Duration::from_secs(1),
            lateness: Duration::from_secs(2),
            joining: Duration::ZERO,
            forgets: Duration::ZERO,
        }
    }
}

/// Runs all checks that need nothing but the engine. `engine` makes one that is connected to the same
/// server each time.
///
/// # Panics
/// Where a promise is broken.
pub async fn check_all(engine: impl AsyncFn() -> Arc<dyn Engine>, plan: &Plan) {
    check_records(&engine, plan).await;
    check_groups(&engine, plan).await;
    check_order(&engine, plan).await;
    check_prefetch(&engine, plan).await;
    check_settling(&engine, plan).await;
    check_giving_back(&engine, plan).await;
    check_retrying(&engine, plan).await;
    check_dead_letters(&engine, plan).await;
    check_turns(&engine, plan).await;
    check_stopping(&engine, plan).await;
    check_poison(&engine, plan).await;
}
