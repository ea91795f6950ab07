//! Following over Socket.IO, with `socket.io-client`'s way of coming back.

use std::io;
use std::net::SocketAddr;

use serde_json::{Value, json};

use super::Follower;
use crate::engine::{Carrier, Engine};

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
        assert!(answer["sid"].is_string(), "{answer}");
        let mut is_lost = answer["pid"] != PID;
        self.losses += u64::from(is_lost);
        while !is_enough(&self.seen) {
            let (name, mut arguments) = engine.event().await?;
            let Some(Value::String(cursor)) = arguments.pop() else {
                panic!("{name} without a cursor: {arguments:?}");
            };
            match arguments.as_slice() {
                // The place before what was missed; where that is lost, the newest.
                [] if name == "cursor" => {
                    if std::mem::take(&mut is_lost) {
                        self.stand_at(cursor);
                    }
                }
                [envelope] => {
                    assert_eq!(envelope["event"], name);
                    self.take_with(cursor, envelope);
                }
                _ => panic!("{name}: {arguments:?}"),
            }
        }
        // Without a goodbye a session that polls is believed to be there until a ping times out.
        engine.send("1").await
    }
}
