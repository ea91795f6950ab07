//! The side of a session that a transport writes from.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;

use super::batch::Batch;
use super::outbox::{Attention, DirectWrite, Written};
use crate::cursor::Cursor;
use crate::disconnect::Disconnect;
use crate::hub::connection::Connection;

/// Finished frames on their way to one socket.
///
/// A transport writes in one of two ways. Any stream: in a loop,
/// [`next_batch`](Self::next_batch) and `write_all_buf`. A bare TCP stream: lend it with
/// [`lend`](Self::lend), after which fan-out writes to it, and [`drive`](Self::drive) covers the
/// times when it is full.
#[derive(Clone, Debug)]
pub struct Outbound {
    connection: Arc<Connection>,
}

impl Outbound {
    pub(crate) fn new(connection: &Arc<Connection>) -> Self {
        Self {
            connection: connection.clone(),
        }
    }

    /// Waits for frames and moves them into `batch`, which must be empty: what the batch before
    /// held counts as written from now on.
    ///
    /// Cancel safe: frames leave the outbox only when this returns.
    ///
    /// # Errors
    /// The [`Disconnect`] with which the connection ends, once everything before it has been taken.
    pub async fn next_batch(&self, batch: &mut Batch) -> Result<(), Disconnect> {
        poll_fn(|context| self.connection.outbox.poll_batch(context, batch)).await
    }

    /// [`next_batch`](Self::next_batch) for transports that are polled themselves: response bodies,
    /// for instance. The last waker stands.
    ///
    /// # Errors
    /// As there.
    pub fn poll_batch(
        &self,
        context: &mut Context<'_>,
        batch: &mut Batch,
    ) -> Poll<Result<(), Disconnect>> {
        self.connection.outbox.poll_batch(context, batch)
    }

    /// Where the client stands in its channels once it has read what has been taken so far; none
    /// where the dialect carries no cursor.
    #[must_use]
    pub fn cursor(&self) -> Option<Cursor> {
        self.connection.outbox.cursor()
    }

    /// Whether the connection ends at once, without waiting for what is queued: its client is too
    /// slow, or its socket is gone.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        self.connection.outbox.is_cut()
    }

    /// Lets fan-out write to the socket itself, beginning with what waits already.
    pub fn lend(&self, socket: impl DirectWrite) {
        self.connection.outbox.lend(Box::new(socket));
        self.connection.outbox.write();
    }

    /// Writes to a lent socket after it was full, until the connection is to end. `writable`
    /// resolves when the socket may take more. [`finish`](Self::finish) then writes what is left.
    ///
    /// Cancel safe.
    pub async fn drive<F: Future<Output = ()>>(&self, writable: impl Fn() -> F) -> Disconnect {
        let outbox = &self.connection.outbox;
        loop {
            match poll_fn(|context| outbox.poll_attention(context)).await {
                Attention::Closing(disconnect) => return disconnect,
                Attention::Stalled => {
                    // Boxed: a connection that keeps up should not hold room for it.
                    Box::pin(async {
                        tokio::select! {
                            () = writable() => { outbox.write_on(); }
                            _ = self.closing() => {}
                        }
                    })
                    .await;
                }
            }
        }
    }

    /// Writes what is left to a lent socket of a connection that is to end. Bound it in time: a
    /// client that does not read holds it up.
    ///
    /// Cancel safe.
    pub async fn finish<F: Future<Output = ()>>(&self, writable: impl Fn() -> F) {
        while let Written::Part(_) = self.connection.outbox.write_on() {
            writable().await;
        }
    }

    /// Resolves when the connection is to end, whether or not everything before that is written.
    ///
    /// Cancel safe.
    pub async fn closing(&self) -> Disconnect {
        poll_fn(|context| self.connection.outbox.poll_closing(context)).await
    }

    /// Queues a frame of the transport's own, a pong for instance, behind what waits, and writes.
    pub fn send(&self, frame: Bytes) {
        self.connection.send(frame);
    }

    /// Ends the connection. The first reason given stands.
    pub fn close(&self, disconnect: Disconnect) {
        self.connection.outbox.close(disconnect);
    }

    /// Bytes that wait for the socket.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.connection.outbox.bytes()
    }
}
