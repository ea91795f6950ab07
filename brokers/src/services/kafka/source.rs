//! Records for a group.

use std::sync::Arc;
use std::time::Duration;

use fanfare::BoxFuture;
use fanfare::broker::{BrokerError, BrokerErrorKind};
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use super::client::Client;
use super::hands::{Hands, Role};
use super::names::Names;
use super::reader::Reader;
use super::settle::KafkaSettle;
use crate::services::headers::refused;
use crate::services::{Delivery, Source};

/// Between an error and the next try.
const PAUSE: Duration = Duration::from_millis(250);

#[derive(Debug)]
pub(super) struct KafkaSource {
    client: Arc<Client>,
    names: Arc<Names>,
    hands: Arc<Hands>,
    /// The call before failed: a caller that asks again at once must not spin.
    failed: bool,
}

impl KafkaSource {
    pub(super) async fn open(
        client: Arc<Client>,
        names: Names,
        prefetch: u16,
    ) -> Result<Self, BrokerError> {
        const MOST: u16 = 10_000;
        if prefetch == 0 || prefetch > MOST {
            return Err(refused(format!("prefetch is 1 to {MOST}, not {prefetch}")));
        }
        client.check()?;
        client.prepare(&names).await?;
        let hands = Arc::new(Hands::new(prefetch));
        let names = Arc::new(names);
        // Made first: should a reader not start, the drop of this ends the other.
        let source = Self {
            client: Arc::clone(&client),
            names: Arc::clone(&names),
            hands: Arc::clone(&hands),
            failed: false,
        };
        // The library connects and may wait for it.
        let started = spawn_blocking(move || {
            let Names { topic, group, .. } = &*names;
            let servers = &client.servers;
            let retries: Vec<&str> = names.retries.iter().map(|(_, name)| &**name).collect();
            let other = Arc::clone(&hands);
            Reader::start(servers, group, topic, &[topic], other, Role::Records)?;
            let group = &names.retry_group;
            Reader::start(servers, group, topic, &retries, hands, Role::Retries)
        });
        started
            .await
            .map_err(|error| BrokerError::new(BrokerErrorKind::Unavailable, error))??;
        Ok(source)
    }
}

impl Source for KafkaSource {
    fn next(&mut self) -> BoxFuture<'_, Result<Delivery, BrokerError>> {
        Box::pin(async move {
            if self.failed {
                sleep(PAUSE).await;
                self.failed = false;
            }
            loop {
                if let Some(fetched) = self.hands.take() {
                    let read = fetched.read.clone();
                    let settle = KafkaSettle::new(
                        Arc::clone(&self.client),
                        Arc::clone(&self.names),
                        Arc::clone(&self.hands),
                        fetched,
                    );
                    return Ok(Delivery {
                        record: read.record,
                        failures: read.failures,
                        settle: Box::new(settle),
                    });
                }
                if let Some(error) = self.hands.trouble() {
                    self.failed = true;
                    return Err(error);
                }
                self.hands.ready.notified().await;
            }
        })
    }

    /// Those of the partitions that this source has, which it has not in hand. None until it has some.
    fn lag(&mut self) -> BoxFuture<'_, Option<u64>> {
        Box::pin(async move {
            self.client.check().ok()?;
            let committed = self.hands.committed();
            let in_hand = self.hands.in_hand();
            let client = Arc::clone(&self.client);
            let counted = spawn_blocking(move || {
                let mut lag = 0i64;
                for ((topic, partition), offset, ahead) in &committed {
                    let (low, high) = client.watermarks(topic, *partition).ok()?;
                    let settled = offset.unwrap_or(low).max(low);
                    lag += high - settled - i64::try_from(*ahead).unwrap_or(i64::MAX);
                }
                let any = !committed.is_empty();
                any.then(|| u64::try_from(lag).unwrap_or_default())
            });
            let lag = counted.await.ok()??;
            Some(lag.saturating_sub(u64::try_from(in_hand).unwrap_or(u64::MAX)))
        })
    }
}

impl Drop for KafkaSource {
    fn drop(&mut self) {
        self.hands.close();
    }
}
