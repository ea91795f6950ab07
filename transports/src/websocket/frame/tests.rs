//! The client's side of the wire, and what the decoder must refuse.

mod deflate;
mod oracle;
mod properties;

use std::{borrow::Cow, iter};

use super::*;

const KEY: [u8; 4] = [0x9a, 0x00, 0xff, 0x31];
const TEXT: u8 = 0x1;
const BINARY: u8 = 0x2;
const CONTINUATION: u8 = 0x0;
const CLOSE: u8 = 0x8;
const PING: u8 = 0x9;
const PONG: u8 = 0xA;

/// Every message of a stream, and the error that ended it.
type Outcome = (Vec<Message<'static>>, Option<ProtocolError>);

fn masked(fin: bool, opcode: u8, key: [u8; 4], payload: &[u8]) -> Vec<u8> {
    let mut header = server::server_header(opcode, payload.len()).to_vec();
    header[0] = (u8::from(fin) << 7) | opcode;
    header[1] |= 0x80;
    let payload = payload.iter().zip(key.iter().cycle()).map(|(b, k)| b ^ k);
    header.iter().copied().chain(key).chain(payload).collect()
}

fn last(opcode: u8, payload: &[u8]) -> Vec<u8> {
    masked(true, opcode, KEY, payload)
}

fn fragment(opcode: u8, payload: &[u8]) -> Vec<u8> {
    masked(false, opcode, KEY, payload)
}

/// Feeds `stream` in pieces of these sizes, then what is left in one.
fn decode_in(
    decoder: &mut Decoder,
    stream: &[u8],
    sizes: impl IntoIterator<Item = usize>,
) -> Outcome {
    let mut stream = stream.to_vec();
    let mut rest = &mut stream[..];
    let mut messages = Vec::new();
    for size in sizes.into_iter().chain([usize::MAX]) {
        let (mut input, after) = rest.split_at_mut(size.min(rest.len()));
        rest = after;
        loop {
            match decoder.decode(&mut input) {
                Ok(Some(message)) => messages.push(message.into_owned()),
                Ok(None) => break,
                Err(error) => return (messages, Some(error)),
            }
        }
        assert!(input.is_empty());
    }
    (messages, None)
}

/// Feeds the stream whole and byte by byte.
fn decode(stream: &[u8]) -> Outcome {
    let whole = decode_in(&mut Decoder::new(1000), stream, []);
    let byte_by_byte = decode_in(
        &mut Decoder::new(1000),
        stream,
        iter::repeat_n(1, stream.len()),
    );
    assert_eq!(whole, byte_by_byte);
    whole
}

fn refused(stream: &[u8], error: ProtocolError, close_code: u16) {
    assert_eq!(decode(stream), (vec![], Some(error)));
    assert_eq!(error.close_code(), close_code);
}

fn accepted(stream: &[u8], messages: impl IntoIterator<Item = Message<'static>>) {
    assert_eq!(decode(stream), (Vec::from_iter(messages), None));
}

fn text(text: &str) -> Message<'static> {
    Message::Text(Cow::Owned(text.to_owned()))
}

fn binary(bytes: &[u8]) -> Message<'static> {
    Message::Binary(Cow::Owned(bytes.to_vec()))
}

#[test]
fn examples_of_section_5_7() {
    let hello = b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58";
    accepted(hello, [text("Hello")]);
    let pong = b"\x8a\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58";
    accepted(pong, [Message::Pong(Cow::Borrowed(b"Hello"))]);
}

#[test]
fn empty_messages() {
    accepted(&last(TEXT, b""), [text("")]);
    accepted(&last(BINARY, b""), [binary(b"")]);
    accepted(&last(PING, b""), [Message::Ping(Cow::Borrowed(b""))]);
    accepted(&last(CLOSE, b""), [Message::Close(None)]);
    let empty_fragments = [
        fragment(TEXT, b""),
        fragment(CONTINUATION, b""),
        last(CONTINUATION, b""),
    ];
    accepted(&empty_fragments.concat(), [text("")]);
}

#[test]
fn every_length_encoding() {
    for length in [125, 126, 127, 0xffff, 0x1_0000] {
        let payload = vec![7; length];
        let decoder = &mut Decoder::new(0x1_0000);
        let outcome = decode_in(decoder, &last(BINARY, &payload), [3, 4, 5]);
        assert_eq!(outcome, (vec![binary(&payload)], None));
    }
}

