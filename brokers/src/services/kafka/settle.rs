//! What becomes of a delivery.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use fanfare::BoxFuture;
use fanfare::broker::BrokerError;
use tokio::time::timeout;

use super::client::Client;
use super::hands::{Fetched, Hands, gone};
use super::names::Names;
use super::record::{Letter, Read};
use crate::services::headers::{and, in_brief, is_refused, unavailable};
use crate::services::{Failure, Record, Settle};

/// How long a commit may take. The group may be finding itself anew meanwhile.
const COMMIT: Duration = Duration::from_secs(15);

/// A copy, for a retry or as a dead letter, is written before the original is settled: should this end
/// in between, both come, with one id; never neither.
pub(super) struct KafkaSettle {
    client: Arc<Client>,
    names: Arc<Names>,
    hands: Arc<Hands>,
    /// Empty once it is settled.
    fetched: Option<Fetched>,
}

impl KafkaSettle {
    pub(super) const fn new(
        client: Arc<Client>,
        names: Arc<Names>,
        hands: Arc<Hands>,
        fetched: Fetched,
    ) -> Self {
        Self {
            client,
            names,
            hands,
            fetched: Some(fetched),
        }
    }

    async fn settle(&mut self) -> Result<(), BrokerError> {
        let fetched = self.fetched.take().ok_or_else(gone)?;
        let known = self.hands.settle(&fetched)?;
        match timeout(COMMIT, known).await {
            Ok(Ok(known)) => known,
            Ok(Err(_)) => Err(gone()),
            Err(_) => Err(unavailable(
                "Kafka did not confirm in 15 s that a record is settled",
            )),
        }
    }

    /// Writes a copy with one more failure, and settles the original.
    async fn replace(
        &mut self,
        failure: Failure,
        copy: impl Fn(&Record, &[Failure]) -> Letter,
    ) -> Result<(), BrokerError> {
        let fetched = self.fetched.as_ref().ok_or_else(gone)?;
        self.hands.check(fetched)?;
        let Read {
            record, failures, ..
        } = &fetched.read;
        let mut written = Ok(());
        for failures in in_brief(and(failures, failure)) {
            written = self.client.write(&copy(record, &failures)).await;
            if !is_refused(&written) {
                break;
            }
        }
        written?;
        self.settle().await
    }
}

impl Settle for KafkaSettle {
    fn done(mut self: Box<Self>) -> BoxFuture<'static, Result<(), BrokerError>> {
        Box::pin(async move { self.settle().await })
    }

    fn retry(
        mut self: Box<Self>,
        after: Duration,
        failure: Failure,
    ) -> BoxFuture<'static, Result<(), BrokerError>> {
        Box::pin(async move {
            let now = SystemTime::now();
            let due = now.checked_add(after).unwrap_or(now);
            let names = Arc::clone(&self.names);
            self.replace(failure, |record, failures| {
                Letter::new(names.retry(after), record).due(due, failures)
            })
            .await
        })
    }

    fn give_up(
        mut self: Box<Self>,
        failure: Failure,
    ) -> BoxFuture<'static, Result<(), BrokerError>> {
        Box::pin(async move {
            let names = Arc::clone(&self.names);
            self.replace(failure, |record, failures| {
                Letter::new(&names.dead, record).dead(failures)
            })
            .await
        })
    }

    /// The server was never told that it was delivered, so there is nothing to tell it.
    fn release(self: Box<Self>) -> BoxFuture<'static, Result<(), BrokerError>> {
        drop(self);
        Box::pin(std::future::ready(Ok(())))
    }
}

impl Drop for KafkaSettle {
    fn drop(&mut self) {
        if let Some(fetched) = self.fetched.take() {
            self.hands.release(fetched);
        }
    }
}
