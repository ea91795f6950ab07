//! A channel's history in pages.

use std::borrow::Cow;
use std::collections::BTreeMap;

use fanfare::codec::Since;
use fanfare::{Channel, Cursor, Error, ErrorKind, Node, Position, Resume};
use http::request::Parts;
use http::{Response, StatusCode};
use serde::Serialize;
use serde_json::value::RawValue;

use super::bad_request;
use crate::Body;
use crate::refusal::json;
use crate::request::query;

/// Events in a page where the request does not say.
const LIMIT: usize = 100;
const MAX_LIMIT: usize = 1_000;

/// The shape of a poll's answer.
#[derive(Serialize)]
struct Page<'a> {
    cursor: String,
    events: Vec<Event<'a>>,
    positions: BTreeMap<&'a str, At>,
    /// Only ever false: the cursor is not covered, and what follows it is not here.
    #[serde(skip_serializing_if = "Option::is_none")]
    recovered: Option<bool>,
}

#[derive(Serialize)]
struct Event<'a> {
    channel: &'a Channel,
    offset: u64,
    /// The payload as it is.
    data: &'a RawValue,
}

#[derive(Serialize)]
struct At {
    epoch: String,
    offset: u64,
}

/// What follows `?cursor=`, or the oldest that is kept, `?limit=` events of it. The cursor in the
/// answer stands after the last of them; with none asked for, after the newest.
pub(super) async fn history(
    node: &Node,
    channel: &Channel,
    parts: &Parts,
) -> Result<Response<Body>, Error> {
    let limit = match only(parts, "limit")? {
        Some(text) => read_limit(&text)?,
        None => LIMIT,
    };
    let since = match only(parts, "cursor")? {
        Some(text) => Some(read_cursor(&text, channel)?),
        None => None,
    };
    // At least one is read: with none the node would not look whether the cursor is covered.
    let read = match &since {
        Some(None) => Err(ErrorKind::UnrecoverablePosition.into()),
        Some(Some(since)) => {
            node.history(channel, Some(since), limit.max(1), false)
                .await
        }
        None => node.history(channel, None, limit, false).await,
    };
    let (publications, newest, recovered) = match read {
        Ok((publications, newest)) => (publications, newest, None),
        Err(error) if error.kind() == ErrorKind::UnrecoverablePosition => {
            let (_, newest) = node.history(channel, None, 0, false).await?;
            (Vec::new(), newest, Some(false))
        }
        Err(error) => return Err(error),
    };
    let mut reached = newest;
    let mut events = Vec::with_capacity(publications.len().min(limit));
    for publication in publications.iter().take(limit) {
        let Some(position) = publication.position() else {
            continue;
        };
        reached = position;
        events.push(Event {
            channel,
            offset: position.offset,
            data: serde_json::from_slice(publication.event().payload())
                .map_err(|_| Error::from(ErrorKind::Internal))?,
        });
    }
    let at = At {
        epoch: reached.epoch.to_string(),
        offset: reached.offset,
    };
    let page = Page {
        cursor: cursor(channel, reached),
        events,
        positions: BTreeMap::from([(channel.as_str(), at)]),
        recovered,
    };
    Ok(json(StatusCode::OK, &page))
}

/// A query parameter that may stand once.
fn only<'a>(parts: &'a Parts, name: &'a str) -> Result<Option<Cow<'a, str>>, Error> {
    let mut values = query(parts, name);
    let value = values.next();
    if values.next().is_some() {
        return Err(bad_request(format!("{name} is given more than once")));
    }
    Ok(value)
}

fn read_limit(text: &str) -> Result<usize, Error> {
    // A number's own parser takes a sign as well.
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse()
        .ok()
        .filter(|limit| digits && *limit <= MAX_LIMIT)
        .ok_or_else(|| bad_request(format!("limit is a number from 0 to {MAX_LIMIT}")))
}

fn cursor(channel: &Channel, position: Position) -> String {
    Cursor::from_iter([(channel.clone(), position)]).to_string()
}

/// Where a cursor stands in a channel; none where it knows nothing of it.
fn read_cursor(text: &str, channel: &Channel) -> Result<Option<Since>, Error> {
    let resume = text
        .parse::<Resume>()
        .map_err(|error| bad_request(error.to_string()))?;
    Ok(resume.position(channel).map(Since::from))
}
