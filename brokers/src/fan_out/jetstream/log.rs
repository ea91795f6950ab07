//! The stream that is the log, and how far this node has read it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_nats::jetstream::Context;
use async_nats::jetstream::consumer::pull;
use async_nats::jetstream::consumer::{AckPolicy, Consumer, DeliverPolicy, ReplayPolicy};
use async_nats::jetstream::context::GetStreamErrorKind;
use async_nats::jetstream::stream::{self, DiscardPolicy, RetentionPolicy, StorageType};
use fanfare::broker::Covered;
use fanfare::{Channel, Epoch};
use tracing::{info, warn};

use super::config::Config;
use crate::fan_out::nats::{Failure, chain};

/// How long the server keeps a reader whose node has gone.
const READER_GONE: Duration = Duration::from_secs(15);

/// What was read of one incarnation of the stream.
#[derive(Debug)]
pub(super) struct Log {
    /// The stream and when it was created.
    created: String,
    /// One incarnation of the numbers in it: `created`, and where the end was lost.
    pub(super) identity: String,
    from: u64,
    to: AtomicU64,
}

/// What a look at the stream tells a reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Range {
    first: u64,
    last: u64,
}

impl Log {
    pub(super) fn covered(&self, channel: &Channel) -> Covered {
        Covered {
            epoch: Epoch::of_log(&self.identity, channel),
            from: self.from,
            to: self.to.load(Ordering::Acquire),
        }
    }

    pub(super) fn reached(&self, sequence: u64) {
        self.to.fetch_max(sequence, Ordering::AcqRel);
    }

    pub(super) fn next(&self) -> u64 {
        self.to.load(Ordering::Acquire) + 1
    }

    /// A log that nothing was read of yet.
    fn beginning(created: String, range: Range, read_back: u64) -> Self {
        let back = range.last.saturating_add(1).saturating_sub(read_back);
        let from = range.first.max(back).max(1);
        Self {
            identity: created.clone(),
            created,
            from,
            to: AtomicU64::new(from - 1),
        }
    }

    /// The same log after some time away; none where it goes on as it is.
    fn resumed(&self, range: Range) -> Option<Self> {
        let next = self.next();
        if range.last + 1 < next {
            // The server lost the end of the log, in a power cut say, and gives its numbers to other
            // events now.
            return Some(Self {
                created: self.created.clone(),
                identity: format!("{} cut at {}", self.created, range.last),
                from: range.last + 1,
                to: AtomicU64::new(range.last),
            });
        }
        (range.first > next).then(|| Self {
            created: self.created.clone(),
            identity: self.identity.clone(),
            from: range.first,
            to: AtomicU64::new(range.first - 1),
        })
    }
}

/// The stream as it is now.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) stream: stream::Stream,
    /// What is read from now on, where that is not what was read before.
    pub(super) log: Option<Log>,
    pub(super) last: u64,
}

/// Looks at the stream, makes it where there is none, and has it keep events as the configuration
/// says if this node starts.
pub(super) async fn open(
    context: &Context,
    config: &Config,
    known: Option<&Log>,
) -> Result<Opened, Failure> {
    let wanted = wanted(config);
    let name = wanted.name.clone();
    let failed = |error: &dyn std::error::Error| format!("the stream {name}: {}", chain(error));
    let mut stream = match context.get_stream(&name).await {
        Ok(stream) => stream,
        Err(error) => match error.kind() {
            GetStreamErrorKind::JetStream(error) if error.code() == 404 => {
                let created = context.create_stream(wanted.clone()).await;
                created.map_err(|error| failed(&error))?
            }
            _ => return Err(failed(&error)),
        },
    };
    if known.is_none() && differs(&stream.cached_info().config, &wanted) {
        let changed = stream::Config {
            metadata: stream.cached_info().config.metadata.clone(),
            ..wanted
        };
        let updated = context.update_stream(changed).await;
        updated.map_err(|error| failed(&error))?;
        info!(
            stream = name,
            "the log is kept by another configuration now"
        );
    }
    let info = stream.info().await.map_err(|error| failed(&error))?;
    let created = format!("{name} {}", info.created.unix_timestamp_nanos());
    let range = Range {
        first: info.state.first_sequence,
        last: info.state.last_sequence,
    };
    let log = match known {
        Some(log) if log.created == created => {
            let log = log.resumed(range);
            if let Some(log) = &log {
                warn!(
                    from = log.from,
                    "the log lost events that this node has not read"
                );
            }
            log
        }
        Some(_) => {
            warn!(
                stream = name,
                "the log was made anew: positions of before mean nothing"
            );
            Some(Log::beginning(created, range, config.read_back))
        }
        None => Some(Log::beginning(created, range, config.read_back)),
    };
    Ok(Opened {
        stream,
        log,
        last: range.last,
    })
}

