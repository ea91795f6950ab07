//! The conformance kit: proof that a history store, a broker or a transport keeps its contract.
//!
//! Whoever writes one outside this repository proves it with these checks, and ours pass nothing
//! else. There is one async function for each concern, and a `check_all` that runs them. A check
//! that fails panics with the promise that was broken and with what was seen instead:
//!
//! ```text
//! broken promise: offsets of a channel count from 1 without holes
//!   seen: offset 7 where 6 was next in conformance.2 (seed 1207)
//! ```
//!
//! - [`history`] checks a [`HistoryStore`](crate::HistoryStore), given a closure that makes fresh
//!   ones; a durable one is also closed and opened again.
//! - [`broker`] checks a [`Broker`](crate::Broker), given a closure that attaches another node to its
//!   server.
//! - [`transport`] checks a transport, given a small client of it: what connects, reads the next
//!   event, and knows from where to resume.
//!
//! The checks need a Tokio runtime with time enabled, and go by real time.

pub mod broker;
pub mod history;
pub mod transport;

/// Panics with the promise that was broken, unless it holds.
macro_rules! promise {
    ($holds:expr, $promise:expr, $($seen:tt)+) => {
        if !$holds {
            panic!("broken promise: {}\n  seen: {}", $promise, format_args!($($seen)+));
        }
    };
}

use promise;
