//! NATS without JetStream.

mod address;
mod config;
mod link;
mod session;

use std::fmt;
use std::future::ready;

use fanfare::broker::{Broker, BrokerError, Guarantees, Published};
use fanfare::{BoxFuture, Channel, Event, Ingress};

pub use self::address::{Address, UrlError};
pub(super) use self::address::{CLUSTER, check_cluster, number, parse};
pub use self::config::Config;
use self::link::NatsLink;
pub(super) use self::session::{Failure, Session, chain};
use super::relay::Relayed;

/// A cluster of nodes over core NATS, which keeps nothing.
///
/// Order is made by the nodes: each channel is broadcast by one of them, its owner, which numbers its
/// events and repeats what others have missed. An event makes two trips over the server, from its
/// publisher to the owner and from there to all that have subscribed. It is accepted when the server
/// has its broadcast.
///
/// # What it promises
/// While a channel's owner lives, what was accepted reaches every node that has subscribed, once and
/// in one order, also over a restart of the server. When a node dies without a goodbye, its channels
/// stand still for up to 3 s, until another takes them over; what it had accepted and some node had
/// missed is then lost to that node, and an event that it had not yet answered for may stand elsewhere
/// in the order of some nodes. Both parts of a network that is cut in two go on by themselves.
///
/// Nothing survives the end of a node: positions and history are of each node alone. Where that is
/// not enough, [`JetStream`](super::jetstream::JetStream) is the same server with a log.
///
/// # Cost
/// A message each 500 ms a node; up to 16 MiB on each owner for repairs; two messages for each event
/// besides its broadcast; and three small ones for a channel that falls silent. A start takes 800 ms,
/// in which the node listens for the others. The node that started first owns all channels until it
/// ends: an owner's work is small beside that of serving clients, and moving it could lose events.
///
/// The server's `max_payload` (1 MiB by default) must have room for the largest envelope and 1 KiB
/// besides: of a larger event nothing is ever heard, and publishing it fails as unavailable.
pub struct Nats {
    config: Config,
    relayed: Relayed,
}

impl Nats {
    /// A broker that is not connected yet.
    ///
    /// # Errors
    /// [`UrlError`] where the configuration makes no sense.
    pub fn new(config: Config) -> Result<Self, UrlError> {
        config.check()?;
        Ok(Self {
            config,
            relayed: Relayed::default(),
        })
    }

    /// A broker by its URL, see [`Config`]; not connected yet.
    ///
    /// # Errors
    /// [`UrlError`] says what of the URL is wrong.
    pub fn from_url(url: &str) -> Result<Self, UrlError> {
        Self::new(url.parse()?)
    }
}

impl fmt::Debug for Nats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Nats")
            .field("config", &self.config)
            .field("is_up", &self.relayed.is_up())
            .finish_non_exhaustive()
    }
}

impl Broker for Nats {
    fn guarantees(&self) -> Guarantees {
        Guarantees {
            name: "nats",
            ordered: true,
            durable: false,
            replayable: false,
            shared_positions: false,
        }
    }

    fn start(&self, ingress: Ingress) -> BoxFuture<'_, Result<(), BrokerError>> {
        let Config { address, cluster } = &self.config;
        let link = |me| NatsLink::new(me, address.clone(), cluster);
        Box::pin(self.relayed.start(link, ingress))
    }

    fn publish(&self, event: Event) -> BoxFuture<'_, Result<Published, BrokerError>> {
        self.relayed.publish(event)
    }

    fn subscribe(&self, channels: Vec<Channel>) -> BoxFuture<'_, Result<(), BrokerError>> {
        Box::pin(self.relayed.subscribe(channels))
    }

    fn unsubscribe(&self, channels: Vec<Channel>) -> BoxFuture<'_, Result<(), BrokerError>> {
        Box::pin(ready(self.relayed.unsubscribe(channels)))
    }

    fn is_up(&self) -> bool {
        self.relayed.is_up()
    }

    fn shutdown(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.relayed.shutdown())
    }
}
