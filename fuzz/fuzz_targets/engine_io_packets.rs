//! Whatever a client sends as a packet of Engine.IO or a body of them, reading it does not panic, and
//! what is read is written as it came.

#![no_main]

use fanfare_transports::socket_io::engine_packet::{EnginePacket, SEPARATOR, split};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let mut written = Vec::new();
    let mut is_read = true;
    for (at, packet) in split(data).enumerate() {
        if at > 0 {
            written.push(SEPARATOR);
        }
        match EnginePacket::decode_bytes(packet) {
            Ok(packet) => packet.encode_to(&mut written),
            Err(error) => {
                assert!(!error.to_string().is_empty());
                is_read = false;
            }
        }
    }
    if is_read {
        assert_eq!(written, data);
    }
});
