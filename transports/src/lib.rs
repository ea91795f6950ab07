//! # Transports of fanfare
//!
//! [`Service`] is the node's HTTP face: a [`tower_service::Service`] that drops into axum, plain
//! hyper, or any tower stack, and carries the WebSocket, the server API and the probes. [`Server`]
//! runs it on a TCP listener where there is no server to embed it in.
//!
//! The transports themselves ([`websocket::WebSocket`]) serve any stream, for servers that do their
//! own handshakes.

#![deny(missing_docs)]

mod body;
mod health;
mod origin;
mod publish;
mod refusal;
mod request;
mod server;
mod service;
pub mod socket_io;
pub mod websocket;

pub use crate::body::Body;
pub use crate::server::Server;
pub use crate::service::{Service, ServiceBuilder};
