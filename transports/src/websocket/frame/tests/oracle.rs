//! The same bytes through another implementation, as far as it is right.
//!
//! It takes more than RFC 6455 allows (frames without a mask, long control frames, lengths in too
//! many bytes, a message inside another, text that is cut off at its end), so what we refuse
//! proves nothing; but what we deliver, it must deliver too.

use fastwebsockets::{FragmentCollector, Frame, OpCode, Role, WebSocket};
use proptest::prelude::*;
use tokio::io::AsyncWriteExt;

use super::{
    properties::{damaged_streams, junk, streams},
    *,
};

const MAX_MESSAGE: usize = 1 << 17;

/// At most `count` messages of the stream, as the other implementation reads them.
fn read(stream: &[u8], count: usize) -> Vec<(u8, Vec<u8>)> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    runtime.block_on(async {
        let (mut client, server) = tokio::io::duplex(stream.len() + 1);
        client.write_all(stream).await.unwrap();
        drop(client);
        let mut socket = WebSocket::after_handshake(server, Role::Server);
        socket.set_auto_pong(false);
        socket.set_auto_close(false);
        // It refuses what is as long as its limit, and reserves what is announced below it.
        socket.set_max_message_size(MAX_MESSAGE + 1);
        let mut socket = FragmentCollector::new(socket);
        let mut messages = Vec::new();
        while messages.len() < count
            && let Ok(Frame {
                opcode, payload, ..
            }) = socket.read_frame().await
        {
            messages.push((opcode as u8, payload.to_vec()));
        }
        messages
    })
}

fn expected(messages: &[Message<'_>]) -> Vec<(u8, Vec<u8>)> {
    let opcodes = [
        OpCode::Text,
        OpCode::Binary,
        OpCode::Ping,
        OpCode::Pong,
        OpCode::Close,
    ];
    let [text, binary, ping, pong, close] = opcodes.map(|opcode| opcode as u8);
    let wire = |message: &Message<'_>| match message {
        Message::Text(payload) => (text, payload.as_bytes().to_vec()),
        Message::Binary(payload) => (binary, payload.to_vec()),
        Message::Ping(payload) => (ping, payload.to_vec()),
        Message::Pong(payload) => (pong, payload.to_vec()),
        Message::Close(None) => (close, Vec::new()),
        Message::Close(Some(CloseFrame { code, reason })) => {
            (close, [&code.to_be_bytes(), reason.as_bytes()].concat())
        }
    };
    messages.iter().map(wire).collect()
}

proptest! {
    #[test]
    fn valid_streams_are_read_alike(stream in streams()) {
        let (messages, error) = decode_in(&mut Decoder::new(MAX_MESSAGE), &stream.bytes, []);
        prop_assert_eq!(error, None);
        prop_assert_eq!(expected(&messages), read(&stream.bytes, usize::MAX));
    }

    #[test]
    fn what_is_delivered_of_a_bad_stream_is_read_alike(stream in prop_oneof![junk(), damaged_streams()]) {
        let (messages, _) = decode_in(&mut Decoder::new(MAX_MESSAGE), &stream, []);
        prop_assert_eq!(expected(&messages), read(&stream, messages.len()));
    }
}
