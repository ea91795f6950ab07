//! How the node and its limits are doing, every now and then.

use std::collections::HashMap;
use std::time::Duration;

use fanfare::Node;
use jiff::Timestamp;
use serde_json::Value;
use tokio::time::Instant;

use super::condition::Condition;
use super::load::Measured;
use super::{envelope, moment};
use crate::sportscenter::cache::upkeep::{CacheHealth, HealthStatus};
use crate::sportscenter::fields::{RateLimitStore, StoreType, Uuid};
use crate::sportscenter::ratelimit::service::{
    GlobalMetrics, Health, LimitMetrics, LimitsHealth, UserMetrics, Violations,
};

/// How many offenders are named.
const OFFENDERS: usize = 10;

/// What there is to count since the last report.
#[derive(Debug)]
pub(super) struct Report {
    last: Totals,
    /// The most that each user used of its rate, in percent, where that was much.
    usage: HashMap<String, f64>,
    offenders: HashMap<String, u64>,
    violations: u64,
}

/// The node at one moment.
#[derive(Clone, Debug)]
pub(super) struct Totals {
    at: Instant,
    node: String,
    published: u64,
    connections: usize,
    broker_is_up: bool,
    is_well: bool,
}

impl Totals {
    pub(super) fn now(node: &Node, published: u64) -> Self {
        Self {
            at: Instant::now(),
            node: node.id().to_owned(),
            published,
            connections: node.connections(),
            broker_is_up: node.broker_is_up(),
            is_well: node.history_is_up() && !node.is_draining(),
        }
    }
}

impl Report {
    pub(super) fn new(totals: Totals) -> Self {
        Self {
            last: totals,
            usage: HashMap::new(),
            offenders: HashMap::new(),
            violations: 0,
        }
    }

    /// Counts a condition, whether it is said or not.
    pub(super) fn count(&mut self, condition: &Condition) {
        if let Condition::NearLimit { user, rate } | Condition::LimitReached { user, rate } =
            condition
        {
            let most = self.usage.entry(user.clone()).or_default();
            *most = most.max(rate.percent());
        }
        if let Some(user) = condition.violator() {
            self.violations += 1;
            *self.offenders.entry(user.to_owned()).or_default() += 1;
        }
    }

    /// The events of a report, which begins the next one.
    pub(super) fn events(&mut self, totals: Totals, load: Measured, now: Timestamp) -> Vec<Value> {
        let metrics = self.metrics(&totals, load, now);
        let (cache, limits) = match (totals.is_well, totals.broker_is_up) {
            (true, true) => (CacheHealth::Healthy, LimitsHealth::Healthy),
            (true, false) => (CacheHealth::Degraded, LimitsHealth::Degraded),
            (false, _) => (CacheHealth::Unhealthy, LimitsHealth::Critical),
        };
        // Limits are counted in the node's own memory, which answers at once.
        let store = RateLimitStore {
            r#type: StoreType::Memory,
            status: "connected".to_owned(),
            latency: 0.0,
        };
        let cache = HealthStatus {
            node_id: totals.node.clone(),
            status: cache,
            metrics: load.node,
            rate_limit_store: store.clone(),
        };
        let limits = Health {
            node_id: totals.node.clone(),
            status: limits,
            metrics: load.node,
            rate_limit_store: store,
        };
        *self = Self::new(totals);
        vec![envelope(&limits), envelope(&cache), envelope(&metrics)]
    }

    fn metrics(&self, totals: &Totals, load: Measured, now: Timestamp) -> LimitMetrics {
        let elapsed = totals.at.saturating_duration_since(self.last.at);
        let published = totals.published.saturating_sub(self.last.published);
        LimitMetrics {
            timestamp: moment(now),
            global: GlobalMetrics {
                total_connections: totals.connections as u64,
                message_rate: published as f64
                    / elapsed.max(Duration::from_millis(1)).as_secs_f64(),
                bandwidth_usage: load.bytes_per_second,
            },
            per_user: UserMetrics {
                p95_usage: self.percentile(0.95, totals.connections),
                p99_usage: self.percentile(0.99, totals.connections),
            },
            violations: Violations {
                count: self.violations,
                top_offenders: self.top_offenders(),
            },
        }
    }

