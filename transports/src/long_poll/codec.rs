//! Publications as members of an answer's list.

use std::io::Write;
use std::sync::Arc;

use fanfare::codec::{Messages, Notice, Reply, Request};
use fanfare::{Channel, Codec, Disconnect, Error, Publication};

use crate::notation::Notation;

/// Every member ends with a comma, or in EDN with a space, so that flushes can stand one behind the
/// other; whoever closes the list takes the last one off. The cursor stands beside the list.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Members {
    notation: Notation,
}

impl Members {
    pub(super) const fn new(notation: Notation) -> Self {
        Self { notation }
    }
}

impl Codec for Members {
    fn name(&self) -> &'static str {
        match self.notation {
            Notation::Json => "long-poll",
            Notation::Edn => "long-poll-edn",
        }
    }

    fn publications(
        &self,
        channel: &Channel,
        publications: &[Arc<Publication>],
        messages: &mut Messages<'_>,
    ) {
        let text = messages.current();
        for publication in publications {
            // Without a position it is for those who are there.
            let Some(position) = publication.position() else {
                continue;
            };
            // Channel names need no escaping: their alphabet has none of what JSON escapes.
            let offset = position.offset;
            match self.notation {
                Notation::Json => {
                    write!(text, r#"{{"channel":"{channel}","offset":{offset},"data":"#)
                }
                Notation::Edn => {
                    write!(text, r#"{{:channel "{channel}" :offset {offset} :data "#)
                }
            }
            .expect("writing to a Vec does not fail");
            text.extend_from_slice(&self.notation.envelope(publication.event()));
            text.extend_from_slice(match self.notation {
                Notation::Json => b"},",
                Notation::Edn => b"} ",
            });
        }
    }

    fn reply(&self, _id: u32, _reply: Result<&Reply, &Error>, _messages: &mut Messages<'_>) {}

    fn notice(&self, _notice: &Notice, _messages: &mut Messages<'_>) {}

    fn has_cursor(&self) -> bool {
        true
    }

    fn expects_pong(&self) -> bool {
        false
    }

    fn ping(&self, _messages: &mut Messages<'_>) {}

    fn decode(&self, _message: &[u8]) -> Result<Vec<Request>, Disconnect> {
        Err(Disconnect::BAD_REQUEST)
    }
}
