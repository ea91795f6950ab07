//! SportsCenter over real sockets: what every client gets, on every transport, and what it does not.

#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on ends with a panic"
)]

mod limits;

use std::time::Duration;

use fanfare_tests::socket_io::{CARRIERS, SocketIo};
use fanfare_tests::{Client, EventStream, IN_TIME, Launch, Poller, Request, SOON, Server, Token};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

/// The document's samples, one a line, as they are published.
const SAMPLES: &str = include_str!("../../../examples/fixtures/sportscenter.jsonl");
/// The user of the samples whose data names one.
const USER: &str = "0192f6d0-7c1e-7b3a-9f55-3f1d2c4b5a61";
/// Short waits, and room for a client on every transport.
const QUICK: &str = "
    linger = { medium = 0.05 }
    limits = { connections_per_user = 10 }
";
const ALL_ROLES: &[&str] = &["coach", "athlete", "parent", "mentor"];
/// Roles that the document knows, and two that it gives no rights.
const ANYONE: &[&str] = &["coach", "athlete", "parent", "mentor", "admin", "Coach"];

/// A user's clients, one on every transport, none of which has asked for a channel.
struct Listeners {
    websocket: Client,
    stream: EventStream,
    poller: Poller,
    socket_io: Vec<SocketIo>,
}

impl Listeners {
    async fn open(server: &Server, token: &Token) -> Self {
        let mut poller = Poller::of(server.address(), token, &[]);
        poller.poll(0).await;
        let mut socket_io = Vec::new();
        for carrier in CARRIERS {
            socket_io.push(SocketIo::connect(server, carrier, token).await);
        }
        Self {
            websocket: Client::connect(server, token).await,
            stream: EventStream::open(Request::get(server.address(), "/sse").token(token)).await,
            poller,
            socket_io,
        }
    }

    /// The envelopes that each of them has got before `fence`, in alphabetical order, with the name
    /// of the transport.
    async fn heard(&mut self, fence: &str) -> Vec<(&'static str, Vec<String>)> {
        let ends = |payload: &str| payload.contains(fence);
        let pushes = self.websocket.wait("the fence", IN_TIME, |record| {
            let pushes = record.pushes.iter();
            let payloads = pushes.map(|push| push.publication.data.get().to_owned());
            let payloads = payloads.collect::<Vec<_>>();
            payloads
                .iter()
                .any(|payload| ends(payload))
                .then_some(payloads)
        });
        let mut heard = vec![("websocket", pushes.await)];
        let mut messages = Vec::new();
        while !messages.iter().any(|payload: &String| ends(payload)) {
            messages.push(self.stream.message().await.data.unwrap());
        }
        heard.push(("sse", messages));
        let mut polled = Vec::new();
        while !polled.iter().any(|payload: &String| ends(payload)) {
            let events = self.poller.poll(10).await.events.into_iter();
            polled.extend(events.map(|event| event.data.get().to_owned()));
        }
        heard.push(("long_poll", polled));
        for client in &mut self.socket_io {
            let mut packets = Vec::new();
            while !packets.iter().any(|payload: &String| ends(payload)) {
                packets.push(envelope_of(&client.packet().await.unwrap()));
            }
            heard.push(("socket_io", packets));
        }
        for (_, payloads) in &mut heard {
            payloads.retain(|payload| !ends(payload));
            payloads.sort();
        }
        heard
    }
}

