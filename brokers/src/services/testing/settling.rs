//! Done, retried, given back.

use std::sync::Arc;
use std::time::Instant;

use super::reading::{
    Topic, done, failure, ids, next, nothing, open, publish, sorted, take, works,
};
use super::{Plan, promise};
use crate::services::engine::Engine;

/// What is settled is known to the server when settling returns: a consumer that ends after that
/// neither loses nor repeats it.
///
/// # Panics
/// Where a promise is broken.
pub async fn check_settling(engine: impl AsyncFn() -> Arc<dyn Engine>, plan: &Plan) {
    let first = engine().await;
    let topic = Topic::new();
    let group = topic.group("readers", 50);
    let mut source = open(&*first, &group).await;
    let records = topic.records(plan);
    publish(&*first, &records).await;
    let mut settled = Vec::new();
    for _ in 0..plan.records / 2 {
        let delivery = next(&mut *source, plan).await;
        settled.push(delivery.record.id.clone());
        done([delivery]).await;
    }
    drop(source);
    // Without a goodbye.
    drop(first);
    let second = engine().await;
    let mut source = open(&*second, &group).await;
    for _ in plan.records / 2..plan.records {
        let delivery = next(&mut *source, plan).await;
        settled.push(delivery.record.id.clone());
        done([delivery]).await;
    }
    promise!(
        sorted(settled) == ids(&records),
        "what was settled is so, and nothing else is",
        "other records after the end of a consumer"
    );
    nothing(&mut *source, plan, "what was settled does not come again").await;
    drop(source);
    second.shutdown().await;
}

/// What is released, or dropped without a word, comes again as if it had not been delivered.
///
/// # Panics
/// Where a promise is broken.
pub async fn check_giving_back(engine: impl AsyncFn() -> Arc<dyn Engine>, plan: &Plan) {
    let engine = engine().await;
    let topic = Topic::new();
    let group = topic.group("readers", 50);
    let mut source = open(&*engine, &group).await;
    let record = topic.record(0, "key");
    publish(&*engine, std::slice::from_ref(&record)).await;

    let delivery = next(&mut *source, plan).await;
    works(delivery.settle.release().await, "a record can be released");
    let delivery = next(&mut *source, plan).await;
    promise!(
        delivery.record == record && delivery.failures.is_empty(),
        "a released record comes as if it had not been delivered",
        "{delivery:?}"
    );
    drop(delivery);
    let delivery = next(&mut *source, plan).await;
    promise!(
        delivery.record == record && delivery.failures.is_empty(),
        "a delivery that is dropped comes again",
        "{delivery:?}"
    );
    // In hand of a handler while the source goes.
    drop(source);
    let mut source = open(&*engine, &group).await;
    let again = next(&mut *source, plan).await;
    promise!(
        again.record == record && again.failures.is_empty(),
        "a source that is dropped gives back what is not settled",
        "{again:?}"
    );
    drop(delivery);
    done([again]).await;
    nothing(&mut *source, plan, "what is done does not come again").await;
    drop(source);
    engine.shutdown().await;
}

/// A retried record comes after its pause, with all that failed before; others do not wait for it,
/// and other groups do not see it.
///
/// # Panics
/// Where a promise is broken.
pub async fn check_retrying(engine: impl AsyncFn() -> Arc<dyn Engine>, plan: &Plan) {
    let engine = engine().await;
    let topic = Topic::new();
    let mut source = open(&*engine, &topic.group("readers", 50)).await;
    let mut bystander = open(&*engine, &topic.group("bystanders", 50)).await;
    let records = [topic.record(0, "key"), topic.record(1, "key")];
    publish(&*engine, &records).await;
    let seen = take(&mut *bystander, 2, plan).await;
    done(seen).await;

    let mut failures = Vec::new();
    let mut delivery = next(&mut *source, plan).await;
    let mut other = Some(next(&mut *source, plan).await);
    if delivery.record != records[0] {
        other = Some(std::mem::replace(
            &mut delivery,
            other.unwrap_or_else(|| unreachable!()),
        ));
    }
    for pause in [plan.pause, plan.pause * 2, plan.pause] {
        // One as long as a reason may be.
        let reason = match failures.len() {
            1 => "é".repeat(500),
            attempt => format!("attempt {attempt} failed"),
        };
        failures.push(failure(&reason));
        let last = failures[failures.len() - 1].clone();
        let begun = Instant::now();
        let retried = delivery.settle.retry(pause, last).await;
        works(retried, "a record can be put off");
        // An engine may need a while for the first record with a pause.
        let settled_in = failures.len() == 3;
        if let Some(other) = other.take_if(|_| settled_in) {
            // Released, so that it comes again while the first waits.
            works(other.settle.release().await, "a record can be released");
            let other = next(&mut *source, plan).await;
            promise!(
                other.record == records[1] && begun.elapsed() < pause,
                "nothing waits behind a record that was put off",
                "{:?} after {:?}",
                other.record,
                begun.elapsed()
            );
            done([other]).await;
        }
        delivery = next(&mut *source, plan).await;
        let waited = begun.elapsed();
        promise!(
            delivery.record == records[0],
            "a record that was put off comes again, whole",
            "{:?}",
            delivery.record
        );
        promise!(
            waited >= pause.mul_f64(0.9) && waited <= pause + plan.lateness,
            "a record that was put off comes when its pause is over",
            "after {waited:?} instead of {pause:?}"
        );
        promise!(
            delivery.failures == failures,
            "failures travel with their record, oldest first, to the millisecond",
            "{:?} instead of {failures:?}",
            delivery.failures
        );
    }
    done([delivery]).await;
    nothing(&mut *source, plan, "what is done does not come again").await;
    nothing(&mut *bystander, plan, "a retry is its group's own").await;
    drop((source, bystander));
    engine.shutdown().await;
}
