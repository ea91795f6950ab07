//! Groups: each has everything, its consumers share.

use std::sync::Arc;

use tokio::time::{sleep, timeout};

use super::reading::{Topic, ids, nothing, open, publish, sorted, works};
use super::{Plan, promise};
use crate::services::engine::{Engine, Source};

/// Each group has all records, and the consumers of a group share them.
///
/// # Panics
/// Where a promise is broken.
pub async fn check_groups(engine: impl AsyncFn() -> Arc<dyn Engine>, plan: &Plan) {
    let (here, there) = (engine().await, engine().await);
    let topic = Topic::new();
    let shared = topic.group("shared", 10);
    let mut one = open(&*here, &shared).await;
    let mut other = open(&*there, &shared).await;
    let mut alone = open(&*there, &topic.group("alone", 10)).await;
    sleep(plan.joining).await;
    let records = topic.records(plan);
    publish(&*here, &records).await;
    let (one_has, other_has, alone_has) = tokio::join!(
        drain(&mut *one, plan),
        drain(&mut *other, plan),
        drain(&mut *alone, plan)
    );
    let all = ids(&records);
    promise!(
        sorted(alone_has.clone()) == all,
        "each group has all records, once",
        "{} of {}",
        alone_has.len(),
        all.len()
    );
    let together = sorted(one_has.iter().chain(&other_has).cloned());
    promise!(
        together == all,
        "the consumers of a group have all records between them, each once",
        "{} and {} of {}",
        one_has.len(),
        other_has.len(),
        all.len()
    );
    promise!(
        !one_has.is_empty() && !other_has.is_empty(),
        "consumers of a group share its records",
        "{} and {} of {}",
        one_has.len(),
        other_has.len(),
        all.len()
    );
    // What one leaves, the other has.
    drop(one);
    sleep(plan.joining).await;
    let late = topic.record(plan.records, "late");
    publish(&*here, std::slice::from_ref(&late)).await;
    let late_has = drain(&mut *other, plan).await;
    promise!(
        late_has == [late.id],
        "a group goes on when one of its consumers is gone",
        "{late_has:?}"
    );
    nothing(&mut *other, plan, "a record comes once").await;
    drop((other, alone));
    here.shutdown().await;
    there.shutdown().await;
}

/// The ids of everything that comes, settled, until nothing comes for a while.
async fn drain(source: &mut dyn Source, plan: &Plan) -> Vec<String> {
    let mut ids = Vec::new();
    let mut patience = plan.patience;
    while let Ok(next) = timeout(patience, source.next()).await {
        let delivery = works(next, "records can be read");
        ids.push(delivery.record.id.clone());
        works(delivery.settle.done().await, "a record can be settled");
        patience = plan.quiet * 2;
    }
    ids
}
