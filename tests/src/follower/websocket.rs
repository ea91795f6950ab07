//! Following over a WebSocket.

use std::io;
use std::net::SocketAddr;

use serde_json::json;

use super::{Follower, SILENCE, UNAVAILABLE, cut};
use crate::client::{Client, Refused, Subscribed};

impl Follower {
    pub(super) async fn websocket(
        &mut self,
        address: SocketAddr,
        is_enough: impl Fn(&[u64]) -> bool,
    ) -> io::Result<()> {
        let positions = self.positions(address).await?;
        let opening = Client::to(address).patience(SILENCE);
        let client = opening.try_open().await.map_err(cut)?;
        let connect = json!({ "token": self.token.sign() });
        client.connect_with(connect).await.map_err(end)?;
        // Pushes of the first channel may come before the reply of the second.
        let mut taken = 0;
        for (channel, position) in positions {
            let subscribed = client.recover(&channel, &position).await.map_err(end)?;
            self.recovered(&channel, &subscribed);
        }
        while !is_enough(&self.seen) {
            let (pushes, has_ended) = client
                .wait("an event, or the end", SILENCE, |record| {
                    let news = record.pushes.get(taken..).unwrap_or_default().to_vec();
                    (!news.is_empty() || record.end.is_some()).then(|| (news, record.end.is_some()))
                })
                .await;
            if has_ended && pushes.is_empty() {
                return Err(cut("ended"));
            }
            taken += pushes.len();
            for push in &pushes {
                let offset = push.offset().expect("a comment has one");
                self.take_at(&push.channel, offset, push.publication.data.get());
            }
        }
        Ok(())
    }

    /// Takes what a reply to subscribe brings.
    pub(super) fn recovered(&mut self, channel: &str, subscribed: &Subscribed) {
        assert!(subscribed.was_recovering, "{subscribed:?}");
        if !subscribed.recovered {
            assert!(subscribed.publications.is_empty(), "{subscribed:?}");
            self.lose(channel, subscribed.position());
        }
        for publication in &subscribed.publications {
            let offset = publication.offset.expect("recovered events have offsets");
            self.take_at(channel, offset, publication.data.get());
        }
    }
}

/// Only after what ends for a while may a client come back.
fn end(refused: Refused) -> io::Error {
    let comes_back = match refused.code {
        0 | 3001..=3499 => refused.closed,
        UNAVAILABLE => !refused.closed,
        _ => false,
    };
    assert!(comes_back, "{refused:?}");
    cut(refused.reason)
}
