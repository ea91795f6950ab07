//! Which channels a user may have.

use fanfare_tests::mechamap::message;
use fanfare_tests::{Client, SOON, Server, Token};
use serde_json::json;

/// What the dialect calls forbidden.
const FORBIDDEN: u32 = 103;

async fn assert_open(client: &Client, channels: &[&str]) {
    for channel in channels {
        let subscribed = client
            .subscribe(channel)
            .await
            .unwrap_or_else(|refused| panic!("{channel}: {refused:?}"));
        assert!(
            subscribed.recoverable && subscribed.positioned && !subscribed.epoch.is_empty(),
            "{subscribed:?}"
        );
        assert!(
            !subscribed.was_recovering && subscribed.publications.is_empty(),
            "{subscribed:?}"
        );
    }
}

async fn assert_closed(client: &Client, channels: &[&str]) {
    for channel in channels {
        let refused = client.subscribe(channel).await.expect_err(channel);
        assert_eq!(
            (refused.code, refused.closed),
            (FORBIDDEN, false),
            "{channel}"
        );
        let refused = client.history(channel, json!({})).await.expect_err(channel);
        assert_eq!(
            (refused.code, refused.closed),
            (FORBIDDEN, false),
            "history of {channel}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_users_own_channels_are_theirs_alone() {
    let server = Server::mechamap().await;
    let client = Client::connect(&server, &Token::of(7)).await;
    assert_open(
        &client,
        &[
            "user.7",
            "user.7.messages",
            "user.7.orders",
            "user.7.following",
            "following.7",
        ],
    )
    .await;
    assert_open(&client, &["user.7.anything.below"]).await;
    assert_closed(
        &client,
        &[
            "user.999",
            "user.999.messages",
            "user.77",
            "user.70",
            "user",
            "following.999",
        ],
    )
    .await;
    server.publish(&message(999, 1)).await;
    client.settle().await;
    assert_eq!(client.pushed().len(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn public_channels_are_open_to_every_authenticated_user() {
    let server = Server::mechamap().await;
    let client = Client::connect(&server, &Token::of(7)).await;
    assert_open(
        &client,
        &[
            "thread.456",
            "forum.3",
            "product.9",
            "showcase.1",
            "marketplace.global",
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn families_that_the_platform_does_not_know_are_refused() {
    let server = Server::mechamap().await;
    let token = Token::of(7).claim("roles", json!(["admin", "moderator", "seller"]));
    let client = Client::connect(&server, &token).await;
    assert_closed(
        &client,
        &[
            "room.1",
            "threads.1",
            "Thread.1",
            "marketplace.local",
            "session",
            "public.1",
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn there_are_no_wildcards_and_ids_are_positive_integers() {
    let server = Server::mechamap().await;
    let client = Client::connect(&server, &Token::of(7)).await;
    for name in ["thread.*", "user.*", "thread.#", "user.>"] {
        let refused = client.subscribe(name).await.expect_err(name);
        assert!(
            [FORBIDDEN, 107].contains(&refused.code) && !refused.closed,
            "{name}: {refused:?}"
        );
    }
    assert_closed(
        &client,
        &[
            "thread.0",
            "thread.01",
            "thread.x",
            "thread.-1",
            "thread",
            "thread.1.2",
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_that_is_no_channels_is_an_error_and_the_connection_stays() {
    let server = Server::mechamap().await;
    let client = Client::connect(&server, &Token::of(7)).await;
    let long = format!("user.7.{}", "x".repeat(249));
    for name in [
        "",
        ".",
        "thread.",
        ".thread",
        "thread..1",
        "thread 1",
        "thread.1\n",
        "thread.\u{e9}",
        "a/b",
        &long,
    ] {
        let refused = client.subscribe(name).await.expect_err(name);
        assert!(
            [FORBIDDEN, 107].contains(&refused.code) && !refused.closed,
            "{name:?}: {refused:?}"
        );
    }
    let longest = format!("user.7.{}", "x".repeat(248));
    assert_open(&client, &[&longest]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn admin_channels_are_for_admins() {
    let server = Server::mechamap().await;
    let nobody = Client::connect(&server, &Token::of(1)).await;
    assert_closed(&nobody, &["admin.notifications", "admin"]).await;
    for role in ["moderator", "seller", "Admin", "administrator"] {
        let client = Client::connect(&server, &Token::of(2).role(role)).await;
        assert_closed(&client, &["admin.notifications"]).await;
        client.close().await;
    }
    let admin = Client::connect(&server, &Token::of(3).role("admin")).await;
    assert_open(&admin, &["admin.notifications"]).await;
    assert_closed(
        &admin,
        &["user.1", "moderator.reports", "seller.1", "seller.3"],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn moderator_channels_are_for_moderators() {
    let server = Server::mechamap().await;
    let nobody = Client::connect(&server, &Token::of(1)).await;
    assert_closed(&nobody, &["moderator.reports"]).await;
    let moderator = Client::connect(&server, &Token::of(3).role("moderator")).await;
    assert_open(&moderator, &["moderator.reports"]).await;
    assert_closed(&moderator, &["admin.notifications"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sellers_channel_is_for_that_seller() {
    let server = Server::mechamap().await;
    let buyer = Client::connect(&server, &Token::of(1)).await;
    assert_closed(&buyer, &["seller.1", "seller.2"]).await;
    let seller = Client::connect(&server, &Token::of(2).role("seller")).await;
    assert_open(&seller, &["seller.2"]).await;
    assert_closed(&seller, &["seller.1", "seller"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_single_role_may_stand_as_a_string() {
    let server = Server::mechamap().await;
    let admin = Client::connect(&server, &Token::of(3).claim("role", "admin")).await;
    assert_open(&admin, &["admin.notifications"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_conversation_is_for_those_whose_token_names_it() {
    let server = Server::mechamap().await;
    let stranger = Client::connect(&server, &Token::of(1)).await;
    assert_closed(&stranger, &["conversation.5"]).await;
    let member = Client::to(server.address()).open().await;
    let token = Token::of(2).channels(&["conversation.5"]).sign();
    let connected = member.introduce(&token).await.unwrap();
    assert_eq!(
        connected.subs.keys().collect::<Vec<_>>(),
        ["conversation.5"]
    );
    assert_closed(&member, &["conversation.6"]).await;
    member.unsubscribe("conversation.5").await.unwrap();
    assert_open(&member, &["conversation.5"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_channel_is_subscribed_to_once() {
    let server = Server::mechamap().await;
    let client = Client::connect(&server, &Token::of(7)).await;
    assert_open(&client, &["thread.1"]).await;
    let refused = client.subscribe("thread.1").await.unwrap_err();
    assert_eq!((refused.code, refused.closed), (105, false));
    client.unsubscribe("thread.1").await.unwrap();
    assert_open(&client, &["thread.1"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_129th_subscription_of_a_connection_is_refused_with_106() {
    let server = Server::mechamap().await;
    let client = Client::connect(&server, &Token::of(7)).await;
    for thread in 1..=128 {
        client.subscribe(&format!("thread.{thread}")).await.unwrap();
    }
    let refused = client.subscribe("thread.129").await.unwrap_err();
    assert_eq!((refused.code, refused.closed), (106, false));
    client.unsubscribe("thread.1").await.unwrap();
    client
        .subscribe("thread.129")
        .await
        .expect("one has become free");
    server.assert_healthy().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn channels_of_the_query_are_subscribed_to_at_connect() {
    let server = Server::mechamap().await;
    let client = Client::to(server.address())
        .path("/ws?channel=thread.1&channel=user.7")
        .open()
        .await;
    let connected = client
        .introduce(&Token::of(7).channels(&["forum.3", "thread.1"]).sign())
        .await
        .unwrap();
    let mut channels = connected.subs.keys().collect::<Vec<_>>();
    channels.sort();
    assert_eq!(channels, ["forum.3", "thread.1", "user.7"]);
    server.publish(&message(7, 1)).await;
    assert_eq!(client.pushes(1, SOON).await[0].channel, "user.7");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_forbidden_channel_of_the_query_is_403_with_a_token_in_the_request_and_3507_without() {
    let server = Server::mechamap().await;
    let token = Token::of(7).sign();
    let bearer = format!("Bearer {token}");
    for channel in [
        "user.999",
        "admin.notifications",
        "room.1",
        "seller.7",
        "conversation.1",
    ] {
        let path = format!("/ws?channel=thread.1&channel={channel}");
        let answer = server
            .http()
            .handshake(&path, &[("authorization", &bearer)])
            .await;
        answer.assert_refusal(403, "FORBIDDEN");
        let client = Client::to(server.address()).path(&path).open().await;
        let refused = client.introduce(&token).await.unwrap_err();
        assert_eq!((refused.code, refused.closed), (3507, true), "{channel}");
    }
    server.assert_healthy().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claimed_channel_that_its_user_may_not_have_is_not_subscribed_to() {
    let server = Server::mechamap().await;
    let client = Client::to(server.address()).open().await;
    let token = Token::of(7).channels(&["user.999", "thread.1"]).sign();
    let connected = client.introduce(&token).await.unwrap();
    assert_eq!(connected.subs.keys().collect::<Vec<_>>(), ["thread.1"]);
    server.publish(&message(999, 1)).await;
    client.settle().await;
    assert_eq!(client.pushed().len(), 0);
}
