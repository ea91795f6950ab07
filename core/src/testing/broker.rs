//! Checks of a [`Broker`].
//!
//! ```no_run
//! use fanfare::broker::memory::Memory;
//! use fanfare::testing::broker::{Plan, check_all};
//!
//! # #[tokio::main]
//! # async fn main() {
//! # let url = "";
//! # async fn connect(_: &str, _: &str) -> Memory { Memory::default() }
//! // Every cluster is one of its own on the same server, told apart by a name.
//! check_all(async |cluster: &str| connect(url, cluster).await, &Plan::default()).await;
//! # }
//! ```
//!
//! What the kit cannot do is end the server: that what was accepted survives that is checked by
//! [`check_outage`], which is given a way to do so.

mod carrying;
mod logs;
mod order;
mod outage;
mod recorder;

use std::time::Duration;

pub use self::carrying::{check_carrying, check_ephemeral, check_names, check_sizes};
pub use self::logs::{check_late_node, check_positions};
pub use self::order::{check_one_order, check_order_of_calls, check_subscribing};
pub use self::outage::{Server, check_outage};
pub use self::recorder::{Recorder, Seen};
use super::promise;
use crate::broker::{Broker, BrokerError, BrokerErrorKind};
use crate::channel::Channel;
use crate::event::{Event, Stamp};

/// The numbers of the checks. The defaults take some ten seconds.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Nodes of a cluster; 1 for a broker that serves a node which is alone, default 3.
    pub nodes: usize,
    /// Events that each node publishes where many are needed; default 500.
    pub events: u64,
    /// How long anything may take that must happen; default 20 s.
    pub patience: Duration,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            nodes: 3,
            events: 500,
            patience: Duration::from_secs(20),
        }
    }
}

/// Runs all checks. `attach` makes a broker for one more node of the named cluster; clusters with
/// different names must have nothing in common. Names are of `a-z`, digits and `-`.
///
/// # Panics
/// With the promise that the broker breaks.
pub async fn check_all<B: Broker>(attach: impl AsyncFn(&str) -> B, plan: &Plan) {
    check_carrying(&attach, plan).await;
    check_names(&attach, plan).await;
    check_sizes(&attach, plan).await;
    check_ephemeral(&attach, plan).await;
    check_order_of_calls(&attach, plan).await;
    check_one_order(&attach, plan).await;
    check_subscribing(&attach, plan).await;
    check_positions(&attach, plan).await;
    check_late_node(&attach, plan).await;
    check_shutdown(&attach, plan).await;
}

/// A broker that is shut down is not up, and takes in nothing.
///
/// # Panics
/// With the promise that the broker breaks.
pub async fn check_shutdown<B: Broker>(attach: impl AsyncFn(&str) -> B, plan: &Plan) {
    let nodes = Cluster::start(&attach, "shutdown", plan).await;
    let node = &nodes.members[0];
    promise!(
        node.broker.is_up(),
        "a broker that started is up",
        "it is not"
    );
    plan.within("shutdown resolves", node.broker.shutdown())
        .await;
    promise!(
        !node.broker.is_up(),
        "a broker that was shut down is not up",
        "it is"
    );
    let refused = plan.within(
        "publish resolves",
        node.broker.publish(sample("thread.1", 1)),
    );
    let refused = refused.await.err().map(|error| error.kind());
    promise!(
        refused == Some(BrokerErrorKind::Unavailable),
        "a broker that was shut down refuses as unavailable",
        "{refused:?}"
    );
}

/// Nodes of one cluster, each with a recorder in place of its hub.
struct Cluster<B> {
    members: Vec<Member<B>>,
    plan: Plan,
}

struct Member<B> {
    broker: B,
    seen: std::sync::Arc<Recorder>,
}

impl<B: Broker> Cluster<B> {
    async fn start(attach: &impl AsyncFn(&str) -> B, name: &str, plan: &Plan) -> Self {
        // Unlike those of any run before, on a server that keeps.
        let name = format!("{name}-{:08x}", rand::random::<u32>());
        let mut cluster = Self {
            members: Vec::new(),
            plan: plan.clone(),
        };
        for _ in 0..plan.nodes {
            cluster
                .members
                .push(Member::start(attach, &name, plan).await);
        }
        cluster
    }

    /// Subscribes all nodes to channels.
    async fn subscribe(&self, channels: &[&str]) {
        for member in &self.members {
            member.subscribe(channels, &self.plan).await;
        }
    }

    fn member(&self, at: u64) -> &Member<B> {
        let count = self.members.len() as u64;
        &self.members[usize::try_from(at % count).expect("there are few members")]
    }

    async fn shutdown(self) {
        for member in &self.members {
            self.plan
                .within("shutdown resolves", member.broker.shutdown())
                .await;
        }
    }
}

impl<B: Broker> Member<B> {
    async fn start(attach: &impl AsyncFn(&str) -> B, name: &str, plan: &Plan) -> Self {
        let broker = attach(name).await;
        let seen = Recorder::new();
        let started = plan.within("start resolves", broker.start(seen.ingress()));
        if let Err(error) = started.await {
            panic!("the broker does not start: {}", chain(&error));
        }
        Self { broker, seen }
    }

    async fn subscribe(&self, channels: &[&str], plan: &Plan) {
        let channels = channels.iter().map(|name| channel(name)).collect();
        let subscribed = plan.within("subscribe resolves", self.broker.subscribe(channels));
        if let Err(error) = subscribed.await {
            panic!("the broker does not subscribe: {}", chain(&error));
        }
    }

    async fn publish(&self, event: Event, plan: &Plan) {
        let published = plan.within("publish resolves", self.broker.publish(event));
        if let Err(error) = published.await {
            panic!("the broker does not publish: {}", chain(&error));
        }
    }
}

impl Plan {
    async fn within<T>(&self, what: &str, future: impl Future<Output = T>) -> T {
        match tokio::time::timeout(self.patience, future).await {
            Ok(done) => done,
            Err(_) => panic!(
                "broken promise: {what}\n  seen: not within {:?}",
                self.patience
            ),
        }
    }
}

fn channel(name: &str) -> Channel {
    Channel::new(name).expect("the kit's names are names of channels")
}

/// An event that can be told from others by its number.
fn sample(name: &str, number: u64) -> Event {
    Event::new(channel(name), "conformance.checked", number.to_string()).expect("a number is JSON")
}

/// The `number`th event of an origin, as a node would send it.
fn stamped(name: &str, origin: u64, number: u64) -> Event {
    sample(name, number).stamped(Stamp {
        origin,
        number,
        settled: 0,
    })
}

fn chain(error: &BrokerError) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}
