//! The order in which events arrive.

use super::recorder::numbers;
use super::{Cluster, Plan, promise, sample, stamped};
use crate::broker::Broker;

const CHANNELS: [&str; 3] = ["thread.1", "thread.2", "user.1"];

/// Events of a channel arrive in the order in which a node's calls of `publish` were made, although
/// it does not wait for one before it makes the next.
///
/// # Panics
/// With the promise that the broker breaks.
pub async fn check_order_of_calls<B: Broker>(attach: impl AsyncFn(&str) -> B, plan: &Plan) {
    let cluster = Cluster::start(&attach, "calls", plan).await;
    cluster.subscribe(&CHANNELS).await;
    let broker = &cluster.members[0].broker;
    let mut under_way = Vec::new();
    for number in 0..plan.events {
        for name in CHANNELS {
            under_way.push(broker.publish(sample(name, number)));
        }
    }
    for publishing in under_way {
        let published = plan.within("publish resolves", publishing).await;
        promise!(
            published.is_ok(),
            "a broker that is up publishes",
            "{published:?}"
        );
    }
    let expected = (0..plan.events).collect::<Vec<_>>();
    for member in &cluster.members {
        for name in CHANNELS {
            let seen = member.seen.until(name, expected.len(), plan).await;
            promise!(
                numbers(&seen) == expected,
                "events of a channel keep the order of the calls",
                "{:?}",
                numbers(&seen)
            );
        }
    }
    cluster.shutdown().await;
}

/// All nodes publish to one channel at once: each sees every event once, and all in one order, where
/// [`Guarantees::ordered`](crate::Guarantees::ordered) says so; else those of a node in theirs.
///
/// # Panics
/// With the promise that the broker breaks.
pub async fn check_one_order<B: Broker>(attach: impl AsyncFn(&str) -> B, plan: &Plan) {
    let cluster = Cluster::start(&attach, "one-order", plan).await;
    cluster.subscribe(&["thread.1"]).await;
    let publishing = (0..)
        .zip(&cluster.members)
        .map(|(node, member)| async move {
            let mut under_way = std::collections::VecDeque::new();
            for number in 1..=plan.events {
                let event = stamped("thread.1", node + 1, number);
                under_way.push_back(member.broker.publish(event));
                if under_way.len() == 32
                    && let Some(oldest) = under_way.pop_front()
                {
                    let published = plan.within("publish resolves", oldest).await;
                    promise!(
                        published.is_ok(),
                        "a broker that is up publishes",
                        "{published:?}"
                    );
                }
            }
            for rest in under_way {
                let published = plan.within("publish resolves", rest).await;
                promise!(
                    published.is_ok(),
                    "a broker that is up publishes",
                    "{published:?}"
                );
            }
        });
    all(publishing.collect()).await;
    let count = usize::try_from(plan.events).expect("a plan is small") * plan.nodes;
    let mut first = None;
    for member in &cluster.members {
        let seen = member.seen.until("thread.1", count, plan).await;
        let stamps = seen.iter().filter_map(|seen| seen.event.stamp());
        let order = stamps
            .map(|stamp| (stamp.origin, stamp.number))
            .collect::<Vec<_>>();
        for origin in 1..=plan.nodes as u64 {
            let own = order.iter().filter(|(known, _)| *known == origin);
            let own = own.map(|(_, number)| *number).collect::<Vec<_>>();
            promise!(
                own == (1..=plan.events).collect::<Vec<_>>(),
                "each node's events arrive once, in its order",
                "{own:?} of node {origin}"
            );
        }
        if cluster.members[0].broker.guarantees().ordered {
            let first = first.get_or_insert_with(|| order.clone());
            let differs = order
                .iter()
                .zip(&*first)
                .position(|(one, other)| one != other);
            promise!(
                differs.is_none(),
                "events of a channel reach every node in one order",
                "two orders from event {differs:?} on"
            );
        }
    }
    cluster.shutdown().await;
}

/// Waits for all of them, side by side.
async fn all<F: Future<Output = ()>>(futures: Vec<F>) {
    let mut futures = futures.into_iter().map(Box::pin).collect::<Vec<_>>();
    std::future::poll_fn(|context| {
        futures.retain_mut(|future| future.as_mut().poll(context).is_pending());
        if futures.is_empty() {
            std::task::Poll::Ready(())
        } else {
            std::task::Poll::Pending
        }
    })
    .await;
}

/// Once `subscribe` has resolved, nothing of the channel is missed, however often subscriptions have
/// come and gone.
///
/// # Panics
/// With the promise that the broker breaks.
pub async fn check_subscribing<B: Broker>(attach: impl AsyncFn(&str) -> B, plan: &Plan) {
    let cluster = Cluster::start(&attach, "subscribing", plan).await;
    let (listener, speaker) = (cluster.member(0), cluster.member(1));
    for round in 0..20 {
        let name = format!("thread.{}", round % 3);
        listener.subscribe(&[&name, "other.1"], plan).await;
        let before = listener.seen.of(&name).len();
        speaker.publish(sample(&name, round), plan).await;
        let seen = listener.seen.until(&name, before + 1, plan).await;
        promise!(
            numbers(&seen).last() == Some(&round),
            "what is published after `subscribe` has resolved arrives",
            "{:?}, where {round} was published",
            numbers(&seen)
        );
        let gone = listener.broker.unsubscribe(vec![super::channel(&name)]);
        let gone = plan.within("unsubscribe resolves", gone).await;
        promise!(gone.is_ok(), "a broker that is up unsubscribes", "{gone:?}");
    }
    cluster.shutdown().await;
}
