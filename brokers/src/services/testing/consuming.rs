//! A consumer on the engine: turns, stopping, poison.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::reading::{Topic, ids, open, publish, sorted, works};
use super::{Plan, promise};
use crate::services::consumer::{BreakerPolicy, Consumer, HandlerError, RetryPolicy, Work};
use crate::services::engine::Engine;

/// What handlers have seen.
#[derive(Clone, Debug)]
pub(super) struct Seen<T>(Arc<Mutex<Vec<T>>>);

impl<T> Default for Seen<T> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<T> Seen<T> {
    pub(super) fn lock(&self) -> MutexGuard<'_, Vec<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn push(&self, thing: T) {
        self.lock().push(thing);
    }

    /// Waits until enough was seen.
    pub(super) async fn until(&self, enough: impl Fn(&[T]) -> bool, patience: Duration) -> bool {
        let deadline = Instant::now() + patience;
        while Instant::now() < deadline {
            if enough(&self.lock()) {
                return true;
            }
            sleep(Duration::from_millis(10)).await;
        }
        false
    }
}

/// Handlers work side by side, but those of one key one after the other and in order.
///
/// # Panics
/// Where a promise is broken.
pub async fn check_turns(engine: impl AsyncFn() -> Arc<dyn Engine>, plan: &Plan) {
    let engine = engine().await;
    let topic = Topic::new();
    let group = topic.group("readers", 64);
    drop(open(&*engine, &group).await);
    let records = topic.records(plan);
    publish(&*engine, &records).await;
    let seen = Seen::<(String, bool)>::default();
    let busy = Arc::new(Mutex::new(HashSet::<String>::new()));
    let most = Seen::<usize>::default();
    let handler = {
        let (seen, busy, most) = (seen.clone(), busy.clone(), most.clone());
        move |work: Work| {
            let (seen, busy, most) = (seen.clone(), busy.clone(), most.clone());
            async move {
                let free = {
                    let mut busy = busy.lock().unwrap_or_else(PoisonError::into_inner);
                    let free = busy.insert(work.record.key.clone());
                    most.push(busy.len());
                    free
                };
                sleep(Duration::from_millis(3)).await;
                seen.push((work.record.id, free));
                busy.lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .remove(&work.record.key);
                Ok::<_, HandlerError>(())
            }
        }
    };
    let consumer = Consumer::new(engine.clone(), group, handler).concurrency(8);
    let running = works(consumer.start().await, "a consumer starts");
    let count = records.len();
    seen.until(|seen| seen.len() >= count, plan.patience).await;
    running.stop().await;
    let seen = seen.lock().clone();
    promise!(
        seen.len() == count && sorted(seen.iter().map(|(id, _)| id.clone())) == ids(&records),
        "a consumer handles every record once",
        "{} of {count}",
        seen.len()
    );
    promise!(
        seen.iter().all(|(_, free)| *free),
        "records of one key are handled one after the other",
        "two at a time"
    );
    let numbers = records.iter().enumerate();
    let numbers = numbers
        .map(|(number, record)| (&*record.id, (number, &*record.key)))
        .collect::<HashMap<_, _>>();
    let mut last = HashMap::new();
    for (id, _) in &seen {
        let (number, key) = numbers[&**id];
        if let Some(before) = last.insert(key, number) {
            promise!(
                before < number,
                "records of one key are handled in order",
                "{number} of {key} after {before}"
            );
        }
    }
    let most = most.lock().iter().copied().max();
    promise!(
        most > Some(1),
        "handlers of different keys work side by side",
        "at most {most:?} at a time"
    );
    engine.shutdown().await;
}

/// A consumer that is stopped in the middle neither loses nor repeats anything.
///
/// # Panics
/// Where a promise is broken.
pub async fn check_stopping(engine: impl AsyncFn() -> Arc<dyn Engine>, plan: &Plan) {
    let topic = Topic::new();
    let group = topic.group("readers", 64);
    let records = topic.records(plan);
    let first = engine().await;
    drop(open(&*first, &group).await);
    publish(&*first, &records).await;
    let seen = Seen::<String>::default();
    let handler = |seen: Seen<String>| {
        move |work: Work| {
            let seen = seen.clone();
            async move {
                sleep(Duration::from_millis(5)).await;
                seen.push(work.record.id);
                Ok::<_, HandlerError>(())
            }
        }
    };
    let count = records.len();
    // Three consumers after each other, each stopped at work, and one that does the rest.
    for part in 1..=4 {
        let engine = engine().await;
        let consumer = Consumer::new(engine.clone(), group.clone(), handler(seen.clone()));
        let running = works(consumer.concurrency(4).start().await, "a consumer starts");
        let enough = count * part / 4;
        let enough = seen.until(|seen| seen.len() >= enough, plan.patience).await;
        promise!(
            enough,
            "a consumer goes on where the one before it was stopped",
            "{} of {count}",
            seen.lock().len()
        );
        running.stop().await;
        drop(engine);
    }
    sleep(plan.quiet).await;
    let handled = seen.lock().clone();
    promise!(
        sorted(handled.clone()) == ids(&records),
        "stopping neither loses nor repeats a record",
        "{} handled of {count}, {} of them different",
        handled.len(),
        handled.iter().collect::<HashSet<_>>().len()
    );
    first.shutdown().await;
}

