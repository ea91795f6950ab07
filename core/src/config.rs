//! Every number of a node, with its unit, default and cost.

mod compression;
mod limits;
mod reconnect;

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use self::compression::Compression;
pub use self::limits::{Limits, Rate};
pub use self::reconnect::Reconnect;
pub use crate::broker::Required;
use crate::history::Retention;
pub use crate::presence::PresencePolicy;

/// The numbers of a [`Node`](crate::Node). Durations are written in seconds, sizes in bytes.
///
/// ```
/// let mut config = fanfare::Config::default();
/// config.limits.connections_per_user = 3;
/// assert!(config.check().is_ok());
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// How long events wait for company.
    pub linger: Linger,
    /// What clients may do, and how much of it.
    pub limits: Limits,
    /// What queues may hold.
    pub buffers: Buffers,
    /// How long a silent client is believed to be there.
    pub heartbeat: Heartbeat,
    /// How clients should come back.
    pub reconnect: Reconnect,
    /// How connections are closed when the node goes down.
    pub drain: Drain,
    /// What is compressed for clients that take it so.
    pub compression: Compression,
    /// What the broker must promise for the node to start.
    pub broker: Required,
    /// How much of a channel is kept where no policy of `channels` says otherwise.
    pub history: Retention,
    /// What holds for a family of channels (the first segment of their names) instead of the
    /// defaults.
    pub channels: BTreeMap<String, ChannelPolicy>,
    /// Fan-out workers; 0 (the default) takes one for each thread of the runtime. Each costs a task
    /// and a list in every channel with subscribers.
    pub workers: usize,
}

impl Config {
    /// The retention that holds for channels of `family`.
    #[must_use]
    pub fn retention(&self, family: &str) -> &Retention {
        self.channels
            .get(family)
            .and_then(|policy| policy.history.as_ref())
            .unwrap_or(&self.history)
    }

    /// What channels of `family` tell of their subscribers; nothing without a policy.
    #[must_use]
    pub fn presence(&self, family: &str) -> Option<&PresencePolicy> {
        self.channels.get(family)?.presence.as_ref()
    }

    /// Looks for numbers that contradict each other.
    ///
    /// # Errors
    /// A sentence that names the setting.
    pub fn check(&self) -> Result<(), ConfigError> {
        let rules = [
            (
                self.buffers.flush >= self.limits.envelope,
                "buffers.flush must be at least limits.envelope: an event must fit one flush",
            ),
            (
                self.buffers.outbox >= 2 * self.buffers.flush,
                "buffers.outbox must be at least twice buffers.flush: a flush must fit a waiting connection",
            ),
            (
                self.buffers.pending >= self.buffers.flush,
                "buffers.pending must be at least buffers.flush",
            ),
            (
                self.limits.connections_per_user > 0,
                "limits.connections_per_user must be above 0",
            ),
            (
                self.limits.connections > 0,
                "limits.connections must be above 0",
            ),
            (
                self.linger.events != Some(0),
                "linger.events must be above 0; leave it out where channels wait for their deadlines alone",
            ),
            (self.limits.batch > 0, "limits.batch must be above 0"),
            (
                self.heartbeat.ping >= Duration::from_secs(1),
                "heartbeat.ping must be at least 1 s",
            ),
            (
                self.heartbeat.comment >= Duration::from_secs(1),
                "heartbeat.comment must be at least 1 s",
            ),
            (
                self.heartbeat.pong >= Duration::from_secs(1),
                "heartbeat.pong must be at least 1 s",
            ),
            (
                self.heartbeat.pong < self.heartbeat.ping,
                "heartbeat.pong must be shorter than heartbeat.ping",
            ),
            (
                self.limits.handshake >= Duration::from_secs(1),
                "limits.handshake must be at least 1 s",
            ),
            (self.drain.batch > 0, "drain.batch must be above 0"),
            (
                (1..=9).contains(&self.compression.level),
                "compression.level must be from 1, the fastest, to 9, the smallest",
            ),
            (self.workers <= 1024, "workers must be at most 1024"),
        ];
        let rates = [
            ("limits.events_per_user", self.limits.events_per_user),
            ("limits.events_per_channel", self.limits.events_per_channel),
            ("limits.events_per_node", self.limits.events_per_node),
            ("limits.events_per_session", self.limits.events_per_session),
        ];
        for (name, rate) in rates {
            if let Some(problem) = rate.and_then(Rate::problem) {
                return Err(ConfigError(format!("{name}: {problem}")));
            }
        }
        if let Some(problem) = self.reconnect.problem() {
            return Err(ConfigError(problem.to_owned()));
        }
        match rules.iter().find(|(holds, _)| !holds) {
            Some((_, sentence)) => Err(ConfigError((*sentence).to_owned())),
            None => Ok(()),
        }
    }
}

