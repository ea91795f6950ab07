//! A node that goes down.

use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::ledger::{Ledger, Published, channels};
use super::proving::{Proving, config, end, join};
use super::{Client, Connecting, End, Plan};
use crate::testing::promise;

/// What waits is delivered, clients are told to go, nobody new is let in, and the node ends within
/// its limit.
///
/// # Panics
/// With the promise that the transport breaks.
pub async fn check_drain<C: Client>(plan: &Plan) {
    let mut config = config();
    config.linger.medium = Duration::from_secs(600);
    config.drain.limit = Duration::from_secs(10);
    let limit = config.drain.limit;
    let proving = Proving::<C>::with(config, plan).await;
    let channels = channels(plan.channels);
    let mut published = Published::default();
    let mut clients = Vec::new();
    for _ in 0..5 {
        clients.push(proving.connect(&channels, None).await);
    }
    for channel in &channels {
        for _ in 0..20 {
            proving.publish(published.event(channel, 0)).await;
        }
    }
    let mut readers = Vec::new();
    for mut client in clients {
        let mut ledger = Ledger::of(&channels, plan.seed);
        let (published, plan) = (published.clone(), plan.clone());
        readers.push(tokio::spawn(async move {
            let told = end(&mut client, &mut ledger, &plan).await;
            promise!(
                ledger.has_all(&published) || !C::capabilities().stream,
                "what waits when a node goes down is delivered before it is gone",
                "{ledger:?} of {published:?}"
            );
            promise!(
                told == End::Told || !C::capabilities().goodbye,
                "a client is told when its node goes down",
                "the connection was lost without a word"
            );
        }));
    }
    let begun = Instant::now();
    let drained = timeout(limit + plan.slack, proving.node.drain()).await;
    promise!(
        drained.is_ok() && proving.node.sessions() == 0,
        "a node whose clients read goes down within its limit",
        "{} sessions after {:?}",
        proving.node.sessions(),
        begun.elapsed()
    );
    for reader in readers {
        join(reader).await;
    }
    let connecting = Connecting {
        token: "conformance",
        channels: &channels,
        resume: None,
    };
    let late = timeout(plan.patience, C::connect(&proving.server, connecting)).await;
    promise!(
        matches!(late, Ok(Err(_))),
        "a node that goes down lets nobody in",
        "a client that {}",
        if late.is_ok() {
            "is connected"
        } else {
            "got no answer"
        }
    );
}
