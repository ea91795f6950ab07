//! Event streams and polls of a service that is called as embedders call it, without sockets.

#![allow(clippy::unwrap_used, reason = "a suite, not a library")]

use bytes::Bytes;
use fanfare::auth::jwt::JwtKey;
use fanfare::{Channel, Config, Disconnect, Event, Guarantee, Node, Priority};
use fanfare_transports::{Body, Service};
use http::{Request, Response};
use http_body_util::{BodyExt, Empty};
use jsonwebtoken::{EncodingKey, Header, encode};
use serde_json::{Value, json};
use tokio::time::{Duration, sleep, timeout};
use tower_service::Service as _;

const SECRET: &[u8] = b"secret";
const SOON: Duration = Duration::from_secs(10);

async fn node() -> Node {
    let mut config = Config::default();
    config.limits.envelope = 4 << 10;
    config.buffers.flush = 8 << 10;
    config.buffers.outbox = 16 << 10;
    config.buffers.message = 8 << 10;
    Node::builder()
        .config(config)
        .jwt(JwtKey::Hs256(SECRET))
        .unwrap()
        .start()
        .await
        .unwrap()
}

async fn publish(node: &Node, channel: &str, number: u64, guarantee: Guarantee) {
    let payload = json!({ "number": number, "filling": "x".repeat(1000) }).to_string();
    let event = Event::new(Channel::new(channel).unwrap(), "e", payload).unwrap();
    let event = event
        .with_priority(Priority::High)
        .with_guarantee(guarantee);
    node.publish(event).await.unwrap();
}

async fn ask(node: &Node, path_and_query: &str) -> Response<Body> {
    ask_of(Service::builder(node.clone()).build(), path_and_query).await
}

async fn ask_of(mut service: Service, path_and_query: &str) -> Response<Body> {
    let claims = json!({ "sub": "1" });
    let token = encode(
        &Header::default(),
        &claims,
        &EncodingKey::from_secret(SECRET),
    )
    .unwrap();
    let request = Request::get(path_and_query)
        .header("authorization", format!("Bearer {token}"))
        .body(Empty::<Bytes>::new())
        .unwrap();
    service.call(request).await.unwrap()
}

/// The next piece of a body.
async fn piece(body: &mut Body) -> Option<Result<String, fanfare_transports::BodyError>> {
    let frame = timeout(SOON, body.frame())
        .await
        .expect("something comes")?;
    Some(frame.map(|frame| String::from_utf8(frame.into_data().unwrap().to_vec()).unwrap()))
}

/// What follows a field at the beginning of a line, for every such line.
fn values<'a>(text: &'a str, field: &'a str) -> impl Iterator<Item = &'a str> {
    text.lines()
        .filter_map(move |line| line.strip_prefix(field))
}

async fn assert_losses_are_told(query: &str) {
    const EVENTS: u64 = 60;
    let node = node().await;
    let mut body = ask(&node, &format!("/sse?{query}")).await.into_body();
    let mut text = piece(&mut body).await.unwrap().unwrap();
    while !text.contains("id: ") {
        text.push_str(&piece(&mut body).await.unwrap().unwrap());
    }
    for number in 1..=EVENTS {
        publish(&node, "a", number, Guarantee::BestEffort).await;
        // Each in a flush of its own.
        sleep(Duration::from_millis(1)).await;
    }
    let mut read = String::new();
    while !read.contains("event: dropped\n") {
        read.push_str(&piece(&mut body).await.unwrap().unwrap());
    }
    let (before, told) = read.split_once("event: dropped\n").unwrap();
    let told = serde_json::from_str::<Value>(values(told, "data: ").next().unwrap()).unwrap();
    assert_eq!(told["channel"], "a");
    let lost = told["count"].as_u64().unwrap();
    let numbers = values(before, "data: ")
        .map(|data| {
            serde_json::from_str::<Value>(data).unwrap()["number"]
                .as_u64()
                .unwrap()
        })
        .collect::<Vec<_>>();
    assert!(
        lost > 0 && numbers.is_sorted_by(|a, b| a < b),
        "{numbers:?}"
    );
    assert_eq!(numbers.len() as u64 + lost, EVENTS);

    // Each id resumes behind its event, whatever was lost before it.
    let ids = values(before, "id: ").collect::<Vec<_>>();
    assert_eq!(ids.len(), numbers.len());
    for (id, number) in ids.iter().zip(&numbers) {
        let polled = ask(&node, &format!("/poll?wait=0&{query}&cursor={id}")).await;
        let polled = polled.into_body().collect().await.unwrap().to_bytes();
        let polled = serde_json::from_slice::<Value>(&polled).unwrap();
        let next = &polled["events"][0]["offset"];
        let expected = if *number == EVENTS {
            Value::Null
        } else {
            json!(number + 1)
        };
        assert_eq!(*next, expected, "{id}");
    }
    drop(body);
    assert_eq!(node.sessions(), 0, "the body was the session");
}

