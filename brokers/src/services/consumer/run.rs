//! The loop of a consumer: takes records, gives them their turns, and lets go of them again.

use std::sync::Arc;
use std::time::Duration;

use fanfare::BrokerError;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until, timeout};

use super::attempt::{Shared, attempt, report};
use super::breaker::BreakerState;
use super::handler::Handler;
use super::in_hand::InHand;
use crate::services::engine::{Delivery, Source};

/// How often the metric of lag is renewed.
const LAG_EVERY: Duration = Duration::from_secs(5);
/// How long a server may think about it.
const LAG_WITHIN: Duration = Duration::from_secs(1);
/// The pause after an error of the source, which has said by itself how long it tried.
const AFTER_ERROR: Duration = Duration::from_millis(200);
/// How long settling may take once the consumer is stopped and the grace is over.
const SETTLE_WITHIN: Duration = Duration::from_secs(10);

/// How far a consumer is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    Running,
    /// Takes no more.
    Stopping,
    /// Takes back what handlers have.
    Aborting,
}

/// Waits until a consumer is that far; it is where whoever said so is gone.
pub(super) async fn reached(phase: &mut watch::Receiver<Phase>, wanted: Phase) {
    let _ = phase.wait_for(|phase| *phase >= wanted).await;
}

/// A consumer at work.
pub(super) struct Run<H> {
    pub(super) shared: Arc<Shared<H>>,
    pub(super) source: Box<dyn Source>,
    pub(super) phase: watch::Sender<Phase>,
    pub(super) breaker: watch::Receiver<BreakerState>,
    pub(super) concurrency: usize,
    pub(super) prefetch: usize,
    pub(super) grace: Duration,
    pub(super) in_hand: InHand<Delivery>,
    /// Attempts under way; each returns its record's key.
    pub(super) attempts: JoinSet<String>,
    /// No record is asked for before this.
    pub(super) not_before: Instant,
}

impl<H: Handler> Run<H> {
    pub(super) async fn run(mut self, mut stop: watch::Receiver<Phase>) {
        let mut lag = interval(LAG_EVERY);
        lag.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let (state, half_open_at) = self.shared.breaker(|breaker| breaker.half_open_at());
            self.begin(state).await;
            let takes = self.takes(state);
            let not_before = self.not_before;
            let source = &mut self.source;
            let next = async {
                sleep_until(not_before).await;
                source.next().await
            };
            tokio::select! {
                biased;
                () = reached(&mut stop, Phase::Stopping) => break,
                Some(key) = self.attempts.join_next() => self.finished(key),
                _ = self.breaker.changed() => {}
                () = sleep_until(half_open_at.unwrap_or_else(Instant::now)), if half_open_at.is_some() => {}
                _ = lag.tick() => self.measure().await,
                delivery = next, if takes => self.take(delivery),
            }
        }
        self.stop().await;
    }

    /// Whether another record is wanted.
    fn takes(&self, state: BreakerState) -> bool {
        match state {
            BreakerState::Open => false,
            BreakerState::HalfOpen => self.in_hand.waiting() == 0 && self.attempts.is_empty(),
            BreakerState::Closed => self.in_hand.waiting() + self.attempts.len() < self.prefetch,
        }
    }

    fn take(&mut self, delivery: Result<Delivery, BrokerError>) {
        match delivery {
            Ok(delivery) => {
                let key = delivery.record.key.clone();
                self.in_hand.push(&key, delivery);
            }
            Err(error) => {
                let cause = std::error::Error::source(&error).map(ToString::to_string);
                tracing::warn!(%error, cause, "cannot read records");
                // What is in hand comes again. Handling it before that would be for nothing.
                drop(self.in_hand.drain());
                self.not_before = Instant::now() + AFTER_ERROR;
            }
        }
    }

    /// Begins what may begin; gives back what may not.
    async fn begin(&mut self, state: BreakerState) {
        if state == BreakerState::Open {
            return self.release().await;
        }
        let most = if state == BreakerState::Closed {
            self.concurrency
        } else {
            1
        };
        while self.attempts.len() < most {
            let Some(delivery) = self.in_hand.begin() else {
                break;
            };
            let (_, era) = self.shared.breaker(|breaker| breaker.era());
            let attempt = attempt(self.shared.clone(), delivery, era, self.phase.subscribe());
            self.attempts.spawn(attempt);
        }
    }

    fn finished(&mut self, key: Result<String, tokio::task::JoinError>) {
        match key {
            Ok(key) => self.in_hand.finished(&key),
            // Handlers' panics are caught, so this is an engine's. Whose key it was is not known;
            // what waits behind it waits until the end.
            Err(error) => tracing::error!(%error, "an attempt broke off"),
        }
    }

    /// Gives back what no handler has yet.
    async fn release(&mut self) {
        for delivery in self.in_hand.drain() {
            report(&delivery.record.id, delivery.settle.release().await);
        }
    }

    async fn measure(&mut self) {
        if let Ok(Some(lag)) = timeout(LAG_WITHIN, self.source.lag()).await {
            // Exact up to 2^53.
            #[allow(clippy::cast_precision_loss, reason = "a gauge is a float")]
            self.shared.metrics.lag.set(lag as f64);
        }
    }

    /// Waits for what handlers have in hand, and gives back the rest.
    async fn stop(mut self) {
        self.phase.send_replace(Phase::Stopping);
        self.release().await;
        let ended = timeout(self.grace, async {
            while self.attempts.join_next().await.is_some() {}
        });
        if ended.await.is_err() {
            tracing::warn!(
                attempts = self.attempts.len(),
                "handlers took longer than the grace and are given up"
            );
            self.phase.send_replace(Phase::Aborting);
            let settled = async { while self.attempts.join_next().await.is_some() {} };
            if timeout(SETTLE_WITHIN, settled).await.is_err() {
                self.attempts.shutdown().await;
            }
        }
    }
}
