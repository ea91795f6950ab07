//! SportsCenter: training sessions, videos, metrics, mentors, and what stands around them.
//!
//! The platform's document has no channels. A publisher needs to name none: messages go to the
//! channels of the two users they concern, data with a user's id at its top (of analytics: or an
//! athlete's) to that user's, anything else to the channel of the event's family. Ids further down in
//! the data, those of a session's coach or of whoever posted something, say whom an event is about,
//! not whom it is for. Clients get their families' channels and their own at connect, and events with
//! a role rule only with one of those roles.
//!
//! The document's numbers of a connection pool (10 connections, 10 waiting, 30 s idle) pool nothing
//! here: no request waits for a connection of another kind. They are left out.

mod access;
pub mod analytics;
pub mod cache;
pub mod community;
pub mod control;
pub mod fields;
pub mod goal;
mod life;
pub mod mentor;
pub mod mentor_assessment;
pub mod mentor_session;
pub mod message;
pub mod metric;
pub mod notification;
mod protection;
pub mod ratelimit;
pub mod session;
pub mod video;

use std::time::Duration;

use fanfare::auth::jwt::Jwt;
use fanfare::catalog::Envelope;
use fanfare::config::{Rate, Reconnect};
use fanfare::{Authenticator, Authorizer, Catalog, Channel, Config, Node};
use fanfare_transports::socket_io::Arguments;
use metrics_exporter_prometheus::PrometheusHandle;
use rand::rngs::StdRng;
use serde_json::Value;

use self::access::{Families, Rules};
use crate::platform::Platform;

/// The platform.
#[derive(Clone, Copy, Debug)]
pub struct SportsCenter;

/// How clients come back: the document's backoff.
pub const BACKOFF: Reconnect = Reconnect {
    initial: Duration::from_secs(1),
    max: Duration::from_secs(30),
    multiplier: 1.5,
};

/// Every form of channel that the platform knows.
const CHANNELS: &[&str] = &[
    "user.{user_id}",
    "session",
    "video",
    "metric",
    "goal",
    "notification",
    "community",
    "mentor-session",
    "mentor-assessment",
    "mentor",
    "analytics",
    "cache",
    "ratelimit",
];

impl Platform for SportsCenter {
    const NAME: &'static str = "SportsCenter";
    const PAGE: &'static str = crate::pages::page!("SportsCenter", "sportscenter");
    const SOCKET_IO: Arguments = Arguments::Data;
    const DEMO_USER: &'static str = life::DEMO_USER;
    const DEMO_ROLES: &'static [&'static str] = &["coach"];

    fn config() -> Config {
        let mut config = Config::default();
        config.linger.medium = Duration::from_secs(1);
        config.linger.events = Some(100);
        config.reconnect = BACKOFF;
        config.limits.connections = 10_000;
        config.limits.connections_per_user = 3;
        config.limits.events_per_user = Some(rate(60, 60));
        config.limits.events_per_channel = None;
        config.limits.events_per_node = Some(rate(1_000, 1));
        config.limits.events_per_session = Some(rate(10, 1));
        config
    }

    fn catalog() -> Catalog {
        Catalog::new(envelope(), CHANNELS, Channel::is_segment)
            .with::<session::StatusChanged>()
            .with::<session::FeedbackGiven>()
            .with::<video::StatusChanged>()
            .with::<video::Analyzed>()
            .with::<metric::Recorded>()
            .with::<goal::Updated>()
            .with::<message::New>()
            .with::<message::Updated>()
            .with::<message::Deleted>()
            .with::<notification::New>()
            .with::<community::Activity>()
            .with::<mentor_session::StatusChanged>()
            .with::<mentor_session::NoteAdded>()
            .with::<mentor_session::FeedbackSubmitted>()
            .with::<mentor_assessment::StatusChanged>()
            .with::<mentor_assessment::MetricUpdated>()
            .with::<mentor_assessment::PlanUpdated>()
            .with::<mentor::AvailabilityChanged>()
            .with::<mentor::SessionBooked>()
            .with::<analytics::performance::PerformanceMetric>()
            .with::<analytics::performance::TrendUpdate>()
            .with::<analytics::performance::MilestoneAchieved>()
            .with::<analytics::engagement::SessionEngagement>()
            .with::<analytics::engagement::PlatformUsage>()
            .with::<analytics::engagement::ContentEngagement>()
            .with::<analytics::social::CommunityEngagement>()
            .with::<analytics::social::CollaborationMetrics>()
            .with::<analytics::business::SubscriptionMetric>()
            .with::<analytics::business::FeatureUsage>()
            .with::<analytics::system::SystemPerformance>()
            .with::<analytics::system::ErrorEvent>()
            .with::<cache::invalidation::EntityInvalidated>()
            .with::<cache::invalidation::BulkEntitiesInvalidated>()
            .with::<cache::invalidation::RelationshipInvalidated>()
            .with::<cache::invalidation::PatternInvalidated>()
            .with::<cache::invalidation::TagsInvalidated>()
            .with::<cache::invalidation::TimeWindowInvalidated>()
            .with::<cache::invalidation::ScheduleInvalidation>()
            .with::<cache::synchronization::RealtimeMetricsSync>()
            .with::<cache::synchronization::LiveSessionSync>()
            .with::<cache::synchronization::VersionVectorUpdate>()
            .with::<cache::synchronization::ConflictDetected>()
            .with::<cache::synchronization::ReplicationStatus>()
            .with::<cache::upkeep::MemoryPressure>()
            .with::<cache::upkeep::WarmingEvent>()
            .with::<cache::upkeep::HealthStatus>()
            .with::<ratelimit::usage::ConnectionLimit>()
            .with::<ratelimit::usage::MessageQuota>()
            .with::<ratelimit::usage::BurstControl>()
            .with::<ratelimit::usage::BandwidthLimit>()
            .with::<ratelimit::usage::ConcurrentOps>()
            .with::<ratelimit::usage::LimitWarning>()
            .with::<ratelimit::usage::Violation>()
            .with::<ratelimit::policy::AdaptiveLimit>()
            .with::<ratelimit::policy::FairUsage>()
            .with::<ratelimit::policy::TierLimits>()
            .with::<ratelimit::policy::GroupShare>()
            .with::<ratelimit::service::ConnectionThrottle>()
            .with::<ratelimit::service::DdosProtection>()
            .with::<ratelimit::service::CircuitBreaker>()
            .with::<ratelimit::service::LimitMetrics>()
            .with::<ratelimit::service::Health>()
            .documents::<control::Ping>()
            .documents::<control::Pong>()
            .documents::<control::Refusal>()
            .documents::<control::Health>()
    }

    fn authenticator(jwt: Jwt) -> impl Authenticator {
        Families::of(&Self::catalog(), jwt)
    }

    fn authorizer() -> impl Authorizer {
        Rules
    }

    async fn beside(node: Node, metrics: PrometheusHandle) {
        protection::run(node, move || published(&metrics.render())).await;
    }

    fn life(random: StdRng) -> impl Iterator<Item = Value> + Send + 'static {
        life::life(random)
    }
}