/// The envelope of an event of Socket.IO, whose only argument has to be the data.
fn envelope_of(packet: &str) -> String {
    let event = packet.strip_prefix("42[").unwrap();
    let (name, data) = event.split_once(',').unwrap();
    let data = data.strip_suffix(']').unwrap();
    format!(r#"{{"event":{name},"data":{data}}}"#)
}

fn token(user: &str, roles: &[&str]) -> Token {
    Token::of(user).claim("roles", json!(roles))
}

fn sample(event: &str) -> &'static str {
    let begin = format!(r#"{{"event":"{event}","#);
    SAMPLES
        .lines()
        .find(|line| line.starts_with(&begin))
        .unwrap()
}

fn event_of(line: &str) -> String {
    let envelope = serde_json::from_str::<Value>(line).unwrap();
    envelope["event"].as_str().unwrap().to_owned()
}

/// Publishes a line as it is, and gives the channel that it is said to go to.
async fn publish(server: &Server, line: &str) -> Option<String> {
    let answer = server.post(line.to_owned()).await;
    assert_eq!(answer.status, 200, "{line}: {answer:?}");
    let body = answer.json();
    assert_eq!(body["accepted"], 1);
    let result = &body["results"][0];
    assert!(result["id"].is_string(), "{body}");
    result["channel"].as_str().map(str::to_owned)
}

/// Publishes what every client gets behind everything else that has been flushed.
async fn raise_fence(server: &Server) -> String {
    let fence = format!("fence-{}", rand::random::<u64>());
    let mut envelope = serde_json::from_str::<Value>(sample("notification:new")).unwrap();
    envelope["data"]["id"] = json!(fence);
    publish(server, &envelope.to_string()).await;
    fence
}

async fn server(config: &str) -> Server {
    Launch::of("sportscenter").config(config).start().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_event_arrives_as_it_was_sent_on_every_transport() {
    let server = server(QUICK).await;
    let mut listeners = Box::pin(Listeners::open(&server, &token(USER, ALL_ROLES))).await;
    let mut expected = Vec::new();
    for line in SAMPLES.lines() {
        let event = event_of(line);
        let channel = publish(&server, line).await;
        let is_nobodys = event.starts_with("cache/")
            || [
                "analytics/collaboration-metrics",
                "analytics/subscription-metric",
                "analytics/feature-usage",
                "analytics/system-performance",
                "analytics/error-event",
                "ratelimit/connection-throttle",
                "ratelimit/ddos-protection",
                "ratelimit/circuit-breaker",
                "ratelimit/group-share",
                "ratelimit/metrics",
                "ratelimit/health",
            ]
            .contains(&&*event);
        assert_eq!(channel.is_none(), is_nobodys, "{event}: {channel:?}");
        if !is_nobodys {
            expected.push(line.to_owned());
        }
    }
    assert_eq!(expected.len(), 36, "of 62 events");
    expected.sort();
    listeners.websocket.pushes(36, IN_TIME).await;
    let fence = raise_fence(&server).await;
    for (transport, heard) in Box::pin(listeners.heard(&fence)).await {
        assert_eq!(heard, expected, "{transport}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_concerns_a_user_reaches_that_user_alone() {
    let server = server(QUICK).await;
    let to_all = ["user.7", "user.8"].map(|user| json!({"id": &user[5..], "role": "athlete"}));
    let mut message = serde_json::from_str::<Value>(sample("message:new")).unwrap();
    message["data"]["from"] = to_all[0].clone();
    message["data"]["to"] = to_all[1].clone();
    let message = message.to_string();
    let mut note = serde_json::from_str::<Value>(sample("notification:new")).unwrap();
    note["channel"] = json!("user.8");
    let note = note.to_string();
    let quota = sample("ratelimit/message-quota");
    let metric = sample("analytics/performance-metric");
    let cases: [(&str, &[&str]); 4] = [
        ("7", &[&message]),
        ("8", &[&message, &note]),
        (USER, &[quota, metric]),
        ("9", &[]),
    ];
    let mut users = Vec::new();
    for (user, expected) in cases {
        let token = token(user, ALL_ROLES);
        users.push((
            user,
            Box::pin(Listeners::open(&server, &token)).await,
            expected,
        ));
    }
    for line in [&*message, &note, quota, metric] {
        publish(&server, line).await;
    }
    let metrics = users[2].1.websocket.pushes(2, IN_TIME);
    metrics.await;
    let fence = raise_fence(&server).await;
    for (user, mut listeners, expected) in users {
        for (transport, heard) in Box::pin(listeners.heard(&fence)).await {
            // On Socket.IO only the data arrives, which does not say the channel.
            let mut expected = expected
                .iter()
                .map(|line| match transport {
                    "socket_io" => line
                        .replace(r#","channel":"user.8""#, "")
                        .replace(r#""channel":"user.8","#, ""),
                    _ => (*line).to_owned(),
                })
                .collect::<Vec<_>>();
            let mut heard = heard;
            if transport == "socket_io" {
                for line in expected.iter_mut().chain(&mut heard) {
                    *line = serde_json::from_str::<Value>(line).unwrap().to_string();
                }
            }
            heard.sort();
            expected.sort();
            assert_eq!(heard, expected, "{user} on {transport}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_are_subscribed_at_connect_and_may_have_no_more() {
    let server = server(QUICK).await;
    let token = token("7", &["mentor", "admin"]);
    let client = Client::to(server.address()).open().await;
    let connected = client.introduce(&token.sign()).await.unwrap();
    let mut subscribed = connected.subs.into_keys().collect::<Vec<_>>();
    subscribed.sort();
    let families = [
        "community",
        "goal",
        "mentor",
        "mentor-assessment",
        "mentor-session",
        "notification",
        "session",
        "user.7",
        "video",
    ];
    assert_eq!(subscribed, families);
    let mut socket_io = SocketIo::connect(&server, CARRIERS[0], &token).await;
    for closed in [
        "cache",
        "analytics",
        "ratelimit",
        "message",
        "control",
        "user.8",
        "user.77",
        "session.1",
        "thread.1",
    ] {
        let refused = client.subscribe(closed).await.unwrap_err();
        assert_eq!(refused.code, 103, "{closed}");
        let refused = client.history(closed, json!({ "limit": 1 })).await;
        assert_eq!(refused.unwrap_err().code, 103, "{closed}");
        let answer = socket_io.call("join_channel", &[json!(closed)]).await;
        assert_eq!(answer, json!({"success": false, "error": "Unauthorized"}));
        for path in ["sse", "poll"] {
            let path = format!("/{path}?channel={closed}");
            let bearer = format!("Bearer {}", token.sign());
            let answer = server
                .http()
                .get(&path, &[("authorization", &bearer)])
                .await;
            answer.assert_refusal(403, "FORBIDDEN");
        }
        let path = format!("/ws?channel={closed}");
        let asking = Client::to(server.address()).path(&path).open().await;
        let refused = asking.introduce(&token.sign()).await.unwrap_err();
        assert_eq!(refused.code, 3507, "{closed}");
    }
    // What is on the way is filtered by each event's roles: anyone may ask for the channel.
    client.subscribe("metric").await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_token_nobody_gets_anything() {
    let server = server(QUICK).await;
    for path in ["/sse?channel=session", "/poll?channel=session", "/poll"] {
        let answer = server.http().get(path, &[]).await;
        answer.assert_refusal(401, "AUTH_FAILED");
    }
    let dotted = token("7", &[]).claim("sub", "7.x").sign();
    for token in ["", "x", &dotted] {
        let client = Client::to(server.address()).open().await;
        assert_eq!(client.introduce(token).await.unwrap_err().code, 3500);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn control_events_and_unknown_ones_are_not_published() {
    let server = server(QUICK).await;
    for event in [
        "ping",
        "pong",
        "error",
        "health",
        ":session/status",
        "session:x",
    ] {
        let envelope = json!({"event": event, "data": {}});
        let answer = server.post(envelope.to_string()).await;
        answer.assert_refusal(422, "INVALID_EVENT");
        assert_eq!(answer.problem_paths(), ["event"], "{event}");
    }
    let wrong = json!([
        serde_json::from_str::<Value>(sample("session:status")).unwrap(),
        {"event": "mentor/session-booked", "data": {"mentor-id": "x"}},
    ]);
    let answer = server.post(wrong.to_string()).await;
    answer.assert_refusal(422, "INVALID_EVENT");
    assert_eq!(answer.problem_paths(), ["[1].data.mentor-id"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn protocol_events_are_answered_in_socket_io() {
    let server = server(QUICK).await;
    for carrier in CARRIERS {
        let mut client = SocketIo::connect(&server, carrier, &token("7", &[])).await;
        client.emit("ping", &[]).await;
        assert_eq!(client.event().await.0, "pong");
        let health = client.call("health", &[]).await;
        assert_eq!(health["status"], "healthy");
        assert!(health["metrics"]["connections"].is_u64(), "{health}");
        let answer = client
            .call(
                "publish",
                &[serde_json::from_str::<Value>(sample("session:status")).unwrap()],
            )
            .await;
        assert_eq!(answer["success"], false, "{answer}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_event_reaches_those_with_its_roles_alone() {
    let server = server(QUICK).await;
    let cases: [(&str, &[&str]); 5] = [
        ("session:status", &["coach", "athlete", "parent"]),
        ("video:analysis", &["coach", "athlete", "mentor"]),
        ("metric:recorded", &["coach", "athlete", "parent"]),
        ("session:feedback", ANYONE),
        ("community:activity", ANYONE),
    ];
    let mut users = Vec::new();
    for (user, role) in (1..).zip(ANYONE) {
        let token = token(&user.to_string(), &[role]);
        users.push((
            *role,
            token.clone(),
            Box::pin(Listeners::open(&server, &token)).await,
        ));
    }
    for (event, _) in cases {
        publish(&server, sample(event)).await;
    }
    // The coach gets them all.
    users[0].2.websocket.pushes(5, IN_TIME).await;
    let fence = raise_fence(&server).await;
    for (role, token, mut listeners) in users {
        let visible = cases.iter().filter(|(_, roles)| roles.contains(&role));
        let mut expected = visible
            .map(|(event, _)| sample(event).to_owned())
            .collect::<Vec<_>>();
        expected.sort();
        for (transport, heard) in Box::pin(listeners.heard(&fence)).await {
            assert_eq!(heard, expected, "{role} on {transport}");
        }
        // What was missed is filtered as well.
        let history = listeners
            .websocket
            .history("session", json!({"limit": 10}))
            .await;
        let remembered = history.unwrap().publications;
        let remembered = remembered.iter().map(|publication| publication.data.get());
        let in_session = expected.iter().filter(|line| line.contains(r#""session:"#));
        let mut in_session = in_session.map(String::as_str).collect::<Vec<_>>();
        let mut remembered = remembered.collect::<Vec<_>>();
        in_session.sort();
        remembered.sort();
        assert_eq!(remembered, in_session, "{role}");
        let subscribed = Client::to(server.address())
            .path("/ws?channel=metric")
            .open()
            .await;
        let connected = subscribed.introduce(&token.sign()).await.unwrap();
        let metric = &connected.subs["metric"];
        let behind = fanfare_tests::Position {
            epoch: metric.epoch.clone(),
            offset: 0,
        };
        subscribed.unsubscribe("metric").await.unwrap();
        let recovered = subscribed.recover("metric", &behind).await.unwrap();
        let sees = ["coach", "athlete", "parent"].contains(&role);
        assert_eq!(recovered.publications.len(), usize::from(sees), "{role}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_demo_is_a_stream_of_events() {
    let server = Launch::of("sportscenter")
        .config(QUICK)
        .argument("--demo")
        .argument("500")
        .start()
        .await;
    let client = Client::connect(&server, &token("7", ALL_ROLES)).await;
    let pushes = client.pushes(200, SOON).await;
    let mut events = pushes
        .iter()
        .map(|push| push.json()["event"].as_str().unwrap().to_owned())
        .collect::<Vec<_>>();
    events.sort();
    events.dedup();
    assert!(events.len() > 8, "{events:?}");
    sleep(Duration::from_secs(1)).await;
    assert_eq!(server.stderr(), "", "every event is a good one");
}
