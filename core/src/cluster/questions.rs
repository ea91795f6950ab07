//! What nodes ask each other.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use uuid::Uuid;

use super::message::CHUNK;
use crate::channel::Channel;
use crate::disconnect::Disconnect;
use crate::hub::Hub;
use crate::sync::Mutex;

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Question {
    /// Which connections does a user have?
    Connections { user: String },
    /// End a user's connections; how many were there?
    Disconnect {
        user: String,
        code: u16,
        reason: String,
    },
    /// Which channels are listened to, and by how many?
    Channels,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Answer {
    Connections(Vec<Info>),
    Disconnected(usize),
    Channels(Vec<(Channel, usize)>),
}

/// A connection.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Info {
    pub(crate) client: String,
    pub(crate) transport: String,
    /// Milliseconds of Unix time.
    pub(crate) connected_at: u64,
    pub(crate) channels: Vec<Channel>,
}

impl Answer {
    pub(crate) fn into_connections(self) -> Option<Vec<Info>> {
        match self {
            Self::Connections(infos) => Some(infos),
            Self::Disconnected(_) | Self::Channels(_) => None,
        }
    }
}

/// Answers for this node, in parts; with each, whether it is the last.
pub(super) fn answer(hub: &Hub, question: Question) -> Vec<(Answer, bool)> {
    match question {
        Question::Connections { user } => {
            let connections = hub.directory.of_user(&user);
            let infos = connections.iter().map(|connection| connection.told());
            vec![(Answer::Connections(infos.collect()), true)]
        }
        Question::Disconnect { user, code, reason } => {
            let disconnect = Disconnect::of_node(code, reason);
            let ended = super::disconnect_here(hub, &user, &disconnect);
            vec![(Answer::Disconnected(ended), true)]
        }
        Question::Channels => {
            let mut channels = hub.channels();
            channels.retain(|(_, subscribers)| *subscribers > 0);
            let parts = channels.chunks(CHUNK).map(<[_]>::to_vec);
            let mut parts = parts.map(Answer::Channels).collect::<Vec<_>>();
            if parts.is_empty() {
                parts.push(Answer::Channels(Vec::new()));
            }
            let last = parts.len() - 1;
            let parts = parts.into_iter().enumerate();
            parts.map(|(at, part)| (part, at == last)).collect()
        }
    }
}

/// Questions that wait for answers.
#[derive(Debug, Default)]
pub(super) struct Asked {
    open: Arc<Mutex<HashMap<Uuid, Open>>>,
}

#[derive(Debug)]
struct Open {
    waiting_for: HashSet<Arc<str>>,
    answers: HashMap<Arc<str>, Vec<Answer>>,
    complete: Arc<Notify>,
}

/// A question until its end.
pub(super) struct Asking {
    id: Uuid,
    open: Arc<Mutex<HashMap<Uuid, Open>>>,
    complete: Arc<Notify>,
}

impl Asked {
    pub(super) fn begin(&self, expected: Vec<Arc<str>>) -> Asking {
        let id = Uuid::new_v4();
        let complete = Arc::<Notify>::default();
        let open = Open {
            waiting_for: expected.into_iter().collect(),
            answers: HashMap::new(),
            complete: complete.clone(),
        };
        self.open.lock().insert(id, open);
        Asking {
            id,
            open: self.open.clone(),
            complete,
        }
    }

    pub(super) fn take_in(&self, id: Uuid, from: &Arc<str>, answer: Answer, last: bool) {
        let mut open = self.open.lock();
        let Some(open) = open.get_mut(&id) else {
            return;
        };
        open.answers.entry(from.clone()).or_default().push(answer);
        if last && open.waiting_for.remove(from) && open.waiting_for.is_empty() {
            open.complete.notify_one();
        }
    }
}

impl Asking {
    pub(super) fn id(&self) -> Uuid {
        self.id
    }

    /// Resolves when all have answered.
    pub(super) async fn complete(&self) {
        self.complete.notified().await;
    }

    pub(super) fn answers(&self) -> Vec<(Arc<str>, Vec<Answer>)> {
        let mut open = self.open.lock();
        let answers = open
            .get_mut(&self.id)
            .map(|open| std::mem::take(&mut open.answers));
        answers.unwrap_or_default().into_iter().collect()
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        self.open.lock().remove(&self.id);
    }
}
