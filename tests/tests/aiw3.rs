//! AIW3 over every transport: its whole event set, who gets what, who may say what, and how much of it.

#![allow(clippy::unwrap_used, reason = "what a test cannot unwrap, it fails by")]

use fanfare_tests::socket_io::{Carrier, SocketIo};
use fanfare_tests::{Client, EventStream, IN_TIME, Launch, Poller, Request, SOON, Server, Token};
use serde_json::{Value, json};

/// A line for each event, with nothing to fill in, for user 12345.
const FIXTURES: &str = include_str!("../../examples/fixtures/aiw3.jsonl");
const USER: u64 = 12_345;
const OWN: &str = "user.12345";
const ADMIN: &str = "admin.nft";
const ROOM: &str = "room.lobby";

/// Windows so short that nobody waits for them, and one user on every transport at once.
const QUICK: &str =
    "linger = { medium = 0.05, low = 0.05 }\nlimits = { connections_per_user = 20 }";

const FORBIDDEN: u32 = 103;
const TOO_MANY: u32 = 111;
const CONNECTION_LIMIT: u32 = 3504;

async fn server() -> Server {
    Launch::of("aiw3").config(QUICK).start().await
}

/// A client on every transport, subscribed to the same channels.
struct Everywhere {
    websocket: Client,
    stream: EventStream,
    poller: Poller,
    socket_io: Vec<SocketIo>,
    /// How many events of the WebSocket's record were looked at.
    taken: usize,
}

/// What each of them got of a channel.
#[derive(Debug, PartialEq)]
struct Got {
    websocket: Vec<String>,
    stream: Vec<String>,
    polled: Vec<String>,
    socket_io: Vec<Vec<String>>,
}

impl Everywhere {
    async fn of(server: &Server, token: &Token, channels: &[&str]) -> Self {
        let websocket = Client::connect(server, token).await;
        for channel in channels {
            websocket.subscribe(channel).await.unwrap();
        }
        let query = channels.iter().map(|channel| format!("&channel={channel}"));
        let path = format!("/sse?{}", query.collect::<String>());
        let request = Request::get(server.address(), &path).token(token);
        let stream = EventStream::open(request).await;
        let mut poller = Poller::of(server.address(), token, channels);
        poller.poll(0).await;
        let mut socket_io = Vec::new();
        for carrier in [Carrier::WebSocket, Carrier::Polling] {
            let mut client = SocketIo::connect(server, carrier, token).await;
            for channel in channels {
                client.join(channel).await;
            }
            socket_io.push(client);
        }
        Self {
            websocket,
            stream,
            poller,
            socket_io,
            taken: 0,
        }
    }

    /// The next `count` envelopes of each.
    async fn next(&mut self, count: usize) -> Got {
        let before = self.taken;
        self.taken += count;
        let pushes = self.websocket.pushes(self.taken, IN_TIME).await;
        let pushed = pushes[before..self.taken]
            .iter()
            .map(|push| push.publication.data.get().to_owned());
        let websocket = pushed.collect::<Vec<_>>();
        let messages = self.stream.messages(count).await.into_iter();
        let stream = messages.map(|message| message.data.unwrap()).collect();
        let mut polled = Vec::new();
        while polled.len() < count {
            let events = self.poller.poll(10).await.events;
            polled.extend(events.into_iter().map(|event| event.data.get().to_owned()));
        }
        let mut socket_io = Vec::new();
        for client in &mut self.socket_io {
            let mut got = Vec::new();
            while got.len() < count {
                got.push(argument(&client.packet().await.unwrap()));
            }
            socket_io.push(got);
        }
        self.websocket.settle().await;
        assert_eq!(
            self.websocket.pushed().len(),
            self.taken,
            "no more than that"
        );
        Got {
            websocket,
            stream,
            polled,
            socket_io,
        }
    }
}

impl Got {
    /// The envelopes, which are the same on each of them.
    fn envelopes(self) -> Vec<String> {
        let Self {
            websocket,
            stream,
            polled,
            socket_io,
        } = self;
        // Channels flush by themselves; within one there is one order.
        let by_text = |mut texts: Vec<String>| {
            texts.sort();
            texts
        };
        let expected = by_text(websocket.clone());
        assert_eq!(by_text(stream), expected, "SSE");
        assert_eq!(by_text(polled), expected, "long-poll");
        for got in socket_io {
            assert_eq!(by_text(got), expected, "Socket.IO");
        }
        websocket
    }

