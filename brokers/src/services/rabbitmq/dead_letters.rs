//! The dead letters of a group, among all those in the queue that keeps them.

use std::sync::Arc;

use fanfare::{BoxFuture, BrokerError};
use lapin::Channel;
use lapin::message::BasicGetMessage;
use lapin::options::{BasicAckOptions, BasicGetOptions, BasicQosOptions};

use super::error::{answer, short};
use super::message::{Epitaph, Message};
use super::publisher::Publication;
use super::settle::Group;
use crate::services::engine::{Dead, DeadLetters};

/// How many dead letters of all groups are looked through. Looking means holding them for a moment.
const LOOKED_THROUGH: u32 = 20_000;

/// The dead letters of a group's queue.
pub(super) struct QueueDeadLetters(pub(super) Arc<Group>);

impl QueueDeadLetters {
    async fn list(&self, limit: usize) -> Result<Vec<Dead>, BrokerError> {
        let channel = self.0.link.now()?.channel().await?;
        let mut dead = Vec::new();
        let mut left = LOOKED_THROUGH;
        while dead.len() < limit
            && let Some(got) = self.get(&channel, &mut left).await?
        {
            dead.extend(self.read(&got).map(|message| Dead {
                record: message.record,
                failures: message.failures,
            }));
        }
        give_back(&channel).await?;
        Ok(dead)
    }

    async fn replay(&self, limit: usize) -> Result<usize, BrokerError> {
        let channel = self.0.link.now()?.channel().await?;
        let mut replayed = 0;
        let mut left = LOOKED_THROUGH;
        while replayed < limit
            && let Some(got) = self.get(&channel, &mut left).await?
        {
            let Some(mut message) = self.read(&got) else {
                continue;
            };
            message.failures.clear();
            let publication = Publication {
                exchange: short("")?,
                routing_key: short(&self.0.queue.name)?,
                properties: message.detoured(),
                payload: message.record.payload,
            };
            // First into the one queue, then out of the other: in neither it must not be.
            self.0.publisher.publish(publication).await?;
            let acked = got.delivery.acker.ack(BasicAckOptions::default());
            answer("take a dead letter out of its queue", acked).await?;
            replayed += 1;
        }
        give_back(&channel).await?;
        Ok(replayed)
    }

    /// The next that was not there when looking began, up to `left`.
    async fn get(
        &self,
        channel: &Channel,
        left: &mut u32,
    ) -> Result<Option<BasicGetMessage>, BrokerError> {
        if *left == 0 {
            return Ok(None);
        }
        let queue = short(&self.0.topology.dead_letters.queue)?;
        let asked = channel.basic_get(queue, BasicGetOptions::default());
        let got = answer("read dead letters", asked).await?;
        if let Some(got) = &got {
            // Those that come meanwhile are for another time; otherwise a replay of what fails again
            // at once would never end.
            *left = (*left - 1).min(got.message_count);
        }
        Ok(got)
    }

    /// The message, where it is a dead letter of this group.
    fn read(&self, got: &BasicGetMessage) -> Option<Message> {
        let delivery = &got.delivery;
        let epitaph = Epitaph::read(&delivery.properties);
        if epitaph.queue.as_deref() != Some(self.0.queue.name.as_str()) {
            return None;
        }
        let routing_key = epitaph.routing_key.as_deref();
        let mut message = Message::read(
            routing_key.unwrap_or(delivery.routing_key.as_str()),
            &delivery.properties,
            delivery.data.clone(),
        );
        message.failures.extend(epitaph.reason);
        Some(message)
    }
}

/// What was looked at goes back with the channel, to where it was. The round trip before that makes
/// certain that what was taken out is out.
async fn give_back(channel: &Channel) -> Result<(), BrokerError> {
    let asked = channel.basic_qos(0, BasicQosOptions::default());
    answer("take dead letters out of their queue", asked).await?;
    answer("close a channel", channel.close(200, "OK".into())).await
}

impl DeadLetters for QueueDeadLetters {
    fn list(&mut self, limit: usize) -> BoxFuture<'_, Result<Vec<Dead>, BrokerError>> {
        Box::pin(Self::list(self, limit))
    }

    fn replay(&mut self, limit: usize) -> BoxFuture<'_, Result<usize, BrokerError>> {
        Box::pin(Self::replay(self, limit))
    }
}
