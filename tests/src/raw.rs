//! Bytes on a socket, for what no well-behaved client sends.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

use crate::server::Server;

/// Key and answer are those of RFC 6455's example.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
/// Longer than any test has patience for.
const READ_WITHIN: Duration = Duration::from_secs(20);
/// Bytes read at once.
const PIECE: usize = 16 << 10;

/// The first byte of a whole text message.
pub const TEXT: u8 = 0x81;
/// The first byte of a whole binary message.
pub const BINARY: u8 = 0x82;
/// The first byte of a close frame.
pub const CLOSE: u8 = 0x88;
/// The first byte of a ping.
pub const PING: u8 = 0x89;
/// The first byte of a pong.
pub const PONG: u8 = 0x8a;

/// A TCP connection to a server.
#[derive(Debug)]
pub struct RawSocket {
    stream: TcpStream,
    input: BytesMut,
    /// How long the server may be silent.
    within: Duration,
}

/// A frame of the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// The first byte: the final bit, the reserved bits and the opcode.
    pub first: u8,
    /// The payload.
    pub payload: Vec<u8>,
}

impl RawSocket {
    /// Connects, and says nothing.
    pub async fn connect(address: SocketAddr) -> Self {
        Self::over(TcpSocket::new_v4().expect("a socket"), address).await
    }

