//! AIW3: NFTs that traders earn, in real time.
//!
//! Its two documents have an envelope each, and some events in both. Those of the guide are for users;
//! those of the architecture document are what the NFT service says, also to other services by way of
//! Kafka.

pub mod avatar;
pub mod badge;
pub mod chat;
pub mod competition;
#[cfg(feature = "brokers")]
pub mod consumers;
pub mod control;
pub mod fields;
mod life;
pub mod milestones;
pub mod nft;
pub mod ranks;
pub mod service;
pub mod system;
pub mod topics;
pub mod transaction;

use std::future::ready;
use std::num::NonZeroU64;
#[cfg(feature = "brokers")]
use std::sync::Arc;
use std::time::Duration;

#[cfg(feature = "brokers")]
use fanfare::BrokerError;

use fanfare::catalog::{Envelope, EnvelopeFields, Timestamp};
use fanfare::config::Rate;
use fanfare::{
    Action, Authorizer, BoxFuture, Catalog, Channel, Config, Error, ErrorKind, Identity,
};
#[cfg(feature = "brokers")]
use fanfare_brokers::services::{Engine, engine_from_url, kafka::Kafka};
use jiff::Timestamp as Now;
use rand::rngs::StdRng;
use serde_json::Value;

use self::control::{ConnectionEstablished, Heartbeat};
use self::fields::{Anything, Id, UserName};
use crate::platform::Platform;

/// The platform.
#[derive(Clone, Copy, Debug)]
pub struct Aiw3;

/// Every form of channel that the platform knows.
const CHANNELS: &[&str] = &["user.{userId}", "admin.nft", "room.{roomId}"];

/// Where almost everything goes.
const TO_USER: &[&str] = &["user.{userId}"];

/// What no client may see (architecture document, "Event Validation Service").
const INTERNAL: &[&str] = &["internalId", "systemMetadata"];

impl Platform for Aiw3 {
    const NAME: &'static str = "AIW3";
    const PAGE: &'static str = crate::pages::page!("AIW3", "aiw3");
    const TOPICS: Option<&'static str> = Some("kafka");

    fn config() -> Config {
        let mut config = Config::default();
        let limits = &mut config.limits;
        limits.connections_per_user = 3;
        limits.events_per_channel = None;
        limits.events_per_node = Some(Rate {
            events: 1_000,
            per: Duration::from_secs(1),
        });
        config
    }

    fn catalog() -> Catalog {
        guide().or(architecture(), is_architecture)
    }

    fn authorizer() -> impl Authorizer {
        Rules
    }

    /// Kafka's topics are created with the partitions that the document says.
    #[cfg(feature = "brokers")]
    async fn engine(url: &str) -> Result<Arc<dyn Engine>, BrokerError> {
        if url.starts_with("kafka://") {
            return Ok(Arc::new(Kafka::connect_with(url, topics::topics()).await?));
        }
        engine_from_url(url).await
    }

    fn life(random: StdRng) -> impl Iterator<Item = Value> + Send + 'static {
        life::life(random)
    }

    fn sse_welcome() -> Option<fn(&Identity) -> String> {
        Some(welcome)
    }
}

