//! What the gamification backend might publish: the same players for ever, in lifelike proportions.

mod achievements;
mod inbox;
mod quests;
mod rewards;
#[cfg(test)]
mod tests;

use rand::rngs::StdRng;
use serde_json::{Value, json};

use self::achievements::Achievements;
use self::inbox::Inbox;
use self::quests::Quests;
use self::rewards::Rewards;
use crate::demo::Scene;

/// User 1 is the one whose token the server prints; half of it is hers.
const USERS: usize = 6;
const SCREENS: &[&str] = &["leaderboard", "profile", "quests", "shop"];

/// Steps are many and arrivals few; what is offered changes once in a while.
pub(super) fn life(mut random: StdRng) -> impl Iterator<Item = Value> + Send + 'static {
    let players = (1..=USERS).map(|user| Player::new(user, &mut random));
    let mut players = players.collect::<Vec<_>>();
    Scene::play(random, move |scene| {
        players[scene.mostly_the_first(USERS)].turn(scene);
    })
}

/// What one user is at.
#[derive(Debug)]
struct Player {
    user: String,
    quests: Quests,
    achievements: Achievements,
    rewards: Rewards,
    inbox: Inbox,
    /// How often this user was seen to do something.
    views: u64,
}

impl Player {
    fn new(user: usize, random: &mut StdRng) -> Self {
        Self {
            user: user.to_string(),
            quests: Quests::under_way(random),
            achievements: Achievements::under_way(random),
            rewards: Rewards::default(),
            inbox: Inbox::default(),
            views: 0,
        }
    }

    fn turn(&mut self, scene: &mut Scene) {
        match scene.number(0..100) {
            0..42 => {
                let (rewards, inbox) = (&mut self.rewards, &mut self.inbox);
                self.quests.turn(&self.user, rewards, inbox, scene);
            }
            42..75 => self.achievements.turn(&self.user, scene),
            75..81 => self.rewards.turn(scene),
            81..88 => self.inbox.turn(scene),
            _ => self.view(scene),
        }
    }

    /// Opens a screen, and stays for some seconds.
    fn view(&mut self, scene: &mut Scene) {
        self.views += 1;
        let (screen, seconds) = (scene.pick(SCREENS), scene.number(2..90));
        let data = json!({
            "analyticsId": format!("analytics-{}-{}", self.user, self.views), "userId": self.user,
            "type": "view", "category": "engagement", "event": format!("{screen}_opened"), "value": seconds
        });
        tell("analytics.event_tracked", data, scene);
    }
}

/// Tells it as the platform's backend would.
fn tell(event: &str, data: Value, scene: &mut Scene) {
    let correlation = scene.number(1..100_000);
    let mut envelope = json!({
        "type": event,
        "metadata": {
            "correlationId": format!("correlation-{correlation}"), "source": "gamification-service"
        }
    });
    envelope["data"] = data;
    scene.tell(envelope);
}
