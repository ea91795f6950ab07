//! One timer for all connections of a worker.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

use super::connection::{Connection, Due};

const SLOTS: u32 = 64;

/// A wheel of one-second slots. Each connection stands in the slot of the next moment at which
/// something can be due for it, so a turn looks at those few and an idle connection costs an entry.
#[derive(Debug)]
pub(crate) struct Wheel {
    slots: Vec<Vec<Entry>>,
    /// The second that has been looked at last.
    turned: u32,
}

#[derive(Debug)]
struct Entry {
    connection: Weak<Connection>,
    /// Counts only while the connection's timers name the same second: a connection whose timers
    /// came forward has been entered anew.
    at: u32,
}

impl Default for Wheel {
    fn default() -> Self {
        Self {
            slots: (0..SLOTS).map(|_| Vec::new()).collect(),
            turned: 0,
        }
    }
}

impl Wheel {
    /// Enters a connection, or brings its entry forward, after its timers were set.
    pub(crate) fn add(&mut self, connection: &Arc<Connection>) {
        if let Some(at) = connection.timers.next() {
            // What lies further ahead than the wheel reaches is looked at on the way.
            let at = at.clamp(self.turned + 1, self.turned + SLOTS - 1);
            let entered = connection.timers.entered.load(Ordering::Relaxed);
            if entered <= self.turned || at < entered {
                connection.timers.entered.store(at, Ordering::Relaxed);
                self.slots[(at % SLOTS) as usize].push(Entry {
                    connection: Arc::downgrade(connection),
                    at,
                });
            }
        }
    }

    /// The connections that stand in the wheel.
    pub(crate) fn connections(&self) -> Vec<Arc<Connection>> {
        self.slots
            .iter()
            .flatten()
            .filter_map(Entry::current)
            .collect()
    }

    /// Moves on to `now` and gives back the connections for which something is due.
    pub(crate) fn turn(&mut self, now: u32) -> Vec<(Arc<Connection>, Due)> {
        let mut due = Vec::new();
        // After a long pause every slot is looked at once, not every second that went by.
        self.turned = self.turned.max(now.saturating_sub(SLOTS));
        while self.turned < now {
            self.turned += 1;
            let slot = (self.turned % SLOTS) as usize;
            for entry in std::mem::take(&mut self.slots[slot]) {
                let Some(connection) = entry.current() else {
                    continue;
                };
                match connection.timers.due(now) {
                    Due::Nothing => self.add(&connection),
                    Due::Ping => {
                        self.add(&connection);
                        due.push((connection, Due::Ping));
                    }
                    Due::Close(disconnect) => due.push((connection, Due::Close(disconnect))),
                }
            }
        }
        due
    }
}

impl Entry {
    fn current(&self) -> Option<Arc<Connection>> {
        let connection = self.connection.upgrade()?;
        (connection.timers.entered.load(Ordering::Relaxed) == self.at).then_some(connection)
    }
}
