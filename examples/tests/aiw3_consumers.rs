//! AIW3's backend services, as a process of their own, against a real Kafka.
#![allow(
    clippy::unwrap_used,
    reason = "a test ends where something unexpected comes"
)]

#[path = "aiw3_consumers/program.rs"]
mod program;
#[path = "aiw3_consumers/round_trip.rs"]
mod round_trip;

use std::collections::BTreeSet;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use fanfare::config::Limits;
use fanfare_brokers::services::kafka::Kafka;
use fanfare_brokers::services::{Engine, Record, Subscription};
use fanfare_examples::aiw3::Aiw3;
use fanfare_examples::aiw3::consumers::{ANALYTICS_GROUP, AUDIT_GROUP, NOTIFICATIONS_GROUP};
use fanfare_examples::aiw3::topics::{self, ANALYTICS, NOTIFICATIONS, OPERATIONS};
use fanfare_examples::platform::Platform;
use fanfare_test_servers::Kafka as Server;
use http_body_util::{BodyExt, Empty};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::sleep;

use self::program::{Program, ids, trail, until};

const FIXTURES: &str = include_str!("../fixtures/aiw3.jsonl");

/// The records that a node writes of an envelope.
fn records(line: &str) -> Vec<Record> {
    let admitted = Aiw3::catalog().read_from_server(line.as_bytes(), &Limits::default());
    let event = admitted.unwrap().remove(0).events.remove(0);
    let services = event.services().unwrap();
    let topics = services.topics.iter();
    let record = |topic: &&str| Record {
        topic: (*topic).to_owned(),
        key: event.channel().to_string(),
        id: services.id.clone(),
        payload: services
            .payload
            .clone()
            .unwrap_or_else(|| event.payload().clone()),
    };
    topics.map(record).collect()
}

fn minted(number: u64) -> Record {
    let payload = json!({"eventType": "nft_minted", "userId": "7", "data": {"number": number}});
    Record {
        topic: OPERATIONS.to_owned(),
        key: format!("user.{}", number % 5),
        id: format!("mint-{number:04}"),
        payload: payload.to_string().into(),
    }
}

async fn engine(url: &str) -> Arc<dyn Engine> {
    Arc::new(Kafka::connect_with(url, topics::topics()).await.unwrap())
}

