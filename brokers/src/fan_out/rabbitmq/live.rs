//! What is in no log: ephemeral events, and what nodes say to each other.

use bytes::Bytes;
use fanfare::{Event, Ingress};
use futures_util::StreamExt;
use lapin::options::{
    BasicConsumeOptions, ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Channel, Consumer, ExchangeKind};

use super::connection::{Failure, Session, answer, name};
use super::reader::acknowledge;
use super::stream::Names;
use crate::fan_out::undecodable::Undecodable;

const PREFETCH: u16 = 1_000;
const ACKNOWLEDGED: u64 = 200;
/// How many messages wait for a node that is behind; then the oldest go.
const WAITING: i64 = 20_000;

/// This node's queue.
pub(super) struct Live {
    exchange: String,
    consumer: Consumer,
    _channel: Channel,
}

impl Live {
    pub(super) async fn open(session: &Session, names: &Names) -> Result<Self, Failure> {
        let channel = session.reading(PREFETCH).await?;
        let declared = channel.exchange_declare(
            name(&names.live),
            ExchangeKind::Fanout,
            ExchangeDeclareOptions::default(),
            FieldTable::default(),
        );
        answer("declaring the exchange of live events", declared).await?;
        let mut arguments = FieldTable::default();
        arguments.insert("x-max-length".into(), AMQPValue::LongLongInt(WAITING));
        let options = QueueDeclareOptions::exclusive().auto_delete();
        let declared = channel.queue_declare("".into(), options, arguments);
        let queue = answer("declaring the queue of live events", declared).await?;
        let bound = channel.queue_bind(
            queue.name().clone(),
            name(&names.live),
            "".into(),
            QueueBindOptions::default(),
            FieldTable::default(),
        );
        answer("binding the queue of live events", bound).await?;
        let consumed = channel.basic_consume(
            queue.name().clone(),
            "".into(),
            BasicConsumeOptions::default(),
            FieldTable::default(),
        );
        let consumer = answer("reading the queue of live events", consumed).await?;
        Ok(Self {
            exchange: names.live.clone(),
            consumer,
            _channel: channel,
        })
    }

    /// Hands over what comes, until the connection fails.
    pub(super) async fn run(&mut self, ingress: &Ingress) -> Failure {
        let mut undecodable = Undecodable::new();
        let mut since_acknowledged = 0;
        while let Some(came) = self.consumer.next().await {
            let delivery = match came {
                Ok(delivery) => delivery,
                Err(error) => return Failure::of("reading live events failed", &error),
            };
            since_acknowledged += 1;
            if since_acknowledged == ACKNOWLEDGED {
                since_acknowledged = 0;
                if let Err(failure) = acknowledge(&delivery).await {
                    return failure;
                }
            }
            match Event::decode(Bytes::from(delivery.data)) {
                // It has no position to wait for.
                Ok(event) => drop(ingress.deliver(event)),
                Err(error) => undecodable.count(&self.exchange, error),
            }
            tokio::task::coop::consume_budget().await;
        }
        Failure::away("the server ended the reading of live events")
    }
}
