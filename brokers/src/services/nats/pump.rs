//! Fetching deliveries, as many as there are places for, and keeping them alive until they are settled.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_nats::jetstream::AckKind;
use async_nats::jetstream::consumer::PullConsumer;
use async_nats::jetstream::consumer::pull::BatchConfig;
use async_nats::{Message, StatusCode, Subject, Subscriber};
use fanfare::broker::BrokerError;
use futures_util::StreamExt as _;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until, timeout};

use super::connection::{Connection, PATIENCE};
use super::history::History;
use super::source::consumer;
use super::subject::Subjects;
use crate::services::headers::unavailable;

/// How long the server keeps a request for deliveries.
const EXPIRES: Duration = Duration::from_secs(30);

/// The server says this often that it still has the request.
const HEARTBEAT: Duration = Duration::from_secs(5);

/// Before the server is asked again after it refused.
const PAUSE: Duration = Duration::from_millis(250);

/// What a source fetched and has not settled.
#[derive(Debug)]
pub(super) struct Hands {
    prefetch: usize,
    state: Mutex<State>,
    /// Something is there for [`next`](super::source::NatsSource).
    pub(super) ready: Notify,
    /// Something is there for the pump.
    work: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// Fetched and not handed out yet.
    ready: VecDeque<Fetched>,
    /// Fetched and not settled, handed out or not: number in the stream to where to acknowledge.
    unsettled: HashMap<u64, Subject>,
    /// To be refused at once, so that they come again.
    give_back: Vec<Subject>,
    /// To be refused for so long.
    put_off: Vec<(Subject, Duration)>,
    /// Records that something is known about.
    known: HashSet<u64>,
    finished: Finished,
    /// Came again although they are finished.
    acknowledge: Vec<Subject>,
    trouble: Option<BrokerError>,
    closed: bool,
}

impl State {
    fn take(&mut self, fetched: u64) -> bool {
        let there = self
            .ready
            .front()
            .is_some_and(|front| front.sequence == fetched);
        if there {
            self.ready.pop_front();
        }
        there
    }
}

/// A delivery as it came.
#[derive(Clone, Debug)]
pub(super) struct Fetched {
    pub(super) sequence: u64,
    /// It may have failures: it came before, or they are known.
    pub(super) again: bool,
    pub(super) message: Arc<Message>,
    pub(super) reply: Subject,
}

impl Hands {
    pub(super) fn new(prefetch: u16) -> Self {
        Self {
            prefetch: usize::from(prefetch.max(1)),
            state: Mutex::default(),
            ready: Notify::new(),
            work: Notify::new(),
        }
    }

    /// The oldest that is fetched; it stays.
    pub(super) fn front(&self) -> Option<Fetched> {
        self.lock().ready.front().cloned()
    }

    /// Takes what [`front`](Self::front) gave; false where it was given back meanwhile.
    pub(super) fn take(&self, fetched: u64) -> bool {
        self.lock().take(fetched)
    }

    /// The trouble since the last call.
    pub(super) fn trouble(&self) -> Option<BrokerError> {
        self.lock().trouble.take()
    }

    /// Where to acknowledge what is in hand, by its last delivery.
    pub(super) fn reply(&self, sequence: u64) -> Option<Subject> {
        self.lock().unsettled.get(&sequence).cloned()
    }

    /// How many are handed out and not settled.
    pub(super) fn in_hand(&self) -> usize {
        let state = self.lock();
        state.unsettled.len() - state.ready.len()
    }

    /// A delivery is about to be refused. Gives the place to acknowledge it.
    pub(super) fn leave(&self, sequence: u64) -> Option<Subject> {
        let reply = self.lock().unsettled.remove(&sequence);
        self.work.notify_one();
        reply
    }

    /// Something is known about a record from now on.
    pub(super) fn failed(&self, sequence: u64) {
        self.lock().known.insert(sequence);
    }

    /// The oldest that is fetched is to come again later; it is not due.
    pub(super) fn put_off(&self, sequence: u64, wait: Duration) {
        let mut state = self.lock();
        if state.take(sequence)
            && let Some(reply) = state.unsettled.remove(&sequence)
        {
            state.put_off.push((reply, wait));
        }
        drop(state);
        self.work.notify_one();
    }

    /// A delivery is settled: its place is free.
    pub(super) fn settled(&self, sequence: u64) {
        self.lock().unsettled.remove(&sequence);
        self.work.notify_one();
    }

    /// A delivery is settled for good.
    pub(super) fn finished(&self, reply: &str) {
        let mut state = self.lock();
        if let Some(numbers) = numbers(reply) {
            state.unsettled.remove(&numbers.sequence);
            state.finished.push((numbers.sequence, numbers.published));
        }
        drop(state);
        self.work.notify_one();
    }

    /// A delivery is to come again, as soon as the server can be told.
    pub(super) fn give_back(&self, sequence: u64, reply: &Subject) {
        let mut state = self.lock();
        let newest = state.unsettled.remove(&sequence);
        state
            .give_back
            .push(newest.unwrap_or_else(|| reply.clone()));
        drop(state);
        self.work.notify_one();
    }

