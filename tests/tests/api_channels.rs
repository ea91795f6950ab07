//! What the server API says of channels: who listens, and what they remember.

#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on ends with a panic"
)]

use fanfare_tests::mechamap::{comment, comment_id, urgent_comment, urgent_comments};
use fanfare_tests::server::API_KEY;
use fanfare_tests::{Client, IN_TIME, Position, SOON, Server, Token, until};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

/// A page of history, with exactly the documented fields.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Page {
    cursor: String,
    events: Vec<Event>,
    positions: Value,
    recovered: Option<bool>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Event {
    channel: String,
    offset: u64,
    data: Box<RawValue>,
}

impl Page {
    fn offsets(&self) -> Vec<u64> {
        self.events.iter().map(|event| event.offset).collect()
    }

    /// Where a client of the Centrifuge dialect stands that has read this far.
    fn position(&self, channel: &str) -> Position {
        Position {
            epoch: self.positions[channel]["epoch"]
                .as_str()
                .unwrap()
                .to_owned(),
            offset: self.positions[channel]["offset"].as_u64().unwrap(),
        }
    }
}

/// `query` without its question mark.
async fn history(server: &Server, channel: &str, query: &str) -> Page {
    let path = format!("/channels/{channel}/history?{query}");
    let answer = server.ask(&path).await;
    assert_eq!(answer.status, 200, "{path}: {answer:?}");
    assert_eq!(answer.header("content-type"), Some("application/json"));
    serde_json::from_slice(&answer.body).unwrap()
}

