//! The consumer, on an engine in memory and by a clock that does not have to be waited for.
#![allow(
    clippy::unwrap_used,
    reason = "a test ends where something unexpected comes"
)]

mod memory;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use fanfare_brokers::services::testing::{Plan, check_all};
use fanfare_brokers::services::{
    BreakerPolicy, BreakerState, Consumer, Engine, Handler, HandlerError, Record, RetryPolicy,
    Subscription, Work,
};
use metrics_exporter_prometheus::PrometheusBuilder;
use tokio::time::{Instant, sleep};

use crate::memory::{Flaw, Server};

const SECOND: Duration = Duration::from_secs(1);

fn group() -> Subscription {
    Subscription {
        topic: "orders".to_owned(),
        group: "mailer".to_owned(),
        prefetch: 100,
    }
}

/// A server that keeps records for the group.
async fn server() -> (Server, Arc<dyn Engine>) {
    let server = Server::default();
    let engine = server.connect();
    drop(engine.open(&group()).await.unwrap());
    (server, engine)
}

async fn publish(engine: &Arc<dyn Engine>, key: &str, ids: impl IntoIterator<Item = u32>) {
    for id in ids {
        let record = Record {
            topic: "orders".to_owned(),
            key: key.to_owned(),
            id: id.to_string(),
            payload: Bytes::from_static(b"{}"),
        };
        engine.publish(record).await.unwrap();
    }
}

fn consumer<H: Handler>(engine: &Arc<dyn Engine>, handler: H) -> Consumer<H> {
    Consumer::new(engine.clone(), group(), handler).breaker(BreakerPolicy::NEVER)
}

/// A handler's notes: which record, which attempt, when.
#[derive(Clone, Default)]
struct Notes(Arc<Mutex<Vec<(String, u32, Instant)>>>);

impl Notes {
    fn add(&self, work: &Work) {
        let note = (work.record.id.clone(), work.attempt, Instant::now());
        self.0.lock().unwrap().push(note);
    }

    fn ids(&self) -> Vec<String> {
        let notes = self.0.lock().unwrap();
        notes.iter().map(|(id, ..)| id.clone()).collect()
    }

