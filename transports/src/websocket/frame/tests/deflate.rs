//! Compressed messages (RFC 7692): what they inflate to, and what is refused.

use flate2::{Compress, Compression, FlushCompress};
use proptest::{collection::vec, prelude::*};

use super::properties::{chunk_sizes, junk};
use super::*;
use crate::compression::SYNC_FLUSH;
use crate::websocket::frame::inflate::STATE_BYTES;

const RSV1: u8 = 0x40;

/// A client's frame of a compressed message.
fn sent(fin: bool, opcode: u8, payload: &[u8]) -> Vec<u8> {
    masked(fin, opcode, KEY, payload)
}

fn first(fin: bool, opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = sent(fin, opcode, payload);
    frame[0] |= RSV1;
    frame
}

/// As a client compresses without context takeover.
fn deflated(text: &[u8], level: u32, window_bits: u8) -> Vec<u8> {
    let mut state = Compress::new_with_window_bits(Compression::new(level), false, window_bits);
    let mut out = Vec::with_capacity(text.len() + text.len() / 2 + 100);
    state
        .compress_vec(text, &mut out, FlushCompress::Sync)
        .unwrap();
    assert!(out.ends_with(&SYNC_FLUSH) && out.len() < out.capacity());
    out.truncate(out.len() - 4);
    out
}

fn decoder(max_message: usize) -> Decoder {
    Decoder::new(max_message).with_deflate(true)
}

/// Feeds the stream whole and byte by byte.
fn inflate(max_message: usize, stream: &[u8]) -> Outcome {
    let whole = decode_in(&mut decoder(max_message), stream, []);
    let sizes = iter::repeat_n(1, stream.len());
    assert_eq!(whole, decode_in(&mut decoder(max_message), stream, sizes));
    whole
}

fn inflates(stream: &[u8], messages: impl IntoIterator<Item = Message<'static>>) {
    assert_eq!(inflate(1000, stream), (Vec::from_iter(messages), None));
}

fn is_refused(stream: &[u8], error: ProtocolError, close_code: u16) {
    assert_eq!(inflate(1000, stream), (vec![], Some(error)));
    assert_eq!(error.close_code(), close_code);
}

#[test]
fn examples_of_rfc_7692() {
    // Section 7.2.3.1: one block.
    let one = b"\xf2\x48\xcd\xc9\xc9\x07\x00";
    inflates(&first(true, TEXT, one), [text("Hello")]);
    let fragments = [
        first(false, TEXT, &one[..3]),
        sent(true, CONTINUATION, &one[3..]),
    ];
    inflates(&fragments.concat(), [text("Hello")]);
    // Section 7.2.3.3: without compression.
    let stored = b"\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00";
    inflates(&first(true, TEXT, stored), [text("Hello")]);
    // Section 7.2.3.4: a block that says it is the last.
    let last_block = b"\xf3\x48\xcd\xc9\xc9\x07\x00\x00";
    inflates(&first(true, TEXT, last_block), [text("Hello")]);
    // Section 7.2.3.5: two blocks.
    let two = b"\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00";
    inflates(&first(true, TEXT, two), [text("Hello")]);
    // Section 7.2.3.6: an empty message.
    inflates(&first(true, TEXT, b"\x00"), [text("")]);
}

#[test]
fn what_one_message_held_the_next_knows_nothing_of() {
    let one = deflated(b"Hello", 6, 15);
    // Section 7.2.3.2, with the context taken over, which was not agreed on.
    let refers = b"\xf2\x00\x11\x00\x00";
    let stream = [first(true, TEXT, &one), first(true, TEXT, refers)].concat();
    let expected = (vec![text("Hello")], Some(ProtocolError::InvalidDeflate));
    assert_eq!(inflate(1000, &stream), expected);
}

#[test]
fn plain_messages_and_controls_go_on() {
    let compressed = deflated(b"compressed", 6, 15);
    let (start, end) = compressed.split_at(4);
    let stream = [
        last(TEXT, b"plain"),
        first(false, BINARY, start),
        last(PING, b"between"),
        sent(false, CONTINUATION, b""),
        sent(true, CONTINUATION, end),
        last(TEXT, b"plain again"),
    ];
    let messages = [
        text("plain"),
        Message::Ping(Cow::Borrowed(b"between")),
        binary(b"compressed"),
        text("plain again"),
    ];
    inflates(&stream.concat(), messages);
}

#[test]
fn the_bit_stands_where_a_message_begins_or_nowhere() {
    let one = deflated(b"Hello", 6, 15);
    let not_agreed = first(true, TEXT, &one);
    refused(&not_agreed, ProtocolError::ReservedBits, 1002);
    for opcode in [CLOSE, PING, PONG, CONTINUATION] {
        is_refused(&first(true, opcode, b""), ProtocolError::ReservedBits, 1002);
    }
    let continued = [
        first(false, TEXT, &one[..2]),
        first(true, CONTINUATION, &one[2..]),
    ];
    is_refused(&continued.concat(), ProtocolError::ReservedBits, 1002);
    for other in [0x10, 0x20, 0x50, 0x60] {
        let mut frame = last(TEXT, b"a");
        frame[0] |= other;
        is_refused(&frame, ProtocolError::ReservedBits, 1002);
    }
}

#[test]
fn what_is_no_deflate_is_refused() {
    let one = deflated(b"Hello, how are you?", 6, 15);
    for payload in [
        &b"\x07"[..],
        b"\xff\xff\xff\xff",
        // A block that announces more than there is.
        b"\x00\x09\x00\xf6\xff\x48",
        &one[..one.len() - 1],
        &one[..3],
        b"",
        // Something behind the last block.
        b"\xf3\x48\xcd\xc9\xc9\x07\x00\x00\x06",
    ] {
        is_refused(
            &first(true, BINARY, payload),
            ProtocolError::InvalidDeflate,
            1007,
        );
    }
}

