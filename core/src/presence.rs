//! Who is there: the members of a channel.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize, Serializer};
use tokio::time::Instant;
use uuid::Uuid;

use crate::config::seconds;

/// What a family of channels tells of its subscribers. About 150 bytes for each of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PresencePolicy {
    /// Joins and leaves are announced to the channel while it has at most this many subscribers;
    /// default 200, 0 announces none. Each announcement goes to every subscriber, so a channel that
    /// fills with n of them costs n² / 2 of them.
    pub announce_up_to: usize,
    /// How long a client that is gone still counts as present; default 10 s. A client of the same
    /// user that comes within this time takes its place, and nothing is announced.
    #[serde(with = "seconds")]
    pub grace: Duration,
}

impl Default for PresencePolicy {
    fn default() -> Self {
        Self {
            announce_up_to: 200,
            grace: Duration::from_secs(10),
        }
    }
}

/// One connection in a channel.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Member {
    /// The connection's id.
    pub client: String,
    /// Its user.
    #[serde(serialize_with = "text")]
    pub user: Arc<str>,
}

fn text<S: Serializer>(text: &Arc<str>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(text)
}

/// Members of one channel, those who left a moment ago included.
#[derive(Debug, Default)]
pub(crate) struct Members {
    present: HashMap<Uuid, Arc<str>>,
    departed: Vec<Departed>,
    users: HashMap<Arc<str>, usize>,
}

#[derive(Debug)]
struct Departed {
    client: Uuid,
    user: Arc<str>,
    until: Instant,
}

impl Members {
    /// Adds a client. Says whether it is new: none of the same user had just left.
    pub(crate) fn join(&mut self, client: Uuid, user: &Arc<str>) -> bool {
        if self.present.insert(client, user.clone()).is_some() {
            return false;
        }
        match self.departed.iter().position(|gone| gone.user == *user) {
            Some(at) => {
                self.departed.swap_remove(at);
                false
            }
            None => {
                *self.users.entry(user.clone()).or_default() += 1;
                true
            }
        }
    }

    /// Takes a client's leave, which shows at `until` unless the user comes back.
    pub(crate) fn leave(&mut self, client: Uuid, until: Instant) {
        if let Some(user) = self.present.remove(&client) {
            self.departed.push(Departed {
                client,
                user,
                until,
            });
        }
    }

    /// Those whose time to come back is over.
    pub(crate) fn expire(&mut self, now: Instant) -> Vec<Member> {
        let users = &mut self.users;
        let gone = self.departed.extract_if(.., |gone| gone.until <= now);
        gone.map(|gone| {
            if let Some(count) = users.get_mut(&gone.user) {
                *count -= 1;
                if *count == 0 {
                    users.remove(&gone.user);
                }
            }
            member(gone.client, &gone.user)
        })
        .collect()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.present.is_empty() && self.departed.is_empty()
    }

    /// Everyone, in no order.
    pub(crate) fn list(&self) -> Vec<Member> {
        let present = self.present.iter();
        let present = present.map(|(client, user)| member(*client, user));
        let departed = self.departed.iter();
        let departed = departed.map(|gone| member(gone.client, &gone.user));
        present.chain(departed).collect()
    }

    /// How many clients and users there are.
    pub(crate) fn count(&self) -> (usize, usize) {
        (self.present.len() + self.departed.len(), self.users.len())
    }
}

pub(crate) fn member(client: Uuid, user: &Arc<str>) -> Member {
    Member {
        client: client.to_string(),
        user: user.clone(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Copy, Debug)]
    enum Step {
        Join { client: u8 },
        Leave { client: u8 },
        Wait { seconds: u64 },
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            (0u8..12).prop_map(|client| Step::Join { client }),
            (0u8..12).prop_map(|client| Step::Leave { client }),
            (0u64..8).prop_map(|seconds| Step::Wait { seconds }),
        ];
        prop::collection::vec(step, 0..200)
    }

    fn id(client: u8) -> Uuid {
        Uuid::from_u128(u128::from(client))
    }

    /// Four users with three clients each.
    fn user(client: u8) -> Arc<str> {
        (client % 4).to_string().into()
    }

    proptest! {
        /// Whoever is announced has come, and is gone once as often as announced; in between the
        /// lists agree with that.
        #[test]
        fn announcements_add_up_to_who_is_there(steps in steps()) {
            let grace = Duration::from_secs(5);
            let mut now = Instant::now();
            let mut members = Members::default();
            let mut connected = std::collections::HashSet::new();
            let mut announced: HashMap<Arc<str>, i64> = HashMap::new();
            for step in steps {
                match step {
                    Step::Join { client } => {
                        if members.join(id(client), &user(client)) {
                            *announced.entry(user(client)).or_default() += 1;
                        }
                        connected.insert(client);
                    }
                    Step::Leave { client } => {
                        members.leave(id(client), now + grace);
                        connected.remove(&client);
                    }
                    Step::Wait { seconds } => {
                        now += Duration::from_secs(seconds);
                        for gone in members.expire(now) {
                            *announced.entry(gone.user).or_default() -= 1;
                        }
                    }
                }
                let listed = members.list();
                for client in &connected {
                    let here = member(id(*client), &user(*client));
                    prop_assert!(listed.contains(&here));
                }
                for (user, count) in &announced {
                    let of_user = listed.iter().filter(|m| m.user == *user).count();
                    prop_assert_eq!(i64::try_from(of_user).unwrap(), *count);
                }
                let users = announced.values().filter(|count| **count > 0).count();
                prop_assert_eq!(members.count(), (listed.len(), users));
            }
            now += grace;
            members.expire(now);
            prop_assert_eq!(members.count().0, connected.len());
        }
    }
}
