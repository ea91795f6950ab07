//! The one entry to delivery.

use std::sync::{Arc, Weak};

use crate::event::{Event, Position};
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

    /// Numbers and keeps an event and hands it to this node's subscribers by its deadline. Gives
    /// its position; none if it is ephemeral or the node is gone.
    ///
    /// Does not wait; takes well under a microsecond and two locks.
    pub fn deliver(&self, event: Event) -> Option<Position> {
        self.hub.upgrade()?.accept(event)
    }
}
