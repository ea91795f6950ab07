//! Asking again and again.

#![allow(clippy::unwrap_used, reason = "what a test cannot unwrap, it fails by")]

use std::time::Duration;

use fanfare_tests::mechamap::{comment, comment_id, typing, urgent_comment, urgent_comments};
use fanfare_tests::token::from_now;
use fanfare_tests::{
    Client, IN_TIME, Launch, Polled, Poller, Request, SOON, Server, Token, poll, until,
};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, timeout};

fn poller(server: &Server, channels: &[&str]) -> Poller {
    Poller::of(server.address(), &Token::of(7), channels)
}

fn ids(polled: &Polled) -> Vec<u64> {
    polled
        .events
        .iter()
        .map(|event| comment_id(&event.json()))
        .collect()
}

async fn connections(server: &Server) -> u64 {
    let health = server.http().get("/health", &[]).await.json();
    health["metrics"]["connections"].as_u64().unwrap()
}

async fn until_connected(server: &Server, count: u64) {
    until(&format!("{count} connections"), SOON, async || {
        (connections(server).await == count).then_some(())
    })
    .await;
}

/// Begins a poll that has nothing to answer with yet.
async fn waiting(
    server: &Server,
    poller: &Poller,
    wait: u64,
) -> tokio::task::JoinHandle<(Polled, Duration)> {
    let mut poller = poller.clone();
    let polling = tokio::spawn(async move {
        let begun = Instant::now();
        let polled = poller.poll(wait).await;
        (polled, begun.elapsed())
    });
    until_connected(server, 1).await;
    polling
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_first_poll_gives_a_cursor_and_the_next_what_follows_it() {
    let server = Server::mechamap().await;
    server.publish(&urgent_comment(1, 1)).await;
    let mut poller = poller(&server, &["thread.1"]);
    let first = poller.poll(0).await;
    assert!(first.events.is_empty() && first.recovered, "{first:?}");
    assert_eq!(first.positions["thread.1"].offset, 1);
    assert_eq!(first.positions.len(), 1);

    server.publish(&urgent_comments(1, 2..=4)).await;
    let begun = Instant::now();
    let second = poller.poll(25).await;
    assert!(
        begun.elapsed() < Duration::from_secs(5),
        "what is there comes at once"
    );
    assert_eq!(ids(&second), [2, 3, 4]);
    assert_eq!(second.offsets(), [2, 3, 4]);
    assert!(
        second
            .events
            .iter()
            .all(|event| event.channel == "thread.1")
    );
    assert_eq!(second.positions["thread.1"].offset, 4);
    assert_ne!(first.cursor, second.cursor);

    let again = poller.poll(0).await;
    assert!(again.events.is_empty());
    assert_eq!(again.cursor, second.cursor);
    assert_eq!(connections(&server).await, 0, "nothing stays behind");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn envelopes_are_those_of_the_websocket() {
    let server = Server::mechamap().await;
    let client = Client::subscribed(&server, &Token::of(8), "thread.1").await;
    let mut poller = poller(&server, &["thread.1"]);
    poller.poll(0).await;
    let spaced = urgent_comment(1, 1).to_string().replace("\":", "\" :\n ");
    assert_eq!(server.post(spaced).await.status, 200);
    let polled = poller.poll(5).await;
    let pushed = client.pushes(1, SOON).await;
    assert_eq!(polled.events[0].json(), pushed[0].json());
    assert!(!polled.events[0].data.get().contains(['\n', '\r']));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_poll_waits_for_the_first_event_and_no_longer_than_it_was_told_to() {
    let server = Server::mechamap().await;
    let mut poller = poller(&server, &["thread.1", "thread.2"]);
    poller.poll(0).await;
    let begun = Instant::now();
    let nothing = poller.poll(2).await;
    let took = begun.elapsed();
    assert!(nothing.events.is_empty() && nothing.recovered);
    assert!(
        (Duration::from_secs(2)..Duration::from_secs(4)).contains(&took),
        "{took:?}"
    );

    let polling = waiting(&server, &poller, 30).await;
    server.publish(&urgent_comment(2, 1)).await;
    let (polled, took) = polling.await.unwrap();
    assert_eq!(ids(&polled), [1]);
    assert_eq!(
        (polled.events[0].channel.as_str(), polled.events[0].offset),
        ("thread.2", 1)
    );
    assert_eq!(polled.positions["thread.2"].offset, 1);
    assert_eq!(polled.positions["thread.1"].offset, 0);
    assert!(took < Duration::from_secs(10), "{took:?}");
    poller.cursor = Some(polled.cursor);
    assert!(
        poller.poll(0).await.events.is_empty(),
        "the cursor has moved"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_poll_without_a_cursor_waits_for_what_comes_from_now_on() {
    let server = Server::mechamap().await;
    server.publish(&urgent_comment(1, 1)).await;
    let poller = poller(&server, &["thread.1"]);
    let polling = waiting(&server, &poller, 30).await;
    server.publish(&urgent_comment(1, 2)).await;
    assert_eq!(ids(&polling.await.unwrap().0), [2]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_that_lingers_comes_when_subscribers_see_it() {
    let server = Server::mechamap().await;
    let mut poller = poller(&server, &["thread.1"]);
    poller.poll(0).await;
    server.publish(&comment(1, 1)).await;
    let begun = Instant::now();
    let polled = poller.poll(25).await;
    assert_eq!(ids(&polled), [1]);
    assert!(
        begun.elapsed() < Duration::from_secs(4),
        "{:?}",
        begun.elapsed()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cursor_that_history_does_not_cover_is_answered_with_the_newest() {
    let server = Server::configured("history = { events = 3, bytes = 1000 }").await;
    let mut stale = poller(&server, &["thread.1"]);
    let other = Server::mechamap().await;
    let foreign = Poller::of(other.address(), &Token::of(7), &["thread.1"])
        .poll(0)
        .await
        .cursor;
    stale.cursor = Some(foreign.clone());
    server.publish(&urgent_comment(1, 1)).await;
    let begun = Instant::now();
    let polled = stale.poll(25).await;
    assert!(begun.elapsed() < Duration::from_secs(5), "at once");
    assert!(!polled.recovered && polled.events.is_empty(), "{polled:?}");
    assert_eq!(polled.positions["thread.1"].offset, 1);
    server.publish(&urgent_comment(1, 2)).await;
    assert_eq!(ids(&stale.poll(5).await), [2], "then on from there");
    assert_eq!(
        server
            .metric("fanfare_recovered_total{result=\"not_recovered\"}")
            .await,
        1.0
    );

    // One of two channels is covered.
    let mut both = poller(&server, &["thread.1", "thread.2"]);
    let cursor = poller(&server, &["thread.2"]).poll(0).await.cursor;
    both.cursor = Some(format!("{foreign}.{cursor}"));
    server.publish(&urgent_comment(2, 3)).await;
    let polled = both.poll(0).await;
    assert!(!polled.recovered);
    assert_eq!(ids(&polled), [3]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_polled_channel_remembers_its_last_minute() {
    let server = Server::configured("history = { events = 10 }").await;
    let mut polling = poller(&server, &["thread.1"]);
    polling.poll(0).await;
    server.publish(&urgent_comments(1, 1..=500)).await;
    let polled = polling.poll(0).await;
    assert!(polled.recovered);
    assert_eq!(polled.offsets(), (1..=500).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_than_an_answer_takes_comes_in_several_and_nothing_is_left_out() {
    let server = Server::configured("history = { events = 10000 }").await;
    let mut poller = poller(&server, &["thread.1", "thread.2"]);
    poller.poll(0).await;
    for first in [1, 1001, 2001] {
        server
            .publish(&urgent_comments(1, first..=first + 999))
            .await;
        server
            .publish(&urgent_comments(2, first..=first + 999))
            .await;
    }
    let mut seen = [Vec::new(), Vec::new()];
    while seen.iter().any(|seen| seen.len() < 3000) {
        let polled = poller.poll(1).await;
        assert!(polled.recovered && !polled.events.is_empty());
        for event in polled.events {
            seen[usize::from(event.channel == "thread.2")].push(event.offset);
        }
    }
    for seen in seen {
        assert_eq!(seen, (1..=3000).collect::<Vec<_>>());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ephemeral_events_are_invisible_to_polls() {
    let server = Server::mechamap().await;
    let mut envelope = typing(123);
    envelope["channel"] = "thread.1".into();
    for channels in [&["thread.1"][..], &["thread.1", "thread.2"]] {
        let mut poller = poller(&server, channels);
        let cursor = poller.poll(0).await.cursor;
        let polling = waiting(&server, &poller, 2).await;
        server.publish(&envelope).await;
        let (polled, took) = polling.await.unwrap();
        assert!(polled.events.is_empty(), "{polled:?}");
        assert_eq!(polled.cursor, cursor);
        assert!(
            took >= Duration::from_secs(2),
            "nor do they end one: {took:?}"
        );
        assert!(poller.poll(0).await.events.is_empty());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn positions_lead_to_the_websocket_and_back() {
    let server = Server::mechamap().await;
    let mut poller = poller(&server, &["thread.1"]);
    let polled = poller.poll(0).await;
    server.publish(&urgent_comments(1, 1..=2)).await;
    let client = Client::connect(&server, &Token::of(7)).await;
    let subscribed = client
        .recover("thread.1", &polled.positions["thread.1"])
        .await
        .unwrap();
    assert!(subscribed.recovered);
    assert_eq!(subscribed.publications.len(), 2);
    let epoch = &subscribed.epoch;
    let path = format!("/poll?wait=0&channel=thread.1&since={epoch}:1");
    let request = Request::get(server.address(), &path).token(&Token::of(7));
    assert_eq!(poll::answer(request).await.unwrap().offsets(), [2]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_event_id_is_a_cursor_too() {
    let server = Server::mechamap().await;
    let mut poller = poller(&server, &["thread.1"]);
    let cursor = poller.poll(0).await.cursor;
    server.publish(&urgent_comment(1, 1)).await;
    let newer = poller.poll(0).await.cursor;
    let request = poller.request(0).header("Last-Event-ID", &cursor);
    assert_eq!(ids(&poll::answer(request).await.unwrap()), [1]);
    poller.cursor = Some(cursor);
    let request = poller.request(0).header("Last-Event-ID", &newer);
    assert!(poll::answer(request).await.unwrap().events.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_goes_away_while_it_waits_is_let_go_at_once() {
    let server = Server::mechamap().await;
    let poller = poller(&server, &["thread.1"]);
    let polling = waiting(&server, &poller, 60).await;
    polling.abort();
    let begun = Instant::now();
    until_connected(&server, 0).await;
    assert!(
        begun.elapsed() < Duration::from_secs(2),
        "{:?}",
        begun.elapsed()
    );
    assert_eq!(server.metric("fanfare_subscriptions").await, 0.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn going_down_answers_those_who_wait() {
    let mut server = Launch::mechamap().start().await;
    let requests = (0..3).map(|_| tokio::spawn(poller(&server, &["thread.1"]).request(60).send()));
    let requests = requests.collect::<Vec<_>>();
    until_connected(&server, 3).await;
    server.terminate();
    for request in requests {
        let mut response = request.await.unwrap().unwrap();
        assert_eq!(response.status, 503);
        let seconds = response
            .header("retry-after")
            .unwrap()
            .parse::<u64>()
            .unwrap();
        assert!(seconds > 0);
        let body = serde_json::from_slice::<Value>(&response.rest().await.unwrap()).unwrap();
        assert_eq!(body["error"]["code"], "UNAVAILABLE");
    }
    assert_eq!(server.exit(SOON).await, Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_when_the_server_goes_down_reaches_those_who_poll() {
    let server = Server::mechamap().await;
    let poller = poller(&server, &["thread.1"]);
    let polling = waiting(&server, &poller, 60).await;
    server.publish(&comment(1, 1)).await;
    server.terminate();
    let (polled, _) = timeout(SOON, polling).await.unwrap().unwrap();
    assert_eq!(ids(&polled), [1]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_ends_while_its_client_waits_is_refused() {
    let server = Server::configured("heartbeat = { expiry_grace = 1 }").await;
    let token = Token::of(7).ending(from_now(2));
    let request = Poller::of(server.address(), &token, &["thread.1"]).request(60);
    let mut response = timeout(Duration::from_secs(27), request.send())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(response.status, 401);
    let body = serde_json::from_slice::<Value>(&response.rest().await.unwrap()).unwrap();
    assert_eq!(body["error"]["code"], "AUTH_FAILED");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wait_is_a_number_of_seconds_up_to_60() {
    let server = Server::mechamap().await;
    let token = Token::of(7).sign();
    for wait in [
        "-1",
        "61",
        "1.5",
        "x",
        "",
        "%2b1",
        "1e1",
        "99999999999999999999999",
    ] {
        let path = format!("/poll?token={token}&channel=thread.1&wait={wait}");
        let answer = server.http().get(&path, &[]).await;
        assert_eq!(answer.status, 400, "{wait:?}");
        answer.assert_refusal(400, "INVALID_REQUEST");
    }
    let polled = poller(&server, &["thread.1"]);
    assert!(
        timeout(Duration::from_secs(1), waiting(&server, &polled, 60))
            .await
            .is_ok()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_wait_a_poll_waits_25_seconds() {
    let server = Server::mechamap().await;
    let request = Request::get(server.address(), "/poll?channel=thread.1").token(&Token::of(7));
    let begun = Instant::now();
    let polled = poll::answer(request).await.unwrap();
    let took = begun.elapsed();
    assert!(polled.events.is_empty());
    assert!(
        (Duration::from_secs(25)..Duration::from_secs(29)).contains(&took),
        "{took:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn polls_are_counted_under_their_own_name() {
    let server = Server::mechamap().await;
    let mut poller = poller(&server, &["thread.1"]);
    poller.poll(0).await;
    let delivered = async || {
        server
            .metric("fanfare_events_delivered_total{transport=\"long_poll\"")
            .await
    };
    server.publish(&urgent_comments(1, 1..=3)).await;
    poller.poll(0).await;
    assert_eq!(delivered().await, 3.0);
    let polling = waiting(&server, &poller, 30).await;
    assert_eq!(
        server
            .metric("fanfare_connections{transport=\"long_poll\"}")
            .await,
        1.0
    );
    server.publish(&urgent_comment(1, 4)).await;
    polling.await.unwrap();
    until("what was delivered is counted", SOON, async || {
        (delivered().await == 4.0).then_some(())
    })
    .await;
    assert_eq!(
        server
            .metric("fanfare_connections_total{transport=\"long_poll\"}")
            .await,
        3.0
    );
    assert_eq!(
        server
            .metric("fanfare_connections{transport=\"long_poll\"}")
            .await,
        0.0
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn polls_of_one_connection_are_answered_one_after_the_other() {
    let server = Server::mechamap().await;
    let token = format!("Bearer {}", Token::of(7).sign());
    let headers = [("authorization", token.as_str())];
    let mut cursor = String::new();
    for id in 1..=20 {
        let path = format!("/poll?wait=10&channel=thread.1&cursor={cursor}");
        if id > 1 {
            server.publish(&urgent_comment(1, id)).await;
            let answer = server.http().get(&path, &headers).await.json();
            assert_eq!(answer["events"][0]["data"]["data"]["comment"]["id"], id);
            cursor = answer["cursor"].as_str().unwrap().to_owned();
        } else {
            let path = "/poll?wait=0&channel=thread.1";
            let answer = server.http().get(path, &headers).await.json();
            assert_eq!(answer["events"], json!([]));
            cursor = answer["cursor"].as_str().unwrap().to_owned();
        }
    }
    sleep(Duration::from_millis(10)).await;
    assert_eq!(connections(&server).await, 0);
    timeout(IN_TIME, server.assert_healthy()).await.unwrap();
}
