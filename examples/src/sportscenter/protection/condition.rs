//! Conditions that the server knows, and the events that they are.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::{envelope, moment};
use crate::sportscenter::BACKOFF;
use crate::sportscenter::fields::Uuid;
use crate::sportscenter::ratelimit::service::{
    Attack, CircuitBreaker, CircuitMetrics, CircuitRecovery, CircuitState, ConnectionThrottle,
    DdosProtection, DefenseAction, DefenseScope, ProtectedService, ThrottlePolicy, Trigger,
};
use crate::sportscenter::ratelimit::usage::{
    Burst, BurstAction, BurstBackoff, BurstControl, ConnectionLimit, ConnectionPolicy,
    ConsequenceAction, Consequences, Forecast, LimitWarning, MessageQuota, Quota, QuotaType,
    QuotaWindow, Violation, ViolationReport, ViolationType, WarningType,
};

/// Something that the server notices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Condition {
    /// A user has published most of what it may.
    NearLimit { user: String, rate: Usage },
    /// A user has published all that it may.
    LimitReached { user: String, rate: Usage },
    /// A connection publishes faster than it may.
    TooFast { user: String, rate: Usage },
    /// A user has all the connections that it may have, and wanted one more.
    ConnectionRefused { user: String, limit: usize },
    /// The node has all the connections that it may have.
    NodeFull { node: String },
    /// The node's clients have published all that they may together.
    Flooded { rate: Usage },
    /// Events do not reach other nodes.
    BrokerLost,
    /// They do again.
    BrokerBack,
}

/// How much of a rate is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Usage {
    pub(super) used: u32,
    pub(super) limit: u32,
    pub(super) per: Duration,
}

impl Condition {
    /// Whom it concerns and which kind it is: of one, no more than one in its time is said.
    pub(super) fn key(&self) -> (&str, &'static str) {
        match self {
            Self::NearLimit { user, .. } => (user, "near"),
            Self::LimitReached { user, .. } => (user, "reached"),
            Self::TooFast { user, .. } => (user, "fast"),
            Self::ConnectionRefused { user, .. } => (user, "connections"),
            Self::NodeFull { .. } => ("", "full"),
            Self::Flooded { .. } => ("", "flooded"),
            Self::BrokerLost => ("", "lost"),
            Self::BrokerBack => ("", "back"),
        }
    }

    /// For how long it need not be said again: the time of its limit, a minute where that has none,
    /// and none where it ends with the opposite.
    pub(super) fn window(&self) -> Duration {
        const MINUTE: Duration = Duration::from_secs(60);
        match self {
            Self::NearLimit { rate, .. } | Self::LimitReached { rate, .. } => rate.per,
            // The limits of a second would be said of every second.
            Self::TooFast { rate, .. } | Self::Flooded { rate } => rate.per.max(MINUTE),
            Self::ConnectionRefused { .. } | Self::NodeFull { .. } => MINUTE,
            Self::BrokerLost | Self::BrokerBack => Duration::ZERO,
        }
    }

    /// Whether a user did what it may not.
    pub(super) fn violator(&self) -> Option<&str> {
        match self {
            Self::LimitReached { user, .. }
            | Self::TooFast { user, .. }
            | Self::ConnectionRefused { user, .. } => Some(user),
            _ => None,
        }
    }

    /// Its events in their envelopes. None about users whose ids are no UUIDs: the events' schema has
    /// no room for them.
    pub(super) fn events(&self, now: Timestamp) -> Vec<Value> {
        self.of_user(now)
            .or_else(|| self.of_service(now).map(|event| vec![event]))
            .unwrap_or_default()
    }

