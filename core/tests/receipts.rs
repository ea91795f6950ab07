//! What waits for a user who was away: everything that no client of the user has proved to have.

#![allow(clippy::unwrap_used, reason = "a suite, not a library")]

mod common;
mod lines;

use std::time::Duration;

use common::{Client, Message, event, node, offsets};
use fanfare::codec::Connect;
use fanfare::{Config, Node, Priority};
use lines::{LineClient, Lines, PolledLines, numbers, opening, resuming};
use serde_json::{Value, json};
use tokio::time::{Instant, advance, sleep, timeout};

async fn high(node: &Node, name: &str, number: u64) {
    let event = event(name, number).with_priority(Priority::High);
    node.publish(event).await.unwrap();
    sleep(Duration::from_millis(1)).await;
}

/// What stands in a subscribe reply.
fn waited(reply: &Value) -> Vec<u64> {
    let publications = reply["publications"].as_array().cloned();
    let publications = publications.unwrap_or_default();
    let data = publications.iter().map(|p| p["data"].as_u64().unwrap());
    data.collect()
}

/// Connects a user to a channel without a position, and says what waited there.
async fn come(node: &Node, user: &str, name: &str) -> (Client, Vec<u64>) {
    let mut client = Client::connected(node, user).await;
    let reply = client.subscribe(name).await;
    (client, waited(&reply))
}

/// Reads for so long, answering pings.
async fn stay(client: &mut Client, time: Duration) -> Vec<Message> {
    let until = Instant::now() + time;
    let mut messages = Vec::new();
    while let Ok(message) = tokio::time::timeout_at(until, client.message()).await {
        messages.push(message.unwrap());
    }
    messages
}

/// Longer than from one ping to the next.
const A_PING: Duration = Duration::from_secs(30);

#[tokio::test(start_paused = true)]
async fn the_first_connection_ever_gets_nothing_old() {
    let node = node(Config::default()).await;
    high(&node, "user.1", 1).await;
    let (client, waited) = come(&node, "1", "user.1").await;
    assert!(waited.is_empty());
    drop(client);
    high(&node, "user.1", 2).await;
    let (_, waited) = come(&node, "1", "user.1").await;
    assert_eq!(waited, [2], "from its first moment on everything is owed");
}

#[tokio::test(start_paused = true)]
async fn what_a_pong_proved_is_not_sent_again() {
    let node = node(Config::default()).await;
    let (mut client, _) = come(&node, "1", "user.1").await;
    high(&node, "user.1", 1).await;
    high(&node, "user.1", 2).await;
    assert_eq!(stay(&mut client, A_PING * 2).await.len(), 2);
    high(&node, "user.1", 3).await;
    assert_eq!(stay(&mut client, Duration::from_millis(5)).await.len(), 1);
    drop(client);
    high(&node, "user.1", 4).await;
    let (client, waited) = come(&node, "1", "user.1").await;
    assert_eq!(waited, [3, 4], "3 was sent, but nothing came back for it");
    drop(client);
    let (_, waited) = come(&node, "1", "user.1").await;
    assert_eq!(waited, [3, 4], "and it was not answered either");
}

