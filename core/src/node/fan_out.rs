//! Events on their way to the broker between nodes.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::timeout;

use crate::BoxFuture;
use crate::broker::{Broker, BrokerError, BrokerErrorKind, Published};
use crate::dispatch::Carrier;
use crate::event::{Event, Guarantee, Stamp};
use crate::hub::Hub;

/// A broker must say within this whether it has an event; it is believed to be away after it.
const ANSWER: Duration = Duration::from_secs(12);

/// The broker, as dispatch uses it.
#[derive(Debug)]
pub(super) struct FanOut {
    pub(super) broker: Arc<dyn Broker>,
    pub(super) hub: Arc<Hub>,
}

impl Carrier for FanOut {
    type Item = Event;
    type Pass = ();

    const NAME: &'static str = "the broker";
    const PATIENCE: Duration = Duration::from_secs(5);

    fn carry(
        self: Arc<Self>,
        (): &mut (),
        event: Event,
    ) -> BoxFuture<'static, Result<Published, BrokerError>> {
        Box::pin(async move {
            let published = timeout(ANSWER, self.broker.publish(event)).await;
            published.unwrap_or_else(|_| {
                let kind = BrokerErrorKind::Unavailable;
                Err(BrokerError::new(kind, "the broker does not answer"))
            })
        })
    }

    fn is_up(&self) -> bool {
        self.broker.is_up()
    }

    fn stamp(&self, event: &Event, stamp: Stamp) -> Event {
        event.clone().stamped(stamp)
    }

    fn void(&self, event: &Event) -> Option<Event> {
        Some(event.void())
    }

    fn encode(&self, event: &Event) -> Bytes {
        event.encode()
    }

    fn decode(&self, frame: Bytes) -> Option<Event> {
        Event::decode(frame).ok()
    }

    fn make_do(&self, event: &Event) -> Option<Result<Published, BrokerError>> {
        if event.guarantee() == Guarantee::AtLeastOnce {
            return None;
        }
        if self.hub.shared.ledger.is_log() {
            let away = "the broker is away, and only it numbers events";
            return Some(Err(BrokerError::new(BrokerErrorKind::Unavailable, away)));
        }
        let delivered = self.hub.accept(event.clone(), None);
        Some(Ok(Published {
            position: delivered.position,
        }))
    }

    fn weight(&self, event: &Event) -> usize {
        event.payload().len()
    }
}
