//! Who is let in, and how the others are told.

use std::time::Duration;

use fanfare_tests::token::from_now;
use fanfare_tests::{Client, Launch, RawSocket, SOON, Server, Token, until};
use serde_json::json;

/// Opens a WebSocket and brings `token` in the connect command; gives the code of the refusal and
/// whether it was the connection's end.
async fn refusal(server: &Server, token: &str) -> (u32, bool) {
    let client = Client::to(server.address()).open().await;
    let refused = client
        .introduce(token)
        .await
        .expect_err("the token is no good");
    (refused.code, refused.closed)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_is_taken_from_the_header_the_query_or_the_command_with_or_without_bearer() {
    let server = Server::mechamap().await;
    let token = Token::of(7).sign();
    let bearer = format!("Bearer {token}");
    let plain = Client::to(server.address()).open().await;
    assert!(plain.introduce(&token).await.unwrap().expires);
    let with_scheme = Client::to(server.address()).open().await;
    with_scheme.introduce(&bearer).await.unwrap();
    let header = Client::to(server.address())
        .header("authorization", &bearer)
        .open()
        .await;
    header.connect_with(json!({})).await.unwrap();
    let query = Client::to(server.address())
        .path(&format!("/ws?token={token}"))
        .open()
        .await;
    query.connect_with(json!({})).await.unwrap();
    for client in [&plain, &with_scheme, &header, &query] {
        client.subscribe("user.7").await.expect("it is user 7");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_reply_to_connect_says_who_how_long_and_how_often_to_ping() {
    let server = Server::mechamap().await;
    let client = Client::to(server.address()).open().await;
    let connected = client
        .introduce(&Token::of(7).ending(from_now(100)).sign())
        .await
        .unwrap();
    assert!(!connected.client.is_empty());
    assert!(
        connected.expires && connected.ttl.is_some_and(|ttl| (95..=101).contains(&ttl)),
        "{connected:?}"
    );
    assert_eq!((connected.ping, connected.pong), (25, true));
    assert!(connected.subs.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_user_is_a_string_or_an_integer() {
    let server = Server::mechamap().await;
    for token in [Token::of("").claim("sub", 7), Token::of("7")] {
        let client = Client::connect(&server, &token).await;
        client.subscribe("user.7").await.expect("it is user 7");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_token_ends_the_connection_with_3500() {
    let server = Server::mechamap().await;
    let client = Client::to(server.address()).open().await;
    let refused = client.connect_with(json!({})).await.unwrap_err();
    assert_eq!((refused.code, refused.closed), (3500, true));
    server.assert_healthy().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_invalid_token_ends_the_connection_with_3500() {
    let server = Server::mechamap().await;
    let good = Token::of(7).sign();
    let (signed, signature) = good.rsplit_once('.').unwrap();
    let bad = [
        "nonsense".to_owned(),
        Token::of(7).sign_with("another secret"),
        format!("{signed}.{}", signature.chars().rev().collect::<String>()),
        format!("{signed}."),
        // {"alg":"none"} . {"sub":"7"} .
        "eyJhbGciOiJub25lIn0.eyJzdWIiOiI3In0.".to_owned(),
        Token::of(7).without("sub").sign(),
        Token::of("").sign(),
        Token::of("7.8").sign(),
        Token::of("7 8").sign(),
        Token::of(7).claim("sub", json!({ "id": 7 })).sign(),
    ];
    for token in bad {
        assert_eq!(refusal(&server, &token).await, (3500, true), "{token}");
    }
    server.assert_healthy().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_has_expired_is_answered_with_error_109() {
    let server = Server::mechamap().await;
    let (code, closed) = refusal(&server, &Token::of(7).ending(from_now(0) - 5).sign()).await;
    assert_eq!((code, closed), (109, false));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_token_in_the_request_is_refused_before_the_upgrade() {
    let server = Server::mechamap().await;
    let expired = Token::of(7).ending(from_now(0) - 5).sign();
    let forged = Token::of(7).sign_with("another secret");
    for token in [&*expired, &*forged, "nonsense"] {
        let bearer = format!("Bearer {token}");
        let answer = server
            .http()
            .handshake("/ws", &[("authorization", &bearer)])
            .await;
        answer.assert_refusal(401, "AUTH_FAILED");
        let answer = server
            .http()
            .handshake(&format!("/ws?token={token}"), &[])
            .await;
        answer.assert_refusal(401, "AUTH_FAILED");
    }
    let good = Token::of(7).sign();
    assert_eq!(
        server
            .http()
            .handshake(&format!("/ws?token={good}"), &[])
            .await
            .status,
        101
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_does_not_authenticate_in_the_time_for_the_handshake_is_closed_with_3502() {
    let server = Server::configured("limits = { handshake = 2 }").await;
    let opened = tokio::time::Instant::now();
    let client = Client::to(server.address()).open().await;
    let refused_later = Client::to(server.address()).open().await;
    let expired = Token::of(7).ending(from_now(0) - 5).sign();
    assert_eq!(
        refused_later.introduce(&expired).await.unwrap_err().code,
        109
    );
    let end = client.end(SOON).await;
    assert_eq!(end.code, Some(3502));
    let took = end.at - opened;
    assert!(
        (Duration::from_millis(900)..Duration::from_secs(5)).contains(&took),
        "{took:?}"
    );
    assert_eq!(
        refused_later.close_code(SOON).await,
        3502,
        "an error is no authentication"
    );
    server.assert_healthy().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_authenticates_in_time_is_not_closed_as_stale() {
    let server = Server::configured("limits = { handshake = 1 }").await;
    let client = Client::connect(&server, &Token::of(7)).await;
    let stale = Client::to(server.address()).open().await;
    assert_eq!(stale.close_code(SOON).await, 3502);
    client.settle().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_never_sends_a_request_is_closed_in_the_time_for_the_handshake() {
    let server = Server::configured("limits = { handshake = 1 }").await;
    let mut silent = RawSocket::connect(server.address()).await;
    assert_eq!(silent.head().await, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_does_not_end_is_closed_in_the_time_for_the_handshake() {
    let server = Server::configured("limits = { handshake = 1 }").await;
    let mut slow = RawSocket::connect(server.address()).await;
    slow.send(b"GET /ws HTTP/1.1\r\nHost: a\r\n").await;
    let answer = slow.head().await;
    assert!(
        answer
            .as_ref()
            .is_none_or(|head| head.starts_with("HTTP/1.1 4")),
        "{answer:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_head_may_have_sixteen_kibibytes() {
    let server = Server::mechamap().await;
    let most = "x".repeat(15 << 10);
    assert_eq!(
        server
            .http()
            .get("/health", &[("x-padding", &most)])
            .await
            .status,
        200
    );
    let mut socket = RawSocket::connect(server.address()).await;
    let request = format!(
        "GET /health HTTP/1.1\r\nHost: a\r\nx-padding: {}\r\n\r\n",
        "x".repeat(17 << 10)
    );
    socket.send(request.as_bytes()).await;
    let answer = socket.head().await;
    assert!(
        answer
            .as_ref()
            .is_none_or(|head| head.starts_with("HTTP/1.1 4")),
        "{answer:?}"
    );
    server.assert_healthy().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_sixth_connection_of_a_user_is_refused_until_another_ends() {
    let server = Server::mechamap().await;
    let token = Token::of(7);
    let mut clients = Vec::new();
    for _ in 0..5 {
        clients.push(Client::connect(&server, &token).await);
    }
    assert_eq!(refusal(&server, &token.sign()).await, (3504, true));
    let bearer = format!("Bearer {}", token.sign());
    let answer = server
        .http()
        .handshake("/ws", &[("authorization", &bearer)])
        .await;
    answer.assert_refusal(429, "CONNECTION_LIMIT");
    answer.assert_retry_after();
    Client::connect(&server, &Token::of(8)).await.settle().await;
    for client in &clients {
        client.settle().await;
    }
    clients.pop().unwrap().close().await;
    until("room for another connection", SOON, async || {
        let client = Client::to(server.address()).open().await;
        client.introduce(&token.sign()).await.ok()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_beyond_the_nodes_limit_are_refused() {
    let server = Server::configured("limits = { connections = 3 }").await;
    let mut clients = Vec::new();
    for user in 1..=3 {
        clients.push(Client::connect(&server, &Token::of(user)).await);
    }
    assert_eq!(refusal(&server, &Token::of(4).sign()).await, (3504, true));
    let answer = server
        .http()
        .handshake(&format!("/ws?token={}", Token::of(4).sign()), &[])
        .await;
    answer.assert_refusal(429, "CONNECTION_LIMIT");
    answer.assert_retry_after();
    server.assert_healthy().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_of_a_foreign_origin_is_refused_and_of_the_own_or_an_allowed_one_let_in() {
    let allowed = ["https://app.example", "https://other.example:8443"];
    let server = Launch::mechamap()
        .argument("--allow-origin")
        .argument(allowed[0])
        .argument("--allow-origin")
        .argument(allowed[1]);
    let server = server.start().await;
    let own = format!("http://{}", server.address());
    for origin in [&*own, allowed[0], allowed[1]] {
        let client = Client::to(server.address())
            .header("origin", origin)
            .open()
            .await;
        client.introduce(&Token::of(7).sign()).await.unwrap();
    }
    for foreign in [
        "https://evil.example",
        "http://app.example",
        "https://app.example:444",
        "null",
        "http://127.0.0.1:1",
    ] {
        let answer = server.http().handshake("/ws", &[("origin", foreign)]).await;
        answer.assert_refusal(403, "FORBIDDEN");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_is_no_handshake_gets_an_error_and_no_socket() {
    let server = Server::mechamap().await;
    server
        .http()
        .get("/ws", &[])
        .await
        .assert_refusal(400, "INVALID_REQUEST");
    server
        .http()
        .get("/nowhere", &[])
        .await
        .assert_refusal(404, "NOT_FOUND");
    let version = [
        ("connection", "Upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-version", "12"),
    ];
    let answer = server.http().get("/ws", &version).await;
    assert!(answer.status.is_client_error(), "{answer:?}");
    server.assert_healthy().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_connect_command_ends_the_connection() {
    let server = Server::mechamap().await;
    let client = Client::connect(&server, &Token::of(7)).await;
    let refused = client.introduce(&Token::of(7).sign()).await.unwrap_err();
    assert_eq!((refused.code, refused.closed), (3501, true));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_before_connect_ends_the_connection() {
    let server = Server::mechamap().await;
    let client = Client::to(server.address()).open().await;
    let refused = client.subscribe("thread.1").await.unwrap_err();
    assert_eq!((refused.code, refused.closed), (3501, true));
}
