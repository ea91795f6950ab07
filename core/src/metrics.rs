//! What the node counts, through the `metrics` facade. An application installs the exporter.
//!
//! Handles are resolved once, when the node is built, so install the recorder before that.

use std::sync::Arc;
use std::time::Duration;

use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};
use tokio::time::Instant;

use crate::event::{Priority, Publication};
use crate::sync::Mutex;
use crate::wire::Flush;

/// The transports that every node has series for from the start.
const KNOWN_TRANSPORTS: [&str; 4] = ["websocket", "sse", "long_poll", "socket_io"];
const REASONS_REJECTED: [&str; 6] = [
    "auth_failed",
    "connection_limit",
    "origin",
    "bad_request",
    "draining",
    "handshake_timeout",
];
const REASONS_DROPPED: [&str; 4] = ["conflated", "best_effort", "disconnected", "expired"];
const SCOPES: [&str; 4] = ["user", "channel", "node", "session"];
const RECOVERIES: [&str; 2] = ["recovered", "not_recovered"];

/// The node's series.
pub(crate) struct Metrics {
    pub(crate) subscriptions: Gauge,
    pub(crate) published: [Counter; 3],
    pub(crate) sla_breaches: [Counter; 3],
    pub(crate) flush_events: Histogram,
    pub(crate) outbox_bytes: Gauge,
    pub(crate) slow_disconnects: Counter,
    pub(crate) conflated: Counter,
    pub(crate) dropped: Counter,
    pub(crate) disconnected: Counter,
    /// Live events that came too late from another node.
    pub(crate) expired: Counter,
    pub(crate) recovered: Counter,
    pub(crate) not_recovered: Counter,
    pub(crate) broker_up: Gauge,
    pub(crate) broker_publish: Histogram,
    pub(crate) broker_copies: Counter,
    pub(crate) nodes: Gauge,
    pub(crate) spilled: Gauge,
    transports: Mutex<Vec<Arc<Transport>>>,
}

/// The series of the way to the service topics; there are none without a sink.
pub(crate) struct Topics {
    pub(crate) up: Gauge,
    pub(crate) published: Counter,
    pub(crate) publish: Histogram,
    pub(crate) rejected: Counter,
    pub(crate) spilled: Gauge,
}

/// The series of one transport, shared by its connections.
pub(crate) struct Transport {
    pub(crate) name: &'static str,
    /// Its place in per-transport tallies.
    pub(crate) index: usize,
    pub(crate) connections: Gauge,
    pub(crate) opened: Counter,
    pub(crate) delivered: [Counter; 3],
    pub(crate) delivery_seconds: [Histogram; 3],
}

/// How late is too late.
const SLA: [Duration; 3] = [
    Duration::from_secs(1),
    Duration::from_secs(5),
    Duration::from_secs(30),
];

impl Metrics {
    pub(crate) fn new() -> Self {
        describe();
        let by_priority =
            |name: &'static str| Priority::ALL.map(|p| counter!(name, "priority" => p.as_str()));
        for scope in SCOPES {
            counter!("fanfare_rate_limited_total", "scope" => scope).increment(0);
        }
        for reason in REASONS_REJECTED {
            counter!("fanfare_connections_rejected_total", "reason" => reason).increment(0);
        }
        let [conflated, dropped, disconnected, expired] = REASONS_DROPPED
            .map(|reason| counter!("fanfare_events_dropped_total", "reason" => reason));
        let [recovered, not_recovered] =
            RECOVERIES.map(|result| counter!("fanfare_recovered_total", "result" => result));
        let metrics = Self {
            subscriptions: gauge!("fanfare_subscriptions"),
            published: by_priority("fanfare_events_published_total"),
            sla_breaches: by_priority("fanfare_sla_breaches_total"),
            flush_events: histogram!("fanfare_flush_events"),
            outbox_bytes: gauge!("fanfare_outbox_bytes"),
            slow_disconnects: counter!("fanfare_slow_disconnects_total"),
            conflated,
            dropped,
            disconnected,
            expired,
            recovered,
            not_recovered,
            broker_up: gauge!("fanfare_broker_up"),
            broker_publish: histogram!("fanfare_broker_publish_seconds"),
            nodes: gauge!("fanfare_cluster_nodes"),
            spilled: gauge!("fanfare_spilled_events"),
            broker_copies: counter!("fanfare_broker_copies_total"),
            transports: Mutex::default(),
        };
        metrics.zero();
        for name in KNOWN_TRANSPORTS {
            metrics.transport(name);
        }
        metrics
    }

