//! What a node notices, for operators and platforms that want to react to it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::broadcast::error::RecvError;
use tokio::sync::broadcast::{Receiver, Sender, channel};
use tokio::time::Instant;

use crate::channel::Channel;
use crate::hub::directory::Full;
use crate::sync::Mutex;

/// How many notices wait for a receiver before it loses the oldest: about 30 KiB.
const WAITING: usize = 256;

/// Something that a node has noticed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Notice {
    /// Clients have used at least 80 % of a rate. Of one bucket it is told once in a period.
    RateNearlyUsed(RateUse),
    /// Clients have used up a rate: what they publish next is refused until the bucket has refilled.
    /// Of one bucket it is told once in a period.
    RateUsedUp(RateUse),
    /// A connection was refused because there are as many as allowed; or ended, where two nodes had
    /// let in the last one of a user at once.
    ConnectionRefused {
        /// The user who came; none where the client had not said who it is.
        user: Option<Arc<str>>,
        /// Whose connections are as many as allowed.
        scope: ConnectionScope,
        /// How many are allowed.
        limit: usize,
    },
    /// A connection was ended because its client read too slowly for what it must get.
    SlowConsumer {
        /// The user.
        user: Option<Arc<str>>,
        /// The connection's id.
        client: String,
        /// The name of its transport.
        transport: &'static str,
        /// How many events were waiting for it.
        events: u64,
    },
    /// Events cannot be carried to other nodes any more. Told within 2 s.
    BrokerLost {
        /// The broker's name.
        broker: &'static str,
    },
    /// The broker is there again. Told within 2 s.
    BrokerBack {
        /// The broker's name.
        broker: &'static str,
    },
    /// The receiver was so far behind that it lost the oldest notices.
    Missed {
        /// How many.
        count: u64,
    },
}

/// How much of a rate is used.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RateUse {
    /// What the rate is counted for.
    pub scope: RateScope,
    /// Events that the bucket has let through and that have not refilled.
    pub used: u32,
    /// Events that fit the bucket.
    pub limit: u32,
    /// The time in which an empty bucket fills.
    pub period: Duration,
}

/// What a rate is counted for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RateScope {
    /// All clients of a user.
    User(Arc<str>),
    /// One connection.
    Session {
        /// Its user.
        user: Arc<str>,
        /// Its id.
        client: String,
    },
    /// All clients that publish to a channel.
    Channel(Channel),
    /// All clients of the node.
    Node,
}

/// Whose connections are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConnectionScope {
    /// Those of the user, to all nodes.
    User,
    /// Those to the node.
    Node,
}

impl From<Full> for ConnectionScope {
    fn from(full: Full) -> Self {
        match full {
            Full::User => Self::User,
            Full::Node => Self::Node,
        }
    }
}

/// The notices of a node from when this was made, see [`Node::notices`](crate::Node::notices).
#[derive(Debug)]
pub struct Notices {
    receiver: Receiver<Notice>,
}

impl Notices {
    /// Waits for the next notice; none once the node has ended.
    ///
    /// Whoever is more than 256 notices behind loses the oldest, and is told how many by
    /// [`Notice::Missed`] in their place. Cancel safe.
    pub async fn recv(&mut self) -> Option<Notice> {
        match self.receiver.recv().await {
            Ok(notice) => Some(notice),
            Err(RecvError::Lagged(count)) => Some(Notice::Missed { count }),
            Err(RecvError::Closed) => None,
        }
    }
}

/// Where the parts of a node say what they notice.
#[derive(Debug)]
pub(crate) struct NoticeBoard {
    sender: Sender<Notice>,
    /// When which use of a rate was told last: a client that stays at its limit would be told of with
    /// every event.
    told: Mutex<HashMap<RateScope, Told>>,
}

#[derive(Debug)]
struct Told {
    period: Duration,
    nearly: Option<Instant>,
    used_up: Option<Instant>,
}

impl Default for NoticeBoard {
    fn default() -> Self {
        Self {
            sender: channel(WAITING).0,
            told: Mutex::default(),
        }
    }
}