    fn of_user(&self, now: Timestamp) -> Option<Vec<Value>> {
        let events = match self {
            Self::NearLimit { user, rate } => {
                let user_id = Uuid::parse(user)?;
                vec![
                    envelope(&rate.quota(user_id.clone(), now)),
                    envelope(&rate.warning(user_id)),
                ]
            }
            Self::LimitReached { user, rate } => {
                let details = format!(
                    "{} events in {} s are all that is allowed",
                    rate.limit,
                    rate.per.as_secs_f64()
                );
                let violation = Violation {
                    user_id: Uuid::parse(user)?,
                    violation: ViolationReport {
                        r#type: ViolationType::ExceededLimit,
                        details,
                        timestamp: moment(now),
                    },
                    consequences: Consequences {
                        action: ConsequenceAction::RateReduce,
                        duration: rate.per.as_secs_f64(),
                        appeal_process: "support-ticket".to_owned(),
                    },
                };
                vec![envelope(&violation)]
            }
            Self::TooFast { user, rate } => vec![envelope(&BurstControl {
                user_id: Uuid::parse(user)?,
                burst: Burst {
                    current_rate: f64::from(rate.used),
                    max_rate: f64::from(rate.limit),
                    window_ms: milliseconds(rate.per),
                },
                action: BurstAction::Drop,
                backoff: backoff(),
            })],
            Self::ConnectionRefused { user, limit } => vec![envelope(&ConnectionLimit {
                user_id: Uuid::parse(user)?,
                connection_count: *limit as u64,
                max_connections: *limit as u64,
                remaining: 0,
                // Whenever one of them is closed.
                reset_time: moment(now),
                policy: ConnectionPolicy {
                    r#type: "concurrent".to_owned(),
                    window_size: 0,
                },
            })],
            _ => return None,
        };
        Some(events)
    }

    fn of_service(&self, now: Timestamp) -> Option<Value> {
        let event = match self {
            Self::NodeFull { node } => envelope(&ConnectionThrottle {
                node_id: node.clone(),
                current_load: 100.0,
                max_load: 100.0,
                throttle_policy: ThrottlePolicy::Reject,
                duration: self.window().as_secs_f64(),
                affected_user_types: Vec::new(),
            }),
            Self::Flooded { rate } => envelope(&DdosProtection {
                trigger: Trigger {
                    r#type: Attack::MessageFlood,
                    threshold: rate.limit.into(),
                    window: rate.per.as_secs(),
                },
                action: DefenseAction::Block,
                scope: DefenseScope::Global,
                duration: rate.per.as_secs_f64(),
            }),
            Self::BrokerLost => envelope(&circuit_breaker(CircuitState::Open, now)),
            Self::BrokerBack => envelope(&circuit_breaker(CircuitState::Closed, now)),
            _ => return None,
        };
        Some(event)
    }
}

impl Usage {
    /// In percent.
    pub(super) fn percent(self) -> f64 {
        100.0 * f64::from(self.used) / f64::from(self.limit.max(1))
    }

    /// When the whole bucket is there again.
    fn refilled(self) -> Duration {
        self.per.mul_f64(self.percent() / 100.0)
    }

    fn quota(self, user_id: Uuid, now: Timestamp) -> MessageQuota {
        let refilled = SignedDuration::try_from(self.refilled()).unwrap_or_default();
        MessageQuota {
            user_id,
            quota: Quota {
                messages_sent: self.used.into(),
                messages_limit: self.limit.into(),
                reset_time: moment(now.saturating_add(refilled).unwrap_or(now)),
            },
            r#type: QuotaType::User,
            window: match self.per.as_secs() {
                0..=60 => QuotaWindow::Minute,
                61..=3_600 => QuotaWindow::Hour,
                _ => QuotaWindow::Day,
            },
        }
    }

    fn warning(self, user_id: Uuid) -> LimitWarning {
        let left = self.limit.saturating_sub(self.used);
        LimitWarning {
            user_id,
            r#type: WarningType::Message,
            usage_percent: self.percent(),
            forecast: Forecast {
                // Where what came so far came within one window.
                time_to_limit: self.per.as_secs_f64() * f64::from(left)
                    / f64::from(self.used.max(1)),
                suggested_reduction: (self.percent() - 80.0).max(0.0),
            },
            mitigation_options: vec!["reduce-frequency".to_owned(), "upgrade-plan".to_owned()],
        }
    }
}

/// Only whether the broker is there is known: either everything that is for other nodes waits, or
/// nothing does.
fn circuit_breaker(state: CircuitState, now: Timestamp) -> CircuitBreaker {
    let failing = if state == CircuitState::Open {
        1.0
    } else {
        0.0
    };
    let again = SignedDuration::from_secs(1);
    CircuitBreaker {
        service: ProtectedService::RealtimeMetrics,
        state,
        metrics: CircuitMetrics {
            error_rate: failing,
            latency: 0.0,
            timeout_rate: failing,
        },
        recovery: CircuitRecovery {
            attempts: 0,
            backoff: backoff().initial,
            reset_time: moment(now.saturating_add(again).unwrap_or(now)),
        },
    }
}

