//! Publishing: in order, mandatory, confirmed.

use std::collections::HashMap;
use std::time::Duration;

use bytes::Bytes;
use fanfare::{BrokerError, BrokerErrorKind};
use lapin::options::BasicPublishOptions;
use lapin::types::ShortString;
use lapin::{BasicProperties, Channel, Confirmation, PublisherConfirm};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout_at};

use super::connection::{Link, Live};
use super::error::{failed, rejected, unavailable};

/// How many publications may wait for their turn. Further ones are refused.
const WAITING: usize = 16_384;
/// How many are under way at a time.
const BATCH: usize = 512;
/// How long the server may take to confirm. It takes its time while its disk is full.
const CONFIRM_WITHIN: Duration = Duration::from_secs(10);

/// Where to publish what.
#[derive(Debug)]
pub(super) struct Publication {
    pub(super) exchange: ShortString,
    pub(super) routing_key: ShortString,
    /// With a message id, by which a publication is known where it comes back.
    pub(super) properties: BasicProperties,
    pub(super) payload: Bytes,
}

/// The way to the task that publishes.
#[derive(Clone, Debug)]
pub(super) struct Publisher(mpsc::Sender<Job>);

#[derive(Debug)]
enum Job {
    Publish(Box<Publication>, oneshot::Sender<Result<(), BrokerError>>),
    /// Answered after everything that came before.
    Flush(oneshot::Sender<()>),
}

impl Publisher {
    /// A publisher, and the task that does it; ends with the last publisher.
    pub(super) fn new(link: Link) -> (Self, impl Future<Output = ()> + Send + use<>) {
        let (sender, receiver) = mpsc::channel(WAITING);
        (Self(sender), publish_all(receiver, link))
    }

    /// Publishes, in the order of the calls, and resolves once the server has it in a queue.
    pub(super) fn publish(
        &self,
        publication: Publication,
    ) -> impl Future<Output = Result<(), BrokerError>> + Send + use<> {
        let (answer, answered) = oneshot::channel();
        let queued = self.0.try_send(Job::Publish(Box::new(publication), answer));
        async move {
            queued.map_err(|_| unavailable("too many publications wait for the server"))?;
            let dropped = |_| unavailable("the engine was shut down");
            answered.await.map_err(dropped)?
        }
    }

    /// Resolves once everything that was published before has its answer.
    pub(super) async fn flush(&self) {
        let (answer, answered) = oneshot::channel();
        if self.0.send(Job::Flush(answer)).await.is_ok() {
            let _ = answered.await;
        }
    }
}

/// Publishes in batches: those that gather while a batch waits for its confirms are the next one.
///
/// The client library hands a message that came back to any of the publications that the server
/// confirmed with it. Only at the end of a batch is it certain which of them it was, so all of a
/// batch have their answers then.
async fn publish_all(mut jobs: mpsc::Receiver<Job>, link: Link) {
    let mut channel = None;
    let mut batch = Vec::with_capacity(BATCH);
    while jobs.recv_many(&mut batch, BATCH).await > 0 {
        let (mut publications, mut answers, mut flushes) = (Vec::new(), Vec::new(), Vec::new());
        for job in batch.drain(..) {
            match job {
                Job::Publish(publication, answer) => {
                    publications.push(publication);
                    answers.push(answer);
                }
                Job::Flush(answer) => flushes.push(answer),
            }
        }
        let results = publish(&mut channel, &link, &publications).await;
        for (answer, result) in answers.into_iter().zip(results) {
            // Whoever does not wait any more does not need to know.
            let _ = answer.send(result);
        }
        for flush in flushes {
            let _ = flush.send(());
        }
    }
}

/// Publishes a batch while there is a connection.
async fn publish(
    kept: &mut Option<Channel>,
    link: &Link,
    publications: &[Box<Publication>],
) -> Vec<Result<(), BrokerError>> {
    if publications.is_empty() {
        return Vec::new();
    }
    let none = |error| publications.iter().map(|_| Err(again(error))).collect();
    let live = match link.now() {
        Ok(live) => live,
        Err(error) => return none(&error),
    };
    let publishing = Box::pin(publish_batch(kept, &live, publications));
    match link.clone().while_lasts(&live, publishing).await {
        Some(Ok(results)) => results,
        Some(Err(error)) => none(&error),
        None => none(&unavailable("the connection was lost")),
    }
}

