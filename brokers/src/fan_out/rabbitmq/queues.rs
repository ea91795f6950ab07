//! Without a log: a queue of each node, and owners of lanes that give the order.

mod link;
mod work;

use std::future::ready;

use fanfare::broker::Published;
use fanfare::{BoxFuture, Broker, BrokerError, Channel, Event, Guarantees, Ingress};

use self::link::QueueLink;
use super::config::Config;
use crate::fan_out::relay::Relayed;

/// A node of a cluster that has no log.
#[derive(Debug)]
pub(super) struct Queues {
    config: Config,
    relayed: Relayed,
}

impl Queues {
    /// One that connects when it is started, by a configuration that was checked.
    pub(super) fn new(config: Config) -> Self {
        Self {
            config,
            relayed: Relayed::default(),
        }
    }
}

impl Broker for Queues {
    fn guarantees(&self) -> Guarantees {
        Guarantees {
            name: "rabbitmq",
            ordered: true,
            durable: false,
            replayable: false,
            shared_positions: false,
        }
    }

    fn start(&self, ingress: Ingress) -> BoxFuture<'_, Result<(), BrokerError>> {
        let link = |me| QueueLink::new(me, self.config.clone());
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
