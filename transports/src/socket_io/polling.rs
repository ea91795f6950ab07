//! A session whose client polls.

use std::collections::VecDeque;
use std::future::pending;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use fanfare::{Batch, Disconnect, Outbound};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until};
use tracing::trace;

use super::engine::Engine;
use super::engine_packet::split;
use super::payload::{Fate, Payload, Untaken};
use crate::websocket::Receiver;

/// How long what is left, and the word that the connection ends, waits for a poll.
const CLOSE_WITHIN: Duration = Duration::from_secs(5);
/// How long a poll waits while a WebSocket is being probed. The client moves on when it is answered.
const PROBED_POLL: Duration = Duration::from_millis(100);

const CLOSE: &str = "1";
const NOOP: &str = "6";

/// What a request wants of a session's task. The task answers by what it sends, or by dropping the
/// sender where the session is over.
#[derive(Debug)]
pub(super) enum Request {
    /// The packets that wait, as soon as there are any.
    Poll(oneshot::Sender<Poll>),
    /// Takes the packets of a body.
    Post(Bytes, oneshot::Sender<Result<(), Disconnect>>),
    /// Ends the session.
    Close(Disconnect),
    /// A WebSocket is being probed, or no longer.
    Probe(bool),
    /// The client goes on, on a WebSocket.
    Upgrade(oneshot::Sender<Upgraded>),
}

/// The answer to a poll.
#[derive(Debug)]
pub(super) enum Poll {
    Packets(Payload),
    /// Another poll was under way, which ends the session.
    Overlaps,
}

/// A session that leaves polling.
#[derive(Debug)]
pub(super) struct Upgraded {
    pub(super) engine: Engine,
    /// Packets that stand before everything that is queued, in the framing of polling.
    pub(super) untaken: Untaken,
}

type Receiving = Pin<Box<dyn Future<Output = (Engine, Result<(), Disconnect>)> + Send>>;

/// The task of a session whose client polls.
pub(super) struct Polling {
    requests: mpsc::Receiver<Request>,
    outbound: Outbound,
    /// None while it receives.
    engine: Option<Engine>,
    receiving: Option<(Receiving, oneshot::Sender<Result<(), Disconnect>>)>,
    poll: Option<oneshot::Sender<Poll>>,
    /// What will become of the last answer. Nothing is answered before that is known, or packets
    /// that come back would come late.
    fate: Option<Fate>,
    untaken: Untaken,
    /// While a WebSocket is being probed: when the poll under way is to be answered.
    probed: Option<Instant>,
    upgrade: Option<oneshot::Sender<Upgraded>>,
    /// How the session ends, and until when that can still be told.
    closing: Option<(Disconnect, Instant)>,
    /// Whether everything that was queued before the end has been taken.
    is_drained: bool,
    is_over: bool,
}

/// What happened.
enum Step {
    Request(Option<Request>),
    Received(Engine, Result<(), Disconnect>),
    Settled(Option<Untaken>),
    Batch(Result<(), Disconnect>),
    Closing(Disconnect),
    PollGone,
    ProbedLongEnough,
    ClosedLongEnough,
}

impl Polling {
    pub(super) fn new(engine: Engine, requests: mpsc::Receiver<Request>) -> Self {
        Self {
            requests,
            outbound: engine.outbound(),
            engine: Some(engine),
            receiving: None,
            poll: None,
            fate: None,
            untaken: VecDeque::new(),
            probed: None,
            upgrade: None,
            closing: None,
            is_drained: false,
            is_over: false,
        }
    }

    /// Answers requests until the session ends, or leaves for a WebSocket.
    pub(super) async fn run(mut self) {
        loop {
            self.answer_poll();
            if self.is_over || self.hand_over() {
                return;
            }
            let mut batch = Batch::default();
            match self.step(&mut batch).await {
                Step::Request(Some(request)) => self.take(request),
                // Nobody can ask any more: the service is gone.
                Step::Request(None) => return,
                Step::Received(engine, outcome) => self.received(engine, outcome),
                Step::Settled(untaken) => {
                    self.fate = None;
                    self.untaken.extend(untaken.into_iter().flatten());
                }
                Step::Batch(Ok(())) => self.untaken.extend(batch.into_frames()),
                Step::Batch(Err(disconnect)) => {
                    self.is_drained = true;
                    self.close(disconnect);
                }
                Step::Closing(disconnect) => self.close(disconnect),
                Step::PollGone => self.poll = None,
                Step::ProbedLongEnough => self.answer(Payload::packet(NOOP)),
                Step::ClosedLongEnough => return,
            }
        }
    }

