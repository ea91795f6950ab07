//! Ending answers whose client does not read.
//!
//! An answer that is a stream ends when its body says so. But HTTP polls a body only while the client
//! takes bytes: once the socket (HTTP/1.1) or the stream's window (HTTP/2) is full, a body cannot end
//! anything. So the [`Server`](crate::Server) polls each connection of HTTP/1.1, and each stream of
//! HTTP/2, inside a [`Cut`], with which the transport that answers registers its session. When the
//! session is to end and the answer does not, the `Cut` drops what it wraps: the connection is closed,
//! or the stream reset, while the connection's other streams go on.

use std::cell::RefCell;
use std::convert::Infallible;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use fanfare::{Disconnect, Outbound};
use pin_project_lite::pin_project;
use tokio::sync::oneshot;
use tokio::time::{Sleep, sleep};

/// How long an answer may go on after its session was told to end, for what is queued and a last
/// word. The same as a WebSocket's close may take.
const END_WITHIN: Duration = Duration::from_secs(5);

thread_local! {
    /// The slot of the [`Cut`] that is being polled on this thread.
    static CURRENT: RefCell<Option<Slot>> = const { RefCell::new(None) };
}

/// Ties the answer that is being made to a session: it is cut at once where the session ends
/// abruptly (a slow reader), and 5 s after any other end that it does not follow.
///
/// To be called while the request is being answered, or while the body is polled, and only where the
/// body owns the session: the connection's task takes over the wake-ups of `outbound`. Does nothing
/// in servers other than ours.
pub(crate) fn register(outbound: Outbound) {
    fill(Slot::Session {
        outbound,
        ending: None,
    });
}

/// Ends, when it is dropped, what HTTP does for the answer that was being made when it was taken. For
/// an upgraded stream of HTTP/2, which hyper writes in a task that nothing else can stop while the
/// stream's window is full.
pub(crate) fn lifeline() -> Lifeline {
    let (held, dropped) = oneshot::channel();
    fill(Slot::Lifeline(dropped));
    Lifeline { _held: held }
}

/// Made by [`lifeline`].
#[derive(Debug)]
pub(crate) struct Lifeline {
    _held: oneshot::Sender<Infallible>,
}

/// Gives the answer that is being made `limit` from now on to be taken further, or be cut. A body calls
/// this for each piece that it hands over.
pub(crate) fn within(limit: Duration) {
    fill(Slot::Within(Box::pin(sleep(limit))));
}

/// Forgets the session of an answer that is complete. The next one on the connection must not end
/// with it.
pub(crate) fn clear() {
    fill(Slot::Empty);
}

fn fill(filling: Slot) {
    CURRENT.with_borrow_mut(|current| {
        if let Some(slot) = current {
            *slot = filling;
        }
    });
}

pin_project! {
    /// Polls `future` until it is complete, or until what it answers is to be cut (`None`).
    #[derive(Debug)]
    pub(crate) struct Cut<F, H> {
        #[pin]
        future: F,
        slot: Slot,
        // Dropped with it.
        held: H,
    }
}

#[derive(Debug, Default)]
enum Slot {
    #[default]
    Empty,
    Session {
        outbound: Outbound,
        /// Runs from the moment at which the session was told to end.
        ending: Option<Pin<Box<Sleep>>>,
    },
    Lifeline(oneshot::Receiver<Infallible>),
    Within(Pin<Box<Sleep>>),
}

impl<F: Future, H> Cut<F, H> {
    /// A task begun while another answer was being made continues that answer, and takes over its
    /// lifeline.
    pub(crate) fn new(future: F, held: H) -> Self {
        let slot = CURRENT.with_borrow_mut(|current| match current {
            Some(slot @ Slot::Lifeline(_)) => std::mem::take(slot),
            _ => Slot::Empty,
        });
        Self { future, slot, held }
    }

    /// What is polled.
    pub(crate) fn inner(self: Pin<&mut Self>) -> Pin<&mut F> {
        self.project().future
    }
}

impl<F: Future, H> Future for Cut<F, H> {
    type Output = Option<F::Output>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let polled = Turn::begin(this.slot).poll(this.future, context);
        match polled {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            // Behind the poll, not before: a body that can still end by itself should.
            Poll::Pending => this.slot.poll_cut(context).map(|()| None),
        }
    }
}

/// Makes a slot the thread's current one, and gives it back when dropped, also in a panic.
struct Turn<'a> {
    slot: &'a mut Slot,
    before: Option<Slot>,
}

impl<'a> Turn<'a> {
    fn begin(slot: &'a mut Slot) -> Self {
        let before = CURRENT.replace(Some(std::mem::take(slot)));
        Self { slot, before }
    }

    fn poll<F: Future>(self, future: Pin<&mut F>, context: &mut Context<'_>) -> Poll<F::Output> {
        future.poll(context)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        *self.slot = CURRENT.replace(self.before.take()).unwrap_or_default();
    }
}

impl Slot {
    /// Resolves when the answer is to be cut, and sees to it that the task is woken for that: a body
    /// which always had something to give has never waited for its session.
    fn poll_cut(&mut self, context: &mut Context<'_>) -> Poll<()> {
        match self {
            Self::Empty => Poll::Pending,
            Self::Lifeline(dropped) => Pin::new(dropped).poll(context).map(|_| ()),
            Self::Within(limit) => limit.as_mut().poll(context),
            Self::Session { outbound, ending } => {
                let disconnect = ready!(pin!(outbound.closing()).poll(context));
                if disconnect == Disconnect::CONNECTION_CLOSED {
                    // The body has dropped its session: what is left of the answer is under way.
                    *self = Self::Empty;
                    return Poll::Pending;
                }
                if outbound.is_cut() {
                    return Poll::Ready(());
                }
                ending
                    .get_or_insert_with(|| Box::pin(sleep(END_WITHIN)))
                    .as_mut()
                    .poll(context)
            }
        }
    }
}

#[cfg(test)]
mod tests;
