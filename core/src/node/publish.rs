//! Publishing: to clients, and to service topics.

use std::time::Duration;

use tokio::time::Instant;

use super::lifecycle::Publishing;
use super::services::{self, Admission};
use super::{Node, away};
use crate::BoxFuture;
use crate::broker::{BrokerError, BrokerErrorKind, Published};
use crate::dispatch::Room;
use crate::error::{Error, ErrorKind};
use crate::event::{Event, Guarantee};

/// What a catalog may write into an envelope that left it out does not count towards its limit.
const FILLED_IN: usize = 1_024;
/// What an event weighs on disk beside its payload, about.
const FRAME: u64 = 512;

impl Node {
    /// Publishes an event: numbers it, keeps it, and hands it to every subscriber on every node by
    /// its priority's deadline. When this returns, the event is accepted and will not be lost.
    ///
    /// What of it is [for services](crate::ForServices) goes to their topics in the same step, and
    /// neither clients nor topics wait for the other; this returns when both have it, or when it waits
    /// on disk for the topics' server.
    ///
    /// Waits while its channel has more waiting than [`Buffers::pending`](crate::config::Buffers).
    /// Dropping the future before it returns leaves open whether the event was published.
    ///
    /// # Errors
    /// [`TooLarge`](ErrorKind::TooLarge) over [`Limits::envelope`](crate::config::Limits),
    /// [`Unavailable`](ErrorKind::Unavailable) while the node drains, or the broker or the server of the
    /// service topics is away and there is no room on disk. Clients have not got the event then, unless
    /// the server went away in that moment. [`Internal`](ErrorKind::Internal) where the broker or a
    /// service topic refused it.
    pub async fn publish(&self, event: Event) -> Result<Published, Error> {
        let _publishing = Publishing::enter(&self.0)?;
        self.check(&event)?;
        let mut admission = self.admit(std::slice::from_ref(&event))?;
        let room = self.room(&event).await?;
        self.hand_over(event, room, admission.as_mut()).await
    }

    /// Publishes events in order. All of them are checked before the first goes out.
    ///
    /// # Errors
    /// As for [`publish`](Self::publish).
    pub async fn publish_all(&self, events: Vec<Event>) -> Result<Vec<Published>, Error> {
        let _publishing = Publishing::enter(&self.0)?;
        for event in &events {
            self.check(event)?;
        }
        let mut admission = self.admit(&events)?;
        // All are handed over before the first is awaited, so that a broker or store which commits
        // in groups commits them as one.
        let mut under_way = Vec::with_capacity(events.len());
        for event in events {
            let room = self.room(&event).await?;
            under_way.push(self.hand_over(event, room, admission.as_mut()));
        }
        let mut published = Vec::with_capacity(under_way.len());
        let mut refused = None;
        for outcome in under_way {
            match outcome.await {
                Ok(outcome) => published.push(outcome),
                Err(error) => refused = refused.or(Some(error)),
            }
        }
        match refused {
            Some(error) => Err(error),
            None => Ok(published),
        }
    }

    /// Makes sure that topics and clients both take the events that have records, before either gets
    /// any; none where they have no records.
    fn admit(&self, events: &[Event]) -> Result<Option<Admission>, Error> {
        let Some(services) = &self.0.services else {
            return Ok(None);
        };
        let admission = services.admit(events)?;
        if admission.is_some() {
            self.check_broker(events)?;
        }
        Ok(admission)
    }

    /// Refuses events for clients that the broker, being away, would refuse.
    fn check_broker(&self, events: &[Event]) -> Result<(), Error> {
        if self.broker_is_up() {
            return Ok(());
        }
        let is_log = self.0.hub.shared.ledger.is_log();
        let mut bytes = 0;
        for event in events.iter().filter(|event| !event.is_for_services_only()) {
            match event.guarantee() {
                Guarantee::AtLeastOnce => bytes += FRAME + event.payload().len() as u64,
                Guarantee::BestEffort if is_log => bytes = u64::MAX,
                Guarantee::BestEffort | Guarantee::Ephemeral => {}
            }
        }
        let room = self.0.spill.as_ref().map_or(0, |spill| spill.room());
        if bytes <= room {
            return Ok(());
        }
        let sentence = "the broker is away, and what was published cannot be kept";
        Err(away(&BrokerError::new(
            BrokerErrorKind::Unavailable,
            sentence,
        )))
    }

