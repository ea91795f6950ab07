//! What `/metrics` counts.

use std::time::Duration;

use fanfare_test_servers::Nats;
use fanfare_tests::mechamap::{comment, idle_comment, urgent_comment};
use fanfare_tests::token::from_now;
use fanfare_tests::{Client, Launch, SOON, Server, Token, until};
use serde_json::json;

const TRANSPORTS: [&str; 4] = ["websocket", "sse", "long_poll", "socket_io"];
const PRIORITIES: [&str; 3] = ["high", "medium", "low"];

async fn scrape(server: &Server) -> String {
    let answer = server.http().get("/metrics", &[]).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(
        answer
            .header("content-type")
            .is_some_and(|kind| kind.starts_with("text/plain")),
        "{answer:?}"
    );
    String::from_utf8(answer.body.to_vec()).expect("metrics are text")
}

/// Whether a series of this name and these labels stands in the text with the value 0.
fn is_zero(text: &str, name: &str, labels: &[(&str, &str)]) -> bool {
    text.lines().any(|line| {
        let Some((series, value)) = line.rsplit_once(' ') else {
            return false;
        };
        let (found, rest) = series.split_once('{').unwrap_or((series, ""));
        let has_label =
            |(label, value): &(&str, &str)| rest.contains(&format!("{label}=\"{value}\""));
        found == name && labels.iter().all(has_label) && value.parse::<f64>() == Ok(0.0)
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_series_exists_at_zero_from_the_start() {
    let server = Server::mechamap().await;
    let text = scrape(&server).await;
    let mut missing = Vec::new();
    let mut expect = |name: &str, labels: &[(&str, &str)]| {
        if !is_zero(&text, name, labels) {
            missing.push(format!("{name}{labels:?}"));
        }
    };
    for transport in TRANSPORTS {
        expect("fanfare_connections", &[("transport", transport)]);
        expect("fanfare_connections_total", &[("transport", transport)]);
        for priority in PRIORITIES {
            let labels = [("transport", transport), ("priority", priority)];
            expect("fanfare_events_delivered_total", &labels);
            expect("fanfare_delivery_seconds_count", &labels);
        }
    }
    for priority in PRIORITIES {
        expect("fanfare_events_published_total", &[("priority", priority)]);
        expect("fanfare_sla_breaches_total", &[("priority", priority)]);
    }
    for name in ["processed", "failed", "retried", "dead_lettered"] {
        expect(&format!("fanfare_consumer_{name}_total"), &[]);
    }
    for name in [
        "fanfare_connections_rejected_total",
        "fanfare_subscriptions",
        "fanfare_events_dropped_total",
        "fanfare_flush_events_count",
        "fanfare_outbox_bytes",
        "fanfare_slow_disconnects_total",
        "fanfare_rate_limited_total",
        "fanfare_recovered_total",
        "fanfare_broker_publish_seconds_count",
        "fanfare_broker_lag",
    ] {
        expect(name, &[]);
    }
    assert!(missing.is_empty(), "{missing:#?}");
    assert!(
        text.lines().any(|line| line == "fanfare_broker_up 1"),
        "{text}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn series_of_service_topics_exist_at_zero_where_there_are_any() {
    let nats = Nats::start().await;
    let server = Launch::of("gamification")
        .argument("--topics")
        .argument(nats.url())
        .argument("--ingest")
        .argument("reward.created=screens")
        .start()
        .await;
    let text = scrape(&server).await;
    assert!(
        text.lines().any(|line| line == "fanfare_topics_up 1"),
        "{text}"
    );
    for name in [
        "fanfare_topics_published_total",
        "fanfare_topics_publish_seconds_count",
        "fanfare_topics_rejected_total",
        "fanfare_topics_spilled",
    ] {
        assert!(is_zero(&text, name, &[]), "{name}: {text}");
    }
    let labels = [("topic", "reward.created"), ("group", "screens")];
    for name in [
        "fanfare_consumer_processed_total",
        "fanfare_consumer_failed_total",
        "fanfare_consumer_retried_total",
        "fanfare_consumer_dead_lettered_total",
        "fanfare_consumer_breaker",
        "fanfare_broker_lag",
    ] {
        assert!(is_zero(&text, name, &labels), "{name}: {text}");
    }

    let alone = Server::mechamap().await;
    let text = scrape(&alone).await;
    assert!(!text.contains("fanfare_topics_"), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_and_subscriptions_are_counted_while_they_last() {
    let server = Server::mechamap().await;
    let client = Client::connect(&server, &Token::of(7)).await;
    client.subscribe("thread.1").await.unwrap();
    client.subscribe("thread.2").await.unwrap();
    let other = Client::connect(&server, &Token::of(8)).await;
    other.subscribe("thread.1").await.unwrap();
    assert_eq!(
        server
            .metric("fanfare_connections{transport=\"websocket\"}")
            .await,
        2.0
    );
    assert_eq!(server.metric("fanfare_subscriptions").await, 3.0);
    client.unsubscribe("thread.2").await.unwrap();
    assert_eq!(server.metric("fanfare_subscriptions").await, 2.0);
    client.close().await;
    drop(other);
    until("both are gone", SOON, async || {
        let connections = server
            .metric("fanfare_connections{transport=\"websocket\"}")
            .await;
        (connections == 0.0 && server.metric("fanfare_subscriptions").await == 0.0).then_some(())
    })
    .await;
    assert_eq!(
        server
            .metric("fanfare_connections_total{transport=\"websocket\"}")
            .await,
        2.0
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn published_and_delivered_events_are_counted_by_priority() {
    let server = Server::configured("linger = { medium = 0.1, low = 0.1 }").await;
    let clients = [
        Client::connect(&server, &Token::of(7)).await,
        Client::connect(&server, &Token::of(8)).await,
    ];
    for client in &clients {
        client.subscribe("thread.1").await.unwrap();
    }
    server
        .publish(&json!([
            urgent_comment(1, 1),
            comment(1, 2),
            comment(1, 3),
            idle_comment(1, 4)
        ]))
        .await;
    for client in &clients {
        client.pushes(4, SOON).await;
    }
    for (priority, published) in [("high", 1.0), ("medium", 2.0), ("low", 1.0)] {
        let series = format!("fanfare_events_published_total{{priority=\"{priority}\"}}");
        assert_eq!(server.metric(&series).await, published, "{series}");
        let series = format!(
            "fanfare_events_delivered_total{{transport=\"websocket\",priority=\"{priority}\"}}"
        );
        until(&series, SOON, async || {
            (server.metric(&series).await == 2.0 * published).then_some(())
        })
        .await;
        let breaches = format!("fanfare_sla_breaches_total{{priority=\"{priority}\"}}");
        assert_eq!(server.metric(&breaches).await, 0.0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn those_who_are_turned_away_are_counted_by_reason() {
    let server = Server::configured("limits = { connections_per_user = 1 }").await;
    let rejected = async |reason: &str| {
        server
            .metric(&format!(
                "fanfare_connections_rejected_total{{reason=\"{reason}\"}}"
            ))
            .await
    };
    let bad = Client::to(server.address()).open().await;
    bad.introduce("nonsense").await.unwrap_err();
    let expired = Token::of(7).ending(from_now(0) - 5).sign();
    server
        .http()
        .handshake(&format!("/ws?token={expired}"), &[])
        .await
        .assert_refusal(401, "AUTH_FAILED");
    assert_eq!(rejected("auth_failed").await, 2.0);
    let _client = Client::connect(&server, &Token::of(7)).await;
    let second = Client::to(server.address()).open().await;
    second.introduce(&Token::of(7).sign()).await.unwrap_err();
    assert_eq!(rejected("connection_limit").await, 1.0);
    server
        .http()
        .handshake("/ws", &[("origin", "https://evil.example")])
        .await
        .assert_refusal(403, "FORBIDDEN");
    assert_eq!(rejected("origin").await, 1.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn those_who_never_say_who_they_are_are_counted_as_handshake_timeouts() {
    let server = Server::configured("limits = { handshake = 1 }").await;
    let stale = Client::to(server.address()).open().await;
    assert_eq!(stale.close_code(Duration::from_secs(5)).await, 3502);
    assert_eq!(
        server
            .metric("fanfare_connections_rejected_total{reason=\"handshake_timeout\"}")
            .await,
        1.0
    );
}
