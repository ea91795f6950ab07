//! Checks of a transport, end to end: a node, a server, and clients that read, stall, and are cut.
//!
//! The author writes a client of the transport, usually around the socket that its real clients
//! use, by implementing [`Client`]; [`check_all`] does the rest. Here for a transport that hands
//! batches to a task of the same process:
//!
//! ```
//! use std::sync::Arc;
//!
//! use bytes::{Buf, Bytes, BytesMut};
//! use fanfare::codec::{Connect, Messages, Notice, Reply, Request};
//! use fanfare::testing::transport::{
//!     Capabilities, Client, Connecting, End, Plan, Received, check_all,
//! };
//! use fanfare::*;
//! use tokio::sync::mpsc;
//!
//! /// The dialect: payloads, a line each.
//! #[derive(Debug)]
//! struct Lines;
//!
//! impl Codec for Lines {
//!     fn name(&self) -> &'static str {
//!         "lines"
//!     }
//!     fn publications(&self, _: &Channel, publications: &[Arc<Publication>], out: &mut Messages<'_>) {
//!         for publication in publications {
//!             out.current().extend_from_slice(publication.event().payload());
//!             out.current().push(b'\n');
//!         }
//!     }
//!     fn reply(&self, _: u32, _: Result<&Reply, &Error>, _: &mut Messages<'_>) {}
//!     fn notice(&self, _: &Notice, _: &mut Messages<'_>) {}
//!     fn ping(&self, _: &mut Messages<'_>) {}
//!     fn decode(&self, _: &[u8]) -> Result<Vec<Request>, Disconnect> {
//!         Ok(Vec::new())
//!     }
//! }
//!
//! impl Framing for Lines {
//!     fn name(&self) -> &'static str {
//!         "lines"
//!     }
//!     fn frame(&self, message: &[u8], out: &mut BytesMut) {
//!         out.extend_from_slice(message);
//!     }
//! }
//!
//! /// The transport: a bounded queue of batches.
//! struct Queue(mpsc::Sender<Bytes>);
//!
//! impl Transport for Queue {
//!     async fn serve(self, session: Session) -> Disconnect {
//!         let (outbound, mut batch) = (session.outbound(), Batch::default());
//!         loop {
//!             tokio::select! {
//!                 next = outbound.next_batch(&mut batch) => if let Err(disconnect) = next {
//!                     return disconnect;
//!                 },
//!                 () = self.0.closed() => return Disconnect::CONNECTION_CLOSED,
//!             }
//!             let bytes = batch.copy_to_bytes(batch.remaining());
//!             tokio::select! {
//!                 sent = self.0.send(bytes) => if sent.is_err() {
//!                     return Disconnect::CONNECTION_CLOSED;
//!                 },
//!                 disconnect = outbound.closing() => if outbound.is_cut() {
//!                     return disconnect;
//!                 },
//!             }
//!         }
//!     }
//! }
//!
//! /// The client, with what it has not returned yet.
//! struct Reader(mpsc::Receiver<Bytes>, Bytes);
//!
//! impl Client for Reader {
//!     type Server = Node;
//!     type Resume = ();
//!
//!     fn capabilities() -> Capabilities {
//!         Capabilities { resume: false, ..Capabilities::default() }
//!     }
//!
//!     async fn serve(node: Node) -> Node {
//!         node
//!     }
//!
//!     async fn connect(node: &Node, connecting: Connecting<'_, ()>) -> Result<Self, End> {
//!         let opening = Opening {
//!             transport: "queue",
//!             codec: Arc::new(Lines),
//!             framing: Arc::new(Lines),
//!             handshake: Handshake { token: Some(connecting.token.into()), ..Handshake::default() },
//!             identity: None,
//!             channels: connecting.channels.to_vec(),
//!             own_channel: false,
//!             session: None,
//!         };
//!         let mut session = node.open(opening).map_err(|_| End::Told)?;
//!         session.connect(Connect::default()).await.map_err(|_| End::Told)?;
//!         let (sender, receiver) = mpsc::channel(4);
//!         tokio::spawn(Queue(sender).serve(session));
//!         Ok(Self(receiver, Bytes::new()))
//!     }
//!
//!     async fn next(&mut self) -> Result<Received, End> {
//!         while self.1.is_empty() {
//!             self.1 = self.0.recv().await.ok_or(End::Told)?;
//!         }
//!         let end = self.1.iter().position(|byte| *byte == b'\n').unwrap();
//!         let payload = self.1.split_to(end);
//!         self.1.advance(1);
//!         Ok(Received { channel: None, payload })
//!     }
//!
//!     fn resume(&self) -> Option<()> {
//!         None
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! # let brief = Plan { events: 200, ..Plan::default() };
//! let report = check_all::<Reader>(&brief).await;
//! assert_eq!(report.left_out.len(), 1, "{report}");
//! # }
//! ```

mod cuts;
mod deadlines;
mod delivery;
mod drain;
mod ephemeral;
mod ledger;
mod proving;
mod stalls;

use std::fmt;
use std::time::Duration;

use bytes::Bytes;

pub use self::cuts::{check_leaving, check_resuming};
pub use self::deadlines::{check_deadlines, check_flushes};
pub use self::delivery::check_delivery;
pub use self::drain::check_drain;
pub use self::ephemeral::check_ephemeral;
pub use self::stalls::check_stalls;
use crate::channel::Channel;
use crate::node::Node;

