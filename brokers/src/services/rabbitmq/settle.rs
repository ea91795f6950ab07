//! Settling deliveries: what the server is told, and that it knows.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use fanfare::{BoxFuture, BrokerError, BrokerErrorKind};
use lapin::options::{BasicAckOptions, BasicCancelOptions, BasicNackOptions, BasicQosOptions};
use lapin::types::ShortString;
use lapin::{Acker, Channel};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep_until, timeout};

use super::connection::{Link, Live, declare_retry, exists};
use super::error::{ANSWER_WITHIN, answer, short, unavailable};
use super::message::Message;
use super::publisher::{Publication, Publisher};
use super::topology::{Queue, Topology};
use crate::services::engine::{Failure, Settle};

/// How many verdicts share a round trip.
const BATCH: usize = 256;
/// RabbitMQ 3.10 notes a new quorum queue up to a second after it is declared. Killed before that, it
/// keeps the name of a queue that takes nothing ever after, and loses what was in it.
const AFTER_DECLARING: Duration = Duration::from_secs(2);
/// How many queues are tried in place of one that takes nothing.
const SPARES: u32 = 2;

/// What a group's deliveries need to be settled.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) topology: Arc<Topology>,
    pub(super) queue: Queue,
    pub(super) link: Link,
    pub(super) publisher: Publisher,
    pub(super) closing: Closing,
    /// The queues for retries that are there, by the pause in ms.
    pub(super) retries: Mutex<HashMap<u64, RetryQueue>>,
    /// Held while one is declared.
    pub(super) declaring: tokio::sync::Mutex<()>,
}

/// A queue for retries.
#[derive(Clone, Copy, Debug)]
pub(super) struct RetryQueue {
    /// Which of the spare ones it is.
    spare: u32,
    /// When the server will certainly remember it.
    ready: Instant,
}

/// What is told about one delivery.
#[derive(Debug)]
pub(super) struct Verdict {
    acker: Acker,
    told: Told,
    /// None where nobody waits for it.
    answer: Option<oneshot::Sender<Result<(), BrokerError>>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    Done,
    Again,
}

/// How many sources are gone whose channels are not closed yet.
#[derive(Clone, Debug, Default)]
pub(super) struct Closing(Arc<watch::Sender<usize>>);

impl Closing {
    pub(super) fn begin(&self) {
        self.0.send_modify(|closing| *closing += 1);
    }

    fn end(&self) {
        self.0.send_modify(|closing| *closing -= 1);
    }

    /// Waits for all of them, for a bounded time.
    pub(super) async fn ended(&self) {
        let mut closing = self.0.subscribe();
        let ended = closing.wait_for(|closing| *closing == 0);
        let _ = timeout(ANSWER_WITHIN, ended).await;
    }
}

/// What is read on one channel, and has to be settled there.
pub(super) struct Reading {
    pub(super) channel: Channel,
    pub(super) consumer: ShortString,
    pub(super) prefetch: u16,
    /// Gone when the source is.
    pub(super) closed: watch::Receiver<()>,
}

/// Tells the server verdicts until the source is gone or the connection is lost. Whoever waits for an
/// answer then has one: a record whose settling never ended would keep its key and its place for ever.
pub(super) async fn settle_all(
    link: Link,
    live: Arc<Live>,
    reading: Reading,
    verdicts: mpsc::Receiver<Verdict>,
    closing: Closing,
) {
    let mut closed = reading.closed.clone();
    let _ = link.while_lasts(&live, tell_all(reading, verdicts)).await;
    // Not before it began.
    let _ = closed.changed().await;
    closing.end();
}

/// Tells the server verdicts until the source is gone. Then closes the channel, by which everything
/// else goes back.
async fn tell_all(reading: Reading, mut verdicts: mpsc::Receiver<Verdict>) {
    let Reading {
        channel,
        consumer,
        prefetch,
        mut closed,
    } = reading;
    let mut batch = Vec::with_capacity(BATCH);
    loop {
        let any = tokio::select! {
            biased;
            any = verdicts.recv_many(&mut batch, BATCH) => any,
            _ = closed.changed() => 0,
        };
        if any == 0 {
            break;
        }
        let mut told = Vec::with_capacity(any);
        for verdict in batch.drain(..) {
            let acker = &verdict.acker;
            let sent = async {
                match verdict.told {
                    Told::Done => acker.ack(BasicAckOptions::default()).await,
                    Told::Again => acker.nack(again()).await,
                }
            };
            if let Ok(true) = answer("settle a record", sent).await {
                told.extend(verdict.answer);
            } else if let Some(answer) = verdict.answer {
                let _ = answer.send(Err(lost()));
            }
        }
        if told.is_empty() {
            continue;
        }
        // There is no answer to an ack. The channel does things in their order, so one to anything
        // that follows says that the acks have been dealt with.
        let asked = channel.basic_qos(prefetch, BasicQosOptions::default());
        let known = answer("settle records", asked).await.is_ok();
        for answer in told {
            let _ = answer.send(if known { Ok(()) } else { Err(lost()) });
        }
    }
    let _ = close(&channel, consumer, prefetch).await;
}

