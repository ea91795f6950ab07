//! Answers that go on: what a session has for its client, as it comes.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use fanfare::{Batch, Disconnect, Outbound};
use http::{HeaderName, HeaderValue, Response, header};
use http_body::Frame;
use tracing::trace;

use crate::{Body, cut};

/// Tells nginx not to hold the stream back.
const X_ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// An answer of `kind` whose body is what comes out of `outbound`. `session` is kept for as long as
/// the body is; `last_words` says what a client is told whose connection ends in order.
pub(crate) fn answer<S: Send + Unpin + 'static, L: LastWords>(
    kind: &'static str,
    session: S,
    outbound: Outbound,
    last_words: L,
) -> Response<Body> {
    cut::register(outbound.clone());
    let mut response = Response::new(Body::stream(Events {
        session: Some(session),
        outbound,
        batch: Batch::default(),
        last_words,
    }));
    mark(&mut response, kind);
    response
}

/// What a client is told last.
pub(crate) trait LastWords: Fn(&Disconnect) -> Bytes + Send + Unpin + 'static {}

impl<F: Fn(&Disconnect) -> Bytes + Send + Unpin + 'static> LastWords for F {}

/// The headers of an answer that must reach the client as it is written.
pub(crate) fn mark(response: &mut Response<Body>, kind: &'static str) {
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_ACCEL_BUFFERING, HeaderValue::from_static("no"));
}

/// The body. No task stands behind it; whoever writes the answer polls the session. Dropping it ends
/// the session.
struct Events<S, L> {
    /// None once the client has been told of its end.
    session: Option<S>,
    outbound: Outbound,
    /// Taken out of the session and not written yet.
    batch: Batch,
    last_words: L,
}

impl<S: Send + Unpin + 'static, L: LastWords> http_body::Body for Events<S, L> {
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
                Ok(Frame::data((this.last_words)(&disconnect)))
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
