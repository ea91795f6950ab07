//! Exactly once and in order on every transport at once, however often each is cut.

#![allow(clippy::unwrap_used, reason = "what a test cannot unwrap, it fails by")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use fanfare_tests::mechamap::{comment, idle_comment, urgent_comment};
use fanfare_tests::{Follower, Proxy, Server, Transport};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::Value;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval, timeout};

/// Windows so short that some cuts fall into one and some between two, and history for everything.
const CONFIG: &str = "
    linger = { medium = 0.1, low = 0.3 }
    limits = { connections_per_user = 10000 }
    history = { events = 1000000, bytes = 1073741824 }
";
const THREAD: u64 = 456;
const CUTS: u64 = 100;
/// 20 s at the rate below. More where some client has not been cut often enough by then.
const EVENTS: u64 = 10_000;
const BATCH: u64 = 5;
/// 500 events a second.
const BETWEEN_BATCHES: Duration = Duration::from_millis(10);
const WHOLE: Duration = Duration::from_secs(150);

/// A client behind a network that is cut again and again.
struct Survivor {
    transport: Transport,
    follower: Follower,
    proxy: Proxy,
    random: StdRng,
    cuts: Arc<AtomicU64>,
    seen: Arc<AtomicU64>,
    /// The last event, once it is about to be published.
    last: watch::Receiver<Option<u64>>,
}

impl Survivor {
    async fn run(mut self) -> (Transport, Follower) {
        let last = self.last;
        let has_all = |seen: &[u64]| {
            self.seen.store(seen.len() as u64, Ordering::Relaxed);
            last.borrow().is_some_and(|last| seen.last() == Some(&last))
        };
        loop {
            if self.cuts.load(Ordering::Relaxed) < CUTS {
                // From the middle of the handshake to a thousand events later, each scale as often.
                let scale = 1 << self.random.random_range(6..20);
                self.proxy.cut_after(self.random.random_range(0..scale));
            }
            let address = self.proxy.address();
            let followed = self.follower.follow(self.transport, address, has_all);
            match followed.await {
                Ok(()) => return (self.transport, self.follower),
                Err(_) => self.cuts.fetch_add(1, Ordering::Relaxed),
            };
        }
    }
}

async fn publish(
    server: &Server,
    cuts: &[Arc<AtomicU64>],
    last: watch::Sender<Option<u64>>,
) -> u64 {
    let are_cut_enough = || cuts.iter().all(|cuts| cuts.load(Ordering::Relaxed) >= CUTS);
    let mut tick = interval(BETWEEN_BATCHES);
    tick.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut first = 1;
    loop {
        tick.tick().await;
        let end = first + BATCH;
        let is_last = first >= EVENTS && are_cut_enough();
        if is_last {
            last.send_replace(Some(end - 1));
        }
        let comments = (first..end).map(|id| match id % 5 {
            0 | 1 => urgent_comment(THREAD, id),
            2 | 3 => comment(THREAD, id),
            _ => idle_comment(THREAD, id),
        });
        let published = server.publish(&comments.collect::<Value>()).await;
        let offsets = published.iter().map(|published| published.offset.unwrap());
        assert!(offsets.eq(first..end), "one publisher: ids are offsets");
        if is_last {
            return end - 1;
        }
        first = end;
    }
}

async fn survivor(
    server: SocketAddr,
    transport: Transport,
    seed: u64,
    last: watch::Receiver<Option<u64>>,
) -> Survivor {
    Survivor {
        transport,
        follower: Follower::begin(server, 7, THREAD).await,
        proxy: Proxy::to(server).await,
        random: StdRng::seed_from_u64(seed),
        cuts: Arc::default(),
        seen: Arc::default(),
        last,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_transport_gets_every_event_once_in_order_across_a_hundred_cuts() {
    let seed = rand::random::<u64>();
    eprintln!("seed {seed}");
    let server = Server::configured(CONFIG).await;
    let (sender, last) = watch::channel(None);
    let mut cuts = Vec::new();
    let mut seen = Vec::new();
    let mut running = Vec::new();
    for (at, transport) in Transport::ALL.into_iter().enumerate() {
        let seed = seed.wrapping_add(at as u64);
        let survivor = survivor(server.address(), transport, seed, last.clone()).await;
        cuts.push(survivor.cuts.clone());
        seen.push(survivor.seen.clone());
        running.push(tokio::spawn(survivor.run()));
    }
    let whole = Box::pin(async {
        let last = publish(&server, &cuts, sender).await;
        for running in running {
            let (transport, follower) = running.await.unwrap();
            let first_wrong = (1..=last)
                .zip(&follower.seen)
                .find(|(wanted, seen)| wanted != *seen);
            assert_eq!(first_wrong, None, "{transport:?}: wanted, seen");
            assert_eq!(follower.seen.len() as u64, last, "{transport:?}");
            assert_eq!(follower.losses, 0, "{transport:?}");
        }
        last
    });
    let whole = timeout(WHOLE, whole).await;
    let last = whole.unwrap_or_else(|_| panic!("not in time: {cuts:?} cuts, {seen:?} events"));
    eprintln!("{last} events, {cuts:?} cuts");
    server.assert_healthy().await;
}
