//! Server-sent events (HTML, section "Server-sent events"): one answer that goes on.

mod codec;

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use fanfare::{Batch, Disconnect, Error, Node, Outbound, Session};
use http::request::Parts;
use http::{HeaderName, HeaderValue, Method, Response, header};
use http_body::Frame;
use rand::Rng;
use serde::Serialize;
use tracing::trace;

use self::codec::{Sse, write_event};
use crate::subscriber::{Subscriber, refused};
use crate::{Body, cut};

/// After how many milliseconds a client is to come back when it loses its stream. Not the same for
/// all: those that lose it together must not come back together.
const RETRY: std::ops::RangeInclusive<u32> = 1_000..=3_000;

/// Tells nginx not to hold the stream back.
const X_ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// Answers with the events of the channels that the request names.
///
/// # Errors
/// The refusal, before a stream begins.
pub(crate) async fn answer(node: &Node, parts: &Parts) -> Result<Response<Body>, Error> {
    let subscriber = Subscriber::of(node, parts).await?;
    let body = if parts.method == Method::HEAD {
        Body::empty()
    } else {
        let (mut session, connect) = subscriber.open(node, "sse", Sse)?;
        session.outbound().send(retry().into());
        session.connect(connect).await.map_err(refused)?;
        cut::register(session.outbound());
        Body::stream(Events::new(session))
    };
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/event-stream"),
    );
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_ACCEL_BUFFERING, HeaderValue::from_static("no"));
    Ok(response)
}

/// The body: what its session has for the client, as it comes. No task stands behind it; whoever
/// writes the answer polls the session. Dropping it ends the session.
#[derive(Debug)]
struct Events {
    /// None once the client has been told of its end.
    session: Option<Session>,
    outbound: Outbound,
    /// Taken out of the session and not written yet.
    batch: Batch,
}

impl Events {
    fn new(session: Session) -> Self {
        Self {
            outbound: session.outbound(),
            session: Some(session),
            batch: Batch::default(),
        }
    }
}

impl http_body::Body for Events {
    type Data = Bytes;
    type Error = Disconnect;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Disconnect>>> {
        let this = &mut *self;
        if this.session.is_none() {
            return Poll::Ready(None);
        }
        if !this.batch.has_remaining()
            && let Err(disconnect) = ready!(this.outbound.poll_batch(context, &mut this.batch))
        {
            trace!(%disconnect, "ended");
            let is_cut = this.outbound.is_cut();
            this.session = None;
            return Poll::Ready(Some(if is_cut {
                Err(disconnect)
            } else {
                Ok(Frame::data(last_words(&disconnect).into()))
            }));
        }
        // Frame by frame: they are shared with the other subscribers as they are.
        let frame = this.batch.copy_to_bytes(this.batch.chunk().len());
        Poll::Ready(Some(Ok(Frame::data(frame))))
    }

    fn is_end_stream(&self) -> bool {
        self.session.is_none()
    }
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