/// A record whose handler always fails is tried as often as its policy says, after growing pauses,
/// while others are handled; then it is a dead letter with its history. Replayed once the handler is
/// mended, it is handled.
///
/// # Panics
/// Where a promise is broken.
pub async fn check_poison(engine: impl AsyncFn() -> Arc<dyn Engine>, plan: &Plan) {
    let engine = engine().await;
    let topic = Topic::new();
    let group = topic.group("readers", 20);
    drop(open(&*engine, &group).await);
    let records = (0..20).map(|n| topic.record(n, &format!("key-{}", n % 3)));
    let records = records.collect::<Vec<_>>();
    publish(&*engine, &records).await;
    let poison = records[7].id.clone();
    let seen = Seen::<(String, u32, Instant)>::default();
    let mended = Arc::new(AtomicBool::new(false));
    let handler = {
        let (seen, mended, poison) = (seen.clone(), mended.clone(), poison.clone());
        move |work: Work| {
            let (seen, mended) = (seen.clone(), mended.clone());
            let poisonous = work.record.id == poison;
            async move {
                seen.push((work.record.id, work.attempt, Instant::now()));
                if !poisonous || mended.load(Ordering::Relaxed) {
                    return Ok(());
                }
                assert!(work.attempt != 2, "the second time it panics");
                let attempt = work.attempt;
                Err(HandlerError::retryable(format!(
                    "fails in attempt {attempt}"
                )))
            }
        }
    };
    let consumer = Consumer::new(engine.clone(), group.clone(), handler)
        .retry(RetryPolicy::attempts(3, plan.pause))
        .breaker(BreakerPolicy::NEVER);
    let running = works(consumer.start().await, "a consumer starts");
    let of_poison = |seen: &[(String, u32, Instant)]| {
        let seen = seen.iter().filter(|(id, ..)| *id == poison);
        seen.map(|(_, attempt, at)| (*attempt, *at))
            .collect::<Vec<_>>()
    };
    let patience = plan.pause * 3 + plan.lateness * 2 + plan.patience;
    let thrice = |seen: &[_]| seen.len() >= records.len() + 2 && of_poison(seen).len() >= 3;
    seen.until(thrice, patience).await;
    let attempts = of_poison(&seen.lock());
    let numbers = attempts.iter().map(|(attempt, _)| *attempt);
    promise!(
        numbers.clone().eq([1, 2, 3]),
        "a record is tried as often as its policy says",
        "attempts {:?}",
        numbers.collect::<Vec<_>>()
    );
    for (retry, two) in attempts.windows(2).enumerate() {
        let pause = plan.pause * [1, 2][retry];
        let waited = two[1].1 - two[0].1;
        promise!(
            waited >= pause.mul_f64(0.95) && waited <= pause + plan.lateness,
            "pauses between attempts grow as the policy says",
            "{waited:?} instead of {pause:?}"
        );
    }
    let mut dead = works(engine.dead_letters(&group).await, "dead letters can be had");
    let deadline = Instant::now() + plan.patience;
    let listed = loop {
        let listed = works(dead.list(10).await, "dead letters can be listed");
        if !listed.is_empty() || Instant::now() > deadline {
            break listed;
        }
        sleep(Duration::from_millis(50)).await;
    };
    let reasons = listed.first().map(|dead| {
        let failures = dead.failures.iter();
        failures.map(|failure| &*failure.reason).collect::<Vec<_>>()
    });
    let expected = [
        "fails in attempt 1",
        "the handler panicked: the second time it panics",
        "fails in attempt 3",
    ];
    promise!(
        listed.len() == 1 && listed[0].record.id == poison && reasons.as_deref() == Some(&expected),
        "a record that failed too often is a dead letter with the history of its attempts",
        "{listed:?}"
    );
    mended.store(true, Ordering::Relaxed);
    let replayed = works(dead.replay(10).await, "dead letters can be replayed");
    promise!(replayed == 1, "a dead letter can be replayed", "{replayed}");
    seen.until(|seen| of_poison(seen).len() >= 4, plan.patience)
        .await;
    running.stop().await;
    let last = of_poison(&seen.lock()).get(3).map(|(attempt, _)| *attempt);
    promise!(
        last == Some(1),
        "a replayed record is handled as if it had never failed",
        "attempt {last:?}"
    );
    let handled = seen.lock().len();
    promise!(
        handled == records.len() + 3,
        "other records are handled once",
        "{handled} attempts"
    );
    drop(dead);
    engine.shutdown().await;
}
