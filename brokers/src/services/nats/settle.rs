//! What becomes of a delivery.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_nats::Subject;
use async_nats::jetstream::AckKind;
use fanfare::BoxFuture;
use fanfare::broker::BrokerError;

use super::connection::{Connection, PATIENCE};
use super::history::History;
use super::pump::Hands;
use super::record::to_dead_letter;
use crate::services::headers::{and, until};
use crate::services::{Failure, Record, Settle};

/// Every acknowledgement is itself acknowledged by the server. Where that fails, the delivery is
/// given back as soon as the server can be told.
pub(super) struct NatsSettle {
    connection: Arc<Connection>,
    history: Arc<History>,
    hands: Arc<Hands>,
    dead: String,
    sequence: u64,
    reply: Subject,
    record: Record,
    failures: Vec<Failure>,
    settled: bool,
}

impl NatsSettle {
    #[expect(clippy::too_many_arguments, reason = "one caller, which has them all")]
    pub(super) const fn new(
        connection: Arc<Connection>,
        history: Arc<History>,
        hands: Arc<Hands>,
        dead: String,
        sequence: u64,
        reply: Subject,
        record: Record,
        failures: Vec<Failure>,
    ) -> Self {
        Self {
            connection,
            history,
            hands,
            dead,
            sequence,
            reply,
            record,
            failures,
            settled: false,
        }
    }

    /// Refuses it, so that it comes again.
    async fn refuse(&mut self, delay: Option<Duration>) -> Result<(), BrokerError> {
        // It may come again before the server's answer does, and must not be taken for one that is in
        // hand then.
        let newest = self.hands.leave(self.sequence);
        let reply = newest.as_ref().unwrap_or(&self.reply);
        let kind = AckKind::Nak(delay);
        let refused = self.connection.acknowledge(reply, kind, PATIENCE).await;
        self.settled = refused.is_ok();
        refused
    }

    async fn acknowledge(&mut self, kind: AckKind) -> Result<(), BrokerError> {
        /// A server that was killed may have forgotten that it delivered this. It says nothing to an
        /// acknowledgement then, until it has delivered it again, which [`Hands`] takes note of.
        const EACH: Duration = Duration::from_secs(1);
        const TRIES: usize = 5;
        let mut outcome = Ok(());
        for _ in 0..TRIES {
            let newest = self.hands.reply(self.sequence);
            let reply = newest.as_ref().unwrap_or(&self.reply);
            outcome = self.connection.acknowledge(reply, kind, EACH).await;
            if outcome.is_ok() {
                self.settled = true;
                self.hands.settled(self.sequence);
                break;
            }
            self.connection.check()?;
        }
        outcome
    }

    /// The record is worked off or a dead letter: its failures are not needed any more.
    async fn finish(&mut self) -> Result<(), BrokerError> {
        self.acknowledge(AckKind::Ack).await?;
        self.hands.finished(&self.reply);
        if !self.failures.is_empty() {
            self.history.forget(self.sequence).await;
        }
        Ok(())
    }
}

impl Settle for NatsSettle {
    fn done(mut self: Box<Self>) -> BoxFuture<'static, Result<(), BrokerError>> {
        Box::pin(async move { self.finish().await })
    }

    fn retry(
        mut self: Box<Self>,
        after: Duration,
        failure: Failure,
    ) -> BoxFuture<'static, Result<(), BrokerError>> {
        Box::pin(async move {
            let now = SystemTime::now();
            let due = now.checked_add(after).unwrap_or(now);
            let failures = and(&self.failures, failure);
            self.history
                .write(self.sequence, &self.record.id, due, &failures)
                .await?;
            self.hands.failed(self.sequence);
            self.refuse(Some(until(due)).filter(|wait| !wait.is_zero()))
                .await
        })
    }

    fn give_up(
        mut self: Box<Self>,
        failure: Failure,
    ) -> BoxFuture<'static, Result<(), BrokerError>> {
        Box::pin(async move {
            // Written before the original is acknowledged, so that it is always in one of the two;
            // written twice, the second is a duplicate to the server.
            let unique = format!("{} {}", self.dead, self.sequence);
            let failures = and(&self.failures, failure);
            let letter = to_dead_letter(&self.record, &failures, &unique);
            self.connection.write(self.dead.clone(), letter).await?;
            self.finish().await
        })
    }

    fn release(mut self: Box<Self>) -> BoxFuture<'static, Result<(), BrokerError>> {
        Box::pin(async move { self.refuse(None).await })
    }
}

impl Drop for NatsSettle {
    fn drop(&mut self) {
        if !self.settled {
            self.hands.give_back(self.sequence, &self.reply);
        }
    }
}
