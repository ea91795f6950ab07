//! What waits for one connection, bounded in bytes, with one named outcome when it is full.

mod lent;
mod place;
mod receipts;
mod relief;

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;

pub use self::lent::DirectWrite;
pub(crate) use self::lent::Written;
use self::receipts::OwnChannel;
use super::batch::Batch;
use crate::channel::Channel;
use crate::codec::Notice;
use crate::cursor::Cursor;
use crate::disconnect::Disconnect;
use crate::sync::Mutex;
use crate::wire::{Flush, WireForm};

/// Bytes handed to a stream transport at once. What it holds can no longer be conflated, so it
/// should be no more than a socket takes in a few writes.
const BATCH_BYTES: usize = 128 << 10;

/// The queue of one connection.
///
/// Either fan-out writes to the socket itself (a lent [`DirectWrite`], while the socket keeps up),
/// or the connection's task does. `stalled` says whose turn it is, so a socket has one writer at any
/// time and frames leave in the order in which they came.
#[derive(Debug)]
pub(crate) struct Outbox {
    state: Mutex<State>,
    budget: usize,
}

struct State {
    form: Arc<WireForm>,
    /// Where the client stands once it has read what has been taken out of the queue; for dialects
    /// that carry a cursor, from when the connection has channels.
    cursor: Option<Box<Cursor>>,
    /// Whether it has moved past events of which the client was told nothing.
    moved_on: bool,
    /// The user's own channel, for which receipts are noted.
    own: Option<Box<OwnChannel>>,
    queue: VecDeque<Chunk>,
    /// Flushes that came while a subscribe reply was being made. They follow it.
    held: VecDeque<Chunk>,
    holds: u32,
    /// Bytes of the queue's first chunk that are on the wire already.
    written: usize,
    /// Bytes queued, held, and in the batch that the connection's task is writing.
    bytes: usize,
    /// Those of them that the budget bounds: flushes. Replies are bounded by the session, which
    /// answers nothing more while the budget is used up.
    live: usize,
    batch_bytes: usize,
    batch_live: usize,
    direct: Option<Box<dyn DirectWrite>>,
    stalled: bool,
    waker: Option<Waker>,
    /// The session, where it waits for the queue to become shorter.
    room: Option<Waker>,
    closing: Option<Disconnect>,
    /// Whether it answers a poll, which ephemeral events neither end nor are part of.
    polls: bool,
    /// Whether fan-out has it on its list of connections to write.
    staged: bool,
    lost: Vec<(Channel, u64)>,
}

struct Chunk {
    frame: Bytes,
    /// The flush it belongs to; none for control messages, which are never dropped.
    flush: Option<Arc<Flush>>,
    /// Whether it came by fan-out, so that the budget counts it and it may be dropped. What a client
    /// recovers does not.
    live: bool,
    /// Whether the connection's cursor still has to be written into it, which is done when it leaves:
    /// what stands before it moves the cursor too.
    bare: bool,
}

impl Chunk {
    fn control(frame: Bytes) -> Self {
        Self {
            frame,
            flush: None,
            live: false,
            bare: false,
        }
    }

    /// The flush that it moves past, where that is all that it does.
    fn passed(&mut self) -> Option<&mut Arc<Flush>> {
        let flush = self.flush.as_mut()?;
        (self.bare && flush.publications().is_empty()).then_some(flush)
    }
}

/// What came of a flush that was pushed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Pushed {
    /// Whether the caller must see to it that the outbox is written: it was not staged before.
    pub(crate) newly_staged: bool,
    /// Whether it waits for the client now.
    pub(crate) queued: bool,
    /// Events that a newer one of the same key made superfluous.
    pub(crate) conflated: u64,
    /// Best-effort events given up.
    pub(crate) dropped: u64,
    /// Whether an event that must arrive did not fit, which ends the connection.
    pub(crate) overflowed: bool,
    /// Events that waited when the connection ended so.
    pub(crate) given_up: u64,
}

