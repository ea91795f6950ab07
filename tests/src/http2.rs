//! One connection of HTTP/2, in clear text or on a stream of TLS.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode, Version};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http2;
use hyper::ext::Protocol;
use hyper::upgrade::Upgraded;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::client::Client;
use crate::http::Answer;
use crate::wait::SOON;

/// A connection. Ends with the value.
#[derive(Debug)]
pub struct Http2 {
    requests: http2::SendRequest<Full<Bytes>>,
    connection: JoinHandle<Result<(), hyper::Error>>,
    authority: SocketAddr,
}

impl Http2 {
    /// Connects in clear text and speaks HTTP/2 at once, without asking.
    pub async fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address)
            .await
            .expect("the server accepts connections");
        stream
            .set_nodelay(true)
            .expect("a TCP socket has the option");
        Self::on(stream, address).await
    }

    /// As [`connect`](Self::connect), with room for this much of an answer that is not read.
    pub async fn connect_narrow(address: SocketAddr, window: u32) -> Self {
        let stream = TcpStream::connect(address)
            .await
            .expect("the server accepts connections");
        let mut http2 = http2::Builder::new(TokioExecutor::new());
        http2.initial_stream_window_size(window);
        let handshake = http2.handshake(TokioIo::new(stream));
        let (requests, connection) = Box::pin(handshake).await.expect("a preface can be sent");
        Self {
            requests,
            connection: tokio::spawn(connection),
            authority: address,
        }
    }

    /// Speaks HTTP/2 on a stream to the server at `address`, and waits until both sides have said
    /// what they can.
    pub async fn on<S>(stream: S, address: SocketAddr) -> Self
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let handshake = http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
        let (requests, connection) = Box::pin(handshake).await.expect("a preface can be sent");
        let this = Self {
            requests,
            connection: tokio::spawn(connection),
            authority: address,
        };
        // Extended CONNECT may be sent once the server's settings are there.
        assert_eq!(this.get("/health", &[]).await.status, StatusCode::OK);
        this
    }

    /// Gets `path`, which may have a query.
    pub async fn get(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        self.send(Method::GET, path, headers, Bytes::new()).await
    }

    /// Sends a request, and reads the whole answer.
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Answer {
        let request = self.request(method, path, headers, body.into());
        answer(self.response(request).await).await
    }

    /// Gets `path`, and the answer's body piece by piece.
    pub async fn begin(&self, path: &str, headers: &[(&str, &str)]) -> Response<Incoming> {
        self.response(self.request(Method::GET, path, headers, Bytes::new()))
            .await
    }

    /// Asks for a WebSocket (RFC 8441), with the version that there is, and gives the client and
    /// the headers of the grant.
    ///
    /// # Errors
    /// The refusal.
    pub async fn websocket(
        &self,
        path: &str,
        headers: &[(&str, &str)],
    ) -> Result<(Client, HeaderMap), Answer> {
        let headers = [&[("sec-websocket-version", "13")], headers].concat();
        let (stream, headers) = self.extended_connect("websocket", path, &headers).await?;
        Ok((Client::on_stream(stream), headers))
    }

    /// Asks for a stream of any protocol.
    ///
    /// # Errors
    /// The refusal.
    pub async fn extended_connect(
        &self,
        protocol: &'static str,
        path: &str,
        headers: &[(&str, &str)],
    ) -> Result<(Upgraded, HeaderMap), Answer> {
        let mut request = self.request(Method::CONNECT, path, headers, Bytes::new());
        let protocol = Protocol::from_static(protocol);
        request.extensions_mut().insert(protocol);
        let response = self.response(request).await;
        if response.status() != StatusCode::OK {
            return Err(answer(response).await);
        }
        let headers = response.headers().clone();
        let upgraded = hyper::upgrade::on(response)
            .await
            .expect("a stream that was granted");
        Ok((upgraded, headers))
    }

    /// Waits until the connection is over, and says whether that was in order.
    pub async fn end(&mut self, within: Duration) -> Result<(), hyper::Error> {
        timeout(within, &mut self.connection)
            .await
            .expect("the connection ends in time")
            .expect("a connection does not panic")
    }

    fn request(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> Request<Full<Bytes>> {
        let mut request = Request::builder()
            .method(method)
            .version(Version::HTTP_2)
            .uri(format!("http://{}{path}", self.authority));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request
            .body(Full::new(body))
            .expect("tests make requests that can be sent")
    }

    async fn response(&self, request: Request<Full<Bytes>>) -> Response<Incoming> {
        timeout(SOON, self.requests.clone().send_request(request))
            .await
            .expect("an answer in time")
            .expect("an answer")
    }
}

impl Drop for Http2 {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

async fn answer(response: Response<Incoming>) -> Answer {
    assert_eq!(response.version(), Version::HTTP_2);
    let (head, body) = response.into_parts();
    let body = timeout(SOON, body.collect())
        .await
        .expect("the whole answer in time")
        .expect("the whole answer");
    Answer {
        status: head.status,
        headers: head.headers,
        body: body.to_bytes(),
    }
}
