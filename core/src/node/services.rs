//! The way of events to the topics that backend services read.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;
use tracing::warn;

use super::topics::{ANSWER, Topics};
use crate::broker::{BrokerError, BrokerErrorKind, Published, Spill};
use crate::channel::LANES;
use crate::dispatch::{Dispatch, Room};
use crate::error::{Error, ErrorKind};
use crate::event::{Event, ForServices, Guarantee};
use crate::metrics;
use crate::sink::{Record, Sink, SinkStatus};
use crate::sync::{Guard, Mutex};

/// What a record weighs beside its payload and its names, at most.
const FRAME: u64 = 128;
/// How long a sink may take to disconnect.
const GOODBYE: Duration = Duration::from_secs(5);

/// A node's sink, and the lanes to it.
#[derive(Debug)]
pub(super) struct Services {
    topics: Arc<Topics>,
    dispatch: Dispatch<Topics>,
    spill: Option<Arc<dyn Spill>>,
    turns: [Mutex<()>; LANES],
}

/// Leave to hand the records of some events to their lanes.
#[derive(Default)]
pub(super) struct Admission(BTreeMap<usize, Room>);

/// What an event has for services. Whatever is live only is not for them.
pub(super) fn of(event: &Event) -> Option<&ForServices> {
    let services = event.services();
    services.filter(|_| event.guarantee() != Guarantee::Ephemeral)
}

impl Services {
    /// Starts the lanes on the current runtime, with what an earlier life left in the spill.
    pub(super) fn start(sink: Arc<dyn Sink>, spill: Option<Arc<dyn Spill>>) -> Self {
        let topics = Arc::new(Topics {
            sink,
            metrics: metrics::Topics::new(),
        });
        let services = Self {
            dispatch: Dispatch::start(topics.clone(), spill.as_ref()),
            topics,
            spill,
            turns: Default::default(),
        };
        services.look_after();
        services
    }

    /// Whether the records of these events may be taken in; none where they have no records.
    ///
    /// Asked before any of them goes out, so that clients do not get what its publisher is told to
    /// repeat.
    pub(super) fn admit(&self, events: &[Event]) -> Result<Option<Admission>, Error> {
        let mut weights = BTreeMap::<usize, Vec<usize>>::new();
        let mut bytes = 0;
        for event in events {
            let Some(services) = of(event) else { continue };
            let lane = weights.entry(event.channel().lane()).or_default();
            for topic in services.topics {
                let weight = weight(event, services, topic);
                bytes += weight as u64 + FRAME;
                lane.push(weight);
            }
        }
        if weights.is_empty() {
            return Ok(None);
        }
        let kept = self.spill.as_ref().map_or(0, |spill| spill.room());
        if kept < bytes && !self.is_up() {
            return Err(not_available());
        }
        let mut admission = Admission::default();
        for (lane, weights) in weights {
            let room = self.dispatch.try_room(lane, weights.into_iter());
            // It is there and slow: clients do not wait for it.
            let room = room.ok_or_else(|| not_available().retry_after(Duration::from_secs(1)))?;
            admission.0.insert(lane, room);
        }
        Ok(Some(admission))
    }

    /// Held while an event is handed to its clients and to its topics, so that those have the events of
    /// a channel in its order.
    pub(super) fn turn(&self, event: &Event) -> Guard<'_, ()> {
        self.turns[event.channel().lane()].lock()
    }

    /// Hands the records of an event over at once; the futures say what became of them.
    pub(super) fn send(
        &self,
        event: &Event,
        services: &ForServices,
        admission: &mut Admission,
    ) -> Vec<impl Future<Output = Result<Published, BrokerError>> + Send + use<>> {
        let lane = event.channel().lane();
        let Some(room) = admission.0.get_mut(&lane) else {
            return Vec::new();
        };
        let payload = services.payload.as_ref().unwrap_or(event.payload());
        let records = services.topics.iter().map(|topic| {
            let record = Arc::new(Record {
                topic: (*topic).to_owned(),
                key: event.channel().as_str().to_owned(),
                id: services.id.clone(),
                payload: payload.clone(),
            });
            let room = room.part(weight(event, services, topic));
            self.dispatch.send(lane, record, room)
        });
        records.collect()
    }

    pub(super) fn is_up(&self) -> bool {
        self.dispatch.is_up()
    }

    pub(super) fn status(&self) -> SinkStatus {
        SinkStatus {
            name: self.topics.sink.name(),
            is_up: self.is_up(),
            spilled: self.spill.as_ref().map_or(0, |spill| spill.len()),
        }
    }

    /// Brings the gauges up to date.
    pub(super) fn look_after(&self) {
        let status = self.status();
        let metrics = &self.topics.metrics;
        metrics.up.set(if status.is_up { 1.0 } else { 0.0 });
        metrics.spilled.set(status.spilled as f64);
    }

    /// Lets what is under way come, if it does soon, and disconnects. What is on disk stays there.
    pub(super) async fn shutdown(&self) {
        let settled = timeout(ANSWER, self.dispatch.settled()).await;
        self.dispatch.stop();
        if settled.is_err() {
            warn!("some records for the service topics did not come in time");
        }
        if timeout(GOODBYE, self.topics.sink.shutdown()).await.is_err() {
            warn!("the server of the service topics does not answer");
        }
    }
}

/// What a publisher is told of a record that was not taken.
pub(super) fn not_written(error: &BrokerError) -> Error {
    match error.kind() {
        BrokerErrorKind::Unavailable => not_available(),
        BrokerErrorKind::Rejected => Error::new(
            ErrorKind::Internal,
            "a service topic refused the event; clients may have got it",
        ),
    }
}

fn not_available() -> Error {
    Error::new(
        ErrorKind::Unavailable,
        "the service topics are not available",
    )
    .retry_after(Duration::from_secs(5))
}

fn weight(event: &Event, services: &ForServices, topic: &str) -> usize {
    let payload = services.payload.as_ref().unwrap_or(event.payload());
    topic.len() + event.channel().as_str().len() + services.id.len() + payload.len()
}
