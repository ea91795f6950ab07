//! Events on their way to the broker between nodes.

use std::sync::Arc;

use bytes::Bytes;

use crate::BoxFuture;
use crate::broker::{Broker, BrokerError, BrokerErrorKind, Published};
use crate::dispatch::Carrier;
use crate::event::{Event, Guarantee, Stamp};
use crate::hub::Hub;

/// The broker, as dispatch uses it.
#[derive(Debug)]
pub(super) struct FanOut {
    pub(super) broker: Arc<dyn Broker>,
    pub(super) hub: Arc<Hub>,
}

impl Carrier for FanOut {
    type Item = Event;

    fn carry(&self, event: Event) -> BoxFuture<'_, Result<Published, BrokerError>> {
        self.broker.publish(event)
    }

    fn is_up(&self) -> bool {
        self.broker.is_up()
    }

    fn stamp(&self, event: &Event, stamp: Stamp) -> Event {
        event.clone().stamped(stamp)
    }

    fn void(&self, event: &Event) -> Event {
        event.void()
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
