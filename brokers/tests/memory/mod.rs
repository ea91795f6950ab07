//! An engine in memory: what the kit and the consumer ask of one, and nothing that takes time.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use fanfare::{BoxFuture, BrokerError, BrokerErrorKind, Sink};
use fanfare_brokers::services::{
    Dead, DeadLetters, Delivery, Engine, Failure, Record, Settle, Source, Subscription,
};
use tokio::sync::Notify;
use tokio::task::yield_now;
use tokio::time::sleep;

/// Topics and groups of one server.
#[derive(Clone, Debug, Default)]
pub(crate) struct Server(Arc<Mutex<State>>, Arc<Notify>);

/// A promise that the server breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flaw {
    /// What is done comes again once its source is gone.
    RepeatsDone,
    /// What is dropped without a word is gone.
    LosesDropped,
    /// Retries come at once.
    IgnoresPauses,
    /// Retries come without what failed before.
    ForgetsFailures,
    /// Hands over more than the prefetch.
    IgnoresPrefetch,
    /// The last record comes first.
    TurnsOrder,
    /// Dead letters vanish when they are looked at.
    LosesLooked,
    /// A replayed record has its failures still.
    RemembersFailures,
}

#[derive(Debug, Default)]
struct State {
    flaw: Option<Flaw>,
    groups: BTreeMap<(String, String), Group>,
    /// The next so many settlings are not heard.
    deaf: usize,
}

#[derive(Debug, Default)]
struct Group {
    /// By when they came; what is given back has its old place.
    waiting: BTreeMap<u64, Taken>,
    came: u64,
    dead: VecDeque<Dead>,
}

#[derive(Clone, Debug)]
struct Taken {
    place: u64,
    record: Record,
    failures: Vec<Failure>,
}

/// What a source has handed over; none where it is settled.
type Unsettled = Arc<Mutex<Vec<Option<Taken>>>>;

impl Group {
    fn add(&mut self, record: Record, failures: Vec<Failure>) {
        self.came += 1;
        self.give_back(Taken {
            place: self.came,
            record,
            failures,
        });
    }

    fn give_back(&mut self, taken: Taken) {
        self.waiting.insert(taken.place, taken);
    }
}

/// A connection to it.
#[derive(Debug)]
pub(crate) struct Memory {
    server: Server,
    is_up: Mutex<bool>,
}

impl Server {
    pub(crate) fn connect(&self) -> Arc<dyn Engine> {
        Arc::new(Memory {
            server: self.clone(),
            is_up: Mutex::new(true),
        })
    }

    /// A server that breaks a promise.
    pub(crate) fn flawed(flaw: Flaw) -> Self {
        let server = Self::default();
        server.lock().flaw = Some(flaw);
        server
    }

    fn has(&self, flaw: Flaw) -> bool {
        self.lock().flaw == Some(flaw)
    }

    /// Does not hear the next so many settlings.
    pub(crate) fn deaf(&self, settlings: usize) {
        self.lock().deaf = settlings;
    }

    /// How many records wait for a group.
    pub(crate) fn waiting(&self, group: &Subscription) -> usize {
        self.with(&key(group), |group| group.waiting.len())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    fn with<T>(&self, key: &(String, String), act: impl FnOnce(&mut Group) -> T) -> T {
        let result = act(self.lock().groups.entry(key.clone()).or_default());
        self.1.notify_waiters();
        result
    }
}

fn key(subscription: &Subscription) -> (String, String) {
    (subscription.topic.clone(), subscription.group.clone())
}

fn away() -> BrokerError {
    BrokerError::new(BrokerErrorKind::Unavailable, "not heard")
}

impl Sink for Memory {
    fn name(&self) -> &'static str {
        "memory"
    }

    fn publish(&self, record: Record) -> BoxFuture<'_, Result<(), BrokerError>> {
        if !self.is_up() {
            return Box::pin(async { Err(away()) });
        }
        let mut state = self.server.lock();
        for ((topic, _), group) in &mut state.groups {
            if *topic == record.topic {
                group.add(record.clone(), Vec::new());
            }
        }
        self.server.1.notify_waiters();
        Box::pin(async { Ok(()) })
    }

    fn is_up(&self) -> bool {
        *self.is_up.lock().unwrap()
    }

    fn shutdown(&self) -> BoxFuture<'_, ()> {
        *self.is_up.lock().unwrap() = false;
        Box::pin(async {})
    }
}

impl Engine for Memory {
    fn open<'a>(
        &'a self,
        subscription: &'a Subscription,
    ) -> BoxFuture<'a, Result<Box<dyn Source>, BrokerError>> {
        let key = key(subscription);
        self.server.with(&key, |_| ());
        let reading = Reading {
            server: self.server.clone(),
            key,
            prefetch: subscription.prefetch.into(),
            unsettled: Arc::default(),
        };
        Box::pin(async { Ok(Box::new(reading) as Box<dyn Source>) })
    }

    fn dead_letters<'a>(
        &'a self,
        subscription: &'a Subscription,
    ) -> BoxFuture<'a, Result<Box<dyn DeadLetters>, BrokerError>> {
        let letters = Letters(self.server.clone(), key(subscription));
        Box::pin(async { Ok(Box::new(letters) as Box<dyn DeadLetters>) })
    }
}

struct Reading {
    server: Server,
    key: (String, String),
    prefetch: usize,
    unsettled: Unsettled,
}