impl NoticeBoard {
    pub(crate) fn listen(&self) -> Notices {
        Notices {
            receiver: self.sender.subscribe(),
        }
    }

    /// Tells those who listen; makes the notice only if somebody does.
    pub(crate) fn tell(&self, notice: impl FnOnce() -> Notice) {
        if self.sender.receiver_count() > 0 {
            // The last of them may just have gone.
            let _ = self.sender.send(notice());
        }
    }

    /// Tells of a rate that is used to at least 80 %, unless that was told within its period.
    pub(crate) fn rate(
        &self,
        used: u32,
        limit: u32,
        period: Duration,
        scope: impl FnOnce() -> RateScope,
    ) {
        if u64::from(used) * 5 < u64::from(limit) * 4 || self.sender.receiver_count() == 0 {
            return;
        }
        let scope = scope();
        let now = Instant::now();
        let mut told = self.told.lock();
        let entry = told.entry(scope.clone()).or_insert(Told {
            period,
            nearly: None,
            used_up: None,
        });
        let is_used_up = used >= limit;
        let last = if is_used_up {
            &mut entry.used_up
        } else {
            &mut entry.nearly
        };
        if last.is_some_and(|at| now.duration_since(at) < period) {
            return;
        }
        *last = Some(now);
        drop(told);
        let usage = RateUse {
            scope,
            used,
            limit,
            period,
        };
        let _ = self.sender.send(if is_used_up {
            Notice::RateUsedUp(usage)
        } else {
            Notice::RateNearlyUsed(usage)
        });
    }

    /// Forgets what was told longer ago than counts; called about twice a minute.
    pub(crate) fn forget(&self) {
        let now = Instant::now();
        let mut told = self.told.lock();
        told.retain(|_, told| {
            let last = told.nearly.max(told.used_up);
            last.is_some_and(|at| now.duration_since(at) < told.period)
        });
        told.shrink_to_fit();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn user() -> RateScope {
        RateScope::User("1".into())
    }

    #[tokio::test(start_paused = true)]
    async fn a_use_is_told_once_in_its_period() {
        let board = NoticeBoard::default();
        let mut notices = board.listen();
        for used in [1, 79, 80, 81, 80, 99, 100, 100, 80] {
            board.rate(used, 100, MINUTE, user);
        }
        let usage = |used| RateUse {
            scope: user(),
            used,
            limit: 100,
            period: MINUTE,
        };
        assert_eq!(
            notices.recv().await,
            Some(Notice::RateNearlyUsed(usage(80)))
        );
        assert_eq!(notices.recv().await, Some(Notice::RateUsedUp(usage(100))));
        board.forget();
        assert_eq!(board.told.lock().len(), 1);
        tokio::time::sleep(MINUTE).await;
        board.rate(85, 100, MINUTE, user);
        assert_eq!(
            notices.recv().await,
            Some(Notice::RateNearlyUsed(usage(85)))
        );
        tokio::time::sleep(MINUTE).await;
        board.forget();
        assert!(board.told.lock().is_empty());
        drop(board);
        assert_eq!(notices.recv().await, None);
    }

    #[tokio::test]
    async fn who_is_behind_loses_the_oldest_and_is_told() {
        let board = NoticeBoard::default();
        board.tell(|| panic!("nobody listens"));
        let mut notices = board.listen();
        for _ in 0..WAITING + 3 {
            board.tell(|| Notice::BrokerLost { broker: "nats" });
        }
        assert_eq!(notices.recv().await, Some(Notice::Missed { count: 3 }));
        for _ in 0..WAITING {
            let lost = Notice::BrokerLost { broker: "nats" };
            assert_eq!(notices.recv().await, Some(lost));
        }
    }

    #[test]
    fn what_nobody_listens_to_is_not_remembered() {
        let board = NoticeBoard::default();
        board.rate(100, 100, MINUTE, || panic!("nobody listens"));
        assert!(board.told.lock().is_empty());
    }
}