/// Closes a channel once its queue has heard every ack.
///
/// A channel keeps acks for itself while its quorum queue is behind with 32 of them, and what it keeps
/// ends with it. A consumer is cancelled by the queue, after all that was sent to it; by then the
/// channel sends what it has kept.
async fn close(channel: &Channel, consumer: ShortString, prefetch: u16) -> Result<(), BrokerError> {
    let cancelling = channel.basic_cancel(consumer, BasicCancelOptions::default());
    answer("end the reading of a queue", cancelling).await?;
    for _ in 0..2 {
        let asked = channel.basic_qos(prefetch, BasicQosOptions::default());
        answer("settle records", asked).await?;
    }
    answer("close a channel", channel.close(200, "OK".into())).await
}

fn again() -> BasicNackOptions {
    BasicNackOptions {
        multiple: false,
        requeue: true,
    }
}

fn lost() -> BrokerError {
    unavailable("the delivery is not known to the server any more, and comes again")
}

/// A delivery that is not settled yet.
pub(super) struct Unsettled {
    group: Arc<Group>,
    /// None once it is settled.
    acker: Option<Acker>,
    verdicts: mpsc::Sender<Verdict>,
    message: Message,
}

impl Unsettled {
    pub(super) const fn new(
        group: Arc<Group>,
        acker: Acker,
        verdicts: mpsc::Sender<Verdict>,
        message: Message,
    ) -> Self {
        Self {
            group,
            acker: Some(acker),
            verdicts,
            message,
        }
    }

    /// Tells the server, in the order of the calls.
    fn tell(&mut self, told: Told) -> impl Future<Output = Result<(), BrokerError>> + Send + use<> {
        let (answer, answered) = oneshot::channel();
        let sent = self.acker.take().is_some_and(|acker| {
            let verdict = Verdict {
                acker,
                told,
                answer: Some(answer),
            };
            // There is room for every delivery that the server hands over at a time.
            self.verdicts.try_send(verdict).is_ok()
        });
        async move {
            if !sent {
                return Err(lost());
            }
            answered.await.unwrap_or_else(|_| Err(lost()))
        }
    }

    fn payload(&self) -> Bytes {
        self.message.record.payload.clone()
    }

    /// Puts the record into the queue where it waits.
    async fn put_off(&self, after: Duration) -> Result<(), BrokerError> {
        let due = Instant::now() + after;
        let pause = rounded(after);
        if pause == 0 {
            return self.publish_to(&self.group.queue.name, None).await;
        }
        let known = self.group.retries().get(&pause).copied();
        let queue = match known {
            Some(queue) => queue,
            None => self.group.declare_retry(pause, 0).await?,
        };
        let queue = match self.wait_in(queue, pause, due).await {
            // Somebody has deleted it.
            Err(error) if known.is_some() && error.kind() == BrokerErrorKind::Rejected => {
                self.group.declare_retry(pause, queue.spare).await?
            }
            // It takes nothing, though the server is there.
            Err(error) if queue.spare < SPARES && self.group.link.now().is_ok() => {
                tracing::warn!(
                    ?error,
                    pause,
                    "a retry queue takes nothing, so another is used"
                );
                self.group.declare_retry(pause, queue.spare + 1).await?
            }
            published => return published,
        };
        self.wait_in(queue, pause, due).await
    }

    /// Puts the record into a queue for retries for the rest of its pause. What is left of the pause until
    /// that is ready passes here.
    async fn wait_in(
        &self,
        queue: RetryQueue,
        pause: u64,
        due: Instant,
    ) -> Result<(), BrokerError> {
        if due <= queue.ready {
            sleep_until(due).await;
            return self.publish_to(&self.group.queue.name, None).await;
        }
        let waits = queue.ready > Instant::now();
        sleep_until(queue.ready).await;
        let rest = waits.then(|| due.saturating_duration_since(Instant::now()));
        let name = self.group.retry_queue(pause, queue.spare);
        self.publish_to(&name, rest).await
    }

    async fn publish_to(&self, queue: &str, expires: Option<Duration>) -> Result<(), BrokerError> {
        let mut properties = self.message.detoured();
        if let Some(expires) = expires {
            let expires = expires.as_millis().to_string();
            properties = properties.with_expiration(short(&expires)?);
        }
        let publication = Publication {
            exchange: short("")?,
            routing_key: short(queue)?,
            properties,
            payload: self.payload(),
        };
        self.group.publisher.publish(publication).await
    }