/// The document's, as its events write it.
fn backoff() -> BurstBackoff {
    BurstBackoff {
        initial: BACKOFF.initial.as_secs_f64() * 1_000.0,
        max: BACKOFF.max.as_secs_f64() * 1_000.0,
        multiplier: BACKOFF.multiplier,
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use fanfare::Config;

    use super::*;
    use crate::platform::Platform;
    use crate::sportscenter::SportsCenter;

    const USER: &str = "0192f6d0-7c1e-7b3a-9f55-3f1d2c4b5a60";
    const NOW: Timestamp = Timestamp::UNIX_EPOCH;

    fn minute(used: u32) -> Usage {
        Usage {
            used,
            limit: 60,
            per: Duration::from_secs(60),
        }
    }

    fn second(limit: u32) -> Usage {
        Usage {
            used: limit,
            limit,
            per: Duration::from_secs(1),
        }
    }

    fn all(user: &str) -> Vec<(Condition, &'static [&'static str])> {
        let user = user.to_owned();
        let name = || user.clone();
        vec![
            (
                Condition::NearLimit {
                    user: name(),
                    rate: minute(48),
                },
                &["ratelimit/message-quota", "ratelimit/limit-warning"],
            ),
            (
                Condition::LimitReached {
                    user: name(),
                    rate: minute(60),
                },
                &["ratelimit/violation"],
            ),
            (
                Condition::TooFast {
                    user: name(),
                    rate: second(10),
                },
                &["ratelimit/burst-control"],
            ),
            (
                Condition::ConnectionRefused {
                    user: name(),
                    limit: 3,
                },
                &["ratelimit/connection-limit"],
            ),
            (
                Condition::NodeFull {
                    node: "n".to_owned(),
                },
                &["ratelimit/connection-throttle"],
            ),
            (
                Condition::Flooded {
                    rate: second(1_000),
                },
                &["ratelimit/ddos-protection"],
            ),
            (Condition::BrokerLost, &["ratelimit/circuit-breaker"]),
            (Condition::BrokerBack, &["ratelimit/circuit-breaker"]),
        ]
    }

    #[test]
    fn every_condition_is_a_valid_event_for_whom_it_concerns() {
        let catalog = SportsCenter::catalog();
        for (condition, names) in all(USER) {
            let events = condition.events(NOW);
            let said = events.iter().map(|event| event["event"].as_str().unwrap());
            assert!(said.eq(names.iter().copied()), "{condition:?}: {events:?}");
            for event in events {
                let read = catalog
                    .read_from_server(event.to_string().as_bytes(), &Config::default().limits);
                let event = read.unwrap().remove(0).events.remove(0);
                let (user, _) = condition.key();
                assert_eq!(event.is_for_services_only(), user.is_empty());
                if !user.is_empty() {
                    assert_eq!(event.channel().as_str(), format!("user.{USER}"));
                }
            }
        }
    }

    #[test]
    fn users_without_a_uuid_have_no_events() {
        for (condition, _) in all("7") {
            let (user, _) = condition.key();
            assert_eq!(
                condition.events(NOW).is_empty(),
                !user.is_empty(),
                "{condition:?}"
            );
        }
    }

    #[test]
    fn a_warning_says_how_much_is_left() {
        let near = Condition::NearLimit {
            user: USER.to_owned(),
            rate: minute(48),
        };
        let [quota, warning] = &near.events(NOW)[..] else {
            panic!("two events")
        };
        let quota = &quota["data"]["quota"];
        assert_eq!(
            (&quota["messages-sent"], &quota["messages-limit"]),
            (&48.into(), &60.into())
        );
        assert_eq!(quota["reset-time"], "1970-01-01T00:00:48Z");
        assert_eq!(warning["data"]["usage-percent"], 80.0);
        assert_eq!(warning["data"]["forecast"]["time-to-limit"], 15.0);
    }

    #[test]
    fn the_circuit_opens_and_closes() {
        let state = |condition: Condition| condition.events(NOW)[0]["data"]["state"].clone();
        assert_eq!(state(Condition::BrokerLost), "open");
        assert_eq!(state(Condition::BrokerBack), "closed");
    }

    #[test]
    fn odd_rates_do_not_panic() {
        for rate in [
            Usage {
                used: 0,
                limit: 0,
                per: Duration::ZERO,
            },
            Usage {
                used: u32::MAX,
                limit: 1,
                per: Duration::from_secs(u64::from(u32::MAX)),
            },
        ] {
            let user = USER.to_owned();
            assert_eq!(Condition::NearLimit { user, rate }.events(NOW).len(), 2);
        }
    }
}
