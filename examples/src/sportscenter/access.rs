//! Who gets what.

use std::collections::BTreeMap;
use std::future::ready;

use fanfare::auth::{AuthError, Handshake};
use fanfare::{
    Action, Authenticator, Authorizer, BoxFuture, Catalog, Channel, Error, ErrorKind, Identity,
};

/// The families whose channels clients may have. The others are for backend services alone.
const PUBLIC: &[&str] = &[
    "session",
    "video",
    "metric",
    "goal",
    "notification",
    "community",
    "mentor-session",
    "mentor-assessment",
    "mentor",
];

/// Who may subscribe: everyone to the public families, and to the own channel. What of a family
/// somebody gets is a matter of each event's roles. Clients publish nothing.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules;

impl Authorizer for Rules {
    fn authorize<'a>(
        &'a self,
        identity: &'a Identity,
        action: Action<'a>,
    ) -> BoxFuture<'a, Result<(), Error>> {
        let may_act = !matches!(action, Action::Publish(..));
        let result = if may_act && may_join(identity, action.channel()) {
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
        [family] => PUBLIC.contains(&family),
        _ => false,
    }
}

/// Subscribes whomever `tokens` recognizes to the own channel and to the families of which the
/// user's roles let it see an event, on every transport.
#[derive(Debug)]
pub(super) struct Families<A> {
    tokens: A,
    families: Vec<Family>,
}

#[derive(Debug)]
struct Family {
    channel: Channel,
    /// The roles of which one is needed to see any of its events; empty where none is.
    roles: Vec<&'static str>,
}

impl<A: Authenticator> Families<A> {
    /// Goes by the roles of the catalog's events.
    pub(super) fn of(catalog: &Catalog, tokens: A) -> Self {
        let roles = catalog.roles().collect::<BTreeMap<_, _>>();
        let families = PUBLIC.iter().map(|family| {
            let of_family = |name: &str| name.split([':', '/']).next() == Some(family);
            let events = catalog.names().filter(|name| of_family(name));
            let rules = events.map(|name| roles.get(name).copied().unwrap_or_default());
            let rules = rules.collect::<Vec<_>>();
            let is_open = rules.iter().any(|roles| roles.is_empty());
            let roles = if is_open { Vec::new() } else { rules.concat() };
            let channel = Channel::new(family).expect("a family's name is a segment");
            Family { channel, roles }
        });
        Self {
            tokens,
            families: families.collect(),
        }
    }

    fn subscribe(&self, identity: &mut Identity) {
        let own = Channel::new(&format!("user.{}", identity.user));
        let visible = self.families.iter().filter(|family| {
            let mut roles = family.roles.iter();
            family.roles.is_empty() || roles.any(|role| identity.has_role(role))
        });
        let channels = own
            .into_iter()
            .chain(visible.map(|family| family.channel.clone()));
        for channel in channels.collect::<Vec<_>>() {
            if !identity.channels.contains(&channel) {
                identity.channels.push(channel);
            }
        }
    }
}

impl<A: Authenticator> Authenticator for Families<A> {
    fn authenticate<'a>(
        &'a self,
        token: Option<&'a str>,
        handshake: &'a Handshake,
    ) -> BoxFuture<'a, Result<Identity, AuthError>> {
        Box::pin(async move {
            let mut identity = self.tokens.authenticate(token, handshake).await?;
            self.subscribe(&mut identity);
            Ok(identity)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::Platform;
    use crate::sportscenter::SportsCenter;

    #[derive(Debug)]
    struct Known(Identity);

    impl Authenticator for Known {
        fn authenticate<'a>(
            &'a self,
            _token: Option<&'a str>,
            _handshake: &'a Handshake,
        ) -> BoxFuture<'a, Result<Identity, AuthError>> {
            Box::pin(ready(Ok(self.0.clone())))
        }
    }

    async fn channels(identity: Identity) -> Vec<String> {
        let families = Families::of(&SportsCenter::catalog(), Known(identity));
        let handshake = Handshake::default();
        let identity = families.authenticate(None, &handshake).await.unwrap();
        identity.channels.iter().map(Channel::to_string).collect()
    }

    #[tokio::test]
    async fn clients_have_what_they_may_see_from_the_start() {
        let mut identity = Identity::new("7").unwrap();
        let without_metrics = [
            "user.7",
            "session",
            "video",
            "goal",
            "notification",
            "community",
            "mentor-session",
            "mentor-assessment",
            "mentor",
        ];
        assert_eq!(channels(identity.clone()).await, without_metrics);
        identity.roles = vec!["mentor".into()];
        assert_eq!(channels(identity.clone()).await, without_metrics);
        for role in ["coach", "athlete", "parent"] {
            identity.roles = vec![role.into()];
            assert!(
                channels(identity.clone()).await.contains(&"metric".into()),
                "{role}"
            );
        }
        for other in ["admin", "Coach"] {
            identity.roles = vec![other.into()];
            assert_eq!(channels(identity.clone()).await, without_metrics, "{other}");
        }
    }

    #[tokio::test]
    async fn what_a_token_names_is_named_once() {
        let mut identity = Identity::new("7").unwrap();
        identity.channels = vec![Channel::new("video").unwrap()];
        let channels = channels(identity).await;
        assert_eq!(channels[0], "video");
        assert_eq!(channels.len(), 9);
    }

    #[tokio::test]
    async fn clients_subscribe_to_public_families_and_their_own_channel() {
        let mut identity = Identity::new("7").unwrap();
        identity.roles = vec!["admin".into(), "coach".into()];
        let may = async |name: &str| {
            let channel = Channel::new(name).unwrap();
            let subscribe = Rules.authorize(&identity, Action::Subscribe(&channel));
            let publish = Rules.authorize(&identity, Action::Publish(&channel, "message:new"));
            assert!(publish.await.is_err(), "{name}");
            subscribe.await.is_ok()
        };
        for open in PUBLIC.iter().chain(&["user.7", "user.7.x"]) {
            assert!(may(open).await, "{open}");
        }
        for closed in [
            "cache",
            "analytics",
            "ratelimit",
            "message",
            "user",
            "user.8",
            "user.77",
            "session.1",
            "metrics",
            "control",
            "admin.x",
        ] {
            assert!(!may(closed).await, "{closed}");
        }
    }
}
