//! The order of a key, and the bound on what is handed over.

use std::collections::HashMap;
use std::sync::Arc;

use super::reading::{Topic, done, next, nothing, open, publish, take, works};
use super::{Plan, promise};
use crate::services::engine::Engine;

/// Records of a key come in the order of the calls that published them.
///
/// # Panics
/// Where a promise is broken.
pub async fn check_order(engine: impl AsyncFn() -> Arc<dyn Engine>, plan: &Plan) {
    let engine = engine().await;
    let topic = Topic::new();
    let mut source = open(&*engine, &topic.group("readers", 50)).await;
    let records = topic.records(plan);
    let publishing = records.iter().map(|record| engine.publish(record.clone()));
    let mut publishing = publishing.collect::<Vec<_>>();
    // It is the order of the calls that counts, whoever is awaited first.
    publishing.reverse();
    for published in publishing {
        works(published.await, "a record can be published");
    }
    let numbers = records.iter().enumerate();
    let numbers = numbers
        .map(|(number, record)| (record.id.clone(), number))
        .collect::<HashMap<_, _>>();
    let mut last = HashMap::new();
    for _ in 0..plan.records {
        let delivery = next(&mut *source, plan).await;
        let record = &delivery.record;
        let number = numbers.get(&record.id).copied();
        if let Some(before) = last.insert(record.key.clone(), number) {
            promise!(
                before < number,
                "records of a key come in the order in which they were published",
                "{number:?} of {} after {before:?}",
                record.key
            );
        }
        done([delivery]).await;
    }
    drop(source);
    engine.shutdown().await;
}

/// No more records are unsettled at a time than the prefetch says.
///
/// # Panics
/// Where a promise is broken.
pub async fn check_prefetch(engine: impl AsyncFn() -> Arc<dyn Engine>, plan: &Plan) {
    const PREFETCH: u16 = 5;
    let engine = engine().await;
    let topic = Topic::new();
    let mut source = open(&*engine, &topic.group("readers", PREFETCH)).await;
    publish(&*engine, &topic.records(plan)).await;
    let mut taken = take(&mut *source, PREFETCH.into(), plan).await;
    let promise = "no more than the prefetch is unsettled at a time";
    nothing(&mut *source, plan, promise).await;
    done(taken.drain(..2)).await;
    taken.extend(take(&mut *source, 2, plan).await);
    nothing(&mut *source, plan, promise).await;
    done(taken).await;
    for _ in u32::from(PREFETCH) + 2..plan.records {
        let delivery = next(&mut *source, plan).await;
        done([delivery]).await;
    }
    nothing(&mut *source, plan, "a record comes once").await;
    drop(source);
    engine.shutdown().await;
}
