//! HTTP requests of any kind, and their answers.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;
use tokio::time::timeout;

/// Longer than any test has patience for.
const ANSWER_WITHIN: Duration = Duration::from_secs(40);

/// Half of what servers wait for the next request on a connection: one that was used just as the server
/// closed it would be no answer.
const IDLE: Duration = Duration::from_secs(5);

/// A client of one server.
#[derive(Clone, Debug)]
pub struct Http {
    client: Client<HttpConnector, Full<Bytes>>,
    address: SocketAddr,
}

/// An answer with its whole body.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

impl Http {
    /// A client of the server at `address`.
    #[must_use]
    pub fn new(address: SocketAddr) -> Self {
        Self {
            client: Client::builder(TokioExecutor::new())
                .pool_idle_timeout(IDLE)
                .build_http(),
            address,
        }
    }

    /// Gets `path`, which may have a query.
    pub async fn get(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        self.send(Method::GET, path, headers, Bytes::new()).await
    }

    /// Posts `body` as it is.
    pub async fn post(
        &self,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Answer {
        self.send(Method::POST, path, headers, body.into()).await
    }

    /// Asks for a WebSocket on `path`. For refusals: a socket that is granted is thrown away.
    pub async fn handshake(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        let handshake = [
            ("connection", "Upgrade"),
            ("upgrade", "websocket"),
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ];
        self.get(path, &[&handshake, headers].concat()).await
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> Answer {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("http://{}{path}", self.address));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request
            .body(Full::new(body))
            .expect("tests make requests that can be sent");
        let answer = async {
            let (head, body) = self
                .client
                .request(request)
                .await
                .expect("an answer")
                .into_parts();
            let body = body.collect().await.expect("the whole answer").to_bytes();
            Answer {
                status: head.status,
                headers: head.headers,
                body,
            }
        };
        timeout(ANSWER_WITHIN, Box::pin(answer))
            .await
            .expect("an answer in time")
    }
}

impl Answer {
    /// The body as JSON.
    ///
    /// # Panics
    /// Where it is none.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// A header as text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The paths of an `INVALID_EVENT`'s details.
    #[must_use]
    pub fn problem_paths(&self) -> Vec<String> {
        let body = self.json();
        let details = body["error"]["details"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        details
            .iter()
            .map(|problem| problem["path"].as_str().unwrap_or_default().to_owned())
            .collect()
    }

    /// Checks that it is an error of this status and code, with a message.
    ///
    /// # Panics
    /// Where it is not.
    #[track_caller]
    pub fn assert_refusal(&self, status: u16, code: &str) {
        assert_eq!(self.status.as_u16(), status, "{self:?}");
        let body = self.json();
        assert_eq!(body["error"]["code"], code, "{body}");
        assert!(
            body["error"]["message"]
                .as_str()
                .is_some_and(|message| !message.is_empty()),
            "{body}"
        );
    }

    /// Checks that it says after how many whole seconds another try makes sense.
    ///
    /// # Panics
    /// Where it does not.
    #[track_caller]
    pub fn assert_retry_after(&self) {
        let seconds = self
            .header("retry-after")
            .and_then(|text| text.parse::<u32>().ok());
        assert!(seconds.is_some_and(|seconds| seconds > 0), "{self:?}");
    }
}
