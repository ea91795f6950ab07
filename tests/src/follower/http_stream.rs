//! Following over one long answer in the Centrifuge dialect.

use std::io;
use std::net::SocketAddr;

use bytes::BytesMut;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Follower, UNAVAILABLE, cut};
use crate::client::{Publication, Subscribed};
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
        let first = serde_json::from_slice::<Value>(&first).expect("a line of JSON");
        let connected = &first["connect"];
        if connected.is_null() {
            let goes_down = first["push"]["disconnect"]["code"] == 3001;
            assert!(
                goes_down || first["error"]["code"] == UNAVAILABLE,
                "{first}"
            );
            return Err(cut(first));
        }
        for channel in self.channels() {
            let subscribed = connected["subs"][&channel].clone();
            let subscribed = serde_json::from_value::<Subscribed>(subscribed);
            self.recovered(&channel, &subscribed.expect("the channel's reply"));
        }
        while !is_enough(&self.seen) {
            let line = lines.next().await?;
            let Line { push } = serde_json::from_slice(&line).expect("a line of JSON");
            let Some(push) = push else {
                let pong = json!({ "session": connected["session"], "node": connected["node"], "data": "{}" });
                let pong = Request::post(address, "/emulation", pong.to_string());
                assert_eq!(pong.send().await?.status, 204);
                continue;
            };
            if let Some(disconnect) = push.disconnect {
                return Err(cut(disconnect));
            }
            let publication = push.publication.expect("nothing else is pushed");
            let offset = publication.offset.expect("a comment has one");
            self.take_at(&push.channel, offset, publication.data.get());
        }
        Ok(())
    }
}

/// A line behind the first; a ping has no push.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    push: Option<Push>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Push {
    #[serde(default)]
    channel: String,
    #[serde(rename = "pub")]
    publication: Option<Publication>,
    disconnect: Option<Value>,
}

/// The lines of an answer.
struct Lines {
    response: Response,
    text: BytesMut,
    /// How many bytes of `text` have no line's end. Missed events make a line of megabytes, which
    /// comes in thousands of pieces.
    searched: usize,
}

impl Lines {
    fn of(response: Response) -> Self {
        Self {
            response,
            text: BytesMut::new(),
            searched: 0,
        }
    }

    async fn next(&mut self) -> io::Result<BytesMut> {
        loop {
            let mut rest = self.text[self.searched..].iter();
            if let Some(end) = rest.position(|byte| *byte == b'\n') {
                let line = self.text.split_to(self.searched + end + 1);
                self.searched = 0;
                return Ok(line);
            }
            self.searched = self.text.len();
            match self.response.piece().await? {
                Some(piece) => self.text.extend_from_slice(&piece),
                None => return Err(cut("ended")),
            }
        }
    }
}
