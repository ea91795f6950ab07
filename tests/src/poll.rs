//! A client that asks again and again.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::client::Position;
use crate::request::Request;
use crate::token::Token;

/// A client of `/poll`, and what it brings to its next poll.
#[derive(Clone, Debug)]
pub struct Poller {
    address: SocketAddr,
    token: Token,
    /// The query without cursor and wait.
    query: String,
    /// Where it stands; none before its first answer.
    pub cursor: Option<String>,
}

/// The answer to a poll.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Polled {
    /// What the next poll brings.
    pub cursor: String,
    /// What stood behind the cursor.
    pub events: Vec<Event>,
    /// Where the client stands, for other dialects.
    pub positions: BTreeMap<String, Position>,
    /// Whether `events` are all that followed.
    #[serde(default = "whole")]
    pub recovered: bool,
}

/// An event as polls get it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Event {
    /// Its channel.
    pub channel: String,
    /// Its offset there.
    pub offset: u64,
    /// The envelope, byte for byte.
    pub data: Box<RawValue>,
}

impl Event {
    /// The envelope.
    ///
    /// # Panics
    /// Where it is no JSON.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_str(self.data.get()).expect("an envelope is JSON")
    }
}

impl Polled {
    /// The offsets of its events.
    #[must_use]
    pub fn offsets(&self) -> Vec<u64> {
        self.events.iter().map(|event| event.offset).collect()
    }
}

impl Poller {
    /// A client that polls these channels.
    #[must_use]
    pub fn of(address: SocketAddr, token: &Token, channels: &[&str]) -> Self {
        let channels = channels.iter().map(|channel| format!("&channel={channel}"));
        Self {
            address,
            token: token.clone(),
            query: channels.collect(),
            cursor: None,
        }
    }

    /// Its next request.
    #[must_use]
    pub fn request(&self, wait: u64) -> Request {
        let mut path = format!("/poll?wait={wait}{}", self.query);
        if let Some(cursor) = &self.cursor {
            path.push_str(&format!("&cursor={cursor}"));
        }
        Request::get(self.address, &path).token(&self.token)
    }

    /// Polls, and keeps the cursor.
    ///
    /// # Errors
    /// Where the answer did not come whole.
    ///
    /// # Panics
    /// Where the server refuses.
    pub async fn try_poll(&mut self, wait: u64) -> io::Result<Polled> {
        let polled = answer(self.request(wait)).await?;
        self.cursor = Some(polled.cursor.clone());
        Ok(polled)
    }

    /// Polls, and keeps the cursor.
    ///
    /// # Panics
    /// Where there is no answer.
    pub async fn poll(&mut self, wait: u64) -> Polled {
        self.try_poll(wait).await.expect("an answer")
    }
}

/// Sends a poll and reads its answer.
///
/// # Errors
/// Where it did not come whole.
///
/// # Panics
/// Where the server refuses.
pub async fn answer(request: Request) -> io::Result<Polled> {
    let mut response = request.send().await?;
    let body = response.rest().await?;
    let text = String::from_utf8_lossy(&body);
    assert_eq!(response.status, 200, "{text}");
    assert_eq!(response.header("content-type"), Some("application/json"));
    assert_eq!(response.header("cache-control"), Some("no-store"));
    Ok(serde_json::from_slice(&body).unwrap_or_else(|error| panic!("{error}: {text}")))
}

fn whole() -> bool {
    true
}
