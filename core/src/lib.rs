//! # fanfare
//!
//! Real-time event fan-out to embed in a server: publish an event once, and every client that may
//! see it gets it, in order, over whichever transport it can use.
//!
//! ```text
//! publish -> limits -> Broker -> Ingress (numbers, keeps) -> Hub -> Outbox -> Transport -> socket
//! socket -> Transport -> Session: Codec -> limits -> Authorizer -> Hub, or publish
//! ```
//!
//! A [`Node`] is one server's share of the system. Transports (crate `fanfare-transports`) open a
//! [`Session`] on it for each connection; brokers (crate `fanfare-brokers`) connect it with others.
//!
//! ```
//! use fanfare::{Channel, Event, Node, Priority};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let node = Node::builder().start().await?;
//! let event = Event::new(Channel::new("thread.456")?, "forum.comment.created", r#"{"id":1}"#)?;
//! let published = node.publish(event.with_priority(Priority::High)).await?;
//! assert_eq!(published.position.map(|position| position.offset), Some(1));
//! # Ok(())
//! # }
//! ```

#![deny(missing_docs)]

pub mod auth;
pub mod broker;
mod builder;
pub mod catalog;
mod channel;
mod cluster;
pub mod codec;
pub mod config;
mod cursor;
mod disconnect;
mod dispatch;
mod error;
mod event;
mod framing;
pub mod history;
mod hub;
mod ingress;
mod limits;
pub mod metrics;
mod node;
pub mod notice;
mod position;
mod presence;
mod recovery;
mod retry;
mod session;
mod sink;
mod sync;
#[cfg(feature = "testing")]
pub mod testing;
mod transport;
mod visibility;
mod wire;

use std::pin::Pin;

pub use crate::auth::{Action, AuthError, Authenticator, Authorizer, Handshake, Identity};
pub use crate::broker::{Broker, BrokerError, BrokerErrorKind, Covered, Guarantees, Published};
pub use crate::builder::{NodeBuilder, StartError};
pub use crate::catalog::Catalog;
pub use crate::channel::{Channel, ChannelError, LANES, MAX_CHANNEL_BYTES};
pub use crate::codec::Codec;
pub use crate::config::{Config, ConfigError};
pub use crate::cursor::{Cursor, CursorError, Resume};
pub use crate::disconnect::Disconnect;
pub use crate::error::{Error, ErrorKind, Problem};
pub use crate::event::{
    Event, EventError, ForServices, Guarantee, Priority, Publication, Publisher, Stamp,
};
pub use crate::framing::Framing;
pub use crate::history::HistoryStore;
pub use crate::ingress::{Delivered, Ingress};
pub use crate::node::{ConnectionInfo, Node};
pub use crate::position::{Epoch, EpochError, Position};
pub use crate::presence::Member;
pub use crate::retry::{Backoff, Retry};
pub use crate::session::{Batch, DirectWrite, Opening, Outbound, Polled, Refusal, Session};
pub use crate::sink::{Record, Sink, SinkStatus};
pub use crate::transport::Transport;
pub use crate::visibility::RolesError;

/// A boxed future, for traits whose implementation is chosen at start-up.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;
