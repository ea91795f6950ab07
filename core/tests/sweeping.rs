//! What is let go of while somebody comes back for it.

#![allow(clippy::unwrap_used, reason = "a suite, not a library")]

mod common;
mod lines;

use std::collections::HashSet;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use common::{Client, builder, channel, event, node, numbers};
use fanfare::codec::Connect;
use fanfare::config::ChannelPolicy;
use fanfare::history::Retention;
use fanfare::{
    BoxFuture, Broker, BrokerError, Channel, Config, Event, Guarantees, Ingress, Priority,
    Published,
};
use lines::{poll, resuming};
use tokio::time::{sleep, timeout};

/// A broker that carries what other nodes publish, as far as it was asked to, and takes its time.
#[derive(Clone, Debug, Default)]
struct Distant(Arc<Wire>);

#[derive(Debug, Default)]
struct Wire {
    ingress: OnceLock<Ingress>,
    subscribed: Mutex<HashSet<Channel>>,
}

const SUBSCRIBE: Duration = Duration::from_millis(100);
const UNSUBSCRIBE: Duration = Duration::from_millis(300);

impl Distant {
    fn arrive(&self, event: Event) {
        if self.0.subscribed.lock().unwrap().contains(event.channel()) {
            let _ = self.0.ingress.get().unwrap().deliver(event);
        }
    }
}

impl Broker for Distant {
    fn guarantees(&self) -> Guarantees {
        Guarantees {
            name: "distant",
            ordered: true,
            durable: false,
            replayable: false,
            shared_positions: false,
        }
    }

    fn start(&self, ingress: Ingress) -> BoxFuture<'_, Result<(), BrokerError>> {
        self.0.ingress.set(ingress).unwrap();
        Box::pin(async { Ok(()) })
    }

    fn publish(&self, event: Event) -> BoxFuture<'_, Result<Published, BrokerError>> {
        self.arrive(event);
        Box::pin(async { Ok(Published { position: None }) })
    }

    fn subscribe(&self, channels: Vec<Channel>) -> BoxFuture<'_, Result<(), BrokerError>> {
        Box::pin(async move {
            sleep(SUBSCRIBE).await;
            self.0.subscribed.lock().unwrap().extend(channels);
            Ok(())
        })
    }

    fn unsubscribe(&self, channels: Vec<Channel>) -> BoxFuture<'_, Result<(), BrokerError>> {
        Box::pin(async move {
            sleep(UNSUBSCRIBE).await;
            let mut subscribed = self.0.subscribed.lock().unwrap();
            subscribed.retain(|known| !channels.contains(known));
            Ok(())
        })
    }

    fn is_up(&self) -> bool {
        true
    }

    fn shutdown(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {})
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_comes_back_as_the_broker_is_left_is_not_left_out() {
    for millis in (4_000..9_000).step_by(25) {
        let broker = Distant::default();
        let mut config = Config::default();
        // A node goes on listening to what it remembers.
        config.history.age = Duration::from_secs(2);
        let node = builder(config)
            .broker(broker.clone())
            .start()
            .await
            .unwrap();
        let mut client = Client::connected(&node, "1").await;
        client.subscribe("thread.1").await;
        drop(client);
        sleep(Duration::from_millis(millis)).await;
        let mut client = Client::connected(&node, "1").await;
        client.subscribe("thread.1").await;
        sleep(Duration::from_secs(3)).await;
        broker.arrive(event("thread.1", 1).with_priority(Priority::High));
        let message = timeout(Duration::from_secs(5), client.message()).await;
        let message = message.unwrap_or_else(|_| panic!("deaf after {millis} ms"));
        assert_eq!(numbers(&message.unwrap()), [1]);
        drop(client);
        sleep(Duration::from_secs(75)).await;
        let subscribed = broker.0.subscribed.lock().unwrap().clone();
        assert!(
            subscribed.iter().all(Channel::is_of_nodes),
            "{subscribed:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_channel_that_is_forgotten_takes_no_other_with_it() {
    let mut config = Config::default();
    let short = Retention {
        age: Duration::from_secs(1),
        ..Retention::default()
    };
    let policy = ChannelPolicy {
        history: Some(short),
        ..ChannelPolicy::default()
    };
    config.channels.insert("short".to_owned(), policy);
    let node = node(config).await;
    let names = (0..20).map(|at| format!("thread.{at}")).collect::<Vec<_>>();
    let names = names.iter().map(String::as_str).collect::<Vec<_>>();
    let none = Duration::ZERO;
    let (_, polled) = poll(&node, "1", &names, Connect::default(), none)
        .await
        .unwrap();
    node.publish(event("short.1", 1)).await.unwrap();
    // By then it has expired, and has been forgotten.
    sleep(Duration::from_secs(59)).await;
    let mut recovered = 0;
    for name in names {
        node.publish(event(name, 1).with_priority(Priority::High))
            .await
            .unwrap();
        let connect = resuming(&polled.cursor.to_string());
        let (lines, polled) = poll(&node, "1", &[name], connect, none).await.unwrap();
        assert_eq!(polled.recovered, lines.len() == 1);
        recovered += usize::from(polled.recovered);
    }
    // Epochs are hashes, so that one may be unlucky.
    assert!(recovered >= 19, "{recovered} of 20");
    let short = node
        .history(&channel("short.1"), None, 10, false)
        .await
        .unwrap();
    assert_eq!(short.1.offset, 0, "it is forgotten");
}
