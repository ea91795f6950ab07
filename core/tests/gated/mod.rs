//! A history whose commits are let through by hand.

#![allow(dead_code, reason = "each suite uses its part")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use fanfare::history::memory::Memory;
use fanfare::history::{Appended, HistoryError, Page, Receipt, Retention};
use fanfare::{BoxFuture, Channel, Event, HistoryStore, Position};
use tokio::sync::watch;

#[derive(Clone, Debug, Default)]
pub(crate) struct Gated(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    memory: Memory,
    appended: AtomicU64,
    reads_that_fail: AtomicU64,
    gate: watch::Sender<Gate>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Gate {
    safe: u64,
    failed: bool,
}

impl Gated {
    /// Events that have been appended so far; the ticket of the newest.
    pub(crate) fn appended(&self) -> u64 {
        self.0.appended.load(Ordering::SeqCst)
    }

    /// Makes everything safe up to a ticket.
    pub(crate) fn commit(&self, ticket: u64) {
        let ticket = ticket.min(self.appended());
        self.0
            .gate
            .send_modify(|gate| gate.safe = gate.safe.max(ticket));
    }

    pub(crate) fn commit_all(&self) {
        self.commit(u64::MAX);
    }

    /// Loses what is not safe.
    pub(crate) fn fail(&self) {
        self.0.gate.send_modify(|gate| gate.failed = true);
    }

    /// Has the next reads fail.
    pub(crate) fn fail_reads(&self, reads: u64) {
        self.0.reads_that_fail.store(reads, Ordering::SeqCst);
    }
}

impl HistoryStore for Gated {
    fn append(&self, event: Event, retention: &Retention) -> Appended {
        let appended = self.0.memory.append(event, retention);
        Appended {
            ticket: self.0.appended.fetch_add(1, Ordering::SeqCst) + 1,
            ..appended
        }
    }

    fn top(&self, channel: &Channel) -> Position {
        self.0.memory.top(channel)
    }

    fn read(
        &self,
        channel: &Channel,
        after: u64,
        up_to: u64,
        limit: usize,
    ) -> BoxFuture<'_, Result<Page, HistoryError>> {
        let fail = |left: u64| left.checked_sub(1);
        let reads = &self.0.reads_that_fail;
        if reads
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, fail)
            .is_ok()
        {
            return Box::pin(std::future::ready(Err(HistoryError::new("a bad sector"))));
        }
        self.0.memory.read(channel, after, up_to, limit)
    }

    fn safe(&self) -> u64 {
        self.0.gate.borrow().safe
    }

    fn committed(&self, ticket: u64) -> BoxFuture<'_, Result<(), HistoryError>> {
        let mut gate = self.0.gate.subscribe();
        Box::pin(async move {
            let settled = |gate: &Gate| gate.failed || gate.safe >= ticket;
            let gate = *gate.wait_for(settled).await.map_err(HistoryError::new)?;
            if gate.safe >= ticket {
                Ok(())
            } else {
                Err(HistoryError::new("the disk is gone"))
            }
        })
    }

    fn is_up(&self) -> bool {
        !self.0.gate.borrow().failed
    }

    fn note_receipt(&self, channel: &Channel, receipt: Receipt) {
        self.0.memory.note_receipt(channel, receipt);
    }

    fn receipt(&self, channel: &Channel) -> Option<Receipt> {
        self.0.memory.receipt(channel)
    }

    fn expire(&self) {
        self.0.memory.expire();
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }
}