    /// The share of their rate that so many of the connected users stayed below. Users who came
    /// nowhere near theirs count as 0.
    fn percentile(&self, share: f64, connections: usize) -> f64 {
        let mut usage = self.usage.values().copied().collect::<Vec<_>>();
        usage.sort_by(f64::total_cmp);
        let all = connections.max(usage.len());
        let at = (all as f64 * share).ceil() as usize;
        let quiet = all - usage.len();
        at.checked_sub(quiet + 1)
            .and_then(|at| usage.get(at).copied())
            .unwrap_or(0.0)
    }

    fn top_offenders(&self) -> Vec<Uuid> {
        let mut offenders = self.offenders.iter().collect::<Vec<_>>();
        offenders.sort_by(|one, other| (other.1, one.0).cmp(&(one.1, other.0)));
        let ids = offenders
            .into_iter()
            .filter_map(|(user, _)| Uuid::parse(user));
        ids.take(OFFENDERS).collect()
    }
}

#[cfg(test)]
mod tests {
    use fanfare::Config;

    use super::super::condition::Usage;
    use super::*;
    use crate::platform::Platform;
    use crate::sportscenter::SportsCenter;

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;

    fn totals(at: Instant, published: u64) -> Totals {
        Totals {
            at,
            node: "n".to_owned(),
            published,
            connections: 100,
            broker_is_up: true,
            is_well: true,
        }
    }

    fn user(number: u32) -> String {
        format!("0192f6d0-7c1e-7b3a-9f55-{number:012}")
    }

    fn condition(number: u32, used: u32) -> Condition {
        let rate = Usage {
            used,
            limit: 60,
            per: Duration::from_secs(60),
        };
        let user = user(number);
        if used == 60 {
            Condition::LimitReached { user, rate }
        } else {
            Condition::NearLimit { user, rate }
        }
    }

    #[test]
    fn a_report_is_three_valid_events_for_services() {
        let start = Instant::now();
        let mut report = Report::new(totals(start, 0));
        let events = report.events(totals(start, 0), Measured::default(), NOW);
        let names = events.iter().map(|event| event["event"].as_str().unwrap());
        let expected = [
            "ratelimit/health",
            "cache/health-status",
            "ratelimit/metrics",
        ];
        assert!(names.eq(expected));
        let catalog = SportsCenter::catalog();
        for event in events {
            let read =
                catalog.read_from_server(event.to_string().as_bytes(), &Config::default().limits);
            assert!(read.unwrap()[0].events[0].is_for_services_only());
        }
    }

    #[test]
    fn the_state_is_the_nodes() {
        let states = |is_well, broker_is_up| {
            let now = Totals {
                is_well,
                broker_is_up,
                ..totals(Instant::now(), 0)
            };
            let mut report = Report::new(now.clone());
            let events = report.events(now, Measured::default(), NOW);
            [0, 1].map(|at| events[at]["data"]["status"].as_str().unwrap().to_owned())
        };
        assert_eq!(states(true, true), ["healthy", "healthy"]);
        assert_eq!(states(true, false), ["degraded", "degraded"]);
        assert_eq!(states(false, true), ["critical", "unhealthy"]);
    }

    #[test]
    fn it_counts_since_the_last_one() {
        let start = Instant::now();
        let mut report = Report::new(totals(start, 1_000));
        for (user, used) in [(1, 48), (1, 60), (2, 60), (2, 60), (3, 50)] {
            report.count(&condition(user, used));
        }
        report.count(&Condition::ConnectionRefused {
            user: "7".to_owned(),
            limit: 3,
        });
        let later = start + Duration::from_secs(30);
        let events = report.events(totals(later, 4_000), Measured::default(), NOW);
        let metrics = &events[2]["data"];
        assert_eq!(metrics["global"]["total-connections"], 100);
        assert_eq!(metrics["global"]["message-rate"], 100.0);
        assert_eq!(metrics["violations"]["count"], 4);
        let offenders = &metrics["violations"]["top-offenders"];
        assert_eq!(*offenders, serde_json::json!([user(2), user(1)]));
        assert_eq!(metrics["per-user"]["p99-usage"], 100.0);
        assert_eq!(
            metrics["per-user"]["p95-usage"], 0.0,
            "97 of 100 did little"
        );
        let events = report.events(totals(later, 4_000), Measured::default(), NOW);
        assert_eq!(events[2]["data"]["violations"]["count"], 0);
    }
}