async fn channels(server: &Server) -> Value {
    let answer = server.ask("/channels").await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_key_is_needed() {
    let server = Server::mechamap().await;
    let admin = Token::of(7).role("admin").sign();
    let wrong = [
        None,
        Some("Bearer ".to_owned()),
        Some("Bearer wrong".to_owned()),
        Some(format!("Bearer {API_KEY}x")),
        Some(format!("Basic {API_KEY}")),
        Some(format!("Bearer {admin}")),
    ];
    for authorization in wrong {
        let headers = authorization
            .as_deref()
            .map(|value| ("authorization", value));
        for path in [
            "/channels",
            "/channels/thread.1/history",
            // Not even what is wrong with a request is told.
            "/channels/thread..1/history?limit=x",
            "/users/7/connections",
            "/users/a.b/connections",
        ] {
            let answer = server.http().get(path, headers.as_slice()).await;
            answer.assert_refusal(401, "AUTH_FAILED");
            let query = if path.contains('?') { '&' } else { '?' };
            let path = format!("{path}{query}token={API_KEY}");
            let answer = server.http().get(&path, headers.as_slice()).await;
            answer.assert_refusal(401, "AUTH_FAILED");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_method_is_400_and_an_unknown_path_404() {
    let server = Server::mechamap().await;
    for path in ["/channels", "/channels/thread.1/history"] {
        server
            .tell(path, "")
            .await
            .assert_refusal(400, "INVALID_REQUEST");
    }
    for path in [
        "/channels/",
        "/channels/thread.1",
        "/channels/thread.1/",
        "/channels/thread.1/history/",
        "/channels/thread.1/history/1",
        "/channels/thread.1/histories",
        "/channel/thread.1/history",
        "//channels",
    ] {
        server.ask(path).await.assert_refusal(404, "NOT_FOUND");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn channels_are_listed_with_their_subscribers() {
    let server = Server::mechamap().await;
    server.publish(&urgent_comment(3, 1)).await;
    assert_eq!(
        channels(&server).await,
        json!({ "channels": [] }),
        "nobody listens to a channel that was published to"
    );
    let one = Client::subscribed(&server, &Token::of(7), "thread.2").await;
    one.subscribe("thread.1").await.unwrap();
    one.subscribe("user.7").await.unwrap();
    let two = Client::subscribed(&server, &Token::of(8), "thread.2").await;
    assert_eq!(
        channels(&server).await,
        json!({ "channels": [
            { "channel": "thread.1", "subscribers": 1 },
            { "channel": "thread.2", "subscribers": 2 },
            { "channel": "user.7", "subscribers": 1 },
        ] })
    );
    one.unsubscribe("thread.1").await.unwrap();
    two.close().await;
    let left = json!({ "channels": [
        { "channel": "thread.2", "subscribers": 1 },
        { "channel": "user.7", "subscribers": 1 },
    ] });
    until("the end of subscriptions", SOON, async || {
        (channels(&server).await == left).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn history_gives_what_subscribers_got() {
    let server = Server::mechamap().await;
    let client = Client::subscribed(&server, &Token::of(7), "thread.1").await;
    server.publish(&urgent_comments(1, 1..=5)).await;
    let pushes = client.pushes(5, SOON).await;
    let page = history(&server, "thread.1", "").await;
    assert_eq!(page.offsets(), [1, 2, 3, 4, 5]);
    assert_eq!(page.recovered, None);
    for (event, push) in page.events.iter().zip(&pushes) {
        assert_eq!(event.channel, "thread.1");
        assert_eq!(event.data.get(), push.publication.data.get());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn payloads_stay_as_they_were_sent() {
    let server = Server::mechamap().await;
    let mut envelope = urgent_comment(1, 1);
    envelope["data"]["extra"] = json!("PLACE");
    // Numbers that a floating-point value cannot hold, an escape, and an order of its own.
    let odd = r#"{"z":1.10,"a":123456789012345678901234567890,"e":1E+2,"u":"\u00e9/\/"}"#;
    let body = envelope.to_string().replace("\"PLACE\"", odd);
    assert_eq!(server.post(body).await.status, 200);
    let page = history(&server, "thread.1", "").await;
    assert!(page.events[0].data.get().contains(odd), "{page:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_subscribers_have_not_been_shown_yet_is_not_in_history() {
    let server = Server::mechamap().await;
    let client = Client::subscribed(&server, &Token::of(7), "thread.1").await;
    server.publish(&comment(1, 1)).await;
    let page = history(&server, "thread.1", "").await;
    assert_eq!(page.position("thread.1").offset, page.events.len() as u64);
    client.pushes(1, IN_TIME).await;
    let rest = history(&server, "thread.1", &format!("cursor={}", page.cursor)).await;
    let offsets = [page.offsets(), rest.offsets()].concat();
    assert_eq!(offsets, [1], "once, before or after");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_follow_each_other_by_their_cursor() {
    let server = Server::mechamap().await;
    server.publish(&urgent_comments(1, 1..=250)).await;
    for limit in [1, 7, 100, 249, 250, 251, 1000] {
        let mut offsets = Vec::new();
        let mut page = history(&server, "thread.1", &format!("limit={limit}")).await;
        while !page.events.is_empty() {
            assert!(page.events.len() <= limit, "{limit}");
            offsets.extend(page.offsets());
            assert_eq!(page.position("thread.1").offset, *offsets.last().unwrap());
            let query = format!("limit={limit}&cursor={}", page.cursor);
            page = history(&server, "thread.1", &query).await;
            assert_eq!(page.recovered, None);
        }
        assert_eq!(offsets, (1..=250).collect::<Vec<_>>(), "limit {limit}");
        let after_all = page.cursor;
        let again = history(&server, "thread.1", &format!("cursor={after_all}")).await;
        assert_eq!(again.cursor, after_all, "nothing has come");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cursor_gives_what_came_after_it() {
    let server = Server::mechamap().await;
    let empty = history(&server, "thread.1", "").await;
    assert_eq!((empty.events.len(), empty.recovered), (0, None));
    server.publish(&urgent_comments(1, 1..=3)).await;
    let page = history(&server, "thread.1", &format!("cursor={}", empty.cursor)).await;
    assert_eq!(page.offsets(), [1, 2, 3]);
    assert_eq!(page.recovered, None);
    server.publish(&urgent_comment(1, 4)).await;
    let page = history(&server, "thread.1", &format!("cursor={}", page.cursor)).await;
    assert_eq!(page.offsets(), [4]);
    let data = serde_json::from_str(page.events[0].data.get()).unwrap();
    assert_eq!(comment_id(&data), 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_positions_are_good_for_the_centrifuge_dialect() {
    let server = Server::mechamap().await;
    server.publish(&urgent_comments(1, 1..=5)).await;
    let page = history(&server, "thread.1", "limit=3").await;
    let client = Client::connect(&server, &Token::of(7)).await;
    let position = page.position("thread.1");
    let subscribed = client.recover("thread.1", &position).await.unwrap();
    assert!(subscribed.recovered);
    let offsets = subscribed.publications.iter().map(|p| p.offset.unwrap());
    assert_eq!(offsets.collect::<Vec<_>>(), [4, 5]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_has_a_hundred_events_unless_the_request_says_otherwise() {
    let server = Server::mechamap().await;
    server.publish(&urgent_comments(1, 1..=1000)).await;
    let page = history(&server, "thread.1", "").await;
    assert_eq!(page.offsets(), (1..=100).collect::<Vec<_>>());
    let page = history(&server, "thread.1", "limit=1000").await;
    assert_eq!(page.offsets(), (1..=1000).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_limit_of_0_gives_the_newest_position_alone() {
    let server = Server::mechamap().await;
    server.publish(&urgent_comments(1, 1..=5)).await;
    let first = history(&server, "thread.1", "limit=1").await;
    for query in [
        "limit=0".to_owned(),
        format!("limit=0&cursor={}", first.cursor),
    ] {
        let page = history(&server, "thread.1", &query).await;
        assert_eq!((page.events.len(), page.recovered), (0, None));
        assert_eq!(page.position("thread.1").offset, 5);
        let rest = history(&server, "thread.1", &format!("cursor={}", page.cursor)).await;
        assert!(rest.events.is_empty(), "{rest:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cursor_that_history_no_longer_covers_is_answered_with_the_newest() {
    let server = Server::configured("history = { events = 3 }").await;
    server.publish(&urgent_comment(1, 1)).await;
    let old = history(&server, "thread.1", "").await;
    server.publish(&urgent_comments(1, 2..=4)).await;
    let next = history(&server, "thread.1", &format!("cursor={}", old.cursor)).await;
    assert_eq!((next.offsets(), next.recovered), (vec![2, 3, 4], None));
    server.publish(&urgent_comment(1, 5)).await;
    for limit in [0, 1, 1000] {
        let query = format!("limit={limit}&cursor={}", old.cursor);
        let page = history(&server, "thread.1", &query).await;
        assert_eq!((page.offsets(), page.recovered), (vec![], Some(false)));
        assert_eq!(page.position("thread.1").offset, 5);
        server.publish(&urgent_comment(2, 1)).await;
        let rest = history(&server, "thread.1", &format!("cursor={}", page.cursor)).await;
        assert_eq!((rest.offsets(), rest.recovered), (vec![], None));
    }
    let oldest = history(&server, "thread.1", "").await;
    assert_eq!((oldest.offsets(), oldest.recovered), (vec![3, 4, 5], None));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cursor_of_another_channel_or_server_is_not_covered() {
    let server = Server::mechamap().await;
    server.publish(&urgent_comments(1, 1..=3)).await;
    server.publish(&urgent_comments(2, 1..=3)).await;
    let other = Server::mechamap().await;
    other.publish(&urgent_comments(1, 1..=3)).await;
    for foreign in [
        history(&server, "thread.2", "limit=1").await,
        history(&other, "thread.1", "limit=1").await,
    ] {
        let page = history(&server, "thread.1", &format!("cursor={}", foreign.cursor)).await;
        assert_eq!((page.offsets(), page.recovered), (vec![], Some(false)));
        assert_eq!(page.position("thread.1").offset, 3);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_limit_or_cursor_is_400() {
    let server = Server::mechamap().await;
    server.publish(&urgent_comments(1, 1..=3)).await;
    let cursor = history(&server, "thread.1", "").await.cursor;
    for query in [
        "limit=".to_owned(),
        "limit=1001".to_owned(),
        "limit=-1".to_owned(),
        "limit=%2B1".to_owned(),
        "limit=1.0".to_owned(),
        "limit=x".to_owned(),
        "limit=99999999999999999999999".to_owned(),
        "limit=1&limit=2".to_owned(),
        "cursor=".to_owned(),
        "cursor=x".to_owned(),
        "cursor=%ff".to_owned(),
        "cursor=%00".to_owned(),
        format!("cursor={cursor}x"),
        format!("cursor=x{cursor}"),
        format!("cursor={cursor}&cursor={cursor}"),
        format!("cursor={cursor}99999999999999999999"),
        format!("limit=1001&cursor={cursor}"),
    ] {
        let path = format!("/channels/thread.1/history?{query}");
        server
            .ask(&path)
            .await
            .assert_refusal(400, "INVALID_REQUEST");
    }
    server.assert_healthy().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_channel_that_is_none_is_400_and_an_encoded_one_is_itself() {
    let server = Server::mechamap().await;
    let long = "a".repeat(256);
    for channel in [
        "",
        ".",
        "thread.",
        "thread..1",
        "thread%2F1",
        "thread%201",
        "thread.%ff",
        "thread.%",
        "thread.%c3%a9",
        "thread.*",
        &long,
    ] {
        let path = format!("/channels/{channel}/history");
        server
            .ask(&path)
            .await
            .assert_refusal(400, "INVALID_REQUEST");
    }
    let page = history(&server, "thread.a%3Ab", "").await;
    assert_eq!(page.position("thread.a:b").offset, 0);
    server.publish(&urgent_comment(1, 1)).await;
    let page = history(&server, "%74hread%2E1", "").await;
    assert_eq!(page.offsets(), [1]);
}