    /// Makes every series exist, so that dashboards show zeros rather than gaps.
    fn zero(&self) {
        self.subscriptions.set(0.0);
        self.outbox_bytes.set(0.0);
        self.broker_up.set(0.0);
        self.nodes.set(1.0);
        self.spilled.set(0.0);
        let counters = [
            &self.slow_disconnects,
            &self.conflated,
            &self.broker_copies,
            &self.dropped,
            &self.disconnected,
            &self.expired,
            &self.recovered,
            &self.not_recovered,
        ];
        for counter in counters
            .into_iter()
            .chain(&self.published)
            .chain(&self.sla_breaches)
        {
            counter.increment(0);
        }
        gauge!("fanfare_broker_lag").set(0.0);
        for name in ["processed", "failed", "retried", "dead_lettered"] {
            counter!(format!("fanfare_consumer_{name}_total")).increment(0);
        }
    }

    /// The series of a transport, made on first use.
    pub(crate) fn transport(&self, name: &'static str) -> Arc<Transport> {
        let mut transports = self.transports.lock();
        if let Some(known) = transports.iter().find(|known| known.name == name) {
            return known.clone();
        }
        let transport = Transport {
            name,
            index: transports.len(),
            connections: gauge!("fanfare_connections", "transport" => name),
            opened: counter!("fanfare_connections_total", "transport" => name),
            delivered: Priority::ALL.map(|p| {
                counter!("fanfare_events_delivered_total", "transport" => name, "priority" => p.as_str())
            }),
            delivery_seconds: Priority::ALL.map(|p| {
                histogram!("fanfare_delivery_seconds", "transport" => name, "priority" => p.as_str())
            }),
        };
        transport.connections.set(0.0);
        transport.opened.increment(0);
        for delivered in &transport.delivered {
            delivered.increment(0);
        }
        let transport = Arc::new(transport);
        transports.push(transport.clone());
        transport
    }

    /// How many transports have series.
    pub(crate) fn transports(&self) -> usize {
        self.transports.lock().len()
    }

    /// Counts a flush that has been written to `sockets[transport]` sockets.
    pub(crate) fn delivered(&self, flush: &Flush, sockets: &[u32], now: Instant) {
        let transports = self.transports.lock();
        for (transport, &sockets) in transports
            .iter()
            .zip(sockets)
            .filter(|(_, sockets)| **sockets > 0)
        {
            for publication in flush.publications() {
                let at = publication.event().priority() as usize;
                let age = now.duration_since(publication.event().accepted_at());
                transport.delivery_seconds[at].record(age.as_secs_f64());
                if age > SLA[at] {
                    self.sla_breaches[at].increment(u64::from(sockets));
                }
            }
            for (counter, &events) in transport.delivered.iter().zip(&flush.counts) {
                counter.increment(u64::from(sockets) * u64::from(events));
            }
        }
    }
}

impl Topics {
    pub(crate) fn new() -> Self {
        describe_topics();
        let topics = Self {
            up: gauge!("fanfare_topics_up"),
            published: counter!("fanfare_topics_published_total"),
            publish: histogram!("fanfare_topics_publish_seconds"),
            rejected: counter!("fanfare_topics_rejected_total"),
            spilled: gauge!("fanfare_topics_spilled"),
        };
        topics.up.set(0.0);
        topics.published.increment(0);
        topics.rejected.increment(0);
        topics.spilled.set(0.0);
        topics
    }
}

impl Transport {
    /// Counts publications that one client recovers.
    pub(crate) fn recovered(&self, publications: &[Arc<Publication>]) {
        for publication in publications {
            self.delivered[publication.event().priority() as usize].increment(1);
        }
    }
}

