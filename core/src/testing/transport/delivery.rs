//! What arrives.

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use super::ledger::{Ledger, Published, channels};
use super::proving::{Proving, config, is_quiet, join, read_all};
use super::{Client, Plan};
use crate::event::Priority;

/// Every event arrives once, byte for byte, in the order of its channel, at every client that
/// subscribed to the channel and at no other, in bursts and one by one.
///
/// # Panics
/// With the promise that the transport breaks.
pub async fn check_delivery<C: Client>(plan: &Plan) {
    let mut config = config();
    config.linger.medium = std::time::Duration::from_millis(50);
    config.linger.low = std::time::Duration::from_millis(100);
    let proving = Proving::<C>::with(config, plan).await;
    let channels = channels(plan.channels);
    let mut random = SmallRng::seed_from_u64(plan.seed);
    // What is published is settled before, so that readers know when they have all.
    let mut published = Published::default();
    let mut bursts = Vec::new();
    let mut left = plan.events;
    while left > 0 {
        let burst = random.random_range(1..=left.min(60));
        left -= burst;
        let events = (0..burst).map(|_| published.random(&channels, &mut random));
        bursts.push(events.collect::<Vec<_>>());
    }
    let mut readers = Vec::new();
    for audience in [&channels[..], &channels[..1], &channels[..]] {
        let mut client = proving.connect(audience, None).await;
        let mut ledger = Ledger::of(audience, plan.seed);
        let (published, plan) = (published.clone(), plan.clone());
        readers.push(tokio::spawn(async move {
            read_all(&mut client, &mut ledger, &published, &plan).await;
            is_quiet(&mut client, &mut ledger).await;
        }));
    }
    for (at, mut burst) in bursts.into_iter().enumerate() {
        if at % 4 == 0 {
            let last = burst.pop().expect("a burst has an event");
            burst.push(last.with_priority(Priority::High));
        }
        proving.publish_all(burst).await;
        if random.random() {
            tokio::task::yield_now().await;
        } else {
            tokio::time::sleep(plan.pause).await;
        }
    }
    for reader in readers {
        join(reader).await;
    }
}
