//! Which stream holds the log of a cluster.
//!
//! Nodes must agree on what incarnation of the log they read, because offsets of different ones
//! cannot be compared, and AMQP tells neither when a stream was made nor any other mark of it. A
//! first record would do, but retention removes it. So each incarnation has a stream of its own, with
//! a random name, `CLUSTER.events.ID`, and the names stand in a second, small stream without
//! retention, `CLUSTER.logs`: each of its records says that stream ID takes the place of stream
//! ID', which is gone. Of several that would take the same place the first has it. Every node follows
//! the records from the beginning to the stream that exists; a node that finds none makes one,
//! *then* appends a record that proposes it, and deletes it again should another have been first. All
//! see the records in one order, so all come to the same stream; and a consumer of a stream that was
//! deleted can never find itself reading another.

use std::time::Duration;

use futures_util::StreamExt;
use lapin::message::Delivery;
use lapin::options::{
    BasicConsumeOptions, BasicPublishOptions, ConfirmSelectOptions, QueueDeclareOptions,
    QueueDeleteOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Confirmation, Consumer};
use tokio::time::timeout;

use super::config::Config;
use super::connection::{Failure, Session, answer, is_missing, name};
use super::stream::Names;

/// How long a record is waited for before one is written. A shorter time does no harm but a stream
/// that was made in vain.
const GRACE: Duration = Duration::from_millis(300);
/// How long a record may take that must come.
const COME: Duration = Duration::from_secs(5);
const WORDS: &str = "fanfare-log-1";

/// The name of the stream that holds the log, which exists when this resolves.
pub(super) async fn current(
    session: &Session,
    config: &Config,
    names: &Names,
) -> Result<String, Failure> {
    let mut records = Records::open(session, names).await?;
    let mut current = String::new();
    loop {
        if !current.is_empty() && exists(session, &names.log(&current)).await? {
            return Ok(names.log(&current));
        }
        // It is gone, or there was none yet.
        let next = match records.successor(&current, GRACE).await? {
            Some(next) => next,
            None => propose(session, config, names, &mut records, &current).await?,
        };
        current = next;
    }
}

/// Makes a stream and proposes it; the one that was proposed first.
async fn propose(
    session: &Session,
    config: &Config,
    names: &Names,
    records: &mut Records,
    gone: &str,
) -> Result<String, Failure> {
    let id = format!("{:016x}", rand::random::<u64>());
    let channel = session.channel().await?;
    let log = names.log(&id);
    let made = channel.queue_declare(name(&log), QueueDeclareOptions::durable(), kept(config));
    answer("making the log", made).await?;
    let record = format!("{WORDS} {id} {gone}");
    append(&channel, &names.generations, record.as_bytes()).await?;
    let first = records.successor(gone, COME).await?;
    let first = first.ok_or_else(|| {
        Failure::away("a record that was appended to the list of logs did not come")
    })?;
    if first != id {
        let unused = channel.queue_delete(name(&log), QueueDeleteOptions::default());
        answer("deleting a log that is not needed", unused).await?;
    }
    Ok(first)
}

/// The records of the second stream, in order.
struct Records {
    consumer: Consumer,
    /// What took whose place.
    known: Vec<(String, String)>,
    // Closes with the value.
    _channel: Channel,
}

impl Records {
    async fn open(session: &Session, names: &Names) -> Result<Self, Failure> {
        let channel = session.reading(100).await?;
        let mut arguments = FieldTable::default();
        arguments.insert("x-queue-type".into(), text("stream"));
        let queue = name(&names.generations);
        let declared =
            channel.queue_declare(queue, QueueDeclareOptions::durable(), arguments.clone());
        answer("declaring the list of logs", declared).await?;
        let consumer = consume(&channel, &names.generations, text("first")).await?;
        Ok(Self {
            consumer,
            known: Vec::new(),
            _channel: channel,
        })
    }

    /// What took the place of `gone`, the first of them, if that is known within some time.
    async fn successor(&mut self, gone: &str, within: Duration) -> Result<Option<String>, Failure> {
        loop {
            let known = self.known.iter().find(|(_, before)| before == gone);
            if let Some((id, _)) = known {
                return Ok(Some(id.clone()));
            }
            let Ok(came) = timeout(within, self.consumer.next()).await else {
                return Ok(None);
            };
            let Some(Ok(record)) = came else {
                return Err(Failure::away("reading the list of logs was ended"));
            };
            let acked = record.acker.ack(lapin::options::BasicAckOptions::default());
            answer("reading the list of logs", acked).await?;
            self.known.extend(parse(&record.data));
        }
    }
}

