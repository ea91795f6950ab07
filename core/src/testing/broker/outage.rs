//! What a broker does while its server is away, and when it is back.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use super::{Cluster, Plan, promise, stamped};
use crate::BoxFuture;
use crate::broker::{Broker, BrokerErrorKind};

/// The server behind a broker.
pub trait Server: Sync {
    /// Ends it at once, as `kill -9` does.
    fn kill(&self) -> BoxFuture<'_, ()>;

    /// Starts it again, with what it had stored.
    fn start(&self) -> BoxFuture<'_, ()>;
}

/// While all nodes publish, the server is killed, and comes back after `away`: publishing fails as
/// unavailable while it is away, `is_up` tells the truth, and what is sent again afterwards, as a node
/// does, reaches every node once and in order; where the broker is ordered, in one order.
///
/// # Panics
/// With the promise that the broker breaks.
pub async fn check_outage<B: Broker>(
    attach: impl AsyncFn(&str) -> B,
    server: &dyn Server,
    away: Duration,
    plan: &Plan,
) {
    let cluster = Cluster::start(&attach, "outage", plan).await;
    cluster.subscribe(&["thread.1"]).await;
    let broker = &cluster.members[0].broker;
    let guarantees = broker.guarantees();
    let mut sender = Sender::new(plan);
    sender.send(broker, plan.events).await;
    let outage = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        server.kill().await;
        let noticed = async {
            while broker.is_up() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        plan.within("a broker whose server is gone is not up", noticed)
            .await;
        let refused = broker.publish(stamped("other.1", 99, 1));
        let refused = plan
            .within("publish resolves without a server", refused)
            .await;
        let refused = refused.err().map(|error| error.kind());
        promise!(
            refused == Some(BrokerErrorKind::Unavailable),
            "without a server, publishing fails as unavailable",
            "{refused:?}"
        );
        tokio::time::sleep(away).await;
        server.start().await;
    };
    tokio::join!(outage, sender.send(broker, plan.events));
    let back = Instant::now();
    while !broker.is_up() {
        promise!(
            back.elapsed() < plan.patience,
            "a broker whose server is back is up",
            "it is not after {:?}",
            plan.patience
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    sender.send(broker, plan.events).await;
    let count = usize::try_from(sender.settled).expect("a plan is small");
    for member in &cluster.members {
        let patience = Instant::now() + plan.patience;
        loop {
            let seen = member.seen.of("thread.1");
            let stamps = seen.iter().filter_map(|seen| seen.event.stamp());
            let taken = stamps.map(|stamp| stamp.number).collect::<Vec<_>>();
            // A broker without a log is free to carry copies; nodes that number by themselves would
            // show them.
            let in_order = taken.windows(2).all(|pair| pair[0] < pair[1]);
            promise!(
                in_order,
                "after an outage, events arrive once and in order",
                "{taken:?}"
            );
            if taken.len() == count {
                break;
            }
            promise!(
                Instant::now() < patience,
                "what was accepted reaches every node",
                "{} of {count} ({guarantees:?})",
                taken.len()
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    cluster.shutdown().await;
}

/// Sends a run of events as a node does: many at a time, and from the first that failed once more.
struct Sender {
    settled: u64,
    patience: Duration,
}

impl Sender {
    fn new(plan: &Plan) -> Self {
        Self {
            settled: 0,
            patience: plan.patience * 2,
        }
    }

    /// Sends `count` more, and returns when the broker has them.
    async fn send<B: Broker>(&mut self, broker: &B, count: u64) {
        let last = self.settled + count;
        let until = Instant::now() + self.patience;
        while self.settled < last {
            promise!(
                Instant::now() < until,
                "a broker that is back takes in what could not be sent",
                "stuck at {} of {last}",
                self.settled
            );
            let mut under_way = VecDeque::new();
            let mut next = self.settled + 1;
            loop {
                while under_way.len() < 64 && next <= last {
                    let mut event = stamped("thread.1", 1, next);
                    if let Some(stamp) = event.stamp() {
                        event = event.stamped(crate::Stamp {
                            settled: self.settled,
                            ..stamp
                        });
                    }
                    under_way.push_back(broker.publish(event));
                    next += 1;
                    // At some pace, so that the outage falls among them.
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
                let Some(oldest) = under_way.pop_front() else {
                    break;
                };
                match tokio::time::timeout(self.patience, oldest).await {
                    Ok(Ok(_)) => self.settled += 1,
                    Ok(Err(error)) => {
                        promise!(
                            error.kind() == BrokerErrorKind::Unavailable,
                            "an outage makes publishing unavailable",
                            "{error:?}"
                        );
                        break;
                    }
                    Err(_) => panic!("broken promise: publish resolves\n  seen: not in time"),
                }
            }
            for rest in under_way {
                // Whatever became of them, they are sent again.
                let _ = tokio::time::timeout(self.patience, rest).await;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}
