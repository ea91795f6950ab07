//! Connections by user.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use uuid::Uuid;

use super::connection::Connection;
use crate::cluster::millis;

/// The authenticated connections of this node.
#[derive(Debug, Default)]
pub(crate) struct Directory {
    users: DashMap<Arc<str>, Vec<Arc<Connection>>>,
    total: AtomicUsize,
    /// What other nodes have, as far as this one was told.
    elsewhere: DashMap<Arc<str>, Vec<Elsewhere>>,
}

/// A user's connection to another node.
#[derive(Clone, Debug)]
struct Elsewhere {
    client: Uuid,
    /// Since when, in milliseconds of Unix time.
    at: u64,
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
        let result = if entry.len() + self.count_elsewhere(user) >= per_user {
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
        let here = self.users.get(user).map_or(0, |known| known.len());
        if here + self.count_elsewhere(user) >= per_user {
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

    /// How many connections a user has on other nodes.
    pub(crate) fn count_elsewhere(&self, user: &str) -> usize {
        self.elsewhere.get(user).map_or(0, |known| known.len())
    }

    pub(crate) fn add_elsewhere(&self, user: &str, client: Uuid, at: u64) {
        let mut known = self.elsewhere.entry(user.into()).or_default();
        known.push(Elsewhere { client, at });
    }

    pub(crate) fn remove_elsewhere(&self, user: &str, client: Uuid) {
        if let Entry::Occupied(mut entry) = self.elsewhere.entry(user.into()) {
            entry.get_mut().retain(|known| known.client != client);
            if entry.get().is_empty() {
                entry.remove();
            }
        }
    }

    /// Those of a user's connections here that are too many: two nodes may each have let in the last
    /// one. The newest go, and all nodes agree which those are.
    pub(crate) fn too_many(&self, user: &str, per_user: usize) -> Vec<Arc<Connection>> {
        let here = self.of_user(user);
        if here.len() + self.count_elsewhere(user) <= per_user {
            return Vec::new();
        }
        let elsewhere = self.elsewhere.get(user);
        let elsewhere = elsewhere.iter().flat_map(|known| known.iter());
        let mut all = elsewhere
            .map(|known| (known.at, known.client))
            .chain(here.iter().map(|own| (millis(own.opened_at), own.id)))
            .collect::<Vec<_>>();
        all.sort_unstable();
        let surplus = all.split_off(per_user.min(all.len()));
        let is_surplus = |own: &Arc<Connection>| surplus.iter().any(|(_, id)| *id == own.id);
        here.into_iter().filter(is_surplus).collect()
    }

    /// The connections of this node: user, client, since when.
    pub(crate) fn own(&self) -> Vec<(Arc<str>, Uuid, u64)> {
        let mut own = Vec::new();
        for entry in &self.users {
            for connection in entry.value() {
                let at = millis(connection.opened_at);
                own.push((entry.key().clone(), connection.id, at));
            }
        }
        own
    }

    pub(crate) fn len(&self) -> usize {
        self.total.load(Ordering::Acquire)
    }
}
