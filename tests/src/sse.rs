//! An event stream, read as browsers read it (HTML, "Server-sent events").

use std::io;

use bytes::BytesMut;
use serde_json::Value;

use crate::request::{Request, Response};

/// A running stream, and the id that a client which loses it comes back with.
#[derive(Debug)]
pub struct EventStream {
    /// The answer.
    pub response: Response,
    /// The id of the last block that was complete; empty where none had one.
    pub last_id: String,
    /// What the server says about when to come back, in milliseconds.
    pub retry: Option<u64>,
    text: BytesMut,
    /// How many bytes of `text` have no line's end.
    searched: usize,
    block: Block,
}

/// The lines up to an empty one. An event if it has data.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Block {
    /// How many lines were comments.
    pub comments: usize,
    /// Its own id.
    pub id: Option<String>,
    /// The event's name, where it is not `message`.
    pub event: Option<String>,
    /// The milliseconds of a retry line.
    pub retry: Option<u64>,
    /// What it says.
    pub data: Option<String>,
}

impl Block {
    /// Its data as JSON.
    ///
    /// # Panics
    /// Where it is none.
    #[must_use]
    pub fn json(&self) -> Value {
        let data = self.data.as_deref().unwrap_or_default();
        serde_json::from_str(data).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Whether it is an event that `onmessage` sees.
    #[must_use]
    pub fn is_message(&self) -> bool {
        self.data.is_some() && self.event.is_none()
    }
}

impl EventStream {
    /// Opens a stream.
    ///
    /// # Errors
    /// Where the connection ended before the answer began.
    ///
    /// # Panics
    /// Where the server refuses.
    pub async fn try_open(request: Request) -> io::Result<Self> {
        let mut response = request.header("Accept", "text/event-stream").send().await?;
        if response.status != 200 {
            let body = response.rest().await?;
            let answer = format!("{}: {}", response.status, String::from_utf8_lossy(&body));
            assert_eq!(response.status, 503, "{answer}");
            return Err(io::Error::other(answer));
        }
        assert_eq!(response.header("content-type"), Some("text/event-stream"));
        Ok(Self {
            response,
            last_id: String::new(),
            retry: None,
            text: BytesMut::new(),
            searched: 0,
            block: Block::default(),
        })
    }

    /// Opens a stream, and reads up to the cursor with which it begins.
    ///
    /// # Panics
    /// Where the server does not grant it.
    pub async fn open(request: Request) -> Self {
        let mut stream = Self::try_open(request).await.expect("a stream");
        while stream.last_id.is_empty() {
            let block = stream.block().await.expect("no break");
            block.expect("a stream begins with an id");
        }
        stream
    }

    /// The next block; none at the clean end of the stream. Cancel safe.
    ///
    /// # Errors
    /// Where the stream broke off.
    pub async fn block(&mut self) -> io::Result<Option<Block>> {
        loop {
            if let Some(block) = self.take_block() {
                return Ok(Some(block));
            }
            match self.response.piece().await? {
                Some(piece) => self.text.extend_from_slice(&piece),
                None => return Ok(None),
            }
        }
    }

    /// The next event, whatever its name.
    ///
    /// # Errors
    /// Where the stream broke off.
    pub async fn event(&mut self) -> io::Result<Option<Block>> {
        while let Some(block) = self.block().await? {
            if block.data.is_some() {
                return Ok(Some(block));
            }
        }
        Ok(None)
    }

    /// The next event, which has to be one that `onmessage` sees.
    ///
    /// # Panics
    /// Where another comes, or the end.
    pub async fn message(&mut self) -> Block {
        let event = self.event().await.expect("no break").expect("no end");
        assert!(event.is_message(), "{event:?}");
        event
    }

    /// The next `count` events, which have to be such that `onmessage` sees.
    pub async fn messages(&mut self, count: usize) -> Vec<Block> {
        let mut messages = Vec::with_capacity(count);
        while messages.len() < count {
            messages.push(self.message().await);
        }
        messages
    }

    /// Everything up to the end, and whether that was a clean one.
    pub async fn rest(&mut self) -> (Vec<Block>, bool) {
        let mut blocks = Vec::new();
        loop {
            match self.block().await {
                Ok(Some(block)) => blocks.push(block),
                Ok(None) => return (blocks, true),
                Err(_) => return (blocks, false),
            }
        }
    }

    fn take_block(&mut self) -> Option<Block> {
        while let Some(length) = self.text[self.searched..]
            .iter()
            .position(|&byte| byte == b'\n')
        {
            let line = self.text.split_to(self.searched + length + 1);
            self.searched = 0;
            let line = str::from_utf8(&line).expect("a stream is UTF-8");
            if line == "\n" {
                let block = std::mem::take(&mut self.block);
                if let Some(id) = &block.id {
                    self.last_id.clone_from(id);
                }
                self.retry = block.retry.or(self.retry);
                return Some(block);
            }
            self.take_line(line.trim_end_matches('\n'));
        }
        self.searched = self.text.len();
        None
    }

    fn take_line(&mut self, line: &str) {
        assert!(
            !line.contains('\r'),
            "a carriage return ends a line: {line:?}"
        );
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value).to_owned();
        let block = &mut self.block;
        match field {
            "" => block.comments += 1,
            "id" => block.id = Some(value),
            "event" => block.event = Some(value),
            "retry" => block.retry = Some(value.parse().expect("milliseconds")),
            "data" => {
                assert!(block.data.is_none(), "one line of data: {line:?}");
                block.data = Some(value);
            }
            other => panic!("no field of the format: {other:?}"),
        }
    }
}
