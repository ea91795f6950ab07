//! What a channel remembers, as the dialect's `history` shows it.

use fanfare_tests::mechamap::{comment, comment_id, urgent_comment, urgent_comments};
use fanfare_tests::{Client, IN_TIME, Server, Token};
use serde_json::json;

async fn reader(server: &Server) -> Client {
    Client::connect(server, &Token::of(7)).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn history_gives_events_in_order_with_their_envelopes_and_the_newest_position() {
    let server = Server::mechamap().await;
    server.publish(&urgent_comments(1, 1..=5)).await;
    let client = reader(&server).await;
    let history = client
        .history("thread.1", json!({ "limit": -1 }))
        .await
        .unwrap();
    assert_eq!(
        (history.offset, history.offsets()),
        (5, vec![1, 2, 3, 4, 5])
    );
    let ids = history
        .publications
        .iter()
        .map(|publication| comment_id(&publication.json()));
    assert_eq!(ids.collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
    assert!(!history.epoch.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn history_without_a_limit_gives_the_position_alone() {
    let server = Server::mechamap().await;
    server.publish(&urgent_comments(1, 1..=5)).await;
    let client = reader(&server).await;
    let history = client.history("thread.1", json!({})).await.unwrap();
    assert_eq!((history.offset, history.publications.len()), (5, 0));
    let nothing = client
        .history("thread.2", json!({ "limit": 10 }))
        .await
        .unwrap();
    assert_eq!((nothing.offset, nothing.publications.len()), (0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn history_can_be_read_in_pages_forwards_and_backwards() {
    let server = Server::mechamap().await;
    server.publish(&urgent_comments(1, 1..=7)).await;
    let client = reader(&server).await;
    let epoch = client.history("thread.1", json!({})).await.unwrap().epoch;
    let since = |offset: u64| json!({ "epoch": epoch, "offset": offset });
    for (fields, expected) in [
        (json!({ "limit": 3 }), vec![1, 2, 3]),
        (json!({ "limit": 3, "since": since(3) }), vec![4, 5, 6]),
        (json!({ "limit": 3, "since": since(6) }), vec![7]),
        (json!({ "limit": 3, "since": since(7) }), vec![]),
        (json!({ "limit": 3, "reverse": true }), vec![7, 6, 5]),
        (
            json!({ "limit": 3, "reverse": true, "since": since(5) }),
            vec![4, 3, 2],
        ),
        (
            json!({ "limit": 3, "reverse": true, "since": since(2) }),
            vec![1],
        ),
        (json!({ "limit": -1, "since": since(5) }), vec![6, 7]),
    ] {
        let history = client.history("thread.1", fields.clone()).await.unwrap();
        assert_eq!(history.offsets(), expected, "{fields}");
        assert_eq!(history.offset, 7, "{fields}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn history_that_does_not_reach_back_is_refused_with_112() {
    let server = Server::configured("history = { events = 5 }").await;
    server.publish(&urgent_comments(1, 1..=8)).await;
    let client = reader(&server).await;
    let kept = client
        .history("thread.1", json!({ "limit": -1 }))
        .await
        .unwrap();
    assert_eq!((kept.offset, kept.offsets()), (8, vec![4, 5, 6, 7, 8]));
    let since = |epoch: &str, offset: u64| json!({ "limit": 9, "since": { "epoch": epoch, "offset": offset } });
    let covered = client
        .history("thread.1", since(&kept.epoch, 3))
        .await
        .unwrap();
    assert_eq!(covered.offsets(), [4, 5, 6, 7, 8]);
    for uncovered in [
        since(&kept.epoch, 2),
        since("0123456789abcdef", 5),
        since("nonsense", 5),
        since(&kept.epoch, 9),
    ] {
        let refused = client
            .history("thread.1", uncovered.clone())
            .await
            .expect_err(&uncovered.to_string());
        assert_eq!((refused.code, refused.closed), (112, false), "{uncovered}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn history_does_not_overtake_subscribers_who_wait_for_a_flush() {
    let server = Server::mechamap().await;
    let subscriber = reader(&server).await;
    subscriber.subscribe("thread.1").await.unwrap();
    server.publish(&urgent_comment(1, 1)).await;
    subscriber.pushes(1, IN_TIME).await;
    server.publish(&comment(1, 2)).await;
    let during = subscriber
        .history("thread.1", json!({ "limit": -1 }))
        .await
        .unwrap();
    assert_eq!(
        (during.offset, during.offsets()),
        (1, vec![1]),
        "the second is not flushed yet"
    );
    subscriber.pushes(2, IN_TIME).await;
    let after = subscriber
        .history("thread.1", json!({ "limit": -1 }))
        .await
        .unwrap();
    assert_eq!((after.offset, after.offsets()), (2, vec![1, 2]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_channel_keeps_a_thousand_events_by_default() {
    let server = Server::mechamap().await;
    server.publish(&urgent_comments(1, 1..=600)).await;
    server.publish(&urgent_comments(1, 1..=600)).await;
    let client = reader(&server).await;
    let history = client
        .history("thread.1", json!({ "limit": -1 }))
        .await
        .unwrap();
    assert_eq!(history.offset, 1200);
    assert_eq!(history.offsets(), (201..=1200).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_familys_policy_wins_over_the_default_and_age_bounds_what_is_kept() {
    let config = "
        history = { events = 3 }
        [channels.thread.history]
        age = 1
    ";
    let server = Server::configured(config).await;
    server.publish(&urgent_comments(1, 1..=5)).await;
    let views = |views| fanfare_tests::mechamap::view_count("forum.1", 1, views);
    server
        .publish(&json!([views(1), views(2), views(3), views(4)]))
        .await;
    let client = reader(&server).await;
    let history = client
        .history("forum.1", json!({ "limit": -1 }))
        .await
        .unwrap();
    assert_eq!((history.offset, history.offsets()), (4, vec![2, 3, 4]));
    let history = client
        .history("thread.1", json!({ "limit": -1 }))
        .await
        .unwrap();
    assert_eq!(history.offsets(), [1, 2, 3, 4, 5]);
    let forgotten = fanfare_tests::until("the second's end", IN_TIME, async || {
        let history = client
            .history("thread.1", json!({ "limit": -1 }))
            .await
            .unwrap();
        history.publications.is_empty().then_some(history.epoch)
    });
    assert!(!forgotten.await.is_empty());
}
