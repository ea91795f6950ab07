//! Giving up, looking at what was given up, and giving it back.

use std::sync::Arc;

use super::reading::{Topic, done, failure, next, nothing, open, publish, take, works};
use super::{Plan, promise};
use crate::services::engine::{Dead, Engine};

/// A record that is given up becomes a dead letter of its group alone, with its history; it is listed
/// as often as one likes, and replayed as if it had never failed.
///
/// # Panics
/// Where a promise is broken.
pub async fn check_dead_letters(engine: impl AsyncFn() -> Arc<dyn Engine>, plan: &Plan) {
    let engine = engine().await;
    let topic = Topic::new();
    let group = topic.group("readers", 50);
    let others = topic.group("others", 50);
    let mut source = open(&*engine, &group).await;
    let mut bystander = open(&*engine, &others).await;
    let records = (0..3).map(|n| topic.record(n, "key")).collect::<Vec<_>>();
    publish(&*engine, &records).await;
    let seen = take(&mut *bystander, 3, plan).await;
    done(seen).await;

    let (early, late) = (failure("no mail server"), failure("the address is none"));
    for record in &records {
        let delivery = next(&mut *source, plan).await;
        promise!(
            delivery.record == *record,
            "records of a key come in order",
            "{:?}",
            delivery.record
        );
        let put_off = delivery.settle.retry(plan.pause, early.clone()).await;
        works(put_off, "a record can be put off");
    }
    for _ in &records {
        let delivery = next(&mut *source, plan).await;
        let given_up = delivery.settle.give_up(late.clone()).await;
        works(given_up, "a record can be given up");
    }
    nothing(&mut *source, plan, "what was given up does not come again").await;
    nothing(&mut *bystander, plan, "giving up is a group's own").await;

    let expected = records.iter().map(|record| Dead {
        record: record.clone(),
        failures: vec![early.clone(), late.clone()],
    });
    let expected = expected.collect::<Vec<_>>();
    let mut dead = works(engine.dead_letters(&group).await, "dead letters can be had");
    for limit in [1, 3, 100] {
        let listed = works(dead.list(limit).await, "dead letters can be listed");
        promise!(
            listed[..] == expected[..limit.min(3)],
            "dead letters are listed with their histories, the oldest first, and stay where they are",
            "{listed:?}"
        );
    }
    let mut theirs = works(
        engine.dead_letters(&others).await,
        "dead letters can be had",
    );
    let listed = works(theirs.list(100).await, "dead letters can be listed");
    promise!(
        listed.is_empty(),
        "dead letters are their group's own",
        "{listed:?}"
    );
    let replayed = works(theirs.replay(100).await, "dead letters can be replayed");
    promise!(
        replayed == 0,
        "dead letters are their group's own",
        "{replayed} replayed"
    );

    for (limit, fresh) in [(1, 1), (100, 2)] {
        let replayed = works(dead.replay(limit).await, "dead letters can be replayed");
        promise!(
            replayed == fresh,
            "a replay says how many records it gave back, up to its limit",
            "{replayed} instead of {fresh}"
        );
        for _ in 0..fresh {
            let delivery = next(&mut *source, plan).await;
            promise!(
                delivery.failures.is_empty() && records.contains(&delivery.record),
                "a replayed record comes whole, as if it had never failed",
                "{delivery:?}"
            );
            done([delivery]).await;
        }
        let left = works(dead.list(100).await, "dead letters can be listed").len();
        promise!(
            left == if limit == 1 { 2 } else { 0 },
            "what was replayed is no dead letter any more",
            "{left} left"
        );
    }
    nothing(&mut *source, plan, "a replayed record comes once").await;
    nothing(&mut *bystander, plan, "a replay is its group's own").await;
    drop((source, bystander, dead, theirs));
    engine.shutdown().await;
}