impl Reading {
    fn take(&self) -> Option<Delivery> {
        let mut unsettled = self.unsettled.lock().unwrap();
        let bounded = !self.server.has(Flaw::IgnoresPrefetch);
        if bounded && unsettled.iter().flatten().count() >= self.prefetch {
            return None;
        }
        let last = self.server.has(Flaw::TurnsOrder);
        let mut state = self.server.lock();
        let waiting = &mut state.groups.get_mut(&self.key)?.waiting;
        let taken = if last {
            waiting.pop_last()?.1
        } else {
            waiting.pop_first()?.1
        };
        drop(state);
        let (record, failures) = (taken.record.clone(), taken.failures.clone());
        let at = unsettled.len();
        unsettled.push(Some(taken));
        let settle = Settling {
            server: self.server.clone(),
            key: self.key.clone(),
            unsettled: self.unsettled.clone(),
            at,
        };
        Some(Delivery {
            record,
            failures,
            settle: Box::new(settle),
        })
    }
}

impl Source for Reading {
    fn next(&mut self) -> BoxFuture<'_, Result<Delivery, BrokerError>> {
        Box::pin(async {
            // A server is never as quick as this; others have their turns.
            yield_now().await;
            loop {
                let changed = self.server.1.notified();
                if let Some(delivery) = self.take() {
                    return Ok(delivery);
                }
                changed.await;
            }
        })
    }

    fn lag(&mut self) -> BoxFuture<'_, Option<u64>> {
        let waiting = self.server.with(&self.key, |group| group.waiting.len());
        Box::pin(async move { u64::try_from(waiting).ok() })
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        let unsettled = std::mem::take(&mut *self.unsettled.lock().unwrap());
        self.server.with(&self.key, |group| {
            for taken in unsettled.into_iter().flatten() {
                group.give_back(taken);
            }
        });
    }
}

struct Settling {
    server: Server,
    key: (String, String),
    unsettled: Unsettled,
    at: usize,
}

impl Settling {
    fn taken(&self) -> Option<Taken> {
        self.unsettled.lock().unwrap().get_mut(self.at)?.take()
    }

    fn settle(
        &self,
        act: impl FnOnce(&mut Group, Taken),
    ) -> BoxFuture<'static, Result<(), BrokerError>> {
        {
            let mut state = self.server.lock();
            if state.deaf > 0 {
                state.deaf -= 1;
                // Dropped on return, by which it comes again.
                return Box::pin(async { Err(away()) });
            }
        }
        let Some(taken) = self.taken() else {
            return Box::pin(async { Err(away()) });
        };
        self.server.with(&self.key, |group| act(group, taken));
        Box::pin(async { Ok(()) })
    }
}

impl Settle for Settling {
    fn done(self: Box<Self>) -> BoxFuture<'static, Result<(), BrokerError>> {
        if self.server.has(Flaw::RepeatsDone) {
            // Forgotten, so that it stays with its source.
            std::mem::forget(self);
            return Box::pin(async { Ok(()) });
        }
        self.settle(|_, _| ())
    }

    fn retry(
        self: Box<Self>,
        after: Duration,
        failure: Failure,
    ) -> BoxFuture<'static, Result<(), BrokerError>> {
        let (server, key) = (self.server.clone(), self.key.clone());
        let forgets = server.has(Flaw::ForgetsFailures);
        let after = match server.has(Flaw::IgnoresPauses) {
            true => Duration::ZERO,
            false => after,
        };
        self.settle(move |_, mut taken| {
            if forgets {
                taken.failures.clear();
            }
            taken.failures.push(failure);
            tokio::spawn(async move {
                sleep(after).await;
                server.with(&key, |group| group.add(taken.record, taken.failures));
            });
        })
    }

    fn give_up(self: Box<Self>, failure: Failure) -> BoxFuture<'static, Result<(), BrokerError>> {
        self.settle(|group, mut taken| {
            taken.failures.push(failure);
            let Taken {
                record, failures, ..
            } = taken;
            group.dead.push_back(Dead { record, failures });
        })
    }

    fn release(self: Box<Self>) -> BoxFuture<'static, Result<(), BrokerError>> {
        self.settle(Group::give_back)
    }
}

impl Drop for Settling {
    fn drop(&mut self) {
        if let Some(taken) = self.taken()
            && !self.server.has(Flaw::LosesDropped)
        {
            self.server.with(&self.key, |group| group.give_back(taken));
        }
    }
}

struct Letters(Server, (String, String));

impl DeadLetters for Letters {
    fn list(&mut self, limit: usize) -> BoxFuture<'_, Result<Vec<Dead>, BrokerError>> {
        let loses = self.0.has(Flaw::LosesLooked);
        let dead = self.0.with(&self.1, |group| {
            let dead = group.dead.iter().take(limit).cloned().collect();
            if loses {
                group.dead.clear();
            }
            dead
        });
        Box::pin(async { Ok(dead) })
    }

    fn replay(&mut self, limit: usize) -> BoxFuture<'_, Result<usize, BrokerError>> {
        let remembers = self.0.has(Flaw::RemembersFailures);
        let replayed = self.0.with(&self.1, |group| {
            let replayed = group.dead.len().min(limit);
            for mut dead in group.dead.drain(..replayed).collect::<Vec<_>>() {
                if !remembers {
                    dead.failures.clear();
                }
                group.add(dead.record, dead.failures);
            }
            replayed
        });
        Box::pin(async move { Ok(replayed) })
    }
}