/// The events of the real-time events guide.
fn guide() -> Catalog {
    let envelope = Envelope::new("eventType", "data")
        .titled("GuideEnvelope")
        .takes_channel("channel")
        .id("messageId")
        .filled::<Id>("messageId", |fill| format!("\"{}\"", fill.id))
        .filled::<Timestamp>("timestamp", |_| now())
        .family("category")
        .priority("priority")
        .user("userId")
        .required::<NonZeroU64>("userId")
        .optional::<Anything>("metadata")
        .internal(INTERNAL);
    Catalog::new(envelope, CHANNELS, Channel::is_segment)
        .with::<nft::Unlocked>()
        .with::<nft::UpgradeCompleted>()
        .with::<nft::BenefitsActivated>()
        .with::<nft::ProgressUpdate>()
        .with::<nft::UpgradeAvailable>()
        .with::<nft::TradingMilestoneReached>()
        .with::<transaction::Failed>()
        .with::<competition::Started>()
        .with::<competition::NftAwarded>()
        .with::<competition::RankChanged>()
        .with::<competition::LeaderboardUpdate>()
        .with::<competition::Ended>()
        .with::<badge::Earned>()
        .with::<badge::Activated>()
        .with::<badge::ProgressUpdate>()
        .with::<system::MaintenanceScheduled>()
        .with::<system::MaintenanceStarted>()
        .with::<system::MaintenanceCompleted>()
        .with::<system::FeatureAnnouncement>()
        .with::<system::SecurityAlert>()
        .with::<system::ServiceDegradation>()
        .with::<avatar::Changed>()
        .with::<avatar::Unlocked>()
        .with::<chat::Message>()
        .documents::<ConnectionEstablished>()
        .documents::<Heartbeat>()
}

/// The events of the event-driven architecture.
fn architecture() -> Catalog {
    let envelope = Envelope::new("eventType", "data")
        .titled("ServiceEnvelope")
        .takes_channel("channel")
        .takes_priority("priority")
        .id("eventId")
        .filled::<Id>("eventId", |fill| format!("\"{}\"", fill.id))
        .user("userId")
        .required::<UserName>("userId")
        .filled::<Timestamp>("timestamp", |_| now())
        .filled::<String>("source", |_| "\"nft-service\"".to_owned())
        .filled::<String>("version", |_| "\"1.0.0\"".to_owned())
        .internal(INTERNAL);
    Catalog::new(envelope, CHANNELS, Channel::is_segment)
        .with::<service::NftUnlocked>()
        .with::<service::NftUpgraded>()
        .with::<service::BadgeEarned>()
        .with::<service::NftMinted>()
        .with::<service::NftBurned>()
        .with::<service::NftUnlockFailed>()
        .with::<service::VolumeMilestoneReached>()
        .with::<service::TierQualificationChanged>()
}

/// Whether an envelope is one of the architecture document's. What only one of them has tells; without
/// that the user does, who is a string there and a number in the guide.
fn is_architecture(fields: &EnvelopeFields<'_>) -> bool {
    let has = |name: &&str| fields.json(name).is_some();
    if ["eventId", "source", "version"].iter().any(has) {
        return true;
    }
    let is_guide = ["messageId", "category", "priority", "metadata"]
        .iter()
        .any(has);
    !is_guide
        && fields
            .json("userId")
            .is_some_and(|user| user.starts_with('"'))
}

/// The time as a JSON string.
fn now() -> String {
    format!("\"{:.3}\"", Now::now())
}

/// What an event stream begins with.
fn welcome(identity: &Identity) -> String {
    let welcome = ConnectionEstablished::of(identity);
    serde_json::to_string(&welcome).expect("strings and numbers serialize")
}

/// Who may subscribe and publish.
#[derive(Clone, Copy, Debug)]
struct Rules;

impl Authorizer for Rules {
    fn authorize<'a>(
        &'a self,
        identity: &'a Identity,
        action: Action<'a>,
    ) -> BoxFuture<'a, Result<(), Error>> {
        let result = if is_allowed(identity, &action) {
            Ok(())
        } else {
            Err(ErrorKind::PermissionDenied.into())
        };
        Box::pin(ready(result))
    }
}

fn is_allowed(identity: &Identity, action: &Action<'_>) -> bool {
    let segments = action.channel().segments().collect::<Vec<_>>();
    match (segments.as_slice(), action) {
        (["room", _], _) => true,
        // Clients talk in rooms, and nowhere else.
        (_, Action::Publish(..)) => false,
        // Whatever stands under the own user channel is the user's.
        (["user", id, ..], _) => *id == &*identity.user,
        (["admin", ..], _) => identity.has_role("admin"),
        _ => false,
    }
}

#[cfg(test)]
mod tests;
