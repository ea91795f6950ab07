//! The server API's way in.

use std::pin::pin;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use fanfare::catalog::Admitted;
use fanfare::{Error, ErrorKind, Node};
use http::{Response, StatusCode};
use http_body_util::BodyExt;
use serde::Serialize;
use tokio::time::timeout;

use crate::Body;
use crate::refusal::json;

/// How long a body may take to arrive.
const BODY_WITHIN: Duration = Duration::from_secs(30);
/// How many times what it may have is read of a body that is too large.
const DISCARDED: usize = 4;

#[derive(Serialize)]
struct Accepted {
    accepted: usize,
    results: Vec<Outcome>,
}

#[derive(Serialize)]
struct Outcome {
    id: String,
    channel: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    offset: Option<u64>,
}

/// Reads one envelope or an array of them, and publishes all or none.
pub(crate) async fn publish<B>(node: &Node, body: B) -> Result<Response<Body>, Error>
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let Some(catalog) = node.catalog() else {
        return Err(Error::new(
            ErrorKind::NotAvailable,
            "this node has no event set",
        ));
    };
    let body = read(body, node.config().limits.body).await?;
    let admitted = catalog.read_from_server(&body, &node.config().limits)?;
    let mut outcomes = Vec::with_capacity(admitted.len());
    let mut events = Vec::with_capacity(admitted.len());
    for Admitted { id, events: of_one } in admitted {
        let first = of_one.first().filter(|event| !event.is_for_services_only());
        let channel = first.map(|event| event.channel().to_string());
        outcomes.push((id, channel, events.len()));
        events.extend(of_one);
    }
    let published = node.publish_all(events).await?;
    let results = outcomes.into_iter().map(|(id, channel, at)| Outcome {
        id,
        channel,
        offset: published
            .get(at)
            .and_then(|published| published.position)
            .map(|position| position.offset),
    });
    let accepted = Accepted {
        accepted: results.len(),
        results: results.collect(),
    };
    Ok(json(StatusCode::OK, &accepted))
}

/// Reads a body of at most `most` bytes.
pub(crate) async fn read<B>(body: B, most: usize) -> Result<Bytes, Error>
where
    B: http_body::Body<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    match timeout(BODY_WITHIN, Box::pin(collect(body, most))).await {
        Ok(collected) => collected,
        Err(_) => Err(Error::new(ErrorKind::BadRequest, "the body took too long")),
    }
}

async fn collect<B>(body: B, most: usize) -> Result<Bytes, Error>
where
    B: http_body::Body<Data = Bytes>,
{
    let mut body = pin!(body);
    let mut collected = BytesMut::new();
    let mut length = 0;
    while let Some(frame) = body.frame().await {
        let broken = |_| Error::new(ErrorKind::BadRequest, "the body broke off");
        let Ok(data) = frame.map_err(broken)?.into_data() else {
            continue;
        };
        length += data.len();
        if length <= most {
            collected.extend_from_slice(&data);
        } else if length <= DISCARDED * most {
            // Read on: a client that is still sending when the connection is closed is reset, and
            // does not see why.
            collected = BytesMut::new();
        } else {
            break;
        }
    }
    if length <= most {
        return Ok(collected.freeze());
    }
    let message = format!("a body may have {most} bytes");
    Err(Error::new(ErrorKind::TooLarge, message))
}
