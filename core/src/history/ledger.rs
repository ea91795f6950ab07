//! Where a node's positions and publications come from: its own store, or the log of its broker.

use std::future::ready;
use std::sync::Arc;

use super::memory::Memory;
use super::tail::Tail;
use super::{Appended, HistoryError, HistoryStore, Page, Receipt, Retention};
use crate::BoxFuture;
use crate::broker::{Broker, Covered};
use crate::channel::Channel;
use crate::event::{Event, Guarantee, Publication};
use crate::position::Position;

/// The history of a node.
///
/// Where the broker is a log, the log numbers and keeps, the node has its newest part in memory, and
/// the store is left with receipts and what waits for the broker. So it is where the broker keeps
/// nothing: what the other nodes were sent while this one was down is nowhere, so that each life of a
/// node begins with other epochs, and numbers in memory.
#[derive(Debug)]
pub(crate) struct Ledger {
    store: Arc<dyn HistoryStore>,
    /// What numbers, where no log does.
    numbers: Arc<dyn HistoryStore>,
    tail: Option<Tail>,
}

impl Ledger {
    pub(crate) fn new(store: Arc<dyn HistoryStore>, broker: &Arc<dyn Broker>) -> Self {
        let is_log = broker.guarantees().replayable;
        let numbers: Arc<dyn HistoryStore> = if broker.is_local() {
            store.clone()
        } else {
            Arc::new(Memory::default())
        };
        Self {
            store,
            numbers,
            tail: is_log.then(|| Tail::new(broker.clone())),
        }
    }

    /// Whether positions are those of the broker's log.
    pub(crate) fn is_log(&self) -> bool {
        self.tail.is_some()
    }

    pub(crate) fn store(&self) -> &Arc<dyn HistoryStore> {
        &self.store
    }

    /// Numbers and keeps an event; an ephemeral one is only wrapped, and so is one that comes from a
    /// log without its position.
    pub(crate) fn append(
        &self,
        event: Event,
        position: Option<Position>,
        retention: &Retention,
    ) -> Appended {
        let publication = match (&self.tail, position, event.guarantee()) {
            (Some(tail), Some(position), Guarantee::AtLeastOnce | Guarantee::BestEffort) => {
                tail.append(event, position, retention)
            }
            (None, _, Guarantee::AtLeastOnce | Guarantee::BestEffort) => {
                return self.numbers.append(event, retention);
            }
            _ => Arc::new(Publication::new(event, None)),
        };
        Appended {
            publication,
            ticket: 0,
        }
    }

    pub(crate) fn top(&self, channel: &Channel) -> Position {
        match &self.tail {
            Some(tail) => tail.top(channel),
            None => self.numbers.top(channel),
        }
    }

    /// How far the log has been taken in; none where the node numbers.
    pub(crate) fn covered(&self, channel: &Channel) -> Option<Covered> {
        self.tail.as_ref().map(|tail| tail.covered(channel))
    }

    pub(crate) fn read(
        &self,
        channel: &Channel,
        after: u64,
        up_to: u64,
        limit: usize,
    ) -> BoxFuture<'_, Result<Page, HistoryError>> {
        match &self.tail {
            Some(tail) => Box::pin(ready(Ok(tail.read(channel, after, up_to, limit)))),
            None => self.numbers.read(channel, after, up_to, limit),
        }
    }

    pub(crate) fn safe(&self) -> u64 {
        match &self.tail {
            // What comes from a log is in it for good.
            Some(_) => u64::MAX,
            None => self.numbers.safe(),
        }
    }

    pub(crate) fn committed(&self, ticket: u64) -> BoxFuture<'_, Result<(), HistoryError>> {
        self.numbers.committed(ticket)
    }

    pub(crate) fn is_up(&self) -> bool {
        self.numbers.is_up()
    }

    pub(crate) fn note_receipt(&self, channel: &Channel, receipt: Receipt) {
        self.store.note_receipt(channel, receipt);
    }

    pub(crate) fn receipt(&self, channel: &Channel) -> Option<Receipt> {
        self.store.receipt(channel)
    }

    pub(crate) fn expire(&self) {
        self.store.expire();
        if !Arc::ptr_eq(&self.store, &self.numbers) {
            self.numbers.expire();
        }
        if let Some(tail) = &self.tail {
            tail.expire();
        }
    }
}
