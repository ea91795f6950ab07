//! Compressed streams: how a message lies in an answer that goes on.

use std::cell::RefCell;

use bytes::{BufMut, BytesMut};
use fanfare::Framing;
use fanfare::config::Compression;
use zstd::bulk::Compressor;

use super::deflate::deflate;

/// What a stored block of deflate can hold (RFC 1951 section 3.2.4).
const STORED: usize = 0xffff;
/// The beginning of a frame of zstd (RFC 8878 section 3.1.1).
const MAGIC: u32 = 0xFD2F_B528;
/// Its header's first byte: the length of the text stands in four bytes, and is the window too.
const SINGLE_SEGMENT: u8 = 0b1010_0000;
/// A block of zstd holds 128 KiB, and a window no less than a block (RFC 8878 section 3.1.1.2).
const RAW: usize = 128 << 10;

thread_local! {
    static ZSTD: RefCell<Option<(u8, Compressor<'static>)>> = const { RefCell::new(None) };
}

/// One stream of gzip for as long as the answer goes on, in which every message is blocks of deflate
/// that end at a byte and refer to nothing before them.
///
/// Not a member of its own (RFC 1952 section 2.2) for every message: Chromium reads the first member
/// only, and curl fails at the second.
#[derive(Clone, Copy, Debug)]
pub(super) struct GzipFraming {
    threshold: usize,
    level: u8,
}

/// A frame of zstd for every message (RFC 8878 section 3).
#[derive(Clone, Copy, Debug)]
pub(super) struct ZstdFraming {
    threshold: usize,
    level: u8,
}

impl GzipFraming {
    pub(super) const fn new(config: &Compression) -> Self {
        Self {
            threshold: config.threshold,
            level: config.level,
        }
    }
}

impl Framing for GzipFraming {
    fn name(&self) -> &'static str {
        "gzip"
    }

    fn frame(&self, message: &[u8], out: &mut BytesMut) {
        if message.len() < self.threshold {
            return store(message, out);
        }
        deflate(self.level, message, |blocks| {
            if blocks.len() < message.len() {
                out.extend_from_slice(blocks);
            } else {
                store(message, out);
            }
        });
    }
}

impl ZstdFraming {
    pub(super) const fn new(config: &Compression) -> Self {
        Self {
            threshold: config.threshold,
            level: config.level,
        }
    }
}

impl Framing for ZstdFraming {
    fn name(&self) -> &'static str {
        "zstd"
    }

    fn frame(&self, message: &[u8], out: &mut BytesMut) {
        if message.len() >= self.threshold
            && let Some(frame) = zstd(self.level, message)
            && frame.len() < message.len()
        {
            out.extend_from_slice(&frame);
        } else {
            message.chunks(RAW).for_each(|chunk| raw(chunk, out));
        }
    }
}

/// Stored blocks, not final.
fn store(message: &[u8], out: &mut BytesMut) {
    for chunk in message.chunks(STORED) {
        let length = u16::try_from(chunk.len()).expect("a chunk is no longer than that");
        out.put_u8(0);
        out.put_u16_le(length);
        out.put_u16_le(!length);
        out.extend_from_slice(chunk);
    }
}

/// A frame of one raw block, the last one.
fn raw(chunk: &[u8], out: &mut BytesMut) {
    let length = u32::try_from(chunk.len()).expect("a chunk is no longer than a block");
    out.put_u32_le(MAGIC);
    out.put_u8(SINGLE_SEGMENT);
    out.put_u32_le(length);
    out.put_uint_le(u64::from(length << 3 | 1), 3);
    out.extend_from_slice(chunk);
}

/// None where there is no memory for it.
fn zstd(level: u8, text: &[u8]) -> Option<Vec<u8>> {
    ZSTD.with_borrow_mut(|compressor| {
        if compressor.as_ref().is_none_or(|(is, _)| *is != level) {
            *compressor = Compressor::new(level.into()).ok().map(|c| (level, c));
        }
        compressor.as_mut()?.1.compress(text).ok()
    })
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use flate2::read::DeflateDecoder;
    use proptest::prelude::*;

    use super::*;

    fn config(level: u8) -> Compression {
        Compression {
            level,
            ..Compression::default()
        }
    }

    fn framed(framing: &impl Framing, messages: &[Vec<u8>]) -> Vec<u8> {
        let mut out = BytesMut::new();
        for message in messages {
            framing.frame(message, &mut out);
        }
        out.to_vec()
    }

    fn inflated(stream: &[u8]) -> Vec<u8> {
        // What it ends with here, a stream that goes on does not.
        let ended = [stream, &[1, 0, 0, 0xff, 0xff]].concat();
        let mut text = Vec::new();
        DeflateDecoder::new(&ended[..])
            .read_to_end(&mut text)
            .unwrap();
        text
    }

    #[test]
    fn a_short_message_is_stored() {
        let short = vec![b'a'; 1023];
        let gzip = framed(&GzipFraming::new(&config(1)), std::slice::from_ref(&short));
        assert_eq!(gzip.len(), 1023 + 5);
        let zstd = framed(&ZstdFraming::new(&config(1)), &[short]);
        assert_eq!(zstd.len(), 1023 + 12);
        let long = vec![b'a'; 1024];
        assert!(framed(&GzipFraming::new(&config(1)), std::slice::from_ref(&long)).len() < 100);
        assert!(framed(&ZstdFraming::new(&config(1)), &[long]).len() < 100);
    }

    #[test]
    fn a_message_that_compression_makes_longer_is_stored() {
        let mut state = 7u32;
        let noise = (0..300_000).map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        });
        let noise = vec![noise.collect::<Vec<_>>()];
        let gzip = framed(&GzipFraming::new(&config(1)), &noise);
        assert!(gzip.len() <= 300_000 + 5 * 5);
        assert_eq!(inflated(&gzip), noise[0]);
        let zstd = framed(&ZstdFraming::new(&config(1)), &noise);
        assert!(zstd.len() <= 300_000 + 3 * 12);
        assert_eq!(zstd::decode_all(&zstd[..]).unwrap(), noise[0]);
    }

    proptest! {
        #[test]
        fn a_client_reads_what_a_plain_one_gets(
            level in 1u8..=9,
            messages in prop::collection::vec(
                (prop::collection::vec(any::<u8>(), 0..20), 1usize..400)
                    .prop_map(|(text, times)| text.repeat(times)),
                0..8,
            ),
        ) {
            let gzip = framed(&GzipFraming::new(&config(level)), &messages);
            prop_assert_eq!(inflated(&gzip), messages.concat());
            let zstd = framed(&ZstdFraming::new(&config(level)), &messages);
            // A stream of no frames is none.
            let zstd = [zstd, framed(&ZstdFraming::new(&config(1)), &[vec![b'.']])].concat();
            let text = [messages.concat(), vec![b'.']].concat();
            prop_assert_eq!(zstd::decode_all(&zstd[..]).unwrap(), text);
        }
    }
}
