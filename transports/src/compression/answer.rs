//! Answers whose length is known, compressed as they are sent.

use std::error::Error;
use std::io::{self, Write};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{BufMut, Bytes, BytesMut};
use fanfare::Framing;
use fanfare::config::Compression;
use flate2::Crc;
use flate2::write::GzEncoder;
use http::{HeaderValue, Response, header};
use http_body::{Body as _, Frame};

use super::coding::{Coding, Codings};
use crate::Body;

/// Bytes that are compressed at a time, less than a millisecond's work. What is no longer is
/// compressed in one piece, by what the thread keeps for that.
const PIECE: usize = 64 << 10;

/// Compresses an answer where its client takes that and it is long enough. Streams say by themselves
/// how they come.
pub(crate) fn compress(
    mut response: Response<Body>,
    codings: Codings,
    config: &Compression,
) -> Response<Body> {
    let headers = response.headers_mut();
    let kind = headers.get(header::CONTENT_TYPE);
    if !config.enabled || !kind.is_some_and(is_text) {
        return response;
    }
    headers.append(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    let is_coded = headers.contains_key(header::CONTENT_ENCODING);
    let least = if codings.identity {
        config.threshold.max(1)
    } else {
        1
    };
    let length = response.body().size_hint().exact();
    let is_long = length.is_some_and(|length| length >= least as u64);
    let Some(coding) = codings.coding.filter(|_| is_long && !is_coded) else {
        return response;
    };
    let (mut parts, body) = response.into_parts();
    let is_short = length.is_some_and(|length| length <= PIECE as u64);
    let encoder = if is_short {
        Encoder::whole(coding, config)
    } else {
        Encoder::streaming(coding, config)
    };
    let Ok(encoder) = encoder else {
        // No memory for it.
        return Response::from_parts(parts, body);
    };
    parts.headers.remove(header::CONTENT_LENGTH);
    parts
        .headers
        .insert(header::CONTENT_ENCODING, coding.name());
    let body = Compressed {
        body: Some(body),
        encoder,
        waiting: Bytes::new(),
    };
    Response::from_parts(parts, Body::stream(body))
}

fn is_text(kind: &HeaderValue) -> bool {
    let kind = kind.as_bytes();
    let is = |known: &[u8]| kind.starts_with(known);
    is(b"text/") || is(b"application/json") || is(b"application/edn")
}

/// A body that is compressed as it is polled.
struct Compressed {
    /// None once it has ended.
    body: Option<Body>,
    encoder: Encoder,
    /// Read and not compressed.
    waiting: Bytes,
}

enum Encoder {
    /// By what the thread keeps, when all of the text is there.
    Whole {
        coding: Coding,
        framing: Arc<dyn Framing>,
        text: Vec<u8>,
    },
    Gzip(GzEncoder<Vec<u8>>),
    Zstd(zstd::stream::write::Encoder<'static, Vec<u8>>),
}

impl Encoder {
    fn whole(coding: Coding, config: &Compression) -> io::Result<Self> {
        let all = Compression {
            threshold: 0,
            ..config.clone()
        };
        Ok(Self::Whole {
            coding,
            framing: coding.framing(&all),
            text: Vec::new(),
        })
    }

    fn streaming(coding: Coding, config: &Compression) -> io::Result<Self> {
        let level = config.level;
        Ok(match coding {
            Coding::Gzip => Self::Gzip(GzEncoder::new(
                Vec::new(),
                flate2::Compression::new(level.into()),
            )),
            Coding::Zstd => {
                let encoder = zstd::stream::write::Encoder::new(Vec::new(), level.into())?;
                Self::Zstd(encoder)
            }
        })
    }

    /// Takes a piece of the text, and gives what there is to send.
    fn write(&mut self, piece: &[u8]) -> io::Result<Vec<u8>> {
        match self {
            Self::Whole { text, .. } => {
                text.extend_from_slice(piece);
                Ok(Vec::new())
            }
            Self::Gzip(encoder) => {
                encoder.write_all(piece)?;
                Ok(std::mem::take(encoder.get_mut()))
            }
            Self::Zstd(encoder) => {
                encoder.write_all(piece)?;
                Ok(std::mem::take(encoder.get_mut()))
            }
        }
    }

    /// What is left to send when the text has ended.
    fn finish(&mut self) -> io::Result<Vec<u8>> {
        match self {
            Self::Whole {
                coding,
                framing,
                text,
            } => {
                let mut out = BytesMut::from(coding.head());
                framing.frame(text, &mut out);
                if *coding == Coding::Gzip {
                    end_gzip(text, &mut out);
                }
                *text = Vec::new();
                Ok(out.into())
            }
            Self::Gzip(encoder) => {
                encoder.try_finish()?;
                Ok(std::mem::take(encoder.get_mut()))
            }
            Self::Zstd(encoder) => {
                encoder.do_finish()?;
                Ok(std::mem::take(encoder.get_mut()))
            }
        }
    }
}

/// A last block without anything in it, then what the text is to be checked by (RFC 1952 section
/// 2.3.1).
fn end_gzip(text: &[u8], out: &mut BytesMut) {
    let mut sum = Crc::new();
    sum.update(text);
    out.put_slice(&[1, 0, 0, 0xff, 0xff]);
    out.put_u32_le(sum.sum());
    out.put_u32_le(sum.amount());
}

impl http_body::Body for Compressed {
    type Data = Bytes;
    type Error = Box<dyn Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = &mut *self;
        loop {
            let piece = this.waiting.split_to(this.waiting.len().min(PIECE));
            if !piece.is_empty() {
                let out = this.encoder.write(&piece)?;
                if out.is_empty() {
                    continue;
                }
                return Poll::Ready(Some(Ok(Frame::data(out.into()))));
            }
            let Some(body) = &mut this.body else {
                return Poll::Ready(None);
            };
            match ready!(Pin::new(body).poll_frame(context)) {
                Some(frame) => this.waiting = frame?.into_data().unwrap_or_default(),
                None => {
                    this.body = None;
                    let out = this.encoder.finish()?;
                    return Poll::Ready(Some(Ok(Frame::data(out.into()))));
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_none()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use http::HeaderMap;
    use http_body_util::BodyExt;

    use super::*;

    fn response(kind: &'static str, text: Vec<u8>) -> Response<Body> {
        let mut response = Response::new(Body::from(text));
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        response
    }

    fn codings(accept: &'static str) -> Codings {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static(accept));
        Codings::of(&headers, &Compression::default())
    }

    async fn answered(
        kind: &'static str,
        text: &[u8],
        accept: &'static str,
    ) -> (Option<HeaderValue>, Vec<u8>) {
        let response = response(kind, text.to_vec());
        let answer = compress(response, codings(accept), &Compression::default());
        let coding = answer.headers().get(header::CONTENT_ENCODING).cloned();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        (coding, body.to_vec())
    }

    fn decoded(coding: Option<&HeaderValue>, body: &[u8]) -> Vec<u8> {
        let mut text = Vec::new();
        match coding.map(HeaderValue::as_bytes) {
            Some(b"gzip") => {
                flate2::read::GzDecoder::new(body)
                    .read_to_end(&mut text)
                    .unwrap();
            }
            Some(b"zstd") => text = zstd::decode_all(body).unwrap(),
            Some(other) => panic!("{other:?}"),
            None => text = body.to_vec(),
        }
        text
    }

    #[tokio::test]
    async fn an_answer_of_any_length_is_read_as_it_was() {
        for length in [0, 1, 1023, 1024, PIECE - 1, PIECE, PIECE + 1, 5 * PIECE] {
            let text = Vec::from_iter((0..length).map(|n| (n / 7 % 251) as u8));
            for accept in ["gzip", "zstd", "gzip, *;q=0", "identity"] {
                let (coding, body) = answered("application/json", &text, accept).await;
                assert_eq!(decoded(coding.as_ref(), &body), text, "{accept} {length}");
                let is_coded = match accept {
                    "identity" => false,
                    "gzip, *;q=0" => length > 0,
                    _ => length >= 1024,
                };
                assert_eq!(coding.is_some(), is_coded, "{accept} {length}");
                if is_coded && length >= 1024 {
                    assert!(body.len() < length / 2);
                }
            }
        }
    }

    #[tokio::test]
    async fn what_is_no_text_stays_as_it_is() {
        let text = vec![b'a'; 5000];
        assert_eq!(answered("image/png", &text, "gzip").await, (None, text));
    }
}
