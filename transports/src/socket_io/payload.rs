//! The answer to a poll.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tokio::sync::oneshot;

use super::engine_packet::SEPARATOR;

/// Frames on their way to a client that polls. Those that nobody began to take come back.
#[derive(Debug)]
pub(super) struct Payload {
    frames: VecDeque<Bytes>,
    left: u64,
    /// Where to say what became of it; none once that is said.
    fate: Option<oneshot::Sender<Option<Untaken>>>,
}

/// The frames of an answer that was never begun.
pub(super) type Untaken = VecDeque<Bytes>;
/// What became of an answer: nothing is left of one that was begun.
pub(super) type Fate = oneshot::Receiver<Option<Untaken>>;

impl Payload {
    /// An answer of frames that may not get lost, and word of what became of it.
    pub(super) fn of(frames: VecDeque<Bytes>) -> (Self, Fate) {
        let (fate, told) = oneshot::channel();
        let length = frames.iter().map(|frame| frame.len() as u64).sum::<u64>();
        let ends_with_separator = frames.back().is_some_and(ends_with_separator);
        let payload = Self {
            left: length - u64::from(ends_with_separator),
            frames,
            fate: Some(fate),
        };
        (payload, told)
    }

    /// An answer that nobody misses.
    pub(super) fn packet(packet: &'static str) -> Self {
        Self {
            frames: VecDeque::from([Bytes::from_static(packet.as_bytes())]),
            left: packet.len() as u64,
            fate: None,
        }
    }
}

impl http_body::Body for Payload {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if let Some(fate) = self.fate.take() {
            // The session may be gone.
            let _ = fate.send(None);
        }
        let mut frame = self.frames.pop_front();
        if let Some(last) = &mut frame
            && self.frames.is_empty()
            && ends_with_separator(last)
        {
            // Separators stand between packets, not behind the last.
            last.truncate(last.len() - 1);
        }
        self.left -= frame.as_ref().map_or(0, |frame| frame.len() as u64);
        Poll::Ready(frame.map(|frame| Ok(Frame::data(frame))))
    }

    fn is_end_stream(&self) -> bool {
        self.frames.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

fn ends_with_separator(frame: &Bytes) -> bool {
    frame.last() == Some(&SEPARATOR)
}

impl Drop for Payload {
    fn drop(&mut self) {
        if let Some(fate) = self.fate.take() {
            let _ = fate.send(Some(std::mem::take(&mut self.frames)));
        }
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    fn payload() -> (Payload, Fate) {
        Payload::of(VecDeque::from([
            Bytes::from_static(b"2\x1e"),
            Bytes::from_static(b"42[\"a\"]\x1e"),
        ]))
    }

    #[tokio::test]
    async fn it_is_the_packets_with_separators_between_them() {
        let (payload, fate) = payload();
        assert_eq!(http_body::Body::size_hint(&payload).exact(), Some(9));
        let body = payload.collect().await.unwrap().to_bytes();
        assert_eq!(&body[..], b"2\x1e42[\"a\"]");
        assert!(fate.await.unwrap().is_none());
    }

    #[tokio::test]
    async fn what_was_not_begun_comes_back() {
        let (payload, fate) = payload();
        drop(payload);
        let back = Vec::from(fate.await.unwrap().unwrap());
        assert_eq!(back.concat(), b"2\x1e42[\"a\"]\x1e");
    }

    #[tokio::test]
    async fn what_was_begun_does_not_come_back() {
        let (mut payload, fate) = payload();
        assert!(payload.frame().await.is_some());
        drop(payload);
        assert!(fate.await.unwrap().is_none());
    }
}
