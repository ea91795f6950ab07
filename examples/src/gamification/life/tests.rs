use std::collections::{BTreeMap, BTreeSet};

use fanfare::Config;
use rand::SeedableRng;

use super::*;
use crate::gamification::Gamification;
use crate::platform::Platform;

const LENGTH: usize = 5_000;

fn story(seed: u64) -> impl Iterator<Item = (String, Value)> {
    let life = life(StdRng::seed_from_u64(seed)).take(LENGTH);
    life.map(|mut envelope| {
        let event = envelope["type"].as_str().unwrap().to_owned();
        (event, envelope["data"].take())
    })
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

#[test]
fn every_event_occurs_and_is_valid() {
    let catalog = Gamification::catalog();
    for seed in 1..4 {
        let mut seen = BTreeSet::new();
        for envelope in life(StdRng::seed_from_u64(seed)).take(LENGTH) {
            let read = catalog
                .read_from_server(envelope.to_string().as_bytes(), &Config::default().limits);
            assert!(read.is_ok(), "{envelope}: {read:?}");
            seen.insert(text(&envelope["type"]));
        }
        assert!(seen.iter().map(|name| &**name).eq(catalog.names()));
    }
}

#[test]
fn the_same_seed_tells_the_same_story() {
    let told = |seed| {
        let events = story(seed).map(|(event, mut data)| {
            data["completedAt"] = Value::Null;
            (event, data)
        });
        events.take(500).collect::<Vec<_>>()
    };
    assert_eq!(told(1), told(1));
    assert_ne!(told(1), told(2));
}

#[test]
fn the_first_user_has_half_of_it() {
    let of_first = story(1).filter(|(_, data)| data["userId"] == "1").count();
    assert!((LENGTH * 2 / 5..LENGTH * 3 / 5).contains(&of_first));
}

/// What may follow on what, for one user and quest.
#[test]
fn quests_are_offered_begun_done_and_rewarded_in_that_order() {
    for seed in 1..6 {
        let mut quests = BTreeMap::<_, (String, u64)>::new();
        let mut due = None;
        for (event, data) in story(seed) {
            if event == "reward.created" {
                assert_eq!(
                    due.take(),
                    Some((text(&data["userId"]), text(&data["name"])))
                );
            }
            let Some(what) = event.strip_prefix("quest.") else {
                continue;
            };
            assert_eq!(due, None, "the reward comes right after the quest's end");
            let progress = data["progress"].as_u64();
            let quest = (text(&data["userId"]), text(&data["questId"]));
            if let Some((last, before)) = quests.get(&quest) {
                let fits = match &**last {
                    "created" | "updated" => matches!(what, "updated" | "started"),
                    "started" | "progress_updated" => {
                        matches!(what, "progress_updated" | "completed")
                    }
                    "completed" => matches!(what, "started" | "deleted"),
                    _ => what == "created",
                };
                assert!(fits, "{last} and then {what}");
                let grows = progress.is_none_or(|progress| progress > *before);
                assert!(grows || what == "started", "{data}");
            }
            match what {
                "started" => assert_eq!(progress, Some(0)),
                "completed" => {
                    assert_eq!(progress, Some(100));
                    due = Some((text(&data["userId"]), text(&data["name"])));
                }
                _ => assert!(progress.is_none_or(|progress| progress < 100), "{data}"),
            }
            quests.insert(quest, (what.to_owned(), progress.unwrap_or_default()));
        }
    }
}

#[test]
fn achievements_are_reached_once_until_they_are_made_anew() {
    for seed in 1..6 {
        let mut achievements = BTreeMap::<_, (String, u64, u64)>::new();
        for (event, data) in story(seed) {
            let Some(what) = event.strip_prefix("achievement.") else {
                continue;
            };
            let achievement = (text(&data["userId"]), text(&data["achievementId"]));
            let known = achievements.get(&achievement).cloned();
            let (last, before, worth) = known.unwrap_or_default();
            let fits = match &*last {
                "" => true,
                "completed" => what == "deleted",
                "deleted" => what == "created",
                _ => matches!(what, "progress_updated" | "updated" | "completed"),
            };
            assert!(fits, "{last} and then {what}");
            let points = data["points"].as_u64();
            if what == "completed" && worth > 0 {
                assert_eq!(points, Some(worth), "as it was told before");
            }
            let progress = match what {
                "created" => 0,
                "updated" => before,
                _ => data["progress"].as_u64().unwrap_or(100),
            };
            if what == "progress_updated" {
                assert!(progress > before && progress < 100, "{data}");
            }
            let worth = points.unwrap_or(worth);
            achievements.insert(achievement, (what.to_owned(), progress, worth));
        }
    }
}

#[test]
fn each_reward_ends_once_and_as_what_it_began() {
    for seed in 1..6 {
        let mut waiting = BTreeMap::new();
        let mut ids = BTreeSet::new();
        for (event, data) in story(seed) {
            let id = data["rewardId"].clone().to_string();
            match &*event {
                "reward.created" => {
                    assert!(ids.insert(id.clone()), "{id} twice");
                    waiting.insert(id, data);
                }
                "reward.claimed" | "reward.expired" => {
                    assert_eq!(waiting.remove(&id), Some(data));
                }
                _ => {}
            }
        }
        assert!(waiting.len() <= 6 * USERS);
    }
}

#[test]
fn notifications_are_created_read_and_archived_in_that_order() {
    for seed in 1..6 {
        let mut inbox = BTreeMap::new();
        for (event, data) in story(seed) {
            let Some(what) = event.strip_prefix("notification.") else {
                continue;
            };
            let id = text(&data["notificationId"]);
            let last = match what {
                "created" => inbox.insert(id, (what.to_owned(), data.clone())),
                "archived" => inbox.remove(&id),
                _ => inbox.insert(id, (what.to_owned(), data.clone())),
            };
            let before = match what {
                "created" => None,
                "read" => Some(("created".to_owned(), data)),
                _ => Some(("read".to_owned(), data)),
            };
            assert_eq!(last, before);
        }
        assert!(inbox.len() <= 16 * USERS);
    }
}

#[test]
fn what_is_said_of_progress_is_what_was_told_last() {
    for seed in 1..6 {
        let mut last = (String::new(), Value::Null);
        let mut told = 0;
        for (event, data) in story(seed) {
            if event == "notification.created" && data["type"] == "progress" {
                assert_eq!(last.0, "quest.progress_updated");
                let (progress, name) = (&last.1["progress"], text(&last.1["name"]));
                assert_eq!(
                    data["message"],
                    format!("{progress} % of “{name}” are done")
                );
                assert_eq!(data["userId"], last.1["userId"]);
                told += 1;
            }
            // A full inbox makes room in between.
            if !matches!(&*event, "notification.read" | "notification.archived") {
                last = (event, data);
            }
        }
        assert!(told > 50, "{told}");
    }
}