    /// Attempts of a record, with the seconds between them.
    fn pauses(&self, id: &str) -> Vec<(u32, u64)> {
        let notes = self.0.lock().unwrap();
        let mut before = None;
        let of_it = notes.iter().filter(|(other, ..)| other == id);
        let pauses = of_it.map(|(_, attempt, at)| {
            let since = before
                .replace(*at)
                .map_or(0, |before| (*at - before).as_secs());
            (*attempt, since)
        });
        pauses.collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_engine_of_these_tests_keeps_an_engines_promises() {
    let server = Server::default();
    check_all(async || server.connect(), &brief()).await;
}

fn brief() -> Plan {
    Plan {
        quiet: Duration::from_millis(100),
        pause: Duration::from_millis(200),
        ..Plan::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_kit_finds_broken_promises() {
    let promises = [
        (Flaw::RepeatsDone, "what is done does not come again"),
        (Flaw::LosesDropped, "what was published comes"),
        (
            Flaw::IgnoresPauses,
            "a record that was put off comes when its pause is over",
        ),
        (Flaw::ForgetsFailures, "failures travel with their record"),
        (
            Flaw::IgnoresPrefetch,
            "no more than the prefetch is unsettled",
        ),
        (Flaw::TurnsOrder, "records of a key come in the order"),
        (Flaw::LosesLooked, "dead letters are listed"),
        (
            Flaw::RemembersFailures,
            "a replayed record comes whole, as if it had never failed",
        ),
    ];
    for (flaw, promise) in promises {
        let server = Server::flawed(flaw);
        let plan = Plan {
            patience: SECOND,
            ..brief()
        };
        let checking = tokio::task::spawn_blocking(move || {
            let runtime = tokio::runtime::Runtime::new().unwrap();
            runtime.block_on(check_all(async || server.connect(), &plan));
        });
        let panic = checking.await.unwrap_err().into_panic();
        let said = panic.downcast_ref::<String>().unwrap();
        let expected = format!("broken promise: {promise}");
        assert!(said.starts_with(&expected), "{flaw:?}: {said}");
    }
}

#[tokio::test(start_paused = true)]
async fn retries_grow_up_to_a_minute_and_end_as_dead_letters() {
    let (_, engine) = server().await;
    let notes = Notes::default();
    let handler = {
        let notes = notes.clone();
        move |work: Work| {
            notes.add(&work);
            async { Err::<(), _>(HandlerError::retryable("no")) }
        }
    };
    let policy = RetryPolicy::attempts(9, SECOND);
    let running = consumer(&engine, handler)
        .retry(policy)
        .start()
        .await
        .unwrap();
    publish(&engine, "", [1]).await;
    sleep(SECOND * 300).await;
    let pauses = [0, 1, 2, 4, 8, 16, 32, 60, 60];
    let expected = (1..).zip(pauses).collect::<Vec<_>>();
    assert_eq!(notes.pauses("1"), expected);
    running.stop().await;
    let mut letters = engine.dead_letters(&group()).await.unwrap();
    assert_eq!(letters.list(10).await.unwrap()[0].failures.len(), 9);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_succeed_is_not_tried_again() {
    let (server, engine) = server().await;
    let notes = Notes::default();
    let handler = {
        let notes = notes.clone();
        move |work: Work| {
            notes.add(&work);
            async { Err::<(), _>(HandlerError::permanent("x".repeat(2_000) + "é")) }
        }
    };
    // Not even the breaker minds.
    let consumer = consumer(&engine, handler).breaker(BreakerPolicy::default());
    let running = consumer.start().await.unwrap();
    publish(&engine, "", 1..=20).await;
    sleep(SECOND * 100).await;
    assert_eq!(notes.ids().len(), 20);
    assert_eq!(running.breaker(), BreakerState::Closed);
    running.stop().await;
    let mut letters = engine.dead_letters(&group()).await.unwrap();
    let dead = letters.list(100).await.unwrap();
    assert_eq!(dead.len(), 20);
    assert_eq!(dead[0].failures[0].reason, "x".repeat(1_000));
    assert_eq!(server.waiting(&group()), 0);
}

#[tokio::test(start_paused = true)]
async fn a_panic_is_a_failed_attempt() {
    let (_, engine) = server().await;
    let handler = |work: Work| async move {
        assert!(work.attempt > 1, "attempt {} fails", work.attempt);
        Err::<(), _>(HandlerError::permanent("enough"))
    };
    let running = consumer(&engine, handler).start().await.unwrap();
    publish(&engine, "", [1]).await;
    sleep(SECOND * 10).await;
    running.stop().await;
    let mut letters = engine.dead_letters(&group()).await.unwrap();
    let dead = letters.list(10).await.unwrap();
    let reasons = dead[0].failures.iter().map(|failure| &*failure.reason);
    let expected = ["the handler panicked: attempt 1 fails", "enough"];
    assert!(reasons.eq(expected));
}

#[tokio::test(start_paused = true)]
async fn keys_take_turns_and_slots_are_bounded() {
    let (_, engine) = server().await;
    let (notes, busy) = (Notes::default(), Arc::new(AtomicUsize::new(0)));
    let most = Arc::new(AtomicUsize::new(0));
    let handler = {
        let (notes, busy, most) = (notes.clone(), busy.clone(), most.clone());
        move |work: Work| {
            let (notes, busy, most) = (notes.clone(), busy.clone(), most.clone());
            async move {
                notes.add(&work);
                most.fetch_max(busy.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                sleep(SECOND).await;
                busy.fetch_sub(1, Ordering::SeqCst);
                Ok::<_, HandlerError>(())
            }
        }
    };
    publish(&engine, "a", 1..=3).await;
    publish(&engine, "b", [4]).await;
    publish(&engine, "", 5..=8).await;
    let begun = Instant::now();
    let running = consumer(&engine, handler)
        .concurrency(3)
        .start()
        .await
        .unwrap();
    sleep(SECOND * 10).await;
    running.stop().await;
    assert_eq!(most.load(Ordering::SeqCst), 3);
    let notes = notes.0.lock().unwrap();
    let at = |id: &str| {
        let note = notes.iter().find(|(other, ..)| other == id).unwrap();
        (note.2 - begun).as_secs()
    };
    // Three slots: one goes to the first of `a`, whose others follow when it is done.
    let begun = (1..=8).map(|id| at(&id.to_string())).collect::<Vec<_>>();
    assert_eq!(begun, [0, 1, 2, 0, 0, 1, 1, 2]);
    assert_eq!(notes.len(), 8);
}

#[tokio::test(start_paused = true)]
async fn an_open_breaker_leaves_records_in_the_broker() {
    let (server, engine) = server().await;
    let (notes, works) = (Notes::default(), Arc::new(AtomicBool::new(false)));
    let handler = {
        let (notes, works) = (notes.clone(), works.clone());
        move |work: Work| {
            notes.add(&work);
            let works = works.load(Ordering::SeqCst);
            async move {
                sleep(Duration::from_millis(10)).await;
                works
                    .then_some(())
                    .ok_or_else(|| HandlerError::retryable("down"))
            }
        }
    };
    let policy = BreakerPolicy {
        consecutive: 3,
        pause: SECOND * 60,
        successes: 2,
        ratio: None,
    };
    let consumer = consumer(&engine, handler).breaker(policy).concurrency(1);
    let patient = RetryPolicy {
        most: SECOND * 600,
        ..RetryPolicy::attempts(10, SECOND * 600)
    };
    let consumer = consumer.retry(patient);
    let running = consumer.start().await.unwrap();
    publish(&engine, "", 1..=20).await;
    sleep(SECOND).await;
    assert_eq!(running.breaker(), BreakerState::Open);
    assert_eq!(notes.ids(), ["1", "2", "3"]);
    assert_eq!(
        server.waiting(&group()),
        17,
        "what was in hand is given back"
    );

    // One is tried after the pause, and fails: another pause.
    sleep(SECOND * 60).await;
    assert_eq!(notes.ids(), ["1", "2", "3", "4"]);
    assert_eq!(running.breaker(), BreakerState::Open);
    works.store(true, Ordering::SeqCst);
    sleep(SECOND * 58).await;
    assert_eq!(notes.ids().len(), 4);
    sleep(SECOND * 4).await;
    assert_eq!(running.breaker(), BreakerState::Closed);
    // Those that failed wait for their retry; nobody else has failed.
    let in_order = (1..=20).map(|id| id.to_string()).collect::<Vec<_>>();
    assert_eq!(notes.ids(), in_order);
    assert!(
        notes
            .0
            .lock()
            .unwrap()
            .iter()
            .all(|(_, attempt, _)| *attempt == 1)
    );
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_is_unavailable_is_not_the_records_fault() {
    let (server, engine) = server().await;
    let (notes, works) = (Notes::default(), Arc::new(AtomicBool::new(false)));
    let handler = {
        let (notes, works) = (notes.clone(), works.clone());
        move |work: Work| {
            notes.add(&work);
            let works = works.load(Ordering::SeqCst);
            async move {
                works
                    .then_some(())
                    .ok_or_else(|| HandlerError::unavailable("down"))
            }
        }
    };
    let consumer = consumer(&engine, handler)
        .concurrency(1)
        .retry(RetryPolicy::NEVER);
    let running = consumer.start().await.unwrap();
    publish(&engine, "key", 1..=5).await;
    // Tried at once and every 10 s.
    sleep(SECOND * 35).await;
    assert_eq!(notes.ids(), ["1", "1", "1", "1"]);
    assert_eq!(server.waiting(&group()), 5);
    works.store(true, Ordering::SeqCst);
    sleep(SECOND * 10).await;
    assert_eq!(notes.ids()[4..], ["1", "2", "3", "4", "5"]);
    assert!(
        notes
            .0
            .lock()
            .unwrap()
            .iter()
            .all(|(_, attempt, _)| *attempt == 1)
    );
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn stopping_lets_handlers_finish_and_gives_back_the_rest() {
    let (server, engine) = server().await;
    let notes = Notes::default();
    let handler = {
        let notes = notes.clone();
        move |work: Work| {
            let notes = notes.clone();
            async move {
                sleep(SECOND * 5).await;
                notes.add(&work);
                Ok::<_, HandlerError>(())
            }
        }
    };
    publish(&engine, "", 1..=10).await;
    let running = consumer(&engine, handler)
        .concurrency(4)
        .start()
        .await
        .unwrap();
    sleep(SECOND).await;
    let begun = Instant::now();
    running.stop().await;
    assert_eq!(begun.elapsed(), SECOND * 4);
    assert_eq!(notes.ids().len(), 4);
    assert_eq!(server.waiting(&group()), 6);
}

#[tokio::test(start_paused = true)]
async fn handlers_that_do_not_finish_are_given_up_after_the_grace() {
    let (server, engine) = server().await;
    let handler = |_| std::future::pending::<Result<(), HandlerError>>();
    publish(&engine, "", 1..=3).await;
    let consumer = consumer(&engine, handler).concurrency(2).grace(SECOND * 7);
    let running = consumer.start().await.unwrap();
    sleep(SECOND).await;
    let begun = Instant::now();
    running.stop().await;
    assert_eq!(begun.elapsed(), SECOND * 7);
    assert_eq!(server.waiting(&group()), 3);
}

#[tokio::test(start_paused = true)]
async fn what_could_not_be_settled_comes_again() {
    let (server, engine) = server().await;
    let notes = Notes::default();
    let handler = {
        let notes = notes.clone();
        move |work: Work| {
            notes.add(&work);
            async { Ok::<_, HandlerError>(()) }
        }
    };
    server.deaf(3);
    publish(&engine, "key", [1, 2]).await;
    let running = consumer(&engine, handler)
        .concurrency(1)
        .start()
        .await
        .unwrap();
    sleep(SECOND * 5).await;
    running.stop().await;
    let ids = notes.ids();
    let times = |id: &str| ids.iter().filter(|other| *other == id).count();
    assert_eq!(
        (ids.len(), times("1") >= 1, times("2") >= 1),
        (5, true, true),
        "{ids:?}"
    );
    assert_eq!(server.waiting(&group()), 0);
}

#[tokio::test(start_paused = true)]
async fn everything_is_counted_from_zero() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let handle = recorder.handle();
    let _installed = metrics::set_default_local_recorder(&recorder);
    let series = || {
        let text = handle.render();
        let lines = text
            .lines()
            .filter_map(|line| line.split_once("{topic=\"orders\",group=\"mailer\"} "));
        lines
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect::<BTreeMap<_, _>>()
    };
    let expect = |seen: BTreeMap<String, String>, values: [&str; 6]| {
        let names = [
            "fanfare_consumer_processed_total",
            "fanfare_consumer_failed_total",
            "fanfare_consumer_retried_total",
            "fanfare_consumer_dead_lettered_total",
            "fanfare_consumer_breaker",
            "fanfare_broker_lag",
        ];
        let pairs = names
            .map(str::to_owned)
            .into_iter()
            .zip(values.map(str::to_owned));
        assert_eq!(seen, pairs.collect::<BTreeMap<_, _>>());
    };
    let (_, engine) = server().await;
    let handler = |work: Work| async move {
        match &*work.record.id {
            "1" => Err(HandlerError::retryable("always")),
            "9" => Err(HandlerError::unavailable("away")),
            _ => Ok(()),
        }
    };
    let consumer = consumer(&engine, handler).retry(RetryPolicy::attempts(3, SECOND));
    let running = consumer.concurrency(1).start().await.unwrap();
    expect(series(), ["0", "0", "0", "0", "0", "0"]);
    publish(&engine, "", 1..=5).await;
    sleep(SECOND * 20).await;
    expect(series(), ["4", "3", "2", "1", "0", "0"]);
    publish(&engine, "", [9, 10, 11]).await;
    sleep(SECOND * 6).await;
    expect(series(), ["4", "3", "2", "1", "2", "3"]);
    running.stop().await;
}
