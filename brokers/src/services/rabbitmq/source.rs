//! Reading a group's queue, across losses of the connection.

use std::sync::Arc;
use std::time::Duration;

use fanfare::{BoxFuture, BrokerError};
use futures_util::StreamExt;
use lapin::options::{BasicConsumeOptions, BasicQosOptions, QueueDeclareOptions};
use lapin::types::{FieldTable, ShortString};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use super::connection::{Live, declare_group};
use super::error::{answer, failed, short, unavailable};
use super::message::Message;
use super::settle::{Closing, Group, Reading, Unsettled, Verdict, settle_all};
use crate::services::engine::{Delivery, Source};

/// How long a source waits for the connection before it says that there is none.
const PATIENCE: Duration = Duration::from_secs(5);

/// The records of a group.
pub(super) struct QueueSource {
    group: Arc<Group>,
    prefetch: u16,
    session: Option<Session>,
    /// The next session, on a task of its own so that nothing of it is lost where `next` is dropped.
    opening: Option<JoinHandle<Result<Session, BrokerError>>>,
}

/// Reading on one channel.
struct Session {
    consumer: lapin::Consumer,
    verdicts: mpsc::Sender<Verdict>,
    /// Dropped, the channel is closed once what was settled is known to the server.
    _open: watch::Sender<()>,
    closing: Closing,
}

impl QueueSource {
    pub(super) async fn open(group: Arc<Group>, prefetch: u16) -> Result<Self, BrokerError> {
        let session = Session::open(group.clone(), prefetch).await?;
        Ok(Self {
            group,
            prefetch,
            session: Some(session),
            opening: None,
        })
    }

    async fn next(&mut self) -> Result<Delivery, BrokerError> {
        loop {
            if let Some(session) = &mut self.session {
                let delivered = session.consumer.next().await;
                if let Some(Ok(delivery)) = delivered {
                    let message = Message::read(
                        delivery.routing_key.as_str(),
                        &delivery.properties,
                        delivery.data,
                    );
                    let verdicts = session.verdicts.clone();
                    return Ok(self.delivery(delivery.acker, verdicts, message));
                }
                self.session = None;
                return Err(match delivered {
                    Some(Err(error)) => failed("read records", error),
                    _ => unavailable(format!(
                        "the server ended the reading of queue {}",
                        self.group.queue.name
                    )),
                });
            }
            let opening = self.opening.get_or_insert_with(|| {
                tokio::spawn(Session::open(self.group.clone(), self.prefetch))
            });
            let opened = opening.await;
            self.opening = None;
            let broken = |_| unavailable("the engine ends with its runtime");
            self.session = Some(opened.map_err(broken)??);
        }
    }

    fn delivery(
        &self,
        acker: lapin::Acker,
        verdicts: mpsc::Sender<Verdict>,
        message: Message,
    ) -> Delivery {
        Delivery {
            record: message.record.clone(),
            failures: message.failures.clone(),
            settle: Box::new(Unsettled::new(self.group.clone(), acker, verdicts, message)),
        }
    }

    async fn lag(&self) -> Option<u64> {
        let name = short(&self.group.queue.name).ok()?;
        let channel = self.group.link.now().ok()?.channel().await.ok()?;
        let passive = QueueDeclareOptions::default().passive();
        let declared = channel.queue_declare(name, passive, FieldTable::default());
        let queue = answer("ask for the length of a queue", declared)
            .await
            .ok()?;
        Some(u64::from(queue.message_count()))
    }
}

impl Session {
    async fn open(group: Arc<Group>, prefetch: u16) -> Result<Self, BrokerError> {
        let live = group.link.clone().within(PATIENCE).await?;
        let opening = Box::pin(Self::open_on(&live, &group, prefetch));
        let opened = group.link.clone().while_lasts(&live, opening).await;
        opened.unwrap_or_else(|| Err(unavailable("the connection was lost")))
    }

    async fn open_on(live: &Arc<Live>, group: &Group, prefetch: u16) -> Result<Self, BrokerError> {
        let channel = live.channel().await?;
        declare_group(&channel, &group.topology, &group.queue).await?;
        let qos = channel.basic_qos(prefetch, BasicQosOptions::default());
        answer("bound what is handed over", qos).await?;
        let name = &group.queue.name;
        let consuming = channel.basic_consume(
            short(name)?,
            ShortString::default(),
            BasicConsumeOptions::default(),
            FieldTable::default(),
        );
        let consumer = answer(&format!("read queue {name}"), consuming).await?;
        let (verdicts, receiver) = mpsc::channel(usize::from(prefetch) + 1);
        let (open, closed) = watch::channel(());
        let reading = Reading {
            channel,
            consumer: consumer.tag(),
            prefetch,
            closed,
        };
        let (link, closing) = (group.link.clone(), group.closing.clone());
        tokio::spawn(settle_all(
            link,
            live.clone(),
            reading,
            receiver,
            closing.clone(),
        ));
        Ok(Self {
            consumer,
            verdicts,
            _open: open,
            closing,
        })
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.closing.begin();
    }
}

impl Source for QueueSource {
    fn next(&mut self) -> BoxFuture<'_, Result<Delivery, BrokerError>> {
        Box::pin(Self::next(self))
    }

    fn lag(&mut self) -> BoxFuture<'_, Option<u64>> {
        Box::pin(Self::lag(self))
    }
}

impl Drop for QueueSource {
    fn drop(&mut self) {
        if let Some(opening) = self.opening.take() {
            opening.abort();
        }
    }
}