/// What the task of a connection with a lent socket has to do.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Attention {
    /// The socket was full: wait until it is writable, then write on.
    Stalled,
    /// Write what is left, then end the connection.
    Closing(Disconnect),
}

impl Outbox {
    pub(crate) fn new(form: Arc<WireForm>, budget: usize) -> Self {
        Self {
            state: Mutex::new(State {
                form,
                cursor: None,
                moved_on: false,
                own: None,
                queue: VecDeque::new(),
                held: VecDeque::new(),
                holds: 0,
                written: 0,
                bytes: 0,
                live: 0,
                batch_bytes: 0,
                batch_live: 0,
                direct: None,
                stalled: false,
                waker: None,
                room: None,
                closing: None,
                polls: false,
                staged: false,
                lost: Vec::new(),
            }),
            budget,
        }
    }

    pub(crate) fn form(&self) -> Arc<WireForm> {
        self.state.lock().form.clone()
    }

    /// Changes the form. Queued flushes take the frame of the new one, other frames become what
    /// `reframe` makes of them; one that is half on the wire stays as it is. The batch that was taken
    /// last counts as written.
    pub(crate) fn reframe(&self, form: Arc<WireForm>, reframe: impl Fn(&[u8]) -> Bytes) {
        let mut guard = self.state.lock();
        let state = &mut *guard;
        let untouchable = usize::from(state.written > 0);
        let has_cursor = form.codec.has_cursor();
        state.form = form;
        state.bytes -= std::mem::take(&mut state.batch_bytes);
        state.live -= std::mem::take(&mut state.batch_live);
        let whole = state.queue.iter_mut().skip(untouchable);
        for chunk in whole.chain(&mut state.held) {
            if chunk.frame.is_empty() {
                continue;
            }
            let frame = match &chunk.flush {
                // A cursor that has been written into it is the connection's own.
                Some(flush) if chunk.bare || flush.is_notice() || !has_cursor => {
                    flush.frame(&state.form).clone()
                }
                _ => reframe(&chunk.frame),
            };
            state.bytes = state.bytes - chunk.frame.len() + frame.len();
            if chunk.live {
                state.live = state.live - chunk.frame.len() + frame.len();
            }
            chunk.frame = frame;
        }
        state.tell_room();
    }

    /// Lends the socket to fan-out.
    pub(crate) fn lend(&self, direct: Box<dyn DirectWrite>) {
        self.state.lock().direct = Some(direct);
    }

    /// From now on only takes what has a position: a poll does not see ephemeral events.
    pub(crate) fn answer_poll(&self) {
        self.state.lock().polls = true;
    }

    /// Queues a flush. The caller writes it afterwards if it was newly staged.
    pub(crate) fn push_flush(&self, flush: &Arc<Flush>) -> Pushed {
        let mut guard = self.state.lock();
        let state = &mut *guard;
        let positioned;
        let flush = if state.polls {
            positioned = flush.positioned();
            &positioned
        } else {
            flush
        };
        if flush.publications().is_empty() && !flush.is_notice() {
            state.pass(flush);
            return Pushed::default();
        }
        let frame = flush.frame(&state.form);
        let mut pushed = Pushed::default();
        if state.closing.is_some() || frame.is_empty() {
            return pushed;
        }
        state.bytes += frame.len();
        state.live += frame.len();
        state.note_own(flush);
        let chunk = Chunk {
            frame: frame.clone(),
            flush: Some(flush.clone()),
            live: true,
            bare: state.form.codec.has_cursor() && !flush.is_notice(),
        };
        if state.holds > 0 {
            state.held.push_back(chunk);
        } else {
            state.queue.push_back(chunk);
        }
        if state.live > self.budget {
            state.relieve(self.budget, &mut pushed);
        }
        pushed.newly_staged = !std::mem::replace(&mut state.staged, true);
        pushed.queued = !pushed.overflowed;
        pushed
    }