/// A client of the transport under test.
///
/// Dropping it cuts its connection without a goodbye, in the middle of whatever it does. It reads
/// its socket within [`next`](Self::next) only: one that reads ahead cannot stall. Sockets with small
/// receive buffers make the checks shorter.
pub trait Client: Sized + Send + 'static {
    /// What serves a node: an address, with what ends the serving when it is dropped.
    type Server: Send + Sync + 'static;
    /// What a client brings to resume: a cursor, or its positions.
    type Resume: Clone + fmt::Debug + Send + Sync + 'static;

    /// What the transport can do; everything by default. What it cannot is left out, and the
    /// [`Report`] says so.
    #[must_use]
    fn capabilities() -> Capabilities {
        Capabilities::default()
    }

    /// Serves a node, which recognizes clients by the token that they bring: it is their user id.
    /// Every user may subscribe to every channel.
    fn serve(node: Node) -> impl Future<Output = Self::Server> + Send;

    /// Connects. When this returns, the client is subscribed: it gets every event that is published
    /// from now on, and with a resume, those after it.
    ///
    /// # Errors
    /// How the connection was refused or lost.
    fn connect(
        server: &Self::Server,
        connecting: Connecting<'_, Self::Resume>,
    ) -> impl Future<Output = Result<Self, End>> + Send;

    /// The next event. Where the check drops the future, it asks the client for nothing more but
    /// from where to resume.
    ///
    /// # Errors
    /// How the connection ended.
    fn next(&mut self) -> impl Future<Output = Result<Received, End>> + Send;

    /// What brings exactly the events that `next` has not returned; none while there is no such
    /// thing, for instance in the middle of an answer to a poll. There is one after `connect`.
    fn resume(&self) -> Option<Self::Resume>;
}

/// Who connects, to what, and from where on.
#[derive(Debug)]
pub struct Connecting<'a, R> {
    /// The token to bring: the user's id.
    pub token: &'a str,
    /// The channels to subscribe to.
    pub channels: &'a [Channel],
    /// From where to resume; from now on without.
    pub resume: Option<&'a R>,
}

/// An event as it came.
#[derive(Clone, Debug)]
pub struct Received {
    /// Its channel, where the wire says so.
    pub channel: Option<String>,
    /// Its payload.
    pub payload: Bytes,
}

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The server said goodbye, or refused, in the transport's own way: a close frame, a whole
    /// answer that ended, a status.
    Told,
    /// Without a word.
    Lost,
}

/// What a transport can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// A client that comes back gets what it missed.
    pub resume: bool,
    /// Ephemeral events are delivered. Where not, none must arrive.
    pub ephemeral: bool,
    /// Connections stay open while events come, so that a client can stall, and that what waits
    /// reaches it when the node goes down. Not so for polls, which get an answer and are gone.
    pub stream: bool,
    /// A client is told when the node goes down.
    pub goodbye: bool,
}

impl Default for Capabilities {
    fn default() -> Self {
        Self {
            resume: true,
            ephemeral: true,
            stream: true,
            goodbye: true,
        }
    }
}

/// The numbers of the checks. The defaults take up to 20 s.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What the random choices follow from; another one each time by default. A failure names it.
    pub seed: u64,
    /// Channels that a client subscribes to; default 3.
    pub channels: u32,
    /// Events in a stream of them; default 900.
    pub events: u64,
    /// Between two events while clients are cut; default 4 ms.
    pub pause: Duration,
    /// The longest that medium events wait where deadlines are checked; default 500 ms.
    pub linger: Duration,
    /// What scheduling and the network may add to a deadline; default 1 s.
    pub slack: Duration,
    /// Bytes that are published while a client does not read, at most; default 24 MiB. More than
    /// sockets and proxies hold between node and client.
    pub stall: usize,
    /// How long anything may take that must happen; default 15 s.
    pub patience: Duration,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            seed: rand::random(),
            channels: 3,
            events: 900,
            pause: Duration::from_millis(4),
            linger: Duration::from_millis(500),
            slack: Duration::from_secs(1),
            stall: 24 << 20,
            patience: Duration::from_secs(15),
        }
    }
}

/// What was checked, and what was left out because the transport cannot do it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct Report {
    /// The concerns that hold.
    pub checked: Vec<&'static str>,
    /// The concerns that were left out, each with what the transport cannot do.
    pub left_out: Vec<(&'static str, &'static str)>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "checked: {}", self.checked.join(", "))?;
        for (concern, why) in &self.left_out {
            write!(f, "; left out: {concern} ({why})")?;
        }
        Ok(())
    }
}

/// Runs all checks that the transport's capabilities allow, each on a node of its own.
///
/// # Panics
/// With the promise that the transport breaks.
pub async fn check_all<C: Client>(plan: &Plan) -> Report {
    let can = C::capabilities();
    let mut report = Report::default();
    Box::pin(check_delivery::<C>(plan)).await;
    report.checked.push("delivery");
    Box::pin(check_flushes::<C>(plan)).await;
    report.checked.push("flushes");
    Box::pin(check_deadlines::<C>(plan)).await;
    report.checked.push("deadlines");
    Box::pin(check_ephemeral::<C>(plan)).await;
    report.checked.push("ephemeral");
    Box::pin(check_leaving::<C>(plan)).await;
    report.checked.push("leaving");
    Box::pin(check_drain::<C>(plan)).await;
    report.checked.push("drain");
    if can.resume {
        Box::pin(check_resuming::<C>(plan)).await;
        report.checked.push("resuming");
    } else {
        report.left_out.push(("resuming", "clients do not resume"));
    }
    if can.stream {
        Box::pin(check_stalls::<C>(plan)).await;
        report.checked.push("stalls");
    } else {
        let why = "connections do not stay open while events come";
        report.left_out.push(("stalls", why));
    }
    report
}
