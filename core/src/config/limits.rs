use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::seconds;

/// What clients may do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Connections to this node; default 10,000. An idle one costs 2 to 4 KiB and a descriptor.
    pub connections: usize,
    /// Connections of one user; default 5.
    pub connections_per_user: usize,
    /// Subscriptions of one connection; default 128, about 100 bytes each.
    pub subscriptions: usize,
    /// Bytes of one message from a client; default 64 KiB. Held once while it arrives.
    pub message: usize,
    /// Bytes of one envelope; default 64 KiB.
    pub envelope: usize,
    /// Bytes of a request body; default 16 MiB.
    pub body: usize,
    /// Bytes of a request's head; default 16 KiB, held while a request is read.
    pub head: usize,
    /// Envelopes in one publish request; default 1,000.
    pub batch: usize,
    /// The oldest event that waits for a user who was away, on the user's own channel; default 24 h.
    #[serde(with = "seconds")]
    pub away: Duration,
    /// From the start of a connection until it is authenticated; default 10 s.
    #[serde(with = "seconds")]
    pub handshake: Duration,
    /// Events that one user's clients may publish; default 100 a minute. About 100 bytes for each
    /// user seen of late, as with every rate.
    pub events_per_user: Option<Rate>,
    /// Events that clients may publish to one channel; default 1,000 a minute.
    pub events_per_channel: Option<Rate>,
    /// Events that clients may publish to this node; default 10,000 a minute.
    pub events_per_node: Option<Rate>,
    /// Events that one connection may publish; no limit of its own by default.
    pub events_per_session: Option<Rate>,
}

impl Default for Limits {
    fn default() -> Self {
        let minute = Duration::from_secs(60);
        Self {
            connections: 10_000,
            connections_per_user: 5,
            subscriptions: 128,
            message: 64 << 10,
            envelope: 64 << 10,
            body: 16 << 20,
            head: 16 << 10,
            batch: 1_000,
            away: Duration::from_secs(24 * 60 * 60),
            handshake: Duration::from_secs(10),
            events_per_user: Some(Rate {
                events: 100,
                per: minute,
            }),
            events_per_channel: Some(Rate {
                events: 1_000,
                per: minute,
            }),
            events_per_node: Some(Rate {
                events: 10_000,
                per: minute,
            }),
            events_per_session: None,
        }
    }
}

/// A bucket of `events` that refills evenly over `per`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rate {
    /// How many fit the bucket; above 0, and at most 10^9 for each second of `per`.
    pub events: u32,
    /// The time in which an empty bucket fills, in seconds; above 0.
    #[serde(with = "seconds")]
    pub per: Duration,
}

impl Rate {
    /// Why it is no rate, in a few words.
    pub(super) fn problem(self) -> Option<&'static str> {
        if self.events == 0 || self.per.is_zero() {
            return Some("events and seconds must be above 0");
        }
        // The bucket refills event by event, and counts nanoseconds in between.
        (self.per / self.events)
            .is_zero()
            .then_some("at most 1,000,000,000 events a second can be counted")
    }
}
