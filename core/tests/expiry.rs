//! Live events that come late from another node.

#![allow(clippy::unwrap_used, reason = "a suite, not a library")]

mod common;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use common::{Client, builder, event, numbers};
use fanfare::{
    BoxFuture, Broker, BrokerError, Channel, Config, Event, Guarantee, Guarantees, Ingress,
    Priority, Published,
};
use tokio::time::sleep;

/// A broker from which events come when the test says so.
#[derive(Clone, Debug, Default)]
struct Late(Arc<OnceLock<Ingress>>);

impl Broker for Late {
    fn guarantees(&self) -> Guarantees {
        Guarantees {
            name: "late",
            ordered: true,
            durable: false,
            replayable: false,
            shared_positions: false,
        }
    }

    fn start(&self, ingress: Ingress) -> BoxFuture<'_, Result<(), BrokerError>> {
        self.0.set(ingress).unwrap();
        Box::pin(async { Ok(()) })
    }

    fn publish(&self, _event: Event) -> BoxFuture<'_, Result<Published, BrokerError>> {
        Box::pin(async { Ok(Published { position: None }) })
    }

    fn subscribe(&self, _channels: Vec<Channel>) -> BoxFuture<'_, Result<(), BrokerError>> {
        Box::pin(async { Ok(()) })
    }

    fn unsubscribe(&self, _channels: Vec<Channel>) -> BoxFuture<'_, Result<(), BrokerError>> {
        Box::pin(async { Ok(()) })
    }

    fn is_up(&self) -> bool {
        true
    }

    fn shutdown(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {})
    }
}

/// Expires 10 s from now.
fn short_lived(number: u64, guarantee: Guarantee) -> Event {
    event("thread.1", number)
        .with_priority(Priority::High)
        .with_guarantee(guarantee)
        .expires_in(Duration::from_secs(10))
}

#[tokio::test(start_paused = true)]
async fn what_expired_on_its_way_is_not_told() {
    let broker = Late::default();
    let node = builder(Config::default()).broker(broker.clone());
    let node = node.start().await.unwrap();
    let mut client = Client::connected(&node, "1").await;
    client.subscribe("thread.1").await;
    let arrive = |event: Event| {
        let _ = broker.0.get().unwrap().deliver(event);
    };
    let late = short_lived(1, Guarantee::Ephemeral);
    let kept = short_lived(2, Guarantee::AtLeastOnce);
    sleep(Duration::from_secs(5)).await;
    let timely = short_lived(3, Guarantee::Ephemeral);
    sleep(Duration::from_secs(6)).await;
    arrive(late);
    // History has it, and whoever recovers would get it.
    arrive(kept);
    arrive(timely);
    arrive(event("thread.1", 4).with_priority(Priority::High));
    let mut seen = Vec::new();
    while seen.last() != Some(&4) {
        seen.extend(numbers(&client.message().await.unwrap()));
    }
    assert_eq!(seen, [2, 3, 4]);
}