    /// Waits while the event's channel, or the way to the broker, has too much waiting.
    async fn room(&self, event: &Event) -> Result<Option<Room>, Error> {
        if event.is_for_services_only() {
            return Ok(None);
        }
        self.0.hub.room(event.channel()).await;
        // It may have failed while the channel waited for it.
        self.check_history()?;
        Ok(match &self.0.dispatch {
            Some(dispatch) if event.guarantee() != Guarantee::Ephemeral => {
                Some(dispatch.room(event.channel().lane(), event).await)
            }
            _ => None,
        })
    }

    fn check_history(&self) -> Result<(), Error> {
        if self.history_is_up() {
            Ok(())
        } else {
            Err(history_has_failed())
        }
    }

    fn check(&self, event: &Event) -> Result<(), Error> {
        self.check_history()?;
        let most = self.config().limits.envelope + FILLED_IN;
        if event.payload().len() > most {
            return Err(Error::new(
                ErrorKind::TooLarge,
                format!(
                    "the event has {} bytes, at most {most} are allowed",
                    event.payload().len()
                ),
            ));
        }
        Ok(())
    }

    /// Gives an event to the broker and to its topics at once; the future waits until it is accepted.
    fn hand_over<'a>(
        &'a self,
        mut event: Event,
        room: Option<Room>,
        admission: Option<&mut Admission>,
    ) -> impl Future<Output = Result<Published, Error>> + Send + use<'a> {
        let metrics = &self.0.hub.shared.metrics;
        let priority = event.priority();
        let begun = Instant::now();
        let is_for_clients = !event.is_for_services_only();
        let topics = event.take_services();
        let topics = topics.filter(|_| event.guarantee() != Guarantee::Ephemeral);
        let topics = topics.zip(self.0.services.as_ref()).zip(admission);
        let turn = topics
            .as_ref()
            .map(|((_, services), _)| services.turn(&event));
        let records = topics.map_or_else(Vec::new, |((topics, services), admission)| {
            services.send(&event, &topics, admission)
        });
        let accepted = is_for_clients.then(|| self.fan_out(event.accepted_now(), room));
        drop(turn);
        async move {
            let published = match accepted {
                Some(accepted) => {
                    let published = accepted.await.map_err(|error| away(&error))?;
                    metrics.broker_publish.record(begun.elapsed().as_secs_f64());
                    published
                }
                None => Published { position: None },
            };
            for record in records {
                let written = record.await;
                written.map_err(|error| services::not_written(&error))?;
            }
            metrics.published[priority as usize].increment(1);
            Ok(published)
        }
    }

    /// Gives an event to the broker at once.
    fn fan_out(
        &self,
        event: Event,
        room: Option<Room>,
    ) -> BoxFuture<'_, Result<Published, BrokerError>> {
        match (&self.0.dispatch, room) {
            (Some(dispatch), Some(room)) => {
                Box::pin(dispatch.send(event.channel().lane(), event, room))
            }
            (Some(_), None) => Box::pin(self.publish_live(event)),
            (None, _) => self.0.broker.publish(event),
        }
    }

    /// Publishes an ephemeral event: to all nodes, or at least to this one.
    async fn publish_live(&self, event: Event) -> Result<Published, BrokerError> {
        if let Err(error) = self.0.broker.publish(event.clone()).await {
            if error.kind() != BrokerErrorKind::Unavailable {
                return Err(error);
            }
            let _ = self.0.hub.accept(event, None);
        }
        Ok(Published { position: None })
    }
}

fn history_has_failed() -> Error {
    Error::new(ErrorKind::Unavailable, "history has failed").retry_after(Duration::from_secs(30))
}
