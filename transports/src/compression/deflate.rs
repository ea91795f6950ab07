//! Deflate (RFC 1951).

use std::cell::RefCell;

use flate2::{Compress, Compression, FlushCompress, Status};

/// What a sync flush ends with: the length of an empty stored block (RFC 1951 section 3.2.4).
pub(crate) const SYNC_FLUSH: [u8; 4] = [0, 0, 0xff, 0xff];
/// Bytes that a thread keeps room for between two texts.
const KEPT: usize = 256 << 10;

thread_local! {
    static COMPRESSOR: RefCell<Option<Compressor>> = const { RefCell::new(None) };
}

struct Compressor {
    level: u8,
    state: Compress,
    out: Vec<u8>,
}

/// Gives `take` the blocks that `text` becomes. They refer to nothing before them, are not final,
/// and end at a byte, with a sync flush: so they stand anywhere in a stream.
pub(crate) fn deflate<T>(level: u8, text: &[u8], take: impl FnOnce(&[u8]) -> T) -> T {
    COMPRESSOR.with_borrow_mut(|compressor| {
        if compressor.as_ref().is_none_or(|c| c.level != level) {
            *compressor = None;
        }
        let compressor = compressor.get_or_insert_with(|| Compressor {
            level,
            state: Compress::new(Compression::new(level.into()), false),
            out: Vec::new(),
        });
        compressor.compress(text);
        let taken = take(&compressor.out);
        if compressor.out.capacity() > KEPT {
            compressor.out = Vec::new();
        }
        taken
    })
}

impl Compressor {
    fn compress(&mut self, mut text: &[u8]) {
        self.state.reset();
        self.out.clear();
        loop {
            // At the end there has to be room left over: a flush that fills the buffer to its last
            // byte may not be complete.
            self.out.reserve(text.len() / 2 + 64);
            let before = self.state.total_in();
            let status = self
                .state
                .compress_vec(text, &mut self.out, FlushCompress::Sync)
                .expect("a stream that is not finished takes any text");
            let taken = self.state.total_in() - before;
            text = &text[usize::try_from(taken).expect("it is no more than the text")..];
            let is_done = self.out.len() < self.out.capacity() || status == Status::BufError;
            if text.is_empty() && is_done {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use flate2::{Decompress, FlushDecompress};
    use proptest::prelude::*;

    use super::*;

    fn deflated(level: u8, text: &[u8]) -> Vec<u8> {
        deflate(level, text, <[u8]>::to_vec)
    }

    #[test]
    fn levels_take_turns() {
        let text = b"fanfare ".repeat(200);
        for level in [1, 9, 1] {
            assert_eq!(deflated(level, &text), deflated(level, &text));
            assert!(deflated(level, &text).len() < 100);
        }
    }

    #[test]
    fn a_large_text_leaves_no_large_buffer() {
        let mut state = 7u32;
        let noise = (0..KEPT * 2).map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        });
        assert!(deflated(1, &noise.collect::<Vec<_>>()).len() > KEPT);
        COMPRESSOR.with_borrow(|c| assert!(c.as_ref().unwrap().out.capacity() <= KEPT));
    }

    proptest! {
        #[test]
        fn texts_behind_each_other_are_one_stream(
            level in 1u8..=9,
            texts in prop::collection::vec(
                (prop::collection::vec(any::<u8>(), 0..9), 1usize..2000), 0..6),
        ) {
            let texts = texts.into_iter().map(|(text, times)| text.repeat(times)).collect::<Vec<_>>();
            let stream = texts.iter().flat_map(|text| {
                let blocks = deflated(level, text);
                assert!(blocks.ends_with(&SYNC_FLUSH));
                blocks
            });
            let stream = stream.collect::<Vec<_>>();
            let mut inflated = Vec::with_capacity(texts.concat().len() + 1);
            let mut state = Decompress::new(false);
            state.decompress_vec(&stream, &mut inflated, FlushDecompress::Sync).unwrap();
            prop_assert_eq!(inflated, texts.concat());
        }
    }
}
