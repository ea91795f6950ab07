//! When which channel has to flush.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::sync::{Arc, Weak};

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use super::Shared;
use super::channel::Channel;
use crate::sync::Mutex;

/// The deadlines of all channels that hold events back.
///
/// An entry is a reminder to look, not a promise that there is something to do: a channel that has
/// flushed meanwhile is looked at in vain, which is cheaper than finding its entry to remove it.
#[derive(Debug, Default)]
pub(crate) struct Deadlines {
    heap: Mutex<BinaryHeap<Deadline>>,
    earlier: Notify,
}

#[derive(Debug)]
struct Deadline {
    at: Instant,
    channel: Weak<Channel>,
}

impl Deadlines {
    pub(crate) fn add(&self, at: Instant, channel: &Arc<Channel>) {
        let mut heap = self.heap.lock();
        let first = heap.peek().is_none_or(|first| at < first.at);
        heap.push(Deadline {
            at,
            channel: Arc::downgrade(channel),
        });
        drop(heap);
        if first {
            self.earlier.notify_one();
        }
    }

    /// Reminds channels, for as long as the node lives.
    pub(crate) async fn run(&self, shared: &Arc<Shared>) {
        loop {
            let next = self.remind(shared);
            match next {
                Some(at) => {
                    tokio::select! {
                        () = sleep_until(at) => {}
                        () = self.earlier.notified() => {}
                    }
                }
                None => self.earlier.notified().await,
            }
        }
    }

    /// Reminds every channel whose time has come, and says when the next comes.
    fn remind(&self, shared: &Arc<Shared>) -> Option<Instant> {
        let now = Instant::now();
        loop {
            let mut heap = self.heap.lock();
            let at = heap.peek()?.at;
            if at > now {
                return Some(at);
            }
            let channel = heap.pop().and_then(|deadline| deadline.channel.upgrade());
            drop(heap);
            if let Some(channel) = channel {
                channel.flush_if_due(shared);
            }
        }
    }
}

impl Ord for Deadline {
    /// The earliest is the greatest: a `BinaryHeap` gives the greatest first.
    fn cmp(&self, other: &Self) -> Ordering {
        other.at.cmp(&self.at)
    }
}

impl PartialOrd for Deadline {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Deadline {
    fn eq(&self, other: &Self) -> bool {
        self.at == other.at
    }
}

impl Eq for Deadline {}
