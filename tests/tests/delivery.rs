//! When events arrive, in which order and in which company.

use std::time::Duration;

use fanfare_tests::client::offsets;
use fanfare_tests::mechamap::{
    comment, comment_id, every_event, idle_comment, message, typing, urgent_comment, view_count,
    with,
};
use fanfare_tests::{Client, IN_TIME, Push, Server, Token};
use serde_json::{Value, json};
use tokio::time::Instant;

/// What stands for "at once" on a machine that does other things as well.
const AT_ONCE: Duration = Duration::from_millis(500);
const MEDIUM: Duration = Duration::from_secs(2);
const LOW: Duration = Duration::from_secs(10);

fn ids(pushes: &[Push]) -> Vec<u64> {
    pushes.iter().map(|push| comment_id(&push.json())).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_high_event_arrives_at_once() {
    let server = Server::mechamap().await;
    let client = Client::subscribed(&server, &Token::of(7), "user.7").await;
    for id in 1..=3 {
        let posted = Instant::now();
        server.publish(&message(7, id)).await;
        let pushes = client.pushes(usize::try_from(id).unwrap(), IN_TIME).await;
        let last = pushes.last().unwrap();
        assert!(last.at - posted < AT_ONCE, "after {:?}", last.at - posted);
        assert_eq!(last.channel, "user.7");
        assert_eq!(last.json()["event"], "messaging.message.sent");
        assert_eq!(last.json()["priority"], "high");
        assert_eq!(last.offset(), Some(id));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lone_medium_event_arrives_within_two_seconds() {
    let server = Server::mechamap().await;
    let client = Client::subscribed(&server, &Token::of(7), "thread.456").await;
    server.publish(&comment(456, 1)).await;
    let accepted = Instant::now();
    let pushes = client.pushes(1, IN_TIME).await;
    assert!(
        pushes[0].at - accepted <= MEDIUM,
        "after {:?}",
        pushes[0].at - accepted
    );
    assert_eq!(pushes[0].json()["priority"], "medium");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_medium_events_of_one_window_arrive_in_one_message_in_order() {
    let server = Server::mechamap().await;
    let client = Client::subscribed(&server, &Token::of(7), "thread.456").await;
    for id in [11, 12, 13] {
        server.publish(&comment(456, id)).await;
    }
    let pushes = client.pushes(3, IN_TIME).await;
    assert_eq!(ids(&pushes), [11, 12, 13]);
    assert_eq!(offsets(&pushes), [1, 2, 3]);
    assert!(
        pushes.iter().all(|push| push.message == pushes[0].message),
        "{pushes:?}"
    );
    let lines = client.wait("the message", IN_TIME, |record| {
        Some(record.messages[pushes[0].message].text.lines().count())
    });
    assert_eq!(lines.await, 3, "nothing else came in that message");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_low_event_arrives_within_ten_seconds() {
    let server = Server::mechamap().await;
    let client = Client::subscribed(&server, &Token::of(7), "thread.456").await;
    server.publish(&idle_comment(456, 1)).await;
    let accepted = Instant::now();
    let pushes = client.pushes(1, IN_TIME).await;
    assert!(
        pushes[0].at - accepted <= LOW,
        "after {:?}",
        pushes[0].at - accepted
    );
    assert_eq!(pushes[0].json()["priority"], "low");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_medium_event_takes_a_waiting_low_one_along() {
    let server = Server::mechamap().await;
    let client = Client::subscribed(&server, &Token::of(7), "thread.456").await;
    server.publish(&idle_comment(456, 1)).await;
    server.publish(&comment(456, 2)).await;
    let accepted = Instant::now();
    let pushes = client.pushes(2, IN_TIME).await;
    assert_eq!(ids(&pushes), [1, 2]);
    assert_eq!(pushes[0].message, pushes[1].message);
    assert!(
        pushes[0].at - accepted <= MEDIUM,
        "after {:?}",
        pushes[0].at - accepted
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_high_event_takes_the_waiting_ones_along_in_publish_order_in_one_message() {
    let server = Server::mechamap().await;
    let client = Client::subscribed(&server, &Token::of(7), "thread.456").await;
    for waiting in [comment(456, 1), idle_comment(456, 2), comment(456, 3)] {
        server.publish(&waiting).await;
    }
    let posted = Instant::now();
    server.publish(&urgent_comment(456, 4)).await;
    let pushes = client.pushes(4, IN_TIME).await;
    assert!(
        pushes[3].at - posted < AT_ONCE,
        "after {:?}",
        pushes[3].at - posted
    );
    assert_eq!(ids(&pushes), [1, 2, 3, 4]);
    assert_eq!(offsets(&pushes), [1, 2, 3, 4]);
    assert!(
        pushes.iter().all(|push| push.message == pushes[0].message),
        "{pushes:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_high_event_does_not_hurry_other_channels() {
    let server = Server::mechamap().await;
    let client = Client::subscribed(&server, &Token::of(7), "thread.1").await;
    client.subscribe("thread.2").await.unwrap();
    server.publish(&idle_comment(1, 1)).await;
    server.publish(&urgent_comment(2, 2)).await;
    let pushes = client.pushes(1, IN_TIME).await;
    assert_eq!(pushes[0].channel, "thread.2");
    client.settle().await;
    assert_eq!(
        client.pushed().len(),
        1,
        "the low event of the other channel waits on"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_explicit_priority_wins_over_the_events_own() {
    let server = Server::mechamap().await;
    let client = Client::subscribed(&server, &Token::of(7), "user.7").await;
    server
        .publish(&with(message(7, 1), "priority", "low"))
        .await;
    client.settle().await;
    assert_eq!(client.pushed().len(), 0, "a message published as low waits");
    let posted = Instant::now();
    server
        .publish(&with(message(7, 2), "priority", "high"))
        .await;
    let pushes = client.pushes(2, IN_TIME).await;
    assert!(
        pushes[1].at - posted < AT_ONCE,
        "after {:?}",
        pushes[1].at - posted
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn offsets_of_a_channel_grow_by_one_whatever_the_priority() {
    let server = Server::configured("linger = { medium = 0.1, low = 0.3 }").await;
    let client = Client::subscribed(&server, &Token::of(7), "thread.456").await;
    let envelopes = (1..=120).map(|id| match id % 4 {
        0 => urgent_comment(456, id),
        1 | 2 => comment(456, id),
        _ => idle_comment(456, id),
    });
    let envelopes = envelopes.collect::<Vec<_>>();
    let mut answered = Vec::new();
    for batch in envelopes.chunks(7) {
        answered.extend(server.publish(&Value::from(batch)).await);
    }
    let pushes = client.pushes(120, IN_TIME).await;
    let expected = (1..=120).collect::<Vec<_>>();
    assert_eq!(ids(&pushes), expected);
    assert_eq!(offsets(&pushes), expected);
    assert_eq!(
        answered
            .iter()
            .filter_map(|published| published.offset)
            .collect::<Vec<_>>(),
        expected
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_view_counts_of_a_thread_only_the_newest_of_a_window_arrives() {
    let server = Server::mechamap().await;
    let client = Client::subscribed(&server, &Token::of(7), "forum.3").await;
    let counts = [(1, 10), (2, 20), (1, 11), (1, 12), (2, 21), (3, 30)];
    for (thread, views) in counts {
        server.publish(&view_count("forum.3", thread, views)).await;
    }
    // One that cannot wait takes them along.
    server
        .publish(&with(view_count("forum.3", 4, 40), "priority", "high"))
        .await;
    let pushes = client.pushes(4, IN_TIME).await;
    client.settle().await;
    let arrived = pushes.iter().map(Push::json).map(|envelope| {
        (
            envelope["data"]["thread_id"].as_u64().unwrap(),
            envelope["data"]["view_count"].as_u64().unwrap(),
        )
    });
    assert_eq!(
        arrived.collect::<Vec<_>>(),
        [(1, 12), (2, 21), (3, 30), (4, 40)]
    );
    assert_eq!(
        client.pushed().len(),
        4,
        "those that were taken the place of never arrive"
    );
    assert_eq!(
        server
            .metric("fanfare_events_dropped_total{reason=\"conflated\"}")
            .await,
        3.0
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn view_counts_of_one_thread_on_two_channels_do_not_replace_each_other() {
    let server = Server::mechamap().await;
    let client = Client::subscribed(&server, &Token::of(7), "forum.3").await;
    client.subscribe("thread.1").await.unwrap();
    for channel in ["forum.3", "thread.1"] {
        server.publish(&view_count(channel, 1, 10)).await;
        server
            .publish(&with(view_count(channel, 2, 20), "priority", "high"))
            .await;
    }
    let pushes = client.pushes(4, IN_TIME).await;
    for channel in ["forum.3", "thread.1"] {
        let views = pushes
            .iter()
            .filter(|push| push.channel == channel)
            .map(|push| push.json()["data"]["view_count"].clone());
        assert_eq!(views.collect::<Vec<_>>(), [10, 20], "{channel}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn typing_is_live_only_without_offset_and_not_in_history() {
    let server = Server::mechamap().await;
    let client = Client::subscribed(&server, &Token::of(7), "thread.456").await;
    let writer = Client::connect(&server, &Token::of(8)).await;
    server.publish(&urgent_comment(456, 1)).await;
    let posted = Instant::now();
    writer.publish("thread.456", &typing(8)).await.unwrap();
    let pushes = client.pushes(2, IN_TIME).await;
    assert!(
        pushes[1].at - posted < AT_ONCE,
        "after {:?}",
        pushes[1].at - posted
    );
    assert_eq!(pushes[1].offset(), None);
    assert_eq!(pushes[1].json()["event"], "forum.typing.started");
    server.publish(&urgent_comment(456, 2)).await;
    let pushes = client.pushes(3, IN_TIME).await;
    assert_eq!(offsets(&pushes), [1, 2], "typing takes no offset");
    let history = client
        .history("thread.456", json!({ "limit": -1 }))
        .await
        .unwrap();
    assert_eq!((history.offset, history.offsets()), (2, vec![1, 2]));
    let late = Client::connect(&server, &Token::of(9)).await;
    late.subscribe("thread.456").await.unwrap();
    late.settle().await;
    assert_eq!(late.pushed().len(), 0, "who comes later has missed it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn typing_that_the_backend_publishes_is_answered_without_an_offset() {
    let server = Server::mechamap().await;
    let client = Client::subscribed(&server, &Token::of(7), "thread.456").await;
    let results = server
        .publish(&with(typing(8), "channel", "thread.456"))
        .await;
    assert_eq!(results[0].channel.as_deref(), Some("thread.456"));
    assert_eq!(results[0].offset, None);
    let pushes = client.pushes(1, IN_TIME).await;
    assert_eq!(
        (pushes[0].offset(), &pushes[0].publication.info),
        (None, &None)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_subscribers_of_a_channel_see_the_same_order() {
    const PUBLISHERS: u64 = 4;
    const EACH: u64 = 40;
    let server = Server::configured("linger = { medium = 0.05, low = 0.2 }").await;
    let mut clients = Vec::new();
    for user in 1..=6 {
        clients.push(Client::subscribed(&server, &Token::of(user), "thread.456").await);
    }
    let publishing = async |publisher: u64| {
        for at in 0..EACH {
            let id = publisher * EACH + at + 1;
            let envelope = if at % 5 == 0 {
                urgent_comment(456, id)
            } else {
                comment(456, id)
            };
            server.publish(&envelope).await;
        }
    };
    tokio::join!(publishing(0), publishing(1), publishing(2), publishing(3));
    let all = usize::try_from(PUBLISHERS * EACH).unwrap();
    let first = clients[0].pushes(all, IN_TIME).await;
    assert_eq!(offsets(&first), (1..=PUBLISHERS * EACH).collect::<Vec<_>>());
    for publisher in 0..PUBLISHERS {
        let of_one = ids(&first)
            .into_iter()
            .filter(|id| (id - 1) / EACH == publisher)
            .collect::<Vec<_>>();
        assert!(
            of_one.is_sorted(),
            "a publisher's events keep its order: {of_one:?}"
        );
    }
    for client in &clients[1..] {
        let pushes = client.pushes(all, IN_TIME).await;
        assert_eq!(
            (ids(&pushes), offsets(&pushes)),
            (ids(&first), offsets(&first))
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_event_of_the_platform_arrives_on_its_channel_with_its_priority() {
    let server = Server::mechamap().await;
    let token = Token::of(7).channels(&["conversation.456"]);
    let client = Client::connect(&server, &token).await;
    for channel in [
        "thread.456",
        "product.456",
        "showcase.456",
        "marketplace.global",
        "user.7",
        "following.7",
    ] {
        client.subscribe(channel).await.unwrap();
    }
    let events = every_event(7);
    let envelopes = events
        .iter()
        .map(|(envelope, ..)| envelope.clone())
        .collect::<Vec<_>>();
    let results = server.publish(&Value::from(envelopes)).await;
    for ((_, _, channel), published) in events.iter().zip(&results) {
        assert_eq!(published.channel.as_ref(), Some(channel));
    }
    let pushes = client.pushes(events.len(), IN_TIME).await;
    for (sent, priority, channel) in &events {
        let mut arrived = pushes.iter().filter(|push| push.channel == *channel);
        let push = arrived
            .find(|push| push.json()["event"] == sent["event"])
            .unwrap_or_else(|| panic!("{sent}"));
        let envelope = push.json();
        assert_eq!(envelope["data"], sent["data"]);
        assert_eq!(envelope["priority"], *priority, "{envelope}");
        assert_eq!(envelope["channel"], *channel, "{envelope}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_reach_only_those_who_subscribed() {
    let server = Server::mechamap().await;
    let client = Client::subscribed(&server, &Token::of(7), "thread.1").await;
    client.subscribe("thread.2").await.unwrap();
    client.unsubscribe("thread.1").await.unwrap();
    server.publish(&urgent_comment(1, 1)).await;
    server.publish(&urgent_comment(3, 2)).await;
    // Nobody is subscribed to the own channel who has not asked for it.
    server.publish(&message(7, 3)).await;
    server.publish(&urgent_comment(2, 4)).await;
    let pushes = client.pushes(1, IN_TIME).await;
    client.settle().await;
    assert_eq!(ids(&pushes), [4]);
    assert_eq!(client.pushed().len(), 1);
}
