//! The other nodes, and what they have.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use uuid::Uuid;

use super::message::{Change, Changes, Message, Whole};
use super::questions::Info;
use crate::channel::Channel;
use crate::hub::Hub;
use crate::sync::Mutex;

#[derive(Debug, Default)]
pub(super) struct Peers {
    peers: Mutex<HashMap<Arc<str>, Peer>>,
}

#[derive(Debug)]
struct Peer {
    heard: Instant,
    /// The last changes that were taken in; none until its whole has come.
    number: Option<u64>,
    members: HashSet<(Channel, Uuid)>,
    connections: HashMap<Uuid, String>,
    /// A whole that has not come to its end.
    coming: Vec<Whole>,
    asked: Option<Instant>,
}

/// What hearing a message says of its node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// It was not known.
    New,
    /// Something of it was missed.
    Missed,
    /// All is known.
    All,
}

/// Between two requests for the whole of a node.
const AGAIN: Duration = Duration::from_millis(500);

impl Peers {
    pub(super) fn len(&self) -> usize {
        self.peers.lock().len()
    }

    pub(super) fn names(&self) -> Vec<Arc<str>> {
        self.peers.lock().keys().cloned().collect()
    }

    /// Takes in a message of a node.
    pub(super) fn hear(&self, from: &Arc<str>, message: &Message, hub: &Hub) -> Heard {
        let now = Instant::now();
        let mut peers = self.peers.lock();
        if let Message::Bye = message {
            if let Some(peer) = peers.remove(from) {
                peer.forget(hub);
            }
            return Heard::All;
        }
        let new = !peers.contains_key(from);
        let peer = peers.entry(from.clone()).or_insert_with(|| Peer {
            heard: now,
            number: None,
            members: HashSet::new(),
            connections: HashMap::new(),
            coming: Vec::new(),
            asked: None,
        });
        peer.heard = now;
        match message {
            Message::Alive { number } if peer.number != Some(*number) => {}
            Message::Changes(changes) if peer.follows(changes) => {
                peer.number = Some(changes.number);
                for change in &changes.changes {
                    peer.apply(change, hub);
                }
                return Heard::All;
            }
            // It was part of a whole that came before it.
            Message::Changes(changes) if peer.number >= Some(changes.number) => return Heard::All,
            Message::Changes(_) => {}
            Message::Whole(part) => {
                peer.take_in(part, hub);
                return Heard::All;
            }
            _ => return if new { Heard::New } else { Heard::All },
        }
        if new {
            peer.asked = Some(now);
            return Heard::New;
        }
        if peer.asked.is_some_and(|asked| now - asked < AGAIN) {
            return Heard::All;
        }
        peer.asked = Some(now);
        Heard::Missed
    }

    /// Puts right which connections a user has on other nodes, after all were asked.
    pub(super) fn correct(&self, user: &str, known: &HashMap<Arc<str>, Vec<Info>>, hub: &Hub) {
        let mut peers = self.peers.lock();
        for (name, peer) in peers.iter_mut() {
            let infos = known.get(name);
            let is_there = |client: &Uuid| {
                let client = client.to_string();
                infos.is_some_and(|infos| infos.iter().any(|info| info.client == client))
            };
            peer.connections.retain(|client, of| {
                let stays = of != user || is_there(client);
                if !stays {
                    hub.directory.remove_elsewhere(user, *client);
                }
                stays
            });
        }
    }

    /// Forgets nodes that have been silent for long, and says which.
    pub(super) fn expire(&self, silence: Duration, hub: &Hub) -> Vec<Arc<str>> {
        let now = Instant::now();
        let mut peers = self.peers.lock();
        let gone = peers.extract_if(|_, peer| now - peer.heard > silence);
        gone.map(|(name, peer)| {
            peer.forget(hub);
            name
        })
        .collect()
    }

    /// After a time in which nobody could be heard.
    pub(super) fn all_are_alive(&self) {
        let now = Instant::now();
        for peer in self.peers.lock().values_mut() {
            peer.heard = now;
        }
    }
}

impl Peer {
    fn follows(&self, changes: &Changes) -> bool {
        self.number
            .is_some_and(|number| number + 1 == changes.number)
    }

    fn apply(&mut self, change: &Change, hub: &Hub) {
        match change {
            Change::Joined {
                channel,
                client,
                user,
            } => {
                if self.members.insert((channel.clone(), *client)) {
                    hub.joined_elsewhere(channel, *client, user);
                }
            }
            Change::Left { channel, client } => {
                if self.members.remove(&(channel.clone(), *client)) {
                    hub.left_elsewhere(channel, *client);
                }
            }
            Change::Connected { user, client, at } => {
                if self.connections.insert(*client, user.clone()).is_none() {
                    hub.connected_elsewhere(user, *client, *at);
                }
            }
            Change::Disconnected { user, client } => {
                if self.connections.remove(client).is_some() {
                    hub.directory.remove_elsewhere(user, *client);
                }
            }
        }
    }

    /// Takes in a part of a whole; with the last one, what it leaves out is gone.
    fn take_in(&mut self, part: &Whole, hub: &Hub) {
        if part.part == 0 {
            self.coming.clear();
        }
        let expected = self.coming.len();
        let same = self
            .coming
            .first()
            .is_none_or(|first| first.number == part.number);
        if part.part != expected || !same {
            self.coming.clear();
            return;
        }
        self.coming.push(Whole {
            members: part.members.clone(),
            connections: part.connections.clone(),
            ..*part
        });
        if !part.last {
            return;
        }
        let whole = std::mem::take(&mut self.coming);
        let mut left = std::mem::take(&mut self.members);
        let mut disconnected = std::mem::take(&mut self.connections);
        for (channel, client, user) in whole.iter().flat_map(|part| &part.members) {
            let member = (channel.clone(), *client);
            if !left.remove(&member) {
                hub.joined_elsewhere(channel, *client, user);
            }
            self.members.insert(member);
        }
        for (user, client, at) in whole.iter().flat_map(|part| &part.connections) {
            if disconnected.remove(client).is_none() {
                hub.connected_elsewhere(user, *client, *at);
            }
            self.connections.insert(*client, user.clone());
        }
        for (channel, client) in left {
            hub.left_elsewhere(&channel, client);
        }
        for (client, user) in disconnected {
            hub.directory.remove_elsewhere(&user, client);
        }
        self.number = Some(part.number);
    }

    fn forget(self, hub: &Hub) {
        for (channel, client) in self.members {
            hub.left_elsewhere(&channel, client);
        }
        for (client, user) in self.connections {
            hub.directory.remove_elsewhere(&user, client);
        }
    }
}
