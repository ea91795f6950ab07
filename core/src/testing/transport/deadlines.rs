//! When it arrives.

use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::ledger::{Ledger, Published, channel};
use super::proving::{Proving, config, is_quiet, next, read_all};
use super::{Client, Plan};
use crate::event::Priority;
use crate::testing::promise;

/// A flush is delivered whole: an urgent event takes with it, in order, all that waits in its
/// channel, whatever that comes to.
///
/// # Panics
/// With the promise that the transport breaks.
pub async fn check_flushes<C: Client>(plan: &Plan) {
    let mut config = config();
    config.linger.medium = Duration::from_secs(600);
    config.linger.low = Duration::from_secs(600);
    let proving = Proving::<C>::with(config, plan).await;
    let channels = [channel(0)];
    let mut client = proving.connect(&channels, None).await;
    let mut ledger = Ledger::of(&channels, plan.seed);
    let mut published = Published::default();
    // Two events; many small ones; more than one message holds.
    for (events, bytes) in [(1, 0), (400, 0), (10, 16_000)] {
        for _ in 0..events {
            proving.publish(published.event(&channels[0], bytes)).await;
        }
        let urgent = published.event(&channels[0], bytes);
        proving.publish(urgent.with_priority(Priority::High)).await;
        let whole = read_all(&mut client, &mut ledger, &published, plan);
        promise!(
            timeout(plan.slack, whole).await.is_ok(),
            "a flush is delivered whole, at once",
            "{} of {events} waiting events and an urgent one after {:?}",
            ledger.count(),
            plan.slack
        );
    }
    is_quiet(&mut client, &mut ledger).await;
}

/// High events arrive at once, medium and low ones within the time that they may wait.
///
/// # Panics
/// With the promise that the transport breaks.
pub async fn check_deadlines<C: Client>(plan: &Plan) {
    let mut config = config();
    config.linger.medium = plan.linger;
    config.linger.low = plan.linger * 2;
    let proving = Proving::<C>::with(config, plan).await;
    let rows = [
        (Priority::High, Duration::ZERO),
        (Priority::Medium, plan.linger),
        (Priority::Low, plan.linger * 2),
    ];
    for (priority, wait) in rows {
        let channels = [channel(priority as u32)];
        let mut client = proving.connect(&channels, None).await;
        let mut published = Published::default();
        let mut ledger = Ledger::of(&channels, plan.seed);
        for _ in 0..2 {
            let event = published.event(&channels[0], 0).with_priority(priority);
            let begun = Instant::now();
            proving.publish(event).await;
            ledger.take(&next(&mut client, plan.patience).await);
            let took = begun.elapsed();
            promise!(
                took <= wait + plan.slack,
                "high events arrive at once, medium and low ones within their linger",
                "a {} event after {took:?}, where {wait:?} and a slack of {:?} are allowed",
                priority.as_str(),
                plan.slack
            );
        }
    }
}
