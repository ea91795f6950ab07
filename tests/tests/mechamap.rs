//! MechaMap's events over every transport.

#![allow(clippy::unwrap_used, reason = "what a test cannot unwrap, it fails by")]

use fanfare_tests::socket_io::{CARRIERS, SocketIo};
use fanfare_tests::{Client, EventStream, IN_TIME, Launch, Poller, Request, SOON, Token};
use serde_json::Value;
use tokio::time::timeout;

/// The user of the fixtures.
const USER: &str = "123";
/// Where the fixtures go.
const CHANNELS: [&str; 7] = [
    "thread.456",
    "product.456",
    "user.123",
    "following.123",
    "conversation.456",
    "showcase.456",
    "marketplace.global",
];

fn fixtures() -> Vec<&'static str> {
    include_str!("../../examples/fixtures/mechamap.jsonl")
        .lines()
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_event_arrives_alike_on_every_transport() {
    let numbers = "linger = { medium = 0.2, low = 0.2 }\nlimits = { connections_per_user = 10 }";
    let server = Launch::of("mechamap").config(numbers).start().await;
    let token = Token::of(USER).channels(&["conversation.456"]);
    let query = CHANNELS
        .map(|channel| format!("channel={channel}"))
        .join("&");
    let websocket = Client::connect(&server, &token).await;
    for channel in CHANNELS
        .iter()
        .filter(|channel| **channel != "conversation.456")
    {
        websocket.subscribe(channel).await.unwrap();
    }
    let stream = Request::get(server.address(), &format!("/sse?{query}"));
    let mut stream = EventStream::open(stream.token(&token)).await;
    let mut poller = Poller::of(server.address(), &token, &CHANNELS);
    assert!(poller.poll(0).await.events.is_empty());
    let mut sockets = Vec::new();
    for carrier in CARRIERS {
        let mut socket = SocketIo::connect(&server, carrier, &token).await;
        for channel in CHANNELS {
            socket.join(channel).await;
        }
        sockets.push(socket);
    }

    // One at a time: channels flush in no order among each other.
    for (at, line) in fixtures().into_iter().enumerate() {
        let envelope = serde_json::from_str::<Value>(line).unwrap();
        let answer = server.post(line).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let push = websocket.pushes(at + 1, IN_TIME).await.remove(at);
        let arrived = push.publication.data.get();
        // What was filled in stands behind what was sent.
        let kept = line.strip_suffix('}').unwrap();
        assert!(arrived.starts_with(kept), "{line}\n{arrived}");
        let whole = serde_json::from_str::<Value>(arrived).unwrap();
        for name in ["channel", "priority", "timestamp", "metadata"] {
            assert!(whole.get(name).is_some(), "{name} of {arrived}");
        }
        let message = stream.messages(1).await.remove(0);
        assert_eq!(message.data.as_deref(), Some(arrived));
        let name = &envelope["event"];
        for socket in &mut sockets {
            let packet = timeout(SOON, socket.packet()).await.unwrap().unwrap();
            assert_eq!(packet, format!("42[{name},{arrived}]"));
        }
        let polled = poller.poll(0).await;
        let polled = polled.events.iter().map(|event| event.data.get());
        let is_live_only = name.as_str().unwrap().ends_with("typing.started");
        let expected = (!is_live_only).then_some(arrived);
        assert_eq!(
            polled.collect::<Vec<_>>(),
            expected.into_iter().collect::<Vec<_>>()
        );
    }
    server.assert_healthy().await;
}
