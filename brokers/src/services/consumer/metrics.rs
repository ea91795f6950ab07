//! What a consumer counts, through the `metrics` facade.

use metrics::{Counter, Gauge, counter, gauge};

use super::breaker::BreakerState;
use crate::services::engine::Subscription;

/// The series of one consumer, with the labels `topic` and `group`.
pub(super) struct Metrics {
    pub(super) processed: Counter,
    pub(super) failed: Counter,
    pub(super) retried: Counter,
    pub(super) dead_lettered: Counter,
    pub(super) lag: Gauge,
    breaker: Gauge,
}

impl Metrics {
    /// The series, at zero.
    pub(super) fn new(subscription: &Subscription) -> Self {
        describe();
        let labels = [
            ("topic", subscription.topic.clone()),
            ("group", subscription.group.clone()),
        ];
        let metrics = Self {
            processed: counter!("fanfare_consumer_processed_total", &labels),
            failed: counter!("fanfare_consumer_failed_total", &labels),
            retried: counter!("fanfare_consumer_retried_total", &labels),
            dead_lettered: counter!("fanfare_consumer_dead_lettered_total", &labels),
            lag: gauge!("fanfare_broker_lag", &labels),
            breaker: gauge!("fanfare_consumer_breaker", &labels),
        };
        for counter in [
            &metrics.processed,
            &metrics.failed,
            &metrics.retried,
            &metrics.dead_lettered,
        ] {
            counter.increment(0);
        }
        metrics.lag.set(0.0);
        metrics.breaker(BreakerState::Closed);
        metrics
    }

    pub(super) fn breaker(&self, state: BreakerState) {
        self.breaker.set(state.gauge());
    }
}

fn describe() {
    use metrics::{describe_counter, describe_gauge};
    describe_counter!(
        "fanfare_consumer_processed_total",
        "Records that were worked off"
    );
    describe_counter!("fanfare_consumer_failed_total", "Attempts that failed");
    describe_counter!(
        "fanfare_consumer_retried_total",
        "Records put back to be tried again"
    );
    describe_counter!(
        "fanfare_consumer_dead_lettered_total",
        "Records that were given up"
    );
    describe_gauge!(
        "fanfare_broker_lag",
        "Events or records in the broker that have not been read"
    );
    describe_gauge!(
        "fanfare_consumer_breaker",
        "The circuit breaker: 0 closed, 1 half-open, 2 open"
    );
}
