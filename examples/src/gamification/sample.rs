//! Events as the gamification backend might publish them, in lifelike proportions.

use jiff::Timestamp;
use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use serde_json::{Value, json};

const ACHIEVEMENTS: &[&str] = &[
    "First steps",
    "Night owl",
    "Seven days in a row",
    "Helping hand",
    "Perfectionist",
    "Centurion",
];
const QUESTS: &[&str] = &[
    "Write your first review",
    "Invite three friends",
    "Finish the tutorial",
    "Answer ten questions",
    "Win a weekly duel",
];
const SCREENS: &[&str] = &["leaderboard", "profile", "quests", "shop"];

/// User 1 is the one whose token the server prints; half of it is hers.
const USERS: u64 = 6;

/// One envelope. Steps are many and arrivals few; what is offered changes once in a while.
pub(super) fn envelope(random: &mut StdRng) -> Value {
    let now = format!("{:.3}", Timestamp::now());
    let user = match random.random_range(1..=USERS + 4) {
        user if user > USERS => 1,
        user => user,
    };
    let number = random.random_range(1..=99_999u32);
    let achievement = random.random_range(0..ACHIEVEMENTS.len());
    let quest = random.random_range(0..QUESTS.len());
    // Onwards by the clock, a little differently for each user and quest.
    let seconds = Timestamp::now().as_second().unsigned_abs();
    let progress = (seconds / 2 + 29 * quest as u64 + 17 * achievement as u64 + 7 * user) % 100;
    let user = user.to_string();
    let of_achievement = |mut more: Value| {
        more["achievementId"] = format!("achievement-{}", achievement + 1).into();
        more["name"] = ACHIEVEMENTS[achievement].into();
        more
    };
    let of_quest = |mut more: Value| {
        more["questId"] = format!("quest-{}", quest + 1).into();
        more["name"] = QUESTS[quest].into();
        more
    };
    let reward = json!({
        "rewardId": format!("reward-{number}"), "userId": user, "name": QUESTS[quest], "type": "points",
        "value": (number % 10 + 1) * 10
    });
    let notification = json!({
        "notificationId": format!("notification-{number}"), "userId": user, "title": "Almost there",
        "message": format!("{progress} % of {:?} are done", QUESTS[quest]), "type": "progress"
    });
    let (event, data) = match random.random_range(0..100) {
        0..28 => (
            "quest.progress_updated",
            of_quest(json!({"userId": user, "progress": progress})),
        ),
        28..46 => (
            "achievement.progress_updated",
            of_achievement(json!({"userId": user, "progress": progress})),
        ),
        46..64 => (
            "analytics.event_tracked",
            json!({
                "analyticsId": format!("analytics-{number}"), "userId": user, "type": "view", "category": "engagement",
                "event": format!("{}_opened", pick(random, SCREENS)), "value": progress
            }),
        ),
        64..70 => (
            "quest.started",
            of_quest(json!({"userId": user, "progress": 0})),
        ),
        70..75 => (
            "quest.completed",
            of_quest(json!({"userId": user, "progress": 100, "completedAt": now})),
        ),
        75..79 => ("reward.created", reward),
        79..82 => ("reward.claimed", reward),
        82..83 => ("reward.expired", reward),
        83..86 => (
            "achievement.completed",
            of_achievement(
                json!({"userId": user, "points": (achievement + 1) * 50, "completedAt": now}),
            ),
        ),
        86..91 => ("notification.created", notification),
        91..93 => ("notification.read", notification),
        93..94 => ("notification.archived", notification),
        94..95 => (
            "achievement.created",
            of_achievement(json!({"points": (achievement + 1) * 50})),
        ),
        95..96 => (
            "achievement.updated",
            of_achievement(json!({"points": (achievement + 1) * 60})),
        ),
        96..97 => ("achievement.deleted", of_achievement(json!({}))),
        97..98 => (
            "quest.created",
            of_quest(json!({"metadata": {"season": "winter"}})),
        ),
        98..99 => (
            "quest.updated",
            of_quest(json!({"metadata": {"season": "spring"}})),
        ),
        _ => ("quest.deleted", of_quest(json!({}))),
    };
    json!({
        "type": event, "data": data,
        "metadata": {"correlationId": format!("correlation-{number}"), "source": "gamification-service"}
    })
}

fn pick<'a>(random: &mut StdRng, of: &[&'a str]) -> &'a str {
    of.choose(random).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use fanfare::Config;
    use rand::SeedableRng;

    use super::*;
    use crate::gamification::Gamification;
    use crate::platform::Platform;

    #[test]
    fn every_event_occurs_and_is_valid() {
        let catalog = Gamification::catalog();
        let mut random = StdRng::seed_from_u64(1);
        let mut seen = BTreeMap::<String, u32>::new();
        for _ in 0..2_000 {
            let envelope = envelope(&mut random);
            let read = catalog
                .read_from_server(envelope.to_string().as_bytes(), &Config::default().limits);
            assert!(read.is_ok(), "{envelope}: {read:?}");
            let event = envelope["type"].as_str().unwrap().to_owned();
            *seen.entry(event).or_default() += 1;
        }
        assert!(catalog.names().eq(seen.keys()), "{seen:?}");
    }

    #[test]
    fn the_same_seed_tells_the_same_story() {
        let story = || {
            let mut random = StdRng::seed_from_u64(1);
            let events = std::iter::repeat_with(move || envelope(&mut random)["type"].clone());
            events.take(200).collect::<Vec<_>>()
        };
        assert_eq!(story(), story());
    }
}
