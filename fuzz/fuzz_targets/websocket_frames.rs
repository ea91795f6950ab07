//! Whatever a client sends, compressed or not, the frame decoder neither panics nor holds more than its
//! limit, and what it makes of a stream does not depend on how the stream was cut into reads.

#![no_main]

use fanfare_transports::websocket::frame::{Decoder, MAX_CONTROL_PAYLOAD, Message, ProtocolError};
use libfuzzer_sys::fuzz_target;

const MAX_MESSAGE: usize = 300;
/// What the state of deflate takes while a compressed message arrives.
const DEFLATE_STATE: usize = 48 << 10;

fuzz_target!(|data: &[u8]| {
    for deflate in [false, true] {
        let whole = decode(data, data.len(), deflate);
        let byte_by_byte = decode(data, 1, deflate);
        assert_eq!(whole, byte_by_byte);
    }
});

/// Every message of the stream, read in pieces of `size` bytes, and the error that ended it.
fn decode(
    stream: &[u8],
    size: usize,
    deflate: bool,
) -> (Vec<Message<'static>>, Option<ProtocolError>) {
    let mut decoder = Decoder::new(MAX_MESSAGE).with_deflate(deflate);
    let state = if deflate { DEFLATE_STATE } else { 0 };
    let mut stream = stream.to_vec();
    let mut messages = Vec::new();
    for mut input in stream.chunks_mut(size.max(1)) {
        loop {
            match decoder.decode(&mut input) {
                Ok(Some(message)) => {
                    if let Message::Text(text) = &message {
                        assert!(text.len() <= MAX_MESSAGE);
                    }
                    messages.push(message.into_owned());
                }
                Ok(None) => break,
                Err(error) => return (messages, Some(error)),
            }
        }
        assert!(input.is_empty());
        assert!(decoder.buffered() <= MAX_MESSAGE + MAX_CONTROL_PAYLOAD + state);
    }
    (messages, None)
}
