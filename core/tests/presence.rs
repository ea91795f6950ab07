//! Who is there, and who is told.

#![allow(clippy::unwrap_used, reason = "a suite, not a library")]

mod common;
mod lines;

use std::time::Duration;

use common::{Client, channel, event, node};
use fanfare::codec::Connect;
use fanfare::config::{ChannelPolicy, PresencePolicy};
use fanfare::{Config, ErrorKind, Node, Priority};
use lines::poll;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, timeout};

const GRACE: Duration = Duration::from_secs(10);
/// The node looks every 2 s who is gone for good.
const LOOK: Duration = Duration::from_secs(3);

async fn start(policy: PresencePolicy) -> Node {
    let mut config = Config::default();
    // Those who do not read for a minute are not what this is about.
    config.heartbeat.ping = Duration::from_secs(24 * 60 * 60);
    let policy = ChannelPolicy {
        presence: Some(policy),
        ..ChannelPolicy::default()
    };
    config.channels.insert("thread".to_owned(), policy);
    node(config).await
}

/// Subscribes, and is told who joins and leaves if it `follows`.
async fn join(node: &Node, user: &str, follows: bool) -> Client {
    let mut client = Client::connected(node, user).await;
    let subscribe = json!({"channel": "thread.1", "join_leave": follows});
    let reply = client.command(json!({ "subscribe": subscribe })).await;
    assert!(reply.get("subscribe").is_some(), "{reply}");
    client
}

/// What a client is told within a moment: `+user` and `-user`.
async fn told(client: &mut Client) -> Vec<String> {
    told_within(client, Duration::from_millis(1)).await
}

async fn told_within(client: &mut Client, silence: Duration) -> Vec<String> {
    let mut told = Vec::new();
    while let Ok(message) = timeout(silence, client.message()).await {
        for line in message.unwrap() {
            for (what, sign) in [("join", '+'), ("leave", '-')] {
                if let Some(user) = line.pointer(&format!("/push/{what}/info/user")) {
                    assert_eq!(line["push"]["channel"], "thread.1");
                    told.push(format!("{sign}{}", user.as_str().unwrap()));
                }
            }
        }
    }
    told
}

fn present(node: &Node) -> Vec<String> {
    let members = node.presence(&channel("thread.1")).unwrap();
    let mut users = members
        .iter()
        .map(|m| m.user.to_string())
        .collect::<Vec<_>>();
    users.sort();
    users
}

fn counts(node: &Node) -> (usize, usize) {
    node.presence_stats(&channel("thread.1")).unwrap()
}

#[tokio::test(start_paused = true)]
async fn whoever_is_subscribed_is_there() {
    let node = start(PresencePolicy::default()).await;
    assert_eq!((present(&node), counts(&node)), (vec![], (0, 0)));
    let mut first = join(&node, "1", false).await;
    let _second = join(&node, "2", false).await;
    let _third = join(&node, "2", false).await;
    assert_eq!(present(&node), ["1", "2", "2"]);
    assert_eq!(counts(&node), (3, 2));
    let command = json!({"presence": {"channel": "thread.1"}});
    let reply = first.command(command).await["presence"]["presence"].clone();
    let users = reply.as_object().unwrap().iter().map(|(client, info)| {
        assert_eq!(info["client"], **client);
        info["user"].as_str().unwrap().to_owned()
    });
    let mut users = users.collect::<Vec<_>>();
    users.sort();
    assert_eq!(users, ["1", "2", "2"]);
    let command = json!({"presence_stats": {"channel": "thread.1"}});
    let reply = first.command(command).await["presence_stats"].clone();
    assert_eq!(
        (&reply["num_clients"], &reply["num_users"]),
        (&json!(3), &json!(2))
    );
}

#[tokio::test(start_paused = true)]
async fn only_followers_are_told() {
    let node = start(PresencePolicy::default()).await;
    let mut follower = join(&node, "follower", true).await;
    let mut other = join(&node, "other", false).await;
    assert_eq!(told(&mut follower).await, ["+follower", "+other"]);
    let guest = join(&node, "guest", false).await;
    assert_eq!(told(&mut follower).await, ["+guest"]);
    drop(guest);
    assert_eq!(told_within(&mut follower, GRACE + LOOK).await, ["-guest"]);
    assert!(told(&mut other).await.is_empty());
    assert_eq!(present(&node), ["follower", "other"]);
}

#[tokio::test(start_paused = true)]
async fn a_notice_does_not_disturb_the_events() {
    let node = start(PresencePolicy::default()).await;
    let mut follower = join(&node, "follower", true).await;
    told(&mut follower).await;
    let begun = Instant::now();
    node.publish(event("thread.1", 1).with_priority(Priority::Low))
        .await
        .unwrap();
    // Joins are told past the event that waits; whoever joins meanwhile gets it too, once.
    let mut guest = join(&node, "guest", false).await;
    assert_eq!(told(&mut follower).await, ["+guest"]);
    for client in [&mut follower, &mut guest] {
        let message = client.message().await.unwrap();
        assert_eq!(common::numbers(&message), [1]);
        assert!(
            timeout(Duration::from_secs(20), client.message())
                .await
                .is_err()
        );
    }
    assert!(begun.elapsed() > Duration::from_secs(5));
    node.publish(event("thread.1", 2).with_priority(Priority::High))
        .await
        .unwrap();
    assert_eq!(common::offsets(&guest.message().await.unwrap()), [2]);
}

