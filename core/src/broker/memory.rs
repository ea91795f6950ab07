//! The broker of a single node.

use std::future::ready;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use super::{Broker, BrokerError, BrokerErrorKind, Guarantees, Published};
use crate::BoxFuture;
use crate::channel::Channel;
use crate::event::Event;
use crate::ingress::Ingress;

/// Hands events to the ingress of its own node, in the publisher's task.
#[derive(Debug, Default)]
pub struct Memory {
    ingress: OnceLock<Ingress>,
    down: AtomicBool,
}

impl Broker for Memory {
    fn guarantees(&self) -> Guarantees {
        Guarantees {
            name: "memory",
            ordered: true,
            durable: false,
            replayable: false,
            shared_positions: true,
        }
    }

    fn start(&self, ingress: Ingress) -> BoxFuture<'_, Result<(), BrokerError>> {
        let started = self.ingress.set(ingress).map_err(|_| {
            BrokerError::new(BrokerErrorKind::Rejected, "a memory broker serves one node")
        });
        Box::pin(ready(started))
    }

    fn publish(&self, event: Event) -> BoxFuture<'_, Result<Published, BrokerError>> {
        let ingress = self.ingress.get();
        let Some(ingress) = ingress.filter(|_| self.is_up()) else {
            let error = BrokerError::new(
                BrokerErrorKind::Unavailable,
                "the broker was not started, or was shut down",
            );
            return Box::pin(ready(Err(error)));
        };
        let delivered = ingress.deliver(event);
        Box::pin(async move {
            ingress.committed(delivered).await?;
            Ok(Published {
                position: delivered.position,
            })
        })
    }

    fn subscribe(&self, _channels: Vec<Channel>) -> BoxFuture<'_, Result<(), BrokerError>> {
        Box::pin(ready(Ok(())))
    }

    fn unsubscribe(&self, _channels: Vec<Channel>) -> BoxFuture<'_, Result<(), BrokerError>> {
        Box::pin(ready(Ok(())))
    }

    fn is_local(&self) -> bool {
        true
    }

    fn is_up(&self) -> bool {
        self.ingress.get().is_some() && !self.down.load(Ordering::Acquire)
    }

    fn shutdown(&self) -> BoxFuture<'_, ()> {
        self.down.store(true, Ordering::Release);
        Box::pin(ready(()))
    }
}