#[tokio::test(start_paused = true)]
async fn what_waited_is_proved_by_a_pong_as_well() {
    let node = node(Config::default()).await;
    drop(come(&node, "1", "user.1").await);
    high(&node, "user.1", 1).await;
    let (mut client, waited) = come(&node, "1", "user.1").await;
    assert_eq!(waited, [1]);
    stay(&mut client, A_PING * 2).await;
    drop(client);
    let (_, waited) = come(&node, "1", "user.1").await;
    assert!(waited.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_pong_that_nobody_asked_for_proves_nothing() {
    let node = node(Config::default()).await;
    let (mut client, _) = come(&node, "1", "user.1").await;
    high(&node, "user.1", 1).await;
    for _ in 0..3 {
        client.session.receive(b"{}").await.unwrap();
    }
    drop(client);
    let (_, waited) = come(&node, "1", "user.1").await;
    assert_eq!(waited, [1]);
}

#[tokio::test(start_paused = true)]
async fn a_pong_proves_what_stood_before_its_ping() {
    let node = node(Config::default()).await;
    let (mut client, _) = come(&node, "1", "user.1").await;
    high(&node, "user.1", 1).await;
    let unread = client.outbound.queued();
    // The ping is answered when the client reads again.
    while client.outbound.queued() == unread {
        sleep(Duration::from_secs(1)).await;
    }
    high(&node, "user.1", 2).await;
    let read = stay(&mut client, Duration::from_millis(5)).await;
    assert_eq!(
        read.iter().flat_map(|m| offsets(m)).collect::<Vec<_>>(),
        [1, 2]
    );
    drop(client);
    let (_, waited) = come(&node, "1", "user.1").await;
    assert_eq!(waited, [2]);
}

#[tokio::test(start_paused = true)]
async fn at_most_a_day_is_kept_for_somebody_who_is_away() {
    let mut config = Config::default();
    config.history.age = Duration::from_secs(7 * 24 * 60 * 60);
    let node = node(config).await;
    drop(come(&node, "1", "user.1").await);
    let hour = Duration::from_secs(60 * 60);
    high(&node, "user.1", 1).await;
    advance(hour * 20).await;
    high(&node, "user.1", 2).await;
    advance(hour * 5).await;
    let (mut client, waited) = come(&node, "1", "user.1").await;
    assert_eq!(waited, [2]);
    high(&node, "user.1", 3).await;
    assert_eq!(offsets(&client.message().await.unwrap()), [3]);
}

#[tokio::test(start_paused = true)]
async fn any_connection_of_the_user_may_prove_it() {
    let node = node(Config::default()).await;
    let (mut silent, _) = come(&node, "1", "user.1").await;
    let (mut first, _) = come(&node, "1", "user.1").await;
    high(&node, "user.1", 1).await;
    stay(&mut first, Duration::from_millis(5)).await;
    // A late one begins at what is proved so far.
    let (mut second, waited) = come(&node, "1", "user.1").await;
    assert_eq!(waited, [1]);
    let both = async {
        tokio::join!(stay(&mut first, A_PING * 2), stay(&mut second, A_PING * 2));
    };
    both.await;
    let end = timeout(A_PING, async { while silent.message().await.is_ok() {} });
    end.await.unwrap();
    drop((silent, first, second));
    let (_, waited) = come(&node, "1", "user.1").await;
    assert!(waited.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_position_that_the_client_brings_proves_what_stands_before_it() {
    let node = node(Config::default()).await;
    drop(come(&node, "1", "user.1").await);
    for number in 1..=4 {
        high(&node, "user.1", number).await;
    }
    let mut client = Client::connected(&node, "1").await;
    let epoch = client
        .command(json!({"history": {"channel": "user.1"}}))
        .await;
    let epoch = epoch["history"]["epoch"].clone();
    let subscribe = json!({"channel": "user.1", "recover": true, "epoch": epoch, "offset": 3});
    let reply = client.command(json!({ "subscribe": subscribe })).await;
    assert_eq!(waited(&reply["subscribe"]), [4]);
    drop(client);
    let (_, since) = come(&node, "1", "user.1").await;
    assert_eq!(since, [4]);
    // It never goes back.
    let mut client = Client::connected(&node, "1").await;
    let subscribe = json!({"channel": "user.1", "recover": true, "epoch": epoch, "offset": 1});
    let reply = client.command(json!({ "subscribe": subscribe })).await;
    assert_eq!(waited(&reply["subscribe"]), [2, 3, 4]);
    drop(client);
    let (_, since) = come(&node, "1", "user.1").await;
    assert_eq!(since, [4]);
}

#[tokio::test(start_paused = true)]
async fn only_the_own_channel_waits() {
    let node = node(Config::default()).await;
    for name in ["user.2", "user.1.orders", "thread.1"] {
        drop(come(&node, "1", name).await);
        high(&node, name, 1).await;
        let (mut client, waited) = come(&node, "1", name).await;
        assert!(waited.is_empty(), "{name}");
        high(&node, name, 2).await;
        stay(&mut client, A_PING * 2).await;
        drop(client);
        high(&node, name, 3).await;
        let (_, waited) = come(&node, "1", name).await;
        assert!(waited.is_empty(), "{name}");
    }
    // Nor has the other user's place been moved.
    let (_, waited) = come(&node, "2", "user.2").await;
    assert!(waited.is_empty(), "it is user 2's first time");
}

#[tokio::test(start_paused = true)]
async fn user_1_does_not_acknowledge_for_user_2() {
    let node = node(Config::default()).await;
    drop(come(&node, "2", "user.2").await);
    high(&node, "user.2", 1).await;
    // Whoever may listen to another user's channel (an operator's page, say).
    let (mut client, _) = come(&node, "1", "user.2").await;
    high(&node, "user.2", 2).await;
    stay(&mut client, A_PING * 2).await;
    drop(client);
    let (_, waited) = come(&node, "2", "user.2").await;
    assert_eq!(waited, [1, 2]);
}

/// Connects a user of a dialect without pongs, and says what waited.
async fn come_silently(node: &Node, connect: Connect) -> (LineClient, Vec<u64>) {
    let opening = opening("1", &["user.1"], Lines { pongs: false });
    let mut client = LineClient::connect(node, opening, connect).await.unwrap();
    let (lines, _) = client.lines(Duration::from_millis(1)).await;
    (client, numbers(&lines))
}

#[tokio::test(start_paused = true)]
async fn of_clients_without_pongs_the_next_ping_but_one_proves_it() {
    let node = node(Config::default()).await;
    let (mut client, waited) = come_silently(&node, Connect::default()).await;
    assert!(waited.is_empty());
    high(&node, "user.1", 1).await;
    // Read, but cut off before the second ping after it.
    let mut pings = 0;
    while pings == 0 {
        pings += u8::from(client.line().await.unwrap() == lines::Line::Ping);
    }
    drop(client);
    let (mut client, waited) = come_silently(&node, Connect::default()).await;
    assert_eq!(waited, [1]);
    let mut pings = 0;
    while pings < 2 {
        pings += u8::from(client.line().await.unwrap() == lines::Line::Ping);
    }
    drop(client);
    let (_, waited) = come_silently(&node, Connect::default()).await;
    assert!(waited.is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_never_left_the_outbox_is_not_received() {
    let node = node(Config::default()).await;
    let (client, _) = come_silently(&node, Connect::default()).await;
    high(&node, "user.1", 1).await;
    // The client reads nothing: its socket is full.
    sleep(Duration::from_secs(300)).await;
    drop(client);
    // Nor does it read what waited for it.
    let opening = opening("1", &["user.1"], Lines { pongs: false });
    let client = LineClient::connect(&node, opening, Connect::default()).await;
    sleep(Duration::from_secs(300)).await;
    drop(client.unwrap());
    let (_, waited) = come_silently(&node, Connect::default()).await;
    assert_eq!(waited, [1]);
}

#[tokio::test(start_paused = true)]
async fn a_cursor_wins_over_what_was_proved() {
    let node = node(Config::default()).await;
    let (mut client, _) = come_silently(&node, Connect::default()).await;
    high(&node, "user.1", 1).await;
    let (lines, _) = client.lines(Duration::from_millis(1)).await;
    let at_one = lines::last_cursor(&lines).unwrap();
    high(&node, "user.1", 2).await;
    drop(client);
    let (_, waited) = come_silently(&node, resuming(&at_one)).await;
    assert_eq!(waited, [2]);
    let (_, waited) = come_silently(&node, Connect::default()).await;
    assert_eq!(waited, [2], "the cursor has proved 1");
}

#[tokio::test(start_paused = true)]
async fn polls_prove_by_the_cursor_they_bring() {
    let node = node(Config::default()).await;
    let ask = async |connect: Connect| {
        let session = node.open(opening("1", &["user.1"], PolledLines)).unwrap();
        let polled = session.poll(connect, Duration::from_secs(2)).await.unwrap();
        let seen = numbers(&lines::read_lines(&polled.events));
        (seen, polled.cursor.to_string())
    };
    ask(Connect::default()).await;
    high(&node, "user.1", 1).await;
    let (seen, at_one) = ask(Connect::default()).await;
    assert_eq!(seen, [1]);
    assert_eq!(
        ask(Connect::default()).await.0,
        [1],
        "the answer may have been lost"
    );
    high(&node, "user.1", 2).await;
    assert_eq!(ask(resuming(&at_one)).await.0, [2]);
    let (_, waited) = come(&node, "1", "user.1").await;
    assert_eq!(waited, [2]);
}
