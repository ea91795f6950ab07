//! Clients that go without a word, and come back.

use std::pin::pin;
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use super::ledger::{Ledger, Published, channels};
use super::proving::{Proving, config, is_quiet, next};
use super::{Client, Connecting, Plan};
use crate::channel::Channel;
use crate::event::Priority;
use crate::testing::promise;

/// The session of a client that is cut ends, whether it was idle or events came at the time.
///
/// # Panics
/// With the promise that the transport breaks.
pub async fn check_leaving<C: Client>(plan: &Plan) {
    let proving = Proving::<C>::with(config(), plan).await;
    let channels = channels(plan.channels);
    for busy in [false, true] {
        let mut clients = Vec::new();
        for _ in 0..5 {
            clients.push(proving.connect(&channels, None).await);
        }
        if C::capabilities().stream {
            promise!(
                proving.node.connections() == 5,
                "a client that is connected counts as such",
                "{} connections of 5 clients",
                proving.node.connections()
            );
        }
        for client in &mut clients {
            // For a poll, this is what is cut.
            let _ = timeout(Duration::from_millis(20), client.next()).await;
        }
        if busy {
            let mut published = Published::default();
            for _ in 0..50 {
                let event = published.event(&channels[0], 10_000);
                proving.publish(event.with_priority(Priority::High)).await;
            }
        }
        drop(clients);
        proving.is_left().await;
    }
}

/// A client that is cut at random moments, again and again, and resumes each time, gets every event
/// once, in order.
///
/// # Panics
/// With the promise that the transport breaks.
pub async fn check_resuming<C: Client>(plan: &Plan) {
    let mut config = config();
    // So short that some cuts fall into a window and some between two.
    config.linger.medium = Duration::from_millis(60);
    config.linger.low = Duration::from_millis(150);
    let proving = Proving::<C>::with(config, plan).await;
    let channels = channels(plan.channels);
    let mut random = SmallRng::seed_from_u64(plan.seed);
    let mut published = Published::default();
    let events = (0..plan.events).map(|_| published.random(&channels, &mut random));
    let events = events.collect::<Vec<_>>();
    let publishing = async {
        let mut tick = interval(plan.pause);
        tick.set_missed_tick_behavior(MissedTickBehavior::Burst);
        for event in events {
            tick.tick().await;
            proving.publish(event).await;
        }
    };
    let mut followers = Vec::new();
    for number in 0..2 {
        let seed = plan.seed.wrapping_add(number);
        followers.push(Follower::start(&proving, &channels, seed, plan).await);
    }
    let [mut one, mut other] = <[_; 2]>::try_from(followers)
        .unwrap_or_else(|_| unreachable!("two followers were made above"));
    tokio::join!(
        publishing,
        one.follow_to_the_end(&proving, &published),
        other.follow_to_the_end(&proving, &published),
    );
    proving.is_left().await;
}

/// A client across its connections.
struct Follower<'a, C: Client> {
    channels: &'a [Channel],
    plan: &'a Plan,
    random: SmallRng,
    /// Where it would resume, and what it had got there.
    known: (C::Resume, Ledger),
}

impl<'a, C: Client> Follower<'a, C> {
    /// Finds out where it begins, which no cut may prevent.
    async fn start(
        proving: &Proving<C>,
        channels: &'a [Channel],
        seed: u64,
        plan: &'a Plan,
    ) -> Self {
        let client = proving.connect(channels, None).await;
        let Some(resume) = client.resume() else {
            panic!(
                "broken promise: a client that has just connected knows from where it would \
                 resume\n  seen: nothing, though the transport is said to resume"
            );
        };
        Self {
            channels,
            plan,
            random: SmallRng::seed_from_u64(seed),
            known: (resume, Ledger::of(channels, seed)),
        }
    }

    async fn follow_to_the_end(&mut self, proving: &Proving<C>, published: &Published) {
        let mut cuts = 0;
        let mut without_news = 0;
        while !self.known.1.has_all(published) {
            // Each scale as often: from the middle of connecting to many events later.
            let scale = 1 << self.random.random_range(3..10);
            let life = Duration::from_millis(self.random.random_range(0..scale));
            let before = self.known.1.count();
            self.follow(proving, published, life).await;
            cuts += 1;
            without_news += 1;
            if self.known.1.count() > before {
                without_news = 0;
            }
            promise!(
                without_news < 100,
                "every event arrives in the end, however often its client is cut",
                "{:?} after {cuts} cuts, of which the last 100 brought nothing (seed {})",
                self.known,
                self.plan.seed
            );
        }
        let mut client = proving.connect(self.channels, Some(&self.known.0)).await;
        is_quiet(&mut client, &mut self.known.1).await;
    }

    /// One connection.
    async fn follow(&mut self, proving: &Proving<C>, published: &Published, life: Duration) {
        let connecting = Connecting {
            token: "conformance",
            channels: self.channels,
            resume: Some(&self.known.0),
        };
        let mut cut = pin!(sleep(life));
        let connected = tokio::select! {
            connected = C::connect(&proving.server, connecting) => connected,
            () = &mut cut => return,
        };
        let mut client = match connected {
            Ok(client) => client,
            Err(end) => panic!(
                "broken promise: a client that was cut may come back\n  seen: {end:?} with {:?} \
                 (seed {})",
                self.known.0, self.plan.seed
            ),
        };
        let mut ledger = self.known.1.clone();
        while !ledger.has_all(published) {
            let received = if client.resume().is_some() {
                tokio::select! {
                    () = &mut cut => return,
                    received = next(&mut client, self.plan.patience) => received,
                }
            } else {
                // In the middle of an answer that is all there.
                next(&mut client, self.plan.patience).await
            };
            ledger.take(&received);
            if let Some(resume) = client.resume() {
                self.known = (resume, ledger.clone());
            }
        }
        if let Some(resume) = client.resume() {
            self.known = (resume, ledger);
        }
    }
}
