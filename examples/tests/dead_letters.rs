//! The command `dead-letters`, against a real server.
#![allow(
    clippy::unwrap_used,
    reason = "a test ends where something unexpected comes"
)]

use std::process::{Command, Output};
use std::time::SystemTime;

use bytes::Bytes;
use fanfare_brokers::services::{Failure, Record, Subscription, engine_from_url};
use fanfare_test_servers::{Kafka, Nats, RabbitMq};

fn run(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dead-letters"));
    command.env_remove("FANFARE_BROKER").args(arguments);
    command.output().unwrap()
}

/// Exit code 2 and one line on standard error.
fn refusal(arguments: &[&str]) -> String {
    let output = run(arguments);
    assert_eq!(output.status.code(), Some(2));
    assert!(output.stdout.is_empty());
    let line = String::from_utf8(output.stderr).unwrap();
    assert_eq!(line.lines().count(), 1, "{line}");
    line.strip_prefix("error: ").unwrap().trim_end().to_owned()
}

#[test]
fn errors_are_one_sentence() {
    let of = |broker| ["list", "--broker", broker, "--topic", "t", "--group", "g"];
    assert_eq!(refusal(&[]), "say `list` or `replay`, or --help");
    let missing = refusal(&["list", "--broker", "amqp://127.0.0.1"]);
    assert!(
        missing.contains("--topic <TOPIC> --group <GROUP>"),
        "{missing}"
    );
    let unknown = refusal(&of("redis://127.0.0.1"));
    assert!(
        unknown.starts_with("a broker's URL begins with"),
        "{unknown}"
    );
    let away = refusal(&of("amqp://guest:secret@127.0.0.1:1/%2f"));
    assert!(
        away.starts_with("cannot connect to RabbitMQ at 127.0.0.1:1"),
        "{away}"
    );
    assert!(!away.contains("secret"), "{away}");
    let odd = refusal(&of("amqp://127.0.0.1/%2f?queues=lazy"));
    assert_eq!(odd, "queues are classic or quorum");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_rabbitmq_they_are_listed_and_replayed() {
    let server = RabbitMq::start().await;
    they_are_listed_and_replayed(&server.url(), "quest.*").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_nats_they_are_listed_and_replayed() {
    let server = Nats::start().await;
    they_are_listed_and_replayed(&server.url(), "quest.completed").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_kafka_they_are_listed_and_replayed() {
    let server = Kafka::start().await;
    they_are_listed_and_replayed(&server.url(), "quest.completed").await;
}

async fn they_are_listed_and_replayed(url: &str, topic: &str) {
    let engine = engine_from_url(url).await.unwrap();
    let group = Subscription {
        topic: topic.to_owned(),
        group: "quest_events".to_owned(),
        prefetch: 10,
    };
    let mut source = engine.open(&group).await.unwrap();
    for number in 1..=3 {
        let record = Record {
            topic: "quest.completed".to_owned(),
            key: "user-456".to_owned(),
            id: format!("quest-{number}"),
            payload: Bytes::from_static(b"{\"points\":100}"),
        };
        engine.publish(record).await.unwrap();
        let failure = Failure {
            at: SystemTime::now(),
            reason: "the ledger is closed".to_owned(),
        };
        let delivery = source.next().await.unwrap();
        delivery.settle.give_up(failure).await.unwrap();
    }
    let run = |command, limit| {
        let broker = ["--broker", url, "--limit", limit];
        let whose = ["--topic", topic, "--group", "quest_events"];
        let output = run(&[&[command][..], &broker, &whose].concat());
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let listed = run("list", "100");
    let first = listed.lines().take(3).collect::<Vec<_>>();
    assert_eq!(first[0], "quest-1 quest.completed key user-456");
    assert!(first[1].starts_with("  1. 20"), "{listed}");
    assert!(first[1].ends_with(" the ledger is closed"), "{listed}");
    assert_eq!(first[2], r#"  {"points":100}"#);
    assert!(listed.ends_with("3 dead letters of group quest_events\n"));
    assert_eq!(
        run("replay", "1"),
        "1 dead letter given back to group quest_events\n"
    );
    assert_eq!(
        run("replay", "100"),
        "2 dead letters given back to group quest_events\n"
    );
    assert_eq!(run("list", "100"), "0 dead letters of group quest_events\n");
    for number in 1..=3 {
        let delivery = source.next().await.unwrap();
        assert_eq!(delivery.record.id, format!("quest-{number}"));
        assert!(delivery.failures.is_empty());
        delivery.settle.done().await.unwrap();
    }
}
