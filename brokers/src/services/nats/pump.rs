//! Fetching deliveries, as many as there are places for, and keeping them alive until they are settled.

use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::AckKind;
use async_nats::jetstream::consumer::PullConsumer;
use async_nats::jetstream::consumer::pull::BatchConfig;
use async_nats::{Message, StatusCode, Subject, Subscriber};
use fanfare::broker::BrokerError;
use futures_util::StreamExt as _;
use tokio::time::{Instant, sleep_until, timeout};

use super::connection::{Connection, PATIENCE};
use super::hands::{Hands, Words};
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
            if self.hands.closed() {
                break;
            }
            if self.connection.is_up() {
                self.speak().await;
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
        let free = self.hands.free();
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
                    self.hands.known(known);
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

    async fn speak(&self) {
        let Words {
            give_back,
            put_off,
            acknowledge,
        } = self.hands.words();
        for (reply, wait) in put_off {
            self.tell(vec![reply], AckKind::Nak(Some(wait))).await;
        }
        self.tell(give_back, AckKind::Nak(None)).await;
        self.tell(acknowledge, AckKind::Ack).await;
    }

    async fn keep_alive(&self) {
        if !self.connection.is_up() {
            return;
        }
        self.tell(self.hands.unsettled(), AckKind::Progress).await;
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
        self.hands.give_back_all();
        self.speak().await;
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