#[test]
fn unmasked_frames_are_refused() {
    refused(b"\x81\x00", ProtocolError::Unmasked, 1002);
    refused(b"\x81\x05Hello", ProtocolError::Unmasked, 1002);
    refused(b"\x88\x00", ProtocolError::Unmasked, 1002);
}

#[test]
fn reserved_bits_are_refused() {
    for bit in [0x10, 0x20, 0x40, 0x70] {
        let mut frame = last(TEXT, b"a");
        frame[0] |= bit;
        refused(&frame, ProtocolError::ReservedBits, 1002);
    }
}

#[test]
fn reserved_opcodes_are_refused() {
    for opcode in (0x3..=0x7).chain(0xB..=0xF) {
        refused(
            &last(opcode, b""),
            ProtocolError::ReservedOpcode(opcode),
            1002,
        );
        refused(
            &fragment(opcode, b""),
            ProtocolError::ReservedOpcode(opcode),
            1002,
        );
    }
}

#[test]
fn fragmented_control_frames_are_refused() {
    for opcode in [CLOSE, PING, PONG] {
        refused(
            &fragment(opcode, b""),
            ProtocolError::FragmentedControl,
            1002,
        );
    }
}

#[test]
fn long_control_frames_are_refused() {
    for opcode in [CLOSE, PING, PONG] {
        for length in [126, 200, 0x1_0000] {
            refused(
                &last(opcode, &vec![0; length]),
                ProtocolError::ControlTooLong,
                1002,
            );
        }
    }
    accepted(
        &last(PING, &[7; 125]),
        [Message::Ping(Cow::Borrowed(&[7; 125]))],
    );
}

#[test]
fn lengths_in_more_bytes_than_needed_are_refused() {
    for header in [
        &b"\x82\xfe\x00\x00"[..],
        b"\x82\xfe\x00\x7d",
        b"\x82\xff\x00\x00\x00\x00\x00\x00\x00\x7d",
        b"\x82\xff\x00\x00\x00\x00\x00\x00\xff\xff",
    ] {
        refused(header, ProtocolError::LengthNotMinimal, 1002);
    }
}

#[test]
fn lengths_with_the_top_bit_are_refused() {
    refused(
        b"\x82\xff\x80\x00\x00\x00\x00\x00\x00\x00",
        ProtocolError::LengthOutOfRange,
        1002,
    );
    refused(
        b"\x82\xff\xff\xff\xff\xff\xff\xff\xff\xff",
        ProtocolError::LengthOutOfRange,
        1002,
    );
    let max = b"\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xff\x00\x00\x00\x00";
    refused(max, ProtocolError::MessageTooBig, 1009);
}

#[test]
fn continuations_need_a_message() {
    refused(
        &last(CONTINUATION, b"a"),
        ProtocolError::UnexpectedContinuation,
        1002,
    );
    refused(
        &fragment(CONTINUATION, b""),
        ProtocolError::UnexpectedContinuation,
        1002,
    );
    let after_the_last = [
        fragment(TEXT, b"a"),
        last(CONTINUATION, b"b"),
        last(CONTINUATION, b"c"),
    ];
    assert_eq!(
        decode(&after_the_last.concat()),
        (
            vec![text("ab")],
            Some(ProtocolError::UnexpectedContinuation)
        ),
    );
}

#[test]
fn new_messages_wait_for_the_last_fragment() {
    for opcode in [TEXT, BINARY] {
        for first in [&b""[..], b"a"] {
            let whole = [fragment(TEXT, first), last(opcode, b"b")].concat();
            refused(&whole, ProtocolError::UnfinishedMessage, 1002);
            let fragmented = [fragment(BINARY, first), fragment(opcode, b"b")].concat();
            refused(&fragmented, ProtocolError::UnfinishedMessage, 1002);
        }
    }
}

#[test]
fn control_frames_stand_between_fragments() {
    let stream = [
        fragment(TEXT, b"a\xe2"),
        last(PING, b"p"),
        fragment(CONTINUATION, b"\x82"),
        last(PONG, b""),
        last(CONTINUATION, b"\xac"),
    ];
    let ping = Message::Ping(Cow::Borrowed(b"p"));
    let pong = Message::Pong(Cow::Borrowed(b""));
    accepted(&stream.concat(), [ping, pong, text("a\u{20ac}")]);
}

