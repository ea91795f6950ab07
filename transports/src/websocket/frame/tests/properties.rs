//! Valid streams decode to what they were made of, and others do no harm.

use proptest::{collection::vec, prelude::*, sample::SizeRange};

use super::*;

/// What a client sends: a message in fragments cut at these places, or a control frame.
#[derive(Debug, Clone)]
enum Sent {
    Data {
        message: Message<'static>,
        cuts: Vec<usize>,
        /// Stand between the fragments.
        controls: Vec<Message<'static>>,
    },
    Control(Message<'static>),
}

/// A stream of whole messages as it lies on the wire, and the messages in their order.
#[derive(Debug, Clone)]
pub(super) struct Stream {
    pub(super) bytes: Vec<u8>,
    pub(super) messages: Vec<Message<'static>>,
}

pub(super) fn streams() -> impl Strategy<Value = Stream> {
    let close = prop_oneof![Just(None), close_frames().prop_map(Some)];
    let keys = vec(any::<[u8; 4]>(), 1..4);
    (vec(sent(), 0..6), proptest::option::of(close), keys).prop_map(|(mut sent, close, keys)| {
        sent.extend(close.map(|close| Sent::Control(Message::Close(close))));
        lay_out(sent, &keys)
    })
}

pub(super) fn chunk_sizes() -> impl Strategy<Value = Vec<usize>> {
    prop_oneof![
        vec(0..20_usize, 0..200),
        vec(0..1000_usize, 0..20),
        Just(vec![1; 5000]),
    ]
}

fn sent() -> impl Strategy<Value = Sent> {
    let data = (data(), vec(any::<usize>(), 0..5), vec(control(), 0..4));
    prop_oneof![
        3 => data.prop_map(|(message, cuts, controls)| Sent::Data { message, cuts, controls }),
        1 => control().prop_map(Sent::Control),
    ]
}

fn data() -> impl Strategy<Value = Message<'static>> {
    prop_oneof![
        texts(0..60).prop_map(|text| Message::Text(Cow::Owned(text))),
        payloads(0..200).prop_map(|bytes| Message::Binary(Cow::Owned(bytes))),
        payloads(120..130).prop_map(|bytes| Message::Binary(Cow::Owned(bytes))),
        (65_530..65_540_usize).prop_map(|length| Message::Binary(Cow::Owned(vec![7; length]))),
    ]
}

fn control() -> impl Strategy<Value = Message<'static>> {
    prop_oneof![
        payloads(0..=125).prop_map(|bytes| Message::Ping(Cow::Owned(bytes))),
        payloads(0..=125).prop_map(|bytes| Message::Pong(Cow::Owned(bytes))),
    ]
}

fn close_frames() -> impl Strategy<Value = CloseFrame<'static>> {
    // Not 1014, which the oracle does not know.
    let codes = prop_oneof![1000..=1003_u16, 1007..=1013_u16, 3000..=4999_u16];
    (codes, texts(0..=30)).prop_map(|(code, reason)| CloseFrame {
        code,
        reason: Cow::Owned(reason),
    })
}

fn texts(length: impl Into<SizeRange>) -> impl Strategy<Value = String> {
    vec(any::<char>(), length).prop_map(String::from_iter)
}

fn payloads(length: impl Into<SizeRange>) -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>(), length)
}

fn lay_out(sent: Vec<Sent>, keys: &[[u8; 4]]) -> Stream {
    let mut keys = keys.iter().copied().cycle();
    let mut frames = Vec::new();
    let mut messages = Vec::new();
    let mut send = |fin, opcode, payload: &[u8]| {
        frames.push(masked(fin, opcode, keys.next().unwrap(), payload));
    };
    for sent in sent {
        match sent {
            Sent::Control(message) => {
                let (opcode, payload) = wire(&message);
                send(true, opcode, &payload);
                messages.push(message);
            }
            Sent::Data {
                message,
                cuts,
                controls,
            } => {
                let (first_opcode, payload) = wire(&message);
                let mut controls = controls.into_iter();
                let fragments = cut(&payload, cuts);
                for (i, fragment) in fragments.iter().enumerate() {
                    let opcode = if i == 0 { first_opcode } else { CONTINUATION };
                    let is_last = i + 1 == fragments.len();
                    send(is_last, opcode, fragment);
                    if !is_last && let Some(control) = controls.next() {
                        let (opcode, payload) = wire(&control);
                        send(true, opcode, &payload);
                        messages.push(control);
                    }
                }
                messages.push(message);
            }
        }
    }
    Stream {
        bytes: frames.concat(),
        messages,
    }
}

