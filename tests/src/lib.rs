//! The harness of the end-to-end suites: real server processes, real sockets, and clients that keep
//! a record of what arrives.
//!
//! A suite starts a [`Server`] for each test, mints a [`Token`], opens a [`Client`], an
//! [`EventStream`] or a [`Poller`], and posts envelopes from [`mechamap`]. Breaches of the WebSocket
//! protocol are made with a [`RawSocket`]; networks that fail with a [`Proxy`]. Whatever keeps a
//! test from going on ends it with a panic that says why; every wait has a deadline.
//!
//! Servers are built by cargo when the first of them is needed. `FANFARE_TEST_BINARIES` names a
//! folder of finished ones to be tested in their place.

pub mod client;
pub mod engine;
pub mod follower;
pub mod http;
pub mod http2;
pub mod mechamap;
pub mod poll;
pub mod proxy;
pub mod raw;
pub mod request;
pub mod server;
pub mod socket_io;
pub mod sse;
pub mod tls;
pub mod token;
pub mod wait;

pub use self::client::{Client, Position, Push, Refused};
pub use self::engine::{Carrier, Engine};
pub use self::follower::{Follower, Transport};
pub use self::http::{Answer, Http};
pub use self::http2::Http2;
pub use self::poll::{Polled, Poller};
pub use self::proxy::Proxy;
pub use self::raw::RawSocket;
pub use self::request::{Request, Response};
pub use self::server::{Launch, Server};
pub use self::sse::{Block, EventStream};
pub use self::tls::Certificate;
pub use self::token::Token;
pub use self::wait::{IN_TIME, SOON, until};
