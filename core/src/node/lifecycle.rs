//! How a node starts, looks after itself, and goes down.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tracing::warn;
use uuid::Uuid;

use super::fan_out::FanOut;
use super::interest::Interest;
use super::services::Services;
use super::{Inner, Node, draining};
use crate::broker::{BrokerError, SpillPart};
use crate::builder::NodeBuilder;
use crate::channel::Channel;
use crate::cluster::Cluster;
use crate::disconnect::Disconnect;
use crate::dispatch::Dispatch;
use crate::error::Error;
use crate::hub::Hub;
use crate::ingress::Ingress;
use crate::limits::RateLimits;
use crate::notice::Notice;
use crate::sync::Mutex;
use crate::visibility::Visibility;

/// How often the node looks after itself.
const UPKEEP: Duration = Duration::from_secs(2);
/// Every how many times it goes through history and limits, which takes time for each channel and
/// user.
const UPKEEP_OF_ALL: u32 = 15;

impl Node {
    pub(crate) async fn start(
        parts: NodeBuilder,
        visibility: Visibility,
    ) -> Result<Self, BrokerError> {
        let workers = match parts.config.workers {
            0 => Handle::current().metrics().num_workers(),
            workers => workers,
        };
        let hub = Arc::new(Hub::new(
            parts.config,
            visibility,
            parts.store,
            &parts.broker,
            workers,
        ));
        let notices = hub.shared.notices.clone();
        let limits = RateLimits::new(&hub.shared.config.limits, notices);
        parts.broker.start(Ingress::new(&hub)).await?;
        hub.start();
        hub.shared.metrics.broker_up.set(1.0);
        let buffers = &hub.shared.config.buffers;
        let store = hub.shared.ledger.store();
        let spill = store.spill(SpillPart::Broker, buffers.spill as u64);
        let dispatch = (!parts.broker.is_local()).then(|| {
            let carrier = FanOut {
                broker: parts.broker.clone(),
                hub: hub.clone(),
            };
            Dispatch::start(Arc::new(carrier), spill.as_ref())
        });
        let services = parts.sink.map(|sink| {
            let spill = store.spill(SpillPart::Topics, buffers.topics_spill as u64);
            Services::start(sink, spill)
        });
        let remote = !parts.broker.is_local();
        let interest = remote.then(|| Interest::start(parts.broker.clone()));
        let id = Uuid::new_v4().to_string();
        let speaking = match hub.shared.gossip.clone() {
            Some(gossip) => {
                parts.broker.subscribe(vec![Channel::of_nodes()]).await?;
                let (cluster, speaking) = Cluster::start(&id, parts.broker.clone(), &hub, gossip);
                let _ = hub.cluster.set(cluster);
                Some(speaking)
            }
            None => None,
        };
        let inner = Arc::new(Inner {
            id,
            hub,
            dispatch,
            spill,
            services,
            interest,
            _speaking: speaking,
            broker: parts.broker,
            authenticator: parts.authenticator,
            authorizer: parts.authorizer,
            catalog: parts.catalog,
            limits,
            forms: Mutex::default(),
            sessions: AtomicUsize::new(0),
            next_worker: AtomicUsize::new(0),
            publishing: AtomicUsize::new(0),
            draining: AtomicBool::new(false),
            broker_was_up: AtomicBool::new(true),
            upkeep: Mutex::default(),
        });
        let weak = Arc::downgrade(&inner);
        let upkeep = tokio::spawn(async move {
            let mut tick = interval(UPKEEP);
            tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
            for round in 0u32.. {
                tick.tick().await;
                let Some(inner) = weak.upgrade() else { return };
                if round % UPKEEP_OF_ALL == 0 {
                    inner.hub.shared.ledger.expire();
                    inner.hub.turns.expire();
                    inner.limits.forget_full();
                }
                inner.look_after().await;
            }
        });
        *inner.upkeep.lock() = Some(upkeep.abort_handle());
        Ok(Self(inner))
    }

    /// Goes down in order: takes in nobody, flushes what waits, closes the connections in paced
    /// batches so that they find other nodes one after the other, and leaves the broker and the server
    /// of the service topics. What waits on disk for those stays there for the node's next life.
    ///
    /// Takes at most [`Drain::limit`](crate::config::Drain) and a moment; connections that have not
    /// ended by then are cut when their sessions are dropped. A second call returns at once.
    pub async fn drain(&self) {
        if self.0.draining.swap(true, Ordering::SeqCst) {
            return;
        }
        let drain = &self.config().drain;
        let closing = async {
            // Whoever was let in before must be accepted before the last flush.
            while self.0.publishing.load(Ordering::SeqCst) > 0 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            self.0.hub.flush_all().await;
            for batch in self.0.hub.connections().chunks(drain.batch) {
                for connection in batch {
                    connection.outbox.close(Disconnect::SHUTDOWN);
                }
                tokio::time::sleep(drain.pause).await;
            }
            while self.sessions() > 0 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        if timeout(drain.limit, closing).await.is_err() {
            warn!(
                sessions = self.sessions(),
                "some connections did not end in time"
            );
        }
        if let Some(cluster) = self.0.hub.cluster.get() {
            cluster.leave().await;
        }
        tokio::join!(self.0.broker.shutdown(), async {
            if let Some(services) = &self.0.services {
                services.shutdown().await;
            }
        });
        self.0.hub.shared.ledger.store().close().await;
    }
}

impl Inner {
    pub(super) fn broker_is_up(&self) -> bool {
        match &self.dispatch {
            Some(dispatch) => dispatch.is_up(),
            None => self.broker.is_up(),
        }
    }

    async fn look_after(&self) {
        let shared = &self.hub.shared;
        let up = self.broker_is_up();
        shared.metrics.broker_up.set(if up { 1.0 } else { 0.0 });
        if self.broker_was_up.swap(up, Ordering::Relaxed) != up {
            let broker = self.broker.guarantees().name;
            shared.notices.tell(|| match up {
                true => Notice::BrokerBack { broker },
                false => Notice::BrokerLost { broker },
            });
        }
        let waiting = self
            .hub
            .connections()
            .iter()
            .map(|connection| connection.outbox.bytes())
            .sum::<usize>();
        shared.metrics.outbox_bytes.set(waiting as f64);
        let spilled = self.spill.as_ref().map_or(0, |spill| spill.len());
        shared.metrics.spilled.set(spilled as f64);
        if let Some(services) = &self.services {
            services.look_after();
        }
        self.hub.announce_leaves();
        let swept = self.hub.sweep();
        if let Some(interest) = &self.interest {
            interest.give_up(self.hub.unheard(swept));
        }
    }
}

/// A publication under way. The count goes up before the look at `draining`, and a node that drains
/// looks at the count after it has set that: one of the two sees the other.
pub(super) struct Publishing<'a>(&'a Inner);

impl<'a> Publishing<'a> {
    pub(super) fn enter(inner: &'a Inner) -> Result<Self, Error> {
        inner.publishing.fetch_add(1, Ordering::SeqCst);
        let publishing = Self(inner);
        if inner.draining.load(Ordering::SeqCst) {
            Err(draining())
        } else {
            Ok(publishing)
        }
    }
}

impl Drop for Publishing<'_> {
    fn drop(&mut self) {
        self.0.publishing.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Some(upkeep) = self.upkeep.lock().take() {
            upkeep.abort();
        }
    }
}
