//! Following by polls, which also turn cursors into positions and back.

use std::io;
use std::net::SocketAddr;

use super::{Follower, Place, cut};
use crate::client::Position;
use crate::poll::Polled;
use crate::request::Request;

impl Follower {
    /// The request that polls from where it stands.
    #[must_use]
    pub fn poll_request(&self, address: SocketAddr, wait: u64) -> Request {
        let place = match &self.place {
            Place {
                cursor: Some(cursor),
                ..
            } => format!("{}&cursor={cursor}", self.query()),
            Place {
                positions: Some(positions),
                ..
            } => positions
                .iter()
                .map(|(channel, Position { epoch, offset })| {
                    format!("&channel={channel}&since={epoch}:{offset}")
                })
                .collect(),
            _ => self.query(),
        };
        let path = format!("/poll?wait={wait}{place}");
        Request::get(address, &path).token(&self.token)
    }

    /// Polls once. Afterwards it knows its place as cursor and as positions.
    pub(super) async fn poll(&mut self, address: SocketAddr, wait: u64) -> io::Result<()> {
        let mut response = self.poll_request(address, wait).send().await?;
        let body = response.rest().await?;
        let text = String::from_utf8_lossy(&body);
        match response.status {
            200 => {}
            503 => return Err(cut(text)),
            status => panic!("{status}: {text}"),
        }
        let polled = serde_json::from_str::<Polled>(&text).expect("the documented answer");
        if !polled.recovered {
            self.miss();
        }
        if let Some(before) = &self.place.positions
            && polled.recovered
            && !self.sparse
        {
            let first = before[&self.thread].offset + 1;
            let offsets = first..first + polled.events.len() as u64;
            assert_eq!(polled.offsets(), offsets.collect::<Vec<_>>());
        }
        for event in &polled.events {
            assert_eq!(event.channel, self.thread);
            self.take(event.data.get());
        }
        self.place = Place {
            cursor: Some(polled.cursor),
            positions: Some(polled.positions),
        };
        Ok(())
    }
}
