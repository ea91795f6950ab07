//! Achievements: reached once, and to be reached again when they were made anew.

use rand::Rng;
use rand::rngs::StdRng;
use serde_json::{Value, json};

use super::tell;
use crate::demo::Scene;

const ACHIEVEMENTS: [&str; 6] = [
    "First steps",
    "Night owl",
    "Seven days in a row",
    "Helping hand",
    "Perfectionist",
    "Centurion",
];
/// For how many turns one that is reached stays so.
const REST: u64 = 7;

/// Those of one user.
#[derive(Debug)]
pub(super) struct Achievements([Achievement; ACHIEVEMENTS.len()]);

#[derive(Debug)]
struct Achievement {
    /// What it is worth.
    points: u64,
    stage: Stage,
}

#[derive(Clone, Copy, Debug)]
enum Stage {
    /// So many percent of the way are done.
    Open(u64),
    /// It stays so for this many turns.
    Reached(u64),
}

impl Achievements {
    /// Some are reached, as on any day.
    pub(super) fn under_way(random: &mut StdRng) -> Self {
        Self(std::array::from_fn(|at| Achievement {
            points: worth(at),
            stage: match at {
                0 | 3 => Stage::Reached(random.random_range(0..REST)),
                _ => Stage::Open(random.random_range(0..70)),
            },
        }))
    }

    /// One achievement comes nearer; `user` is whose.
    pub(super) fn turn(&mut self, user: &str, scene: &mut Scene) {
        let at = scene.place(ACHIEVEMENTS.len());
        let tell_of = |event, mut data: Value, scene: &mut Scene| {
            data["achievementId"] = format!("achievement-{}", at + 1).into();
            data["userId"] = user.into();
            data["name"] = ACHIEVEMENTS[at].into();
            tell(event, data, scene);
        };
        let Achievement { points, stage } = &mut self.0[at];
        *stage = match *stage {
            Stage::Open(progress) if scene.chance(6) => {
                *points += 10;
                tell_of("achievement.updated", json!({"points": *points}), scene);
                Stage::Open(progress)
            }
            Stage::Open(before) => match before + scene.number(8..27) {
                100.. => {
                    let end = json!({"points": *points, "completedAt": scene.at(0)});
                    tell_of("achievement.completed", end, scene);
                    Stage::Reached(REST)
                }
                progress => {
                    let step = json!({"progress": progress});
                    tell_of("achievement.progress_updated", step, scene);
                    Stage::Open(progress)
                }
            },
            Stage::Reached(0) => {
                *points = worth(at);
                tell_of("achievement.deleted", json!({}), scene);
                tell_of("achievement.created", json!({"points": *points}), scene);
                Stage::Open(0)
            }
            Stage::Reached(turns) => Stage::Reached(turns - 1),
        };
    }
}

fn worth(at: usize) -> u64 {
    50 * (at as u64 + 1)
}
