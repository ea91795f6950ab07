//! What a source fetched, and what of it is in hand.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_nats::{Message, Subject};
use fanfare::broker::BrokerError;
use tokio::sync::Notify;

/// What a source fetched and has not settled.
#[derive(Debug)]
pub(super) struct Hands {
    prefetch: usize,
    state: Mutex<State>,
    /// Something is there for the source.
    pub(super) ready: Notify,
    /// Something is there for the pump.
    pub(super) work: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// Fetched and not handed out yet.
    ready: VecDeque<Fetched>,
    /// Fetched and not settled, handed out or not: number in the stream to where to acknowledge.
    unsettled: HashMap<u64, Subject>,
    words: Words,
    /// Records that something is known about.
    known: HashSet<u64>,
    finished: Finished,
    trouble: Option<BrokerError>,
    closed: bool,
}

/// What the server is to be told without waiting for its answer.
#[derive(Debug, Default)]
pub(super) struct Words {
    /// Refused, so that they come again.
    pub(super) give_back: Vec<Subject>,
    /// Refused for so long.
    pub(super) put_off: Vec<(Subject, Duration)>,
    /// Came again although they are finished.
    pub(super) acknowledge: Vec<Subject>,
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
        state.unsettled.len().saturating_sub(state.ready.len())
    }

    /// A delivery is about to be refused. Gives the place to acknowledge it.
    pub(super) fn leave(&self, sequence: u64) -> Option<Subject> {
        let reply = self.lock().unsettled.remove(&sequence);
        self.work.notify_one();
        reply
    }

    /// Something is known about a record from now on.
    pub(super) fn failed(&self, sequence: u64) {
        /// They go when the record is settled, here. For those that are settled elsewhere.
        const MOST: usize = 100_000;
        let mut state = self.lock();
        if state.known.len() >= MOST {
            state.known.clear();
        }
        state.known.insert(sequence);
    }

    /// The oldest that is fetched is to come again later; it is not due.
    pub(super) fn put_off(&self, sequence: u64, wait: Duration) {
        let mut state = self.lock();
        if state.take(sequence)
            && let Some(reply) = state.unsettled.remove(&sequence)
        {
            state.words.put_off.push((reply, wait));
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
            state.known.remove(&numbers.sequence);
            state.finished.push((numbers.sequence, numbers.published));
        }
        drop(state);
        self.work.notify_one();
    }

    /// A delivery is to come again, as soon as the server can be told.
    pub(super) fn give_back(&self, sequence: u64, reply: &Subject) {
        let mut state = self.lock();
        // Where it came again already, the server has done so.
        let came_again = state.ready.iter().any(|one| one.sequence == sequence);
        if !came_again {
            let newest = state.unsettled.remove(&sequence);
            let reply = newest.unwrap_or_else(|| reply.clone());
            state.words.give_back.push(reply);
        }
        drop(state);
        self.work.notify_one();
    }

    /// Gives everything back and ends the pump.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.work.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// For the pump.
impl Hands {
    pub(super) fn closed(&self) -> bool {
        self.lock().closed
    }

    /// For how many more there are places.
    pub(super) fn free(&self) -> usize {
        self.prefetch.saturating_sub(self.lock().unsettled.len())
    }

    /// Where to say that they are still worked on.
    pub(super) fn unsettled(&self) -> Vec<Subject> {
        self.lock().unsettled.values().cloned().collect()
    }

    /// What the server is to be told, once.
    pub(super) fn words(&self) -> Words {
        std::mem::take(&mut self.lock().words)
    }

    /// The numbers of the records that something is known about.
    pub(super) fn known(&self, known: HashSet<u64>) {
        self.lock().known = known;
    }

    /// Gives back all that is not settled.
    pub(super) fn give_back_all(&self) {
        let mut state = self.lock();
        state.ready.clear();
        let left: Vec<_> = state.unsettled.drain().map(|(_, reply)| reply).collect();
        state.words.give_back.extend(left);
    }

    pub(super) fn fetch(&self, message: Message) {
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
            state.words.acknowledge.push(reply);
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
    pub(super) fn forget_ready(&self) {
        let mut state = self.lock();
        for fetched in std::mem::take(&mut state.ready) {
            let reply = state.unsettled.remove(&fetched.sequence);
            state.words.give_back.extend(reply);
        }
    }

    pub(super) fn fail(&self, error: BrokerError) {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_of_a_reply_are_read() {
        let short = "$JS.ACK.STREAM.group==topic.3.100.7.1790230470084404000.42";
        let long = "$JS.ACK.hub.ABCDEF.STREAM.group==topic.3.100.7.1790230470084404000.42.x";
        for reply in [short, long] {
            let numbers = numbers(reply).unwrap();
            assert_eq!((numbers.delivered, numbers.sequence), (3, 100));
            assert_eq!(numbers.published, 1_790_230_470_084_404_000);
        }
        assert!(numbers("_INBOX.abc").is_none());
    }

    #[test]
    fn the_last_ten_thousand_are_remembered() {
        let mut finished = Finished::default();
        for sequence in 0..10_001 {
            finished.push((sequence, 1));
        }
        assert!(!finished.set.contains(&(0, 1)));
        assert!(finished.set.contains(&(1, 1)) && !finished.set.contains(&(1, 2)));
        assert_eq!((finished.set.len(), finished.order.len()), (10_000, 10_000));
    }
}
