//! Counting events.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use fanfare_brokers::services::{Handler, HandlerError, Work};
use serde::Serialize;

use super::{Message, RecentIds};

const REMEMBERED: usize = 100_000;

/// Counts events by type and by user, since it was made. A team would have its database count; these
/// are in memory, about 100 bytes a user. Cloning gives another handle of the same counts.
#[derive(Clone, Debug)]
pub struct Analytics(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    counts: Counts,
    recent: RecentIds,
}

/// What was counted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Events by type.
    pub events: BTreeMap<String, u64>,
    /// Events by user.
    pub users: BTreeMap<String, u64>,
}

impl Analytics {
    /// What was counted so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.counts.clone()
    }
}

impl Default for Analytics {
    fn default() -> Self {
        let state = State {
            counts: Counts::default(),
            recent: RecentIds::new(REMEMBERED),
        };
        Self(Arc::new(Mutex::new(state)))
    }
}

impl Handler for Analytics {
    async fn handle(&self, work: Work) -> Result<(), HandlerError> {
        let message = Message::read(&work.record)?;
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if state.recent.insert(&work.record.id) {
            let user = message.user();
            *state.counts.events.entry(message.event_type).or_default() += 1;
            *state.counts.users.entry(user).or_default() += 1;
        }
        Ok(())
    }
}
