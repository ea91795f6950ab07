//! The server killed and started again, under load.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use fanfare::BrokerErrorKind;
use tokio::time::{Instant, sleep};

use super::consuming::Seen;
use super::reading::{Topic, open, works};
use super::{Plan, promise};
use crate::services::consumer::{BreakerPolicy, Consumer, HandlerError, RetryPolicy, Work};
use crate::services::engine::Engine;

/// What is done to the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Power {
    /// Kill it, as `kill -9` does.
    Off,
    /// Start it with the data it left, and wait until it serves.
    On,
}

/// Records that are published together. Servers confirm in groups, some of them five times a second.
const AT_A_TIME: usize = 20;
/// How long an engine may take to notice, and to say so.
const NOTICED_WITHIN: Duration = Duration::from_secs(5);

/// Whatever was published comes, at least once, though the server is killed and started again in the
/// middle; so do retries that wait. Publications fail at once while it is away, and the engine and
/// its consumers go on by themselves.
///
/// # Panics
/// Where a promise is broken.
pub async fn check_crash(
    engine: impl AsyncFn() -> Arc<dyn Engine>,
    mut server: impl AsyncFnMut(Power),
    plan: &Plan,
) {
    let engine = engine().await;
    let topic = Topic::new();
    let group = topic.group("readers", 50);
    drop(open(&*engine, &group).await);
    let seen = Seen::<String>::default();
    let handler = {
        let seen = seen.clone();
        move |work: Work| {
            let seen = seen.clone();
            async move {
                sleep(Duration::from_millis(2)).await;
                // Some wait in the server for their second attempt.
                let fails = work.record.key == "key-0" && work.attempt == 1;
                if fails {
                    return Err(HandlerError::retryable("the first attempt fails"));
                }
                seen.push(work.record.id);
                Ok(())
            }
        }
    };
    let consumer = Consumer::new(engine.clone(), group, handler)
        .concurrency(4)
        .retry(RetryPolicy::attempts(100, plan.pause))
        .breaker(BreakerPolicy::NEVER);
    let running = works(consumer.start().await, "a consumer starts");

    // Whatever an engine makes for the first retry of a group is there before the first crash.
    let first = topic.record(u32::MAX - 1, "key-0");
    works(engine.publish(first).await, "records can be published");
    let came = seen.until(|seen| !seen.is_empty(), plan.patience).await;
    promise!(
        came,
        "a retry comes",
        "it did not within {:?}",
        plan.patience
    );
    sleep(plan.forgets).await;

    let published = Seen::<String>::default();
    let ends = Arc::new(AtomicBool::new(false));
    let publishing = tokio::spawn(publish(
        engine.clone(),
        topic.clone(),
        published.clone(),
        ends.clone(),
    ));
    for _ in 0..2 {
        let some = published.lock().len() + 100;
        let enough = published.until(|published| published.len() >= some, plan.patience);
        promise!(
            enough.await,
            "records can be published",
            "nothing is accepted"
        );
        server(Power::Off).await;
        notices(&*engine, &topic).await;
        server(Power::On).await;
        let back = Instant::now();
        while !engine.is_up() {
            promise!(
                back.elapsed() < plan.patience,
                "an engine connects again by itself",
                "it is still down {:?} after its server is back",
                back.elapsed()
            );
            sleep(Duration::from_millis(20)).await;
        }
    }
    let some = published.lock().len() + 100;
    let enough = published.until(|published| published.len() >= some, plan.patience);
    promise!(
        enough.await,
        "records can be published once the server is back",
        "nothing is accepted"
    );
    ends.store(true, Ordering::Relaxed);
    // An error would be its panic.
    let _ = publishing.await;

    let published = published.lock().clone();
    let covered = |seen: &[String]| {
        let seen = seen.iter().collect::<HashSet<_>>();
        published.iter().all(|id| seen.contains(id))
    };
    let all = seen.until(covered, plan.patience * 2).await;
    let handled = seen.lock().iter().cloned().collect::<HashSet<_>>();
    let lost = published.iter().filter(|id| !handled.contains(*id)).count();
    promise!(
        all,
        "what was published survives the end of the server",
        "{lost} of {} are lost",
        published.len()
    );
    running.stop().await;
    engine.shutdown().await;
}

/// Publishes some records at a time, and those that fail again with the same id.
async fn publish(
    engine: Arc<dyn Engine>,
    topic: Topic,
    published: Seen<String>,
    ends: Arc<AtomicBool>,
) {
    let mut number = 0;
    let mut records = Vec::new();
    while !ends.load(Ordering::Relaxed) {
        while records.len() < AT_A_TIME {
            records.push(topic.record(number, &format!("key-{}", number % 8)));
            number += 1;
        }
        let publishing = records.iter().map(|record| engine.publish(record.clone()));
        let mut failed = Vec::new();
        for (at, publishing) in publishing.collect::<Vec<_>>().into_iter().enumerate() {
            match publishing.await {
                Ok(()) => published.push(records[at].id.clone()),
                Err(_) => failed.push(records[at].clone()),
            }
        }
        records = failed;
        sleep(Duration::from_millis(20)).await;
    }
}

async fn notices(engine: &dyn Engine, topic: &Topic) {
    let killed = Instant::now();
    let refused = loop {
        match engine.publish(topic.record(u32::MAX, "key-1")).await {
            Err(error) => break error,
            Ok(()) => promise!(
                killed.elapsed() < NOTICED_WITHIN,
                "nothing is accepted while the server is away",
                "a record"
            ),
        }
    };
    promise!(
        refused.kind() == BrokerErrorKind::Unavailable && killed.elapsed() < NOTICED_WITHIN,
        "publishing fails at once as unavailable while the server is away",
        "{refused:?} after {:?}",
        killed.elapsed()
    );
    while engine.is_up() {
        promise!(
            killed.elapsed() < NOTICED_WITHIN,
            "an engine whose server is away is not up",
            "it says that it is"
        );
        sleep(Duration::from_millis(10)).await;
    }
}
