//! How much clients may publish.

use std::hash::Hash;
use std::sync::Arc;

use governor::clock::{Clock, DefaultClock, QuantaInstant};
use governor::{DefaultDirectRateLimiter, DefaultKeyedRateLimiter, NotUntil, Quota, RateLimiter};
use uuid::Uuid;

use crate::channel::Channel;
use crate::config::{Limits, Rate};
use crate::error::{Error, ErrorKind};
use crate::metrics;

/// The rates of one node. Each is a bucket that refills evenly (GCRA with the whole bucket as
/// burst), so "100 a minute" lets 100 through at once and then one every 600 ms.
#[derive(Debug)]
pub(crate) struct RateLimits {
    session: Option<DefaultKeyedRateLimiter<Uuid>>,
    user: Option<DefaultKeyedRateLimiter<Arc<str>>>,
    channel: Option<DefaultKeyedRateLimiter<Channel>>,
    node: Option<DefaultDirectRateLimiter>,
}

impl RateLimits {
    pub(crate) fn new(limits: &Limits) -> Self {
        fn keyed<K: Hash + Eq + Clone>(rate: Option<Rate>) -> Option<DefaultKeyedRateLimiter<K>> {
            rate.and_then(quota).map(RateLimiter::keyed)
        }
        Self {
            session: keyed(limits.events_per_session),
            user: keyed(limits.events_per_user),
            channel: keyed(limits.events_per_channel),
            node: limits
                .events_per_node
                .and_then(quota)
                .map(RateLimiter::direct),
        }
    }

    /// Takes one publication of a client from the buckets of its connection and user. Before
    /// anything else is done with it, so that refused ones count as well.
    pub(crate) fn take_from_client(&self, session: Uuid, user: &Arc<str>) -> Result<(), Error> {
        take(self.session.as_ref(), &session, "session")?;
        take(self.user.as_ref(), user, "user")
    }

    /// Takes one publication of a client from the buckets of its channel and the node.
    pub(crate) fn take_from_channel(&self, channel: &Channel) -> Result<(), Error> {
        take(self.channel.as_ref(), channel, "channel")?;
        let Some(bucket) = &self.node else {
            return Ok(());
        };
        bucket
            .check()
            .map_err(|not_until| refusal("node", &not_until, bucket.clock()))
    }

    /// Forgets buckets that have filled up again; called about twice a minute.
    pub(crate) fn forget_full(&self) {
        if let Some(buckets) = &self.session {
            buckets.retain_recent();
            buckets.shrink_to_fit();
        }
        if let Some(buckets) = &self.user {
            buckets.retain_recent();
            buckets.shrink_to_fit();
        }
        if let Some(buckets) = &self.channel {
            buckets.retain_recent();
            buckets.shrink_to_fit();
        }
    }
}

fn quota(rate: Rate) -> Option<Quota> {
    let events = std::num::NonZeroU32::new(rate.events)?;
    Some(Quota::with_period(rate.per / rate.events)?.allow_burst(events))
}

fn take<K: Hash + Eq + Clone>(
    buckets: Option<&DefaultKeyedRateLimiter<K>>,
    key: &K,
    scope: &'static str,
) -> Result<(), Error> {
    let Some(buckets) = buckets else {
        return Ok(());
    };
    buckets
        .check_key(key)
        .map_err(|not_until| refusal(scope, &not_until, buckets.clock()))
}

/// Goes by the buckets' own clock: to make one asks the processor for its features, which costs
/// twenty times as much as the rest of a refusal where a hypervisor answers.
fn refusal(
    scope: &'static str,
    not_until: &NotUntil<QuantaInstant>,
    clock: &DefaultClock,
) -> Error {
    metrics::rate_limited(scope);
    Error::new(
        ErrorKind::TooManyRequests,
        format!("too many events of this {scope}"),
    )
    .retry_after(not_until.wait_time_from(clock.now()))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_hundred_and_first_event_is_refused() {
        let limits = RateLimits::new(&Limits::default());
        let user = Arc::from("a");
        for _ in 0..100 {
            limits.take_from_client(Uuid::nil(), &user).unwrap();
        }
        let error = limits.take_from_client(Uuid::nil(), &user).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TooManyRequests);
        assert!(error.retry_delay().unwrap() <= Duration::from_millis(600));
        limits
            .take_from_client(Uuid::nil(), &Arc::from("b"))
            .unwrap();
    }

    #[test]
    fn a_limit_that_is_off_refuses_nothing() {
        let off = Limits {
            events_per_user: None,
            events_per_channel: None,
            events_per_node: None,
            ..Limits::default()
        };
        let limits = RateLimits::new(&off);
        for _ in 0..1_000 {
            limits
                .take_from_client(Uuid::nil(), &Arc::from("a"))
                .unwrap();
            limits
                .take_from_channel(&Channel::new("a").unwrap())
                .unwrap();
        }
    }
}