/// A configuration that cannot work; the text says which setting and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError(pub(crate) String);

impl std::fmt::Display for ConfigError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ConfigError {}

/// The longest an event waits in its channel before it is flushed; high-priority events never do.
///
/// A channel flushes between 85 % and 95 % of these, so that channels which filled in the same
/// moment do not all flush in one, and delivery still ends in time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Linger {
    /// Medium priority; default 2 s. Longer means fewer, larger writes.
    #[serde(with = "seconds")]
    pub medium: Duration,
    /// Low priority; default 10 s.
    #[serde(with = "seconds")]
    pub low: Duration,
    /// Events of one channel that do not wait for more: as soon as so many wait, the channel is flushed
    /// whatever their priorities; at least 1. No such number by default. A small one means more writes,
    /// and no more delay for channels that are busy.
    pub events: Option<usize>,
}

impl Default for Linger {
    fn default() -> Self {
        Self {
            medium: Duration::from_secs(2),
            low: Duration::from_secs(10),
            events: None,
        }
    }
}

/// What queues may hold, in bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Buffers {
    /// Bytes that wait for one connection beyond what its socket took; default 1 MiB. Frames are
    /// shared, so ten thousand connections waiting for the same frame hold it once.
    pub outbox: usize,
    /// Bytes of events in one flush of a channel; default 256 KiB. What is more waits for the next.
    pub flush: usize,
    /// Bytes of events that wait in one channel; default 1 MiB. A publisher that meets it waits
    /// until the channel has flushed.
    pub pending: usize,
    /// Bytes of events that are kept on disk while the broker is away; default 256 MiB. A publisher
    /// that meets it is refused.
    pub spill: usize,
    /// Bytes of records that are kept on disk while the server of the service topics is away; default
    /// 256 MiB. A publisher that meets it is refused.
    pub topics_spill: usize,
    /// Bytes of one message to a client; default 64 KiB. A larger flush becomes several messages in
    /// one write; a single larger event is a message of its own.
    pub message: usize,
}

impl Default for Buffers {
    fn default() -> Self {
        Self {
            outbox: 1 << 20,
            flush: 256 << 10,
            pending: 1 << 20,
            spill: 256 << 20,
            topics_spill: 256 << 20,
            message: 64 << 10,
        }
    }
}

/// How often the server asks whether a client is there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Heartbeat {
    /// Between two pings; default 25 s. Each costs a write of a few bytes for every connection.
    #[serde(with = "seconds")]
    pub ping: Duration,
    /// From a ping until the pong must be there; default 10 s.
    #[serde(with = "seconds")]
    pub pong: Duration,
    /// Between two signs of life to a client that cannot answer (a comment line of SSE); default
    /// 30 s.
    #[serde(with = "seconds")]
    pub comment: Duration,
    /// How long a connection is kept after its token ended, so that it can refresh; default 10 s.
    #[serde(with = "seconds")]
    pub expiry_grace: Duration,
}

impl Default for Heartbeat {
    fn default() -> Self {
        Self {
            ping: Duration::from_secs(25),
            pong: Duration::from_secs(10),
            comment: Duration::from_secs(30),
            expiry_grace: Duration::from_secs(10),
        }
    }
}

/// How connections are closed when the node goes down: `batch` at a time, `pause` between.
///
/// The defaults close 5,000 connections a second, a pace at which other nodes can take them in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Drain {
    /// Connections closed at once; default 100.
    pub batch: usize,
    /// Between two batches; default 20 ms.
    #[serde(with = "seconds")]
    pub pause: Duration,
    /// The longest the whole may take before what is left is cut; default 15 s.
    #[serde(with = "seconds")]
    pub limit: Duration,
}

