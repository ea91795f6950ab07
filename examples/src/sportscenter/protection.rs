//! What the server says of its own limits and health: the `ratelimit/*` events, and
//! `cache/health-status`, whose conditions it knows itself. Backends publish the others.

mod condition;
mod load;
mod report;
mod told;

use std::time::Duration;

use fanfare::Node;
use fanfare::catalog::TypedEvent;
use fanfare::notice::{ConnectionScope, Notice, RateScope, RateUse};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Value, json};
use tokio::time::{Instant, MissedTickBehavior, interval_at};
use tracing::warn;

use self::condition::{Condition, Usage};
use self::load::Load;
use self::report::{Report, Totals};
use self::told::Told;
use crate::demo::publish;

/// Between two reports.
const REPORT_EVERY: Duration = Duration::from_secs(30);

/// Publishes what there is to say until the node goes down. `published` gives how many events the
/// node has published so far.
pub(super) async fn run(node: Node, published: impl Fn() -> u64) {
    let mut notices = node.notices();
    let mut told = Told::default();
    let mut report = Report::new(Totals::now(&node, published()));
    let mut load = Load::default();
    let mut tick = interval_at(Instant::now() + REPORT_EVERY, REPORT_EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while !node.is_draining() {
        let events = tokio::select! {
            notice = notices.recv() => {
                let Some(notice) = notice else { return };
                let Some(condition) = condition(notice, &node) else { continue };
                report.count(&condition);
                if !told.is_news(&condition, Instant::now()) {
                    continue;
                }
                condition.events(Timestamp::now())
            }
            _ = tick.tick() => {
                told.forget(Instant::now());
                report.events(Totals::now(&node, published()), load.look(), Timestamp::now())
            }
        };
        for event in events {
            if let Err(problem) = publish(&node, &event).await {
                warn!(problem, "what the server says of itself");
            }
        }
    }
}

/// What a notice means here; none where it concerns neither users nor services.
fn condition(notice: Notice, node: &Node) -> Option<Condition> {
    match notice {
        Notice::RateNearlyUsed(rate) => match &rate.scope {
            RateScope::User(user) => Some(Condition::NearLimit {
                user: user.to_string(),
                rate: usage(&rate),
            }),
            _ => None,
        },
        Notice::RateUsedUp(rate) => match &rate.scope {
            RateScope::User(user) => Some(Condition::LimitReached {
                user: user.to_string(),
                rate: usage(&rate),
            }),
            RateScope::Session { user, .. } => Some(Condition::TooFast {
                user: user.to_string(),
                rate: usage(&rate),
            }),
            RateScope::Node => Some(Condition::Flooded { rate: usage(&rate) }),
            _ => None,
        },
        Notice::ConnectionRefused { user, scope, limit } => match (scope, user) {
            (ConnectionScope::User, Some(user)) => Some(Condition::ConnectionRefused {
                user: user.to_string(),
                limit,
            }),
            (ConnectionScope::Node, _) => Some(Condition::NodeFull {
                node: node.id().to_owned(),
            }),
            _ => None,
        },
        Notice::BrokerLost { .. } => Some(Condition::BrokerLost),
        Notice::BrokerBack { .. } => Some(Condition::BrokerBack),
        _ => None,
    }
}

fn usage(rate: &RateUse) -> Usage {
    Usage {
        used: rate.used,
        limit: rate.limit,
        per: rate.period,
    }
}

/// An event in its envelope.
fn envelope<T: TypedEvent + Serialize>(data: &T) -> Value {
    json!({"event": T::NAME, "data": data})
}

/// A moment as events write it.
fn moment(at: Timestamp) -> fanfare::catalog::Timestamp {
    fanfare::catalog::Timestamp::parse(&format!("{at:.3}")).expect("jiff writes RFC 3339")
}
