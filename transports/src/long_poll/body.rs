//! The body of an answer, handed over in pieces so that it shows whether the client takes it.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use fanfare::metrics;
use http_body::{Frame, SizeHint};

/// Bytes of a piece.
const PIECE: usize = 64 << 10;
/// A client that has taken nothing for this long when its connection ends was too slow; one that goes
/// away earlier just went.
const SLOW: Duration = Duration::from_secs(5);

/// An answer on its way.
#[derive(Debug)]
pub(super) struct Answer {
    left: Bytes,
    moved: Instant,
}

impl Answer {
    pub(super) fn new(text: Vec<u8>) -> Self {
        Self {
            left: text.into(),
            moved: Instant::now(),
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
        if !self.left.is_empty() && self.moved.elapsed() >= SLOW {
            metrics::slow_disconnect();
        }
    }
}
