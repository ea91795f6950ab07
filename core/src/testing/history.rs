//! Checks of a [`HistoryStore`].
//!
//! ```
//! use fanfare::history::memory::Memory;
//! use fanfare::testing::history::{Plan, check_all};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! check_all(async || Memory::default(), &Plan::default()).await;
//! # }
//! ```
//!
//! A store that survives the end of its process is given a closure that opens the store at a place,
//! and passes [`check_durable`] besides:
//!
//! ```no_run
//! # use fanfare::history::memory::Memory as Disk;
//! # trait Open { fn open(_: std::path::PathBuf) -> Result<Disk, std::io::Error> { Ok(Disk::default()) } }
//! # impl Open for Disk {}
//! use fanfare::testing::history::{Plan, check_durable};
//!
//! # async fn example(folder: &std::path::Path) {
//! let open = async |place: u32| Disk::open(folder.join(place.to_string())).unwrap();
//! check_durable(open, &Plan::default()).await;
//! # }
//! ```
//!
//! What the kit cannot do is kill: that what was committed survives `kill -9` or a loss of power is
//! to be shown with a process of its own.

mod committing;
mod epochs;
mod numbering;
mod ranges;
mod receipts;
mod reopening;
mod retention;
mod sample;

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

pub use self::committing::{check_closing, check_committing};
pub use self::epochs::check_epochs;
pub use self::numbering::{check_concurrency, check_numbering};
pub use self::ranges::check_ranges;
pub use self::receipts::check_receipts;
pub use self::reopening::check_reopening;
pub use self::retention::{check_age, check_recent, check_retention};
use crate::history::HistoryStore;

/// The numbers of the checks. The defaults take a few seconds.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What the random choices follow from; another one each time by default. A failure names it,
    /// so that it can be had again.
    pub seed: u64,
    /// Channels that are used at the same time; default 8.
    pub channels: u32,
    /// Events in each of them; default 200.
    pub events: u64,
    /// Random ranges that are read; default 400.
    pub ranges: u32,
    /// The age at which events end where a check waits for that; default 300 ms. Longer for a store
    /// whose clock is coarser.
    pub age: Duration,
    /// How long anything may take that must happen; default 10 s.
    pub patience: Duration,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            seed: rand::random(),
            channels: 8,
            events: 200,
            ranges: 400,
            age: Duration::from_millis(300),
            patience: Duration::from_secs(10),
        }
    }
}

/// Runs all checks, each on stores that `fresh` makes: empty, and nothing in common.
///
/// # Panics
/// With the promise that the store breaks.
pub async fn check_all<S: HistoryStore>(fresh: impl AsyncFn() -> S, plan: &Plan) {
    check_numbering(&fresh, plan).await;
    check_concurrency(&fresh, plan).await;
    check_ranges(&fresh, plan).await;
    check_retention(&fresh, plan).await;
    check_recent(&fresh, plan).await;
    check_age(&fresh, plan).await;
    check_epochs(&fresh, plan).await;
    check_committing(&fresh, plan).await;
    check_receipts(&fresh, plan).await;
    check_closing(&fresh, plan).await;
}

/// Runs all checks of [`check_all`], and [`check_reopening`]. `open` opens the store at a place: an
/// empty one where the number is new, else what was left there. A store is closed or dropped before
/// its place is opened again.
///
/// # Panics
/// With the promise that the store breaks.
pub async fn check_durable<S: HistoryStore>(open: impl AsyncFn(u32) -> S, plan: &Plan) {
    let places = AtomicU32::new(0);
    check_all(
        async || open(places.fetch_add(1, Ordering::Relaxed)).await,
        plan,
    )
    .await;
    let first = places.into_inner();
    check_reopening(&async |place: u32| open(first + place).await, plan).await;
}
