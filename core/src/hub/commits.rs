//! Channels that wait until history has their events for good.

use std::sync::{Arc, Weak};

use tokio::sync::Notify;
use tracing::error;

use super::Shared;
use super::channel::Channel;
use crate::sync::Mutex;

/// The channels whose next flush waits for a commit of the store.
#[derive(Debug, Default)]
pub(crate) struct Commits {
    waiting: Mutex<Vec<(u64, Weak<Channel>)>>,
    more: Notify,
}

impl Commits {
    /// Has a channel told when `ticket` is safe.
    pub(crate) fn add(&self, ticket: u64, channel: &Arc<Channel>) {
        self.waiting.lock().push((ticket, Arc::downgrade(channel)));
        self.more.notify_one();
    }

    /// Tells channels, for as long as the node lives and its store works.
    pub(crate) async fn run(&self, shared: &Arc<Shared>) {
        loop {
            let first = self.waiting.lock().iter().map(|(ticket, _)| *ticket).min();
            let Some(first) = first else {
                self.more.notified().await;
                continue;
            };
            if let Err(problem) = shared.ledger.committed(first).await {
                // What waits is never shown: its publishers were told that it was not accepted.
                error!(
                    error = &problem as &dyn std::error::Error,
                    "history has failed; nothing is published until the process is started anew"
                );
                let waiting = std::mem::take(&mut *self.waiting.lock());
                for channel in waiting.iter().filter_map(|(_, channel)| channel.upgrade()) {
                    channel.history_failed();
                }
                return;
            }
            // A store commits many at once.
            let safe = shared.ledger.safe();
            let mut came = Vec::new();
            self.waiting.lock().retain(|(ticket, channel)| {
                let waits = *ticket > safe;
                if !waits {
                    came.push(channel.clone());
                }
                waits
            });
            for channel in came.iter().filter_map(Weak::upgrade) {
                channel.commit_came(shared);
            }
        }
    }
}
