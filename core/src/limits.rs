//! How much clients may publish.

use std::hash::Hash;
use std::sync::Arc;

use governor::clock::{Clock, DefaultClock, QuantaInstant};
use governor::middleware::StateInformationMiddleware;
use governor::{NotUntil, Quota, RateLimiter};
use uuid::Uuid;

use crate::channel::Channel;
use crate::config::{Limits, Rate};
use crate::error::{Error, ErrorKind};
use crate::metrics;
use crate::notice::{NoticeBoard, RateScope};

/// The rates of one node. Each is a bucket that refills evenly (GCRA with the whole bucket as
/// burst), so "100 a minute" lets 100 through at once and then one every 600 ms.
#[derive(Debug)]
pub(crate) struct RateLimits {
    session: Option<Bucket<Keyed<Uuid>>>,
    user: Option<Bucket<Keyed<Arc<str>>>>,
    channel: Option<Bucket<Keyed<Channel>>>,
    node: Option<Bucket<Direct>>,
    notices: Arc<NoticeBoard>,
}

/// Limiters that say how much is left.
type Keyed<K> = governor::DefaultKeyedRateLimiter<K, StateInformationMiddleware>;
type Direct = governor::DefaultDirectRateLimiter<StateInformationMiddleware>;

#[derive(Debug)]
struct Bucket<L> {
    limiter: L,
    rate: Rate,
}

impl RateLimits {
    pub(crate) fn new(limits: &Limits, notices: Arc<NoticeBoard>) -> Self {
        fn bucket<L>(rate: Option<Rate>, limiter: impl FnOnce(Quota) -> L) -> Option<Bucket<L>> {
            let rate = rate?;
            Some(Bucket {
                limiter: limiter(quota(rate)?),
                rate,
            })
        }
        fn keyed<K: Hash + Eq + Clone>(rate: Option<Rate>) -> Option<Bucket<Keyed<K>>> {
            bucket(rate, |quota| RateLimiter::keyed(quota).with_middleware())
        }
        Self {
            session: keyed(limits.events_per_session),
            user: keyed(limits.events_per_user),
            channel: keyed(limits.events_per_channel),
            node: bucket(limits.events_per_node, |quota| {
                RateLimiter::direct(quota).with_middleware()
            }),
            notices,
        }
    }

    /// Takes one publication of a client from the buckets of its connection and user. Before
    /// anything else is done with it, so that refused ones count as well.
    pub(crate) fn take_from_client(&self, session: Uuid, user: &Arc<str>) -> Result<(), Error> {
        self.take(self.session.as_ref(), &session, "session", || {
            RateScope::Session {
                user: user.clone(),
                client: session.to_string(),
            }
        })?;
        self.take(self.user.as_ref(), user, "user", || {
            RateScope::User(user.clone())
        })
    }

    /// Takes one publication of a client from the buckets of its channel and the node.
    pub(crate) fn take_from_channel(&self, channel: &Channel) -> Result<(), Error> {
        self.take(self.channel.as_ref(), channel, "channel", || {
            RateScope::Channel(channel.clone())
        })?;
        let Some(bucket) = &self.node else {
            return Ok(());
        };
        let left = bucket.limiter.check();
        let left = left.map(|state| state.remaining_burst_capacity());
        self.notice(left.as_ref().ok(), bucket.rate, || RateScope::Node);
        left.map(|_| ())
            .map_err(|not_until| refusal("node", &not_until, bucket.limiter.clock()))
    }

    fn take<K: Hash + Eq + Clone>(
        &self,
        bucket: Option<&Bucket<Keyed<K>>>,
        key: &K,
        name: &'static str,
        scope: impl FnOnce() -> RateScope,
    ) -> Result<(), Error> {
        let Some(bucket) = bucket else {
            return Ok(());
        };
        let left = bucket.limiter.check_key(key);
        let left = left.map(|state| state.remaining_burst_capacity());
        self.notice(left.as_ref().ok(), bucket.rate, scope);
        left.map(|_| ())
            .map_err(|not_until| refusal(name, &not_until, bucket.limiter.clock()))
    }

    /// Says how much of a rate is used; all of it where an event was refused.
    fn notice(&self, left: Option<&u32>, rate: Rate, scope: impl FnOnce() -> RateScope) {
        let used = rate.events.saturating_sub(left.copied().unwrap_or(0));
        self.notices.rate(used, rate.events, rate.per, scope);
    }

    /// Forgets buckets that have filled up again; called about twice a minute.
    pub(crate) fn forget_full(&self) {
        if let Some(buckets) = &self.session {
            buckets.forget_full();
        }
        if let Some(buckets) = &self.user {
            buckets.forget_full();
        }
        if let Some(buckets) = &self.channel {
            buckets.forget_full();
        }
        self.notices.forget();
    }
}

impl<K: Hash + Eq + Clone> Bucket<Keyed<K>> {
    fn forget_full(&self) {
        self.limiter.retain_recent();
        self.limiter.shrink_to_fit();
    }
}

fn quota(rate: Rate) -> Option<Quota> {
    let events = std::num::NonZeroU32::new(rate.events)?;
    Some(Quota::with_period(rate.per / rate.events)?.allow_burst(events))
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
        let limits = RateLimits::new(&Limits::default(), Arc::default());
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
        let limits = RateLimits::new(&off, Arc::default());
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
