//! Gamification: achievements, quests, rewards, and what is told about them.
//!
//! Its backend writes every event to the exchange `gamification` of RabbitMQ, by the event's name as
//! routing key; see [`Topology::gamification`](fanfare_brokers::services::rabbitmq::Topology::gamification).
//! A user's events go to the user's clients as well.

pub mod achievement;
pub mod analytics;
#[cfg(feature = "brokers")]
pub mod consumers;
mod life;
#[cfg(feature = "brokers")]
pub mod monitoring;
pub mod notification;
pub mod quest;
pub mod reward;
#[cfg(feature = "brokers")]
pub mod rewards;

use std::future::ready;
use std::time::Duration;

use fanfare::catalog::{Envelope, present};
use fanfare::{
    Action, Authorizer, Backoff, BoxFuture, Catalog, Channel, Config, Error, ErrorKind, Identity,
    Retry,
};
use jiff::Timestamp as Now;
use rand::rngs::StdRng;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use crate::platform::Platform;

/// The platform.
#[derive(Clone, Copy, Debug)]
pub struct Gamification;

/// Every form of channel that the platform knows. Nobody may join those of analytics.
const CHANNELS: &[&str] = &[OF_USER, OF_ANALYTICS];
const OF_USER: &str = "user.{user_id}";
const OF_ANALYTICS: &str = "analytics.{user_id}";

/// Three attempts in all, and then a dead letter.
pub const RETRY: Retry = Retry {
    retries: 2,
    backoff: Backoff::Exponential(Duration::from_secs(1)),
};

/// Declares an event around the data of its family. All that differs is the name, which is the routing
/// key too, and the priority: the platform's document gives none, so it is high where a user waits for
/// the event.
///
/// An event that names no user is for services only, unless its publisher names the channel.
macro_rules! event {
    ($(#[$doc:meta])* $event:ident($data:ty) as $title:literal, $name:literal, $priority:ident) => {
        $(#[$doc])*
        #[derive(Debug, Serialize, Deserialize, JsonSchema, Validate)]
        #[serde(transparent)]
        #[schemars(rename = $title)]
        #[garde(transparent)]
        pub struct $event(#[garde(dive)] pub $data);

        impl TypedEvent for $event {
            const NAME: &'static str = $name;
            const PRIORITY: Priority = Priority::$priority;
            const RETRY: Retry = $crate::gamification::RETRY;
            const CHANNELS: &'static [&'static str] = &[$crate::gamification::OF_USER];
            const TOPICS: &'static [&'static str] = &[$name];

            fn channel_id(&self, _envelope: &EnvelopeFields<'_>) -> Option<String> {
                self.0.user().map(str::to_owned)
            }

            fn is_for_services_only(&self, envelope: &EnvelopeFields<'_>) -> bool {
                self.0.user().is_none() && envelope.json("channel").is_none()
            }
        }
    };
}
use event;

impl Platform for Gamification {
    const NAME: &'static str = "Gamification";
    const PAGE: &'static str = crate::pages::page!("Gamification", "gamification");
    const TOPICS: Option<&'static str> = Some("amqp");

    fn config() -> Config {
        let mut config = Config::default();
        config.limits.events_per_channel = None;
        config.limits.events_per_node = None;
        config
    }

    fn catalog() -> Catalog {
        Catalog::new(envelope(), CHANNELS, Channel::is_segment)
            .with::<achievement::Created>()
            .with::<achievement::Updated>()
            .with::<achievement::Deleted>()
            .with::<achievement::Completed>()
            .with::<achievement::ProgressUpdated>()
            .with::<quest::Created>()
            .with::<quest::Updated>()
            .with::<quest::Deleted>()
            .with::<quest::Started>()
            .with::<quest::Completed>()
            .with::<quest::ProgressUpdated>()
            .with::<reward::Created>()
            .with::<reward::Claimed>()
            .with::<reward::Expired>()
            .with::<notification::Created>()
            .with::<notification::Read>()
            .with::<notification::Archived>()
            .with::<analytics::EventTracked>()
    }

    fn authorizer() -> impl Authorizer {
        Rules
    }

    fn life(random: StdRng) -> impl Iterator<Item = Value> + Send + 'static {
        life::life(random)
    }
}

