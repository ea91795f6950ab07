//! Connecting, reading the log, and doing so again.

use std::convert::Infallible;
use std::future::ready;
use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::consumer::pull::Stream;
use async_nats::jetstream::message::Message;
use fanfare::{Epoch, Event, Ingress, Position};
use futures_util::StreamExt;
use tokio::sync::{oneshot, watch};
use tracing::{debug, info, warn};

use super::line::{Line, context};
use super::log::{self, Log};
use super::{Shared, lock};
use crate::fan_out::nats::{Failure, Session, chain};
use crate::fan_out::undecodable::Undecodable;

/// Messages that the server sends ahead.
const AHEAD: usize = 512;
/// How often the server says that it still has nothing; twice that in silence ends the connection.
const HEARTBEAT: Duration = Duration::from_secs(1);
/// How long one request for messages holds.
const EXPIRES: Duration = Duration::from_secs(30);
/// How often the lag is told.
const LAG: Duration = Duration::from_secs(2);
/// Pauses between attempts to connect, before they are spread.
const PAUSES: std::ops::RangeInclusive<Duration> =
    Duration::from_millis(100)..=Duration::from_secs(1);

/// Who waits for the start, and for what.
pub(super) struct Progress {
    /// Connected, with a log to read.
    pub(super) connected: Option<oneshot::Sender<Result<(), Failure>>>,
    /// What was in the log has been read.
    pub(super) started: Option<oneshot::Sender<Result<(), Failure>>>,
}

impl Progress {
    fn connected(&mut self) {
        if let Some(connected) = self.connected.take() {
            let _ = connected.send(Ok(()));
        }
    }

    fn started(&mut self) {
        if let Some(started) = self.started.take() {
            let _ = started.send(Ok(()));
        }
    }

    /// Ends the start, if it has not ended.
    fn failed(&mut self, failure: &Failure) -> bool {
        let waiting = [self.connected.take(), self.started.take()];
        let starting = waiting[1].is_some();
        for waiting in waiting.into_iter().flatten() {
            let _ = waiting.send(Err(failure.clone()));
        }
        starting
    }
}

/// Connects and reads until it is told to stop. Ends where the first connection fails.
pub(super) async fn run(
    shared: Arc<Shared>,
    ingress: Ingress,
    mut progress: Progress,
    mut stop: watch::Receiver<bool>,
) {
    let connecting = async {
        let mut undecodable = Undecodable::new();
        let mut pause = *PAUSES.start();
        loop {
            let Err(failure) =
                Box::pin(connect(&shared, &ingress, &mut progress, &mut undecodable)).await;
            let was_up = lock(&shared.line).take().is_some();
            if progress.failed(&failure) {
                return;
            }
            if was_up {
                pause = *PAUSES.start();
                warn!(
                    broker = "nats+jetstream",
                    reason = failure,
                    "the broker is away"
                );
            } else {
                debug!(
                    broker = "nats+jetstream",
                    reason = failure,
                    "the broker is still away"
                );
            }
            // Nodes that lost it together come back one after the other.
            tokio::time::sleep(pause.mul_f64(rand::random_range(0.5..1.0))).await;
            pause = (pause * 2).min(*PAUSES.end());
        }
    };
    tokio::select! {
        () = connecting => {}
        _ = stop.wait_for(|stop| *stop) => {}
    }
    lock(&shared.line).take();
}

