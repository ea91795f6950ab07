//! Records for a group.

use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::consumer::pull::Config;
use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, PullConsumer};
use fanfare::BoxFuture;
use fanfare::broker::{BrokerError, BrokerErrorKind};
use tokio::time::{sleep, timeout};

use super::connection::{Connection, PATIENCE};
use super::history::{History, Past};
use super::pump::{Fetched, Hands, Pump};
use super::record::from_message;
use super::settle::NatsSettle;
use super::subject::Subjects;
use crate::services::headers::{refused, unavailable, until};
use crate::services::{Delivery, Source, Subscription};

/// Deliveries of a group that are not acknowledged, those that wait for a retry too. Where so many
/// wait, the group gets no new ones until some are due.
const MOST_UNSETTLED: i64 = 100_000;

/// Between an error and the next try.
const PAUSE: Duration = Duration::from_millis(250);

#[derive(Debug)]
pub(super) struct NatsSource {
    connection: Arc<Connection>,
    subjects: Subjects,
    topic: String,
    history: Arc<History>,
    hands: Arc<Hands>,
    consumer: PullConsumer,
    /// The call before failed: a caller that asks again at once must not spin.
    failed: bool,
}

impl NatsSource {
    pub(super) async fn open(
        connection: Arc<Connection>,
        subjects: Subjects,
        subscription: &Subscription,
    ) -> Result<Self, BrokerError> {
        const MOST: u16 = 10_000;
        let prefetch = subscription.prefetch;
        if prefetch == 0 || prefetch > MOST {
            return Err(refused(format!("prefetch is 1 to {MOST}, not {prefetch}")));
        }
        let consumer = consumer(&connection, &subjects).await?;
        let client = connection.client();
        let inbox = client.new_inbox();
        let deliveries = timeout(PATIENCE, client.subscribe(format!("{inbox}.*"))).await;
        let deliveries = deliveries
            .map_err(|_| connection.silent())?
            .map_err(|error| BrokerError::new(BrokerErrorKind::Unavailable, error))?;
        let hands = Arc::new(Hands::new(prefetch));
        let history = Arc::new(History::new(Arc::clone(&connection), subjects.clone()));
        let pump = Pump {
            connection: Arc::clone(&connection),
            subjects: subjects.clone(),
            history: Arc::clone(&history),
            hands: Arc::clone(&hands),
            consumer: consumer.clone(),
            inbox,
            deliveries,
        };
        pump.look_again().await;
        tokio::spawn(pump.run());
        Ok(Self {
            connection,
            subjects,
            topic: subscription.topic.clone(),
            history,
            hands,
            consumer,
            failed: false,
        })
    }

    async fn wait(&self) -> Result<Delivery, BrokerError> {
        loop {
            while let Some(fetched) = self.hands.front() {
                if let Some(delivery) = self.take(fetched).await? {
                    return Ok(delivery);
                }
            }
            if let Some(error) = self.hands.trouble() {
                return Err(error);
            }
            self.hands.ready.notified().await;
        }
    }

    /// Hands out the record at the front, or refuses it until it is due. It is taken from the front
    /// only once nothing is awaited any more, so that a call that is cancelled loses none.
    async fn take(&self, fetched: Fetched) -> Result<Option<Delivery>, BrokerError> {
        let Fetched {
            sequence,
            again,
            message,
            reply,
        } = fetched;
        let record = from_message(
            &self.topic,
            &self.connection.config.stream,
            sequence,
            message.headers.as_ref(),
            message.payload.clone(),
        );
        let past = if again {
            self.history.of(sequence, &record.id).await?
        } else {
            None
        };
        let wait = past
            .as_ref()
            .map(|past| until(past.due))
            .unwrap_or_default();
        // The clock of the server may be a little ahead of this one.
        if wait > Duration::from_millis(20) {
            self.hands.put_off(sequence, wait);
            return Ok(None);
        }
        if !self.hands.take(sequence) {
            return Ok(None);
        }
        let failures = past.map_or_else(Vec::new, |Past { failures, .. }| failures);
        let settle = NatsSettle::new(
            Arc::clone(&self.connection),
            Arc::clone(&self.history),
            Arc::clone(&self.hands),
            self.subjects.dead.clone(),
            sequence,
            reply,
            record.clone(),
            failures.clone(),
        );
        Ok(Some(Delivery {
            record,
            failures,
            settle: Box::new(settle),
        }))
    }
}

impl Source for NatsSource {
    fn next(&mut self) -> BoxFuture<'_, Result<Delivery, BrokerError>> {
        Box::pin(async move {
            if self.failed {
                sleep(PAUSE).await;
                self.failed = false;
            }
            let delivery = self.wait().await;
            self.failed = delivery.is_err();
            delivery
        })
    }

    /// Those that the server has not delivered, and those that wait for a retry. What other
    /// processes of the group have in hand counts too, because the server cannot tell them apart.
    fn lag(&mut self) -> BoxFuture<'_, Option<u64>> {
        Box::pin(async move {
            self.connection.check().ok()?;
            let info = timeout(PATIENCE, self.consumer.get_info())
                .await
                .ok()?
                .ok()?;
            let unsettled = u64::try_from(info.num_ack_pending).unwrap_or(u64::MAX);
            let here = u64::try_from(self.hands.in_hand()).unwrap_or(u64::MAX);
            Some(info.num_pending + unsettled.saturating_sub(here))
        })
    }
}

impl Drop for NatsSource {
    fn drop(&mut self) {
        self.hands.close();
    }
}

/// The group's durable consumer, created where it is missing.
///
/// Its limit of unacknowledged deliveries holds for the whole group, and those that wait for a retry
/// count. It cannot bound what one source has in hand, or every process but the first would
/// starve and retries would block the rest; [`Pump`] asks for as many as it has places for.
pub(super) async fn consumer(
    connection: &Connection,
    subjects: &Subjects,
) -> Result<PullConsumer, BrokerError> {
    let stream = connection.open_stream(&connection.records()).await?;
    let config = Config {
        durable_name: Some(subjects.consumer.clone()),
        deliver_policy: DeliverPolicy::All,
        ack_policy: AckPolicy::Explicit,
        ack_wait: connection.config.ack_wait,
        max_deliver: -1,
        max_ack_pending: MOST_UNSETTLED,
        filter_subjects: vec![subjects.topic.clone(), subjects.replays.clone()],
        ..Config::default()
    };
    let created = timeout(PATIENCE, stream.create_consumer(config)).await;
    created
        .map_err(|_| connection.silent())?
        .map_err(|error| match error.kind() {
            async_nats::jetstream::stream::ConsumerErrorKind::JetStream(_) => refused(format!(
                "NATS does not give the consumer {}: {error}",
                subjects.consumer
            )),
            _ => unavailable(format!(
                "NATS does not give the consumer {}: {error}",
                subjects.consumer
            )),
        })
}
