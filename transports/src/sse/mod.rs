//! Server-sent events (HTML, section "Server-sent events"): one answer that goes on.

mod codec;

use fanfare::{Disconnect, Error, Node};
use http::request::Parts;
use http::{Method, Response};
use rand::Rng;
use serde::Serialize;

use self::codec::{Sse, write_event, write_message};
use crate::service::Welcome;
use crate::subscriber::{Subscriber, refused};
use crate::{Body, events};

/// After how many milliseconds a client is to come back when it loses its stream. Not the same for
/// all: those that lose it together must not come back together.
const RETRY: std::ops::RangeInclusive<u32> = 1_000..=3_000;

const KIND: &str = "text/event-stream";

/// Answers with the events of the channels that the request names.
///
/// # Errors
/// The refusal, before a stream begins.
pub(crate) async fn answer(
    node: &Node,
    welcome: Option<Welcome>,
    parts: &Parts,
) -> Result<Response<Body>, Error> {
    let subscriber = Subscriber::of(node, parts).await?;
    if parts.method == Method::HEAD {
        let mut response = Response::new(Body::empty());
        events::mark(&mut response, KIND);
        return Ok(response);
    }
    let mut start = retry();
    if let Some(welcome) = welcome {
        write_message(&mut start, &welcome(subscriber.identity()));
    }
    let (mut session, connect) = subscriber.open(node, "sse", Sse)?;
    let outbound = session.outbound();
    outbound.send(start.into());
    session.connect(connect).await.map_err(refused)?;
    Ok(events::answer(KIND, session, outbound, last_words))
}

#[derive(Serialize)]
struct End<'a> {
    code: u16,
    reason: &'a str,
}

/// What a client is told last. It comes back whatever that is; where it should not, its next request
/// is refused.
fn last_words(disconnect: &Disconnect) -> Vec<u8> {
    let mut text = retry();
    if *disconnect != Disconnect::SHUTDOWN {
        let (code, reason) = (disconnect.code(), disconnect.reason());
        write_event(&mut text, "disconnect", &End { code, reason });
    }
    text
}

fn retry() -> Vec<u8> {
    let milliseconds = rand::rng().random_range(RETRY);
    format!("retry: {milliseconds}\n\n").into_bytes()
}
