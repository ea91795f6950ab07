//! The body of an answer, handed over in pieces so that it shows whether the client takes it.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use fanfare::metrics;
use http_body::{Frame, SizeHint};

use crate::cut;

/// Bytes of a piece.
const PIECE: usize = 64 << 10;
/// An answer on its way.
#[derive(Debug)]
pub(super) struct Answer {
    left: Bytes,
    moved: Instant,
    /// How long the client may take nothing.
    limit: Duration,
}

impl Answer {
    pub(super) fn new(text: Vec<u8>, limit: Duration) -> Self {
        Self {
            left: text.into(),
            moved: Instant::now(),
            limit,
        }
    }
}

impl http_body::Body for Answer {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.left.is_empty() {
            return Poll::Ready(None);
        }
        self.moved = Instant::now();
        cut::within(self.limit);
        let piece = self.left.len().min(PIECE);
        Poll::Ready(Some(Ok(Frame::data(self.left.split_to(piece)))))
    }

    fn is_end_stream(&self) -> bool {
        self.left.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left.len() as u64)
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        // One that goes away earlier just went.
        if !self.left.is_empty() && self.moved.elapsed() >= self.limit / 2 {
            metrics::slow_disconnect();
        }
    }
}