    async fn bury(&self) -> Result<(), BrokerError> {
        let queue = &self.group.queue;
        let publication = Publication {
            exchange: short(&self.group.topology.dead_letters.exchange)?,
            routing_key: short(&queue.dead_letter_key())?,
            properties: self.message.dead(&queue.name),
            payload: self.payload(),
        };
        self.group.publisher.publish(publication).await
    }

    /// Takes a record out of its queue once it is in another, or gives it back.
    async fn moved(mut self: Box<Self>, moved: Result<(), BrokerError>) -> Result<(), BrokerError> {
        match moved {
            Ok(()) => self.tell(Told::Done).await,
            // Dropped, it comes again.
            Err(error) => Err(error),
        }
    }
}

impl Settle for Unsettled {
    fn done(mut self: Box<Self>) -> BoxFuture<'static, Result<(), BrokerError>> {
        Box::pin(self.tell(Told::Done))
    }

    fn retry(
        mut self: Box<Self>,
        after: Duration,
        failure: Failure,
    ) -> BoxFuture<'static, Result<(), BrokerError>> {
        Box::pin(async move {
            self.message.failures.push(failure);
            let put_off = self.put_off(after).await;
            self.moved(put_off).await
        })
    }

    fn give_up(
        mut self: Box<Self>,
        failure: Failure,
    ) -> BoxFuture<'static, Result<(), BrokerError>> {
        Box::pin(async move {
            self.message.failures.push(failure);
            let buried = self.bury().await;
            self.moved(buried).await
        })
    }

    fn release(mut self: Box<Self>) -> BoxFuture<'static, Result<(), BrokerError>> {
        Box::pin(self.tell(Told::Again))
    }
}

impl Drop for Unsettled {
    fn drop(&mut self) {
        if let Some(acker) = self.acker.take() {
            let verdict = Verdict {
                acker,
                told: Told::Again,
                answer: None,
            };
            // Where the channel is gone, it comes again by that.
            let _ = self.verdicts.try_send(verdict);
        }
    }
}

impl Group {
    fn retries(&self) -> MutexGuard<'_, HashMap<u64, RetryQueue>> {
        self.retries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn retry_queue(&self, pause: u64, spare: u32) -> String {
        let queue = &self.queue.name;
        match spare {
            0 => format!("{queue}.retry.{pause}"),
            _ => format!("{queue}.retry.{pause}.{spare}"),
        }
    }

    /// Sees to it that a queue for retries exists.
    async fn declare_retry(&self, pause: u64, spare: u32) -> Result<RetryQueue, BrokerError> {
        // Whoever finds a queue that another has just declared must know how young it is.
        let _alone = self.declaring.lock().await;
        let live = self.link.now()?;
        let link = self.link.clone();
        let declaring = Box::pin(self.declare_retry_on(&live, pause, spare));
        let declared = link.while_lasts(&live, declaring).await;
        let ready = declared.unwrap_or_else(|| Err(lost()))?;
        let mut retries = self.retries();
        let queue = retries.entry(pause).or_insert(RetryQueue { spare, ready });
        if queue.spare != spare || queue.ready < ready {
            *queue = RetryQueue { spare, ready };
        }
        Ok(*queue)
    }

    /// Returns when it is ready.
    async fn declare_retry_on(
        &self,
        live: &Live,
        pause: u64,
        spare: u32,
    ) -> Result<Instant, BrokerError> {
        let name = self.retry_queue(pause, spare);
        if exists(&live.channel().await?, &name).await? {
            return Ok(Instant::now());
        }
        let channel = live.channel().await?;
        let after = Duration::from_millis(pause);
        declare_retry(&channel, &name, &self.queue.name, after).await?;
        Ok(Instant::now() + AFTER_DECLARING)
    }
}

/// A pause in ms with two digits that count, rounded up: each has a queue of its own, so there must
/// not be too many of them.
fn rounded(pause: Duration) -> u64 {
    let pause = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
    let mut unit = 1;
    while pause / unit >= 100 {
        unit *= 10;
    }
    pause.div_ceil(unit).saturating_mul(unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_are_few() {
        let rounded = |ms| rounded(Duration::from_millis(ms));
        let pauses = [0, 7, 99, 101, 1_000, 1_234, 60_000];
        assert_eq!(pauses.map(rounded), [0, 7, 99, 110, 1_000, 1_300, 60_000]);
        assert!(rounded(u64::MAX) >= u64::MAX / 10 * 10);
    }
}
