//! What is published comes, whole and once.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;

use super::reading::{Topic, done, nothing, open, publish, take};
use super::{Plan, promise};
use crate::services::engine::{Engine, Record};

/// Records come as they were published, whatever they hold, and once they are done not again.
///
/// # Panics
/// Where a promise is broken.
pub async fn check_records(engine: impl AsyncFn() -> Arc<dyn Engine>, plan: &Plan) {
    let engine = engine().await;
    let topic = Topic::new();
    let group = topic.group("readers", 100);
    let mut source = open(&*engine, &group).await;
    let records = unusual(&topic);
    publish(&*engine, &records).await;
    let count = u32::try_from(records.len()).unwrap_or(u32::MAX);
    let deliveries = take(&mut *source, count, plan).await;
    let expected = records
        .iter()
        .map(|record| (&*record.id, record))
        .collect::<HashMap<_, _>>();
    for delivery in &deliveries {
        let record = &delivery.record;
        promise!(
            expected.get(&*record.id) == Some(&record),
            "a record comes as it was published",
            "{record:?}"
        );
        promise!(
            delivery.failures.is_empty(),
            "a record that did not fail has no failures",
            "{:?}",
            delivery.failures
        );
    }
    done(deliveries).await;
    nothing(&mut *source, plan, "a record comes once").await;
    promise!(engine.is_up(), "an engine that works is up", "it is not");
    drop(source);
    let mut source = open(&*engine, &group).await;
    nothing(&mut *source, plan, "what is done does not come again").await;
    drop(source);
    engine.shutdown().await;
    promise!(
        engine.publish(topic.record(1, "")).await.is_err(),
        "an engine that was shut down publishes nothing",
        "it accepted a record"
    );
}

fn unusual(topic: &Topic) -> Vec<Record> {
    let keys = ["", "user-1", "Grüße, 世界", "a.b*c>d #"];
    let payloads = [
        Bytes::from_static(b"{}"),
        Bytes::new(),
        Bytes::from_static(b"\0\xff\xfe not JSON, not even UTF-8"),
        Bytes::from(vec![b'x'; 200_000]),
        Bytes::from(r#"{"text":"äöü \"quoted\" 🦀"}"#),
    ];
    let mut records = Vec::new();
    for key in keys {
        for payload in &payloads {
            let number = u32::try_from(records.len()).unwrap_or_default();
            let mut record = topic.record(number, key);
            record.payload = payload.clone();
            records.push(record);
        }
    }
    // As long as an id may be.
    let longest = format!("{:0>128}", records[0].id);
    records[0].id = longest;
    records
}
