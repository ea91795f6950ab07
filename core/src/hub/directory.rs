//! Connections by user.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;

use super::connection::Connection;

/// The authenticated connections of this node.
#[derive(Debug, Default)]
pub(crate) struct Directory {
    users: DashMap<Arc<str>, Vec<Arc<Connection>>>,
    total: AtomicUsize,
}

/// Why a connection was not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Full {
    /// The user has as many as a user may.
    User,
    /// The node has as many as it may.
    Node,
}

impl Directory {
    /// Adds a connection unless its user, or the node, has as many as allowed.
    pub(crate) fn admit(
        &self,
        user: &Arc<str>,
        connection: &Arc<Connection>,
        per_user: usize,
        in_total: usize,
    ) -> Result<(), Full> {
        let mut entry = self.users.entry(user.clone()).or_default();
        let result = if entry.len() >= per_user {
            Err(Full::User)
        } else {
            self.total
                .fetch_update(Ordering::AcqRel, Ordering::Acquire, |total| {
                    (total < in_total).then_some(total + 1)
                })
                .map(|_| ())
                .map_err(|_| Full::Node)
        };
        match result {
            Ok(()) => entry.push(connection.clone()),
            Err(_) => {
                drop(entry);
                self.users
                    .remove_if(user, |_, connections| connections.is_empty());
            }
        }
        result
    }

    /// Whether another connection of the user would be let in now.
    pub(crate) fn has_room(
        &self,
        user: &str,
        per_user: usize,
        in_total: usize,
    ) -> Result<(), Full> {
        if self
            .users
            .get(user)
            .is_some_and(|connections| connections.len() >= per_user)
        {
            return Err(Full::User);
        }
        if self.total.load(Ordering::Acquire) >= in_total {
            return Err(Full::Node);
        }
        Ok(())
    }

    pub(crate) fn remove(&self, user: &Arc<str>, connection: &Connection) {
        let Entry::Occupied(mut entry) = self.users.entry(user.clone()) else {
            return;
        };
        let before = entry.get().len();
        entry.get_mut().retain(|known| known.id != connection.id);
        self.total
            .fetch_sub(before - entry.get().len(), Ordering::AcqRel);
        if entry.get().is_empty() {
            entry.remove();
        }
    }

    pub(crate) fn of_user(&self, user: &str) -> Vec<Arc<Connection>> {
        self.users
            .get(user)
            .map(|connections| connections.clone())
            .unwrap_or_default()
    }

    pub(crate) fn len(&self) -> usize {
        self.total.load(Ordering::Acquire)
    }
}
