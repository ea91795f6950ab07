//! Socket.IO, version 5, over Engine.IO, version 4: WebSocket, HTTP long-polling, and the upgrade from
//! one to the other.
//!
//! A session is the same on both. While it polls, a task owns it and answers one request after the
//! other; on the WebSocket it is served like any other.

mod codec;
mod endpoint;
mod engine;
pub mod engine_packet;
mod framing;
pub mod packet;
mod payload;
mod polling;
mod refusal;
mod sessions;
mod websocket;

pub use self::codec::{Arguments, SocketIo};
pub(crate) use self::endpoint::SocketIoService;
pub use self::framing::PollingFraming;
