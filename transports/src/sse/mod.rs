//! Server-sent events (HTML, section "Server-sent events"): one answer that goes on.

mod codec;

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use fanfare::config::Reconnect;
use fanfare::{Disconnect, Error, Framing, Node};
use http::request::Parts;
use http::{Method, Response, header};
use rand::Rng;
use serde::Serialize;

use self::codec::Sse;
use crate::compression::Codings;
use crate::notation::{Notation, varies};
use crate::plain::Plain;
use crate::service::Welcome;
use crate::subscriber::{Subscriber, refused};
use crate::{Body, events};

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
    let config = &node.config().compression;
    let reconnect = node.config().reconnect;
    let coding = Codings::of(&parts.headers, config).coding;
    let mut response = if parts.method == Method::HEAD {
        let mut response = Response::new(Body::empty());
        events::mark(&mut response, KIND);
        response
    } else {
        let framing = match coding {
            Some(coding) => coding.framing(config),
            None => Arc::new(Plain),
        };
        let codec = Sse::new(Notation::of(&parts.headers));
        let mut start = retry(reconnect);
        if let Some(welcome) = welcome {
            codec.write_message(&mut start, welcome(subscriber.identity()));
        }
        let (mut session, connect) = subscriber.open(node, "sse", codec, framing.clone())?;
        let outbound = session.outbound();
        let head = coding.map_or(&[][..], |coding| coding.head());
        outbound.send(framed(head, &start, &*framing));
        session.connect(connect).await.map_err(refused)?;
        let last_words = move |disconnect: &Disconnect| {
            framed(&[], &last_words(codec, disconnect, reconnect), &*framing)
        };
        events::answer(KIND, session, outbound, last_words)
    };
    varies(&mut response);
    if let Some(coding) = coding {
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_ENCODING, coding.name());
    }
    Ok(response)
}

fn framed(head: &[u8], message: &[u8], framing: &dyn Framing) -> Bytes {
    let mut out = BytesMut::from(head);
    framing.frame(message, &mut out);
    out.freeze()
}

#[derive(Serialize)]
struct End<'a> {
    code: u16,
    reason: &'a str,
}

/// What a client is told last. It comes back whatever that is; where it should not, its next request
/// is refused.
fn last_words(codec: Sse, disconnect: &Disconnect, reconnect: Reconnect) -> Vec<u8> {
    let mut text = retry(reconnect);
    if *disconnect != Disconnect::SHUTDOWN {
        let (code, reason) = (disconnect.code(), disconnect.reason());
        codec.write_event(&mut text, "disconnect", &End { code, reason });
    }
    text
}

/// After how many milliseconds a client is to come back when it loses its stream.
fn retry(reconnect: Reconnect) -> Vec<u8> {
    let range = reconnect.initial.as_millis()..=reconnect.second().as_millis();
    let milliseconds = rand::rng().random_range(range);
    format!("retry: {milliseconds}\n\n").into_bytes()
}
