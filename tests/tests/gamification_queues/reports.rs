//! What `gamification-consumers` reports of the queues and of its work.

use std::collections::BTreeMap;

use fanfare_brokers::services::engine_from_url;
use fanfare_test_servers::RabbitMq;
use fanfare_tests::{IN_TIME, SOON, Server, until};
use lapin::types::FieldTable;
use serde_json::Value;

use super::{Backend, consumers_with};

/// The reports so far.
fn reports(consumers: &Server) -> Vec<Value> {
    let lines = consumers.stdout();
    // The last line may be half there.
    let whole = lines.rfind('\n').map_or("", |end| &lines[..end]);
    let lines = whole.lines().filter(|line| line.starts_with('{'));
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// The first report after those before now for which `is_meant` holds.
async fn report(consumers: &Server, what: &str, is_meant: impl Fn(&Value) -> bool) -> Value {
    let before = reports(consumers).len();
    until(what, 2 * IN_TIME, async || {
        let reports = reports(consumers).into_iter().skip(before);
        let mut meant = reports.filter(&is_meant);
        meant.next()
    })
    .await
}

fn is_connected(report: &Value) -> bool {
    report["health"]["rabbitMQ"]["connected"].as_bool().unwrap()
}

/// Messages and consumers of each queue.
fn queues(report: &Value) -> BTreeMap<String, (u64, u64)> {
    let queues = report["health"]["rabbitMQ"]["queues"].as_array().unwrap();
    let queues = queues.iter().map(|queue| {
        assert_eq!(queue.as_object().unwrap().len(), 3);
        let count = |name: &str| queue[name].as_u64().unwrap();
        let name = queue["name"].as_str().unwrap().to_owned();
        (name, (count("messageCount"), count("consumerCount")))
    });
    queues.collect()
}

fn metric(report: &Value, name: &str) -> u64 {
    report["metrics"][name].as_u64().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reports_say_how_the_queues_are_and_what_was_done() {
    const QUESTS: u64 = 1_500;
    const EVENTS: [&str; 5] = [
        "achievement_events",
        "quest_events",
        "reward_events",
        "notification_events",
        "analytics_events",
    ];
    let mut rabbit = RabbitMq::start().await;
    // Declares the queues.
    let engine = engine_from_url(&rabbit.url()).await.unwrap();
    let backend = Backend::connect(&rabbit.url()).await;
    for number in 0..QUESTS {
        backend.complete(&format!("quest-{number}"), "q").await;
    }
    backend.publish("notification.read", "n-1", "{}").await;
    let mut consumers = consumers_with(&rabbit, &["--prefetch", "1", "--report", "1"]).await;

    // Before: the first report comes with the start.
    let first = until("a report", SOON, async || {
        reports(&consumers).into_iter().next()
    })
    .await;
    let members = first.as_object().unwrap().keys().collect::<Vec<_>>();
    assert_eq!(members, ["health", "metrics"]);
    let health = first["health"].as_object().unwrap();
    assert_eq!(health.keys().collect::<Vec<_>>(), ["rabbitMQ"]);
    assert!(is_connected(&first), "{first}");
    let before = queues(&first);
    let names = EVENTS.into_iter().chain(["failed_events"]);
    assert!(
        names.eq(first["health"]["rabbitMQ"]["queues"]
            .as_array()
            .unwrap()
            .iter()
            .map(|queue| queue["name"].as_str().unwrap()))
    );
    let (waiting, readers) = before["quest_events"];
    assert!((QUESTS / 2..=QUESTS).contains(&waiting), "{first}");
    assert_eq!((readers, metric(&first, "queueLength")), (1, waiting));
    assert_eq!(before["notification_events"], (1, 0));
    for empty in ["achievement_events", "analytics_events", "failed_events"] {
        assert_eq!(before[empty], (0, 0), "{empty}");
    }
    assert_eq!(metric(&first, "failedEvents"), 0);
    assert_eq!(metric(&first, "retryCount"), 0);

    // After.
    let done = report(&consumers, "the end of the quests", |report| {
        queues(report)["reward_events"] == (QUESTS, 0)
    })
    .await;
    eprintln!("{first}\n{done}");
    assert_eq!(metric(&done, "publishedEvents"), QUESTS);
    let done = report(&consumers, "a report", |_| true).await;
    assert_eq!(metric(&done, "consumedEvents"), QUESTS);
    assert_eq!(metric(&done, "queueLength"), 0);
    assert_eq!(queues(&done)["quest_events"], (0, 1));
    let times = reports(&consumers);
    let times = times
        .iter()
        .map(|report| report["metrics"]["processingTime"].as_f64().unwrap());
    assert!(
        times.clone().any(|time| time > 0.05) && times.clone().all(|time| time < 1_000.0),
        "{:?}",
        times.collect::<Vec<_>>()
    );
    let idle = report(&consumers, "a report", |_| true).await;
    assert_eq!(idle["metrics"]["processingTime"], 0.0, "nothing was done");

    // What fails: at once, and after two retries.
    backend.publish("quest.completed", "poison", "{}").await;
    let poisoned = report(&consumers, "a failure", |report| {
        queues(report)["failed_events"] == (1, 0) && metric(report, "failedEvents") == 1
    })
    .await;
    assert_eq!(metric(&poisoned, "retryCount"), 0);
    let unbound = backend.channel.queue_unbind(
        "reward_events".into(),
        "gamification".into(),
        "reward.*".into(),
        FieldTable::default(),
    );
    unbound.await.unwrap();
    backend.complete("unrewarded", "q").await;
    let failed = report(&consumers, "a failure", |report| {
        queues(report)["failed_events"] == (2, 0) && metric(report, "failedEvents") == 2
    })
    .await;
    assert_eq!(metric(&failed, "retryCount"), 2);
    assert_eq!(metric(&failed, "consumedEvents"), QUESTS);
    assert_eq!(metric(&failed, "publishedEvents"), QUESTS);

    // While the server is away, and afterwards.
    engine.shutdown().await;
    rabbit.kill().await;
    let away = report(&consumers, "a report of the loss", |report| {
        !is_connected(report)
    })
    .await;
    assert_eq!(queues(&away), BTreeMap::new());
    assert_eq!(away["metrics"]["consumedEvents"], QUESTS);
    let next = report(&consumers, "another", |_| true).await;
    assert!(!is_connected(&next));
    rabbit.start_again().await;
    let back = report(&consumers, "a report of the return", |report| {
        is_connected(report) && queues(report)["quest_events"].1 == 1
    })
    .await;
    assert_eq!(queues(&back)["reward_events"], (QUESTS, 0));
    assert_eq!(queues(&back)["failed_events"], (2, 0));
    let backend = Backend::connect(&rabbit.url()).await;
    backend.complete("after", "q").await;
    let after = report(&consumers, "work", |report| {
        metric(report, "consumedEvents") == QUESTS + 1
    })
    .await;
    assert_eq!(metric(&after, "publishedEvents"), QUESTS + 1);
    // One that hangs is as good as away.
    rabbit.pause();
    report(&consumers, "a report of silence", |report| {
        !is_connected(report) && queues(report).is_empty()
    })
    .await;
    rabbit.resume();
    report(&consumers, "a report of an answer", is_connected).await;

    // Somebody deletes a queue.
    let deleted = backend
        .channel
        .queue_delete("analytics_events".into(), Default::default());
    deleted.await.unwrap();
    let fewer = report(&consumers, "five queues", |report| {
        queues(report).len() == 5
    })
    .await;
    assert!(is_connected(&fewer) && !queues(&fewer).contains_key("analytics_events"));

    consumers.terminate();
    assert_eq!(consumers.exit(SOON).await, Some(0));
}
