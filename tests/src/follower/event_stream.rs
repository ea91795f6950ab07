//! Following over server-sent events.

use std::io;
use std::net::SocketAddr;

use super::{Follower, cut};
use crate::request::Request;
use crate::sse::EventStream;

impl Follower {
    pub(super) async fn event_stream(
        &mut self,
        address: SocketAddr,
        is_enough: impl Fn(&[u64]) -> bool,
    ) -> io::Result<()> {
        let cursor = self.cursor(address).await?;
        let request = Request::get(address, &format!("/sse?{}", self.query()))
            .token(&self.token)
            .header("Last-Event-ID", &cursor);
        let mut stream = EventStream::try_open(request).await?;
        while !is_enough(&self.seen) {
            let Some(block) = stream.block().await? else {
                return Err(cut("ended"));
            };
            match (block.event.as_deref(), &block.data) {
                (None, Some(envelope)) => {
                    let id = block.id.expect("a comment has an id");
                    self.take_with(id, envelope);
                }
                (Some("unrecovered"), _) => {
                    self.miss();
                    self.stand_at(block.id.expect("the newest cursor"));
                }
                (Some("disconnect"), _) => return Err(cut("told to go")),
                (Some(_), _) => panic!("{block:?}"),
                (None, None) => {
                    if let Some(id) = block.id {
                        self.stand_at(id);
                    }
                }
            }
        }
        Ok(())
    }
}
