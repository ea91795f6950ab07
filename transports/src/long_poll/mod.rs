//! Long-poll: a cursor in, events and the next cursor out.

mod body;
mod codec;

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use fanfare::{Error, ErrorKind, Node, Polled, metrics};
use http::request::Parts;
use http::{HeaderValue, Method, Response, header};

use self::body::Answer;
use self::codec::Members;
use crate::Body;
use crate::notation::{Notation, varies};
use crate::plain::Plain;
use crate::request::query;
use crate::subscriber::{Subscriber, refused};

/// Seconds that a poll waits which does not say for how long.
const WAIT: u64 = 25;
/// The most it may ask for.
const MOST: u64 = 60;

/// Answers with what stands behind the request's cursor, or comes while it waits.
///
/// Cancel safe: a client that goes away has been given nothing, and leaves nothing behind.
///
/// # Errors
/// The refusal.
pub(crate) async fn answer(node: &Node, parts: &Parts) -> Result<Response<Body>, Error> {
    let wait = wait(parts).inspect_err(|_| metrics::connection_rejected("bad_request"))?;
    let subscriber = Subscriber::of(node, parts).await?;
    let notation = Notation::of(&parts.headers);
    let body = if parts.method == Method::HEAD {
        Body::empty()
    } else {
        let codec = Members::new(notation);
        let (session, connect) = subscriber.open(node, "long_poll", codec, Arc::new(Plain))?;
        let polled = session.poll(connect, wait).await.map_err(refused)?;
        // As long as the system goes on with a connection that takes nothing.
        let limit = node.config().heartbeat.comment * 5 / 6;
        let text = match notation {
            Notation::Json => json(&polled),
            Notation::Edn => edn(&polled),
        };
        Body::stream(Answer::new(text, limit))
    };
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static(match notation {
            Notation::Json => "application/json",
            Notation::Edn => "application/edn",
        }),
    );
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    varies(&mut response);
    Ok(response)
}

fn wait(parts: &Parts) -> Result<Duration, Error> {
    let Some(text) = query(parts, "wait").next() else {
        return Ok(Duration::from_secs(WAIT));
    };
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse::<u64>() {
        Ok(seconds) if digits && seconds <= MOST => Ok(Duration::from_secs(seconds)),
        _ => Err(Error::new(
            ErrorKind::BadRequest,
            format!("wait: whole seconds from 0 to {MOST}"),
        )),
    }
}

/// Nothing in it needs escaping but the envelopes, which are JSON as they are.
fn json(polled: &Polled) -> Vec<u8> {
    let events = polled.events.strip_suffix(b",").unwrap_or(&polled.events);
    let mut text = Vec::with_capacity(events.len() + 160 * (polled.cursor.len() + 1));
    write(
        &mut text,
        format_args!(r#"{{"cursor":"{}","events":["#, polled.cursor),
    );
    text.extend_from_slice(events);
    text.extend_from_slice(br#"],"positions":{"#);
    for (at, (channel, position)) in polled.cursor.iter().enumerate() {
        let comma = if at > 0 { "," } else { "" };
        let (epoch, offset) = (position.epoch, position.offset);
        write(
            &mut text,
            format_args!(r#"{comma}"{channel}":{{"epoch":"{epoch}","offset":{offset}}}"#),
        );
    }
    text.push(b'}');
    if !polled.recovered {
        text.extend_from_slice(br#","recovered":false"#);
    }
    text.push(b'}');
    text
}

/// As [`json`], key by key. Channels are strings as elsewhere, also where they are keys: not every
/// name of one is a keyword's.
fn edn(polled: &Polled) -> Vec<u8> {
    let events = polled.events.strip_suffix(b" ").unwrap_or(&polled.events);
    let mut text = Vec::with_capacity(events.len() + 160 * (polled.cursor.len() + 1));
    write(
        &mut text,
        format_args!(r#"{{:cursor "{}" :events ["#, polled.cursor),
    );
    text.extend_from_slice(events);
    text.extend_from_slice(b"] :positions {");
    for (at, (channel, position)) in polled.cursor.iter().enumerate() {
        let space = if at > 0 { " " } else { "" };
        let (epoch, offset) = (position.epoch, position.offset);
        write(
            &mut text,
            format_args!(r#"{space}"{channel}" {{:epoch "{epoch}" :offset {offset}}}"#),
        );
    }
    text.push(b'}');
    if !polled.recovered {
        text.extend_from_slice(b" :recovered false");
    }
    text.push(b'}');
    text
}

fn write(text: &mut Vec<u8>, arguments: std::fmt::Arguments<'_>) {
    text.write_fmt(arguments)
        .expect("writing to a Vec does not fail");
}
