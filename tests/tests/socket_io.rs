//! The Socket.IO dialect, on both of its transports.

#![allow(clippy::unwrap_used, reason = "a suite, not a library")]

use std::time::Duration;

use fanfare_tests::mechamap::{comment_id, message, typing, urgent_comment, with};
use fanfare_tests::socket_io::{CARRIERS, Carrier, SocketIo, read_event};
use fanfare_tests::token::from_now;
use fanfare_tests::{SOON, Server, Token, until};
use serde_json::{Value, json};

async fn connected(server: &Server, carrier: Carrier, user: u64) -> SocketIo {
    SocketIo::connect(server, carrier, &Token::of(user)).await
}

/// Checks that a connect packet is refused with a code, and that the connection ends.
async fn assert_refused(client: &mut SocketIo, auth: &Value, code: &str) {
    let answer = client.introduce(auth).await;
    let data = answer
        .strip_prefix("44")
        .unwrap_or_else(|| panic!("{answer}"));
    let data = serde_json::from_str::<Value>(data).unwrap();
    assert_eq!(data["message"], code, "{data}");
    assert_eq!(data["data"]["code"], code, "{data}");
    assert!(data["data"]["message"].is_string(), "{data}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_may_stand_in_the_packet_the_query_or_a_header() {
    let server = Server::configured("limits = { connections_per_user = 100 }").await;
    let token = Token::of(7).sign();
    for carrier in CARRIERS {
        for auth in [
            json!({"token": token}),
            json!({"token": format!("Bearer {token}")}),
        ] {
            let mut client = SocketIo::open(&server, carrier, "").await;
            let answer = client.introduce(&auth).await;
            assert!(answer.starts_with(r#"40{"sid":""#), "{answer}");
        }
        let mut client = SocketIo::open(&server, carrier, &format!("&token={token}")).await;
        client.send("40").await;
        let answer = client.packet().await.unwrap();
        assert!(answer.starts_with(r#"40{"sid":""#), "{answer}");
    }
    assert_eq!(
        server
            .metric(r#"fanfare_connections_total{transport="socket_io"}"#)
            .await,
        6.0
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_may_not_connect_is_told_so() {
    let server = Server::configured("limits = { connections_per_user = 1 }").await;
    for carrier in CARRIERS {
        for auth in [
            json!({}),
            json!({"token": "x"}),
            json!({"token": 7}),
            json!({"token": Token::of(7).sign_with("another secret")}),
            json!({"token": Token::of(7).ending(from_now(0) - 60).sign()}),
            json!({"token": Token::of(7).without("sub").sign()}),
        ] {
            let mut client = SocketIo::open(&server, carrier, "").await;
            assert_refused(&mut client, &auth, "AUTH_FAILED").await;
        }
        let first = connected(&server, carrier, 7).await;
        let mut second = SocketIo::open(&server, carrier, "").await;
        let auth = json!({"token": Token::of(7).sign()});
        assert_refused(&mut second, &auth, "CONNECTION_LIMIT").await;
        second.end().await;
        let mut prying = SocketIo::open(&server, carrier, "&channel=user.8").await;
        let auth = json!({"token": Token::of(9).sign()});
        assert_refused(&mut prying, &auth, "FORBIDDEN").await;
        prying.end().await;
        drop(first);
        server.tell("/users/7/disconnect", "").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn there_is_one_namespace() {
    let server = Server::mechamap().await;
    for carrier in CARRIERS {
        let mut client = SocketIo::open(&server, carrier, "").await;
        client.send("40/admin,{}").await;
        let answer = client.packet().await.unwrap();
        assert_eq!(answer, r#"44/admin,{"message":"Invalid namespace"}"#);
        let answer = client
            .introduce(&json!({"token": Token::of(7).sign()}))
            .await;
        assert!(answer.starts_with("40{"), "{answer}");
        client.send("40/other,").await;
        let answer = client.packet().await.unwrap();
        assert_eq!(answer, r#"44/other,{"message":"Invalid namespace"}"#);
        client.send(r#"42/admin,["ping"]"#).await;
        client.end().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn packets_out_of_order_end_the_connection() {
    let server = Server::configured("limits = { connections_per_user = 100 }").await;
    for carrier in CARRIERS {
        for packet in [r#"42["ping"]"#, r#"421["health"]"#, "3", "41/x,"] {
            let mut client = SocketIo::open(&server, carrier, "").await;
            client.send(packet).await;
            client.end().await;
        }
        let mut client = connected(&server, carrier, 7).await;
        client
            .send(&format!("40{}", json!({"token": Token::of(7).sign()})))
            .await;
        client.end().await;
        let mut client = connected(&server, carrier, 7).await;
        client.send("41").await;
        client.end().await;
    }
    until("the count of connections", SOON, async || {
        (server
            .metric(r#"fanfare_connections{transport="socket_io"}"#)
            .await
            == 0.0)
            .then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn channels_are_joined_at_connect_and_by_request() {
    let server = Server::mechamap().await;
    // A user of its own for each: what one has not confirmed, its next connection gets again.
    for (user, carrier) in (7..).zip(CARRIERS) {
        let mut client = SocketIo::open(&server, carrier, "&channel=thread.1").await;
        let token = Token::of(user).channels(&["thread.2"]).sign();
        let answer = client.introduce(&json!({ "token": token })).await;
        assert!(answer.starts_with("40{"), "{answer}");
        client.join("thread.3").await;
        client.join("thread.3").await;
        let object = client
            .call("join_channel", &[json!({"channel": "thread.4"})])
            .await;
        assert_eq!(object, json!({"success": true}));
        for thread in 1..=4 {
            server.publish(&urgent_comment(thread, thread)).await;
            let (name, arguments) = client.event().await;
            assert_eq!(name, "forum.comment.created");
            assert_eq!(comment_id(&arguments[0]), thread);
            assert_eq!(arguments[0]["channel"], format!("thread.{thread}"));
            assert_eq!(arguments.len(), 1);
        }
        // The user's own.
        server.publish(&message(user, 5)).await;
        assert_eq!(client.event().await.0, "messaging.message.sent");
        let left = client.call("leave_channel", &[json!("thread.3")]).await;
        assert_eq!(left, json!({"success": true}));
        server.publish(&urgent_comment(3, 6)).await;
        server.publish(&urgent_comment(4, 7)).await;
        assert_eq!(comment_id(&client.event().await.1[0]), 7);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refusals_are_acks_or_error_events() {
    let server = Server::mechamap().await;
    for carrier in CARRIERS {
        let mut client = connected(&server, carrier, 7).await;
        for channel in ["user.8", "admin.orders", "nothing.1", "conversation.1"] {
            let answer = client.call("join_channel", &[json!(channel)]).await;
            assert_eq!(
                answer,
                json!({"success": false, "error": "Unauthorized"}),
                "{channel}"
            );
        }
        let answer = client.call("join_channel", &[json!("a b")]).await;
        assert_eq!(answer["success"], false);
        assert_eq!(answer["code"], "INVALID_REQUEST", "{answer}");
        let answer = client.call("join_channel", &[]).await;
        assert_eq!(answer["code"], "INVALID_REQUEST", "{answer}");
        let (name, arguments) = client.event().await;
        assert_eq!(
            (&*name, &arguments[0]["code"]),
            ("error", &json!("INVALID_REQUEST"))
        );
        client.emit("join_channel", &[json!("user.8")]).await;
        let (name, arguments) = client.event().await;
        assert_eq!(
            (&*name, &arguments[0]["code"]),
            ("error", &json!("FORBIDDEN"))
        );
        let answer = client.call("shout", &[json!("hey")]).await;
        assert_eq!(
            (&answer["success"], &answer["code"]),
            (&json!(false), &json!("NOT_FOUND"))
        );
        let (name, arguments) = client.event().await;
        assert_eq!(
            (&*name, &arguments[0]["code"]),
            ("error", &json!("NOT_FOUND"))
        );
        client.join("thread.1").await;
    }
}

fn without_priority(mut envelope: Value) -> Value {
    envelope.as_object_mut().unwrap().remove("priority");
    envelope
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_publish_what_the_platform_lets_them() {
    let server = Server::mechamap().await;
    for carrier in CARRIERS {
        let mut listener = connected(&server, carrier, 8).await;
        listener.join("thread.1").await;
        let mut client = connected(&server, carrier, 7).await;
        let event = with(typing(7), "channel", "thread.1");
        assert_eq!(
            client.call("publish", &[event]).await,
            json!({"success": true})
        );
        let (name, arguments) = listener.event().await;
        assert_eq!(name, "forum.typing.started");
        assert_eq!(arguments[0]["data"]["user"]["id"], 7);
        for (event, code) in [
            (with(typing(8), "channel", "thread.1"), "FORBIDDEN"),
            (without_priority(urgent_comment(1, 1)), "FORBIDDEN"),
            (urgent_comment(1, 1), "INVALID_EVENT"),
            (typing(7), "INVALID_EVENT"),
            (json!({"event": "nothing", "data": {}}), "INVALID_EVENT"),
        ] {
            let answer = client.call("publish", std::slice::from_ref(&event)).await;
            assert_eq!(answer["success"], false, "{event}");
            assert!(answer["error"].is_string(), "{answer}");
            assert_eq!(answer["code"], code, "{event}: {answer}");
        }
        client.emit("publish", &[typing(7)]).await;
        let (name, arguments) = client.event().await;
        assert_eq!(name, "error");
        assert_eq!(arguments[0]["code"], "INVALID_EVENT");
        assert_eq!(
            arguments[0]["details"][0]["path"], "channel",
            "{arguments:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn too_many_events_are_refused_and_the_connection_stays() {
    let toml = "limits = { events_per_user = { events = 2, per = 60 } }";
    let server = Server::configured(toml).await;
    let mut client = connected(&server, Carrier::WebSocket, 7).await;
    let event = with(typing(7), "channel", "thread.1");
    for _ in 0..2 {
        let answer = client.call("publish", std::slice::from_ref(&event)).await;
        assert_eq!(answer["success"], true);
    }
    let answer = client.call("publish", std::slice::from_ref(&event)).await;
    assert_eq!(answer["code"], "RATE_LIMITED", "{answer}");
    client.emit("publish", &[event]).await;
    assert_eq!(client.event().await.1[0]["code"], "RATE_LIMITED");
    client.join("thread.1").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn history_is_answered_by_ack() {
    let server = Server::mechamap().await;
    for id in 1..=5 {
        server.publish(&urgent_comment(1, id)).await;
    }
    for carrier in CARRIERS {
        let mut client = connected(&server, carrier, 7).await;
        let all = client.call("history", &[json!("thread.1")]).await;
        assert_eq!((&all["success"], &all["offset"]), (&json!(true), &json!(5)));
        let ids = |answer: &Value| {
            let events = answer["events"].as_array().unwrap().iter();
            events
                .map(|event| comment_id(&event["data"]))
                .collect::<Vec<_>>()
        };
        assert_eq!(ids(&all), [1, 2, 3, 4, 5]);
        assert_eq!(all["events"][0]["offset"], 1);
        let since = json!({"epoch": all["epoch"], "offset": 2});
        let fields = json!({"channel": "thread.1", "limit": 2, "since": since});
        assert_eq!(ids(&client.call("history", &[fields]).await), [3, 4]);
        let fields = json!({"channel": "thread.1", "limit": 2, "reverse": true});
        assert_eq!(ids(&client.call("history", &[fields]).await), [5, 4]);
        let fields = json!({"channel": "thread.1", "limit": 0});
        assert_eq!(ids(&client.call("history", &[fields]).await), [0; 0]);
        let stale = json!({"channel": "thread.1", "since": {"epoch": "other", "offset": 1}});
        assert_eq!(client.call("history", &[stale]).await["success"], false);
        let answer = client.call("history", &[json!("user.8")]).await;
        assert_eq!(answer["success"], false);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn presence_tells_who_is_there_who_comes_and_who_goes() {
    let toml = "[channels.thread.presence]\ngrace = 0.1";
    let server = Server::configured(toml).await;
    let mut first = connected(&server, Carrier::Polling, 7).await;
    let fields = json!({"channel": "thread.1", "follow": true});
    assert_eq!(first.call("join_channel", &[fields]).await["success"], true);
    assert_eq!(
        first.event().await.1[0]["user"],
        "7",
        "it is told of itself, too"
    );
    let mut second = connected(&server, Carrier::WebSocket, 8).await;
    second.join("thread.1").await;
    let (name, arguments) = first.event().await;
    assert_eq!(
        (&*name, &arguments[0]["user"]),
        ("user:online", &json!("8"))
    );
    assert_eq!(arguments[0]["channel"], "thread.1");
    let answer = second.call("presence", &[json!("thread.1")]).await;
    assert_eq!(
        (&answer["success"], &answer["users"]),
        (&json!(true), &json!(2))
    );
    let mut users = answer["clients"].as_array().unwrap().clone();
    users.sort_by_key(|member| member["user"].to_string());
    assert_eq!(users[0]["user"], "7");
    assert_eq!(users[1]["user"], "8");
    assert_eq!(users[1]["client"], arguments[0]["client"]);
    second.call("leave_channel", &[json!("thread.1")]).await;
    let (name, arguments) = first.event().await;
    assert_eq!(
        (&*name, &arguments[0]["user"]),
        ("user:offline", &json!("8"))
    );
    let answer = second.call("presence", &[json!("user.7")]).await;
    assert_eq!(answer["success"], false, "{answer}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ping_and_health_are_answered() {
    let server = Server::mechamap().await;
    for carrier in CARRIERS {
        let mut client = connected(&server, carrier, 7).await;
        client.emit("ping", &[]).await;
        assert_eq!(client.event().await, ("pong".to_owned(), Vec::new()));
        client.emit("health", &[]).await;
        let (name, arguments) = client.event().await;
        assert_eq!(name, "health");
        assert_eq!(arguments[0]["status"], "healthy", "{arguments:?}");
        let health = client.call("health", &[]).await;
        assert!(health["metrics"]["memory"].as_u64() > Some(0), "{health}");
        assert_eq!(health["broker"]["status"], "up");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_is_refreshed_or_the_connection_ends() {
    let server = Server::configured("heartbeat = { expiry_grace = 1 }").await;
    for carrier in CARRIERS {
        let token = Token::of(7).ending(from_now(2));
        let mut client = SocketIo::connect(&server, carrier, &token).await;
        let begun = tokio::time::Instant::now();
        client.end().await;
        assert!(begun.elapsed() > Duration::from_secs(1));

        let mut client =
            SocketIo::connect(&server, carrier, &Token::of(7).ending(from_now(3))).await;
        let renewed = Token::of(7).ending(from_now(100)).sign();
        let answer = client
            .call("refresh", &[json!(format!("Bearer {renewed}"))])
            .await;
        assert_eq!(answer["success"], true);
        assert!(
            (99..=101).contains(&answer["expires"].as_u64().unwrap()),
            "{answer}"
        );
        tokio::time::sleep(Duration::from_secs(6)).await;
        client.join("thread.1").await;
        let answer = client.call("refresh", &[json!("x")]).await;
        assert_eq!(
            (&answer["success"], &answer["code"]),
            (&json!(false), &json!("AUTH_FAILED"))
        );
        client.end().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_connection_gets_the_same_bytes() {
    let server = Server::mechamap().await;
    let mut clients = Vec::new();
    for user in [7, 8] {
        for carrier in CARRIERS {
            let mut client = connected(&server, carrier, user).await;
            client.join("thread.1").await;
            clients.push(client);
        }
    }
    let envelopes = (1..=3).map(|id| urgent_comment(1, id)).collect::<Value>();
    server.publish(&envelopes).await;
    let mut packets = Vec::new();
    for client in &mut clients {
        let mut own = Vec::new();
        for _ in 0..3 {
            own.push(client.packet().await.unwrap());
        }
        packets.push(own);
    }
    for own in &packets {
        assert_eq!(*own, packets[0]);
    }
    let ids = packets[0]
        .iter()
        .map(|packet| comment_id(&read_event(packet).1[0]));
    assert_eq!(ids.collect::<Vec<_>>(), [1, 2, 3]);
}

/// Connects a client that recovers; gives what it is answered and the cursor it begins with.
async fn recovering(server: &Server, carrier: Carrier, auth: &Value) -> (SocketIo, Value, String) {
    let mut client = SocketIo::open(server, carrier, "&recover=1&channel=thread.1").await;
    let mut fields = json!({"token": Token::of(7).sign()});
    for (name, value) in auth.as_object().unwrap() {
        fields[name] = value.clone();
    }
    let answer = client.introduce(&fields).await;
    let answer = serde_json::from_str(answer.strip_prefix("40").unwrap()).unwrap();
    let (name, mut arguments) = client.event().await;
    assert_eq!(name, "cursor");
    let Value::String(cursor) = arguments.remove(0) else {
        panic!("no text")
    };
    (client, answer, cursor)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_comes_back_with_its_cursor_gets_what_it_missed() {
    let server =
        Server::configured("history = { events = 50 }\nlimits = { connections_per_user = 100 }")
            .await;
    for (round, carrier) in (0..).zip(CARRIERS) {
        let base = round * 200;
        let (mut client, answer, _) = recovering(&server, carrier, &json!({})).await;
        let pid = answer["pid"].as_str().unwrap().to_owned();
        client.join("thread.2").await;
        server.publish(&urgent_comment(1, base + 1)).await;
        let (_, arguments) = client.event().await;
        let cursor = arguments[1].clone();
        assert!(cursor.is_string(), "{arguments:?}");
        drop(client);
        for id in 2..=4 {
            server.publish(&urgent_comment(1, base + id)).await;
            server.publish(&urgent_comment(2, base + id)).await;
        }
        let auth = json!({"pid": pid, "offset": cursor});
        let (mut client, answer, _) = recovering(&server, carrier, &auth).await;
        assert_eq!(answer["pid"], pid, "it missed nothing");
        let mut last = Value::Null;
        for id in 2..=4 {
            let (_, mut arguments) = client.event().await;
            assert_eq!(comment_id(&arguments[0]), base + id);
            last = arguments.remove(1);
        }
        // A channel that it joins now goes on where the cursor says, too.
        let answer = client.call("join_channel", &[json!("thread.2")]).await;
        assert_eq!(answer, json!({"success": true, "recovered": true}));
        for id in 2..=4 {
            let (_, mut arguments) = client.event().await;
            assert_eq!(comment_id(&arguments[0]), base + id);
            last = arguments.remove(1);
        }
        drop(client);
        // More than history keeps.
        let envelopes = (10..=100)
            .map(|id| urgent_comment(1, base + id))
            .collect::<Value>();
        server.publish(&envelopes).await;
        let auth = json!({"pid": pid, "offset": last});
        let (mut client, answer, _) = recovering(&server, carrier, &auth).await;
        assert_ne!(answer["pid"], pid, "it may have missed something");
        server.publish(&urgent_comment(1, base + 101)).await;
        assert_eq!(comment_id(&client.event().await.1[0]), base + 101);
        for offset in [Value::Null, json!("x"), json!(7)] {
            let auth = json!({"pid": pid, "offset": offset});
            let (_, answer, _) = recovering(&server, carrier, &auth).await;
            assert_ne!(answer["pid"], pid, "{offset}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_cut_before_its_first_event_has_a_cursor() {
    let server = Server::mechamap().await;
    let (client, answer, cursor) = recovering(&server, Carrier::WebSocket, &json!({})).await;
    drop(client);
    server.publish(&urgent_comment(1, 1)).await;
    let auth = json!({"pid": answer["pid"], "offset": cursor});
    let (mut client, again, _) = recovering(&server, Carrier::WebSocket, &auth).await;
    assert_eq!(again["pid"], answer["pid"]);
    assert_eq!(comment_id(&client.event().await.1[0]), 1);
}
