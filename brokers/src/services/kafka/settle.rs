//! What becomes of a delivery.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use fanfare::BoxFuture;
use fanfare::broker::BrokerError;
use tokio::time::timeout;

use super::client::Client;
use super::hands::{Fetched, Hands, gone};
use super::names::Names;
use super::record::Letter;
use crate::services::headers::{and, unavailable};
use crate::services::{Failure, Settle};

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

    /// Writes a copy, and settles the original.
    async fn replace(&mut self, copy: impl FnOnce(&Fetched) -> Letter) -> Result<(), BrokerError> {
        let fetched = self.fetched.as_ref().ok_or_else(gone)?;
        self.hands.check(fetched)?;
        self.client.write(&copy(fetched)).await?;
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
            self.replace(|fetched| {
                let failures = and(&fetched.read.failures, failure);
                Letter::new(names.retry(after), &fetched.read.record).due(due, &failures)
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
            self.replace(|fetched| {
                let failures = and(&fetched.read.failures, failure);
                Letter::new(&names.dead, &fetched.read.record).dead(&failures)
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