/// One connection, until it is lost.
async fn connect(
    shared: &Arc<Shared>,
    ingress: &Ingress,
    progress: &mut Progress,
    undecodable: &mut Undecodable,
) -> Result<Infallible, Failure> {
    let config = &shared.config;
    let session = Session::connect(&config.address, "fanfare").await?;
    listen(&session, &config.cluster, ingress.clone()).await?;
    let known = lock(&shared.log).clone();
    let context = context(&session.client);
    let opened = Box::pin(log::open(&context, config, known.as_deref())).await;
    let opened = opened.map_err(|failure| format!("NATS at {}: {failure}", config.address))?;
    let log = match (opened.log, known) {
        (None, Some(known)) => known,
        (new, _) => {
            let new = Arc::new(new.ok_or("a log that was not known is not new")?);
            *lock(&shared.log) = Some(new.clone());
            new
        }
    };
    let reader = log::reader(&opened.stream, log.next()).await?;
    let messages = reader
        .stream()
        .max_messages_per_batch(AHEAD)
        .heartbeat(HEARTBEAT)
        .expires(EXPIRES)
        .messages()
        .await
        .map_err(|error| chain(&error))?;
    *lock(&shared.line) = Some(Arc::new(Line::open(&session, log.identity.clone())));
    let starts = progress.started.is_some();
    if !starts {
        info!(
            broker = "nats+jetstream",
            from = log.next(),
            "the broker is back"
        );
    }
    progress.connected();
    let mut reading = Reading {
        log,
        ingress,
        undecodable,
        begun: if starts { opened.last } else { 0 },
        delivered: 0,
        lag: reader.cached_info().num_pending,
    };
    if reading.lag == 0 {
        progress.started();
    }
    tokio::select! {
        failure = session.lost() => Err(failure),
        failure = reading.read(messages, progress) => failure,
    }
}

/// Events that live in no log.
async fn listen(session: &Session, cluster: &str, ingress: Ingress) -> Result<(), Failure> {
    let mut undecodable = Undecodable::new();
    let take = move |message: async_nats::Message| {
        match Event::decode(message.payload) {
            Ok(event) => {
                let _ = ingress.deliver(event);
            }
            Err(error) => undecodable.count("among live events", error),
        }
        ready(())
    };
    let listening = session.listen(format!("{cluster}.l.>"), take).await;
    listening.map(|_| ())
}

struct Reading<'a> {
    log: Arc<Log>,
    ingress: &'a Ingress,
    undecodable: &'a mut Undecodable,
    /// Up to here events were in the log before this node began.
    begun: u64,
    /// How many messages the consumer has delivered.
    delivered: u64,
    lag: u64,
}

impl Reading<'_> {
    async fn read(
        &mut self,
        mut messages: Stream,
        progress: &mut Progress,
    ) -> Result<Infallible, Failure> {
        let gauge = metrics::gauge!("fanfare_broker_lag");
        let mut tells = tokio::time::interval(LAG);
        loop {
            tokio::select! {
                biased;
                _ = tells.tick() => gauge.set(precise(self.lag)),
                message = messages.next() => {
                    let message = message.ok_or("the reader of the log has ended")?;
                    let message = message.map_err(|error| format!("the log: {}", chain(&error)))?;
                    self.take(message)?;
                    if self.lag == 0 || self.log.next() > self.begun {
                        progress.started();
                    }
                }
            }
        }
    }

    fn take(&mut self, message: Message) -> Result<(), Failure> {
        let place = message.info().map_err(|error| error.to_string())?;
        let (sequence, delivered) = (place.stream_sequence, place.consumer_sequence);
        self.lag = place.pending;
        // The client drops what it has no room for.
        if delivered != self.delivered + 1 {
            return Err("a message of the log did not arrive".to_owned());
        }
        self.delivered = delivered;
        match Event::decode(message.message.payload) {
            Ok(event) => {
                let position = Position {
                    epoch: Epoch::of_log(&self.log.identity, event.channel()),
                    offset: sequence,
                };
                let begins = sequence <= self.begun;
                let _ = self.ingress.deliver_at(event, position, begins);
            }
            Err(error) => self.undecodable.count("in the log", error),
        }
        self.log.reached(sequence);
        Ok(())
    }
}

#[expect(clippy::cast_precision_loss, reason = "a log of 2^53 events is none")]
fn precise(count: u64) -> f64 {
    count as f64
}