    /// Queues what a client recovers, for dialects that write it like other publications. It is
    /// encoded when it leaves, and counts towards no budget.
    pub(crate) fn push_recovered(&self, flush: Arc<Flush>) {
        let mut state = self.state.lock();
        if state.closing.is_none() {
            state.queue.push_back(Chunk {
                frame: Bytes::new(),
                flush: Some(flush),
                live: false,
                bare: true,
            });
        }
    }

    /// Queues a control message, whatever waits already. The caller writes it afterwards.
    pub(crate) fn push_control(&self, frame: Bytes) {
        let mut state = self.state.lock();
        if state.closing.is_none() {
            state.bytes += frame.len();
            state.queue.push_back(Chunk::control(frame));
        }
    }

    /// Queues the dialect's ping, if it has one, behind what tells the client where it stands, if it
    /// does not know. The caller writes it afterwards.
    pub(crate) fn push_ping(&self) {
        let mut guard = self.state.lock();
        let state = &mut *guard;
        if state.closing.is_some() {
            return;
        }
        // What waits moves the cursor, and most of it tells.
        let stands = state.cursor.as_ref();
        let stands = stands.filter(|_| state.moved_on && state.queue.is_empty());
        let told = stands.and_then(|cursor| state.form.moved_on(cursor));
        state.moved_on &= told.is_none();
        // Made under the lock, so that none comes in the old form after a change.
        for frame in told.into_iter().chain(state.form.ping()) {
            state.bytes += frame.len();
            state.queue.push_back(Chunk::control(frame));
        }
    }

    /// From now on flushes wait until [`release`](Self::release), so that a reply made meanwhile
    /// stands before them.
    pub(crate) fn hold(&self) {
        self.state.lock().holds += 1;
    }

    /// Ends one [`hold`](Self::hold), with the reply that it waited for.
    pub(crate) fn release(&self, reply: Option<Bytes>) {
        let mut state = self.state.lock();
        state.holds -= 1;
        if state.closing.is_some() {
            return;
        }
        if let Some(frame) = reply {
            state.bytes += frame.len();
            state.queue.push_back(Chunk::control(frame));
        }
        if state.holds == 0 {
            let mut held = std::mem::take(&mut state.held);
            state.queue.append(&mut held);
        }
    }

    /// Writes what waits, as far as the lent socket takes it; without one, wakes the task.
    pub(crate) fn write(&self) -> Written {
        let mut state = self.state.lock();
        state.staged = false;
        if state.stalled || state.direct.is_none() {
            state.wake();
            return Written::Part(0);
        }
        state.write()
    }

    /// Writes on after the socket was full. For the connection's task, which waited until the
    /// socket was writable.
    pub(crate) fn write_on(&self) -> Written {
        self.state.lock().write()
    }

    /// Resolves when the task of a connection with a lent socket has something to do.
    pub(crate) fn poll_attention(&self, context: &mut Context<'_>) -> Poll<Attention> {
        let mut state = self.state.lock();
        if let Some(disconnect) = &state.closing {
            return Poll::Ready(Attention::Closing(disconnect.clone()));
        }
        if state.stalled {
            return Poll::Ready(Attention::Stalled);
        }
        state.register(context)
    }

    /// Resolves when the connection is to end.
    pub(crate) fn poll_closing(&self, context: &mut Context<'_>) -> Poll<Disconnect> {
        let mut state = self.state.lock();
        match &state.closing {
            Some(disconnect) => Poll::Ready(disconnect.clone()),
            None => state.register(context),
        }
    }

