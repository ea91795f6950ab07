//! What arrived on a connection, message by message.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;
use serde_json::value::RawValue;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use super::wire::{Line, Publication, Refused};

/// What arrived on a connection so far.
#[derive(Debug, Default)]
pub struct Record {
    /// The WebSocket messages, in order.
    pub messages: Vec<Message>,
    /// The events that were pushed, in order.
    pub pushes: Vec<Push>,
    /// How often the server pinged.
    pub pings: usize,
    /// How the connection ended, if it has.
    pub end: Option<End>,
    replies: HashMap<u32, Result<Box<RawValue>, Refused>>,
    /// What no server should send. Every wait fails after one.
    faults: Vec<String>,
}

/// A WebSocket message.
#[derive(Clone, Debug)]
pub struct Message {
    /// When it arrived.
    pub at: Instant,
    /// Its text.
    pub text: String,
}

/// An event that was pushed.
#[derive(Clone, Debug)]
pub struct Push {
    /// The channel.
    pub channel: String,
    /// The event.
    pub publication: Publication,
    /// When it arrived.
    pub at: Instant,
    /// Which WebSocket message it came in, counted from 0.
    pub message: usize,
}

/// How a connection ended.
#[derive(Clone, Debug)]
pub struct End {
    /// The close frame's code; none where no close frame came.
    pub code: Option<u16>,
    /// The close frame's reason, or what went wrong.
    pub reason: String,
    /// When it ended.
    pub at: Instant,
}

impl Push {
    /// The envelope as JSON.
    #[must_use]
    pub fn json(&self) -> Value {
        self.publication.json()
    }

    /// The offset; none where the event is ephemeral.
    #[must_use]
    pub fn offset(&self) -> Option<u64> {
        self.publication.offset
    }
}

/// The offsets of those among events that have one.
#[must_use]
pub fn offsets(pushes: &[Push]) -> Vec<u64> {
    pushes.iter().filter_map(Push::offset).collect()
}

impl Record {
    /// The reply of this number; the connection's end where it ended without.
    pub(super) fn reply(&self, id: u32) -> Option<Result<Box<RawValue>, Refused>> {
        let ended = || {
            let end = self.end.as_ref()?;
            Some(Err(Refused {
                code: end.code.map_or(0, u32::from),
                reason: end.reason.clone(),
                closed: true,
            }))
        };
        self.replies.get(&id).cloned().or_else(ended)
    }

    fn take_line(&mut self, line: Line, message: usize, at: Instant) -> Took {
        if let Some(push) = line.push {
            if let Some(publication) = push.publication {
                self.pushes.push(Push {
                    channel: push.channel,
                    publication,
                    at,
                    message,
                });
            }
            return Took::Other;
        }
        let id = line.id;
        if id == 0 {
            self.pings += 1;
            return Took::Ping;
        }
        let reply = match line.error {
            Some(error) => Err(Refused {
                code: error.code,
                reason: error.message,
                closed: false,
            }),
            None => match line.result() {
                Some(result) => Ok(result),
                None => {
                    self.faults.push(format!("reply {id} says nothing"));
                    return Took::Other;
                }
            },
        };
        if self.replies.insert(id, reply).is_some() {
            self.faults.push(format!("command {id} was answered twice"));
        }
        Took::Other
    }
}

/// A record that grows, and those who wait for it.
#[derive(Debug, Default)]
pub(super) struct Recording {
    record: Mutex<Record>,
    changed: watch::Sender<()>,
}

/// What a message was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Took {
    Ping,
    Other,
}

impl Recording {
    pub(super) fn look<T>(&self, look: impl FnOnce(&Record) -> T) -> T {
        look(&self.record.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn change<T>(&self, change: impl FnOnce(&mut Record) -> T) -> T {
        let changed = change(&mut self.record.lock().unwrap_or_else(PoisonError::into_inner));
        self.changed.send_replace(());
        changed
    }

    pub(super) fn took(&self, text: String) -> Took {
        let at = Instant::now();
        self.change(|record| {
            let message = record.messages.len();
            let mut took = Took::Other;
            for line in text.lines() {
                match serde_json::from_str(line) {
                    Ok(line) => {
                        if record.take_line(line, message, at) == Took::Ping {
                            took = Took::Ping;
                        }
                    }
                    Err(error) => record.faults.push(format!("{error}: {line}")),
                }
            }
            record.messages.push(Message { at, text });
            took
        })
    }

    pub(super) fn ended(&self, code: Option<u16>, reason: &str) {
        let end = End {
            code,
            reason: reason.to_owned(),
            at: Instant::now(),
        };
        self.change(|record| record.end = Some(end));
    }

    pub(super) fn fault(&self, fault: String) {
        self.change(|record| record.faults.push(fault));
    }

    pub(super) async fn wait<T>(
        &self,
        what: &str,
        within: Duration,
        mut look: impl FnMut(&Record) -> Option<T>,
    ) -> T {
        let mut changed = self.changed.subscribe();
        let deadline = Instant::now() + within;
        loop {
            let found = self.look(|record| {
                assert!(record.faults.is_empty(), "{:?}", record.faults);
                look(record)
            });
            if let Some(found) = found {
                return found;
            }
            if timeout_at(deadline, changed.changed()).await.is_err() {
                self.look(|record| {
                    let last = record.messages.last();
                    let (messages, pushes, end) = (record.messages.len(), record.pushes.len(), &record.end);
                    panic!("{what}: not within {within:?} ({messages} messages, {pushes} events, last {last:?}, end {end:?})")
                });
            }
        }
    }
}