/// Counts a connection that ended because its client took too little of what was its. The node counts
/// those of its sessions by itself; this is for what a transport writes after a session has ended.
pub fn slow_disconnect() {
    counter!("fanfare_slow_disconnects_total").increment(1);
}

/// Counts a connection that was turned away.
pub fn connection_rejected(reason: &'static str) {
    counter!("fanfare_connections_rejected_total", "reason" => reason).increment(1);
}

pub(crate) fn rate_limited(scope: &'static str) {
    counter!("fanfare_rate_limited_total", "scope" => scope).increment(1);
}

fn describe() {
    use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};
    describe_gauge!("fanfare_connections", "Open, authenticated connections");
    describe_counter!(
        "fanfare_connections_total",
        "Connections that were authenticated"
    );
    describe_counter!(
        "fanfare_connections_rejected_total",
        "Connections that were turned away"
    );
    describe_gauge!("fanfare_subscriptions", "Subscriptions of all connections");
    describe_counter!("fanfare_events_published_total", "Events accepted");
    describe_counter!(
        "fanfare_events_delivered_total",
        "Events handed to sockets, counted for each socket"
    );
    describe_counter!(
        "fanfare_events_dropped_total",
        "Events that were not delivered: a newer one took their place, a subscriber was behind its budget, or they had expired"
    );
    describe_histogram!(
        "fanfare_delivery_seconds",
        Unit::Seconds,
        "From acceptance of an event until a worker has handed it to the last of its sockets"
    );
    describe_histogram!(
        "fanfare_flush_events",
        "Events that left a channel together"
    );
    describe_gauge!(
        "fanfare_outbox_bytes",
        Unit::Bytes,
        "Bytes that wait for sockets that are full"
    );
    describe_counter!(
        "fanfare_slow_disconnects_total",
        "Connections ended because they read too slowly"
    );
    describe_counter!(
        "fanfare_rate_limited_total",
        "Publications refused by a rate limit"
    );
    describe_counter!(
        "fanfare_recovered_total",
        "Recoveries asked for, by their result"
    );
    describe_gauge!("fanfare_broker_up", "Whether the broker is reachable");
    describe_histogram!(
        "fanfare_broker_publish_seconds",
        Unit::Seconds,
        "From handing an event to the broker until it has it"
    );
    describe_gauge!(
        "fanfare_cluster_nodes",
        "Nodes of the cluster, as this one sees it"
    );
    describe_gauge!(
        "fanfare_spilled_events",
        "Accepted events that wait on disk for the broker"
    );
    describe_counter!(
        "fanfare_broker_copies_total",
        "Events that the broker carried a second time, and that were not taken in again"
    );
    describe_gauge!(
        "fanfare_broker_lag",
        "Events in the broker that this node has not read"
    );
    describe_counter!(
        "fanfare_sla_breaches_total",
        "Deliveries later than 1 s (high), 5 s (medium), 30 s (low)"
    );
}

fn describe_topics() {
    use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};
    describe_gauge!(
        "fanfare_topics_up",
        "Whether records reach the server of the service topics"
    );
    describe_counter!(
        "fanfare_topics_published_total",
        "Records that the server of the service topics has confirmed"
    );
    describe_histogram!(
        "fanfare_topics_publish_seconds",
        Unit::Seconds,
        "From handing a record to the server of the service topics until it has it"
    );
    describe_counter!(
        "fanfare_topics_rejected_total",
        "Records that the server of the service topics refused for good"
    );
    describe_gauge!(
        "fanfare_topics_spilled",
        "Records that wait on disk for the server of the service topics"
    );
}

impl std::fmt::Debug for Topics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Topics")
    }
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Metrics")
    }
}

impl std::fmt::Debug for Transport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transports_series_are_made_once_and_end_with_the_node() {
        let metrics = Metrics::new();
        let carrier = metrics.transport("carrier_pigeon");
        assert!(Arc::ptr_eq(&carrier, &metrics.transport("carrier_pigeon")));
        assert_eq!(metrics.transports(), KNOWN_TRANSPORTS.len() + 1);
        drop(metrics);
        assert_eq!(Arc::strong_count(&carrier), 1);
    }
}