impl Default for Drain {
    fn default() -> Self {
        Self {
            batch: 100,
            pause: Duration::from_millis(20),
            limit: Duration::from_secs(15),
        }
    }
}

/// What holds for one family of channels.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ChannelPolicy {
    /// How much of each channel is kept, in place of [`Config::history`].
    pub history: Option<Retention>,
    /// Who is subscribed is remembered and announced, in this way.
    pub presence: Option<PresencePolicy>,
}

/// Durations as seconds, whole or with a fraction.
pub(crate) mod seconds {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(crate) fn serialize<S: Serializer>(
        value: &Duration,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(value.as_secs_f64())
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Duration, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "a number of seconds")]
        enum Seconds {
            Whole(u64),
            Fraction(f64),
        }
        match Seconds::deserialize(deserializer)? {
            Seconds::Whole(seconds) => Ok(Duration::from_secs(seconds)),
            Seconds::Fraction(seconds) => {
                Duration::try_from_secs_f64(seconds).map_err(D::Error::custom)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_fit_each_other() {
        assert_eq!(Config::default().check(), Ok(()));
    }

    #[test]
    fn a_contradiction_is_named() {
        let mut config = Config::default();
        config.buffers.flush = 1;
        assert!(
            config
                .check()
                .unwrap_err()
                .to_string()
                .starts_with("buffers.flush")
        );
        let mut config = Config::default();
        config.limits.events_per_user = Some(Rate {
            events: 0,
            per: Duration::from_secs(1),
        });
        assert!(
            config
                .check()
                .unwrap_err()
                .to_string()
                .starts_with("limits.events_per_user")
        );
    }

    #[test]
    fn a_level_of_compression_that_does_not_exist_is_named() {
        for (level, fits) in [(0, false), (1, true), (9, true), (10, false)] {
            let mut config = Config::default();
            config.compression.level = level;
            match config.check() {
                Ok(()) => assert!(fits, "{level}"),
                Err(error) => {
                    assert!(!fits, "{level}");
                    assert!(error.to_string().starts_with("compression.level"));
                }
            }
        }
    }

    #[test]
    fn a_channel_that_flushes_by_number_has_one_above_zero() {
        let config = |json: &str| serde_json::from_str::<Config>(json).unwrap();
        assert_eq!(config("{}").linger.events, None);
        let of_hundred = config(r#"{"linger": {"events": 100}}"#);
        assert_eq!(of_hundred.linger.events, Some(100));
        assert_eq!(of_hundred.check(), Ok(()));
        let error = config(r#"{"linger": {"events": 0}}"#).check().unwrap_err();
        assert!(error.to_string().starts_with("linger.events"), "{error}");
    }

    #[test]
    fn a_rate_that_cannot_be_counted_is_refused() {
        let check = |events, per| {
            let mut config = Config::default();
            config.limits.events_per_session = Some(Rate { events, per });
            config.check().map_err(|error| error.to_string())
        };
        for (events, per) in [
            (1_000_000_001, Duration::from_secs(1)),
            (2, Duration::from_nanos(1)),
            (u32::MAX, Duration::from_secs(4)),
        ] {
            let error = check(events, per).unwrap_err();
            assert!(
                error.starts_with("limits.events_per_session: at most"),
                "{error}"
            );
        }
        for (events, per) in [
            (1_000_000_000, Duration::from_secs(1)),
            (1, Duration::from_nanos(1)),
            (u32::MAX, Duration::from_secs(5)),
        ] {
            assert_eq!(check(events, per), Ok(()), "{events} in {per:?}");
        }
    }

    #[test]
    fn a_familys_policy_wins_over_the_default() {
        let mut config = Config::default();
        let kept = Retention {
            events: 5,
            ..Retention::default()
        };
        config.channels.insert(
            "thread".into(),
            ChannelPolicy {
                history: Some(kept.clone()),
                presence: None,
            },
        );
        assert_eq!(config.retention("thread"), &kept);
        assert_eq!(config.retention("forum"), &Retention::default());
    }
}
