//! One answer for a client that asks, gets, and goes.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes};
use tokio::time::{Instant, timeout_at};

use super::inbound::Refusal;
use super::{Batch, Session};
use crate::channel::Channel;
use crate::codec::{Connect, Since};
use crate::cursor::Cursor;
use crate::error::ErrorKind;
use crate::event::Publication;

/// How long a polled channel keeps everything, counted from the end of a poll.
const POLLED_STAYS: Duration = Duration::from_secs(60);
/// Publications of one channel in one answer.
const MOST: usize = 1_000;

/// What a poll found.
#[derive(Debug)]
pub struct Polled {
    /// The frames that the codec and framing of the session make of what the client had not seen.
    pub events: Bytes,
    /// Where the client stands once it has read them: what its next poll brings.
    pub cursor: Cursor,
    /// Whether `events` are what follows the client's position in every channel; where they are not,
    /// the cursor stands at the newest.
    pub recovered: bool,
}

impl Session {
    /// Answers a poll, and ends: at once with what the client has not seen, else with what comes
    /// within `wait`, if anything does.
    ///
    /// A channel without position begins now. No session stays behind: what the next poll needs is
    /// in its cursor, and the channels keep everything for at least a minute. The codec must have a
    /// cursor ([`Codec::has_cursor`](crate::Codec::has_cursor)).
    ///
    /// Cancel safe: a poll that is dropped has taken nothing.
    ///
    /// # Errors
    /// The refusal; [`Disconnect::SHUTDOWN`](crate::Disconnect::SHUTDOWN) if the node goes down
    /// while the client waits.
    pub async fn poll(mut self, connect: Connect, wait: Duration) -> Result<Polled, Refusal> {
        let until = Instant::now() + wait;
        let positions = connect.positions.clone();
        let mut channels = self.enter(connect).await?;
        channels.sort_unstable();
        channels.dedup();
        if channels.len() > self.node.config().limits.subscriptions {
            return Err(ErrorKind::LimitExceeded.into());
        }
        let mut polled = Polled {
            events: Bytes::new(),
            cursor: Cursor::default(),
            recovered: true,
        };
        // An answer is about as large as an outbox may be, whatever the number of channels, and each
        // has its share of it, so that a busy one does not shut the others out.
        let mut room = self.node.config().buffers.outbox;
        let mut events = Vec::new();
        for (at, channel) in channels.iter().enumerate() {
            self.node.subscribe_broker(channel).await?;
            self.node.hub().keep_for_polls(channel, wait + POLLED_STAYS);
            let since = positions
                .iter()
                .find(|(name, _)| name == channel.as_str())
                .map(|(_, since)| since.clone());
            let share = room / (channels.len() - at);
            let found = self.look(channel, since, share, &mut polled).await?;
            room = room.saturating_sub(found.len());
            events.extend(found);
        }
        polled.events = events.into();
        if !polled.events.is_empty() || !polled.recovered || wait.is_zero() {
            return Ok(polled);
        }
        self.wait(&channels, until, polled).await
    }

    /// What history has for the client in one channel.
    async fn look(
        &mut self,
        channel: &Channel,
        since: Option<Since>,
        most: usize,
        polled: &mut Polled,
    ) -> Result<Bytes, Refusal> {
        let brought = self.resume.as_mut().and_then(|resume| resume.take(channel));
        let hub = self.node.hub();
        let (mut subscribed, flushed) = match since.or(brought.map(Since::from)) {
            Some(since) => {
                hub.catch_up(channel, &since).await?;
                let flushed = hub.shown(channel, &since, hub.flushed(channel));
                let recovered = self.recover(channel, &since, flushed, MOST).await?;
                (recovered, flushed)
            }
            None => {
                let flushed = hub.flushed(channel);
                (self.begin(channel, flushed).await?, flushed)
            }
        };
        self.count_recovery(&subscribed);
        if subscribed.was_recovering {
            polled.recovered &= subscribed.recovered;
        }
        let found = subscribed.publications.len();
        let fitting = fitting(&subscribed.publications, most);
        subscribed.publications.truncate(fitting);
        let publications = &subscribed.publications;
        // Past what is not for this client, where nothing is left that is.
        let is_all = publications.len() == found && found < MOST;
        let newest = publications.last().and_then(|last| last.position());
        let reached = newest.filter(|_| !is_all).unwrap_or(flushed);
        polled.cursor.set(channel, reached);
        if publications.is_empty() {
            return Ok(Bytes::new());
        }
        self.connection.transport.recovered(publications);
        let form = self.connection.outbox.form();
        Ok(form.encode(channel, publications))
    }

    /// Waits for the next flush of any of the channels.
    async fn wait(
        mut self,
        channels: &[Channel],
        until: Instant,
        mut polled: Polled,
    ) -> Result<Polled, Refusal> {
        let outbox = &self.connection.outbox;
        outbox.answer_poll();
        outbox.hold();
        for channel in channels {
            let since = polled.cursor.position(channel).map(Since::from);
            let mut subscribed = self.join(channel, since.as_ref(), false).await?;
            polled.recovered &= subscribed.recovered;
            let missed = std::mem::take(&mut subscribed.publications);
            if !missed.is_empty() {
                self.connection.transport.recovered(&missed);
                let flush = crate::wire::Flush::new(channel.clone(), missed.into());
                self.connection.outbox.push_recovered(Arc::new(flush));
            }
        }
        self.connection.outbox.release(None);
        let outbound = self.outbound();
        let mut batch = Batch::default();
        match timeout_at(until, outbound.next_batch(&mut batch)).await {
            Ok(Ok(())) => polled.events = batch.copy_to_bytes(batch.remaining()),
            Ok(Err(disconnect)) => return Err(disconnect.into()),
            Err(_) => {}
        }
        if let Some(cursor) = outbound.cursor() {
            polled.cursor = cursor;
        }
        Ok(polled)
    }
}

/// How many publications of the front weigh at most `bytes` together; at least one.
fn fitting(publications: &[Arc<Publication>], bytes: usize) -> usize {
    let mut weight = 0;
    let fitting = publications.iter().take_while(|publication| {
        weight += publication.weight();
        weight <= bytes
    });
    fitting.count().max(1)
}
