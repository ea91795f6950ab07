//! Whatever a client sends as a packet of Socket.IO, reading it does not panic, what is read is written
//! as something that reads the same, and the codec makes of it what it makes of that.

#![no_main]

use fanfare::Codec;
use fanfare_transports::socket_io::packet::Packet;
use fanfare_transports::socket_io::{Arguments, SocketIo};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let message = format!("4{text}");
    let codecs = [
        SocketIo::new(Arguments::Envelope),
        SocketIo::new(Arguments::Data).recovering(),
    ];
    let packet = match Packet::decode(text) {
        Ok(packet) => packet,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            for codec in codecs {
                assert!(codec.decode(message.as_bytes()).is_err());
            }
            return;
        }
    };
    let mut written = Vec::new();
    packet.encode_to(&mut written);
    let written = String::from_utf8(written).expect("packets are text");
    let again = Packet::decode(&written).expect("what we write is a packet");
    assert_eq!(format!("{packet:?}"), format!("{again:?}"));
    for codec in codecs {
        let read = codec.decode(message.as_bytes());
        let read_again = codec.decode(format!("4{written}").as_bytes());
        assert_eq!(format!("{read:?}"), format!("{read_again:?}"));
    }
});