    /// Gives everything back and ends the pump.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.work.notify_one();
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fetch(&self, message: Message) {
        let Some(reply) = message.reply.clone() else {
            return;
        };
        let Some(Numbers {
            sequence,
            published,
            delivered,
        }) = numbers(&reply)
        else {
            return;
        };
        let mut state = self.lock();
        if state.finished.set.contains(&(sequence, published)) {
            state.acknowledge.push(reply);
            return;
        }
        // A server that was killed may not know any more that this is in hand already.
        if state.unsettled.insert(sequence, reply.clone()).is_some() {
            return;
        }
        let again = delivered > 1 || state.known.contains(&sequence);
        state.ready.push_back(Fetched {
            sequence,
            again,
            message: Arc::new(message),
            reply,
        });
        drop(state);
        self.ready.notify_one();
    }

    /// Gives back what nobody has in hand. After a loss of connection the server may have forgotten
    /// that it delivered it, or may have given it to others.
    fn forget_ready(&self) {
        let mut state = self.lock();
        for fetched in std::mem::take(&mut state.ready) {
            let reply = state.unsettled.remove(&fetched.sequence);
            state.give_back.extend(reply);
        }
    }

    fn fail(&self, error: BrokerError) {
        self.lock().trouble = Some(error);
        self.ready.notify_one();
    }
}

/// The last that were settled for good, by number and time: a stream that was created anew counts
/// from 1 again. A server writes down a while later what was acknowledged; one that was killed in
/// between delivers it again.
#[derive(Debug, Default)]
struct Finished {
    set: HashSet<(u64, u64)>,
    order: VecDeque<(u64, u64)>,
}

impl Finished {
    fn push(&mut self, one: (u64, u64)) {
        const MOST: usize = 10_000;
        if self.set.insert(one) {
            self.order.push_back(one);
        }
        if self.order.len() > MOST
            && let Some(oldest) = self.order.pop_front()
        {
            self.set.remove(&oldest);
        }
    }
}

pub(super) struct Pump {
    pub(super) connection: Arc<Connection>,
    pub(super) subjects: Subjects,
    pub(super) history: Arc<History>,
    pub(super) hands: Arc<Hands>,
    pub(super) consumer: PullConsumer,
    pub(super) inbox: String,
    pub(super) deliveries: Subscriber,
}

impl Pump {
    pub(super) async fn run(mut self) {
        let mut state = self.connection.watch();
        let mut times = state.borrow_and_update().0;
        let mut request = Asked::default();
        let mut alive = tokio::time::interval(self.connection.config.ack_wait / 3);
        loop {
            let closed = self.hands.lock().closed;
            if closed {
                break;
            }
            if self.connection.is_up() {
                self.give_back().await;
                if request.outstanding == 0 && Instant::now() >= request.pause {
                    self.ask(&mut request).await;
                }
            }
            let wake = request.wake();
            tokio::select! {
                message = self.deliveries.next() => match message {
                    Some(message) => self.receive(message, &mut request).await,
                    None => {
                        self.hands.fail(unavailable("the connection to NATS was shut down"));
                        return;
                    }
                },
                () = self.hands.work.notified() => {}
                _ = alive.tick() => self.keep_alive().await,
                () = sleep_until(wake) => if request.outstanding > 0 {
                    // The server forgot it, or its answer was lost.
                    request.lost();
                },
                changed = state.changed() => {
                    let (now, up) = *state.borrow_and_update();
                    if changed.is_err() {
                        return;
                    }
                    if !up {
                        self.hands.forget_ready();
                        self.hands.fail(unavailable("the connection to NATS was lost"));
                    } else if now != times {
                        times = now;
                        request.lost();
                        self.hands.forget_ready();
                        self.look_again().await;
                    }
                }
            }
        }
        self.end().await;
    }

    async fn ask(&self, request: &mut Asked) {
        let free = {
            let state = self.hands.lock();
            self.hands.prefetch.saturating_sub(state.unsettled.len())
        };
        if free == 0 {
            return;
        }
        request.number += 1;
        let inbox = format!("{}.{}", self.inbox, request.number);
        let batch = BatchConfig {
            batch: free,
            expires: Some(EXPIRES),
            idle_heartbeat: HEARTBEAT,
            ..BatchConfig::default()
        };
        let asked = self.consumer.request_batch(batch, inbox.into());
        match timeout(PATIENCE, asked).await {
            Ok(Ok(())) => {
                request.outstanding = free;
                request.heard = Instant::now();
            }
            Ok(Err(_)) | Err(_) => request.later(),
        }
    }

