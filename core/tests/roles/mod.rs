//! A set of events of which some need roles, and users who have them.

#![allow(dead_code, reason = "each suite uses its part")]

use fanfare::catalog::{Catalog, Envelope, TypedEvent};
use fanfare::{
    AuthError, Authenticator, BoxFuture, Channel, Config, Event, Handshake, Identity, Node,
    NodeBuilder, Priority,
};
use garde::Validate;
use schemars::JsonSchema;
use serde::Deserialize;

/// The events' names, and who gets them; everyone where nobody is named.
pub(crate) const EVENTS: [(&str, &[&str]); 5] = [
    ("open", &[]),
    ("status", &["coach", "athlete", "parent"]),
    ("plan", &["coach"]),
    ("score", &["athlete", "parent"]),
    ("note", &["parent", "coach"]),
];

macro_rules! event {
    ($type:ident, $at:literal) => {
        #[derive(Deserialize, JsonSchema, Validate)]
        struct $type {}

        impl TypedEvent for $type {
            const NAME: &'static str = EVENTS[$at].0;
            const PRIORITY: Priority = Priority::High;
            const CHANNELS: &'static [&'static str] = &["session"];
            const ROLES: &'static [&'static str] = EVENTS[$at].1;
        }
    };
}

event!(Open, 0);
event!(Status, 1);
event!(Plan, 2);
event!(Score, 3);
event!(Note, 4);

pub(crate) fn catalog() -> Catalog {
    Catalog::new(Envelope::new("event", "data"), &["session"], |_| false)
        .with::<Open>()
        .with::<Status>()
        .with::<Plan>()
        .with::<Score>()
        .with::<Note>()
}

/// Whether one who has these roles may see an event.
pub(crate) fn may_see(roles: &[&str], event: &str) -> bool {
    let (_, needed) = EVENTS.iter().find(|(name, _)| *name == event).unwrap();
    needed.is_empty() || needed.iter().any(|role| roles.contains(role))
}

/// Takes tokens of the form `user/role/role`.
#[derive(Debug)]
pub(crate) struct Named;

impl Authenticator for Named {
    fn authenticate<'a>(
        &'a self,
        token: Option<&'a str>,
        _handshake: &'a Handshake,
    ) -> BoxFuture<'a, Result<Identity, AuthError>> {
        Box::pin(async move { Ok(identity(token.ok_or(AuthError::Missing)?)) })
    }
}

/// The user of such a token.
pub(crate) fn identity(token: &str) -> Identity {
    let mut parts = token.split('/');
    let mut identity = Identity::new(parts.next().unwrap()).unwrap();
    identity.roles = parts.map(str::to_owned).collect();
    identity
}

pub(crate) fn builder(config: Config) -> NodeBuilder {
    crate::common::builder(config)
        .authenticator(Named)
        .catalog(catalog())
}

pub(crate) async fn node(config: Config) -> Node {
    builder(config).start().await.unwrap()
}

pub(crate) fn event(channel: &str, name: &str, number: u64) -> Event {
    Event::new(Channel::new(channel).unwrap(), name, number.to_string()).unwrap()
}

pub(crate) async fn high(node: &Node, channel: &str, name: &str, number: u64) {
    let event = event(channel, name, number).with_priority(Priority::High);
    node.publish(event).await.unwrap();
}
