//! What holds of brokers that are logs.

use super::recorder::{numbers, positions};
use super::{Cluster, Member, Plan, channel, promise, sample};
use crate::broker::Broker;

/// Where positions are shared, every node is given the same; and what a node says it has covered
/// agrees with what it was given.
///
/// # Panics
/// With the promise that the broker breaks.
pub async fn check_positions<B: Broker>(attach: impl AsyncFn(&str) -> B, plan: &Plan) {
    let cluster = Cluster::start(&attach, "positions", plan).await;
    let guarantees = cluster.members[0].broker.guarantees();
    promise!(
        guarantees.shared_positions || !guarantees.replayable,
        "what a log numbers has the same number on every node",
        "{guarantees:?}"
    );
    if !guarantees.replayable {
        let covered = cluster.members[0].broker.covered(&channel("thread.1"));
        promise!(
            covered.is_none(),
            "only a log covers anything",
            "{covered:?}"
        );
        return cluster.shutdown().await;
    }
    let names = ["thread.1", "thread.2", "user.1"];
    cluster.subscribe(&names).await;
    for number in 0..60 {
        for name in names {
            cluster
                .member(number)
                .publish(sample(name, number), plan)
                .await;
        }
    }
    let mut epochs = std::collections::HashSet::new();
    for name in names {
        let first = cluster.members[0].seen.until(name, 60, plan).await;
        for member in &cluster.members {
            let seen = member.seen.until(name, 60, plan).await;
            promise!(
                positions(&seen) == positions(&first) && positions(&seen).len() == 60,
                "an event has one position on all nodes",
                "{:?} and {:?}",
                positions(&seen),
                positions(&first)
            );
            let top = positions(&seen)[59];
            let covered = member.covered(name, top.1, plan).await;
            promise!(
                covered.epoch == top.0 && covered.from <= positions(&seen)[0].1,
                "what a node was given is covered",
                "{covered:?}, where {:?} to {top:?} were given",
                positions(&seen)[0]
            );
            epochs.insert(top.0);
        }
    }
    promise!(
        epochs.len() == names.len(),
        "each channel has an epoch of its own",
        "{epochs:?} of {names:?}"
    );
    cluster.shutdown().await;
}

/// A node that starts later is handed what was in the log, before its `start` resolves, with the
/// positions that it has elsewhere.
///
/// # Panics
/// With the promise that the broker breaks.
pub async fn check_late_node<B: Broker>(attach: impl AsyncFn(&str) -> B, plan: &Plan) {
    let name = format!("late-{:08x}", rand::random::<u32>());
    let early = Member::start(&attach, &name, plan).await;
    if !early.broker.guarantees().replayable || plan.nodes == 1 {
        return early.broker.shutdown().await;
    }
    for number in 0..100 {
        early.publish(sample("thread.1", number), plan).await;
    }
    let first = early.seen.until("thread.1", 100, plan).await;
    let late = Member::start(&attach, &name, plan).await;
    let seen = late.seen.of("thread.1");
    promise!(
        numbers(&seen) == (0..100).collect::<Vec<_>>() && positions(&seen) == positions(&first),
        "a node that starts is handed what is in the log",
        "{:?} at {:?}, where {:?} was at {:?}",
        numbers(&seen),
        positions(&seen),
        numbers(&first),
        positions(&first)
    );
    late.publish(sample("thread.1", 100), plan).await;
    for member in [&early, &late] {
        let seen = member.seen.until("thread.1", 101, plan).await;
        promise!(
            numbers(&seen) == (0..=100).collect::<Vec<_>>(),
            "what is in the log is handed over once",
            "{:?}",
            numbers(&seen)
        );
        member.broker.shutdown().await;
    }
}

impl<B: Broker> Member<B> {
    /// What is covered, once that reaches an offset: a moment after the event was handed over.
    async fn covered(&self, name: &str, offset: u64, plan: &Plan) -> crate::broker::Covered {
        let reached = async {
            loop {
                let covered = self.broker.covered(&channel(name));
                let covered = covered.filter(|covered| covered.to >= offset);
                match covered {
                    Some(covered) => return covered,
                    None => tokio::time::sleep(std::time::Duration::from_millis(1)).await,
                }
            }
        };
        plan.within("what was handed over is covered", reached)
            .await
    }
}
