//! Following over Socket.IO, with `socket.io-client`'s way of coming back.

use std::io;
use std::net::SocketAddr;

use serde_json::json;
use serde_json::value::RawValue;

use super::{Follower, cut};
use crate::engine::{Carrier, Engine};
use crate::mechamap::read_comment;

impl Follower {
    pub(super) async fn socket_io(
        &mut self,
        address: SocketAddr,
        carrier: Carrier,
        is_enough: impl Fn(&[u64]) -> bool,
    ) -> io::Result<()> {
        const PID: &str = "p5";
        let cursor = self.cursor(address).await?;
        let query = format!("&recover=1&channel={}", self.thread);
        let mut engine = Engine::open(address, carrier, &query).await?;
        let auth = json!({ "token": self.token.sign(), "pid": PID, "offset": cursor });
        let answer = engine.introduce(&auth).await?;
        if answer["message"] == "UNAVAILABLE" {
            return Err(cut(answer));
        }
        assert!(answer["sid"].is_string(), "{answer}");
        let mut is_lost = answer["pid"] != PID;
        if is_lost {
            self.miss();
        }
        // What came in one body is taken: to leave the rest means to get it again, again in one body.
        while engine.has_more() || !is_enough(&self.seen) {
            let packet = engine.packet().await?;
            let event = packet.strip_prefix("42").expect("an event");
            let event = serde_json::from_str::<Vec<&RawValue>>(event).expect("an array");
            let text =
                |json: &RawValue| serde_json::from_str::<String>(json.get()).expect("a text");
            match event.as_slice() {
                // The place before what was missed; where that is lost, the newest.
                [name, cursor] if name.get() == "\"cursor\"" => {
                    if std::mem::take(&mut is_lost) {
                        self.stand_at(text(cursor));
                    }
                }
                [name, envelope, cursor] => {
                    assert_eq!(read_comment(envelope.get()).0, text(name));
                    self.take_with(text(cursor), envelope.get());
                }
                _ => panic!("{packet}"),
            }
        }
        // Without a goodbye a session that polls is believed to be there until a ping times out.
        engine.send("1").await
    }
}
