//! A service that reads a topic.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use fanfare::Record;
use fanfare_brokers::services::{Consumer, Engine, HandlerError, Running, Subscription, Work};
use tokio::time::sleep;

use crate::site::connect;

const PATIENCE: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(20);

/// A consumer of a topic with a group of its own, and what it got.
pub(crate) struct Reader {
    got: Arc<Mutex<Vec<Record>>>,
    running: Running,
    /// RabbitMQ's consumers end with it.
    _engine: Arc<dyn Engine>,
}

impl Reader {
    /// Begins to read over a connection of its own. The group and its queue are there from then on.
    pub(crate) async fn start(url: &str, topic: &str) -> Self {
        let got = Arc::<Mutex<Vec<Record>>>::default();
        let records = got.clone();
        let subscription = Subscription {
            topic: topic.to_owned(),
            group: "billing".to_owned(),
            prefetch: 500,
        };
        let engine = connect(url).await;
        let consumer = Consumer::new(engine.clone(), subscription, move |work: Work| {
            records.lock().unwrap().push(work.record);
            std::future::ready(Ok::<_, HandlerError>(()))
        });
        Self {
            got,
            running: consumer.start().await.unwrap(),
            _engine: engine,
        }
    }

    pub(crate) async fn stop(self) {
        self.running.stop().await;
    }

    /// The first copy of each record, in the order in which they came, once all of these have.
    pub(crate) async fn until_all(&self, expected: Vec<u64>) -> Vec<Record> {
        let until = Instant::now() + PATIENCE;
        loop {
            let records = self.firsts();
            let ids = records
                .iter()
                .map(|record| record.id.parse::<u64>().unwrap());
            let ids = ids.collect::<BTreeSet<_>>();
            let missing = expected.iter().filter(|id| !ids.contains(id));
            let missing = missing.collect::<Vec<_>>();
            if missing.is_empty() {
                return records;
            }
            assert!(
                Instant::now() < until,
                "not within {PATIENCE:?}: {missing:?}"
            );
            sleep(LOOK).await;
        }
    }

    fn firsts(&self) -> Vec<Record> {
        let mut ids = BTreeSet::new();
        let got = self.got.lock().unwrap();
        let firsts = got.iter().filter(|record| ids.insert(record.id.clone()));
        firsts.cloned().collect()
    }

    /// How many came, copies included.
    pub(crate) fn count(&self) -> usize {
        self.got.lock().unwrap().len()
    }
}
