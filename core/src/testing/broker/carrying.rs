//! What a broker carries comes out as it went in.

use super::recorder::numbers;
use super::{Cluster, Plan, Seen, promise, sample};
use crate::broker::Broker;
use crate::channel::MAX_CHANNEL_BYTES;
use crate::event::{Event, Guarantee, Priority, Publisher};

/// An event reaches every node once, its publisher's too, with all that it was published with.
///
/// # Panics
/// With the promise that the broker breaks.
pub async fn check_carrying<B: Broker>(attach: impl AsyncFn(&str) -> B, plan: &Plan) {
    let cluster = Cluster::start(&attach, "carrying", plan).await;
    cluster.subscribe(&["thread.1"]).await;
    let mut sent = Vec::new();
    for (at, priority) in Priority::ALL.into_iter().enumerate() {
        for guarantee in [Guarantee::AtLeastOnce, Guarantee::BestEffort] {
            let payload = format!(r#"{{"é":"\n \\ \u0000","at":{at},"n":1.50}}"#);
            let event = Event::new(super::channel("thread.1"), "forum.comment.created", payload);
            let event = event.expect("the payload is JSON");
            let event = event.with_priority(priority).with_guarantee(guarantee);
            let event = event.conflated_by("key of it").published_by(Publisher {
                user: "7".into(),
                client: "a-client".into(),
            });
            cluster
                .member(sent.len() as u64)
                .publish(event.clone(), plan)
                .await;
            sent.push(event);
        }
    }
    for member in &cluster.members {
        let seen = member.seen.until("thread.1", sent.len(), plan).await;
        promise!(
            seen.len() == sent.len(),
            "an event reaches a node once",
            "{} of {}",
            seen.len(),
            sent.len()
        );
        for (seen, sent) in seen.iter().zip(&sent) {
            check_same(&seen.event, sent);
        }
    }
    cluster.shutdown().await;
}

fn check_same(seen: &Event, sent: &Event) {
    let same = seen.name() == sent.name()
        && seen.payload() == sent.payload()
        && seen.priority() == sent.priority()
        && seen.guarantee() == sent.guarantee()
        && seen.conflation_key() == sent.conflation_key()
        && seen.publisher() == sent.publisher();
    promise!(
        same,
        "an event arrives as it was published",
        "{seen:?} in place of {sent:?}"
    );
}

/// Every name that a channel may have is carried, and none is taken for another.
///
/// # Panics
/// With the promise that the broker breaks.
pub async fn check_names<B: Broker>(attach: impl AsyncFn(&str) -> B, plan: &Plan) {
    let long = "a".repeat(MAX_CHANNEL_BYTES);
    let deep = format!("{}b", "a.".repeat(MAX_CHANNEL_BYTES / 2));
    let names = [
        "thread.1",
        "Thread.1",
        "thread.1.x",
        "thread",
        "thread:1",
        "thread-1",
        "thread_1",
        "thread.1-",
        "t:h.r_e-a:d",
        "A",
        "a.b.c",
        "a.b",
        "a:b.c",
        "user.1",
        "user.11",
        "_",
        ":",
        "-",
        "--",
        "_:-",
        "x.-",
        &long,
        &deep,
    ];
    let cluster = Cluster::start(&attach, "names", plan).await;
    cluster.subscribe(&names).await;
    for (number, name) in (0..).zip(names) {
        cluster
            .member(number)
            .publish(sample(name, number), plan)
            .await;
    }
    for member in &cluster.members {
        for (number, name) in (0..).zip(names) {
            let seen = member.seen.until(name, 1, plan).await;
            promise!(
                numbers(&seen) == [number],
                "channels are told apart by their names",
                "{:?} in {name}, where {number} was published",
                numbers(&seen)
            );
        }
    }
    cluster.shutdown().await;
}

/// Envelopes of all sizes that a node takes in are carried, alone and many at a time.
///
/// # Panics
/// With the promise that the broker breaks.
pub async fn check_sizes<B: Broker>(attach: impl AsyncFn(&str) -> B, plan: &Plan) {
    let cluster = Cluster::start(&attach, "sizes", plan).await;
    cluster.subscribe(&["thread.1"]).await;
    let sizes = [3, 100, 1_000, 4_095, 4_096, 16_000, 65_536, 65_536 + 1_024];
    let mut under_way = Vec::new();
    let broker = &cluster.members[0].broker;
    for size in sizes.into_iter().cycle().take(sizes.len() * 8) {
        let payload = format!("\"{}\"", "x".repeat(size - 2));
        let event = Event::new(super::channel("thread.1"), "e", payload);
        under_way.push(broker.publish(event.expect("the payload is JSON")));
    }
    let count = under_way.len();
    for publishing in under_way {
        let published = plan.within("publish resolves", publishing).await;
        promise!(
            published.is_ok(),
            "envelopes of every size are carried",
            "{published:?}"
        );
    }
    for member in &cluster.members {
        let seen = member.seen.until("thread.1", count, plan).await;
        let length = |seen: &Seen| seen.event.payload().len();
        let seen = seen.iter().map(length).collect::<Vec<_>>();
        let sent = sizes.into_iter().cycle().take(count).collect::<Vec<_>>();
        promise!(
            seen == sent,
            "payloads arrive whole and in order",
            "payloads of {seen:?} bytes, where {sent:?} were sent"
        );
    }
    cluster.shutdown().await;
}

/// Ephemeral events reach the nodes that are there, without position, and are kept nowhere.
///
/// # Panics
/// With the promise that the broker breaks.
pub async fn check_ephemeral<B: Broker>(attach: impl AsyncFn(&str) -> B, plan: &Plan) {
    let cluster = Cluster::start(&attach, "ephemeral", plan).await;
    cluster.subscribe(&["thread.1"]).await;
    for number in 0..20 {
        let event = sample("thread.1", number).with_guarantee(Guarantee::Ephemeral);
        cluster.member(number).publish(event, plan).await;
    }
    for member in &cluster.members {
        let seen = member.seen.until("thread.1", 20, plan).await;
        promise!(
            seen.iter().all(|seen| seen.position.is_none()),
            "ephemeral events have no position",
            "{seen:?}"
        );
        let mut numbers = numbers(&seen);
        numbers.sort_unstable();
        promise!(
            numbers == (0..20).collect::<Vec<_>>(),
            "an ephemeral event reaches a node once",
            "{numbers:?}"
        );
    }
    cluster.shutdown().await;
}
