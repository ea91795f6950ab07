//! Clients that do not read.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use super::ledger::{Ledger, Published, channels};
use super::proving::{Proving, config, join, next};
use super::{Client, Plan};
use crate::event::Priority;
use crate::testing::promise;

const EVENT: usize = 16_000;
/// Events between two looks at the others; less than what may wait for them.
const ROUND: usize = 4;

/// A client that stops reading holds nobody up: the others get everything meanwhile, what waits for
/// it is bounded, it is ended, and gets the rest when it resumes.
///
/// # Panics
/// With the promise that the transport breaks.
pub async fn check_stalls<C: Client>(plan: &Plan) {
    let mut config = config();
    config.buffers.outbox = 512 << 10;
    let proving = Proving::<C>::with(config, plan).await;
    let channels = channels(1);
    let mut published = Published::default();
    let mut stalled = proving.connect(&channels, None).await;
    let mut others = Vec::new();
    let mut progress = Vec::new();
    let (stop, stopped) = watch::channel(());
    for _ in 0..2 {
        let mut client = proving.connect(&channels, None).await;
        let mut ledger = Ledger::of(&channels, plan.seed);
        let (report, reported) = watch::channel(0);
        progress.push(reported);
        let (mut stopped, patience) = (stopped.clone(), plan.patience);
        others.push(tokio::spawn(async move {
            loop {
                let received = tokio::select! {
                    received = next(&mut client, patience * 2) => received,
                    _ = stopped.changed() => return,
                };
                ledger.take(&received);
                report.send_replace(ledger.count());
            }
        }));
    }
    let mut count = 0;
    while proving.node.sessions() > 2 && count * EVENT < plan.stall {
        for _ in 0..ROUND {
            let event = published.event(&channels[0], EVENT);
            proving.publish(event.with_priority(Priority::High)).await;
        }
        count += ROUND;
        for reported in &mut progress {
            let all = reported.wait_for(|got| *got == count as u64);
            promise!(
                matches!(timeout(plan.patience, all).await, Ok(Ok(_))),
                "a client that does not read holds no other up",
                "another client that did not get {count} events within {:?}",
                plan.patience
            );
        }
        if count * EVENT > 8 << 20 {
            // Its sockets are full by now; what is left is the time that ending may take.
            sleep(Duration::from_millis(5)).await;
        }
    }
    let end = Instant::now() + plan.patience;
    while proving.node.sessions() > 2 && Instant::now() < end {
        sleep(Duration::from_millis(10)).await;
    }
    promise!(
        proving.node.sessions() == 2,
        "a client that does not read is ended once more waits for it than may",
        "{} sessions of 3 after {} bytes and {:?}",
        proving.node.sessions(),
        count * EVENT,
        plan.patience
    );
    drop(stop);
    for other in others {
        join(other).await;
    }
    if C::capabilities().resume {
        // It wakes up, reads what lies in its sockets, and comes back for the rest.
        let mut ledger = Ledger::of(&channels, plan.seed);
        let mut known = (stalled.resume(), ledger.clone());
        let mut attempts = 0;
        while !ledger.has_all(&published) {
            match timeout(plan.patience, stalled.next()).await {
                Ok(Ok(received)) => {
                    ledger.take(&received);
                    if let Some(resume) = stalled.resume() {
                        known = (Some(resume), ledger.clone());
                    }
                    continue;
                }
                Ok(Err(_)) => {}
                Err(_) => promise!(
                    false,
                    "a client that stalled resumes, and gets what it missed",
                    "{} of {count} events, and nothing for {:?}",
                    ledger.count(),
                    plan.patience
                ),
            }
            attempts += 1;
            promise!(
                attempts < 50,
                "a client that stalled resumes, and gets what it missed",
                "{} of {count} events after {attempts} connections",
                ledger.count()
            );
            ledger = known.1.clone();
            stalled = proving.connect(&channels, known.0.as_ref()).await;
        }
    }
    drop(stalled);
    proving.is_left().await;
}