    /// Fills `batch` for a task that writes by itself. The batch before it counts as written.
    pub(crate) fn poll_batch(
        &self,
        context: &mut Context<'_>,
        batch: &mut Batch,
    ) -> Poll<Result<(), Disconnect>> {
        let mut state = self.state.lock();
        state.bytes -= std::mem::take(&mut state.batch_bytes);
        state.live -= std::mem::take(&mut state.batch_live);
        state.tell_room();
        state.tell_losses();
        while state.batch_bytes < BATCH_BYTES {
            state.write_cursors(1);
            let Some(chunk) = state.queue.pop_front() else {
                break;
            };
            state.batch_bytes += chunk.frame.len();
            if chunk.live {
                state.batch_live += chunk.frame.len();
            }
            batch.push(chunk.frame);
        }
        if state.batch_bytes > 0 {
            return Poll::Ready(Ok(()));
        }
        state.queue = VecDeque::new();
        match &state.closing {
            Some(disconnect) => Poll::Ready(Err(disconnect.clone())),
            None => state.register(context),
        }
    }

    /// Ends the connection after what is queued, or at once where that cannot arrive. The first
    /// call decides; whether this was it, is the result.
    pub(crate) fn close(&self, disconnect: Disconnect) -> bool {
        self.state.lock().close(disconnect)
    }

    /// Waits until less than the budget is queued, or the connection ends. Cancel safe.
    pub(crate) async fn room(&self) {
        poll_fn(|context| {
            let mut state = self.state.lock();
            if state.bytes < self.budget || state.closing.is_some() {
                return Poll::Ready(());
            }
            state.room = Some(context.waker().clone());
            Poll::Pending
        })
        .await;
    }

    /// Whether it ends at once, whatever still waits.
    pub(crate) fn is_cut(&self) -> bool {
        let state = self.state.lock();
        state.closing.as_ref().is_some_and(Disconnect::is_abrupt)
    }

    /// Bytes that wait.
    pub(crate) fn bytes(&self) -> usize {
        self.state.lock().bytes
    }
}

impl State {
    /// Remembers whom to wake. Under the lock that guards every change, so none is missed.
    fn register<T>(&mut self, context: &Context<'_>) -> Poll<T> {
        match &mut self.waker {
            Some(waker) => waker.clone_from(context.waker()),
            none => *none = Some(context.waker().clone()),
        }
        Poll::Pending
    }

    /// The queue has become shorter, or nothing will be written any more.
    fn tell_room(&mut self) {
        if let Some(waker) = self.room.take() {
            waker.wake();
        }
    }

    fn wake(&mut self) {
        if let Some(waker) = &self.waker {
            waker.wake_by_ref();
        }
    }

    fn close(&mut self, disconnect: Disconnect) -> bool {
        if self.closing.is_some() {
            return false;
        }
        if disconnect.is_abrupt() {
            // What stands half on the wire must be finished, or the close frame would lie inside it.
            self.queue.truncate(usize::from(self.written > 0));
            let left = self.queue.iter().map(|c| c.frame.len()).sum::<usize>();
            let left_live = self.queue.iter().filter(|c| c.live);
            self.live = self.batch_live + left_live.map(|c| c.frame.len()).sum::<usize>();
            self.bytes = self.batch_bytes + left;
        } else {
            let mut held = std::mem::take(&mut self.held);
            self.queue.append(&mut held);
        }
        self.held = VecDeque::new();
        self.lost = Vec::new();
        self.closing = Some(disconnect);
        self.tell_room();
        self.wake();
        true
    }

    /// Tells the client what it lost, once it keeps up again.
    fn tell_losses(&mut self) {
        if self.lost.is_empty() || !self.queue.is_empty() {
            return;
        }
        let form = self.form.clone();
        let mut messages = form.messages();
        for (channel, count) in std::mem::take(&mut self.lost) {
            form.codec
                .notice(&Notice::Dropped { channel, count }, &mut messages);
        }
        if let Some(frame) = messages.finish() {
            self.bytes += frame.len();
            self.queue.push_back(Chunk::control(frame));
        }
    }
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State")
            .field("chunks", &self.queue.len())
            .field("bytes", &self.bytes)
            .field("stalled", &self.stalled)
            .field("closing", &self.closing)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;

#[cfg(test)]
mod loom_tests;
