//! What happens when the token of a running connection ends.

use std::time::Duration;

use fanfare_tests::mechamap::message;
use fanfare_tests::token::{from_now, since_1970};
use fanfare_tests::{Client, SOON, Server, Token};
use tokio::time::sleep;

const AFTER_EXPIRY: Duration = Duration::from_secs(25);

/// Waits for the second `at` since 1970.
async fn reach(at: u64) {
    sleep(Duration::from_secs(at).saturating_sub(since_1970())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_ended_token_closes_the_connection_with_3005_within_25_seconds_by_default() {
    let server = Server::mechamap().await;
    let ends = from_now(2);
    let client = Client::connect(&server, &Token::of(7).ending(ends)).await;
    let code = client
        .close_code(Duration::from_secs(2) + AFTER_EXPIRY)
        .await;
    let closed = since_1970();
    assert_eq!(code, 3005);
    assert!(
        closed >= Duration::from_secs(ends),
        "not before the token ends"
    );
    assert!(closed <= Duration::from_secs(ends) + AFTER_EXPIRY);
    server.assert_healthy().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_flow_until_the_connection_is_closed() {
    let server = Server::configured("heartbeat = { expiry_grace = 2 }").await;
    let ends = from_now(2);
    let client = Client::connect(&server, &Token::of(7).ending(ends)).await;
    client.subscribe("user.7").await.unwrap();
    let mut posted = 0;
    let mut after_expiry = 0;
    while client.is_open() {
        let is_over = since_1970() > Duration::from_secs(ends);
        posted += 1;
        server.publish(&message(7, posted)).await;
        after_expiry += u64::from(is_over);
        sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(client.close_code(SOON).await, 3005);
    let arrived = client.pushed().len() as u64;
    assert!(
        posted - arrived <= 3,
        "{arrived} of {posted} arrived, those of the last moment aside"
    );
    assert!(
        after_expiry > 5,
        "the connection lived on for a while after its token: {after_expiry}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refreshed_connection_lives_on() {
    let server = Server::configured("heartbeat = { expiry_grace = 1 }").await;
    let ends = from_now(2);
    let client = Client::connect(&server, &Token::of(7).ending(ends)).await;
    let unrefreshed = Client::connect(&server, &Token::of(8).ending(ends)).await;
    client.subscribe("user.7").await.unwrap();
    let ttl = client
        .refresh(&Token::of(7).ending(from_now(60)).sign())
        .await
        .unwrap();
    assert!((58..=61).contains(&ttl), "{ttl}");
    assert_eq!(unrefreshed.close_code(AFTER_EXPIRY).await, 3005);
    reach(ends + 4).await;
    server.publish(&message(7, 1)).await;
    assert_eq!(client.pushes(1, SOON).await.len(), 1);
    client.settle().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refresh_may_come_when_the_token_has_just_ended() {
    let server = Server::mechamap().await;
    let ends = from_now(1);
    let client = Client::connect(&server, &Token::of(7).ending(ends)).await;
    reach(ends + 1).await;
    client
        .refresh(&Token::of(7).sign())
        .await
        .expect("the connection is still there");
    client.subscribe("user.7").await.unwrap();
    server.publish(&message(7, 1)).await;
    client.pushes(1, SOON).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refreshed_token_ends_too() {
    let server = Server::configured("heartbeat = { expiry_grace = 1 }").await;
    let client = Client::connect(&server, &Token::of(7).ending(from_now(60))).await;
    let ends = from_now(2);
    client
        .refresh(&Token::of(7).ending(ends).sign())
        .await
        .unwrap();
    assert_eq!(client.close_code(AFTER_EXPIRY).await, 3005);
    assert!(since_1970() >= Duration::from_secs(ends));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refresh_with_a_bad_token_is_refused_as_at_connect() {
    let server = Server::mechamap().await;
    for (token, code, closed) in [
        (Token::of(7).ending(from_now(0) - 5).sign(), 109, false),
        (Token::of(7).sign_with("another secret"), 3500, true),
        ("nonsense".to_owned(), 3500, true),
        (Token::of(8).sign(), 3500, true),
    ] {
        let client = Client::connect(&server, &Token::of(7)).await;
        let refused = client.refresh(&token).await.unwrap_err();
        assert_eq!((refused.code, refused.closed), (code, closed), "{token}");
    }
    server.assert_healthy().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_in_the_request_ends_the_connection_as_well() {
    let server = Server::configured("heartbeat = { expiry_grace = 1 }").await;
    let token = Token::of(7).ending(from_now(2)).sign();
    let client = Client::to(server.address())
        .path(&format!("/ws?token={token}"))
        .open()
        .await;
    let connected = client.connect_with(serde_json::json!({})).await.unwrap();
    assert!(
        connected.expires && connected.ttl.is_some_and(|ttl| ttl <= 3),
        "{connected:?}"
    );
    assert_eq!(client.close_code(AFTER_EXPIRY).await, 3005);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_without_an_end_does_not_expire() {
    let server = Server::mechamap().await;
    let client = Client::to(server.address()).open().await;
    let connected = client
        .introduce(&Token::of(7).without("exp").sign())
        .await
        .unwrap();
    assert_eq!((connected.expires, connected.ttl), (false, None));
}
