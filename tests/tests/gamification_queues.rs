//! From a quest in RabbitMQ to its reward on a user's screen.

#![allow(clippy::unwrap_used, reason = "what a test cannot unwrap, it fails by")]

#[path = "gamification_queues/reports.rs"]
mod reports;

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use fanfare_brokers::services::{Dead, Engine, Subscription, engine_from_url};
use fanfare_test_servers::RabbitMq;
use fanfare_tests::server::binary;
use fanfare_tests::{Client, EventStream, IN_TIME, Launch, Request, SOON, Server, Token, until};
use lapin::options::{
    BasicGetOptions, BasicNackOptions, BasicPublishOptions, ConfirmSelectOptions,
};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties};
use serde_json::{Value, json};
use tokio::time::timeout;

const USER: &str = "user-456";
const OWN: &str = "user.user-456";

/// A backend that knows nothing of this project.
struct Backend {
    channel: Channel,
    _connection: Connection,
}

impl Backend {
    async fn connect(url: &str) -> Self {
        let connection = Connection::connect(url, ConnectionProperties::default());
        let connection = Box::pin(connection).await.unwrap();
        let channel = connection.create_channel().await.unwrap();
        channel
            .confirm_select(ConfirmSelectOptions::default())
            .await
            .unwrap();
        Self {
            channel,
            _connection: connection,
        }
    }

    /// Publishes to the exchange, and waits for the confirmation.
    async fn publish(&self, routing_key: &str, id: &str, payload: &str) {
        let properties = BasicProperties::default()
            .with_message_id(id.into())
            .with_delivery_mode(2);
        let published = self.channel.basic_publish(
            "gamification".into(),
            routing_key.into(),
            BasicPublishOptions::default(),
            payload.as_bytes(),
            properties,
        );
        published.await.unwrap().await.unwrap();
    }

    async fn complete(&self, id: &str, quest: &str) {
        let envelope = json!({
            "type": "quest.completed",
            "data": {"questId": quest, "userId": USER, "name": "A quest", "progress": 100},
        });
        self.publish("quest.completed", id, &envelope.to_string())
            .await;
    }

    /// The routing key of the oldest dead letter, which stays.
    async fn dead_letter_key(&self) -> Option<String> {
        let get = self
            .channel
            .basic_get("failed_events".into(), BasicGetOptions::default());
        let message = get.await.unwrap()?;
        let requeue = BasicNackOptions {
            requeue: true,
            ..BasicNackOptions::default()
        };
        message.acker.nack(requeue).await.unwrap();
        Some(message.delivery.routing_key.to_string())
    }
}

async fn consumers(rabbit: &RabbitMq) -> Server {
    consumers_with(rabbit, &[]).await
}

async fn consumers_with(rabbit: &RabbitMq, more: &[&str]) -> Server {
    let launch = Launch::program("gamification-consumers")
        .argument("--broker")
        .argument(rabbit.url());
    let launch = more.iter().fold(launch, Launch::argument);
    launch.start_until("reading quest_events").await
}

fn queue(name: &str) -> Subscription {
    Subscription {
        topic: name.to_owned(),
        group: name.to_owned(),
        prefetch: 100,
    }
}

/// The dead letters of quests, once there are so many.
async fn dead(engine: &Arc<dyn Engine>, count: usize) -> Vec<Dead> {
    let mut letters = engine.dead_letters(&queue("quest_events")).await.unwrap();
    until("dead letters", IN_TIME, async || {
        let dead = letters.list(100).await.unwrap();
        (dead.len() >= count).then_some(dead)
    })
    .await
}