/// The envelope as the platform's backend writes it.
fn envelope() -> Envelope {
    Envelope::new("type", "data")
        .takes_channel("channel")
        .takes_priority("priority")
        .completed::<Metadata>(
            "metadata",
            &[
                ("timestamp", |_| format!("\"{:.3}\"", Now::now())),
                ("source", |_| "\"fanfare\"".to_owned()),
                ("version", |_| "\"1.0\"".to_owned()),
            ],
        )
}

/// Where an event comes from.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    #[serde(default, rename = "timestamp", deserialize_with = "present")]
    #[schemars(with = "String")]
    _timestamp: Option<String>,
    #[serde(default, rename = "correlationId", deserialize_with = "present")]
    #[schemars(with = "String")]
    _correlation_id: Option<String>,
    #[serde(default, rename = "userId", deserialize_with = "present")]
    #[schemars(with = "String")]
    _user_id: Option<String>,
    #[serde(default, rename = "source", deserialize_with = "present")]
    #[schemars(with = "String")]
    _source: Option<String>,
    #[serde(default, rename = "version", deserialize_with = "present")]
    #[schemars(with = "String")]
    _version: Option<String>,
}

/// Checks an id that stands in the name of a user's channel.
#[allow(
    clippy::trivially_copy_pass_by_ref,
    reason = "garde hands over a reference to its context"
)]
fn fits_channel(id: &str, _context: &()) -> garde::Result {
    if Channel::is_segment(id) && Channel::new(&format!("user.{id}")).is_ok() {
        Ok(())
    } else {
        Err(garde::Error::new(
            "is not 1 to 250 characters of A-Z a-z 0-9 _ - :",
        ))
    }
}

/// Who may subscribe: users, to what is theirs. Clients publish nothing.
#[derive(Clone, Copy, Debug)]
struct Rules;

impl Authorizer for Rules {
    fn authorize<'a>(
        &'a self,
        identity: &'a Identity,
        action: Action<'a>,
    ) -> BoxFuture<'a, Result<(), Error>> {
        let result = if may_join(identity, action.channel()) {
            Ok(())
        } else {
            Err(ErrorKind::PermissionDenied.into())
        };
        Box::pin(ready(result))
    }
}

fn may_join(identity: &Identity, channel: &Channel) -> bool {
    let segments = channel.segments().collect::<Vec<_>>();
    // Whatever stands under the own user channel is the user's.
    matches!(segments[..], ["user", id, ..] if *id == *identity.user)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn channels_are_their_users() {
        let someone = Identity::new("user-456").unwrap();
        let may_join = |name| may_join(&someone, &Channel::new(name).unwrap());
        for open in ["user.user-456", "user.user-456.x", "user.user-456.x.y"] {
            assert!(may_join(open), "{open}");
        }
        for closed in [
            "user",
            "user.user-45",
            "user.user-4567",
            "user.USER-456",
            "users.user-456",
            "quest",
            "analytics.user-456",
            "quest.user-456",
            "admin.user-456",
        ] {
            assert!(!may_join(closed), "{closed}");
        }
    }

    #[test]
    fn retries_are_those_of_the_document() {
        let catalog = Gamification::catalog();
        for event in catalog.names() {
            let envelope = json!({"type": event}).to_string();
            let pauses = catalog.retry(envelope.as_bytes()).unwrap().pauses();
            let pauses = pauses.map(|pause| pause.as_secs()).collect::<Vec<_>>();
            assert_eq!(pauses, [1, 2], "{event}");
        }
    }

    #[test]
    fn numbers_are_those_of_the_contract() {
        let limits = Gamification::config().limits;
        assert_eq!(limits.connections_per_user, 5);
        let rate = limits.events_per_user.unwrap();
        assert_eq!((rate.events, rate.per), (100, Duration::from_secs(60)));
        let others = [
            limits.events_per_channel,
            limits.events_per_node,
            limits.events_per_session,
        ];
        assert_eq!(others, [None; 3]);
    }
}
