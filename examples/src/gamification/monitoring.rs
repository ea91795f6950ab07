//! How the event system is and what this program does in it: `EventSystemHealth` and `EventMetrics` of the
//! platform's document ("Event Monitoring").
//!
//! The document's health has a part for Redis. Nothing here uses Redis, so `redis` is left out.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use fanfare_brokers::services::rabbitmq::{QueueState, RabbitMq};
use fanfare_brokers::services::{Handler, HandlerError, Work};
use metrics_exporter_prometheus::PrometheusHandle;
use serde::Serialize;
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::rewards::Rewards;

/// A server that takes longer to say how its queues are is as good as away.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// What is reported each time.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// How the system is.
    pub health: EventSystemHealth,
    /// What this program does.
    pub metrics: EventMetrics,
}

/// How the event system is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct EventSystemHealth {
    /// The server with the queues.
    #[serde(rename = "rabbitMQ")]
    pub rabbit_mq: RabbitMqHealth,
}

/// How the server with the queues is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RabbitMqHealth {
    /// Whether it says how its queues are.
    pub connected: bool,
    /// The queues of events, and that of dead letters. None while the server is away; one that was
    /// deleted is missing.
    pub queues: Vec<QueueHealth>,
}

/// How a queue is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct QueueHealth {
    /// Its name.
    pub name: String,
    /// Messages that wait, without those that a consumer has in hand.
    pub message_count: u64,
    /// Who reads it, in this program and elsewhere.
    pub consumer_count: u64,
}

/// What this program has done since it began.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EventMetrics {
    /// Rewards that it wrote.
    pub published_events: u64,
    /// Events that it worked off.
    pub consumed_events: u64,
    /// Events that it moved to the queue of dead letters.
    pub failed_events: u64,
    /// Events that it put back to be tried again, counted each time.
    pub retry_count: u64,
    /// Milliseconds that handling an event took since the last report, on average; 0 where there was none.
    pub processing_time: f64,
    /// Events that wait for it. While the server is away, those of the last time.
    pub queue_length: u64,
}

/// Looks after the queues and the program's own work.
#[derive(Debug)]
pub struct Monitor {
    server: Arc<RabbitMq>,
    queue: &'static str,
    rewards: Arc<Rewards>,
    timed: Timed,
    counted: PrometheusHandle,
    waiting: u64,
}

impl Monitor {
    /// Looks at `server`, at the rewards that are made of the events in `queue`, and at what consumers
    /// count by way of `counted`.
    #[must_use]
    pub fn new(
        server: Arc<RabbitMq>,
        queue: &'static str,
        rewards: Arc<Rewards>,
        counted: PrometheusHandle,
    ) -> Self {
        let timed = Timed {
            rewards: rewards.clone(),
            spent: Arc::default(),
        };
        Self {
            server,
            queue,
            rewards,
            timed,
            counted,
            waiting: 0,
        }
    }

    /// The handler to be given events: that of the rewards, and timed.
    #[must_use]
    pub fn handler(&self) -> Timed {
        self.timed.clone()
    }

    /// Writes a report to standard output now, and again after each `period`.
    pub async fn run(mut self, period: Duration) {
        let mut due = interval(period);
        due.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            due.tick().await;
            let report = self.report().await;
            let line = serde_json::to_string(&report).expect("numbers and strings serialize");
            if let Err(error) = writeln!(io::stdout(), "{line}") {
                tracing::warn!(%error, "cannot report");
            }
        }
    }

    /// How things are now. Waits 5 s at most for the server.
    pub async fn report(&mut self) -> Report {
        let queues = timeout(ANSWER_WITHIN, Box::pin(self.server.queues())).await;
        let queues = queues.ok().and_then(|queues| {
            let logged = queues.inspect_err(|error| tracing::debug!(%error, "no queues"));
            logged.ok()
        });
        let waiting = queues
            .iter()
            .flatten()
            .find(|queue| queue.name == self.queue);
        if let Some(queue) = waiting {
            self.waiting = queue.messages;
        }
        let counts = self.counted.render();
        let count = |name: &str| total(&counts, &format!("fanfare_consumer_{name}_total"));
        Report {
            metrics: EventMetrics {
                published_events: self.rewards.published(),
                consumed_events: count("processed"),
                failed_events: count("dead_lettered"),
                retry_count: count("retried"),
                processing_time: self.timed.mean(),
                queue_length: self.waiting,
            },
            health: EventSystemHealth {
                rabbit_mq: RabbitMqHealth {
                    connected: queues.is_some(),
                    queues: queues.into_iter().flatten().map(QueueHealth::of).collect(),
                },
            },
        }
    }
}

impl QueueHealth {
    fn of(state: QueueState) -> Self {
        Self {
            name: state.name,
            message_count: state.messages,
            consumer_count: state.consumers,
        }
    }
}

/// Makes rewards, and measures how long that takes. Cloning gives another handle of the same.
#[derive(Clone, Debug)]
pub struct Timed {
    rewards: Arc<Rewards>,
    spent: Arc<Mutex<Spent>>,
}

#[derive(Debug, Default)]
struct Spent {
    time: Duration,
    events: u32,
}

impl Timed {
    /// Milliseconds an event since the last call, to the microsecond.
    fn mean(&self) -> f64 {
        let mut spent = self.spent.lock().unwrap_or_else(PoisonError::into_inner);
        let Spent { time, events } = std::mem::take(&mut *spent);
        let mean = time.checked_div(events).unwrap_or_default();
        (mean.as_secs_f64() * 1e6).round() / 1e3
    }
}

impl Handler for Timed {
    async fn handle(&self, work: Work) -> Result<(), HandlerError> {
        let begun = Instant::now();
        let handled = self.rewards.handle(work).await;
        let mut spent = self.spent.lock().unwrap_or_else(PoisonError::into_inner);
        spent.time += begun.elapsed();
        spent.events += 1;
        handled
    }
}

/// The sum of a counter's series, in what is rendered for Prometheus.
fn total(rendered: &str, counter: &str) -> u64 {
    let series = rendered.lines().filter_map(|line| {
        let labels = line.strip_prefix(counter)?.strip_prefix('{')?;
        labels.rsplit(' ').next()?.parse::<u64>().ok()
    });
    series.sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn totals_are_those_of_one_counter() {
        let rendered = "# TYPE fanfare_consumer_retried_total counter\n\
            fanfare_consumer_retried_total{topic=\"a\",group=\"b c\"} 7\n\
            fanfare_consumer_retried_total{topic=\"d\",group=\"d\"} 5\n\
            fanfare_consumer_retried_total_of_others{topic=\"d\"} 100\n\
            fanfare_consumer_failed_total{topic=\"a\",group=\"b\"} 3\n";
        assert_eq!(total(rendered, "fanfare_consumer_retried_total"), 12);
        assert_eq!(total(rendered, "fanfare_consumer_processed_total"), 0);
    }
}
