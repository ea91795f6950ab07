//! The one entry to delivery.

use std::sync::{Arc, Weak};

use crate::broker::{BrokerError, BrokerErrorKind};
use crate::event::{Event, Position};
use crate::history::Appended;
use crate::hub::Hub;

/// Where a [`Broker`](crate::Broker) hands over what it carries to this node.
///
/// Local and remote events enter here alike. Numbering, history and the channel's waiting events
/// change together under the channel's lock, so that a subscriber's history and its live events meet
/// without gap or overlap.
#[derive(Clone, Debug)]
pub struct Ingress {
    hub: Weak<Hub>,
}

impl Ingress {
    pub(crate) fn new(hub: &Arc<Hub>) -> Self {
        Self {
            hub: Arc::downgrade(hub),
        }
    }

    /// Numbers and keeps an event and hands it to this node's subscribers by its deadline; those of
    /// a store that commits later get it after that.
    ///
    /// Does not wait; takes well under a microsecond and two locks.
    pub fn deliver(&self, event: Event) -> Delivered {
        match self.hub.upgrade() {
            Some(hub) => hub.accept(event),
            None => Delivered {
                position: None,
                ticket: 0,
            },
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
        let Some(hub) = self.hub.upgrade() else {
            return Ok(());
        };
        let store = hub.shared.store.clone();
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
    /// Its position; none if it is ephemeral or the node is gone.
    pub position: Option<Position>,
    ticket: u64,
}

impl From<&Appended> for Delivered {
    fn from(appended: &Appended) -> Self {
        Self {
            position: appended.publication.position(),
            ticket: appended.ticket,
        }
    }
}