    /// The envelopes in their order, of a client that has one channel.
    fn in_order(self) -> Vec<String> {
        assert_eq!(self.stream, self.websocket, "SSE");
        assert_eq!(self.polled, self.websocket, "long-poll");
        for got in &self.socket_io {
            assert_eq!(got, &self.websocket, "Socket.IO");
        }
        self.websocket
    }
}

/// What an event brings to Socket.IO clients, as it stands in the packet `42["NAME",ENVELOPE]`.
fn argument(packet: &str) -> String {
    let envelope = packet
        .strip_prefix("42[")
        .and_then(|rest| rest.strip_suffix(']'));
    let (name, envelope) = envelope.unwrap().split_once(',').unwrap();
    let event = serde_json::from_str::<Value>(envelope).unwrap()["eventType"].to_string();
    assert_eq!(name, event);
    envelope.to_owned()
}

fn is_for_admins(line: &str) -> bool {
    ["nft_minted", "nft_burned", "nft_unlock_failed"]
        .iter()
        .any(|name| line.contains(&format!("\"eventType\":\"{name}\"")))
}

fn is_for_nobody(line: &str) -> bool {
    line.contains("\"eventType\":\"volume_milestone_reached\"")
}

async fn publish_lines(server: &Server, lines: &[String]) -> Vec<Value> {
    let answer = server.post(format!("[{}]", lines.join(","))).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()["results"].as_array().unwrap().clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_event_arrives_byte_for_byte_on_every_transport() {
    let server = server().await;
    let admin = Token::of(99).role("admin");
    let mut user = Everywhere::of(&server, &Token::of(USER), &[OWN]).await;
    let mut admin = Everywhere::of(&server, &admin, &[ADMIN]).await;
    let lines = FIXTURES.lines().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(lines.len(), 32);
    let results = publish_lines(&server, &lines).await;
    for (line, result) in lines.iter().zip(&results) {
        let channel = match line {
            line if is_for_nobody(line) => Value::Null,
            line if is_for_admins(line) => ADMIN.into(),
            _ => OWN.into(),
        };
        assert_eq!(result["channel"], channel, "{line}");
        assert!(line.contains(result["id"].as_str().unwrap()));
    }
    let of = |wanted: fn(&str) -> bool| {
        let lines = lines.iter().filter(|line| wanted(line));
        lines.cloned().collect::<Vec<_>>()
    };
    let for_user = of(|line| !is_for_admins(line) && !is_for_nobody(line));
    let for_admins = of(is_for_admins);
    assert_eq!((for_user.len(), for_admins.len()), (28, 3));
    assert_eq!(user.next(for_user.len()).await.in_order(), for_user);
    assert_eq!(admin.next(for_admins.len()).await.in_order(), for_admins);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_server_fills_in_is_the_same_on_every_transport() {
    let server = server().await;
    let mut user = Everywhere::of(&server, &Token::of(USER), &[OWN]).await;
    let short = FIXTURES
        .lines()
        .filter(|line| !is_for_admins(line) && !is_for_nobody(line));
    let short = short.map(|line| {
        let mut envelope = serde_json::from_str::<Value>(line).unwrap();
        let members = envelope.as_object_mut().unwrap();
        members.retain(|name, _| ["eventType", "userId", "data"].contains(&&**name));
        envelope.to_string()
    });
    let short = short.collect::<Vec<_>>();
    let results = publish_lines(&server, &short).await;
    let got = user.next(short.len()).await.in_order();
    for ((sent, result), got) in short.iter().zip(&results).zip(got) {
        assert!(
            got.starts_with(sent.strip_suffix('}').unwrap()),
            "{sent} {got}"
        );
        let envelope = serde_json::from_str::<Value>(&got).unwrap();
        let id = envelope
            .get("messageId")
            .or_else(|| envelope.get("eventId"));
        assert_eq!(id.unwrap(), &result["id"]);
        assert_eq!(id.unwrap().as_str().unwrap().len(), 36, "a UUID");
    }
    let mut ids = results
        .iter()
        .map(|result| result["id"].as_str().unwrap())
        .collect::<Vec<_>>();
    assert!(ids.is_sorted(), "UUIDs of version 7 sort by time");
    ids.dedup();
    assert_eq!(ids.len(), short.len());
}

fn started(user: u64) -> Value {
    json!({"eventType": "maintenance_started", "userId": user, "data": {}})
}

fn burned(user: &str) -> Value {
    json!({"eventType": "nft_burned", "userId": user, "data": {"nftId": "n"}})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn channels_are_open_to_those_whom_they_concern_and_to_nobody_else() {
    let server = server().await;
    let cases = [
        (
            Token::of(7),
            vec!["user.7", ROOM],
            vec!["user.8", ADMIN, "admin.x", "unknown.1", "user"],
        ),
        (Token::of(7).role("user"), vec!["user.7"], vec![ADMIN]),
        (Token::of(7).role("Admin"), vec![], vec![ADMIN]),
        (
            Token::of(8).role("admin"),
            vec![ADMIN, "user.8", ROOM],
            vec!["user.7", "room", "room.a.b"],
        ),
    ];
    for (token, open, closed) in cases {
        let websocket = Client::connect(&server, &token).await;
        let mut socket_io = SocketIo::connect(&server, Carrier::WebSocket, &token).await;
        for channel in open {
            websocket.subscribe(channel).await.unwrap();
            socket_io.join(channel).await;
            let path = format!("/sse?channel={channel}");
            let request = Request::get(server.address(), &path).token(&token);
            assert_eq!(request.send().await.unwrap().status, 200, "{channel}");
            Poller::of(server.address(), &token, &[channel])
                .poll(0)
                .await;
        }
        for channel in closed {
            let refused = websocket.subscribe(channel).await.unwrap_err();
            assert_eq!(
                (refused.code, refused.closed),
                (FORBIDDEN, false),
                "{channel}"
            );
            let answer = socket_io.call("join_channel", &[json!(channel)]).await;
            assert_eq!(
                answer,
                json!({"success": false, "error": "Unauthorized"}),
                "{channel}"
            );
            let bearer = format!("Bearer {}", token.sign());
            for path in ["/sse?", "/poll?wait=0&"] {
                let path = format!("{path}channel={channel}");
                let answer = server
                    .http()
                    .get(&path, &[("authorization", &bearer)])
                    .await;
                answer.assert_refusal(403, "FORBIDDEN");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn users_get_their_own_events_and_admins_those_of_operations() {
    let server = server().await;
    let mut seven = Everywhere::of(&server, &Token::of(7), &["user.7"]).await;
    let mut eight = Everywhere::of(&server, &Token::of(8).role("admin"), &["user.8", ADMIN]).await;
    server
        .publish(&json!([started(8), burned("7"), started(7), burned("8")]))
        .await;
    let user = |text: &String| {
        let envelope = serde_json::from_str::<Value>(text).unwrap();
        (
            envelope["eventType"].as_str().unwrap().to_owned(),
            envelope["userId"].clone(),
        )
    };
    let got = seven.next(1).await.in_order();
    assert_eq!(user(&got[0]), ("maintenance_started".to_owned(), json!(7)));
    let mut got = eight
        .next(3)
        .await
        .envelopes()
        .iter()
        .map(user)
        .collect::<Vec<_>>();
    got.sort_by_key(|(name, user)| (name.clone(), user.to_string()));
    let of = |user: &str| ("nft_burned".to_owned(), json!(user));
    assert_eq!(
        got,
        [
            ("maintenance_started".to_owned(), json!(8)),
            of("7"),
            of("8")
        ]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_talk_in_rooms_and_say_nothing_else() {
    let server = server().await;
    let mut reader = Everywhere::of(&server, &Token::of(8), &[ROOM]).await;
    let admin = Token::of(7).role("admin");
    let websocket = Client::connect(&server, &admin).await;
    let mut socket_io = SocketIo::connect(&server, Carrier::WebSocket, &admin).await;
    for channel in [ROOM, "user.7", ADMIN] {
        websocket.subscribe(channel).await.unwrap();
        socket_io.join(channel).await;
    }
    let message = |text: &str| json!({"event": "chat_message", "data": {"text": text}});
    websocket
        .publish(ROOM, &message("by WebSocket"))
        .await
        .unwrap();
    let mut to_room = message("by Socket.IO");
    to_room["channel"] = ROOM.into();
    let answer = socket_io.call("publish", &[to_room]).await;
    assert_eq!(answer["success"], true, "{answer}");
    for (got, text) in reader
        .next(2)
        .await
        .in_order()
        .iter()
        .zip(["by WebSocket", "by Socket.IO"])
    {
        let envelope = serde_json::from_str::<Value>(got).unwrap();
        assert_eq!(envelope["data"]["text"], text);
        assert_eq!(envelope["userId"], 7, "its author");
        assert_eq!(
            (&envelope["category"], &envelope["priority"]),
            (&json!("user"), &json!("low"))
        );
    }
    for channel in ["user.7", "user.8", ADMIN] {
        let refused = websocket.publish(channel, &message("x")).await.unwrap_err();
        assert!(!refused.closed, "{refused:?}");
        let mut elsewhere = message("x");
        elsewhere["channel"] = channel.into();
        assert_eq!(
            socket_io.call("publish", &[elsewhere]).await["success"],
            false,
            "{channel}"
        );
    }
    for line in FIXTURES
        .lines()
        .filter(|line| !line.contains("chat_message"))
    {
        let envelope = serde_json::from_str::<Value>(line).unwrap();
        let mut event = json!({"event": envelope["eventType"], "data": envelope["data"]});
        for channel in [ROOM, "user.7", ADMIN] {
            let refused = websocket.publish(channel, &event).await.unwrap_err();
            assert!(!refused.closed, "{refused:?}");
        }
        event["channel"] = ROOM.into();
        assert_eq!(
            socket_io.call("publish", &[event]).await["success"],
            false,
            "{line}"
        );
    }
    // Its own two messages, in the room that it is in as well.
    websocket.settle().await;
    assert_eq!(websocket.pushed().len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_internal_reaches_nobody() {
    let server = server().await;
    let mut user = Everywhere::of(&server, &Token::of(7), &["user.7"]).await;
    let mut envelope = started(7);
    envelope["internalId"] = "secret".into();
    envelope["systemMetadata"] = json!({"host": "secret"});
    envelope["data"] = json!({"open": 1, "internalId": "secret", "systemMetadata": ["secret"]});
    server.publish(&envelope).await;
    let got = user.next(1).await.in_order();
    assert!(
        !got[0].contains("secret") && got[0].contains("\"open\":1"),
        "{got:?}"
    );
    let history = user
        .websocket
        .history("user.7", json!({"limit": 10}))
        .await
        .unwrap();
    assert_eq!(history.publications[0].data.get(), got[0]);
    let history = server.ask("/channels/user.7/history?limit=10").await;
    let history = String::from_utf8(history.body.to_vec()).unwrap();
    assert!(
        history.contains("maintenance_started") && !history.contains("secret"),
        "{history}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_begins_with_a_welcome_that_has_no_id() {
    let server = server().await;
    let token = Token::of(USER);
    let request = |path: &str| Request::get(server.address(), path).token(&token);
    let path = format!("/sse?channel={OWN}");
    let mut stream = EventStream::try_open(request(&path)).await.unwrap();
    let welcome = stream.message().await;
    assert_eq!(welcome.id, None);
    let welcome = welcome.json();
    assert_eq!(welcome["type"], "connection_established");
    assert_eq!(welcome["userId"], USER);
    assert_eq!(
        welcome["message"],
        "NFT event stream connected successfully"
    );
    assert!(welcome["timestamp"].is_string());
    assert_eq!(welcome.as_object().unwrap().len(), 4);

    server.publish(&started(USER)).await;
    assert!(stream.message().await.id.is_some());
    let cursor = stream.last_id.clone();
    drop(stream);
    server.publish(&started(USER)).await;
    let resumed = request(&path).header("Last-Event-ID", &cursor);
    let mut stream = EventStream::try_open(resumed).await.unwrap();
    assert_eq!(
        stream.message().await.json()["type"],
        "connection_established"
    );
    assert_eq!(
        stream.message().await.json()["eventType"],
        "maintenance_started"
    );

    for event in ["connection_established", "heartbeat"] {
        let mut envelope = started(USER);
        envelope["eventType"] = event.into();
        let answer = server.post(envelope.to_string()).await;
        answer.assert_refusal(422, "INVALID_EVENT");
        assert_eq!(answer.problem_paths(), ["eventType"]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_has_three_connections() {
    let server = Launch::of("aiw3").start().await;
    let token = Token::of(USER);
    let _websocket = Client::connect(&server, &token).await;
    let path = format!("/sse?channel={OWN}");
    let _stream = EventStream::open(Request::get(server.address(), &path).token(&token)).await;
    let _socket_io = SocketIo::connect(&server, Carrier::WebSocket, &token).await;
    let fourth = Client::to(server.address()).open().await;
    let refused = fourth.introduce(&token.sign()).await.unwrap_err();
    assert_eq!((refused.code, refused.closed), (CONNECTION_LIMIT, true));
    let bearer = format!("Bearer {}", token.sign());
    for path in [&*path, &format!("/poll?wait=1&channel={OWN}")] {
        let answer = server.http().get(path, &[("authorization", &bearer)]).await;
        answer.assert_refusal(429, "CONNECTION_LIMIT");
        answer.assert_retry_after();
    }
    let mut fourth = SocketIo::open(&server, Carrier::WebSocket, "").await;
    let answer = fourth.introduce(&json!({"token": token.sign()})).await;
    assert!(
        answer.starts_with("44") && answer.contains("CONNECTION_LIMIT"),
        "{answer}"
    );
    Client::connect(&server, &Token::of(8)).await;
}

/// In rooms of their own: there is no limit by the channel, and this is not about one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_sends_a_hundred_messages_a_minute() {
    let server = Launch::of("aiw3").start().await;
    let client = Client::connect(&server, &Token::of(7)).await;
    let message = json!({"event": "chat_message", "data": {"text": "gm"}});
    let mut sent = 0;
    let refused = loop {
        match client.publish(ROOM, &message).await {
            Ok(()) => sent += 1,
            Err(refused) => break refused,
        }
        assert!(sent < 150, "no limit");
    };
    assert_eq!((refused.code, refused.closed), (TOO_MANY, false));
    // One every 0.6 s comes back meanwhile.
    assert!((100..120).contains(&sent), "{sent}");
    let other = Client::connect(&server, &Token::of(8)).await;
    other.publish(ROOM, &message).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_does_not_fit_is_refused_by_its_path_and_nothing_of_its_batch_is_published() {
    let server = server().await;
    let client = Client::subscribed(&server, &Token::of(USER), OWN).await;
    let mut unlocked = FIXTURES
        .lines()
        .next()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    let mut unlocked = unlocked.take().unwrap();
    unlocked["data"]["nftLevel"] = 11.into();
    unlocked["data"]["mintAddress"] = "0OIl".into();
    let answer = server
        .post(json!([started(USER), unlocked]).to_string())
        .await;
    answer.assert_refusal(422, "INVALID_EVENT");
    let mut paths = answer.problem_paths();
    paths.sort();
    assert_eq!(paths, ["[1].data.mintAddress", "[1].data.nftLevel"]);
    server.publish(&started(USER)).await;
    let pushes = client.pushes(1, SOON).await;
    assert_eq!(
        (pushes.len(), pushes[0].offset()),
        (1, Some(1)),
        "the first of its channel"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_demo_reaches_users_admins_and_rooms() {
    let server = Launch::of("aiw3")
        .config(QUICK)
        .argument("--demo")
        .argument("200")
        .start()
        .await;
    let client = Client::connect(&server, &Token::of(1).role("admin")).await;
    for channel in ["user.1", ADMIN, ROOM] {
        client.subscribe(channel).await.unwrap();
    }
    for channel in ["user.1", ADMIN, ROOM] {
        let what = format!("an event on {channel}");
        let found = client.wait(&what, IN_TIME, |record| {
            record
                .pushes
                .iter()
                .any(|push| push.channel == channel)
                .then_some(())
        });
        found.await;
    }
}
