//! RabbitMQ, with a stream as log, or with a queue of each node and no log.
//!
//! # With a stream
//! Of a cluster named `C` there are on the server:
//!
//! | name | | |
//! |---|---|---|
//! | `C.events` | durable topic exchange | where nodes publish, with the channel's name as routing key; other programs may bind queues of their own to it |
//! | `C.events.ID` | stream | the log: all that the exchange is given. Every node reads all of it |
//! | `C.logs` | stream | which of the former is the log now |
//! | `C.live` | fanout exchange, not durable | what is in no log, to one exclusive queue of each node |
//!
//! A frame is [`fanfare::Event::encode`]'s. The log also holds a small record for each time that a
//! node connects, by which it finds the end of the log.
//!
//! # What is kept
//! A publication is confirmed once the server has written it to the log: to a majority of the copies
//! where there are several servers. It is written, not synced to the disk: what was confirmed survives
//! that the server is killed and the end of every node, but not that the only server loses power.
//! Nodes find out about a log that lost its end that way, before they hand over anything that stands
//! in the place of what was lost, and let go of it: they delete it and begin a new one, with other
//! epochs.
//!
//! RabbitMQ 3.10 itself does not get its streams going again where it is killed within three seconds
//! after the very first of them was made on it.
//!
//! While the server is short of memory or disk it takes in nothing, and publishing is unavailable.
//!
//! Streams need RabbitMQ 3.9 or newer; the user needs the rights to configure, write and read what
//! begins with the cluster's name, and to write to the default exchange.
//!
//! # With queues
//! Where [`Config::stream`] is off there is no log: nodes give the order, as over
//! [core NATS](super::nats::Nats), and with the same promises. Each channel is broadcast by one node,
//! its owner, which numbers its events and repeats what others have missed; while it lives, what was
//! accepted reaches every node that has subscribed, once and in one order. When a node dies without a
//! goodbye its channels stand still for up to 3 s, and what it had accepted and some node had missed
//! may be lost to that node. Positions and history are of each node alone. A start takes a second.
//!
//! | name | | |
//! |---|---|---|
//! | `C.nodes` | durable topic exchange | what nodes say to each other: by `a` to all, by `l.LANE` to those that have a channel of that [lane](fanfare::Channel::lane), by `n.NODE` to one |
//! | named by the server, or `C.nodes.NODE` | queue | one of each node: [classic or quorum](QueueType) |
//!
//! A queue holds at most 100,000 messages and 64 MiB for a node that is behind, then the oldest go and
//! are asked for again. What is of no use later expires in it after 2 s. An event is accepted when the
//! server has confirmed its broadcast: when it is in the queues of all nodes, and where these are
//! quorum queues, on the disks of most servers.

mod config;
mod connection;
mod generation;
mod link;
mod live;
mod publication;
mod pulse;
mod queues;
mod reader;
mod stream;
mod writer;

use std::fmt;

use fanfare::broker::{Covered, Published};
use fanfare::{BoxFuture, Broker, BrokerError, Channel, Event, Guarantees, Ingress};

pub use self::config::{Config, QueueType, UrlError};
use self::queues::Queues;
use self::stream::Stream;

/// Carries events by RabbitMQ: a stream is the log of a cluster, or each node has a queue; see
/// [the module](self).
///
/// Connects by itself again when the connection is lost, after 0.1 to 2 s. Dropped without
/// [`shutdown`](Broker::shutdown), it disconnects at once.
pub struct RabbitMq {
    config: Config,
    broker: Box<dyn Broker>,
}

impl RabbitMq {
    /// A broker that connects when it is started.
    ///
    /// # Errors
    /// [`UrlError::Value`] where a value of the configuration is out of bounds.
    pub fn new(config: Config) -> Result<Self, UrlError> {
        config.check()?;
        let broker: Box<dyn Broker> = if config.stream {
            Box::new(Stream::new(config.clone()))
        } else {
            Box::new(Queues::new(config.clone()))
        };
        Ok(Self { config, broker })
    }

    /// As [`Config::from_url`] and [`new`](Self::new).
    ///
    /// # Errors
    /// [`UrlError`] says what is wrong with the URL. Nothing is connected to.
    pub fn from_url(url: &str) -> Result<Self, UrlError> {
        Self::new(Config::from_url(url)?)
    }
}

impl Broker for RabbitMq {
    fn guarantees(&self) -> Guarantees {
        self.broker.guarantees()
    }

    fn start(&self, ingress: Ingress) -> BoxFuture<'_, Result<(), BrokerError>> {
        self.broker.start(ingress)
    }

    fn publish(&self, event: Event) -> BoxFuture<'_, Result<Published, BrokerError>> {
        self.broker.publish(event)
    }

    fn subscribe(&self, channels: Vec<Channel>) -> BoxFuture<'_, Result<(), BrokerError>> {
        self.broker.subscribe(channels)
    }

    fn unsubscribe(&self, channels: Vec<Channel>) -> BoxFuture<'_, Result<(), BrokerError>> {
        self.broker.unsubscribe(channels)
    }

    fn covered(&self, channel: &Channel) -> Option<Covered> {
        self.broker.covered(channel)
    }

    fn is_up(&self) -> bool {
        self.broker.is_up()
    }

    fn shutdown(&self) -> BoxFuture<'_, ()> {
        self.broker.shutdown()
    }
}

impl fmt::Debug for RabbitMq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RabbitMq")
            .field("config", &self.config)
            .field("is_up", &self.is_up())
            .finish_non_exhaustive()
    }
}