#[test]
fn text_is_utf8() {
    for bytes in [
        &b"\xff"[..],
        b"abc\x80",
        b"\xc0\xaf",
        b"\xed\xa0\x80",
        b"\xf4\x90\x80\x80",
        b"a\xe2\x82",
        b"\xf0\x9f\x92",
    ] {
        refused(&last(TEXT, bytes), ProtocolError::InvalidUtf8, 1007);
        for cut in 0..=bytes.len() {
            let (head, tail) = bytes.split_at(cut);
            let fragments = [fragment(TEXT, head), last(CONTINUATION, tail)].concat();
            refused(&fragments, ProtocolError::InvalidUtf8, 1007);
        }
        accepted(&last(BINARY, bytes), [binary(bytes)]);
    }
}

#[test]
fn bad_text_fails_before_the_message_is_complete() {
    // In the first fragment, in the first bytes of a frame, and in a character that was begun
    // and can no longer become one.
    refused(&fragment(TEXT, b"a\xffb"), ProtocolError::InvalidUtf8, 1007);
    refused(
        &last(TEXT, b"a\xffbcd")[..8],
        ProtocolError::InvalidUtf8,
        1007,
    );
    let surrogate = [fragment(TEXT, b"\xed"), fragment(CONTINUATION, b"\xa0")].concat();
    refused(&surrogate, ProtocolError::InvalidUtf8, 1007);
}

#[test]
fn characters_may_be_cut_anywhere() {
    let characters = "a\u{df}\u{20ac}\u{1f4a9}z";
    for first in 0..=characters.len() {
        for second in first..=characters.len() {
            let bytes = characters.as_bytes();
            let stream = [
                fragment(TEXT, &bytes[..first]),
                fragment(CONTINUATION, &bytes[first..second]),
                last(CONTINUATION, &bytes[second..]),
            ];
            accepted(&stream.concat(), [text(characters)]);
        }
    }
}

#[test]
fn close_frames_carry_a_valid_body() {
    refused(&last(CLOSE, &[3]), ProtocolError::CloseLength, 1002);
    for code in [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65535] {
        refused(
            &last(CLOSE, &u16::to_be_bytes(code)),
            ProtocolError::CloseCode(code),
            1002,
        );
    }
    refused(
        &last(CLOSE, b"\x03\xe8\xff"),
        ProtocolError::InvalidUtf8,
        1007,
    );
    let bye = CloseFrame {
        code: 4001,
        reason: Cow::Borrowed("bye"),
    };
    accepted(&last(CLOSE, b"\x0f\xa1bye"), [Message::Close(Some(bye))]);
}

#[test]
fn nothing_is_read_after_a_close() {
    let stream = [
        fragment(TEXT, b"a"),
        last(CLOSE, b""),
        b"\xff\xff\xff".to_vec(),
    ]
    .concat();
    accepted(&stream, [Message::Close(None)]);
    let decoder = &mut Decoder::new(10);
    decode_in(decoder, &stream, []);
    assert_eq!(decoder.buffered(), 0);
}

#[test]
fn an_error_stays() {
    let decoder = &mut Decoder::new(10);
    let error = Some(ProtocolError::Unmasked);
    let stream = [fragment(TEXT, b"a"), b"\x81\x00".to_vec()].concat();
    assert_eq!(decode_in(decoder, &stream, []), (vec![], error));
    assert_eq!(decoder.buffered(), 0);
    assert_eq!(decode_in(decoder, &last(TEXT, b"a"), []), (vec![], error));
    assert_eq!(decode_in(decoder, b"", []), (vec![], error));
}

#[test]
fn the_limit_holds_for_all_fragments_together() {
    let limited = |stream: &[u8]| decode_in(&mut Decoder::new(4), stream, []);
    let too_big = (vec![], Some(ProtocolError::MessageTooBig));
    assert_eq!(limited(&last(TEXT, b"abcd")), (vec![text("abcd")], None));
    assert_eq!(limited(&last(TEXT, b"abcde")), too_big);

    let fragments = |third| {
        [
            fragment(TEXT, b"ab"),
            fragment(CONTINUATION, b"c"),
            last(CONTINUATION, third),
        ]
        .concat()
    };
    assert_eq!(limited(&fragments(b"d")), (vec![text("abcd")], None));
    assert_eq!(limited(&fragments(b"de")), too_big);
    // The bytes of a character that is not whole count too.
    let cut = [
        fragment(TEXT, b"a\xf0\x9f\x92"),
        last(CONTINUATION, b"\xa9b"),
    ]
    .concat();
    assert_eq!(limited(&cut), too_big);

    assert_eq!(ProtocolError::MessageTooBig.close_code(), 1009);
    let ping = (vec![Message::Ping(Cow::Borrowed(b"abcde"))], None);
    assert_eq!(limited(&last(PING, b"abcde")), ping);
}

