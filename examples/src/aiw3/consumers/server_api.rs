//! Publishing from a backend service.

use std::time::Duration;

use bytes::Bytes;
use fanfare_brokers::services::HandlerError;
use http::{HeaderValue, Method, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;
use tokio::time::timeout;

const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// The most bytes that are read of an answer.
const ANSWER: usize = 64 << 10;

/// The server API of a fanfare server, over HTTP/1.1 without TLS: both stand in one network.
#[derive(Clone, Debug)]
pub struct ServerApi {
    client: Client<HttpConnector, Full<Bytes>>,
    publish: Uri,
    authorization: HeaderValue,
}

impl ServerApi {
    /// The API at `http://host:port`, with its key.
    ///
    /// # Errors
    /// A sentence that says what is wrong with either.
    pub fn new(server: &str, key: &str) -> Result<Self, String> {
        let wrong = || format!("{server:?} is no server of the form http://HOST:PORT");
        let publish = format!("{}/publish", server.trim_end_matches('/'));
        let publish = publish.parse::<Uri>().map_err(|_| wrong())?;
        if publish.scheme_str() != Some("http") || publish.path() != "/publish" {
            return Err(wrong());
        }
        let authorization = HeaderValue::try_from(format!("Bearer {key}"));
        let mut authorization = authorization
            .map_err(|_| "the API key has characters that no header can have".to_owned())?;
        authorization.set_sensitive(true);
        Ok(Self {
            client: Client::builder(TokioExecutor::new()).build_http(),
            publish,
            authorization,
        })
    }

    /// Publishes one envelope. Takes 10 s at most.
    ///
    /// # Errors
    /// Permanent where the envelope is refused; unavailable where the server is away, busy, or knows
    /// another key.
    pub async fn publish(&self, envelope: &Value) -> Result<(), HandlerError> {
        let request = Request::builder()
            .method(Method::POST)
            .uri(self.publish.clone())
            .header(header::AUTHORIZATION, self.authorization.clone())
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::from(envelope.to_string()))
            .map_err(HandlerError::permanent)?;
        let answer = async {
            let response = self
                .client
                .request(request)
                .await
                .map_err(HandlerError::unavailable)?;
            let status = response.status();
            let body = Limited::new(response.into_body(), ANSWER).collect().await;
            let body = body.map_err(HandlerError::unavailable)?.to_bytes();
            Ok((status, body))
        };
        let (status, body) = timeout(ANSWER_WITHIN, Box::pin(answer))
            .await
            .map_err(|_| HandlerError::unavailable("the server API did not answer in time"))??;
        let said = || {
            format!(
                "the server API said {status}: {}",
                String::from_utf8_lossy(&body)
            )
        };
        match status {
            StatusCode::OK => Ok(()),
            StatusCode::BAD_REQUEST
            | StatusCode::UNPROCESSABLE_ENTITY
            | StatusCode::PAYLOAD_TOO_LARGE => Err(HandlerError::permanent(said())),
            _ => Err(HandlerError::unavailable(said())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_named_by_scheme_host_and_port() {
        for good in ["http://127.0.0.1:8080", "http://fanfare.internal:8080/"] {
            assert!(ServerApi::new(good, "k").is_ok(), "{good}");
        }
        for bad in [
            "",
            "127.0.0.1:8080",
            "https://a.example",
            "http://a.example/x",
            "ftp://a",
        ] {
            assert!(ServerApi::new(bad, "k").is_err(), "{bad}");
        }
        assert!(ServerApi::new("http://127.0.0.1:8080", "a\nb").is_err());
    }
}