fn replay(rabbit: &RabbitMq) -> String {
    let output = Command::new(binary("dead-letters"))
        .args([
            "replay",
            "--topic",
            "quest_events",
            "--group",
            "quest_events",
        ])
        .args(["--broker", &rabbit.url()])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Reads `reward_events` until it has been silent for `pause`.
async fn rewards(engine: &Arc<dyn Engine>, pause: Duration) -> Vec<(String, Value)> {
    let mut source = engine.open(&queue("reward_events")).await.unwrap();
    let mut rewards = Vec::new();
    while let Ok(delivery) = timeout(pause, source.next()).await {
        let delivery = delivery.unwrap();
        let envelope = serde_json::from_slice(&delivery.record.payload).unwrap();
        rewards.push((delivery.record.id.clone(), envelope));
        delivery.settle.done().await.unwrap();
    }
    rewards
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_completed_quest_in_a_queue_becomes_a_reward_on_the_users_screen() {
    let rabbit = RabbitMq::start().await;
    let mut server = Launch::of("gamification")
        .argument("--broker")
        .argument(rabbit.url())
        .argument("--ingest")
        .argument("reward_events")
        .argument("--ingest")
        .argument("notification_events")
        .start()
        .await;
    let mut consumers = consumers(&rabbit).await;
    let backend = Backend::connect(&rabbit.url()).await;
    let token = Token::of(USER);
    let client = Client::subscribed(&server, &token, OWN).await;
    let stream = Request::get(server.address(), &format!("/sse?channel={OWN}"));
    let mut stream = EventStream::open(stream.token(&token)).await;

    backend.complete("quest-event-1", "quest-1").await;
    let pushes = client.pushes(1, IN_TIME).await;
    let reward = pushes[0].json();
    assert_eq!(reward["type"], "reward.created", "{reward}");
    assert_eq!(reward["data"]["userId"], USER);
    assert_eq!(reward["data"]["name"], "A quest");
    assert_eq!(reward["data"]["metadata"]["questId"], "quest-1");
    assert_eq!(reward["metadata"]["correlationId"], "quest-event-1");
    let message = stream.message().await;
    assert_eq!(
        message.data.as_deref(),
        Some(pushes[0].publication.data.get())
    );

    // A quest that is told twice is rewarded with the same id, another with another.
    backend.complete("quest-event-1", "quest-1").await;
    let pushes = client.pushes(2, IN_TIME).await;
    assert_eq!(
        pushes[1].json()["data"]["rewardId"],
        reward["data"]["rewardId"]
    );
    backend.complete("quest-event-2", "quest-1").await;
    let pushes = client.pushes(3, IN_TIME).await;
    assert_ne!(
        pushes[2].json()["data"]["rewardId"],
        reward["data"]["rewardId"]
    );

    // What any backend writes to a queue that is read reaches its user; a server's own does not twice.
    let claimed = |id: &str| {
        let data =
            json!({"rewardId": id, "userId": USER, "name": "n", "type": "points", "value": 1});
        json!({"type": "reward.claimed", "data": data}).to_string()
    };
    backend
        .publish("reward.claimed", "fanfare:1", &claimed("own"))
        .await;
    backend
        .publish("reward.claimed", "foreign", &claimed("foreign"))
        .await;
    let pushes = client.pushes(4, IN_TIME).await;
    assert_eq!(pushes[3].json()["data"]["rewardId"], "foreign");
    let notification = json!({"type": "notification.created", "data": {
        "notificationId": "n-1", "userId": USER, "title": "t", "message": "m", "type": "info",
    }});
    backend
        .publish("notification.created", "n-1", &notification.to_string())
        .await;
    let pushes = client.pushes(5, IN_TIME).await;
    assert_eq!(pushes[4].json()["data"], notification["data"]);

    // Its own event comes once, though it is of a kind that is read.
    let published = server
        .publish(&serde_json::from_str(&claimed("posted")).unwrap())
        .await;
    assert_eq!(published[0].channel.as_deref(), Some(OWN));
    let pushes = client.pushes(6, IN_TIME).await;
    assert_eq!(pushes[5].json()["data"]["rewardId"], "posted");
    backend
        .publish("reward.claimed", "last", &claimed("last"))
        .await;
    let pushes = client.pushes(7, IN_TIME).await;
    assert_eq!(pushes[6].json()["data"]["rewardId"], "last");
    assert_eq!(pushes.len(), 7);

    // What is posted goes to the queues too, so that its reward follows; and round and round goes nothing.
    let quest = json!({"type": "quest.completed", "data": {"questId": "quest-9", "userId": USER}});
    server.publish(&quest).await;
    let pushes = client.pushes(9, IN_TIME).await;
    assert_eq!(pushes[7].json()["type"], "quest.completed");
    assert_eq!(pushes[8].json()["type"], "reward.created");
    assert_eq!(pushes[8].json()["data"]["metadata"]["questId"], "quest-9");
    let analytics = json!({"type": "analytics.event_tracked", "data": {
        "analyticsId": "a", "userId": USER, "type": "t", "category": "c", "event": "e",
    }});
    assert_eq!(server.publish(&analytics).await[0].channel, None);
    backend
        .publish("reward.claimed", "end", &claimed("end"))
        .await;
    let pushes = client.pushes(10, IN_TIME).await;
    assert_eq!(pushes[9].json()["data"]["rewardId"], "end");
    let engine = engine_from_url(&rabbit.url()).await.unwrap();
    let mut source = engine.open(&queue("analytics_events")).await.unwrap();
    let delivery = timeout(IN_TIME, source.next()).await.unwrap().unwrap();
    assert!(delivery.record.id.starts_with("fanfare:"), "{delivery:?}");
    assert_eq!(delivery.record.topic, "analytics.event_tracked");
    delivery.settle.done().await.unwrap();

    consumers.terminate();
    assert_eq!(
        consumers.exit(SOON).await,
        Some(0),
        "{}",
        consumers.stderr()
    );
    server.terminate();
    assert_eq!(server.exit(IN_TIME).await, Some(0), "{}", server.stderr());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_fails_is_tried_three_times_and_replayed_when_it_can_be_worked_off() {
    let rabbit = RabbitMq::start().await;
    let _consumers = consumers(&rabbit).await;
    let backend = Backend::connect(&rabbit.url()).await;
    let engine = engine_from_url(&rabbit.url()).await.unwrap();
    let unbound = backend.channel.queue_unbind(
        "reward_events".into(),
        "gamification".into(),
        "reward.*".into(),
        FieldTable::default(),
    );
    unbound.await.unwrap();
    backend.complete("quest-event-1", "quest-1").await;
    let letters = dead(&engine, 1).await;
    assert_eq!(letters[0].record.id, "quest-event-1");
    let failures = &letters[0].failures;
    assert_eq!(failures.len(), 3, "{failures:?}");
    let pauses = failures
        .windows(2)
        .map(|two| two[1].at.duration_since(two[0].at).unwrap());
    let pauses = pauses.map(|pause| pause.as_secs_f64()).collect::<Vec<_>>();
    for (pause, least) in pauses.iter().zip([1.0, 2.0]) {
        assert!((least - 0.01..least + 2.0).contains(pause), "{pauses:?}");
    }
    eprintln!("pauses {pauses:?}");
    assert_eq!(
        backend.dead_letter_key().await.as_deref(),
        Some("error.quest")
    );

    let bound = backend.channel.queue_bind(
        "reward_events".into(),
        "gamification".into(),
        "reward.*".into(),
        Default::default(),
        FieldTable::default(),
    );
    bound.await.unwrap();
    assert_eq!(
        replay(&rabbit),
        "1 dead letter given back to group quest_events\n"
    );
    let rewards = rewards(&engine, Duration::from_secs(2)).await;
    assert_eq!(rewards.len(), 1, "{rewards:?}");
    assert_eq!(rewards[0].1["metadata"]["correlationId"], "quest-event-1");
    assert_eq!(backend.dead_letter_key().await, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_no_try_can_help_is_a_dead_letter_at_once_and_says_why() {
    let rabbit = RabbitMq::start().await;
    let mut consumers = consumers(&rabbit).await;
    let backend = Backend::connect(&rabbit.url()).await;
    let engine = engine_from_url(&rabbit.url()).await.unwrap();
    let poison = [
        ("none", "not JSON", "not JSON"),
        ("array", "[]", "one envelope"),
        (
            "wrong",
            r#"{"type":"quest.completed","data":{"userId":"a.b","questId":"q"}}"#,
            "data.userId: ",
        ),
        (
            "missing",
            r#"{"type":"quest.completed","data":{}}"#,
            "data.questId: is missing",
        ),
        ("unknown", r#"{"type":"quest.begun","data":{}}"#, "type: "),
    ];
    for (id, payload, _) in poison {
        backend.publish("quest.completed", id, payload).await;
    }
    // What needs no reward is done with.
    for (id, data) in [
        ("nobody", r#""questId":"q""#),
        ("null", r#""questId":"q","name":"n""#),
    ] {
        let payload = format!(r#"{{"type":"quest.completed","data":{{{data}}}}}"#);
        backend.publish("quest.completed", id, &payload).await;
    }
    let started = r#"{"type":"quest.started","data":{"questId":"q","userId":"user-456"}}"#;
    backend.publish("quest.started", "started", started).await;
    for round in ["first", "replayed"] {
        let letters = dead(&engine, poison.len()).await;
        let letters = letters.iter().map(|dead| (&*dead.record.id, dead));
        let letters = letters.collect::<BTreeMap<_, _>>();
        assert_eq!(letters.len(), poison.len(), "{round}");
        for (id, payload, reason) in poison {
            let Dead { record, failures } = letters[id];
            assert_eq!(record.payload, payload, "{round}");
            assert_eq!(failures.len(), 1, "{round}: no second try: {failures:?}");
            assert!(failures[0].reason.contains(reason), "{round}: {failures:?}");
        }
        assert_eq!(
            backend.dead_letter_key().await.as_deref(),
            Some("error.quest")
        );
        if round == "first" {
            assert_eq!(
                replay(&rabbit),
                "5 dead letters given back to group quest_events\n"
            );
        }
    }
    consumers.terminate();
    assert_eq!(consumers.exit(SOON).await, Some(0));
    assert!(rewards(&engine, Duration::from_secs(1)).await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consumer_that_is_killed_in_the_middle_neither_loses_nor_doubles_a_reward() {
    const QUESTS: usize = 2_000;
    let rabbit = RabbitMq::start().await;
    let backend = Backend::connect(&rabbit.url()).await;
    let engine = engine_from_url(&rabbit.url()).await.unwrap();
    for number in 0..QUESTS {
        backend
            .complete(&format!("quest-event-{number}"), "quest-1")
            .await;
    }
    let waiting = async |queue_name: &str| {
        let declared = backend.channel.queue_declare(
            queue_name.into(),
            lapin::options::QueueDeclareOptions {
                passive: true,
                ..Default::default()
            },
            FieldTable::default(),
        );
        declared.await.unwrap().message_count()
    };
    for share in [4, 2] {
        let mut consumers = consumers(&rabbit).await;
        let enough = u32::try_from(QUESTS / share).unwrap();
        until("some rewards", IN_TIME, async || {
            (waiting("reward_events").await >= enough).then_some(())
        })
        .await;
        consumers.kill();
        assert_eq!(consumers.exit(SOON).await, None);
        let left = waiting("quest_events").await;
        eprintln!(
            "killed with {} rewards written, {left} quests ready",
            waiting("reward_events").await
        );
    }
    let mut consumers = consumers(&rabbit).await;
    let rewards = rewards(&engine, Duration::from_secs(3)).await;
    consumers.terminate();
    assert_eq!(consumers.exit(SOON).await, Some(0));
    assert_eq!(waiting("quest_events").await, 0, "all are worked off");
    let mut of_quest = BTreeMap::<&str, BTreeSet<(&str, &str)>>::new();
    for (record, reward) in &rewards {
        let quest = reward["metadata"]["correlationId"].as_str().unwrap();
        let id = reward["data"]["rewardId"].as_str().unwrap();
        of_quest.entry(quest).or_default().insert((record, id));
    }
    eprintln!(
        "{} rewards for {QUESTS} quests, {} copies",
        rewards.len(),
        rewards.len() - QUESTS
    );
    assert_eq!(of_quest.len(), QUESTS, "a reward for each");
    assert!(of_quest.values().all(|ids| ids.len() == 1), "and one id");
    let ids = of_quest.values().flatten().collect::<BTreeSet<_>>();
    assert_eq!(ids.len(), QUESTS, "of its own");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_missing_is_said_in_one_sentence() {
    let refusal = async |launch: Launch| {
        let mut program = launch.refusal().await;
        assert_eq!(program.exit(SOON).await, Some(2));
        let stderr = program.stderr();
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
        stderr
    };
    let consumers = |broker: &str| {
        Launch::program("gamification-consumers")
            .argument("--broker")
            .argument(broker)
    };
    let other = refusal(consumers("kafka://127.0.0.1:1")).await;
    assert!(other.contains("RabbitMQ"), "{other}");
    let away = refusal(consumers("amqp://guest:secret@127.0.0.1:1/%2f")).await;
    assert!(
        away.contains("127.0.0.1:1") && !away.contains("secret"),
        "{away}"
    );
    let missing = refusal(Launch::program("gamification-consumers")).await;
    assert!(missing.contains("--broker <URL>"), "{missing}");
    let endless = consumers("amqp://127.0.0.1:1").argument("--report");
    let endless = refusal(endless.argument("0")).await;
    assert!(endless.contains("--report"), "{endless}");
    let alone = Launch::of("gamification")
        .argument("--ingest")
        .argument("reward_events");
    let alone = refusal(alone).await;
    assert!(alone.contains("--ingest needs"), "{alone}");
}