async fn dead_letters(engine: &dyn Engine, topic: &str, group: &str) -> Vec<Record> {
    let subscription = Subscription {
        topic: topic.to_owned(),
        group: group.to_owned(),
        prefetch: 1,
    };
    let mut letters = engine.dead_letters(&subscription).await.unwrap();
    let dead = letters.list(10).await.unwrap();
    dead.into_iter().map(|dead| dead.record).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn records_reach_their_groups_once_and_poison_becomes_dead_letters() {
    let kafka = Server::start().await;
    let engine = engine(&kafka.url()).await;
    let folder = TempDir::new().unwrap();
    let audit = folder.path().join("audit.jsonl");
    let mut consumers = Program::consumers(&kafka.url(), &audit, &[]).await;
    let records = FIXTURES.lines().flat_map(records).collect::<Vec<_>>();
    let of = |topic: &str| {
        let records = records.iter().filter(|record| record.topic == topic);
        records
            .map(|record| record.id.clone())
            .collect::<BTreeSet<_>>()
    };
    let (counted, notified, kept) = (of(ANALYTICS), of(NOTIFICATIONS), of(OPERATIONS));
    assert_eq!((counted.len(), notified.len(), kept.len()), (6, 2, 26));
    // Each twice, as after a loss of connection, with poison in between.
    for copy in 0..2 {
        for record in &records {
            engine.publish(record.clone()).await.unwrap();
        }
        for topic in [ANALYTICS, NOTIFICATIONS, OPERATIONS] {
            let poison = Record {
                topic: topic.to_owned(),
                key: "user.12345".to_owned(),
                id: format!("poison-{copy}"),
                payload: Bytes::from_static(b"no envelope"),
            };
            if copy == 0 {
                engine.publish(poison).await.unwrap();
            }
        }
    }
    let groups = [
        (ANALYTICS, ANALYTICS_GROUP),
        (NOTIFICATIONS, NOTIFICATIONS_GROUP),
        (OPERATIONS, AUDIT_GROUP),
    ];
    for (topic, group) in groups {
        let dead = until(group, async || {
            let dead = dead_letters(&*engine, topic, group).await;
            (!dead.is_empty()).then_some(dead)
        });
        let dead = dead.await;
        assert_eq!(dead.len(), 1, "{dead:?}");
        assert_eq!(
            (&*dead[0].id, &dead[0].payload[..]),
            ("poison-0", &b"no envelope"[..])
        );
    }
    until("every record", async || {
        let is_counted = consumers
            .said("analytics")
            .last()
            .is_some_and(|counts| counts["users"]["12345"] == 6);
        let is_done =
            is_counted && trail(&audit).len() >= 26 && consumers.said("notification").len() >= 2;
        is_done.then_some(())
    })
    .await;
    assert_eq!(consumers.stop().await, Some(0));

    let counts = consumers.said("analytics").pop().unwrap();
    let expected = json!({
        "events": {
            "nft_unlocked": 2, "nft_minted": 1, "nft_burned": 1, "volume_milestone_reached": 1,
            "tier_qualification_changed": 1
        },
        "users": {"12345": 6}
    });
    assert_eq!(counts, expected);
    let notifications = consumers.said("notification");
    let told = notifications
        .iter()
        .map(|told| told["id"].as_str().unwrap().to_owned());
    let expected = notified.iter().map(|id| format!("notification_{id}"));
    assert_eq!(told.collect::<Vec<_>>().len(), 2);
    assert_eq!(
        notifications
            .iter()
            .map(|told| told["id"].as_str().unwrap().to_owned())
            .collect::<BTreeSet<_>>(),
        expected.collect()
    );
    for told in &notifications {
        assert_eq!(told["title"], "Badge Earned!");
        assert_eq!(told["message"], "You've earned the \"First Trade\" badge!");
        assert_eq!(told["userId"], "12345");
    }
    let trail = trail(&audit);
    assert_eq!(trail.len(), 26, "each once");
    assert_eq!(ids(&trail).into_iter().collect::<BTreeSet<_>>(), kept);
    for line in &trail {
        assert_eq!(line["topic"], OPERATIONS);
        let id = line["event"]
            .get("messageId")
            .or_else(|| line["event"].get("eventId"));
        assert_eq!(id.unwrap(), &line["id"], "the envelope as it was");
    }
    engine.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_audit_trail_loses_and_repeats_nothing_across_crashes_and_restarts() {
    const RECORDS: u64 = 600;
    let kafka = Server::start().await;
    let engine = engine(&kafka.url()).await;
    let folder = TempDir::new().unwrap();
    let audit = folder.path().join("audit.jsonl");
    let publishing = tokio::spawn(async move {
        for number in 0..RECORDS {
            engine.publish(minted(number)).await.unwrap();
            sleep(Duration::from_millis(10)).await;
        }
        engine.shutdown().await;
    });
    let url = kafka.url();
    // Two crashes and a restart in order while records come in.
    for (crash, written) in [(true, 50), (true, 200), (false, 350)] {
        let mut consumers = Program::consumers(&url, &audit, &[]).await;
        until("some records", async || {
            (trail(&audit).len() >= written).then_some(())
        })
        .await;
        if crash {
            consumers.signal("-KILL");
            consumers.child.wait().unwrap();
        } else {
            assert_eq!(consumers.stop().await, Some(0));
        }
    }
    let mut consumers = Program::consumers(&url, &audit, &[]).await;
    until("every record", async || {
        (trail(&audit).len() as u64 >= RECORDS).then_some(())
    })
    .await;
    publishing.await.unwrap();
    // What was redelivered had time to be written a second time.
    sleep(Duration::from_secs(2)).await;
    assert_eq!(consumers.stop().await, Some(0));
    let mut found = ids(&trail(&audit));
    assert_eq!(found.len() as u64, RECORDS, "each once");
    found.sort();
    let expected = (0..RECORDS).map(|number| format!("mint-{number:04}"));
    assert_eq!(found, expected.collect::<Vec<_>>());
}

async fn history(address: &str) -> Vec<Value> {
    let client = Client::builder(TokioExecutor::new()).build_http::<Empty<Bytes>>();
    let request = http::Request::get(format!("{address}/channels/user.12345/history?limit=100"))
        .header("authorization", "Bearer k")
        .body(Empty::new())
        .unwrap();
    let Ok(response) = client.request(request).await else {
        return Vec::new();
    };
    let body = response.into_body().collect().await.unwrap().to_bytes();
    let history = serde_json::from_slice::<Value>(&body).unwrap();
    let events = history["events"].as_array().unwrap().iter();
    events.map(|event| event["data"].clone()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn notifications_reach_the_user_through_the_server_also_when_it_was_away() {
    let kafka = Server::start().await;
    let engine = engine(&kafka.url()).await;
    let folder = TempDir::new().unwrap();
    let audit = folder.path().join("audit.jsonl");
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let address = format!("http://127.0.0.1:{port}");
    let to_server = ["--server", &address, "--api-key", "k"];
    let mut consumers = Program::consumers(&kafka.url(), &audit, &to_server).await;
    let badges = FIXTURES
        .lines()
        .flat_map(records)
        .filter(|record| record.topic == NOTIFICATIONS);
    let badges = badges.collect::<Vec<_>>();
    for record in &badges {
        engine.publish(record.clone()).await.unwrap();
    }
    // Long enough for a try that fails.
    sleep(Duration::from_secs(3)).await;
    let listen = format!("127.0.0.1:{port}");
    let arguments = ["--listen", &*listen, "--api-key", "k", "--jwt-secret", "s"];
    let mut server = Program::start(env!("CARGO_BIN_EXE_aiw3"), &arguments);
    server.line("listening on ").await;
    let told = until("the notifications", async || {
        let told = history(&address).await;
        (told.len() >= badges.len()).then_some(told)
    })
    .await;
    assert_eq!(told.len(), 2);
    for (told, record) in told.iter().zip(&badges) {
        assert_eq!(told["eventType"], "chat_message");
        assert_eq!(told["data"]["title"], "Badge Earned!");
        let ids = badges
            .iter()
            .map(|record| format!("notification_{}", record.id));
        assert!(
            ids.into_iter().any(|id| told["messageId"] == id),
            "{told} {}",
            record.id
        );
    }
    assert_eq!(
        dead_letters(&*engine, NOTIFICATIONS, NOTIFICATIONS_GROUP).await,
        []
    );
    assert_eq!(consumers.stop().await, Some(0));
    assert_eq!(server.stop().await, Some(0));
    engine.shutdown().await;
}

#[test]
fn errors_are_one_sentence() {
    let refusal = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_aiw3-consumers"));
        command
            .env_remove("FANFARE_TOPICS")
            .env_remove("FANFARE_API_KEY");
        let output = command.args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        assert!(output.stdout.is_empty());
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(text.lines().count(), 1, "{text}");
        text.strip_prefix("error: ").unwrap().trim_end().to_owned()
    };
    let folder = TempDir::new().unwrap();
    let audit = folder.path().join("audit.jsonl");
    let audit = audit.to_str().unwrap();
    let away = ["--broker", "kafka://127.0.0.1:1", "--audit", audit];
    assert!(refusal(&away).contains("127.0.0.1:1"), "{}", refusal(&away));
    let unknown = refusal(&["--broker", "redis://127.0.0.1", "--audit", audit]);
    assert!(unknown.contains("a broker's URL begins with"), "{unknown}");
    let https = ["--server", "https://a.example", "--api-key", "k"];
    let https = refusal(&[&away[..], &https[..]].concat());
    assert!(
        https.starts_with("--server: ") && https.contains("http://HOST:PORT"),
        "{https}"
    );
    let nowhere = refusal(&[
        "--broker",
        "kafka://127.0.0.1:1",
        "--audit",
        "/nowhere/at/all",
    ]);
    assert!(
        nowhere.starts_with("cannot keep /nowhere/at/all: "),
        "{nowhere}"
    );
}
