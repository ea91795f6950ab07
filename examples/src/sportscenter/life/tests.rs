use std::collections::{BTreeMap, BTreeSet};

use fanfare::Config;
use rand::SeedableRng;

use super::*;
use crate::platform::Platform;
use crate::sportscenter::SportsCenter;

const LENGTH: usize = 5_000;

fn story(seed: u64) -> impl Iterator<Item = (String, Value)> {
    let life = life(StdRng::seed_from_u64(seed)).take(LENGTH);
    life.map(|mut envelope| (text(&envelope["event"]), envelope["data"].take()))
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

#[test]
fn every_event_occurs_and_is_valid() {
    let catalog = SportsCenter::catalog();
    let mut seen = BTreeSet::new();
    for envelope in life(StdRng::seed_from_u64(1)).take(20_000) {
        let read =
            catalog.read_from_server(envelope.to_string().as_bytes(), &Config::default().limits);
        assert!(read.is_ok(), "{envelope}: {read:?}");
        seen.insert(text(&envelope["event"]));
    }
    assert!(seen.iter().map(String::as_str).eq(catalog.names()));
}

#[test]
fn the_same_seed_tells_the_same_story() {
    let told = |seed| {
        let events = story(seed).map(|(event, data)| {
            let kept = ["value", "sessionId", "videoId", "progress", "content"];
            (event, kept.map(|name| data[name].clone()))
        });
        events.take(500).collect::<Vec<_>>()
    };
    assert_eq!(told(1), told(1));
    assert_ne!(told(1), told(2));
}

#[test]
fn sessions_begin_rest_and_end_in_that_order() {
    for seed in 1..6 {
        let mut sessions = BTreeMap::<_, String>::new();
        let mut ends = 0;
        for (event, data) in story(seed) {
            if event == "session:status" {
                let change = text(&data["type"]);
                let last = sessions.insert(text(&data["sessionId"]), change.clone());
                let fits = match last.as_deref() {
                    None => change == "started",
                    Some("started" | "resumed") => change == "paused" || change == "ended",
                    Some("paused") => change == "resumed",
                    _ => false,
                };
                assert!(fits, "{last:?} and then {change}");
                ends += u64::from(change == "ended");
            } else if event == "mentor-session/status-changed" {
                let last = &sessions[&text(&data["session-id"])];
                let expected = match data["status"].as_str() {
                    Some("in-progress") => "started",
                    _ => "ended",
                };
                assert_eq!(last, expected);
            }
        }
        assert!(ends > 5, "{ends}");
    }
}

#[test]
fn only_those_who_train_are_measured_and_spoken_to() {
    for seed in 1..6 {
        // Athlete to whether the session runs; session to its athlete.
        let mut runs = BTreeMap::new();
        let mut athletes = BTreeMap::new();
        for (event, data) in story(seed) {
            match &*event {
                "session:status" => {
                    let athlete = text(&data["metadata"]["athleteId"]);
                    athletes.insert(text(&data["sessionId"]), athlete.clone());
                    let change = text(&data["type"]);
                    runs.insert(athlete, change == "started" || change == "resumed");
                }
                "metric:recorded" => assert!(runs[&text(&data["athleteId"])]),
                "session:feedback" => assert!(runs[&athletes[&text(&data["sessionId"])]]),
                "mentor-session/note-added" => {
                    assert!(runs[&athletes[&text(&data["session-id"])]]);
                }
                _ => {}
            }
        }
    }
}

#[test]
fn videos_are_uploaded_then_processed_then_analyzed() {
    for seed in 1..6 {
        let mut videos = BTreeMap::<_, (String, u64)>::new();
        let mut analyzed = 0;
        for (event, data) in story(seed) {
            if !event.starts_with("video:") {
                continue;
            }
            let (status, progress) = (text(&data["status"]), data["progress"].as_u64());
            let now = (status.clone(), progress.unwrap_or(100));
            let last = videos.insert(text(&data["videoId"]), now);
            let fits = match (last.as_ref().map(|(last, at)| (&**last, *at)), &*status) {
                (None, "uploading") => true,
                (Some(("uploading", at)), "uploading") => progress > Some(at),
                (Some(("uploading", 100)), "processing") => progress == Some(0),
                (Some(("processing", at)), "processing") => progress > Some(at),
                (Some(("processing", 100)), "analyzed") => event == "video:analysis",
                (Some(("uploading" | "processing", at)), "failed") => progress == Some(at),
                _ => false,
            };
            assert!(fits, "{last:?} and then {data}");
            analyzed += u64::from(status == "analyzed");
        }
        assert!(analyzed > 10, "{analyzed}");
    }
}

#[test]
fn goals_come_nearer_and_are_achieved_once() {
    for seed in 1..6 {
        let mut goals = BTreeMap::new();
        for (_, data) in story(seed).filter(|(event, _)| event == "goal:update") {
            let progress = data["progress"].as_u64().unwrap();
            let last = goals.insert(text(&data["goalId"]), progress);
            assert!(
                last.is_none_or(|last| progress > last && last < 100),
                "{data}"
            );
            assert_eq!(data["type"] == "achieved", progress == 100);
        }
    }
}

#[test]
fn only_messages_that_were_written_are_changed_and_taken_back() {
    for seed in 1..6 {
        let mut messages = BTreeMap::new();
        for (event, data) in story(seed) {
            let Some(what) = event.strip_prefix("message:") else {
                continue;
            };
            let id = text(&data["messageId"]);
            let parties = (data["from"].clone(), data["to"].clone());
            match what {
                "new" => assert_eq!(messages.insert(id, parties), None),
                "updated" => assert_eq!(messages.get(&id), Some(&parties)),
                _ => assert_eq!(messages.remove(&id), Some(parties)),
            }
        }
    }
}

#[test]
fn assessments_are_drafted_published_and_put_away() {
    for seed in 1..6 {
        let mut assessments = BTreeMap::new();
        for (event, data) in story(seed) {
            let id = || text(&data["assessment-id"]);
            match &*event {
                "mentor-assessment/status-changed" => {
                    let status = text(&data["status"]);
                    let last = assessments.insert(id(), status.clone());
                    let expected = match &*status {
                        "draft" => None,
                        "published" => Some("draft"),
                        _ => Some("published"),
                    };
                    assert_eq!(last.as_deref(), expected);
                }
                "mentor-assessment/metric-updated" | "mentor-assessment/plan-updated" => {
                    assert_ne!(assessments[&id()], "archived");
                }
                _ => {}
            }
        }
    }
}
