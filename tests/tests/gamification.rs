//! Gamification's events over every transport, and who gets which.

#![allow(clippy::unwrap_used, reason = "what a test cannot unwrap, it fails by")]

use fanfare_tests::socket_io::{CARRIERS, SocketIo};
use fanfare_tests::{Client, EventStream, IN_TIME, Launch, Poller, Request, SOON, Server, Token};
use serde_json::{Value, json};
use tokio::time::timeout;

/// The user of the fixtures.
const USER: &str = "user-456";
const OWN: &str = "user.user-456";
const NOT_ALLOWED: u32 = 103;
const TOO_MANY: u32 = 111;
/// Channels that are somebody else's, or nobody's.
const CLOSED: [&str; 8] = [
    "user.user-457",
    "user",
    "user.user-4566",
    "quest",
    "achievement",
    "analytics.user-456",
    "analytics",
    "thread.1",
];

fn fixtures() -> Vec<&'static str> {
    include_str!("../../examples/fixtures/gamification.jsonl")
        .lines()
        .collect()
}

/// Whether the user of the fixtures gets it.
fn is_seen(envelope: &Value) -> bool {
    let event = envelope["type"].as_str().unwrap();
    envelope["data"]["userId"] == USER && !event.starts_with("analytics.")
}

async fn server(toml: &str) -> Server {
    Launch::of("gamification").config(toml).start().await
}