    async fn receive(&self, message: Message, request: &mut Asked) {
        request.heard = Instant::now();
        let Some(status) = message.status else {
            request.outstanding = request.outstanding.saturating_sub(1);
            self.hands.fetch(message);
            return;
        };
        let ours = message.subject.ends_with(&format!(".{}", request.number));
        if status == StatusCode::IDLE_HEARTBEAT || !ours {
            return;
        }
        request.outstanding = 0;
        if status == StatusCode::TIMEOUT || status == StatusCode::NOT_FOUND {
            return;
        }
        // The consumer was deleted, or JetStream is not there yet after a restart.
        request.later();
        if let Err(error) = Box::pin(self.restore()).await {
            self.hands.fail(error);
        }
    }

    /// Creates again what is gone from the server.
    async fn restore(&self) -> Result<(), BrokerError> {
        Box::pin(self.connection.prepare()).await?;
        consumer(&self.connection, &self.subjects).await?;
        Ok(())
    }

    /// A killed server may have forgotten that it delivered records; their failures are known.
    pub(super) async fn look_again(&self) {
        // JetStream takes requests and does not answer while it starts.
        const EACH: Duration = Duration::from_secs(1);
        const TRIES: usize = 5;
        for _ in 0..TRIES {
            match timeout(EACH, self.history.known()).await {
                Ok(Ok(known)) => {
                    self.hands.lock().known = known;
                    return;
                }
                Ok(Err(error)) => self.hands.fail(error),
                Err(_) => {}
            }
            if !self.connection.is_up() {
                return;
            }
        }
        self.hands.fail(self.connection.silent());
    }

    async fn give_back(&self) {
        let (refused, put_off, finished) = {
            let mut state = self.hands.lock();
            (
                std::mem::take(&mut state.give_back),
                std::mem::take(&mut state.put_off),
                std::mem::take(&mut state.acknowledge),
            )
        };
        for (reply, wait) in put_off {
            self.tell(vec![reply], AckKind::Nak(Some(wait))).await;
        }
        self.tell(refused, AckKind::Nak(None)).await;
        self.tell(finished, AckKind::Ack).await;
    }

    async fn keep_alive(&self) {
        if !self.connection.is_up() {
            return;
        }
        let unsettled = self.hands.lock().unsettled.values().cloned().collect();
        self.tell(unsettled, AckKind::Progress).await;
    }

    async fn tell(&self, replies: Vec<Subject>, kind: AckKind) {
        let client = self.connection.client();
        let told = async {
            for reply in replies {
                let _ = client.publish(reply, kind.into()).await;
            }
        };
        let _ = timeout(PATIENCE, told).await;
    }

    /// Gives back what is fetched and what is still coming.
    async fn end(mut self) {
        let rest = async {
            let _ = self.deliveries.drain().await;
            while let Some(message) = self.deliveries.next().await {
                if message.status.is_none() {
                    self.hands.fetch(message);
                }
            }
        };
        let _ = timeout(PAUSE * 8, rest).await;
        let unsettled: Vec<Subject> = {
            let mut state = self.hands.lock();
            state.ready.clear();
            let left: Vec<_> = state.unsettled.drain().map(|(_, reply)| reply).collect();
            state.give_back.drain(..).chain(left).collect()
        };
        self.tell(unsettled, AckKind::Nak(None)).await;
        let _ = timeout(PATIENCE, self.connection.client().flush()).await;
    }
}

/// The request for deliveries that is under way.
#[derive(Debug)]
struct Asked {
    number: u64,
    /// How many of them have not come.
    outstanding: usize,
    heard: Instant,
    /// Not to be asked again before.
    pause: Instant,
}

impl Default for Asked {
    fn default() -> Self {
        let now = Instant::now();
        Self {
            number: 0,
            outstanding: 0,
            heard: now,
            pause: now,
        }
    }
}

impl Asked {
    fn lost(&mut self) {
        self.outstanding = 0;
        self.pause = Instant::now();
    }

    fn later(&mut self) {
        self.outstanding = 0;
        self.pause = Instant::now() + PAUSE;
    }

    /// When to look again if nothing comes.
    fn wake(&self) -> Instant {
        if self.outstanding > 0 {
            self.heard + HEARTBEAT * 2
        } else if self.pause > Instant::now() {
            self.pause
        } else {
            Instant::now() + EXPIRES
        }
    }
}

/// What a delivery says about itself.
struct Numbers {
    /// Its number in the stream.
    sequence: u64,
    /// When it was published, in nanoseconds since 1970.
    published: u64,
    /// How often it was delivered.
    delivered: u64,
}

/// The numbers in `$JS.ACK.stream.consumer.delivered.sequence.….published.pending`: 9 tokens, or 11
/// and more with a domain and an account before the stream (ADR-15).
fn numbers(reply: &str) -> Option<Numbers> {
    let tokens: Vec<&str> = reply.split('.').collect();
    let first = match tokens.len() {
        9 => 4,
        11.. => 6,
        _ => return None,
    };
    let number = |at: usize| tokens[first + at].parse().ok();
    Some(Numbers {
        delivered: number(0)?,
        sequence: number(1)?,
        published: number(3)?,
    })
}