#[tokio::test(start_paused = true)]
async fn whoever_comes_back_in_time_was_never_gone() {
    let node = start(PresencePolicy::default()).await;
    let mut follower = join(&node, "follower", true).await;
    for _ in 0..5 {
        let guest = join(&node, "guest", false).await;
        sleep(Duration::from_secs(1)).await;
        drop(guest);
        sleep(GRACE / 2).await;
        assert_eq!(present(&node), ["follower", "guest"]);
    }
    assert_eq!(told(&mut follower).await, ["+follower", "+guest"]);
    assert_eq!(told_within(&mut follower, GRACE + LOOK).await, ["-guest"]);
    assert_eq!(counts(&node), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn each_connection_of_a_user_comes_and_goes() {
    let node = start(PresencePolicy::default()).await;
    let mut follower = join(&node, "follower", true).await;
    let first = join(&node, "guest", false).await;
    let second = join(&node, "guest", false).await;
    assert_eq!(counts(&node), (3, 2));
    drop(first);
    sleep(GRACE + LOOK).await;
    assert_eq!(counts(&node), (2, 2));
    drop(second);
    sleep(GRACE + LOOK).await;
    assert_eq!(counts(&node), (1, 1));
    let told = told(&mut follower).await;
    assert_eq!(told, ["+follower", "+guest", "+guest", "-guest", "-guest"]);
}

#[tokio::test(start_paused = true)]
async fn unsubscribing_is_a_leave() {
    let node = start(PresencePolicy::default()).await;
    let mut follower = join(&node, "follower", true).await;
    let mut guest = join(&node, "guest", true).await;
    told(&mut guest).await;
    guest
        .command(json!({"unsubscribe": {"channel": "thread.1"}}))
        .await;
    sleep(GRACE + LOOK).await;
    assert_eq!(told(&mut follower).await, ["+follower", "+guest", "-guest"]);
    assert!(
        told(&mut guest).await.is_empty(),
        "it does not follow any more"
    );
    assert_eq!(present(&node), ["follower"]);
}

#[tokio::test(start_paused = true)]
async fn a_full_channel_announces_nobody() {
    let policy = PresencePolicy {
        announce_up_to: 3,
        ..PresencePolicy::default()
    };
    let node = start(policy).await;
    let mut follower = join(&node, "1", true).await;
    let mut guests = Vec::new();
    for user in ["2", "3", "4", "5"] {
        guests.push(join(&node, user, false).await);
    }
    assert_eq!(told(&mut follower).await, ["+1", "+2", "+3"]);
    assert_eq!(counts(&node), (5, 5), "but they are there");
    guests.truncate(1);
    sleep(GRACE + LOOK).await;
    let mut told = told(&mut follower).await;
    told.sort();
    assert_eq!(told, ["-3", "-4", "-5"]);

    let silent = PresencePolicy {
        announce_up_to: 0,
        ..PresencePolicy::default()
    };
    let node = start(silent).await;
    let mut follower = join(&node, "1", true).await;
    assert!(told_within(&mut follower, GRACE).await.is_empty());
    assert_eq!(present(&node), ["1"]);
}

#[tokio::test(start_paused = true)]
async fn a_channel_goes_once_nobody_is_there() {
    let node = start(PresencePolicy::default()).await;
    drop(join(&node, "1", false).await);
    assert_eq!(present(&node), ["1"], "for the grace");
    sleep(GRACE + LOOK * 3).await;
    assert_eq!((present(&node), counts(&node)), (vec![], (0, 0)));
    assert_eq!(node.channels().await, []);
    // Whoever comes anew is new.
    let mut follower = join(&node, "1", true).await;
    assert_eq!(told(&mut follower).await, ["+1"]);
}

#[tokio::test(start_paused = true)]
async fn without_a_policy_presence_is_not_available() {
    let node = start(PresencePolicy::default()).await;
    let mut client = Client::connected(&node, "1").await;
    client.subscribe("forum.1").await;
    for name in ["forum.1", "forum.2"] {
        let refused = node.presence(&channel(name)).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::NotAvailable);
        let refused = node.presence_stats(&channel(name)).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::NotAvailable);
        for command in ["presence", "presence_stats"] {
            let mut asked = json!({});
            asked[command] = json!({ "channel": name });
            let reply: Value = client.command(asked).await;
            assert_eq!(reply["error"]["code"], 108);
        }
    }
    let subscribe = json!({"channel": "forum.3", "join_leave": true});
    client.command(json!({ "subscribe": subscribe })).await;
    let mut other = Client::connected(&node, "2").await;
    other.subscribe("forum.3").await;
    assert!(told(&mut client).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_poller_is_there_while_it_waits_and_for_the_grace() {
    let node = start(PresencePolicy::default()).await;
    let mut follower = join(&node, "follower", true).await;
    told(&mut follower).await;
    let asking = || async {
        let wait = Duration::from_secs(20);
        poll(&node, "poller", &["thread.1"], Connect::default(), wait)
            .await
            .unwrap()
    };
    let looking = async {
        sleep(Duration::from_secs(1)).await;
        assert_eq!(present(&node), ["follower", "poller"]);
    };
    tokio::join!(asking(), looking);
    sleep(GRACE / 2).await;
    assert_eq!(present(&node), ["follower", "poller"], "it will be back");
    asking().await;
    sleep(GRACE / 2).await;
    let (lines, _) = asking().await;
    assert!(lines.is_empty(), "notices are no answer");
    assert_eq!(told(&mut follower).await, ["+poller"]);
    assert_eq!(told_within(&mut follower, GRACE + LOOK).await, ["-poller"]);
    assert_eq!(present(&node), ["follower"]);
}
