//! The connection, kept up.

use std::sync::Arc;
use std::time::Duration;

use fanfare::{BrokerError, BrokerErrorKind, Ingress};
use lapin::ExchangeKind;
use lapin::options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeleteOptions};
use lapin::types::FieldTable;
use rand::Rng;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep};

use super::config::Config;
use super::connection::{Failure, Session, answer, name};
use super::generation;
use super::live::Live;
use super::pulse::pulse;
use super::reader::{End, Progress, Reader};
use super::stream::{Names, Shared};
use super::writer::{Order, Writer};

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// How long a start tries again where the server is there, but not all that it should have.
const SETTLE: Duration = Duration::from_secs(15);
/// How long what is under way may take after a shutdown was asked for.
const FINISH: Duration = Duration::from_secs(5);

/// The task of a broker.
pub(super) struct Link {
    config: Config,
    names: Names,
    shared: Arc<Shared>,
    ingress: Ingress,
    orders: mpsc::Receiver<Order>,
    stop: watch::Receiver<bool>,
    progress: Option<Progress>,
    started: Option<oneshot::Sender<Result<(), BrokerError>>>,
}

/// Resolves when a shutdown is asked for, or the broker is gone.
async fn asked_for(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

/// All that one connection is for.
struct Work {
    log: String,
    writer: Writer,
    reader: Reader,
    live: Live,
}

impl Link {
    pub(super) fn new(
        config: Config,
        shared: Arc<Shared>,
        ingress: Ingress,
        orders: mpsc::Receiver<Order>,
        stop: watch::Receiver<bool>,
    ) -> Self {
        Self {
            names: Names::of(&config.cluster),
            config,
            shared,
            ingress,
            orders,
            stop,
            progress: None,
            started: None,
        }
    }

    /// Connects, and again whenever the connection is lost. Tells `started` when the node has read
    /// what was in the log, or why it cannot; in which case it ends.
    pub(super) async fn run(mut self, started: oneshot::Sender<Result<(), BrokerError>>) {
        self.started = Some(started);
        let begun = Instant::now();
        let mut pause = FIRST_PAUSE;
        let mut said = false;
        while !self.stopped() {
            let mut stop = self.stop.clone();
            let connected = tokio::select! {
                connected = Box::pin(Session::connect(&self.config)) => connected,
                () = asked_for(&mut stop) => return,
            };
            let is_there = connected.is_ok();
            let prepared = match connected {
                Ok(session) => tokio::select! {
                    work = Box::pin(self.prepare(&session)) => work.map(|work| (session, work)),
                    () = asked_for(&mut stop) => return,
                },
                Err(failure) => Err(failure),
            };
            let failure = match prepared {
                Ok((session, work)) => {
                    if std::mem::take(&mut said) {
                        tracing::info!(place = self.config.place(), "connected again");
                    }
                    let connected = Instant::now();
                    let done = Box::pin(self.work(&session, work)).await;
                    self.shared.disconnected();
                    // A connection that is lost at once time and again is no reason to hurry.
                    if connected.elapsed() > LONGEST_PAUSE {
                        pause = FIRST_PAUSE;
                    }
                    match done {
                        Ok(()) => return session.close().await,
                        Err(failure) => failure,
                    }
                }
                Err(failure) => failure,
            };
            // Those that wait were told that they are sent at once or not at all.
            while self.orders.try_recv().is_ok() {}
            // Streams are away for a moment after their server has started.
            let passes = is_there
                && failure.kind == BrokerErrorKind::Unavailable
                && begun.elapsed() < SETTLE;
            if !passes && let Some(started) = self.started.take() {
                // Whoever does not wait any more does not need to know.
                let _ = started.send(Err(failure.into()));
                return;
            }
            let place = self.config.place();
            if said {
                tracing::debug!(place, %failure, "still not connected");
            } else {
                tracing::warn!(place, %failure, "not connected");
                said = true;
            }
            let jitter = rand::rng().random_range(0.5..1.0);
            tokio::select! {
                () = sleep(pause.mul_f64(jitter)) => {}
                () = asked_for(&mut stop) => return,
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    fn stopped(&self) -> bool {
        // Without the broker there is nothing to do either.
        *self.stop.borrow() || self.stop.has_changed().is_err()
    }

    /// Finds or makes what is to be on the server.
    async fn prepare(&self, session: &Session) -> Result<Work, Failure> {
        let channel = session.channel().await?;
        let durable = ExchangeDeclareOptions {
            durable: true,
            ..ExchangeDeclareOptions::default()
        };
        let events = name(&self.names.events);
        let declared = channel.exchange_declare(
            events.clone(),
            ExchangeKind::Topic,
            durable,
            FieldTable::default(),
        );
        answer("declaring the exchange of events", declared).await?;
        let log = generation::current(session, &self.config, &self.names).await?;
        let bound = channel.queue_bind(
            name(&log),
            events,
            "#".into(),
            QueueBindOptions::default(),
            FieldTable::default(),
        );
        answer("binding the log", bound).await?;
        let live = Live::open(session, &self.names).await?;
        let writer = Writer::open(session, &self.names).await?;
        let read_back = self.config.read_back;
        let reader = Reader::open(session, &log, self.progress.as_ref(), read_back);
        let reader = match Box::pin(reader).await {
            Ok(reader) => reader,
            Err(end) => return Err(self.ended(session, &log, end).await),
        };
        Ok(Work {
            log,
            writer,
            reader,
            live,
        })
    }

    /// Works until the connection is lost, or until it has finished after a shutdown was asked for.
    async fn work(&mut self, session: &Session, work: Work) -> Result<(), Failure> {
        let Work {
            log,
            writer,
            mut reader,
            mut live,
        } = work;
        let stop = self.stop.clone();
        let late = async {
            let mut stop = stop.clone();
            asked_for(&mut stop).await;
            sleep(FINISH).await;
        };
        let started = &mut self.started;
        let caught_up = || {
            if let Some(started) = started.take() {
                let _ = started.send(Ok(()));
            }
        };
        self.shared.connected();
        let end = tokio::select! {
            written = writer.run(&self.shared, &mut self.orders, &stop) => return written,
            end = reader.run(&self.shared, &self.ingress, &mut self.progress, caught_up) => end,
            failure = live.run(&self.ingress) => return Err(failure),
            alive = pulse(session, &self.names, &log, &self.shared) => match alive {
                Ok(never) => match never {},
                Err(failure) => return Err(failure),
            },
            () = late => return Ok(()),
        };
        Err(self.ended(session, &log, end).await)
    }

    async fn ended(&self, session: &Session, log: &str, end: End) -> Failure {
        let what = match end {
            End::Failed(failure) => return failure,
            End::Changed(what) => what,
        };
        // Positions of it have been given away that mean something else now, so nobody may go on with
        // it. Deleted, it is replaced, and every node begins anew with other epochs.
        tracing::error!(log, what, "the log is not what it was, and is replaced");
        let deleted = async {
            let channel = session.channel().await?;
            let deleted = channel.queue_delete(name(log), QueueDeleteOptions::default());
            answer("deleting the log", deleted).await
        };
        match deleted.await {
            Ok(_) => Failure::away(format!("the log was replaced: {what}")),
            Err(failure) => failure,
        }
    }
}