    async fn step(&mut self, batch: &mut Batch) -> Step {
        let answerable = self.poll.is_some() && self.fate.is_none();
        let receiving = async {
            match &mut self.receiving {
                Some((receiving, _)) => receiving.await,
                None => pending().await,
            }
        };
        let settled = async {
            match &mut self.fate {
                Some(fate) => fate.await.ok().flatten(),
                None => pending().await,
            }
        };
        let poll_gone = async {
            match &mut self.poll {
                Some(poll) => poll.closed().await,
                None => pending().await,
            }
        };
        let until = |at: Option<Instant>| async move {
            match at {
                Some(at) => sleep_until(at).await,
                None => pending().await,
            }
        };
        tokio::select! {
            biased;
            untaken = settled => Step::Settled(untaken),
            (engine, outcome) = receiving => Step::Received(engine, outcome),
            () = poll_gone => Step::PollGone,
            request = self.requests.recv() => Step::Request(request),
            taken = self.outbound.next_batch(batch), if answerable => Step::Batch(taken),
            disconnect = self.outbound.closing(), if self.closing.is_none() => Step::Closing(disconnect),
            () = until(self.probed), if answerable => Step::ProbedLongEnough,
            () = until(self.closing.as_ref().map(|(_, at)| *at)) => Step::ClosedLongEnough,
        }
    }

    /// Answers the poll under way, if there is one and there is something to answer.
    fn answer_poll(&mut self) {
        if self.poll.is_none() || self.fate.is_some() {
            return;
        }
        if let Some((disconnect, _)) = &self.closing {
            if !self.is_drained {
                return;
            }
            let last = if *disconnect == Disconnect::CONNECTION_CLOSED {
                NOOP
            } else {
                CLOSE
            };
            self.untaken.push_back(Bytes::from_static(last.as_bytes()));
            self.is_over = true;
        }
        if !self.untaken.is_empty() {
            let (payload, fate) = Payload::of(std::mem::take(&mut self.untaken));
            self.fate = Some(fate);
            self.answer(payload);
        }
    }

    fn answer(&mut self, payload: Payload) {
        if let Some(poll) = self.poll.take() {
            // Where the poll is gone, the payload says so as it is dropped.
            let _ = poll.send(Poll::Packets(payload));
        }
    }

    fn take(&mut self, request: Request) {
        match request {
            Request::Poll(poll) if self.poll.as_ref().is_some_and(|p| !p.is_closed()) => {
                let _ = poll.send(Poll::Overlaps);
                self.close(Disconnect::BAD_REQUEST);
            }
            Request::Poll(poll) => {
                self.poll = Some(poll);
                if self.probed.is_some() {
                    self.probed = Some(Instant::now() + PROBED_POLL);
                }
            }
            Request::Post(body, answer) => match self.engine.take() {
                Some(engine) if self.closing.is_none() && self.upgrade.is_none() => {
                    self.receiving = Some((Box::pin(receive(engine, body)), answer));
                }
                // The body before it is still being worked on, though its request is gone.
                Some(engine) => self.engine = Some(engine),
                None => self.close(Disconnect::BAD_REQUEST),
            },
            Request::Close(disconnect) => self.close(disconnect),
            Request::Probe(begun) => self.probed = begun.then(Instant::now),
            Request::Upgrade(upgrade) => {
                self.upgrade = Some(upgrade);
                self.answer(Payload::packet(NOOP));
            }
        }
    }

    fn received(&mut self, engine: Engine, outcome: Result<(), Disconnect>) {
        self.engine = Some(engine);
        if let Err(disconnect) = &outcome {
            self.close(disconnect.clone());
        }
        if let Some((_, answer)) = self.receiving.take() {
            let _ = answer.send(outcome);
        }
    }

    fn close(&mut self, disconnect: Disconnect) {
        self.outbound.close(disconnect.clone());
        if self.closing.is_some() {
            return;
        }
        trace!(%disconnect, "closing");
        let within = if is_worth_telling(&disconnect) {
            CLOSE_WITHIN
        } else {
            Duration::ZERO
        };
        self.closing = Some((disconnect, Instant::now() + within));
    }

    /// Leaves for the WebSocket once nothing is under way; says whether that is done.
    fn hand_over(&mut self) -> bool {
        let is_idle = self.receiving.is_none() && self.fate.is_none();
        if !is_idle || self.upgrade.is_none() {
            return false;
        }
        if let (Some(upgrade), Some(engine)) = (self.upgrade.take(), self.engine.take()) {
            let untaken = std::mem::take(&mut self.untaken);
            // Where the WebSocket has gone meanwhile, the session ends with it.
            let _ = upgrade.send(Upgraded { engine, untaken });
        }
        true
    }
}

/// Whether a client that is not polling right now should have a moment to learn of it. One that broke
/// the protocol, or is not there, is forgotten at once.
fn is_worth_telling(disconnect: &Disconnect) -> bool {
    ![
        Disconnect::BAD_REQUEST,
        Disconnect::CONNECTION_CLOSED,
        Disconnect::NO_PONG,
        Disconnect::SLOW,
        Disconnect::STALE,
        Disconnect::WRITE_ERROR,
    ]
    .contains(disconnect)
}

async fn receive(mut engine: Engine, body: Bytes) -> (Engine, Result<(), Disconnect>) {
    for packet in split(&body) {
        if let Err(disconnect) = engine.receive(packet).await {
            return (engine, Err(disconnect));
        }
    }
    (engine, Ok(()))
}
