//! One connection as the hub sees it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::SystemTime;

use bytes::Bytes;
use uuid::Uuid;

use super::{Shared, Subscription};
use crate::auth::Identity;
use crate::channel::Channel;
use crate::cluster::{Info, millis};
use crate::disconnect::Disconnect;
use crate::history::Receipt;
use crate::metrics::{self, Transport};
use crate::notice::Notice;
use crate::position::Position;
use crate::session::outbox::Outbox;
use crate::sync::Mutex;
use crate::visibility::RoleSets;

/// What all parts of the node share of a connection. The task that drives it owns a
/// [`Session`](crate::Session); this outlives it for as long as a list still names it.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) id: Uuid,
    pub(crate) transport: Arc<Transport>,
    pub(crate) worker: usize,
    pub(crate) outbox: Outbox,
    pub(crate) timers: Timers,
    pub(crate) opened_at: SystemTime,
    pub(crate) identity: Mutex<Option<Arc<Identity>>>,
    /// The bits of what its user's roles satisfy.
    pub(crate) sees: AtomicU64,
    pub(crate) subscriptions: Mutex<Vec<Subscription>>,
}

impl Connection {
    pub(crate) fn identity(&self) -> Option<Arc<Identity>> {
        self.identity.lock().clone()
    }

    /// What its user's roles satisfy.
    pub(crate) fn sees(&self) -> RoleSets {
        RoleSets::from_bits(self.sees.load(Ordering::Relaxed))
    }

    /// What it is subscribed to.
    pub(crate) fn channels(&self) -> Vec<Channel> {
        let subscriptions = self.subscriptions.lock();
        subscriptions
            .iter()
            .map(|subscription| subscription.channel().clone())
            .collect()
    }

    /// What other nodes are told of it.
    pub(crate) fn told(&self) -> Info {
        Info {
            client: self.id.to_string(),
            transport: self.transport.name.to_owned(),
            connected_at: millis(self.opened_at),
            channels: self.channels(),
        }
    }

    /// What there is to notice where it is ended because it reads too slowly for the events that wait.
    pub(crate) fn slow(&self, events: u64) -> Notice {
        Notice::SlowConsumer {
            user: self.identity().map(|identity| identity.user.clone()),
            client: self.id.to_string(),
            transport: self.transport.name,
            events,
        }
    }

    /// Queues a control frame and writes.
    pub(crate) fn send(&self, frame: Bytes) {
        self.outbox.push_control(frame);
        self.outbox.write();
    }

    /// Notes what the user has received of the user's own channel.
    pub(crate) fn note_receipt(&self, received: Option<(Channel, Position)>, shared: &Shared) {
        if let Some((channel, position)) = received {
            let at = SystemTime::now();
            shared
                .ledger
                .note_receipt(&channel, Receipt { position, at });
        }
    }

    /// Does what the wheel found due.
    pub(crate) fn act(&self, due: Due, shared: &Shared) {
        match due {
            Due::Nothing => {}
            Due::Ping => {
                let before = self.outbox.pinged();
                if self.timers.pong_within == 0 {
                    // No client answers, but a connection that lost something would have broken by
                    // now: the socket gives up what is not acknowledged within less than this.
                    self.note_receipt(before, shared);
                }
                self.outbox.push_ping();
                self.outbox.write();
            }
            Due::Close(disconnect) => {
                if disconnect == Disconnect::STALE {
                    metrics::connection_rejected("handshake_timeout");
                }
                self.outbox.close(disconnect);
            }
        }
    }
}

/// The moments at which something is due for a connection, in whole seconds since the node
/// started; 0 stands for never. A wheel looks at them about once in a second.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    /// The connection must be authenticated by then.
    pub(crate) connect_by: AtomicU32,
    pub(crate) next_ping: AtomicU32,
    pub(crate) pong_by: AtomicU32,
    /// The token has ended, and the grace to refresh it.
    pub(crate) expires: AtomicU32,
    /// The second under which the wheel has the connection.
    pub(crate) entered: AtomicU32,
    /// Seconds from one ping to the next.
    pub(crate) ping_every: u32,
    /// Seconds in which a ping must be answered; 0 where the client cannot.
    pub(crate) pong_within: u32,
}

/// What is due for a connection.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Due {
    Nothing,
    Ping,
    Close(Disconnect),
}

impl Timers {
    /// What is due at `now`; a ping moves on to the next.
    pub(crate) fn due(&self, now: u32) -> Due {
        let passed = |timer: &AtomicU32| {
            let at = timer.load(Ordering::Relaxed);
            at != 0 && at <= now
        };
        if passed(&self.connect_by) {
            return Due::Close(Disconnect::STALE);
        }
        if passed(&self.expires) {
            return Due::Close(Disconnect::EXPIRED);
        }
        if passed(&self.pong_by) {
            return Due::Close(Disconnect::NO_PONG);
        }
        if passed(&self.next_ping) {
            self.next_ping
                .store(now + self.ping_every, Ordering::Relaxed);
            if self.pong_within > 0 {
                // One second more: the wheel may look early by almost that much.
                self.pong_by
                    .store(now + self.pong_within + 1, Ordering::Relaxed);
            }
            return Due::Ping;
        }
        Due::Nothing
    }

    /// The earliest moment at which something can be due; none if nothing ever is.
    pub(crate) fn next(&self) -> Option<u32> {
        [
            &self.connect_by,
            &self.expires,
            &self.pong_by,
            &self.next_ping,
        ]
        .into_iter()
        .map(|timer| timer.load(Ordering::Relaxed))
        .filter(|&at| at != 0)
        .min()
    }

    /// The client is there.
    pub(crate) fn ponged(&self) {
        self.pong_by.store(0, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ping_that_is_not_answered_ends_the_connection() {
        let timers = Timers {
            next_ping: AtomicU32::new(25),
            ping_every: 25,
            pong_within: 10,
            ..Timers::default()
        };
        assert_eq!(timers.due(24), Due::Nothing);
        assert_eq!(timers.due(25), Due::Ping);
        assert_eq!(timers.next(), Some(36));
        assert_eq!(timers.due(35), Due::Nothing);
        assert_eq!(timers.due(36), Due::Close(Disconnect::NO_PONG));
        timers.ponged();
        assert_eq!(timers.due(36), Due::Nothing);
        assert_eq!(timers.due(50), Due::Ping);
    }

    #[test]
    fn a_connection_without_authentication_goes_stale() {
        let timers = Timers {
            connect_by: AtomicU32::new(10),
            ..Timers::default()
        };
        assert_eq!(timers.due(9), Due::Nothing);
        assert_eq!(timers.due(10), Due::Close(Disconnect::STALE));
    }

    #[test]
    fn an_ended_token_ends_the_connection() {
        let timers = Timers {
            expires: AtomicU32::new(7),
            ..Timers::default()
        };
        assert_eq!(timers.due(7), Due::Close(Disconnect::EXPIRED));
    }
}