#[test]
fn text_is_checked_as_it_inflates() {
    for bad in [&b"a\xff"[..], b"\xed\xa0\x80", b"cut \xe2\x82"] {
        let payload = deflated(bad, 6, 15);
        is_refused(
            &first(true, TEXT, &payload),
            ProtocolError::InvalidUtf8,
            1007,
        );
        inflates(&first(true, BINARY, &payload), [binary(bad)]);
    }
}

#[test]
fn the_limit_is_that_of_the_text() {
    for (length, fits) in [(1000, true), (1001, false), (1 << 20, false)] {
        for level in [0, 1, 9] {
            let payload = deflated(&vec![b'a'; length], level, 15);
            let stream = first(true, TEXT, &payload);
            if fits {
                inflates(&stream, [text(&"a".repeat(length))]);
            } else {
                is_refused(&stream, ProtocolError::MessageTooBig, 1009);
            }
        }
    }
}

#[test]
fn payload_that_adds_nothing_comes_to_an_end() {
    let empty_block = b"\x00\x00\x00\xff\xff";
    let stream = [
        first(false, TEXT, b""),
        iter::repeat_n(sent(false, CONTINUATION, empty_block), 300)
            .collect::<Vec<_>>()
            .concat(),
    ];
    is_refused(&stream.concat(), ProtocolError::MessageTooBig, 1009);
    // Also where it is announced at once.
    let header = &first(true, BINARY, &[0; 5000])[..8];
    is_refused(header, ProtocolError::MessageTooBig, 1009);
}

#[test]
fn a_bomb_takes_no_more_memory_than_a_message_may() {
    let most = 64 << 10;
    let bomb = deflated(&vec![0; 60 << 20], 9, 15);
    assert!(bomb.len() < most);
    let stream = &mut first(true, BINARY, &bomb)[..];
    let decoder = &mut decoder(most);
    for mut input in stream.chunks_mut(16) {
        match decoder.decode(&mut input) {
            Ok(message) => assert_eq!(message, None),
            Err(error) => {
                assert_eq!(error, ProtocolError::MessageTooBig);
                assert_eq!(decoder.buffered(), 0);
                return;
            }
        }
        assert!(decoder.buffered() <= most + STATE_BYTES);
    }
    panic!("it was taken");
}

fn texts() -> impl Strategy<Value = Vec<u8>> {
    (vec(any::<char>(), 0..30), 1usize..60)
        .prop_map(|(text, times)| String::from_iter(text).repeat(times).into_bytes())
}

/// Compressed frames of which the payload may be anything.
fn bad_frames() -> impl Strategy<Value = Vec<u8>> {
    let payload = prop_oneof![
        vec(any::<u8>(), 0..40),
        (texts(), 0u32..=9, any::<usize>(), any::<u8>()).prop_map(|(text, level, at, byte)| {
            let mut payload = deflated(&text, level, 15);
            let at = at % payload.len();
            payload[at] = byte;
            payload
        }),
        (vec(any::<u8>(), 0..600), 0u32..=9).prop_map(|(bytes, level)| deflated(&bytes, level, 15)),
    ];
    let frame = (any::<bool>(), any::<bool>(), 0u8..3, payload).prop_map(
        |(fin, compressed, opcode, payload)| {
            if compressed {
                first(fin, opcode, &payload)
            } else {
                sent(fin, opcode, &payload)
            }
        },
    );
    vec(frame, 0..6).prop_map(|frames| frames.concat())
}

proptest! {
    #[test]
    fn whatever_a_compressor_makes_is_read(
        messages in vec((texts(), 0u32..=9, 9u8..=15, any::<usize>()), 0..5),
        sizes in chunk_sizes(),
    ) {
        let stream = messages.iter().flat_map(|(text, level, bits, cut)| {
            let payload = deflated(text, *level, *bits);
            let (start, end) = payload.split_at(cut % (payload.len() + 1));
            [first(false, TEXT, start), sent(true, CONTINUATION, end)].concat()
        });
        let stream = stream.collect::<Vec<_>>();
        let decoder = &mut decoder(1 << 16);
        let outcome = decode_in(decoder, &stream, sizes);
        let expected = messages.into_iter().map(|(message, ..)| {
            text(&String::from_utf8(message).unwrap())
        });
        prop_assert_eq!(outcome, (expected.collect(), None));
        prop_assert_eq!(decoder.buffered(), 0);
    }

    #[test]
    fn the_chunking_never_matters_for_compressed_messages(
        stream in prop_oneof![bad_frames(), junk()],
        sizes in chunk_sizes(),
    ) {
        let whole = decode_in(&mut decoder(500), &stream, []);
        prop_assert_eq!(&whole, &decode_in(&mut decoder(500), &stream, sizes));
        prop_assert_eq!(&whole, &decode_in(&mut decoder(500), &stream, iter::repeat_n(1, stream.len())));
    }

    #[test]
    fn memory_is_bounded_for_compressed_messages(
        mut stream in prop_oneof![bad_frames(), junk()],
        max_message in 0..300_usize,
        size in 1..100_usize,
    ) {
        let decoder = &mut decoder(max_message);
        for mut input in stream.chunks_mut(size) {
            while let Ok(Some(message)) = decoder.decode(&mut input) {
                match message {
                    Message::Text(text) => prop_assert!(text.len() <= max_message),
                    Message::Binary(bytes) => prop_assert!(bytes.len() <= max_message),
                    Message::Ping(_) | Message::Pong(_) | Message::Close(_) => {}
                }
            }
            prop_assert!(decoder.buffered() <= max_message + MAX_CONTROL_PAYLOAD + STATE_BYTES);
        }
    }
}
