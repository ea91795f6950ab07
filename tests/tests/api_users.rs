//! What the server API says of a user's connections, and how it ends them.

#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on ends with a panic"
)]

use std::time::{Duration, SystemTime};

use fanfare_tests::server::API_KEY;
use fanfare_tests::{Answer, Client, SOON, Server, Token, until};
use serde_json::{Value, json};

async fn connections(server: &Server, user: &str) -> Vec<Value> {
    let answer = server.ask(&format!("/users/{user}/connections")).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let body = answer.json();
    assert_eq!(body.as_object().unwrap().len(), 1, "{body}");
    body["connections"].as_array().unwrap().clone()
}

async fn disconnect(server: &Server, user: &str, body: &str) -> Answer {
    server
        .tell(&format!("/users/{user}/disconnect"), body.to_owned())
        .await
}

/// Checks that the user had exactly so many connections, all of which were ended.
async fn assert_disconnects(server: &Server, user: &str, body: &str, count: usize) {
    let answer = disconnect(server, user, body).await;
    assert_eq!(answer.status, 200, "{body}: {answer:?}");
    assert_eq!(answer.json(), json!({ "disconnected": count }), "{body}");
}

/// A connection of a user, and its id.
async fn connect(server: &Server, user: u64) -> (Client, String) {
    let client = Client::to(server.address()).open().await;
    let connected = client.introduce(&Token::of(user).sign()).await.unwrap();
    (client, connected.client)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_is_shown_with_its_subscriptions() {
    let server = Server::mechamap().await;
    let before = milliseconds(SystemTime::now());
    let (client, id) = connect(&server, 7).await;
    let after = milliseconds(SystemTime::now());
    for channel in ["thread.2", "thread.1", "user.7"] {
        client.subscribe(channel).await.unwrap();
    }
    let _other = connect(&server, 8).await;
    let shown = connections(&server, "7").await;
    assert_eq!(shown.len(), 1, "{shown:?}");
    let connected_at = shown[0]["connected_at"].as_str().unwrap();
    assert_eq!(
        shown[0],
        json!({
            "client": id,
            "transport": "websocket",
            "connected_at": connected_at,
            "channels": ["thread.1", "thread.2", "user.7"],
        })
    );
    // 2026-11-20T12:34:56.789Z
    assert_eq!(connected_at.len(), 24, "{connected_at}");
    let at = connected_at.parse::<jiff::Timestamp>().unwrap();
    assert!(
        (before..=after).contains(&at.as_millisecond()),
        "{connected_at}"
    );
}

fn milliseconds(time: SystemTime) -> i64 {
    jiff::Timestamp::try_from(time).unwrap().as_millisecond()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_come_and_go_in_order_of_their_age() {
    let server = Server::mechamap().await;
    assert_eq!(connections(&server, "7").await, [] as [Value; 0]);
    let (first, first_id) = connect(&server, 7).await;
    tokio::time::sleep(Duration::from_millis(5)).await;
    let (_second, second_id) = connect(&server, 7).await;
    let shown = connections(&server, "7").await;
    let ids = shown.iter().map(|connection| &connection["client"]);
    assert_eq!(ids.collect::<Vec<_>>(), [&first_id, &second_id]);
    first.close().await;
    until("one connection", SOON, async || {
        let shown = connections(&server, "7").await;
        (shown.len() == 1 && shown[0]["client"] == second_id.as_str()).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_has_not_said_who_it_is_is_nobodys() {
    let server = Server::mechamap().await;
    let silent = Client::to(server.address()).open().await;
    assert_eq!(connections(&server, "7").await, [] as [Value; 0]);
    assert_disconnects(&server, "7", "", 0).await;
    silent.introduce(&Token::of(7).sign()).await.unwrap();
    assert_eq!(connections(&server, "7").await.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_is_told_to_stay_away_and_the_others_stay() {
    let server = Server::mechamap().await;
    let (one, _) = connect(&server, 7).await;
    let (two, _) = connect(&server, 7).await;
    let (other, _) = connect(&server, 8).await;
    two.subscribe("thread.1").await.unwrap();
    assert_disconnects(&server, "7", "", 2).await;
    for client in [one, two] {
        let end = client.end(SOON).await;
        assert_eq!((end.code, &*end.reason), (Some(3503), "force disconnect"));
    }
    until("no connection", SOON, async || {
        connections(&server, "7").await.is_empty().then_some(())
    })
    .await;
    let channels = server.ask("/channels").await.json();
    assert_eq!(channels, json!({ "channels": [] }));
    assert_disconnects(&server, "7", "", 0).await;
    other.settle().await;
    // It is a word with those who are there, not a ban.
    connect(&server, 7).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_body_chooses_the_code_and_the_reason() {
    let server = Server::mechamap().await;
    let most = "\u{20ac}".repeat(41);
    let longest = json!({ "code": 4999, "reason": most }).to_string();
    for (body, code, reason) in [
        ("{}", 3503, "force disconnect"),
        (r#" { "code": 3503 } "#, 3503, "force disconnect"),
        (r#"{"code":3011}"#, 3011, "force reconnect"),
        (r#"{"code":4000}"#, 4000, ""),
        (
            r#"{"code":4001,"reason":"new terms of use"}"#,
            4001,
            "new terms of use",
        ),
        (r#"{"reason":"sold out","code":4500}"#, 4500, "sold out"),
        (&longest, 4999, &most),
    ] {
        let (client, _) = connect(&server, 7).await;
        assert_disconnects(&server, "7", body, 1).await;
        let end = client.end(SOON).await;
        assert_eq!((end.code, &*end.reason), (Some(code), reason), "{body}");
        until("no connection", SOON, async || {
            connections(&server, "7").await.is_empty().then_some(())
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_instruction_ends_nothing() {
    let server = Server::mechamap().await;
    let (client, _) = connect(&server, 7).await;
    let long = json!({ "code": 4000, "reason": "x".repeat(124) }).to_string();
    for body in [
        " ",
        "null",
        "3503",
        "[]",
        "[4000,\"x\"]",
        "{",
        "{}{}",
        r#"{"code":"3503"}"#,
        r#"{"code":null}"#,
        r#"{"code":3503.5}"#,
        r#"{"code":0}"#,
        r#"{"code":1000}"#,
        r#"{"code":3001}"#,
        r#"{"code":3999}"#,
        r#"{"code":5000}"#,
        r#"{"code":65536}"#,
        r#"{"code":4000,"reason":1}"#,
        r#"{"code":4000,"why":"x"}"#,
        r#"{"reason":"without a code of its own"}"#,
        r#"{"code":3011,"reason":"x"}"#,
        &long,
    ] {
        let answer = disconnect(&server, "7", body).await;
        assert_eq!(answer.status, 400, "{body}: {answer:?}");
        answer.assert_refusal(400, "INVALID_REQUEST");
    }
    server
        .tell("/users/7/disconnect", &b"{\"reason\":\"\xff\"}"[..])
        .await
        .assert_refusal(400, "INVALID_REQUEST");
    disconnect(&server, "7", &" ".repeat(20 << 10))
        .await
        .assert_refusal(413, "PAYLOAD_TOO_LARGE");
    client.settle().await;
    assert_eq!(connections(&server, "7").await.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_key_nobody_is_disconnected() {
    let server = Server::mechamap().await;
    let (client, _) = connect(&server, 7).await;
    let own = format!("Bearer {}", Token::of(7).role("admin").sign());
    for headers in [
        &[][..],
        &[("authorization", "Bearer wrong")],
        &[("authorization", &*own)],
    ] {
        for path in ["/users/7/disconnect", "/users/a.b/disconnect"] {
            let path = format!("{path}?token={API_KEY}");
            let answer = server.http().post(&path, headers, "{").await;
            answer.assert_refusal(401, "AUTH_FAILED");
        }
    }
    client.settle().await;
    assert_eq!(connections(&server, "7").await.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_id_that_can_be_nobodys_is_400() {
    let server = Server::mechamap().await;
    let long = "1".repeat(256);
    for user in [
        "", "a.b", "a%2Eb", "%2F", "%20", "%ff", "%", "*", "%c3%a9", &long,
    ] {
        let answer = server.ask(&format!("/users/{user}/connections")).await;
        answer.assert_refusal(400, "INVALID_REQUEST");
        let answer = disconnect(&server, user, "").await;
        answer.assert_refusal(400, "INVALID_REQUEST");
    }
    let (_client, id) = connect(&server, 7).await;
    let shown = connections(&server, "%37").await;
    assert_eq!(shown[0]["client"], id.as_str());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_method_is_400_and_an_unknown_path_404() {
    let server = Server::mechamap().await;
    let (client, _) = connect(&server, 7).await;
    server
        .ask("/users/7/disconnect")
        .await
        .assert_refusal(400, "INVALID_REQUEST");
    server
        .tell("/users/7/connections", "")
        .await
        .assert_refusal(400, "INVALID_REQUEST");
    for path in [
        "/users",
        "/users/",
        "/users/7",
        "/users/7/",
        "/users/7/connections/",
        "/users/7/disconnect/x",
        "/user/7/connections",
    ] {
        server.ask(path).await.assert_refusal(404, "NOT_FOUND");
        server.tell(path, "").await.assert_refusal(404, "NOT_FOUND");
    }
    client.settle().await;
}
