//! What has changed here and the other nodes have not been told.

use std::sync::Arc;
use std::time::SystemTime;

use tokio::sync::Notify;
use uuid::Uuid;

use super::message::{Change, Changes};
use crate::channel::Channel;
use crate::sync::Mutex;

/// Changes in order. Empty where nobody would be told.
#[derive(Debug, Default)]
pub(crate) struct Gossip {
    state: Mutex<State>,
    more: Notify,
}

#[derive(Debug, Default)]
struct State {
    changes: Vec<Change>,
    /// Messages with changes so far.
    number: u64,
}

impl Gossip {
    pub(crate) fn joined(&self, channel: &Channel, client: Uuid, user: &Arc<str>) {
        self.add(Change::Joined {
            channel: channel.clone(),
            client,
            user: user.to_string(),
        });
    }

    pub(crate) fn left(&self, channel: &Channel, client: Uuid) {
        self.add(Change::Left {
            channel: channel.clone(),
            client,
        });
    }

    pub(crate) fn connected(&self, user: &str, client: Uuid, at: SystemTime) {
        self.add(Change::Connected {
            user: user.to_owned(),
            client,
            at: millis(at),
        });
    }

    pub(crate) fn disconnected(&self, user: &str, client: Uuid) {
        self.add(Change::Disconnected {
            user: user.to_owned(),
            client,
        });
    }

    fn add(&self, change: Change) {
        self.state.lock().changes.push(change);
        self.more.notify_one();
    }

    /// The number of the last message with changes.
    pub(super) fn number(&self) -> u64 {
        self.state.lock().number
    }

    /// The next message, of at most `limit` changes.
    pub(super) fn take(&self, limit: usize) -> Option<Changes> {
        let mut state = self.state.lock();
        if state.changes.is_empty() {
            return None;
        }
        let count = state.changes.len().min(limit);
        let rest = state.changes.split_off(count);
        let changes = std::mem::replace(&mut state.changes, rest);
        state.number += 1;
        Some(Changes {
            number: state.number,
            changes,
        })
    }

    pub(super) async fn changed(&self) {
        self.more.notified().await;
    }
}

pub(crate) fn millis(at: SystemTime) -> u64 {
    let since = at.duration_since(SystemTime::UNIX_EPOCH);
    u64::try_from(since.unwrap_or_default().as_millis()).unwrap_or(u64::MAX)
}