fn cut(payload: &[u8], mut cuts: Vec<usize>) -> Vec<&[u8]> {
    for cut in &mut cuts {
        *cut %= payload.len() + 1;
    }
    cuts.sort_unstable();
    let starts = iter::once(0).chain(cuts.iter().copied());
    let ends = cuts.iter().copied().chain([payload.len()]);
    starts
        .zip(ends)
        .map(|(start, end)| &payload[start..end])
        .collect()
}

fn wire(message: &Message<'_>) -> (u8, Vec<u8>) {
    match message {
        Message::Text(text) => (TEXT, text.as_bytes().to_vec()),
        Message::Binary(bytes) => (BINARY, bytes.to_vec()),
        Message::Ping(payload) => (PING, payload.to_vec()),
        Message::Pong(payload) => (PONG, payload.to_vec()),
        Message::Close(None) => (CLOSE, Vec::new()),
        Message::Close(Some(frame)) => {
            let reason = frame.reason.as_bytes();
            (CLOSE, [&frame.code.to_be_bytes(), reason].concat())
        }
    }
}

/// Frames of which any field may be wrong, so that random bytes come further than one header.
pub(super) fn junk() -> impl Strategy<Value = Vec<u8>> {
    let opcodes = prop_oneof![8 => Just(CONTINUATION), 8 => Just(TEXT), 8 => Just(BINARY), 2 => Just(PING), 1 => any::<u8>()];
    let payloads = prop_oneof![
        payloads(0..40),
        payloads(100..300),
        texts(0..20).prop_map(String::into_bytes)
    ];
    let frame = (any::<bool>(), opcodes, any::<[u8; 4]>(), payloads);
    let frame = frame.prop_map(|(fin, opcode, key, payload)| masked(fin, opcode, key, &payload));
    prop_oneof![
        4 => vec(frame, 0..12).prop_map(|frames| frames.concat()),
        1 => vec(any::<u8>(), 0..300),
    ]
}

/// A valid stream with a few bytes changed.
pub(super) fn damaged_streams() -> impl Strategy<Value = Vec<u8>> {
    let damage = vec((any::<usize>(), any::<u8>()), 1..4);
    (streams(), damage).prop_map(|(stream, damage)| {
        let mut bytes = stream.bytes;
        for (place, byte) in damage {
            let place = place % bytes.len().clamp(1, 200);
            if let Some(target) = bytes.get_mut(place) {
                *target = byte;
            }
        }
        bytes
    })
}

proptest! {
    #[test]
    fn valid_streams_decode_at_any_chunking(stream in streams(), sizes in chunk_sizes()) {
        let decoder = &mut Decoder::new(1 << 17);
        let outcome = decode_in(decoder, &stream.bytes, sizes);
        prop_assert_eq!(outcome, (stream.messages, None));
        prop_assert_eq!(decoder.buffered(), 0);
    }

    #[test]
    fn the_chunking_never_matters(
        stream in prop_oneof![junk(), damaged_streams()],
        sizes in chunk_sizes(),
    ) {
        let whole = decode_in(&mut Decoder::new(1000), &stream, []);
        let in_chunks = decode_in(&mut Decoder::new(1000), &stream, sizes);
        prop_assert_eq!(whole, in_chunks);
    }

    #[test]
    fn memory_is_bounded(
        mut stream in prop_oneof![junk(), damaged_streams()],
        max_message in 0..300_usize,
        size in 1..100_usize,
    ) {
        let decoder = &mut Decoder::new(max_message);
        for mut input in stream.chunks_mut(size) {
            while let Ok(Some(message)) = decoder.decode(&mut input) {
                match message {
                    Message::Text(text) => prop_assert!(text.len() <= max_message),
                    Message::Binary(bytes) => prop_assert!(bytes.len() <= max_message),
                    Message::Ping(_) | Message::Pong(_) | Message::Close(_) => {}
                }
            }
            prop_assert!(decoder.buffered() <= max_message + MAX_CONTROL_PAYLOAD);
        }
    }
}