/// A refused connection or request is answered so.
async fn assert_forbidden(server: &Server, path: &str, token: &Token) {
    let bearer = format!("Bearer {}", token.sign());
    let answer = server.http().get(path, &[("authorization", &bearer)]).await;
    answer.assert_refusal(403, "FORBIDDEN");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_event_reaches_its_user_alike_on_every_transport_and_nobody_else() {
    let numbers = "linger = { medium = 0.2, low = 0.2 }\nlimits = { connections_per_user = 10 }";
    let server = server(numbers).await;
    let token = Token::of(USER);
    let websocket = Client::subscribed(&server, &token, OWN).await;
    let stream = Request::get(server.address(), &format!("/sse?channel={OWN}"));
    let mut stream = EventStream::open(stream.token(&token)).await;
    let mut poller = Poller::of(server.address(), &token, &[OWN]);
    assert!(poller.poll(0).await.events.is_empty());
    let mut sockets = Vec::new();
    for carrier in CARRIERS {
        // The own channel is joined at connect.
        sockets.push(SocketIo::connect(&server, carrier, &token).await);
    }
    let other = Client::subscribed(&server, &Token::of("user-457"), "user.user-457").await;

    let mut sent = Vec::new();
    for fixture in fixtures() {
        let envelope = serde_json::from_str::<Value>(fixture).unwrap();
        let published = server.publish(&envelope).await.remove(0);
        assert_eq!(published.id.len(), 36, "{published:?}");
        if is_seen(&envelope) {
            assert_eq!(published.channel.as_deref(), Some(OWN), "{fixture}");
            sent.push(envelope);
        } else {
            assert_eq!(published.channel, None, "{fixture}");
        }
    }
    // As it stands in the file, so that what was sent can be found in what arrives.
    for fixture in fixtures() {
        let envelope = serde_json::from_str::<Value>(fixture).unwrap();
        let answer = server.post(fixture).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        if is_seen(&envelope) {
            sent.push(envelope);
        }
    }
    let lines = fixtures().into_iter();
    let lines = lines.filter(|line| is_seen(&serde_json::from_str(line).unwrap()));
    let lines = lines.collect::<Vec<_>>();
    assert_eq!(sent.len(), 2 * lines.len());

    let pushes = websocket.pushes(sent.len(), IN_TIME).await;
    let arrived = pushes.iter().map(|push| push.publication.data.get());
    let arrived = arrived.collect::<Vec<_>>();
    assert_eq!(arrived.len(), sent.len());
    for (envelope, arrived) in sent.iter().zip(&arrived) {
        let arrived = serde_json::from_str::<Value>(arrived).unwrap();
        assert_eq!(arrived["type"], envelope["type"]);
        assert_eq!(arrived["data"], envelope["data"]);
        for (name, value) in envelope["metadata"].as_object().unwrap() {
            assert_eq!(&arrived["metadata"][name], value);
        }
        for name in ["timestamp", "source", "version"] {
            assert!(arrived["metadata"][name].is_string(), "{arrived}");
        }
        assert_eq!(arrived.as_object().unwrap().len(), 3, "{arrived}");
    }
    for (line, arrived) in lines.iter().zip(&arrived[lines.len()..]) {
        // What is filled in stands behind the last member of the metadata.
        let kept = line.strip_suffix("}}").unwrap();
        assert!(arrived.starts_with(kept), "{line}\n{arrived}");
        if line.contains("\"version\"") {
            assert_eq!(line, arrived);
        }
    }

    for (push, arrived) in stream.messages(sent.len()).await.iter().zip(&arrived) {
        assert_eq!(push.data.as_deref(), Some(*arrived));
    }
    let polled = poller.poll(0).await;
    let polled = polled.events.iter().map(|event| event.data.get());
    assert_eq!(polled.collect::<Vec<_>>(), arrived);
    for mut socket in sockets {
        for (envelope, arrived) in sent.iter().zip(&arrived) {
            let packet = timeout(SOON, socket.packet()).await.unwrap().unwrap();
            let name = &envelope["type"];
            assert_eq!(packet, format!("42[{name},{arrived}]"));
        }
    }
    other.settle().await;
    assert!(other.pushed().is_empty(), "{:?}", other.pushed());
    server.assert_healthy().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_joins_the_own_channels_and_no_others_on_every_transport() {
    let server = server("limits = { connections_per_user = 100 }").await;
    // No role opens more.
    let token = Token::of(USER).role("admin");
    let websocket = Client::connect(&server, &token).await;
    let mut sockets = Vec::new();
    for carrier in CARRIERS {
        sockets.push(SocketIo::connect(&server, carrier, &token).await);
    }
    for closed in CLOSED {
        let refused = websocket.subscribe(closed).await.unwrap_err();
        assert_eq!(
            (refused.code, refused.closed),
            (NOT_ALLOWED, false),
            "{closed}"
        );
        let refused = websocket.history(closed, json!({})).await.unwrap_err();
        assert_eq!(refused.code, NOT_ALLOWED, "{closed}");
        assert_forbidden(&server, &format!("/sse?channel={closed}"), &token).await;
        assert_forbidden(&server, &format!("/poll?wait=0&channel={closed}"), &token).await;
        for socket in &mut sockets {
            let answer = socket.call("join_channel", &[json!(closed)]).await;
            assert_eq!(
                answer,
                json!({"success": false, "error": "Unauthorized"}),
                "{closed}"
            );
        }
    }
    for open in [OWN, "user.user-456.quests"] {
        websocket.subscribe(open).await.unwrap();
        let stream = Request::get(server.address(), &format!("/sse?channel={open}"));
        EventStream::open(stream.token(&token)).await;
        Poller::of(server.address(), &token, &[open]).poll(0).await;
    }
    for socket in &mut sockets {
        socket.join("user.user-456.quests").await;
    }
    for path in ["/sse", "/poll"] {
        let path = format!("{path}?channel={OWN}");
        let answer = server.http().get(&path, &[]).await;
        answer.assert_refusal(401, "AUTH_FAILED");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_publish_nothing_and_the_hundred_and_first_try_of_a_minute_is_one_too_many() {
    let server = Launch::of("gamification").start().await;
    let token = Token::of(USER);
    let client = Client::subscribed(&server, &token, OWN).await;
    let mut tries = 0;
    for fixture in fixtures() {
        let envelope = serde_json::from_str::<Value>(fixture).unwrap();
        let published = json!({"event": envelope["type"], "data": envelope["data"]});
        let refused = client.publish(OWN, &published).await.unwrap_err();
        assert_eq!(
            (refused.code, refused.closed),
            (NOT_ALLOWED, false),
            "{fixture}"
        );
        tries += 1;
    }
    let mut socket = SocketIo::connect(&server, CARRIERS[0], &token).await;
    let published = json!({
        "event": "quest.started", "channel": OWN, "data": {"questId": "quest-1", "userId": USER},
    });
    let answer = socket
        .call("publish", std::slice::from_ref(&published))
        .await;
    assert_eq!(answer["success"], false, "{answer}");
    tries += 1;
    let published = json!({"event": "quest.started", "data": published["data"]});
    let fields = json!({"channel": OWN, "data": published});
    let ids = (0..130).map(|_| client.send("publish", &fields));
    let mut codes = Vec::new();
    for id in ids.collect::<Vec<_>>() {
        codes.push(client.reply(id).await.unwrap_err().code);
    }
    let let_through = codes
        .iter()
        .take_while(|code| **code == NOT_ALLOWED)
        .count();
    // The bucket refills by one in 0.6 s.
    assert!((100 - tries..=125).contains(&let_through), "{let_through}");
    assert!(codes.contains(&TOO_MANY), "{codes:?}");
    client.settle().await;
    assert!(client.pushed().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_sixth_connection_of_a_user_is_one_too_many() {
    let server = Launch::of("gamification").start().await;
    let token = Token::of(USER);
    let mut clients = Vec::new();
    for _ in 0..5 {
        clients.push(Client::connect(&server, &token).await);
    }
    let bearer = format!("Bearer {}", token.sign());
    let headers = [("authorization", &*bearer)];
    let answer = server.http().handshake("/ws", &headers).await;
    answer.assert_refusal(429, "CONNECTION_LIMIT");
    answer.assert_retry_after();
    let answer = server
        .http()
        .get(&format!("/sse?channel={OWN}"), &headers)
        .await;
    answer.assert_refusal(429, "CONNECTION_LIMIT");
    Client::connect(&server, &Token::of("user-457"))
        .await
        .settle()
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_does_not_fit_is_refused_whole_and_by_path() {
    let server = Launch::of("gamification").start().await;
    let good = json!({"type": "quest.started", "data": {"questId": "quest-1", "userId": USER}});
    let cases = [
        (json!({"type": "quest.begun", "data": {}}), 422, "[1].type"),
        (
            json!({"type": "quest.started", "data": {}}),
            422,
            "[1].data.questId",
        ),
        (
            json!({"type": "quest.started", "data": {"questId": "q", "userId": "a.b"}}),
            422,
            "[1].data.userId",
        ),
        (
            json!({"type": "quest.started", "data": {"questId": "q"}, "metadata": {"version": 1}}),
            422,
            "[1].metadata.version",
        ),
        (
            json!({"type": "reward.created", "data": {"rewardId": "r", "userId": USER, "name": "n", "type": "t"}}),
            422,
            "[1].data.value",
        ),
    ];
    let client = Client::subscribed(&server, &Token::of(USER), OWN).await;
    for (bad, status, path) in cases {
        let answer = server.post(json!([good, bad]).to_string()).await;
        answer.assert_refusal(status, "INVALID_EVENT");
        assert_eq!(answer.problem_paths(), [path]);
    }
    let reward = json!({"type": "reward.created", "data": {
        "rewardId": "r", "userId": USER, "name": "n", "type": "t", "value": null,
    }});
    server.publish(&reward).await;
    let pushes = client.pushes(1, IN_TIME).await;
    assert_eq!(
        pushes[0].json()["data"],
        reward["data"],
        "and nothing before"
    );
    assert_eq!(pushes[0].offset(), Some(1));
}