    /// Connects with a receive buffer of about `bytes`, so that what is not read soon waits in the
    /// server.
    pub async fn connect_narrow(address: SocketAddr, bytes: u32) -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket
            .set_recv_buffer_size(bytes)
            .expect("a receive buffer can be set");
        Self::over(socket, address).await
    }

    async fn over(socket: TcpSocket, address: SocketAddr) -> Self {
        let stream = socket
            .connect(address)
            .await
            .expect("the server accepts connections");
        stream
            .set_nodelay(true)
            .expect("a TCP socket has the option");
        Self {
            stream,
            input: BytesMut::new(),
            within: READ_WITHIN,
        }
    }

    /// Connects to a network that may fail, and turns the connection into a WebSocket, on which the
    /// server may be silent for `within`.
    ///
    /// # Errors
    /// Where the connection ended before the answer was whole.
    ///
    /// # Panics
    /// Where the server refuses.
    pub async fn try_websocket(
        address: SocketAddr,
        path: &str,
        within: Duration,
    ) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let mut socket = Self {
            stream,
            input: BytesMut::new(),
            within,
        };
        socket.try_upgrade(path).await?;
        Ok(socket)
    }

    /// A WebSocket of the user whom `token` names, after the dialect's connect.
    pub async fn authenticated(server: &Server, token: &str) -> Self {
        let mut socket = Self::connect(server.address()).await;
        socket.upgrade("/ws").await;
        socket.introduce(token).await;
        socket
    }

    /// Turns the connection into a WebSocket.
    pub async fn upgrade(&mut self, path: &str) {
        let upgraded = self.try_upgrade(path).await;
        upgraded.expect("an answer to the handshake");
    }

    async fn try_upgrade(&mut self, path: &str) -> io::Result<()> {
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n\r\n"
        );
        self.send(request.as_bytes()).await;
        let head = self.head().await.ok_or(io::ErrorKind::UnexpectedEof)?;
        if head.starts_with("HTTP/1.1 503 ") {
            return Err(io::Error::other(head));
        }
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        let accept = head.lines().filter_map(|line| line.split_once(": "));
        let mut accept =
            accept.filter(|(name, _)| name.eq_ignore_ascii_case("sec-websocket-accept"));
        assert_eq!(
            accept.next().map(|(_, value)| value),
            Some(ACCEPT),
            "{head}"
        );
        Ok(())
    }

    /// Sends the dialect's connect command and reads its reply.
    pub async fn introduce(&mut self, token: &str) {
        self.send_text(&format!(r#"{{"id":1,"connect":{{"token":"{token}"}}}}"#))
            .await;
        let reply = self.text().await;
        assert!(reply.starts_with(r#"{"id":1,"connect":"#), "{reply}");
    }

    /// Sends bytes as they are. That the server may have gone is no failure.
    pub async fn send(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes).await;
    }

    /// Sends a well-formed text message.
    pub async fn send_text(&mut self, text: &str) {
        self.send(&frame(TEXT, text.as_bytes())).await;
    }

    /// The head of an HTTP answer; none where the connection ended before it.
    pub async fn head(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.input.windows(4).position(|four| four == b"\r\n\r\n") {
                let head = self.input.split_to(end + 4);
                return Some(String::from_utf8(head.to_vec()).expect("a head is text"));
            }
            if !self.read().await {
                return None;
            }
        }
    }

    /// The next frame; none where the connection ended before it.
    pub async fn frame(&mut self) -> Option<Frame> {
        loop {
            if let Some(frame) = self.take_frame() {
                return Some(frame);
            }
            if !self.read().await {
                return None;
            }
        }
    }

    /// The next frame, which has to be a whole text message.
    pub async fn text(&mut self) -> String {
        let frame = self.frame().await.expect("a message");
        assert_eq!(frame.first, TEXT, "{frame:?}");
        String::from_utf8(frame.payload).expect("text is UTF-8")
    }

    /// Reads on to the connection's end and gives the code of the close frame, if one came.
    pub async fn close_code(&mut self) -> Option<u16> {
        let mut code = None;
        while let Some(frame) = self.frame().await {
            if frame.first == CLOSE {
                code = frame
                    .payload
                    .first_chunk()
                    .map(|bytes| u16::from_be_bytes(*bytes));
                let _ = self.stream.shutdown().await;
            }
        }
        code
    }

    /// Ends the sending half.
    pub async fn shutdown(&mut self) {
        let _ = self.stream.shutdown().await;
    }

    fn take_frame(&mut self) -> Option<Frame> {
        let input = &self.input;
        let (first, second) = (*input.first()?, *input.get(1)?);
        assert!(second < 128, "a server's frame must not be masked");
        let (head, length) = match second {
            126 => (
                4,
                usize::from(u16::from_be_bytes(*input.get(2..)?.first_chunk()?)),
            ),
            127 => (
                10,
                usize::try_from(u64::from_be_bytes(*input.get(2..)?.first_chunk()?))
                    .expect("a length that can be"),
            ),
            short => (2, usize::from(short)),
        };
        if input.len() < head + length {
            return None;
        }
        self.input.advance(head);
        Some(Frame {
            first,
            payload: self.input.split_to(length).to_vec(),
        })
    }

    /// Reads some more; says whether anything came before the end.
    async fn read(&mut self) -> bool {
        // By itself `read_buf` makes room for 64 bytes.
        self.input.reserve(PIECE);
        let read = timeout(self.within, self.stream.read_buf(&mut self.input)).await;
        read.expect("an answer or the end, in time")
            .is_ok_and(|count| count > 0)
    }
}

/// A masked frame.
#[must_use]
pub fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = header(first, payload.len(), true);
    frame.extend_from_slice(&MASK);
    frame.extend(
        payload
            .iter()
            .zip(MASK.iter().cycle())
            .map(|(byte, mask)| byte ^ mask),
    );
    frame
}

/// A frame that breaks the rule that clients mask theirs.
#[must_use]
pub fn unmasked_frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = header(first, payload.len(), false);
    frame.extend_from_slice(payload);
    frame
}

/// The two to ten bytes that announce a payload.
#[must_use]
pub fn header(first: u8, length: usize, masked: bool) -> Vec<u8> {
    let flag = if masked { 0x80 } else { 0 };
    let mut header = vec![first];
    match (u8::try_from(length), u16::try_from(length)) {
        (Ok(short @ ..=125), _) => header.push(flag | short),
        (_, Ok(medium)) => {
            header.push(flag | 126);
            header.extend_from_slice(&medium.to_be_bytes());
        }
        _ => {
            header.push(flag | 127);
            header.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    header
}
