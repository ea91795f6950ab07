//! The socket that a transport lends, written by whoever has something for it.

use std::collections::VecDeque;
use std::io::{self, IoSlice};

use super::State;
use crate::disconnect::Disconnect;

/// Frames given to one system call.
const SLICES: usize = 64;

/// A socket that takes bytes from any thread without waiting.
///
/// A transport whose socket is a bare TCP stream lends it to its session, so that fan-out writes
/// without waking the connection's task for every flush.
pub trait DirectWrite: Send + Sync + 'static {
    /// Writes what the socket takes now, in order, and says how many bytes that was.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] where it takes nothing now; any other error ends the
    /// connection.
    fn try_write(&self, frames: &[IoSlice<'_>]) -> io::Result<usize>;
}

/// How a write by fan-out ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Written {
    /// This many bytes left, and nothing waits.
    All(usize),
    /// This many bytes left; the rest is up to the connection's task.
    Part(usize),
}

impl State {
    pub(super) fn write(&mut self) -> Written {
        let mut total = 0;
        loop {
            if self.queue.is_empty() {
                self.tell_losses();
            }
            self.write_cursors(SLICES);
            while let Some(first) = self.queue.front()
                && first.frame.is_empty()
                && !first.bare
            {
                self.queue.pop_front();
            }
            if self.queue.is_empty() {
                self.queue = VecDeque::new();
                self.stalled = false;
                return Written::All(total);
            }
            match self.write_once() {
                Ok(count) => {
                    total += count;
                    self.advance(count);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.stalled = true;
                    self.wake();
                    return Written::Part(total);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => {
                    self.written = 0;
                    self.queue = VecDeque::new();
                    self.stalled = false;
                    self.bytes = 0;
                    self.live = 0;
                    self.close(Disconnect::WRITE_ERROR);
                    return Written::Part(total);
                }
            }
        }
    }

    fn write_once(&self) -> io::Result<usize> {
        let direct = self.direct.as_ref().ok_or(io::ErrorKind::WouldBlock)?;
        let mut slices = [IoSlice::new(&[]); SLICES];
        let mut filled = 0;
        for (slice, chunk) in slices.iter_mut().zip(&self.queue) {
            let skip = if filled == 0 { self.written } else { 0 };
            *slice = IoSlice::new(&chunk.frame[skip..]);
            filled += 1;
        }
        match direct.try_write(&slices[..filled])? {
            0 => Err(io::ErrorKind::WriteZero.into()),
            count => Ok(count),
        }
    }

    fn advance(&mut self, mut count: usize) {
        self.bytes -= count;
        self.tell_room();
        while count > 0
            && let Some(first) = self.queue.front()
        {
            let left = first.frame.len() - self.written;
            let gone = left.min(count);
            count -= gone;
            if first.live {
                self.live -= gone;
            }
            if gone == left {
                self.written = 0;
                self.queue.pop_front();
            } else {
                self.written += gone;
            }
        }
    }
}
