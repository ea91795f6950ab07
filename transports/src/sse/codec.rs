//! The dialect of EventSource: bare envelopes, and a cursor as their ids.

use std::io::Write;
use std::sync::Arc;

use fanfare::codec::{Connected, Messages, Notice, Reply, Request};
use fanfare::{Channel, Codec, Cursor, Disconnect, Error, Publication};
use serde::Serialize;

use crate::notation::Notation;

/// The event stream format (HTML, "Server-sent events", "Parsing an event stream").
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sse {
    notation: Notation,
}

#[derive(Serialize)]
struct Channels<'a> {
    channels: Vec<&'a str>,
}

#[derive(Serialize)]
struct Dropped<'a> {
    channel: &'a str,
    count: u64,
}

#[derive(Serialize)]
struct Unsubscribed<'a> {
    channel: &'a str,
}

impl Sse {
    pub(super) const fn new(notation: Notation) -> Self {
        Self { notation }
    }

    /// Writes an event of our own, under a name, so that `onmessage` does not see it.
    pub(super) fn write_event(self, text: &mut Vec<u8>, name: &str, data: &impl Serialize) {
        write(text, format_args!("event: {name}\ndata: "));
        let json = serde_json::to_vec(data).expect("our events are plain structs");
        text.extend_from_slice(&self.notation.translate(json));
        text.extend_from_slice(b"\n\n");
    }

    /// Writes a message that is no event of the node's, without an id. `json` is one line.
    pub(super) fn write_message(self, text: &mut Vec<u8>, json: String) {
        text.extend_from_slice(b"data: ");
        text.extend_from_slice(&self.notation.translate(json.into_bytes()));
        text.extend_from_slice(b"\n\n");
    }

    /// Where the client stands before what it recovers, so that one that is cut before its first
    /// event knows where to resume.
    fn write_start(self, text: &mut Vec<u8>, connected: &Connected) {
        let subscriptions = &connected.subscriptions;
        let positions = subscriptions
            .iter()
            .map(|s| (s.channel.clone(), s.position));
        let cursor = Cursor::from_iter(positions);
        if !cursor.is_empty() {
            write(text, format_args!("id: {cursor}\n"));
        }
        let lost = subscriptions
            .iter()
            .filter(|s| s.was_recovering && !s.recovered);
        let channels = lost.map(|s| s.channel.as_str()).collect::<Vec<_>>();
        if channels.is_empty() {
            text.push(b'\n');
        } else {
            self.write_event(text, "unrecovered", &Channels { channels });
        }
    }
}

impl Codec for Sse {
    fn name(&self) -> &'static str {
        match self.notation {
            Notation::Json => "sse",
            Notation::Edn => "sse-edn",
        }
    }

    fn publications(
        &self,
        channel: &Channel,
        publications: &[Arc<Publication>],
        messages: &mut Messages<'_>,
    ) {
        for publication in publications {
            let position = publication.position();
            // An event without an id leaves the client's last one as it was; an empty id clears it.
            if position.is_some() {
                messages.current().extend_from_slice(b"id: ");
                messages.write_cursor(channel, position);
                messages.current().push(b'\n');
            }
            let text = messages.current();
            text.extend_from_slice(b"data: ");
            // One line: payloads hold no newlines.
            text.extend_from_slice(&self.notation.envelope(publication.event()));
            text.extend_from_slice(b"\n\n");
        }
    }

    fn reply(&self, _id: u32, reply: Result<&Reply, &Error>, messages: &mut Messages<'_>) {
        if let Ok(Reply::Connected(connected)) = reply {
            self.write_start(messages.current(), connected);
        }
    }

    fn notice(&self, notice: &Notice, messages: &mut Messages<'_>) {
        let text = messages.current();
        match notice {
            Notice::Dropped { channel, count } => {
                let channel = channel.as_str();
                let count = *count;
                self.write_event(text, "dropped", &Dropped { channel, count });
            }
            Notice::Unsubscribed { channel } => {
                let channel = channel.as_str();
                self.write_event(text, "unsubscribed", &Unsubscribed { channel });
            }
            _ => {}
        }
    }

    fn has_cursor(&self) -> bool {
        true
    }

    fn expects_pong(&self) -> bool {
        false
    }

    fn ping(&self, messages: &mut Messages<'_>) {
        messages.current().extend_from_slice(b":\n\n");
    }

    fn moved_on(&self, cursor: &Cursor, messages: &mut Messages<'_>) {
        // Without data it is no event, and still sets the id.
        write(messages.current(), format_args!("id: {cursor}\n\n"));
    }

    fn decode(&self, _message: &[u8]) -> Result<Vec<Request>, Disconnect> {
        Err(Disconnect::BAD_REQUEST)
    }
}

fn write(text: &mut Vec<u8>, arguments: std::fmt::Arguments<'_>) {
    text.write_fmt(arguments)
        .expect("writing to a Vec does not fail");
}
