//! Publishing: in order, many at a time, confirmed.

use std::time::Duration;

use bytes::Bytes;
use fanfare::broker::Published;
use fanfare::{BrokerError, Event, Position};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::types::ShortString;
use lapin::{BasicProperties, Channel, Confirmation};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, timeout, timeout_at};

use super::connection::{Failure, Session, answer, name};
use super::publication::{CONFIRM, Publication};
use super::stream::{Names, Shared, is_kept, lock, unavailable};

/// How many may be under way. They wait in the client library's buffers.
const UNDER_WAY: usize = 4_096;
/// How long a publication waits until this node has read it, to know its position.
const PLACE: Duration = Duration::from_secs(1);

/// An event on its way.
#[derive(Debug)]
pub(super) struct Order {
    routing_key: ShortString,
    frame: Bytes,
    is_kept: bool,
    stamp: Option<(u64, u64)>,
    answer: oneshot::Sender<Result<Published, BrokerError>>,
}

impl Order {
    pub(super) fn new(
        event: &Event,
        answer: oneshot::Sender<Result<Published, BrokerError>>,
    ) -> Self {
        Self {
            routing_key: name(event.channel().as_str()),
            frame: event.encode(),
            is_kept: is_kept(event),
            stamp: event.stamp().map(|stamp| (stamp.origin, stamp.number)),
            answer,
        }
    }
}

/// The two ways out of a node.
pub(super) struct Writer {
    events: ShortString,
    live: ShortString,
    /// Confirms.
    log: Channel,
    direct: Channel,
}

impl Writer {
    pub(super) async fn open(session: &Session, names: &Names) -> Result<Self, Failure> {
        let log = session.channel().await?;
        let confirmed = log.confirm_select(ConfirmSelectOptions::default());
        answer("asking for confirms", confirmed).await?;
        Ok(Self {
            events: name(&names.events),
            live: name(&names.live),
            log,
            direct: session.channel().await?,
        })
    }

    /// Sends what is ordered, until the connection fails; or, once `stop` says so, until all of it is
    /// confirmed.
    pub(super) async fn run(
        &self,
        shared: &Shared,
        orders: &mut mpsc::Receiver<Order>,
        stop: &watch::Receiver<bool>,
    ) -> Result<(), Failure> {
        let mut stop = stop.clone();
        let mut under_way = FuturesUnordered::new();
        loop {
            let stopping = *stop.borrow_and_update();
            if stopping && under_way.is_empty() && orders.is_empty() {
                return Ok(());
            }
            tokio::select! {
                biased;
                Some(seen) = under_way.next() => seen?,
                Some(order) = orders.recv(), if under_way.len() < UNDER_WAY => {
                    let begun = self.begin(order, shared).await;
                    under_way.push(begun);
                }
                changed = stop.changed(), if !stopping => if changed.is_err() {
                    return Ok(());
                },
            }
        }
    }

    /// Hands an event to the client library; the future that is returned sees it through.
    async fn begin<'a>(
        &'a self,
        order: Order,
        shared: &'a Shared,
    ) -> impl Future<Output = Result<(), Failure>> + use<'a> {
        let (channel, exchange) = if order.is_kept {
            (&self.log, &self.events)
        } else {
            (&self.direct, &self.live)
        };
        let Order {
            routing_key,
            frame,
            is_kept,
            stamp,
            answer,
        } = order;
        let options = BasicPublishOptions {
            mandatory: is_kept,
            ..BasicPublishOptions::default()
        };
        let mode = if is_kept { 2 } else { 1 };
        let properties = BasicProperties::default().with_delivery_mode(mode);
        let exchange = exchange.clone();
        // Before it can be read.
        let place = stamp.filter(|_| is_kept).map(|stamp| {
            let (sender, place) = oneshot::channel();
            lock(&shared.awaited).insert(stamp, sender);
            (stamp, place)
        });
        let publication =
            Publication::hand_over(channel, (exchange, routing_key), options, properties, frame);
        let publication = publication.await;
        let deadline = Instant::now() + CONFIRM;
        async move {
            let confirmed = timeout_at(deadline, confirmed(publication, is_kept)).await;
            let confirmed = confirmed.unwrap_or_else(|_| {
                Err(Failure::away(
                    "the server takes in nothing, and says nothing",
                ))
            })?;
            if !confirmed {
                let _ = answer.send(Err(unavailable("the server could not keep the event")));
                return Ok(());
            }
            let position = match place {
                Some((stamp, place)) => placed(shared, stamp, place).await,
                None => None,
            };
            // Whoever does not wait any more does not need to know.
            let _ = answer.send(Ok(Published { position }));
            Ok(())
        }
    }
}

/// Whether the server has taken a publication. One that is in no log has been written, no more.
async fn confirmed(publication: Publication, is_kept: bool) -> Result<bool, Failure> {
    let failed = |error: lapin::Error| Failure::of("publishing failed", &error);
    let confirm = publication.written().await.map_err(failed)?;
    if !is_kept {
        return Ok(true);
    }
    match confirm.await.map_err(failed)? {
        Confirmation::Ack(None) => Ok(true),
        Confirmation::Nack(None) => Ok(false),
        // It came back because no log is bound to the exchange. The library cannot tell which of those
        // that were confirmed at once it was, so none of what is under way counts as sent; one that
        // it was taken for is still under way, because it waits for its place.
        _ => Err(Failure::away("the log is gone")),
    }
}

/// Where this node's reader has met a publication, if it does so in time.
async fn placed(
    shared: &Shared,
    stamp: (u64, u64),
    place: oneshot::Receiver<Option<Position>>,
) -> Option<Position> {
    match timeout(PLACE, place).await {
        Ok(place) => place.ok().flatten(),
        Err(_) => {
            lock(&shared.awaited).remove(&stamp);
            None
        }
    }
}
