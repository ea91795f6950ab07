//! Events on their way out, over one connection.

use std::time::Duration;

use async_nats::Client;
use async_nats::jetstream::context::{PublishAckFuture, PublishError, PublishErrorKind};
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::{Context, ContextBuilder};
use bytes::Bytes;
use fanfare::broker::{BrokerError, BrokerErrorKind, Published};
use fanfare::{Channel, Epoch, Event, Guarantee, Position};
use tokio::sync::{mpsc, oneshot, watch};

use super::unavailable;
use crate::fan_out::nats::{Session, chain};

/// Events that may wait to be written. A node has fewer under way at a time.
const QUEUE: usize = 16_384;
/// How long the stream may take to acknowledge an event.
const ACKNOWLEDGED: Duration = Duration::from_secs(5);
/// How long writing out may take at the end.
const FLUSH: Duration = Duration::from_secs(1);

/// One connection's way for events, in the order in which they are sent.
#[derive(Debug)]
pub(super) struct Line {
    queue: mpsc::Sender<Outgoing>,
    ends: watch::Receiver<bool>,
    identity: String,
    client: Client,
}

#[derive(Debug)]
struct Outgoing {
    subject: String,
    frame: Bytes,
    answer: oneshot::Sender<Result<Handed, BrokerError>>,
    in_log: bool,
}

/// What became of an event that was written.
#[derive(Debug)]
enum Handed {
    /// It lives in no log, and that was all.
    Live,
    /// The stream will acknowledge it.
    Logged(PublishAckFuture),
}

impl Line {
    /// Begins to write. `identity` is that of the log.
    pub(super) fn open(session: &Session, identity: String) -> Self {
        let (queue, outgoing) = mpsc::channel(QUEUE);
        let context = context(&session.client);
        tokio::spawn(write(outgoing, context, session.ends()));
        Self {
            queue,
            ends: session.ends(),
            identity,
            client: session.client.clone(),
        }
    }

    pub(super) fn is_up(&self) -> bool {
        !*self.ends.borrow()
    }

    /// Puts an event behind all that were sent before.
    pub(super) fn send(&self, cluster: &str, event: &Event) -> Result<Sent, BrokerError> {
        let in_log = event.guarantee() != Guarantee::Ephemeral && !event.channel().is_of_nodes();
        let (answer, handed) = oneshot::channel();
        let outgoing = Outgoing {
            subject: subject(cluster, event.channel(), in_log),
            frame: event.encode(),
            answer,
            in_log,
        };
        match self.queue.try_send(outgoing) {
            Ok(()) => Ok(Sent {
                handed,
                ends: self.ends.clone(),
                identity: self.identity.clone(),
            }),
            Err(mpsc::error::TrySendError::Full(_)) => Err(unavailable(
                "NATS does not take in events as fast as they are published",
            )),
            Err(mpsc::error::TrySendError::Closed(_)) => Err(lost()),
        }
    }

    /// Waits a moment until all that was handed to the client has left it.
    pub(super) async fn flush(&self) {
        let _ = tokio::time::timeout(FLUSH, self.client.flush()).await;
    }
}

/// The stream's functions over a connection.
pub(super) fn context(client: &Client) -> Context {
    ContextBuilder::new()
        .timeout(ACKNOWLEDGED)
        .ack_timeout(ACKNOWLEDGED)
        // The queue is what bounds them.
        .max_ack_inflight(usize::from(u16::MAX) * 16)
        .backpressure_on_inflight(true)
        .build(client.clone())
}

fn subject(cluster: &str, channel: &Channel, in_log: bool) -> String {
    let kind = if in_log { "e" } else { "l" };
    format!("{cluster}.{kind}.{channel}")
}

async fn write(
    mut outgoing: mpsc::Receiver<Outgoing>,
    context: Context,
    mut ends: watch::Receiver<bool>,
) {
    let client = context.client();
    let write_all = async {
        while let Some(event) = outgoing.recv().await {
            let handed = if event.in_log {
                let message = PublishMessage::build().payload(event.frame);
                let sent = context.send_publish(event.subject, message).await;
                sent.map(Handed::Logged).map_err(|error| failed(&error))
            } else {
                let sent = client.publish(event.subject, event.frame).await;
                sent.map(|()| Handed::Live)
                    .map_err(|error| unavailable(chain(&error)))
            };
            // Whoever asked may not wait for the answer.
            let _ = event.answer.send(handed);
        }
    };
    tokio::select! {
        () = write_all => {}
        _ = ends.wait_for(|ended| *ended) => {}
    }
}

/// An event that was sent, and is not accepted yet.
#[derive(Debug)]
pub(super) struct Sent {
    handed: oneshot::Receiver<Result<Handed, BrokerError>>,
    ends: watch::Receiver<bool>,
    identity: String,
}

impl Sent {
    /// Resolves when the stream has it for good, or the connection is lost.
    pub(super) async fn accepted(mut self, event: &Event) -> Result<Published, BrokerError> {
        let accepted = async {
            match self.handed.await {
                Ok(Ok(Handed::Live)) => Ok(None),
                Ok(Ok(Handed::Logged(acknowledged))) => match acknowledged.await {
                    Ok(acknowledged) => Ok(Some(acknowledged.sequence)),
                    Err(error) => Err(failed(&error)),
                },
                Ok(Err(error)) => Err(error),
                Err(_) => Err(lost()),
            }
        };
        let accepted = tokio::select! {
            biased;
            accepted = tokio::time::timeout(ACKNOWLEDGED, accepted) => accepted,
            _ = self.ends.wait_for(|ended| *ended) => return Err(lost()),
        };
        let late = |_| unavailable("NATS did not acknowledge an event in time");
        let offset = accepted.map_err(late)??;
        Ok(Published {
            position: offset.map(|offset| Position {
                epoch: Epoch::of_log(&self.identity, event.channel()),
                offset,
            }),
        })
    }
}

fn failed(error: &PublishError) -> BrokerError {
    let kind = match error.kind() {
        PublishErrorKind::MaxPayloadExceeded => BrokerErrorKind::Rejected,
        _ => BrokerErrorKind::Unavailable,
    };
    BrokerError::new(kind, chain(error))
}

fn lost() -> BrokerError {
    unavailable("the connection to NATS was lost; the event may have been accepted")
}