fn parse(record: &[u8]) -> Option<(String, String)> {
    let mut words = std::str::from_utf8(record).ok()?.split(' ');
    let (kind, id, gone) = (words.next()?, words.next()?, words.next()?);
    let is_id = id.len() == 16 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    (kind == WORDS && is_id && id != gone).then(|| (id.to_owned(), gone.to_owned()))
}

async fn exists(session: &Session, log: &str) -> Result<bool, Failure> {
    // A channel of its own: the server closes it where the answer is no.
    let channel = session.channel().await?;
    let passive = QueueDeclareOptions::durable().passive();
    let asked = channel.queue_declare(name(log), passive, FieldTable::default());
    match timeout(COME, asked).await {
        Ok(Ok(_)) => Ok(true),
        Ok(Err(error)) if is_missing(&error) => Ok(false),
        Ok(Err(error)) => Err(Failure::of("looking for the log failed", &error)),
        Err(_) => Err(Failure::away("looking for the log was not answered")),
    }
}

/// What the server is told when the log is made.
fn kept(config: &Config) -> FieldTable {
    let number = |number: u64| AMQPValue::LongLongInt(i64::try_from(number).unwrap_or(i64::MAX));
    let mut arguments = FieldTable::default();
    arguments.insert("x-queue-type".into(), text("stream"));
    let age = format!("{}s", config.max_age.as_secs());
    arguments.insert("x-max-age".into(), text(&age));
    arguments.insert("x-max-length-bytes".into(), number(config.max_bytes));
    let segment = number(config.segment_bytes);
    arguments.insert("x-stream-max-segment-size-bytes".into(), segment);
    if let Some(replicas) = config.replicas {
        let replicas = number(replicas.into());
        arguments.insert("x-initial-cluster-size".into(), replicas);
    }
    arguments
}

/// Reads a stream from some offset on.
pub(super) async fn consume(
    channel: &Channel,
    stream: &str,
    from: AMQPValue,
) -> Result<Consumer, Failure> {
    let mut arguments = FieldTable::default();
    arguments.insert("x-stream-offset".into(), from);
    let consumed = channel.basic_consume(
        name(stream),
        "".into(),
        BasicConsumeOptions::default(),
        arguments,
    );
    answer("reading a stream", consumed).await
}

/// The offset of a record in its stream, counted from 0.
pub(super) fn offset(delivery: &Delivery) -> Option<u64> {
    let headers = delivery.properties.headers().as_ref()?;
    let offset = headers.inner().get("x-stream-offset")?;
    offset
        .as_long_long_int()
        .and_then(|offset| u64::try_from(offset).ok())
}

/// Appends a record of our own to a stream, past the exchange that others listen to.
pub(super) async fn append(channel: &Channel, stream: &str, record: &[u8]) -> Result<(), Failure> {
    let confirmed = channel.confirm_select(ConfirmSelectOptions::default());
    answer("asking for confirms", confirmed).await?;
    let options = BasicPublishOptions {
        mandatory: true,
        ..BasicPublishOptions::default()
    };
    let properties = BasicProperties::default().with_delivery_mode(2);
    let published = async {
        let published = channel.basic_publish("".into(), name(stream), options, record, properties);
        published.await?.await
    };
    match answer("appending to a stream", published).await? {
        Confirmation::Ack(None) => Ok(()),
        other => Err(Failure::away(format!(
            "{stream} takes in nothing: {other:?}"
        ))),
    }
}

pub(super) fn text(text: &str) -> AMQPValue {
    AMQPValue::LongString(text.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_told_from_others() {
        let id = "0123456789abcdef";
        let pair = |gone: &str| Some((id.to_owned(), gone.to_owned()));
        assert_eq!(parse(b"fanfare-log-1 0123456789abcdef "), pair(""));
        let gone = "fedcba9876543210";
        let record = format!("fanfare-log-1 {id} {gone}");
        assert_eq!(parse(record.as_bytes()), pair(gone));
        for other in [
            "",
            "fanfare-log-1",
            "fanfare-log-1 0123456789abcdef",
            "fanfare-log-2 0123456789abcdef ",
            "fanfare-log-1 xyz ",
            "fanfare-log-1 0123456789abcdef 0123456789abcdef",
        ] {
            assert_eq!(parse(other.as_bytes()), None, "{other}");
        }
    }
}