#[tokio::test]
async fn losses_are_told_in_the_stream_of_one_channel() {
    assert_losses_are_told("channel=a").await;
}

#[tokio::test]
async fn losses_are_told_in_the_stream_of_two_channels() {
    assert_losses_are_told("channel=a&channel=b").await;
}

#[tokio::test]
async fn a_stream_that_is_not_read_breaks_off() {
    let node = node().await;
    let mut body = ask(&node, "/sse?channel=a").await.into_body();
    for number in 1..=60 {
        publish(&node, "a", number, Guarantee::AtLeastOnce).await;
    }
    let broken = timeout(SOON, async {
        loop {
            match piece(&mut body).await {
                Some(Ok(_)) => {}
                Some(Err(error)) => return error,
                None => panic!("this must not look like the end"),
            }
        }
    });
    let source = std::error::Error::source(&broken.await.unwrap())
        .unwrap()
        .to_string();
    assert_eq!(source, Disconnect::SLOW.to_string());
}

#[tokio::test]
async fn a_user_who_is_sent_away_is_told_why() {
    let node = node().await;
    let mut body = ask(&node, "/sse?channel=a").await.into_body();
    assert_eq!(
        node.disconnect_user("1", &Disconnect::FORCE_NO_RECONNECT)
            .await,
        1
    );
    let mut text = String::new();
    while let Some(piece) = piece(&mut body).await {
        text.push_str(&piece.unwrap());
    }
    let told = r#"event: disconnect
data: {"code":3503,"reason":"force disconnect"}

"#;
    assert!(text.ends_with(told), "{text}");
    assert_eq!(node.sessions(), 0);
}

#[tokio::test]
async fn a_poll_that_is_dropped_leaves_nothing_behind() {
    let node = node().await;
    let polling = tokio::spawn({
        let node = node.clone();
        async move { ask(&node, "/poll?channel=a").await }
    });
    while node.connections() == 0 {
        sleep(Duration::from_millis(1)).await;
    }
    polling.abort();
    assert!(polling.await.unwrap_err().is_cancelled());
    assert_eq!((node.sessions(), node.connections()), (0, 0));
    assert!(node.channels().await.is_empty());
}

#[tokio::test]
async fn a_user_who_is_sent_away_while_polling_is_refused() {
    let node = node().await;
    let polling = tokio::spawn({
        let node = node.clone();
        async move { ask(&node, "/poll?channel=a").await }
    });
    while node
        .disconnect_user("1", &Disconnect::FORCE_NO_RECONNECT)
        .await
        == 0
    {
        sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(polling.await.unwrap().status(), 403);
}

/// Reads up to the `count`th event, all names counted.
async fn read_events(body: &mut Body, count: usize) -> String {
    let mut text = String::new();
    while values(&text, "data: ").count() < count {
        text.push_str(&piece(body).await.unwrap().unwrap());
    }
    text
}

#[tokio::test]
async fn a_welcome_is_the_first_message_has_no_id_and_is_told_again() {
    let node = node().await;
    let service = Service::builder(node.clone())
        .sse_welcome(|identity| format!("[{}]", identity.user))
        .build();
    let mut body = ask_of(service.clone(), "/sse?channel=a").await.into_body();
    let mut text = read_events(&mut body, 1).await;
    while values(&text, "id: ").count() == 0 {
        text.push_str(&piece(&mut body).await.unwrap().unwrap());
    }
    let blocks = text.split_terminator("\n\n").collect::<Vec<_>>();
    assert!(blocks[0].starts_with("retry: "), "{text}");
    assert_eq!(blocks[1], "data: [1]");
    let cursor = blocks[2].strip_prefix("id: ").unwrap();

    publish(&node, "a", 1, Guarantee::AtLeastOnce).await;
    let path = format!("/sse?channel=a&cursor={cursor}");
    let mut body = ask_of(service.clone(), &path).await.into_body();
    let text = read_events(&mut body, 2).await;
    let data = values(&text, "data: ").collect::<Vec<_>>();
    assert_eq!(data[0], "[1]");
    let event = serde_json::from_str::<Value>(data[1]).unwrap();
    assert_eq!(event["number"], 1);

    let refused = ask_of(service, "/sse?channel=user.2").await;
    assert_eq!(refused.status(), 403);
}