async fn publish_batch(
    kept: &mut Option<Channel>,
    live: &Live,
    publications: &[Box<Publication>],
) -> Result<Vec<Result<(), BrokerError>>, BrokerError> {
    let channel = match kept.take() {
        Some(channel) if channel.status().connected() => channel,
        _ => live.confirming().await?,
    };
    let deadline = Instant::now() + CONFIRM_WITHIN;
    let mut under_way = Vec::with_capacity(publications.len());
    for publication in publications {
        under_way.push(send(&channel, publication, deadline).await);
    }
    let mut results = Vec::with_capacity(publications.len());
    let mut returned = HashMap::<String, usize>::new();
    for sent in under_way {
        let confirmation = match sent {
            Ok(confirm) => confirmed(confirm, deadline).await,
            Err(error) => Err(error),
        };
        results.push(confirmation.and_then(|confirmation| {
            let nacked = confirmation.is_nack();
            if let Some(message) = confirmation.take_message() {
                let id = message.properties.message_id().as_ref();
                let id = id.map_or("", ShortString::as_str);
                *returned.entry(id.to_owned()).or_default() += 1;
            }
            if nacked {
                Err(unavailable("the server could not keep what was published"))
            } else {
                Ok(())
            }
        }));
    }
    if results.iter().any(Result::is_err) {
        // A channel that broke, or that confirms nothing.
        *kept = None;
    } else {
        *kept = Some(channel);
    }
    for (publication, result) in publications.iter().zip(&mut results) {
        let id = publication.properties.message_id().as_ref();
        let Some(times) = returned.get_mut(id.map_or("", ShortString::as_str)) else {
            continue;
        };
        if *times > 0 && result.is_ok() {
            *times -= 1;
            *result = Err(rejected(format!(
                "no queue takes records with the routing key {:?} of exchange {:?}",
                publication.routing_key.as_str(),
                publication.exchange.as_str(),
            )));
        }
    }
    if let [_, _, ..] = &results[..] {
        // The server refuses a channel, not a publication, and nobody knows whose fault it was.
        for result in &mut results {
            if let Err(error) = result
                && is_refusal(error)
            {
                *result = Err(again(error));
            }
        }
    }
    Ok(results)
}

async fn send(
    channel: &Channel,
    publication: &Publication,
    deadline: Instant,
) -> Result<PublisherConfirm, BrokerError> {
    let options = BasicPublishOptions {
        mandatory: true,
        immediate: false,
    };
    let sent = channel.basic_publish(
        publication.exchange.clone(),
        publication.routing_key.clone(),
        options,
        &publication.payload,
        publication.properties.clone(),
    );
    match timeout_at(deadline, sent).await {
        Ok(sent) => sent.map_err(|error| failed("publish", error)),
        Err(_) => Err(unavailable("cannot publish: the server takes nothing")),
    }
}

async fn confirmed(
    confirm: PublisherConfirm,
    deadline: Instant,
) -> Result<Confirmation, BrokerError> {
    match timeout_at(deadline, confirm).await {
        Ok(confirmed) => confirmed.map_err(|error| failed("publish", error)),
        Err(_) => Err(unavailable(
            "the server did not confirm what was published in time",
        )),
    }
}

/// Whether the server refused the channel, rather than one publication by returning it.
fn is_refusal(error: &BrokerError) -> bool {
    let client = std::error::Error::source(error).and_then(std::error::Error::source);
    error.kind() == BrokerErrorKind::Rejected
        && client.is_some_and(|client| client.is::<lapin::Error>())
}

/// The same error, for another publication of the batch.
fn again(error: &BrokerError) -> BrokerError {
    let sentence = std::error::Error::source(error).map_or_else(String::new, ToString::to_string);
    unavailable(sentence)
}
