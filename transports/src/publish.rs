//! The server API's way in.

use bytes::Bytes;
use fanfare::{Error, ErrorKind, Node};
use http::{Response, StatusCode};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::Serialize;

use crate::Body;
use crate::refusal::json;

/// How long a body may take to arrive.
const BODY_WITHIN: std::time::Duration = std::time::Duration::from_secs(30);

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
    let outcomes = admitted
        .iter()
        .map(|admitted| (admitted.id.clone(), admitted.event.channel().to_string()))
        .collect::<Vec<_>>();
    let events = admitted
        .into_iter()
        .map(|admitted| admitted.event)
        .collect();
    let published = node.publish_all(events).await?;
    let results = outcomes
        .into_iter()
        .zip(&published)
        .map(|((id, channel), published)| Outcome {
            id,
            channel: Some(channel),
            offset: published.position.map(|position| position.offset),
        });
    let accepted = Accepted {
        accepted: published.len(),
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
    let body = Box::pin(Limited::new(body, most).collect());
    match tokio::time::timeout(BODY_WITHIN, body).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(Error::new(
            ErrorKind::TooLarge,
            format!("a body may have {most} bytes"),
        )),
        Ok(Err(_)) => Err(Error::new(ErrorKind::BadRequest, "the body broke off")),
        Err(_) => Err(Error::new(ErrorKind::BadRequest, "the body took too long")),
    }
}
