//! NATS by its own protocol, through kills and pauses.
#![allow(
    clippy::unwrap_used,
    reason = "a test ends where something unexpected comes"
)]

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use fanfare_test_servers::Nats;

/// A connection that speaks the client protocol.
struct Client {
    stream: BufReader<TcpStream>,
}

impl Client {
    fn connect(server: &Nats) -> Self {
        let url = server.url();
        let stream = TcpStream::connect(url.strip_prefix("nats://").unwrap()).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(5)))
            .unwrap();
        let mut client = Self {
            stream: BufReader::new(stream),
        };
        assert!(client.line().starts_with("INFO {"));
        client.send("CONNECT {\"verbose\":false}\r\nPING\r\n");
        assert_eq!(client.line(), "PONG");
        client
    }

    fn send(&mut self, text: &str) {
        self.stream.get_mut().write_all(text.as_bytes()).unwrap();
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.stream.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    /// Publishes with a reply subject, and returns the reply.
    fn request(&mut self, subject: &str, payload: &str) -> String {
        self.send(&format!(
            "SUB reply 1\r\nUNSUB 1 1\r\nPUB {subject} reply {}\r\n{payload}\r\n",
            payload.len()
        ));
        let header = self.line();
        assert!(header.starts_with("MSG reply 1 "), "{header}");
        let length: usize = header.rsplit(' ').next().unwrap().parse().unwrap();
        let mut reply = vec![0; length + 2];
        self.stream.read_exact(&mut reply).unwrap();
        String::from_utf8(reply).unwrap()
    }
}

#[tokio::test]
async fn an_acknowledged_message_is_there_after_a_kill_on_the_same_port() {
    let mut nats = Nats::start().await;
    let url = nats.url();
    let mut client = Client::connect(&nats);
    let created = client.request(
        "$JS.API.STREAM.CREATE.kept",
        r#"{"name":"kept","subjects":["kept.*"],"storage":"file"}"#,
    );
    assert!(created.contains(r#""did_create":true"#), "{created}");
    for sequence in 1..=3 {
        let stored = client.request("kept.one", "x");
        assert!(stored.contains(&format!(r#""seq":{sequence}"#)), "{stored}");
    }

    nats.kill().await;
    let refused = TcpStream::connect(url.strip_prefix("nats://").unwrap());
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::ConnectionRefused);
    nats.start_again().await;

    assert_eq!(nats.url(), url);
    let info = Client::connect(&nats).request("$JS.API.STREAM.INFO.kept", "");
    assert!(info.contains(r#""messages":3"#), "{info}");
}

#[tokio::test]
async fn a_paused_server_answers_when_it_is_resumed() {
    let mut nats = Nats::start().await;
    let mut client = Client::connect(&nats);
    nats.pause();
    client.send("PING\r\n");
    let short = Some(Duration::from_millis(300));
    client.stream.get_ref().set_read_timeout(short).unwrap();
    let nothing = client.stream.fill_buf().unwrap_err();
    assert_eq!(nothing.kind(), ErrorKind::WouldBlock);

    nats.resume();
    client
        .stream
        .get_ref()
        .set_read_timeout(Some(Duration::from_secs(5)))
        .unwrap();
    assert_eq!(client.line(), "PONG");
}
