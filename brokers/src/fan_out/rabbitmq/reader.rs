//! Reading the log.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use fanfare::{Epoch, Event, Ingress, Position};
use futures_util::StreamExt;
use lapin::message::Delivery;
use lapin::options::BasicAckOptions;
use lapin::types::AMQPValue;
use lapin::{Channel, Consumer};
use tokio::time::timeout;

use super::connection::{Failure, Session, answer};
use super::generation::{append, consume, offset, text};
use super::stream::{Read, Shared, lock};
use crate::fan_out::undecodable::Undecodable;

/// How many records the server sends ahead of what was acknowledged. Streams have to be
/// acknowledged, for this only; a record that is refused would end the connection.
const PREFETCH: u16 = 1_000;
/// How many records are acknowledged at once.
const ACKNOWLEDGED: u64 = 200;
/// How long the record by which the end is found may take.
const COME: Duration = Duration::from_secs(5);
/// How our own records begin. No event's frame begins with a zero.
const MARK: &[u8] = b"\0fanfare mark ";

/// How far this node has read, kept over losses of connection.
#[derive(Debug)]
pub(super) struct Progress {
    log: Arc<str>,
    /// The last record, by which the log is known again.
    last: (u64, Bytes),
    /// Where the log ended when this node first began to read it, until it has come there.
    end: Option<u64>,
}

/// Why reading ended.
pub(super) enum End {
    Failed(Failure),
    /// The log does not hold what it held.
    Changed(&'static str),
}

impl From<Failure> for End {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

/// One consumer of the log.
pub(super) struct Reader {
    log: Arc<str>,
    consumer: Consumer,
    _channel: Channel,
    /// The first record that is wanted.
    next: u64,
    /// The last record of the connection before, until it is met again.
    known: Option<(u64, Bytes)>,
    /// As in [`Progress`].
    end: Option<u64>,
}

impl Reader {
    /// Begins where `progress` says; where that is another log or none, `read_back` records before
    /// the end.
    pub(super) async fn open(
        session: &Session,
        log: &str,
        progress: Option<&Progress>,
        read_back: u64,
    ) -> Result<Self, End> {
        let progress = progress.filter(|progress| &*progress.log == log);
        let known = progress.map(|progress| progress.last.clone());
        let found = find_end(session, log).await?;
        // Asked for an offset that there is not yet, the server would be silent until there is.
        if known.as_ref().is_some_and(|(at, _)| found <= *at) {
            return Err(End::Changed("it has lost its end"));
        }
        let (next, end) = match &known {
            Some((at, _)) => (at + 1, progress.and_then(|progress| progress.end)),
            None => (found.saturating_sub(read_back), Some(found)),
        };
        let from = known.as_ref().map_or(next, |(at, _)| *at);
        let from = AMQPValue::LongLongInt(i64::try_from(from).unwrap_or(i64::MAX));
        let channel = session.reading(PREFETCH).await?;
        let consumer = consume(&channel, log, from).await?;
        Ok(Self {
            log: log.into(),
            consumer,
            _channel: channel,
            next,
            known,
            end,
        })
    }

    /// Hands over what comes, until the connection fails. Calls `caught_up` when this node has come to
    /// where the log ended as it first began to read it.
    pub(super) async fn run(
        &mut self,
        shared: &Shared,
        ingress: &Ingress,
        progress: &mut Option<Progress>,
        mut caught_up: impl FnMut(),
    ) -> End {
        let mut undecodable = Undecodable::new();
        let mut since_acknowledged = 0;
        while let Some(came) = self.consumer.next().await {
            let delivery = match came {
                Ok(delivery) => delivery,
                Err(error) => return Failure::of("reading the log failed", &error).into(),
            };
            let Some(at) = offset(&delivery) else {
                return Failure::away("a record of the log came without its offset").into();
            };
            since_acknowledged += 1;
            if since_acknowledged == ACKNOWLEDGED {
                since_acknowledged = 0;
                if let Err(failure) = acknowledge(&delivery).await {
                    return failure.into();
                }
            }
            let body = Bytes::from(delivery.data);
            if self.differs(at, &body) {
                return End::Changed("it holds other records than before");
            }
            // The server sends whole chunks, also where reading begins in the middle of one.
            if self.known.is_some() || at < self.next {
                continue;
            }
            self.take(at, &body, shared, ingress, &mut undecodable);
            if self.end.is_some_and(|end| at >= end) {
                self.end = None;
                caught_up();
            }
            *progress = Some(Progress {
                log: self.log.clone(),
                last: (at, body),
                end: self.end,
            });
            // The client library has no such point, and the rest of the node has work too.
            tokio::task::coop::consume_budget().await;
        }
        Failure::away("the server ended the reading of the log, which it does when it is deleted")
            .into()
    }

