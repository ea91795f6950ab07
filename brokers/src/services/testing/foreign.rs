//! Records of programs that know nothing of fanfare.

use std::sync::Arc;

use bytes::Bytes;

use super::reading::{Topic, done, failure, next, nothing, open, works};
use super::{Plan, promise};
use crate::services::engine::Engine;

/// What other programs write is a record too: with an id that stays, retries, and dead letters. `write`
/// writes a payload to a topic with nothing that fanfare knows beside it.
///
/// # Panics
/// Where a promise is broken.
pub async fn check_foreign(
    engine: impl AsyncFn() -> Arc<dyn Engine>,
    write: impl AsyncFn(&str, Bytes),
    plan: &Plan,
) {
    let engine = engine().await;
    let topic = Topic::new();
    let group = topic.group("readers", 50);
    let mut source = open(&*engine, &group).await;
    let payload = Bytes::from_static(b"written by something else");
    write(&topic.0, payload.clone()).await;
    write(&topic.0, payload.clone()).await;
    let (first, second) = (
        next(&mut *source, plan).await,
        next(&mut *source, plan).await,
    );
    for delivery in [&first, &second] {
        let record = &delivery.record;
        promise!(
            record.topic == topic.0 && record.payload == payload && delivery.failures.is_empty(),
            "a foreign record comes as it was written",
            "{delivery:?}"
        );
        promise!(
            (1..=128).contains(&record.id.len()),
            "a foreign record has an id",
            "{:?}",
            record.id
        );
    }
    promise!(
        first.record.id != second.record.id,
        "two foreign records of the same content are two",
        "{:?} twice",
        first.record.id
    );
    done([second]).await;
    let (id, failed) = (first.record.id.clone(), failure("not understood"));
    let put_off = first.settle.retry(plan.pause, failed.clone()).await;
    works(put_off, "a foreign record can be put off");
    let again = next(&mut *source, plan).await;
    let record = &again.record;
    promise!(
        record.id == id && record.topic == topic.0 && record.payload == payload,
        "a foreign record that was put off is the same record",
        "{record:?} instead of {id}"
    );
    promise!(
        again.failures == std::slice::from_ref(&failed),
        "failures travel with a foreign record",
        "{:?}",
        again.failures
    );
    let given_up = again.settle.give_up(failed).await;
    works(given_up, "a foreign record can be given up");
    let mut dead = works(engine.dead_letters(&group).await, "dead letters can be had");
    let listed = works(dead.list(10).await, "dead letters can be listed");
    promise!(
        matches!(&listed[..], [dead] if dead.record.id == id && dead.record.payload == payload),
        "a foreign record can be a dead letter",
        "{listed:?}"
    );
    let replayed = works(dead.replay(10).await, "dead letters can be replayed");
    promise!(
        replayed == 1,
        "a foreign record can be replayed",
        "{replayed}"
    );
    let replayed = next(&mut *source, plan).await;
    done([replayed]).await;
    nothing(&mut *source, plan, "a replayed record comes once").await;
    drop((source, dead));
    engine.shutdown().await;
}