/// A reader of all that is in the stream from `start` on.
pub(super) async fn reader(
    stream: &stream::Stream,
    start: u64,
) -> Result<Consumer<pull::Config>, Failure> {
    let config = pull::Config {
        deliver_policy: DeliverPolicy::ByStartSequence {
            start_sequence: start,
        },
        // What was read is known here.
        ack_policy: AckPolicy::None,
        replay_policy: ReplayPolicy::Instant,
        inactive_threshold: READER_GONE,
        memory_storage: true,
        num_replicas: 1,
        ..pull::Config::default()
    };
    let made = stream.create_consumer(config).await;
    made.map_err(|error| format!("a consumer of the log: {}", chain(&error)))
}

pub(super) fn name(config: &Config) -> String {
    format!("{}-events", config.cluster)
}

fn wanted(config: &Config) -> stream::Config {
    let limit = |limit: u64| i64::try_from(limit).unwrap_or(i64::MAX);
    stream::Config {
        name: name(config),
        subjects: vec![format!("{}.e.>", config.cluster)],
        retention: RetentionPolicy::Limits,
        discard: DiscardPolicy::Old,
        storage: StorageType::File,
        num_replicas: config.replicas,
        max_age: config.max_age,
        max_bytes: limit(config.max_bytes),
        max_messages: config.max_events.map_or(-1, limit),
        max_messages_per_subject: -1,
        max_consumers: -1,
        allow_direct: true,
        // Stamps tell copies; the server need not remember ids.
        duplicate_window: Duration::from_secs(1),
        ..stream::Config::default()
    }
}

fn differs(one: &stream::Config, other: &stream::Config) -> bool {
    one.subjects != other.subjects
        || one.discard != other.discard
        || one.num_replicas != other.num_replicas
        || one.max_age != other.max_age
        || one.max_bytes != other.max_bytes
        || one.max_messages != other.max_messages
        || one.allow_direct != other.allow_direct
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(first: u64, last: u64, read_back: u64) -> Log {
        Log::beginning("s 1".to_owned(), Range { first, last }, read_back)
    }

    #[test]
    fn reading_begins_some_way_back() {
        let from = |first, last, back| {
            let log = log(first, last, back);
            assert_eq!(log.next(), log.from);
            log.from
        };
        assert_eq!(from(0, 0, 100), 1);
        assert_eq!(from(1, 50, 100), 1);
        assert_eq!(from(7, 50, 100), 7);
        assert_eq!(from(7, 500, 100), 401);
        assert_eq!(from(7, 500, 0), 501);
        assert_eq!(from(501, 500, 100), 501);
    }

    #[test]
    fn reading_goes_on_where_it_was() {
        let log = log(1, 0, 100);
        log.reached(40);
        assert!(log.resumed(Range { first: 1, last: 40 }).is_none());
        assert!(
            log.resumed(Range {
                first: 41,
                last: 90
            })
            .is_none()
        );
        let trimmed = log
            .resumed(Range {
                first: 50,
                last: 90,
            })
            .unwrap();
        assert_eq!(
            (&*trimmed.identity, trimmed.from, trimmed.next()),
            ("s 1", 50, 50)
        );
        let cut = log.resumed(Range { first: 1, last: 30 }).unwrap();
        assert_ne!(cut.identity, log.identity);
        assert_eq!((cut.from, cut.next()), (31, 31));
    }
}