#[test]
fn the_limit_is_checked_from_the_header() {
    for frame in [last(BINARY, &[0; 1001]), fragment(TEXT, &[0; 1001])] {
        refused(&frame[..8], ProtocolError::MessageTooBig, 1009);
    }
    let second = [
        fragment(BINARY, &[0; 500]),
        last(CONTINUATION, &[0; 501])[..8].to_vec(),
    ];
    refused(&second.concat(), ProtocolError::MessageTooBig, 1009);
}

#[test]
fn an_announced_length_reserves_nothing() {
    let decoder = &mut Decoder::new(1 << 30);
    let mut frame = last(BINARY, &[1; 4096 + 14]);
    frame[2..4].copy_from_slice(&u16::MAX.to_be_bytes());
    decode_in(decoder, &frame[..8], []);
    assert_eq!(decoder.buffered(), 0);
    decode_in(decoder, &frame[8..9], []);
    assert_eq!(decoder.buffered(), 1);
    decode_in(decoder, &frame[9..], []);
    assert!((4096..=2 * (4096 + 14)).contains(&decoder.buffered()));
}

#[test]
fn nothing_is_held_between_messages() {
    let decoder = &mut Decoder::new(1000);
    let stream = [
        fragment(TEXT, b"abc"),
        last(PING, b"abc"),
        last(CONTINUATION, b"def"),
        last(BINARY, b"abc"),
        last(PONG, b"abc"),
    ];
    for frame in &stream {
        for byte in frame {
            decode_in(decoder, &[*byte], []);
        }
        assert_eq!(decoder.buffered() > 0, decoder.message.is_some());
    }
    assert_eq!(decoder.buffered(), 0);
    // Half a header lies inline.
    decode_in(decoder, &last(TEXT, b"abc")[..5], []);
    assert_eq!(decoder.buffered(), 0);
}

#[test]
fn a_message_that_is_whole_in_the_input_is_borrowed() {
    let decoder = &mut Decoder::new(1000);
    let mut stream = [last(TEXT, b"abc"), last(PING, b"p"), last(BINARY, b"def")].concat();
    // The header may have come before.
    let (mut header, mut input) = stream.split_at_mut(6);
    assert_eq!(decoder.decode(&mut header), Ok(None));
    let text = decoder.decode(&mut input);
    assert!(matches!(
        text,
        Ok(Some(Message::Text(Cow::Borrowed("abc"))))
    ));
    let ping = decoder.decode(&mut input);
    assert!(matches!(ping, Ok(Some(Message::Ping(Cow::Borrowed(b"p"))))));
    let binary = decoder.decode(&mut input);
    assert!(matches!(
        binary,
        Ok(Some(Message::Binary(Cow::Borrowed(b"def"))))
    ));
    assert_eq!(decoder.decode(&mut input), Ok(None));
}

#[test]
fn a_message_in_pieces_ends_in_a_buffer_of_its_size() {
    let payload = vec![1; 10_000];
    let decoder = &mut Decoder::new(20_000);
    let (messages, _) = decode_in(decoder, &last(BINARY, &payload), iter::repeat_n(999, 9));
    let [Message::Binary(Cow::Owned(bytes))] = &messages[..] else {
        panic!("{messages:?}");
    };
    assert_eq!(bytes.capacity(), payload.len());
}

#[test]
fn a_buffer_is_not_moved_for_every_byte() {
    let one_byte_fragments = iter::repeat_n(fragment(CONTINUATION, b"a"), 5000);
    for stream in [
        last(TEXT, &[b'a'; 5000]),
        last(BINARY, &[0; 5000]),
        [fragment(TEXT, b"a")]
            .into_iter()
            .chain(one_byte_fragments)
            .collect::<Vec<_>>()
            .concat(),
    ] {
        let decoder = &mut Decoder::new(5001);
        let mut capacities = Vec::new();
        for byte in stream {
            decode_in(decoder, &[byte], []);
            capacities.push(decoder.buffered());
        }
        capacities.dedup();
        assert!(capacities.len() < 20, "{capacities:?}");
        assert!(capacities.iter().all(|capacity| *capacity <= 5001));
    }
}

#[test]
fn a_decoder_is_small() {
    assert!(size_of::<Decoder>() <= 104, "{}", size_of::<Decoder>());
}
