//! JetStream against a real server.

#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on says so by panicking"
)]

mod shared;

use std::time::{Duration, Instant};

use async_nats::jetstream;
use fanfare::broker::Broker;
use fanfare::testing::broker::{Plan, Recorder, check_all, check_outage};
use fanfare::{BrokerErrorKind, Channel, Guarantee};
use fanfare_brokers::fan_out::jetstream::{Config, JetStream};
use fanfare_test_servers::Nats;

use shared::{Gate, Outage, PATIENCE, event, numbers, sentence, started, until};

fn config(url: &str, cluster: &str) -> Config {
    let url = url.replace("nats://", "nats+jetstream://");
    // The server sets aside what a log may take.
    let url = format!("{url}?cluster={cluster}&max_bytes=100000000");
    url.parse().unwrap()
}

fn broker(url: &str, cluster: &str) -> JetStream {
    JetStream::new(config(url, cluster)).unwrap()
}

fn offsets(recorder: &Recorder) -> Vec<u64> {
    let seen = recorder.of("thread.1");
    seen.iter()
        .map(|seen| seen.position.unwrap().offset)
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn conforms() {
    let server = Nats::shared().await;
    check_all(
        async |cluster: &str| broker(&server.url(), cluster),
        &Plan::default(),
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn survives_an_outage() {
    let server = Nats::start().await;
    let url = server.url();
    let server = Outage::of(server);
    let away = Duration::from_secs(3);
    check_outage(
        async |cluster: &str| broker(&url, cluster),
        &server,
        away,
        &Plan::default(),
    )
    .await;
}

/// A server that is stopped closes nothing: only silence tells.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_stands_still_is_away() {
    let mut server = Nats::start().await;
    let (broker, recorder) = started(broker(&server.url(), "still")).await;
    broker.publish(event(1)).await.unwrap();
    server.pause();
    // Its threads stop one after the other.
    tokio::time::sleep(Duration::from_millis(50)).await;
    let began = Instant::now();
    let refused = broker.publish(event(2)).await.unwrap_err();
    assert_eq!(refused.kind(), BrokerErrorKind::Unavailable);
    let noticed = began.elapsed();
    assert!(noticed < Duration::from_millis(2_500), "after {noticed:?}");
    assert!(!broker.is_up());
    tokio::time::sleep(Duration::from_secs(3).saturating_sub(noticed)).await;
    server.resume();
    until("the broker is up again", || broker.is_up()).await;
    broker.publish(event(3)).await.unwrap();
    until("event 3 arrives", || numbers(&recorder).contains(&3)).await;
    // The second was in the socket when the server stood still, and is tolerated as a latecomer.
    let seen = numbers(&recorder);
    assert!(seen == [1, 2, 3] || seen == [1, 3], "{seen:?}");
    broker.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_without_a_server_fails_with_a_sentence() {
    let began = Instant::now();
    let broker = broker("nats://127.0.0.1:1", "none");
    let error = broker.start(Recorder::new().ingress()).await.unwrap_err();
    assert_eq!(error.kind(), BrokerErrorKind::Unavailable);
    let sentence = sentence(&error);
    assert!(
        sentence.contains("cannot connect to NATS at 127.0.0.1:1"),
        "{sentence}"
    );
    assert!(sentence.contains("onnection refused"), "{sentence}");
    assert!(began.elapsed() < Duration::from_secs(5));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_with_a_server_that_stands_still_fails_in_time() {
    let mut server = Nats::start().await;
    server.pause();
    // Its threads stop one after the other.
    tokio::time::sleep(Duration::from_millis(50)).await;
    let began = Instant::now();
    let broker = broker(&server.url(), "still");
    let error = broker.start(Recorder::new().ingress()).await.unwrap_err();
    assert!(
        began.elapsed() < Duration::from_millis(5_500),
        "{:?}",
        began.elapsed()
    );
    assert!(
        sentence(&error).contains("NATS at 127.0.0.1"),
        "{}",
        sentence(&error)
    );
    server.resume();
}

/// A server that wants a password.
struct Guarded(std::process::Child);

impl Drop for Guarded {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_is_told_and_not_shown() {
    // The one of the tests runs first: it says where the program is missing.
    drop(Nats::start().await);
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = free.local_addr().unwrap().port();
    drop(free);
    let home = std::env::var_os("FANFARE_BROKERS_DIR").map(std::path::PathBuf::from);
    let home = home.unwrap_or_else(|| std::env::home_dir().unwrap().join(".cache/fanfare-brokers"));
    let server = std::process::Command::new(home.join("bin/nats-server"))
        .args(["--addr", "127.0.0.1", "--port", &port.to_string()])
        .args(["--user", "u", "--pass", "right"])
        .stderr(std::process::Stdio::null())
        .spawn();
    let _server = Guarded(server.unwrap());
    let began = Instant::now();
    while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(began.elapsed() < PATIENCE, "the server does not come up");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let attempt = async |login: &str| {
        let url = format!("nats+jetstream://{login}127.0.0.1:{port}");
        let broker = JetStream::from_url(&url).unwrap();
        let error = broker.start(Recorder::new().ingress()).await.unwrap_err();
        let said = format!("{} {error:?} {broker:?}", sentence(&error));
        assert!(!said.contains("wr0ng") && !said.contains("right"), "{said}");
        said
    };
    for login in ["u:wr0ng@", ""] {
        let said = attempt(login).await;
        assert!(said.contains("uthorization"), "{said}");
    }
    // And here nothing but JetStream is missing.
    let said = attempt("u:right@").await;
    assert!(
        said.contains("JetStream") || said.contains("jetstream"),
        "{said}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_was_away_goes_on_where_the_log_begins() {
    let server = Nats::shared().await;
    let gate = Gate::to(&server.url()).await;
    let small = |url: &str| Config {
        max_events: Some(50),
        ..config(url, "trimmed")
    };
    let other = JetStream::new(small(&server.url())).unwrap();
    let (other, _) = started(other).await;
    let url = format!("nats://127.0.0.1:{}", gate.port);
    let (away, seen) = started(JetStream::new(small(&url)).unwrap()).await;
    for number in 1..=10 {
        other.publish(event(number)).await.unwrap();
    }
    until("the first ten arrive", || numbers(&seen).len() == 10).await;
    let channel = Channel::new("thread.1").unwrap();
    let before = away.covered(&channel).unwrap();
    assert_eq!((before.from, before.to), (1, 10));
    gate.close();
    until("the server is missed", || !away.is_up()).await;
    for number in 11..=200 {
        other.publish(event(number)).await.unwrap();
    }
    gate.open();
    until("the last arrives", || numbers(&seen).last() == Some(&200)).await;
    let expected = (1..=10).chain(151..=200).collect::<Vec<_>>();
    assert_eq!(numbers(&seen), expected);
    assert_eq!(offsets(&seen), expected);
    until("all is covered", || {
        away.covered(&channel).unwrap().to == 200
    })
    .await;
    let covered = away.covered(&channel).unwrap();
    assert_eq!((covered.epoch, covered.from), (before.epoch, 151));
    for broker in [away, other] {
        broker.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_reads_back_no_more_than_it_is_told_to() {
    let server = Nats::shared().await;
    let (early, _) = started(broker(&server.url(), "back")).await;
    for number in 1..=100 {
        early.publish(event(number)).await.unwrap();
    }
    let late = Config {
        read_back: 30,
        ..config(&server.url(), "back")
    };
    let (late, seen) = started(JetStream::new(late).unwrap()).await;
    assert_eq!(numbers(&seen), (71..=100).collect::<Vec<_>>());
    let covered = late.covered(&Channel::new("thread.1").unwrap()).unwrap();
    assert_eq!((covered.from, covered.to), (71, 100));
    for broker in [early, late] {
        broker.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_is_made_anew_has_other_epochs() {
    let server = Nats::shared().await;
    let (one, one_seen) = started(broker(&server.url(), "anew")).await;
    let (other, other_seen) = started(broker(&server.url(), "anew")).await;
    for number in 1..=5 {
        one.publish(event(number)).await.unwrap();
    }
    until("all arrive", || {
        numbers(&one_seen).len() == 5 && numbers(&other_seen).len() == 5
    })
    .await;
    let channel = Channel::new("thread.1").unwrap();
    let before = one.covered(&channel).unwrap();
    assert_eq!(Some(before), other.covered(&channel));
    let context = jetstream::new(Box::pin(async_nats::connect(server.url())).await.unwrap());
    context.delete_stream("anew-events").await.unwrap();
    let changed = |broker: &JetStream| broker.covered(&channel).unwrap().epoch != before.epoch;
    until("both find the log anew", || {
        changed(&one) && changed(&other)
    })
    .await;
    until("both are up", || one.is_up() && other.is_up()).await;
    let published = one.publish(event(6)).await.unwrap();
    assert_eq!(published.position.unwrap().offset, 1);
    until("it arrives", || {
        [&one_seen, &other_seen]
            .iter()
            .all(|seen| numbers(seen).last() == Some(&6))
    })
    .await;
    let positions = |seen: &Recorder| seen.of("thread.1").last().unwrap().position;
    assert_eq!(positions(&one_seen), published.position);
    assert_eq!(positions(&other_seen), published.position);
    let after = one.covered(&channel).unwrap();
    assert_eq!((after.from, after.to), (1, 1));
    for broker in [one, other] {
        broker.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_event_is_skipped_and_covered() {
    let server = Nats::shared().await;
    let (broker, seen) = started(broker(&server.url(), "garbled")).await;
    let context = jetstream::new(Box::pin(async_nats::connect(server.url())).await.unwrap());
    for garbage in ["", "x", "\u{1}\u{ff}"] {
        let sent = context.publish("garbled.e.thread.1", garbage.into());
        sent.await.unwrap().await.unwrap();
    }
    broker.publish(event(1)).await.unwrap();
    let channel = Channel::new("thread.1").unwrap();
    until("all is covered", || {
        broker.covered(&channel).unwrap().to == 4
    })
    .await;
    assert_eq!(offsets(&seen), [4]);
    broker.shutdown().await;
}

/// The client library comes back to such a server by itself; what it hears must not be heard twice.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_live_comes_once_after_a_lost_connection() {
    let server = Nats::shared().await;
    let gate = Gate::to(&server.url()).await;
    let url = format!("nats://127.0.0.1:{}", gate.port);
    let (broker, seen) = started(broker(&url, "blink")).await;
    for _ in 0..3 {
        gate.blink();
        until("the loss is noticed", || !broker.is_up()).await;
        until("the broker is back", || broker.is_up()).await;
    }
    for number in 1..=3 {
        let event = event(number).with_guarantee(Guarantee::Ephemeral);
        broker.publish(event).await.unwrap();
    }
    broker.publish(event(4)).await.unwrap();
    until("all arrive", || numbers(&seen).len() >= 4).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    let mut numbers = numbers(&seen);
    numbers.sort_unstable();
    assert_eq!(numbers, [1, 2, 3, 4]);
    broker.shutdown().await;
}

/// A broker that is dropped leaves no connection behind.
#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_is_dropped_is_gone() {
    let server = Nats::start().await;
    let (broker, _) = started(broker(&server.url(), "dropped")).await;
    let context = jetstream::new(Box::pin(async_nats::connect(server.url())).await.unwrap());
    let tasks = || {
        tokio::runtime::Handle::current()
            .metrics()
            .num_alive_tasks()
    };
    let with = tasks();
    drop(broker);
    until("its tasks end", || tasks() + 2 <= with).await;
    let stream = context.get_stream("dropped-events").await.unwrap();
    assert_eq!(
        stream.cached_info().state.consumer_count,
        1,
        "kept until it is found to be gone"
    );
}
