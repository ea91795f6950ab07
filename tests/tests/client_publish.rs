//! What clients may publish, and how much of it.

use fanfare_tests::mechamap::{every_event, typing, typing_in_conversation, with};
use fanfare_tests::{Client, SOON, Server, Token};
use serde_json::json;
use tokio::time::Instant;

const FORBIDDEN: u32 = 103;
const INVALID: u32 = 107;
const TOO_MANY: u32 = 111;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn typing_may_name_its_channel_in_the_command_or_in_both_places() {
    let server = Server::mechamap().await;
    let reader = Client::connect(&server, &Token::of(8)).await;
    reader.subscribe("thread.456").await.unwrap();
    let client = Client::connect(&server, &Token::of(7)).await;
    let ways = [
        ("thread.456", typing(7)),
        ("thread.456", with(typing(7), "channel", "thread.456")),
        ("", with(typing(7), "channel", "thread.456")),
    ];
    for (at, (channel, event)) in ways.iter().enumerate() {
        client.publish(channel, event).await.unwrap();
        // One by one: of those that wait together only the newest is sent.
        let pushes = reader.pushes(at + 1, SOON).await;
        assert_eq!(pushes[at].json()["data"], typing(7)["data"]);
    }
    let refused = client
        .publish("thread.456", &with(typing(7), "channel", "thread.457"))
        .await
        .unwrap_err();
    assert!(
        [FORBIDDEN, INVALID].contains(&refused.code) && !refused.closed,
        "{refused:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_that_clients_may_not_send_are_forbidden() {
    let server = Server::mechamap().await;
    let token = Token::of(7).channels(&["conversation.456"]);
    let client = Client::connect(&server, &token).await;
    for channel in ["thread.456", "product.456", "user.7"] {
        client.subscribe(channel).await.unwrap();
    }
    for (envelope, _, channel) in every_event(7) {
        let name = envelope["event"].as_str().unwrap();
        if name.ends_with("typing.started") {
            continue;
        }
        let event = json!({ "event": name, "data": envelope["data"] });
        let refused = client.publish(&channel, &event).await.expect_err(name);
        assert_eq!(
            (refused.code, refused.closed),
            (FORBIDDEN, false),
            "{name}: {refused:?}"
        );
    }
    client.settle().await;
    assert_eq!(client.pushed().len(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn typing_in_anothers_name_is_forbidden() {
    let server = Server::mechamap().await;
    let client = Client::connect(&server, &Token::of(7).channels(&["conversation.5"])).await;
    client.subscribe("thread.456").await.unwrap();
    let refused = client.publish("thread.456", &typing(8)).await.unwrap_err();
    assert_eq!((refused.code, refused.closed), (FORBIDDEN, false));
    let refused = client
        .publish("conversation.5", &typing_in_conversation(8, 5))
        .await
        .unwrap_err();
    assert_eq!((refused.code, refused.closed), (FORBIDDEN, false));
    client.settle().await;
    assert_eq!(client.pushed().len(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn typing_in_a_conversation_is_for_those_whose_token_names_it() {
    let server = Server::mechamap().await;
    let member = Client::connect(
        &server,
        &Token::of(7).channels(&["conversation.5", "conversation.6"]),
    )
    .await;
    let stranger = Client::connect(&server, &Token::of(8)).await;
    let refused = stranger
        .publish("conversation.5", &typing_in_conversation(8, 5))
        .await
        .unwrap_err();
    assert_eq!((refused.code, refused.closed), (FORBIDDEN, false));
    member
        .publish("conversation.5", &typing_in_conversation(7, 5))
        .await
        .unwrap();
    let pushes = member.pushes(1, SOON).await;
    assert_eq!(pushes[0].channel, "conversation.5");
    let refused = member
        .publish("conversation.6", &typing_in_conversation(7, 5))
        .await
        .unwrap_err();
    assert!(
        [FORBIDDEN, INVALID].contains(&refused.code),
        "the data names another: {refused:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn typing_on_a_channel_that_it_does_not_belong_to_is_refused() {
    let server = Server::mechamap().await;
    let client = Client::connect(&server, &Token::of(7)).await;
    for channel in [
        "user.8",
        "user.7",
        "forum.1",
        "room.1",
        "thread.x",
        "admin.notifications",
        "",
    ] {
        let refused = client
            .publish(channel, &typing(7))
            .await
            .expect_err(channel);
        assert!(
            [FORBIDDEN, INVALID].contains(&refused.code) && !refused.closed,
            "{channel}: {refused:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_event_is_refused_and_the_connection_stays() {
    let server = Server::mechamap().await;
    let client = Client::connect(&server, &Token::of(7)).await;
    for data in [
        json!({ "event": "no.such.event", "data": {} }),
        json!({ "event": "forum.typing.started", "data": {} }),
        json!({ "event": "forum.typing.started" }),
        json!({ "data": typing(7)["data"] }),
        with(typing(7), "event", 7),
        with(typing(7), "priority", "low"),
        json!({}),
        json!([]),
        json!("text"),
        json!(null),
    ] {
        let refused = client
            .publish("thread.1", &data)
            .await
            .expect_err(&data.to_string());
        assert!(
            [FORBIDDEN, INVALID].contains(&refused.code) && !refused.closed,
            "{data}: {refused:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_hundred_and_first_event_of_a_users_minute_is_answered_with_111_and_the_connection_stays()
 {
    let server = Server::mechamap().await;
    let client = Client::connect(&server, &Token::of(7)).await;
    let begun = Instant::now();
    let publish = json!({ "channel": "thread.456", "data": typing(7) });
    let sent = (0..130)
        .map(|_| client.send("publish", &publish))
        .collect::<Vec<_>>();
    let mut refused = Vec::new();
    for id in sent {
        refused.push(client.reply(id).await.err());
    }
    let refilled = begun.elapsed().as_millis() as usize / 600;
    let accepted = refused.iter().filter(|refused| refused.is_none()).count();
    assert!(
        refused[..100].iter().all(Option::is_none),
        "a hundred are let through at once"
    );
    assert!(
        (100..=101 + refilled).contains(&accepted),
        "{accepted} were accepted"
    );
    for refused in refused.iter().flatten() {
        assert_eq!((refused.code, refused.closed), (TOO_MANY, false));
    }
    let second = Client::connect(&server, &Token::of(7)).await;
    let more = (0..10)
        .map(|_| second.send("publish", &publish))
        .collect::<Vec<_>>();
    let mut refused = 0;
    for id in more {
        refused += usize::from(second.reply(id).await.is_err());
    }
    assert!(
        refused > 0,
        "the limit is the user's, whichever connection they use"
    );
    let other = Client::connect(&server, &Token::of(8)).await;
    other
        .publish("thread.456", &typing(8))
        .await
        .expect("another user has a limit of their own");
    client
        .subscribe("thread.456")
        .await
        .expect("only publications count");
    assert!(
        server
            .metric("fanfare_rate_limited_total{scope=\"user\"}")
            .await
            >= 29.0
    );
    server.assert_healthy().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn subscribes_and_pings_do_not_count_as_events() {
    let server =
        Server::configured("limits = { events_per_user = { events = 1, per = 3600 } }").await;
    let client = Client::connect(&server, &Token::of(7)).await;
    for thread in 1..=100 {
        client.subscribe(&format!("thread.{thread}")).await.unwrap();
        client.settle().await;
    }
    client.publish("thread.1", &typing(7)).await.unwrap();
    assert_eq!(
        client
            .publish("thread.1", &typing(7))
            .await
            .unwrap_err()
            .code,
        TOO_MANY
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_limit_of_a_channel_counts_what_clients_send_to_it() {
    let server =
        Server::configured("limits = { events_per_channel = { events = 3, per = 3600 } }").await;
    server
        .publish(&json!(vec![with(typing(1), "channel", "thread.1"); 50]))
        .await;
    for user in 1..=3 {
        let client = Client::connect(&server, &Token::of(user)).await;
        client.publish("thread.1", &typing(user)).await.unwrap();
    }
    let client = Client::connect(&server, &Token::of(4)).await;
    let refused = client.publish("thread.1", &typing(4)).await.unwrap_err();
    assert_eq!((refused.code, refused.closed), (TOO_MANY, false));
    client
        .publish("thread.2", &typing(4))
        .await
        .expect("another channel has a limit of its own");
    assert_eq!(
        server
            .metric("fanfare_rate_limited_total{scope=\"channel\"}")
            .await,
        1.0
    );
    server
        .publish(&with(typing(1), "channel", "thread.1"))
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_limit_of_the_node_counts_what_clients_send_to_any_channel() {
    let server =
        Server::configured("limits = { events_per_node = { events = 3, per = 3600 } }").await;
    for user in 1..=3 {
        let client = Client::connect(&server, &Token::of(user)).await;
        client
            .publish(&format!("thread.{user}"), &typing(user))
            .await
            .unwrap();
    }
    let client = Client::connect(&server, &Token::of(4)).await;
    let refused = client.publish("thread.4", &typing(4)).await.unwrap_err();
    assert_eq!((refused.code, refused.closed), (TOO_MANY, false));
    assert_eq!(
        server
            .metric("fanfare_rate_limited_total{scope=\"node\"}")
            .await,
        1.0
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_limit_of_a_session_counts_one_connection() {
    let server =
        Server::configured("limits = { events_per_session = { events = 2, per = 3600 } }").await;
    let first = Client::connect(&server, &Token::of(7)).await;
    for _ in 0..2 {
        first.publish("thread.1", &typing(7)).await.unwrap();
    }
    assert_eq!(
        first
            .publish("thread.1", &typing(7))
            .await
            .unwrap_err()
            .code,
        TOO_MANY
    );
    let second = Client::connect(&server, &Token::of(7)).await;
    second
        .publish("thread.1", &typing(7))
        .await
        .expect("another connection has a limit of its own");
}
