//! A client that follows a thread over any transport, and comes back with where it stands.

mod event_stream;
mod http_stream;
mod long_poll;
mod socket_io;
mod websocket;

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};

use crate::client::Position;
use crate::engine::Carrier;
use crate::mechamap::read_comment;
use crate::token::Token;

/// Longer than a server that works is silent in these tests.
const SILENCE: Duration = Duration::from_secs(60);

/// The dialect's error of what will work later: the node is behind the one that the client comes
/// from, for instance.
const UNAVAILABLE: u32 = 100;

/// Every way to get events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// The Centrifuge dialect on a WebSocket.
    WebSocket,
    /// Server-sent events.
    EventStream,
    /// Polls that wait 25 s.
    LongPoll,
    /// Socket.IO, recovering.
    SocketIo(Carrier),
    /// The Centrifuge dialect as a long answer.
    HttpStream,
}

impl Transport {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::WebSocket,
        Self::EventStream,
        Self::LongPoll,
        Self::SocketIo(Carrier::WebSocket),
        Self::SocketIo(Carrier::Polling),
        Self::HttpStream,
    ];
}

/// A client of a thread and of its user's own channel, across all its connections.
#[derive(Clone, Debug)]
pub struct Follower {
    token: Token,
    user: u64,
    thread: String,
    place: Place,
    /// The ids of the thread's comments, as they came.
    pub seen: Vec<u64>,
    /// How often the server said that it may have missed something.
    pub losses: u64,
    /// Where in `seen` that may be: before the id at each of these places.
    pub gaps: Vec<usize>,
    /// Whether offsets have holes, because a log numbers the events of all channels.
    pub sparse: bool,
}

/// Where it stands: as a cursor, as positions, or as both where both say the same.
#[derive(Clone, Debug, Default)]
struct Place {
    cursor: Option<String>,
    positions: Option<BTreeMap<String, Position>>,
}

impl Follower {
    /// A client of `user`, who follows `thread` from now on.
    ///
    /// # Panics
    /// Where the server does not say where that is.
    pub async fn begin(address: SocketAddr, user: u64, thread: u64) -> Self {
        let mut follower = Self {
            token: Token::of(user),
            user,
            thread: format!("thread.{thread}"),
            place: Place::default(),
            seen: Vec::new(),
            losses: 0,
            gaps: Vec::new(),
            sparse: false,
        };
        follower.poll(address, 0).await.expect("a position");
        follower
    }

    /// Connects, and takes events until it has seen what `is_enough`, which it asks after each.
    ///
    /// # Errors
    /// Where the connection ended before that, in whatever way.
    ///
    /// # Panics
    /// Where the server refuses it for good, or an event's offset does not follow the last.
    pub async fn follow(
        &mut self,
        transport: Transport,
        address: SocketAddr,
        is_enough: impl Fn(&[u64]) -> bool,
    ) -> io::Result<()> {
        if is_enough(&self.seen) {
            return Ok(());
        }
        match transport {
            Transport::WebSocket => self.websocket(address, is_enough).await,
            Transport::EventStream => self.event_stream(address, is_enough).await,
            Transport::LongPoll => {
                while !is_enough(&self.seen) {
                    self.poll(address, 25).await?;
                }
                Ok(())
            }
            Transport::SocketIo(carrier) => self.socket_io(address, carrier, is_enough).await,
            Transport::HttpStream => self.http_stream(address, is_enough).await,
        }
    }

    fn channels(&self) -> [String; 2] {
        [self.thread.clone(), format!("user.{}", self.user)]
    }

    /// `&channel=` for each channel.
    fn query(&self) -> String {
        let channels = self.channels();
        channels.map(|name| format!("&channel={name}")).concat()
    }

    /// Where it stands, in the terms of the Centrifuge dialect.
    async fn positions(&mut self, address: SocketAddr) -> io::Result<BTreeMap<String, Position>> {
        if self.place.positions.is_none() {
            self.poll(address, 0).await?;
        }
        Ok(self.place.positions.clone().expect("a poll brings them"))
    }

    /// The fields of the Centrifuge dialect's `subs` that recover from there.
    async fn subs(&mut self, address: SocketAddr) -> io::Result<Value> {
        let positions = self.positions(address).await?;
        let subs = positions.into_iter().map(|(channel, position)| {
            let Position { epoch, offset } = position;
            let since = json!({ "recover": true, "epoch": epoch, "offset": offset });
            (channel, since)
        });
        Ok(Value::Object(subs.collect()))
    }

    async fn cursor(&mut self, address: SocketAddr) -> io::Result<String> {
        if self.place.cursor.is_none() {
            self.poll(address, 0).await?;
        }
        Ok(self.place.cursor.clone().expect("a poll brings one"))
    }

    /// Takes an event that came with its offset.
    fn take_at(&mut self, channel: &str, offset: u64, envelope: &str) {
        let positions = self.place.positions.as_mut().expect("it came with them");
        let position = positions.get_mut(channel).expect("a channel of its own");
        if self.sparse {
            assert!(offset > position.offset, "every offset once, in order");
        } else {
            assert_eq!(offset, position.offset + 1, "every offset once, in order");
        }
        position.offset = offset;
        self.place.cursor = None;
        self.take(envelope);
    }

    /// Takes an event that came with the cursor behind it.
    fn take_with(&mut self, cursor: String, envelope: &str) {
        self.stand_at(cursor);
        self.take(envelope);
    }

    fn stand_at(&mut self, cursor: String) {
        self.place = Place {
            cursor: Some(cursor),
            positions: None,
        };
    }

    fn take(&mut self, envelope: &str) {
        self.seen.push(read_comment(envelope).1);
    }

    /// The server said that it may have missed something.
    fn miss(&mut self) {
        self.losses += 1;
        if self.gaps.last() != Some(&self.seen.len()) {
            self.gaps.push(self.seen.len());
        }
    }

    /// Begins anew in a channel, as the server said to.
    fn lose(&mut self, channel: &str, position: Position) {
        self.miss();
        let positions = self.place.positions.as_mut().expect("it came with them");
        positions.insert(channel.to_owned(), position);
        self.place.cursor = None;
    }
}

fn cut(what: impl std::fmt::Display) -> io::Error {
    io::Error::other(what.to_string())
}
