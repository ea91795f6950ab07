//! The sessions that poll, by their ids.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use dashmap::DashMap;
use tokio::sync::mpsc;

use super::polling::Request;

/// The id of a connection of Engine.IO: 128 random bits in hexadecimal digits. Whoever knows it can
/// speak for the client.
pub(super) type Sid = Arc<str>;

pub(super) fn random_sid() -> Sid {
    format!("{:032x}", rand::random::<u128>()).into()
}

/// As many as the node has sessions of clients that poll, and no more: each is one.
#[derive(Debug, Default)]
pub(super) struct Sessions(DashMap<Sid, Arc<Handle>>);

/// What requests know of a session: the way to its task.
#[derive(Debug)]
pub(super) struct Handle {
    requests: mpsc::Sender<Request>,
    /// Whether a body is being read.
    posting: AtomicBool,
    /// Whether a WebSocket is being probed.
    probing: AtomicBool,
}

/// A session's place among those that poll.
#[derive(Debug)]
pub(super) struct Registration {
    sessions: Arc<Sessions>,
    sid: Sid,
}

/// One request of those of which there can be one at a time.
#[derive(Debug)]
pub(super) struct Turn<'a>(&'a AtomicBool);

impl Sessions {
    /// Makes a session known for as long as the registration lives.
    pub(super) fn insert(
        self: &Arc<Self>,
        sid: Sid,
        requests: mpsc::Sender<Request>,
    ) -> Registration {
        let handle = Handle {
            requests,
            posting: AtomicBool::new(false),
            probing: AtomicBool::new(false),
        };
        self.0.insert(sid.clone(), Arc::new(handle));
        Registration {
            sessions: self.clone(),
            sid,
        }
    }

    pub(super) fn find(&self, sid: &str) -> Option<Arc<Handle>> {
        self.0.get(sid).map(|entry| entry.value().clone())
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.sessions.0.remove(&self.sid);
    }
}

impl Handle {
    /// Hands a request to the session's task; says whether it is still there.
    pub(super) async fn send(&self, request: Request) -> bool {
        self.requests.send(request).await.is_ok()
    }

    /// Resolves when the session has ended, or has left polling.
    pub(super) async fn gone(&self) {
        self.requests.closed().await;
    }

    /// None while another body is being read.
    pub(super) fn begin_post(&self) -> Option<Turn<'_>> {
        Turn::take(&self.posting)
    }

    /// None while another WebSocket is being probed.
    pub(super) fn begin_probe(&self) -> Option<Turn<'_>> {
        Turn::take(&self.probing)
    }
}

impl<'a> Turn<'a> {
    fn take(flag: &'a AtomicBool) -> Option<Self> {
        (!flag.swap(true, Ordering::AcqRel)).then_some(Self(flag))
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}
