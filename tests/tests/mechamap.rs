//! MechaMap's events over every transport.

#![allow(clippy::unwrap_used, reason = "what a test cannot unwrap, it fails by")]

use fanfare_tests::socket_io::{CARRIERS, SocketIo};
use fanfare_tests::{Client, EventStream, IN_TIME, Launch, Poller, Request, SOON, Server, Token};
use serde_json::{Value, json};
use tokio::time::timeout;

/// Codes of the Centrifuge protocol: two replies, and the end of a connection.
const FORBIDDEN: u32 = 103;
const ALREADY_SUBSCRIBED: u32 = 105;
const CLOSED_FORBIDDEN: u32 = 3507;
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

/// A channel is open or closed to a user on every transport alike.
async fn assert_rule(server: &Server, token: &Token, channel: &str, is_open: bool) {
    let bearer = format!("Bearer {}", token.sign());
    let websocket = Client::connect(server, token).await;
    let subscribed = websocket.subscribe(channel).await;
    let history = websocket.history(channel, json!({ "limit": 1 })).await;
    for code in [subscribed.err(), history.err()].map(|refused| refused.map(|why| why.code)) {
        // Where the token names the channel it is subscribed to since the connect.
        let code = code.filter(|code| *code != ALREADY_SUBSCRIBED);
        let expected = (!is_open).then_some(FORBIDDEN);
        assert_eq!(code, expected, "{channel} on the WebSocket");
    }
    let path = format!("/ws?channel={channel}");
    let asking = Client::to(server.address()).path(&path).open().await;
    let introduced = asking.introduce(&token.sign()).await;
    let code = introduced.err().map(|why| why.code);
    let expected = (!is_open).then_some(CLOSED_FORBIDDEN);
    assert_eq!(code, expected, "{channel} with the WebSocket's address");
    for path in ["/sse?", "/poll?wait=0&"] {
        let path = format!("{path}channel={channel}");
        if is_open {
            let request = Request::get(server.address(), &path).token(token);
            assert_eq!(request.send().await.unwrap().status, 200, "{path}");
        } else {
            let answer = server
                .http()
                .get(&path, &[("authorization", &bearer)])
                .await;
            answer.assert_refusal(403, "FORBIDDEN");
        }
    }
    for carrier in CARRIERS {
        let mut socket = SocketIo::connect(server, carrier, token).await;
        let answer = socket.call("join_channel", &[json!(channel)]).await;
        let expected = match is_open {
            true => json!({"success": true}),
            false => json!({"success": false, "error": "Unauthorized"}),
        };
        assert_eq!(answer, expected, "{channel} on Socket.IO");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_rule_of_the_channels_holds_on_every_transport() {
    let numbers = "limits = { connections_per_user = 100 }";
    let server = Launch::of("mechamap").config(numbers).start().await;
    let anyone = Token::of(7);
    let of_role = |role: &str| Token::of(7).claim("roles", json!([role]));
    let between = Token::of(7).channels(&["conversation.3"]);
    let cases: [(&Token, &[&str], &[&str]); 5] = [
        (
            &anyone,
            &[
                "user.7",
                "user.7.messages",
                "user.7.following",
                "following.7",
                "thread.1",
                "forum.1",
                "product.1",
                "showcase.1",
                "marketplace.global",
            ],
            &[
                "user.8",
                "user.8.orders",
                "user.77",
                "following.8",
                "conversation.3",
                "admin.notifications",
                "moderator.reports",
                "seller.7",
                "session",
            ],
        ),
        (
            &of_role("admin"),
            &["admin.notifications"],
            &["moderator.reports", "seller.7", "user.8"],
        ),
        (
            &of_role("moderator"),
            &["moderator.reports"],
            &["admin.notifications"],
        ),
        (
            &of_role("seller"),
            &["seller.7"],
            &["seller.8", "admin.notifications"],
        ),
        (&between, &["conversation.3"], &["conversation.4"]),
    ];
    for (token, open, closed) in cases {
        for channel in open {
            Box::pin(assert_rule(&server, token, channel, true)).await;
        }
        for channel in closed {
            Box::pin(assert_rule(&server, token, channel, false)).await;
        }
    }
    server.assert_healthy().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_concerns_one_user_reaches_no_other_on_any_transport() {
    let numbers = "linger = { medium = 0.1, low = 0.1 }\nlimits = { connections_per_user = 10 }";
    let server = Launch::of("mechamap").config(numbers).start().await;
    let note = |user: u64, id: u64| {
        let line = fixtures()
            .into_iter()
            .find(|line| line.contains("\"notification.sent\""));
        let mut envelope = serde_json::from_str::<Value>(line.unwrap()).unwrap();
        let fields = envelope.as_object_mut().unwrap();
        fields.remove("channel");
        fields.insert("user_id".to_owned(), user.into());
        envelope["data"]["notification"]["id"] = id.into();
        envelope
    };
    let (seven, eight) = (Token::of(7), Token::of(8));
    let mut polls = Vec::new();
    let mut streams = Vec::new();
    let mut sockets = Vec::new();
    let mut websockets = Vec::new();
    for (token, own) in [(&seven, "user.7"), (&eight, "user.8")] {
        let mut poller = Poller::of(server.address(), token, &[own]);
        poller.poll(0).await;
        polls.push(poller);
        let path = format!("/sse?channel={own}");
        let request = Request::get(server.address(), &path).token(token);
        streams.push(EventStream::open(request).await);
        // Joined at connect.
        sockets.push(SocketIo::connect(&server, CARRIERS[0], token).await);
        websockets.push(Client::subscribed(&server, token, own).await);
    }
    server
        .publish(&json!([note(8, 1), note(7, 2), note(8, 3)]))
        .await;
    let id = |envelope: &str| {
        let envelope = serde_json::from_str::<Value>(envelope).unwrap();
        envelope["data"]["notification"]["id"].as_u64().unwrap()
    };
    for (at, expected) in [(0, &[2][..]), (1, &[1, 3])] {
        let count = expected.len();
        let pushes = websockets[at].pushes(count, IN_TIME).await;
        let pushed = pushes.iter().map(|push| id(push.publication.data.get()));
        assert_eq!(pushed.collect::<Vec<_>>(), expected, "WebSocket");
        websockets[at].settle().await;
        assert_eq!(websockets[at].pushed().len(), count);
        let messages = streams[at].messages(count).await;
        let streamed = messages
            .iter()
            .map(|message| id(message.data.as_ref().unwrap()));
        assert_eq!(streamed.collect::<Vec<_>>(), expected, "SSE");
        let polled = polls[at].poll(1).await.events;
        let polled = polled.iter().map(|event| id(event.data.get()));
        assert_eq!(polled.collect::<Vec<_>>(), expected, "long-poll");
        for expected in expected {
            let packet = timeout(SOON, sockets[at].packet()).await.unwrap().unwrap();
            let envelope = packet.strip_prefix(r#"42["notification.sent","#).unwrap();
            assert_eq!(id(envelope.strip_suffix(']').unwrap()), *expected);
        }
    }
}
