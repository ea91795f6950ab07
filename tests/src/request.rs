//! A request of HTTP/1.1, and its answer as it comes in: also one that goes on, or breaks off.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

use crate::token::Token;

/// Longer than any test has patience for.
const READ_WITHIN: Duration = Duration::from_secs(70);
/// Bytes read at once.
const PIECE: usize = 16 << 10;

/// A request that is about to be sent, on a connection of its own.
#[derive(Clone, Debug)]
pub struct Request {
    address: SocketAddr,
    method: &'static str,
    path: String,
    headers: Vec<(String, String)>,
    body: String,
    receive_buffer: Option<u32>,
}

impl Request {
    /// Asks the server at `address` for `path`, which may have a query.
    #[must_use]
    pub fn get(address: SocketAddr, path: &str) -> Self {
        Self {
            address,
            method: "GET",
            path: path.to_owned(),
            headers: Vec::new(),
            body: String::new(),
            receive_buffer: None,
        }
    }

    /// Posts `body` to the server at `address`.
    #[must_use]
    pub fn post(address: SocketAddr, path: &str, body: impl Into<String>) -> Self {
        Self {
            body: body.into(),
            ..Self::get(address, path).method("POST")
        }
    }

    /// Uses another method.
    #[must_use]
    pub fn method(mut self, method: &'static str) -> Self {
        self.method = method;
        self
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Says who asks.
    #[must_use]
    pub fn token(self, token: &Token) -> Self {
        self.header("Authorization", &format!("Bearer {}", token.sign()))
    }

    /// Takes a receive buffer of about `bytes`, so that what is not read soon waits in the server.
    #[must_use]
    pub fn narrow(mut self, bytes: u32) -> Self {
        self.receive_buffer = Some(bytes);
        self
    }

    /// Sends it and reads the head of the answer.
    ///
    /// # Errors
    /// Where the connection ended before the head did.
    pub async fn send(self) -> io::Result<Response> {
        let socket = TcpSocket::new_v4()?;
        if let Some(bytes) = self.receive_buffer {
            socket.set_recv_buffer_size(bytes)?;
        }
        let mut stream = socket.connect(self.address).await?;
        stream.set_nodelay(true)?;
        let mut head = format!(
            "{} {} HTTP/1.1\r\nHost: {}\r\n",
            self.method, self.path, self.address
        );
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if !self.body.is_empty() {
            head.push_str(&format!("Content-Length: {}\r\n", self.body.len()));
        }
        head.push_str("\r\n");
        head.push_str(&self.body);
        stream.write_all(head.as_bytes()).await?;
        Response::read(stream, self.method).await
    }
}

/// An answer whose body is still to be read. Dropping it closes the connection.
#[derive(Debug)]
pub struct Response {
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    stream: TcpStream,
    input: BytesMut,
    left: Left,
}

/// What is still to come of a body.
#[derive(Clone, Copy, Debug)]
enum Left {
    /// A chunk's size (RFC 9112 section 7.1).
    Size,
    /// This much of a chunk.
    Chunk(usize),
    /// The line's end behind a chunk.
    Gap,
    /// This much of a body whose length was announced.
    Bytes(usize),
}

impl Response {
    async fn read(stream: TcpStream, method: &str) -> io::Result<Self> {
        let mut response = Self {
            status: 0,
            headers: HeaderMap::new(),
            stream,
            input: BytesMut::new(),
            left: Left::Bytes(0),
        };
        let mut lines = Vec::new();
        loop {
            let line = response.line().await?;
            if line.is_empty() {
                break;
            }
            lines.push(line);
        }
        let status = lines[0].split(' ').nth(1);
        response.status = status
            .and_then(|status| status.parse().ok())
            .expect("a status line");
        for line in &lines[1..] {
            let (name, value) = line.split_once(':').expect("a header line");
            let name = HeaderName::from_bytes(name.as_bytes()).expect("a header's name");
            let value = HeaderValue::from_str(value.trim()).expect("a header's value");
            response.headers.append(name, value);
        }
        // Neither has a body (RFC 9110 sections 9.3.2 and 15.3.5).
        if method != "HEAD" && response.status != 204 {
            response.left = match response.header("content-length") {
                Some(length) => Left::Bytes(length.parse().expect("a length")),
                None => {
                    assert_eq!(response.header("transfer-encoding"), Some("chunked"));
                    Left::Size
                }
            };
        }
        Ok(response)
    }

    /// A header as text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The next bytes of the body; none at its clean end. Cancel safe.
    ///
    /// # Errors
    /// Where it broke off.
    pub async fn piece(&mut self) -> io::Result<Option<Bytes>> {
        loop {
            match self.left {
                Left::Bytes(0) => return Ok(None),
                Left::Bytes(length) | Left::Chunk(length) if !self.input.is_empty() => {
                    let piece = self.input.split_to(length.min(self.input.len())).freeze();
                    let left = length - piece.len();
                    self.left = match self.left {
                        Left::Chunk(_) if left == 0 => Left::Gap,
                        Left::Chunk(_) => Left::Chunk(left),
                        _ => Left::Bytes(left),
                    };
                    return Ok(Some(piece));
                }
                Left::Bytes(_) | Left::Chunk(_) => self.fill().await?,
                Left::Gap => {
                    let gap = self.line().await?;
                    assert_eq!(gap, "", "a chunk ends where it says");
                    self.left = Left::Size;
                }
                Left::Size => {
                    let size = self.line().await?;
                    let size = usize::from_str_radix(&size, 16).expect("a chunk's size");
                    self.left = match size {
                        0 => Left::Bytes(0),
                        size => Left::Chunk(size),
                    };
                    if size == 0 {
                        assert_eq!(self.line().await?, "", "no trailers");
                    }
                }
            }
        }
    }

    /// The whole of what is left of the body.
    ///
    /// # Errors
    /// Where it broke off.
    pub async fn rest(&mut self) -> io::Result<Bytes> {
        let mut rest = BytesMut::new();
        while let Some(piece) = self.piece().await? {
            rest.extend_from_slice(&piece);
        }
        Ok(rest.freeze())
    }

    async fn line(&mut self) -> io::Result<String> {
        loop {
            if let Some(end) = self.input.windows(2).position(|two| two == b"\r\n") {
                let line = self.input.split_to(end);
                self.input.advance(2);
                return Ok(String::from_utf8(line.to_vec()).expect("a line is text"));
            }
            self.fill().await?;
        }
    }

    async fn fill(&mut self) -> io::Result<()> {
        // By itself `read_buf` makes room for 64 bytes.
        self.input.reserve(PIECE);
        let reading = self.stream.read_buf(&mut self.input);
        let count = timeout(READ_WITHIN, reading)
            .await
            .expect("the server is not silent for ever")?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(())
    }
}