    /// Whether the log is found to be another than before the connection was lost.
    fn differs(&mut self, at: u64, body: &Bytes) -> bool {
        let Some((last, known)) = &self.known else {
            return false;
        };
        let differs = at == *last && body != known;
        if at >= *last {
            self.known = None;
        }
        differs
    }

    fn take(
        &mut self,
        at: u64,
        body: &Bytes,
        shared: &Shared,
        ingress: &Ingress,
        undecodable: &mut Undecodable,
    ) {
        let begins = self.end.is_some_and(|end| at < end);
        let offset = at + 1;
        // What is missing before it was trimmed while this node was away, or begins before what it
        // reads back.
        if at > self.next || !self.is_reading(shared) {
            if at > self.next && !begins {
                tracing::warn!(
                    from = self.next + 1,
                    to = at,
                    "the log has been trimmed beyond what this node had read"
                );
            }
            *lock(&shared.read) = Some(Read {
                log: self.log.clone(),
                from: offset,
                to: at,
            });
        }
        if !body.starts_with(MARK) {
            match Event::decode(body.clone()) {
                Ok(event) => {
                    let stamp = event.stamp();
                    let epoch = Epoch::of_log(&self.log, event.channel());
                    let position = Position { epoch, offset };
                    let delivered = ingress.deliver_at(event, position, begins);
                    let awaited = stamp.and_then(|stamp| {
                        lock(&shared.awaited).remove(&(stamp.origin, stamp.number))
                    });
                    if let Some(awaited) = awaited {
                        // It may have waited long enough.
                        let _ = awaited.send(delivered.position);
                    }
                }
                Err(error) => undecodable.count(&self.log, error),
            }
        }
        if let Some(read) = &mut *lock(&shared.read) {
            read.to = offset;
        }
        self.next = offset;
    }

    fn is_reading(&self, shared: &Shared) -> bool {
        let read = lock(&shared.read);
        read.as_ref().is_some_and(|read| read.log == self.log)
    }
}

/// Where the log ends: where a record of our own comes to stand. Streams tell how many records they
/// hold, but not exactly, and seconds late.
async fn find_end(session: &Session, log: &str) -> Result<u64, Failure> {
    let mark = [MARK, &rand::random::<[u8; 16]>()].concat();
    let channel = session.reading(100).await?;
    let mut consumer = consume(&channel, log, text("next")).await?;
    append(&session.channel().await?, log, &mark).await?;
    let found = timeout(COME, async {
        while let Some(came) = consumer.next().await {
            let delivery =
                came.map_err(|error| Failure::of("finding the end of the log failed", &error))?;
            if delivery.data == mark
                && let Some(at) = offset(&delivery)
            {
                return Ok(at);
            }
            acknowledge(&delivery).await?;
        }
        Err(Failure::away("finding the end of the log was ended"))
    });
    found.await.unwrap_or_else(|_| {
        Err(Failure::away(
            "a record that was appended to the log did not come",
        ))
    })
}

/// The offset of some record in the newest chunk of the log.
pub(super) async fn newest(session: &Session, log: &str) -> Result<Option<u64>, Failure> {
    let channel = session.reading(1).await?;
    let mut consumer = consume(&channel, log, text("last")).await?;
    let came = timeout(COME, consumer.next()).await;
    let at = came.ok().flatten().and_then(Result::ok);
    let closed = channel.close(200, "OK".into());
    answer("closing a channel", closed).await?;
    Ok(at.as_ref().and_then(offset))
}

/// Acknowledges all up to this one.
pub(super) async fn acknowledge(delivery: &Delivery) -> Result<(), Failure> {
    let acked = delivery.acker.ack(BasicAckOptions { multiple: true });
    answer("acknowledging", acked).await?;
    Ok(())
}
