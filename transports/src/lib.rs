//! # Transports of fanfare
//!
//! [`Service`] is the node's HTTP face: a [`tower_service::Service`] that drops into axum, plain
//! hyper, or any tower stack, and carries the WebSocket, the server API and the probes. [`Server`]
//! runs it on a TCP listener where there is no server to embed it in: HTTP/1.1 and HTTP/2, in clear
//! text or over [`Tls`].
//!
//! The transports themselves ([`websocket::WebSocket`]) serve any stream, for servers that do their
//! own handshakes.

#![deny(missing_docs)]

mod body;
mod compression;
mod cors;
mod cut;
pub mod edn;
mod emulation;
mod events;
mod health;
mod long_poll;
mod notation;
mod origin;
mod plain;
mod publish;
mod refusal;
mod request;
mod server;
mod server_api;
mod service;
pub mod socket_io;
mod sse;
mod subscriber;
mod tls;
pub mod websocket;
mod weighted;

pub use crate::body::{Body, BodyError};
pub use crate::server::Server;
pub use crate::service::{Service, ServiceBuilder};
pub use crate::tls::{Tls, TlsError, TlsErrorKind};
