//! A session with what Engine.IO puts around it.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use fanfare::{Disconnect, Framing, Node, Outbound, Session};
use serde::Serialize;
use tracing::debug;

use super::codec::{pauses, write_connect_error, write_failure};
use super::engine_packet::EnginePacket;
use super::framing::reframe;
use super::packet::{MAIN, Packet, write_string};
use crate::health::Health;
use crate::websocket::Receiver;

/// What is answered here is answered while no more than this waits, in bytes: a client that asks
/// without reading is too slow.
const UNREAD: usize = 256 << 10;

/// One client's connection, whichever transport carries it.
#[derive(Debug)]
pub(super) struct Engine {
    session: Session,
    framing: Arc<dyn Framing>,
    health: Arc<Health>,
}

impl Engine {
    /// `framing` is that of the session.
    pub(super) fn new(session: Session, framing: Arc<dyn Framing>, health: Arc<Health>) -> Self {
        Self {
            session,
            framing,
            health,
        }
    }

    pub(super) fn node(&self) -> &Node {
        self.session.node()
    }

    /// Moves from polling to a WebSocket.
    pub(super) fn upgrade(&mut self, framing: Arc<dyn Framing>) {
        self.session
            .reframe(framing.clone(), |packets| reframe(packets, &*framing));
        self.framing = framing;
    }

    /// Queues a packet.
    pub(super) fn send(&self, packet: &[u8]) {
        self.session.outbound().send(self.frame(packet));
    }

    fn frame(&self, packet: &[u8]) -> Bytes {
        let mut frame = BytesMut::new();
        self.framing.frame(packet, &mut frame);
        frame.freeze()
    }

    /// Answers what a session knows nothing of; says whether that is all there is to do.
    fn answer(&self, packet: &Packet<'_>) -> Result<bool, Disconnect> {
        let mut answer = b"4".to_vec();
        match packet {
            Packet::Connect { namespace, .. } if *namespace != MAIN => {
                let error = r#"{"message":"Invalid namespace"}"#;
                let data = serde_json::from_str(error).expect("the text is JSON");
                Packet::ConnectError { namespace, data }.encode_to(&mut answer);
            }
            Packet::Event {
                namespace: MAIN,
                ack,
                name,
                ..
            } if name == "health" && self.session.identity().is_some() => {
                answer.extend_from_slice(&self.health(*ack));
            }
            _ => return Ok(false),
        }
        if self.outbound().queued() > UNREAD {
            return Err(Disconnect::SLOW);
        }
        self.send(&answer);
        Ok(true)
    }

    fn health(&self, ack: Option<u32>) -> Vec<u8> {
        let mut packet = match ack {
            Some(id) => format!("3{id}[").into_bytes(),
            None => {
                let mut packet = b"2[".to_vec();
                write_string(&mut packet, "health");
                packet.push(b',');
                packet
            }
        };
        write_json(&mut packet, &self.health.report(self.node()));
        packet.push(b']');
        packet
    }

    /// Tells the client why its packet ends the connection, where it can make something of that.
    fn explain(&self, packet: &Packet<'_>, disconnect: &Disconnect) {
        let code = match disconnect {
            d if *d == Disconnect::INVALID_TOKEN => "AUTH_FAILED",
            d if *d == Disconnect::CONNECTION_LIMIT => "CONNECTION_LIMIT",
            d if *d == Disconnect::PERMISSION_DENIED => "FORBIDDEN",
            d if *d == Disconnect::CHANNEL_LIMIT => "INVALID_REQUEST",
            _ => return,
        };
        let mut answer = Vec::new();
        match packet {
            Packet::Connect { .. } => {
                let reconnect = self.node().config().reconnect;
                let may_pass = *disconnect == Disconnect::CONNECTION_LIMIT;
                let details = may_pass.then(|| pauses(None, Some(reconnect)));
                write_connect_error(&mut answer, code, disconnect.reason(), details);
            }
            Packet::Event { ack, .. } => {
                write_failure(&mut answer, *ack, code, disconnect.reason());
            }
            _ => return,
        }
        self.send(&answer);
    }
}

impl Receiver for Engine {
    fn outbound(&self) -> Outbound {
        self.session.outbound()
    }

    /// Takes one packet of Engine.IO.
    async fn receive(&mut self, message: &[u8]) -> Result<(), Disconnect> {
        let packet = match EnginePacket::decode_bytes(message) {
            Ok(EnginePacket::Message(data)) => Packet::decode(data).map_err(|error| {
                debug!(%error, "no packet of Socket.IO");
                Disconnect::BAD_REQUEST
            })?,
            // The codec says what is to be done about all others.
            _ => return self.session.receive(message).await,
        };
        if self.answer(&packet)? {
            return Ok(());
        }
        let received = Box::pin(self.session.receive(message)).await;
        if let Err(disconnect) = &received {
            self.explain(&packet, disconnect);
        }
        received
    }
}

fn write_json(out: &mut Vec<u8>, value: &impl Serialize) {
    serde_json::to_writer(out, value).expect("our answers are plain structs, maps and strings");
}
