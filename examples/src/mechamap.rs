//! MechaMap: events of a forum, a marketplace and what stands around them.

pub mod forum;
mod life;
pub mod marketplace;
pub mod messaging;
pub mod notification;
pub mod showcase;
pub mod stock;
pub mod user;

use std::future::ready;
use std::num::NonZeroU64;

use fanfare::catalog::{Envelope, Timestamp};
use fanfare::config::{ChannelPolicy, PresencePolicy};
use fanfare::{
    Action, Authorizer, BoxFuture, Catalog, Channel, Config, Error, ErrorKind, Identity,
};
use garde::Validate;
use jiff::Timestamp as Now;
use rand::rngs::StdRng;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::platform::Platform;

/// The platform.
#[derive(Clone, Copy, Debug)]
pub struct MechaMap;

/// Every form of channel that the platform knows.
const CHANNELS: &[&str] = &[
    "user.{user_id}",
    "user.{user_id}.messages",
    "user.{user_id}.orders",
    "user.{user_id}.following",
    "following.{user_id}",
    "thread.{thread_id}",
    "forum.{forum_id}",
    "product.{product_id}",
    "showcase.{showcase_id}",
    "conversation.{conversation_id}",
    "marketplace.global",
    "admin.notifications",
    "seller.{seller_id}",
    "moderator.reports",
];

impl Platform for MechaMap {
    const NAME: &'static str = "MechaMap";
    const PAGE: &'static str = crate::pages::page!("MechaMap", "mechamap");

    fn config() -> Config {
        let mut config = Config::default();
        for family in ["thread", "forum", "conversation", "showcase"] {
            let policy = ChannelPolicy {
                presence: Some(PresencePolicy::default()),
                ..ChannelPolicy::default()
            };
            config.channels.insert(family.to_owned(), policy);
        }
        config
    }

    fn catalog() -> Catalog {
        Catalog::new(envelope(), CHANNELS, is_id)
            .with::<forum::CommentCreated>()
            .with::<forum::CommentUpdated>()
            .with::<forum::ReactionAdded>()
            .with::<forum::TypingStarted>()
            .with::<forum::ViewCountUpdated>()
            .with::<marketplace::StockUpdated>()
            .with::<marketplace::LowStockWarning>()
            .with::<marketplace::OrderStatusChanged>()
            .with::<marketplace::PriceChanged>()
            .with::<user::StatusChanged>()
            .with::<user::WentOnline>()
            .with::<user::ActivityFeedUpdated>()
            .with::<messaging::MessageSent>()
            .with::<messaging::TypingStarted>()
            .with::<notification::Sent>()
            .with::<notification::SecurityAlert>()
            .with::<notification::SystemAnnouncement>()
            .with::<showcase::ProjectUpdated>()
            .with::<showcase::ProjectStatsUpdated>()
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
    Envelope::new("event", "data")
        .channel("channel")
        .priority("priority")
        .user("user_id")
        .optional::<NonZeroU64>("user_id")
        .filled::<Timestamp>("timestamp", |_| format!("\"{:.3}\"", Now::now()))
        .filled::<Metadata>("metadata", |fill| {
            format!(
                r#"{{"version":"1.0","source":"fanfare","request_id":"{}"}}"#,
                fill.id
            )
        })
}

/// What an envelope may say of where it comes from.
#[derive(Debug, Deserialize, JsonSchema)]
struct Metadata {
    #[serde(rename = "version")]
    _version: Option<String>,
    #[serde(rename = "source")]
    _source: Option<String>,
    #[serde(rename = "request_id")]
    _request_id: Option<String>,
}

/// Ids of MechaMap are positive integers.
fn is_id(segment: &str) -> bool {
    segment
        .parse::<u64>()
        .is_ok_and(|id| id > 0 && id.to_string() == segment)
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
        let channel = action.channel();
        let result = if may_join(identity, channel) {
            Ok(())
        } else {
            Err(ErrorKind::PermissionDenied.into())
        };
        Box::pin(ready(result))
    }
}

fn may_join(identity: &Identity, channel: &Channel) -> bool {
    let segments = channel.segments().collect::<Vec<_>>();
    match segments[..] {
        // Whatever stands under the own user channel is the user's.
        ["user", id, ..] => *id == *identity.user,
        ["following", id] => *id == *identity.user,
        ["seller", id] => identity.has_role("seller") && *id == *identity.user,
        ["admin", ..] => identity.has_role("admin"),
        ["moderator", ..] => identity.has_role("moderator"),
        // Between those whom the backend named in their tokens.
        ["conversation", id] => is_id(id) && identity.channels.contains(channel),
        ["thread" | "forum" | "product" | "showcase", id] => is_id(id),
        ["marketplace", "global"] => true,
        _ => false,
    }
}

/// A user as events name one.
#[derive(Debug, Serialize, Deserialize, JsonSchema, Validate)]
pub struct Person {
    #[garde(range(min = 1))]
    pub id: u64,
    #[garde(skip)]
    pub name: String,
}

/// Data of which nothing is known but that it is an object.
#[derive(Debug, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(transparent)]
pub struct AnyObject(#[garde(skip)] pub serde_json::Map<String, Value>);

#[cfg(test)]
mod tests {
    use super::*;

    fn channel(name: &str) -> Channel {
        Channel::new(name).unwrap()
    }

    #[test]
    fn the_whole_event_set_is_there() {
        assert_eq!(MechaMap::catalog().names().count(), 19);
    }

    #[test]
    fn channels_are_for_those_whom_they_concern() {
        let mut someone = Identity::new("7").unwrap();
        for open in [
            "thread.1",
            "forum.1",
            "product.1",
            "showcase.1",
            "marketplace.global",
            "user.7",
            "user.7.orders",
            "user.7.x.y",
            "following.7",
        ] {
            assert!(may_join(&someone, &channel(open)), "{open}");
        }
        let closed = [
            "user.8",
            "user",
            "user.77",
            "following.8",
            "thread.x",
            "thread.0",
            "thread.1.x",
            "marketplace.x",
            "room.1",
            "admin.notifications",
            "moderator.reports",
            "seller.7",
            "conversation.1",
        ];
        for closed in closed {
            assert!(!may_join(&someone, &channel(closed)), "{closed}");
        }
        someone.roles = vec!["admin".into(), "moderator".into(), "seller".into()];
        someone.channels = vec![channel("conversation.1")];
        for open in [
            "admin.notifications",
            "moderator.reports",
            "seller.7",
            "conversation.1",
        ] {
            assert!(may_join(&someone, &channel(open)), "{open}");
        }
        assert!(!may_join(&someone, &channel("seller.8")));
        assert!(!may_join(&someone, &channel("conversation.2")));
    }
}
