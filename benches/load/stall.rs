//! A client that subscribes and never reads.

use std::io::{Error, ErrorKind, Read, Result, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use clap::ValueEnum;
use socket2::{Domain, Socket, Type};

use crate::connection::Introduction;
use crate::frame;

/// What the client is subscribed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Transport {
    Websocket,
    Sse,
    Poll,
    #[value(name = "socket_io")]
    SocketIo,
}

/// Bytes that the client's socket takes in. Few, so that the rest waits in the server.
const RECEIVE_BUFFER: usize = 4096;
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// The client. Its connection ends with the value.
pub(crate) struct Stalled(TcpStream);

impl Stalled {
    /// Subscribes to the channel of the introduction, whose path is not used, and stops reading.
    pub(crate) fn subscribe(
        transport: Transport,
        address: SocketAddr,
        who: &Introduction,
    ) -> Result<Self> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
        socket.set_recv_buffer_size(RECEIVE_BUFFER)?;
        socket.connect(&address.into())?;
        let mut stream = TcpStream::from(socket);
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(ANSWER_WITHIN))?;
        let channel = &who.channel;
        match transport {
            Transport::Websocket => {
                stream.write_all(&who.upgrade_on(&format!("/ws?channel={channel}")))?;
                read_to(&mut stream, " 101 ", "\r\n\r\n")?;
                stream.write_all(&who.connect())?;
                read_to(&mut stream, "\"connect\":", "\"subs\":")?;
            }
            Transport::SocketIo => {
                let path = format!("/socket.io/?EIO=4&transport=websocket&channel={channel}");
                stream.write_all(&who.upgrade_on(&path))?;
                read_to(&mut stream, " 101 ", "\r\n\r\n")?;
                let auth = match &who.token {
                    Some(token) => serde_json::json!({ "token": token }),
                    None => serde_json::json!({}),
                };
                stream.write_all(&frame::text(format!("40{auth}").as_bytes()))?;
                read_to(&mut stream, "0{\"sid\":", "40{\"sid\":")?;
            }
            Transport::Sse => {
                stream.write_all(&request(who, &format!("/sse?channel={channel}")))?;
                read_to(&mut stream, " 200 ", "\nid: ")?;
            }
            Transport::Poll => {
                let polls = request(who, &format!("/poll?channel={channel}&wait=25"));
                let mut asking = stream.try_clone()?;
                // One poll behind the other, until the server takes in no more of them either.
                std::thread::spawn(move || while asking.write_all(&polls).is_ok() {});
            }
        }
        Ok(Self(stream))
    }
}

impl Drop for Stalled {
    fn drop(&mut self) {
        // Ends the thread that asks as well. The server may have ended the connection long ago.
        let _ = self.0.shutdown(Shutdown::Both);
    }
}

fn request(who: &Introduction, path: &str) -> Vec<u8> {
    let mut head = format!("GET {path} HTTP/1.1\r\nHost: {}\r\n", who.host);
    if let Some(token) = &who.token {
        head.push_str(&format!("Authorization: Bearer {token}\r\n"));
    }
    head.push_str("\r\n");
    head.into_bytes()
}

/// Reads until `end` has come, with `proof` before it. Nothing is published yet.
fn read_to(stream: &mut TcpStream, proof: &str, end: &str) -> Result<()> {
    let mut read = Vec::new();
    let mut piece = [0; 512];
    loop {
        let count = stream.read(&mut piece)?;
        read.extend_from_slice(&piece[..count]);
        let has = |what: &str| memchr::memmem::find(&read, what.as_bytes()).is_some();
        if has(proof) && has(end) {
            return Ok(());
        }
        if count == 0 {
            let answer = String::from_utf8_lossy(&read).into_owned();
            return Err(Error::new(ErrorKind::UnexpectedEof, answer));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transports_are_named_as_in_metrics() {
        let names = Transport::value_variants()
            .iter()
            .map(|transport| transport.to_possible_value().unwrap().get_name().to_owned());
        assert!(names.eq(["websocket", "sse", "poll", "socket_io"]));
    }
}
