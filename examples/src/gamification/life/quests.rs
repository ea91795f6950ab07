//! Quests: offered, begun, done, and after a while begun anew.

use rand::Rng;
use rand::rngs::StdRng;
use serde_json::{Value, json};

use super::inbox::Inbox;
use super::rewards::Rewards;
use super::tell;
use crate::demo::Scene;

pub(super) const QUESTS: [&str; 5] = [
    "Write your first review",
    "Invite three friends",
    "Finish the tutorial",
    "Answer ten questions",
    "Win a weekly duel",
];
const SEASONS: [&str; 4] = ["spring", "summer", "autumn", "winter"];
/// In percent, from which on it is worth a word.
const NEARLY: u64 = 80;

/// Those of one user.
#[derive(Debug)]
pub(super) struct Quests([Quest; QUESTS.len()]);

/// Where a user stands with a quest.
#[derive(Clone, Copy, Debug)]
enum Quest {
    /// Not to be had, for so many turns.
    Away(u64),
    Offered,
    /// Done to so many percent.
    Started(u64),
    /// It rests for so many turns.
    Done(u64),
}

impl Quests {
    /// Some are begun, as on any day.
    pub(super) fn under_way(random: &mut StdRng) -> Self {
        Self(std::array::from_fn(|at| match at {
            0 | 1 => Quest::Started(random.random_range(1..70)),
            2 | 3 => Quest::Offered,
            _ => Quest::Away(1),
        }))
    }

    /// One quest goes on; `user` is whose.
    pub(super) fn turn(
        &mut self,
        user: &str,
        rewards: &mut Rewards,
        inbox: &mut Inbox,
        scene: &mut Scene,
    ) {
        let at = scene.place(QUESTS.len());
        let name = QUESTS[at];
        let tell_of = |event, mut data: Value, scene: &mut Scene| {
            data["questId"] = format!("quest-{}", at + 1).into();
            data["userId"] = user.into();
            data["name"] = name.into();
            tell(event, data, scene);
        };
        let season = SEASONS[at % SEASONS.len()];
        self.0[at] = match self.0[at] {
            Quest::Away(0) => {
                tell_of(
                    "quest.created",
                    json!({"metadata": {"season": season}}),
                    scene,
                );
                Quest::Offered
            }
            Quest::Away(turns) => Quest::Away(turns - 1),
            Quest::Offered if scene.chance(50) => {
                let days = scene.number(1..8);
                let offer = json!({"metadata": {"season": season, "daysLeft": days}});
                tell_of("quest.updated", offer, scene);
                Quest::Offered
            }
            Quest::Offered => {
                tell_of("quest.started", json!({"progress": 0}), scene);
                Quest::Started(0)
            }
            Quest::Started(before) => match before + scene.number(8..27) {
                100.. => {
                    let end = json!({"progress": 100, "completedAt": scene.at(0)});
                    tell_of("quest.completed", end, scene);
                    rewards.create(user, name, inbox, scene);
                    Quest::Done(2)
                }
                progress => {
                    tell_of(
                        "quest.progress_updated",
                        json!({"progress": progress}),
                        scene,
                    );
                    if before < NEARLY && progress >= NEARLY && scene.chance(35) {
                        let message = format!("{progress} % of “{name}” are done");
                        inbox.create(user, "progress", "Almost there", &message, scene);
                    }
                    Quest::Started(progress)
                }
            },
            Quest::Done(0) if scene.chance(12) => {
                tell_of("quest.deleted", json!({}), scene);
                Quest::Away(1)
            }
            Quest::Done(0) => {
                tell_of("quest.started", json!({"progress": 0}), scene);
                Quest::Started(0)
            }
            Quest::Done(turns) => Quest::Done(turns - 1),
        };
    }
}
