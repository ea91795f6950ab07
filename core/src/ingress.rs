//! The one entry to delivery.

use std::sync::{Arc, Weak};

use crate::broker::{BrokerError, BrokerErrorKind};
use crate::event::{Event, Guarantee};
use crate::history::Appended;
use crate::hub::Hub;
use crate::hub::turns::Turn;
use crate::position::Position;

/// Where a [`Broker`](crate::Broker) hands over what it carries to this node.
///
/// Local and remote events enter here alike. Numbering, history and the channel's waiting events
/// change together under the channel's lock, so that a subscriber's history and its live events meet
/// without gap or overlap.
#[derive(Clone, Debug)]
pub struct Ingress(Entry);

#[derive(Clone, Debug)]
enum Entry {
    Node(Weak<Hub>),
    #[cfg(feature = "testing")]
    Recorder(Arc<crate::testing::broker::Recorder>),
}

impl Ingress {
    pub(crate) fn new(hub: &Arc<Hub>) -> Self {
        Self(Entry::Node(Arc::downgrade(hub)))
    }

    /// An ingress that writes down what it is given, in place of a node.
    #[cfg(feature = "testing")]
    pub(crate) fn recording(recorder: Arc<crate::testing::broker::Recorder>) -> Self {
        Self(Entry::Recorder(recorder))
    }

    fn hub(&self) -> Option<Arc<Hub>> {
        match &self.0 {
            Entry::Node(hub) => hub.upgrade(),
            #[cfg(feature = "testing")]
            Entry::Recorder(_) => None,
        }
    }

    /// Numbers and keeps an event and hands it to this node's subscribers by its deadline; those of
    /// a store that commits later get it after that. Of a log, takes only what has no place in it:
    /// ephemeral events. One of those that has expired is dropped.
    ///
    /// Does not wait; takes well under a microsecond and two locks.
    pub fn deliver(&self, event: Event) -> Delivered {
        #[cfg(feature = "testing")]
        if let Entry::Recorder(recorder) = &self.0 {
            return recorder.deliver(event, None);
        }
        match self.hub() {
            Some(_) if event.is_void() => Delivered::NOWHERE,
            Some(hub) if event.channel().is_of_nodes() => {
                hub.hear(&event);
                Delivered::NOWHERE
            }
            Some(hub) if event.is_over() => {
                hub.shared.metrics.expired.increment(1);
                Delivered::NOWHERE
            }
            Some(hub) => hub.accept(event, None),
            None => Delivered::NOWHERE,
        }
    }

    /// Keeps an event of a log and hands it to this node's subscribers by its deadline. Called in the
    /// order of the log, for all that is in it.
    ///
    /// Of events that a node had to send again each is taken once and in its turn, by its
    /// [`Stamp`](crate::Stamp). `begins` says that the event belongs to what was in the log before
    /// this node began to read it, so that what came before may be missing.
    ///
    /// Does not wait; takes well under a microsecond and three locks.
    pub fn deliver_at(&self, event: Event, position: Position, begins: bool) -> Delivered {
        #[cfg(feature = "testing")]
        if let Entry::Recorder(recorder) = &self.0 {
            return recorder.deliver(event, Some((position, begins)));
        }
        let Some(hub) = self.hub() else {
            return Delivered::NOWHERE;
        };
        if event.guarantee() == Guarantee::Ephemeral {
            return self.deliver(event);
        }
        let turn = event.stamp().map(|stamp| hub.turns.take(stamp, begins));
        match turn {
            None | Some(Turn::Take) if event.is_void() => Delivered::NOWHERE,
            None | Some(Turn::Take) => hub.accept(event, Some(position)),
            Some(Turn::Copy) => {
                hub.shared.metrics.broker_copies.increment(1);
                Delivered::NOWHERE
            }
            Some(Turn::Early) => Delivered::NOWHERE,
        }
    }

    /// Resolves when history has for good what was delivered: from then on it may be called
    /// accepted.
    ///
    /// Cancel safe.
    ///
    /// # Errors
    /// Of kind [`Unavailable`](BrokerErrorKind::Unavailable) where history has failed.
    pub async fn committed(&self, delivered: Delivered) -> Result<(), BrokerError> {
        if delivered.ticket == 0 {
            return Ok(());
        }
        let Some(hub) = self.hub() else {
            return Ok(());
        };
        let store = hub.shared.ledger.store().clone();
        drop(hub);
        store
            .committed(delivered.ticket)
            .await
            .map_err(|error| BrokerError::new(BrokerErrorKind::Unavailable, error))
    }
}

/// What became of an event at the [`Ingress`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct Delivered {
    /// Its position; none if it is ephemeral, a copy of one that came before, or the node is gone.
    pub position: Option<Position>,
    ticket: u64,
}

impl Delivered {
    pub(crate) const NOWHERE: Self = Self {
        position: None,
        ticket: 0,
    };

    #[cfg(feature = "testing")]
    pub(crate) fn at(position: Option<Position>) -> Self {
        Self {
            position,
            ticket: 0,
        }
    }
}

impl From<&Appended> for Delivered {
    fn from(appended: &Appended) -> Self {
        Self {
            position: appended.publication.position(),
            ticket: appended.ticket,
        }
    }
}
