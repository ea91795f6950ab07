//! What athletes aim at: ever nearer, until achieved, and then at something else.

use serde_json::json;

use super::{ATHLETES, Scene};

/// How many each has.
const GOALS: usize = 3;

#[derive(Debug)]
pub(super) struct Goals {
    /// Of each athlete.
    goals: [[Goal; GOALS]; ATHLETES.len()],
    /// How many there ever were.
    count: u64,
}

#[derive(Clone, Copy, Debug)]
struct Goal {
    number: u64,
    /// In percent.
    progress: u64,
}

impl Default for Goals {
    fn default() -> Self {
        let goal = |at: usize| Goal {
            number: at as u64 + 1,
            progress: 7 * at as u64,
        };
        Self {
            goals: std::array::from_fn(|athlete| {
                std::array::from_fn(|at| goal(GOALS * athlete + at))
            }),
            count: (GOALS * ATHLETES.len()) as u64,
        }
    }
}

impl Goals {
    /// An athlete comes closer to a goal.
    pub(super) fn turn(&mut self, scene: &mut Scene<'_>) {
        let athlete = scene.place(ATHLETES.len());
        let at = scene.place(GOALS);
        let goal = &mut self.goals[athlete][at];
        goal.progress = (goal.progress + 3 + scene.part(12)).min(100);
        let Goal { number, progress } = *goal;
        if progress == 100 {
            self.count += 1;
            *goal = Goal {
                number: self.count,
                progress: 0,
            };
        }
        let data = json!({
            "athleteId": ATHLETES[athlete],
            "goalId": format!("0192f6d2-5e6f-7a7b-8c8d-{:04x}{number:08x}", athlete + 1),
            "timestamp": scene.time(0),
            "type": if progress == 100 { "achieved" } else { "progress" },
            "progress": progress,
        });
        scene.tell("goal:update", data);
    }
}
