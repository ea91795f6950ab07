//! Rewards: each waits until it is claimed, or too long.

use std::collections::VecDeque;

use serde_json::{Value, json};

use super::inbox::Inbox;
use super::tell;
use crate::demo::Scene;

/// How many wait at most; then the oldest expires.
const WAITING: usize = 6;

/// Those of one user that wait.
#[derive(Debug, Default)]
pub(super) struct Rewards {
    /// As they were told of; the newest is the last.
    waiting: VecDeque<Value>,
    count: u64,
}

impl Rewards {
    /// For a quest, which gives the reward its name.
    pub(super) fn create(&mut self, user: &str, quest: &str, inbox: &mut Inbox, scene: &mut Scene) {
        if self.waiting.len() == WAITING {
            self.end("reward.expired", scene);
        }
        self.count += 1;
        let points = 10 * scene.number(1..11);
        let reward = json!({
            "rewardId": format!("reward-{user}-{}", self.count), "userId": user, "name": quest,
            "type": "points", "value": points
        });
        tell("reward.created", reward.clone(), scene);
        self.waiting.push_back(reward);
        if scene.chance(20) {
            let message = format!("{points} points for “{quest}”");
            inbox.create(user, "reward", "A reward waits for you", &message, scene);
        }
    }

    /// The user claims one, or comes too late.
    pub(super) fn turn(&mut self, scene: &mut Scene) {
        let event = if scene.chance(75) {
            "reward.claimed"
        } else {
            "reward.expired"
        };
        self.end(event, scene);
    }

    /// Whatever it comes to, the one that waited longest comes to it.
    fn end(&mut self, event: &str, scene: &mut Scene) {
        if let Some(reward) = self.waiting.pop_front() {
            tell(event, reward, scene);
        }
    }
}
