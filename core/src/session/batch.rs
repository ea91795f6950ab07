//! Many shared frames as one buffer to write from.

use std::collections::VecDeque;
use std::io::IoSlice;

use bytes::{Buf, BufMut, Bytes, BytesMut};

/// Frames taken out of an outbox, written with as few system calls as the socket allows.
///
/// Its [`Buf::chunks_vectored`] gives the frames as they are, so `write_all_buf` on a socket
/// becomes vectored writes of memory that every subscriber shares.
#[derive(Debug, Default)]
pub struct Batch {
    frames: VecDeque<Bytes>,
    bytes: usize,
}

impl Batch {
    pub(crate) fn push(&mut self, frame: Bytes) {
        self.bytes += frame.len();
        if !frame.is_empty() {
            self.frames.push_back(frame);
        }
    }
}

impl Batch {
    /// The frames as they are, in order, for a transport that does not write them by itself.
    pub fn into_frames(self) -> impl Iterator<Item = Bytes> + Send {
        self.frames.into_iter()
    }
}

impl Buf for Batch {
    fn remaining(&self) -> usize {
        self.bytes
    }

    fn chunk(&self) -> &[u8] {
        self.frames.front().map_or(&[], |frame| frame)
    }

    fn chunks_vectored<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let filled = slices.len().min(self.frames.len());
        for (slice, frame) in slices.iter_mut().zip(&self.frames) {
            *slice = IoSlice::new(frame);
        }
        filled
    }

    fn advance(&mut self, mut count: usize) {
        assert!(count <= self.bytes, "advanced past the end of the batch");
        self.bytes -= count;
        while count > 0
            && let Some(frame) = self.frames.front_mut()
        {
            if count < frame.len() {
                frame.advance(count);
                return;
            }
            count -= frame.len();
            self.frames.pop_front();
        }
    }

    /// Costs no copy where the bytes are all of the first frame, as those of
    /// [`chunk`](Buf::chunk) are.
    fn copy_to_bytes(&mut self, count: usize) -> Bytes {
        assert!(count <= self.bytes, "copied past the end of the batch");
        if let Some(frame) = self.frames.front_mut()
            && count <= frame.len()
        {
            let bytes = frame.split_to(count);
            self.bytes -= count;
            if self.frames.front().is_some_and(Bytes::is_empty) {
                self.frames.pop_front();
            }
            return bytes;
        }
        let mut bytes = BytesMut::with_capacity(count);
        bytes.put(self.take(count));
        bytes.freeze()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn reading_in_any_steps_gives_the_frames_in_order(
            frames in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..9), 0..9),
            steps in prop::collection::vec(1usize..7, 0..99),
        ) {
            let mut batch = Batch::default();
            for frame in &frames {
                batch.push(Bytes::copy_from_slice(frame));
            }
            let mut read = Vec::new();
            for step in steps {
                let mut slices = [IoSlice::new(&[]); 3];
                let filled = batch.chunks_vectored(&mut slices);
                let visible = slices[..filled].iter().flat_map(|s| s.iter().copied()).collect::<Vec<_>>();
                let step = step.min(visible.len());
                read.extend_from_slice(&visible[..step]);
                batch.advance(step);
            }
            let frame = batch.copy_to_bytes(batch.chunk().len());
            read.extend_from_slice(&frame);
            read.extend_from_slice(&batch.copy_to_bytes(batch.remaining()));
            prop_assert!(!batch.has_remaining());
            prop_assert_eq!(read, frames.concat());
        }
    }
}