/// The envelope as the platform's backend writes it, `{event, data}`. That of the TypeScript events
/// is the same: the document shows the listener's name and argument.
const fn envelope() -> Envelope {
    Envelope::new("event", "data")
        .takes_channel("channel")
        .takes_priority("priority")
}

/// The events that a node has published, from what it renders for Prometheus.
fn published(metrics: &str) -> u64 {
    let series = |line: &str| {
        let value = line
            .strip_prefix("fanfare_events_published_total{")?
            .rsplit(' ')
            .next()?;
        value.parse::<f64>().ok()
    };
    metrics.lines().filter_map(series).sum::<f64>() as u64
}

const fn rate(events: u32, seconds: u64) -> Rate {
    Rate {
        events,
        per: Duration::from_secs(seconds),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_are_the_documents() {
        let Config { linger, limits, .. } = SportsCenter::config();
        SportsCenter::config().check().unwrap();
        assert_eq!(linger.medium, Duration::from_secs(1));
        assert_eq!(linger.events, Some(100));
        assert_eq!(
            (limits.connections, limits.connections_per_user),
            (10_000, 3)
        );
        assert_eq!(limits.events_per_user, Some(rate(60, 60)));
        assert_eq!(limits.events_per_session, Some(rate(10, 1)));
        assert_eq!(limits.events_per_node, Some(rate(1_000, 1)));
        assert_eq!(limits.events_per_channel, None);
    }

    #[test]
    fn published_events_are_those_of_every_priority() {
        let metrics = "# TYPE fanfare_events_published_total counter\n\
            fanfare_events_published_total{priority=\"high\"} 7\n\
            fanfare_events_published_total{priority=\"low\"} 5\n\
            fanfare_events_dropped_total{reason=\"slow\"} 3\n";
        assert_eq!(published(metrics), 12);
        assert_eq!(published(""), 0);
    }

    #[test]
    fn roles_are_the_documents() {
        let catalog = SportsCenter::catalog();
        let roles = catalog.roles().collect::<Vec<_>>();
        assert_eq!(
            roles,
            [
                ("metric:recorded", &["coach", "athlete", "parent"][..]),
                ("session:status", &["coach", "athlete", "parent"]),
                ("video:analysis", &["coach", "athlete", "mentor"]),
            ]
        );
    }
}
