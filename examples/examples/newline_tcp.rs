//! A transport of one's own: the Centrifuge dialect over bare TCP, a message a line.
//!
//! `cargo run -p fanfare-examples --example newline_tcp`, then with `nc 127.0.0.1 3000`:
//!
//! ```text
//! {"id":1,"connect":{"token":"…"}}
//! {"id":2,"subscribe":{"channel":"news"}}
//! ```

use std::sync::Arc;

use bytes::BytesMut;
use fanfare::auth::jwt::JwtKey;
use fanfare::codec::centrifuge::Centrifuge;
use fanfare::{
    Batch, Channel, Disconnect, Event, Framing, Handshake, Node, Opening, Priority, Session,
    Transport,
};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// The longest line that is read.
const LONGEST: u64 = 64 * 1024;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    serve(TcpListener::bind("127.0.0.1:3000").await?, b"a secret").await
}

/// Serves until the listener fails, and publishes some news every second.
pub(crate) async fn serve(
    listener: TcpListener,
    secret: &[u8],
) -> Result<(), Box<dyn std::error::Error>> {
    let node = Node::builder().jwt(JwtKey::Hs256(secret))?.start().await?;
    println!("listening on {}", listener.local_addr()?);
    let news = node.clone();
    tokio::spawn(async move {
        let channel = Channel::new("news").expect("this is a channel's name");
        while let Ok(event) = Event::new(channel.clone(), "news", r#"{"new":true}"#) {
            let _ = news.publish(event.with_priority(Priority::High)).await;
            tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        }
    });
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let opening = Opening {
            transport: "newline_tcp",
            codec: Arc::new(Centrifuge),
            framing: Arc::new(Lines),
            handshake: Handshake::default(),
            identity: None,
            channels: Vec::new(),
            own_channel: false,
            session: None,
        };
        match node.open(opening) {
            Ok(session) => drop(tokio::spawn(Tcp(stream).serve(session))),
            // The node is going down, or full: the stream is closed.
            Err(_) => drop(stream),
        }
    }
}

/// A newline behind each message. The dialect's own messages have none inside.
#[derive(Debug)]
struct Lines;

impl Framing for Lines {
    fn name(&self) -> &'static str {
        "lines"
    }

    fn frame(&self, message: &[u8], out: &mut BytesMut) {
        out.extend_from_slice(message);
        out.extend_from_slice(b"\n");
    }
}

struct Tcp(TcpStream);

impl Transport for Tcp {
    async fn serve(self, mut session: Session) -> Disconnect {
        let (read, mut write) = self.0.into_split();
        let outbound = session.outbound();
        let writing = async {
            loop {
                let mut batch = Batch::default();
                if let Err(disconnect) = outbound.next_batch(&mut batch).await {
                    return disconnect;
                }
                if write.write_all_buf(&mut batch).await.is_err() {
                    return Disconnect::CONNECTION_CLOSED;
                }
            }
        };
        let reading = async {
            let mut read = BufReader::new(read);
            let mut line = Vec::new();
            loop {
                line.clear();
                match (&mut read).take(LONGEST).read_until(b'\n', &mut line).await {
                    Ok(_) if line.pop() == Some(b'\n') => {}
                    // The end, or a line that is too long.
                    _ => return Disconnect::CONNECTION_CLOSED,
                }
                if let Err(disconnect) = session.receive(&line).await {
                    return disconnect;
                }
            }
        };
        tokio::select! {
            disconnect = writing => disconnect,
            disconnect = reading => disconnect,
        }
    }
}
