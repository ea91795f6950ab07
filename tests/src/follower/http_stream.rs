//! Following over one long answer in the Centrifuge dialect.

use std::io;
use std::net::SocketAddr;

use serde_json::{Value, json};

use super::{Follower, cut};
use crate::client::Subscribed;
use crate::request::{Request, Response};

impl Follower {
    pub(super) async fn http_stream(
        &mut self,
        address: SocketAddr,
        is_enough: impl Fn(&[u64]) -> bool,
    ) -> io::Result<()> {
        let connect = json!({ "token": self.token.sign(), "subs": self.subs(address).await? });
        let path = format!("/connection/http_stream?{}", self.query());
        let command = json!({ "id": 1, "connect": connect });
        let request = Request::post(address, &path, command.to_string());
        let response = request.send().await?;
        if response.status == 503 {
            return Err(cut("going down"));
        }
        assert_eq!(response.status, 200);
        let mut lines = Lines::of(response);
        let first = lines.next().await?;
        let connected = &first["connect"];
        if connected.is_null() {
            assert!(first["push"]["disconnect"]["code"] == 3001, "{first}");
            return Err(cut(first));
        }
        for channel in self.channels() {
            let subscribed = connected["subs"][&channel].clone();
            let subscribed = serde_json::from_value::<Subscribed>(subscribed);
            self.recovered(&channel, &subscribed.expect("the channel's reply"));
        }
        while !is_enough(&self.seen) {
            let line = lines.next().await?;
            if line == json!({}) {
                let pong = json!({ "session": connected["session"], "node": connected["node"], "data": "{}" });
                let pong = Request::post(address, "/emulation", pong.to_string());
                assert_eq!(pong.send().await?.status, 204);
                continue;
            }
            let push = &line["push"];
            if push["disconnect"].is_object() {
                return Err(cut(push));
            }
            let channel = push["channel"].as_str();
            let channel = channel.unwrap_or_else(|| panic!("{line}"));
            let offset = push["pub"]["offset"].as_u64();
            let offset = offset.expect("a comment has one");
            self.take_at(channel, offset, &push["pub"]["data"]);
        }
        Ok(())
    }
}

/// The lines of an answer.
struct Lines {
    response: Response,
    text: Vec<u8>,
    /// How many bytes of `text` have no line's end. Missed events make a line of megabytes, which
    /// comes in thousands of pieces.
    searched: usize,
}

impl Lines {
    fn of(response: Response) -> Self {
        Self {
            response,
            text: Vec::new(),
            searched: 0,
        }
    }

    async fn next(&mut self) -> io::Result<Value> {
        loop {
            let mut rest = self.text[self.searched..].iter();
            if let Some(end) = rest.position(|byte| *byte == b'\n') {
                let line = self.text.drain(..=self.searched + end);
                let line = line.collect::<Vec<_>>();
                self.searched = 0;
                return Ok(serde_json::from_slice(&line).expect("a line of JSON"));
            }
            self.searched = self.text.len();
            match self.response.piece().await? {
                Some(piece) => self.text.extend_from_slice(&piece),
                None => return Err(cut("ended")),
            }
        }
    }
}
