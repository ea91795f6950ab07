//! Gamification's events, as its document shows them and as it does not.
#![allow(
    clippy::unwrap_used,
    reason = "a test ends where something unexpected comes"
)]

use std::collections::BTreeSet;

use fanfare::catalog::Admitted;
use fanfare::config::Limits;
use fanfare::{Catalog, ErrorKind};
use fanfare_examples::gamification::Gamification;
use fanfare_examples::platform::Platform;
use serde_json::{Value, json};

/// Five of achievements, six of quests, three of rewards, three of notifications, one of analytics: as
/// many as `events.csv` has rows.
const EVENTS: usize = 18;

/// An event a line; two for those that may name a user or none.
fn fixtures() -> Vec<Value> {
    let lines = include_str!("../fixtures/gamification.jsonl").lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn read(catalog: &Catalog, body: &Value) -> Result<Admitted, Vec<String>> {
    let read = catalog.read_from_server(body.to_string().as_bytes(), &Limits::default());
    read.map(|mut admitted| admitted.remove(0))
        .map_err(|error| {
            assert_eq!(error.kind(), ErrorKind::InvalidEvent, "{error} in {body}");
            let problems = error.problems().iter();
            problems.map(|problem| problem.path.clone()).collect()
        })
}

/// Whether a field may be left out.
fn is_optional(event: &str, path: &str) -> bool {
    let family = event.split('.').next().unwrap();
    match path.strip_prefix("data.") {
        None => path.starts_with("metadata"),
        Some("metadata") => true,
        Some("userId" | "name" | "progress" | "completedAt") => {
            ["achievement", "quest"].contains(&family)
        }
        Some("points") => family == "achievement",
        Some("value") => family == "analytics",
        Some(_) => false,
    }
}

/// Every field whose meaning is known, by its pointer; what stands in the data's own metadata is free.
fn fields(fixture: &Value) -> Vec<String> {
    let of = |pointer: &str| {
        let object = fixture.pointer(pointer).and_then(Value::as_object);
        let names = object.into_iter().flat_map(|object| object.keys());
        names
            .map(|name| format!("{pointer}/{name}"))
            .collect::<Vec<_>>()
    };
    ["", "/data", "/metadata"]
        .into_iter()
        .flat_map(of)
        .collect()
}

fn path_of(pointer: &str) -> String {
    pointer.trim_start_matches('/').replace('/', ".")
}

fn parent<'a>(body: &'a mut Value, pointer: &'a str) -> (&'a mut Value, &'a str) {
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    (body.pointer_mut(parent).unwrap(), name)
}

#[test]
fn there_is_a_fixture_for_every_event_and_an_event_for_every_fixture() {
    let catalog = Gamification::catalog();
    let names = catalog.names().collect::<BTreeSet<_>>();
    assert_eq!(names.len(), EVENTS);
    let fixtures = fixtures();
    let shown = fixtures
        .iter()
        .map(|fixture| fixture["type"].as_str().unwrap());
    assert_eq!(shown.collect::<BTreeSet<_>>(), names);
}

#[test]
fn every_fixture_is_accepted_and_goes_where_its_data_says() {
    let catalog = Gamification::catalog();
    for fixture in fixtures() {
        let admitted =
            read(&catalog, &fixture).unwrap_or_else(|paths| panic!("{fixture}: {paths:?}"));
        let [event] = &admitted.events[..] else {
            panic!("one channel: {fixture}")
        };
        let name = fixture["type"].as_str().unwrap();
        assert_eq!(event.name(), name);
        let services = event.services().unwrap();
        assert_eq!(services.topics, [name], "the routing key");
        assert_eq!(services.payload, None, "services get what clients get");
        let user = fixture["data"]["userId"].as_str();
        let is_seen = user.is_some() && !name.starts_with("analytics");
        assert_eq!(!event.is_for_services_only(), is_seen, "{fixture}");
        if let (true, Some(user)) = (is_seen, user) {
            assert_eq!(event.channel().as_str(), format!("user.{user}"));
        }
        let uuid = admitted.id.parse::<uuid::Uuid>().unwrap();
        assert_eq!(uuid.get_version_num(), 7, "ids sort by time");
    }
}

#[test]
fn what_was_sent_stays_and_metadata_is_filled_in() {
    let catalog = Gamification::catalog();
    for sent in fixtures() {
        let payload = |body: &Value| {
            let admitted = read(&catalog, body).unwrap();
            serde_json::from_slice::<Value>(admitted.events[0].payload()).unwrap()
        };
        let arrived = payload(&sent);
        assert_eq!(arrived["type"], sent["type"]);
        assert_eq!(arrived["data"], sent["data"]);
        for (name, value) in sent["metadata"].as_object().unwrap() {
            assert_eq!(&arrived["metadata"][name], value, "{sent}");
        }
        for name in ["timestamp", "source", "version"] {
            assert!(arrived["metadata"][name].is_string(), "{arrived}");
        }
        let mut without = sent.clone();
        without.as_object_mut().unwrap().remove("metadata");
        let metadata = payload(&without)["metadata"].clone();
        let names = metadata.as_object().unwrap().keys().collect::<Vec<_>>();
        assert_eq!(names, ["source", "timestamp", "version"], "and no more");
    }
}

#[test]
fn a_field_that_is_missing_is_named() {
    let catalog = Gamification::catalog();
    let mut refused = 0;
    for fixture in fixtures() {
        let event = fixture["type"].as_str().unwrap();
        for pointer in fields(&fixture) {
            let mut body = fixture.clone();
            let (object, name) = parent(&mut body, &pointer);
            object.as_object_mut().unwrap().remove(name);
            let path = path_of(&pointer);
            if is_optional(event, &path) {
                assert!(read(&catalog, &body).is_ok(), "{path}: {body}");
            } else {
                assert_eq!(read(&catalog, &body).unwrap_err(), [path], "{body}");
                refused += 1;
            }
        }
    }
    assert_eq!(refused, 100, "twenty-four lines are looked at");
}

#[test]
fn a_field_of_another_type_is_named() {
    let catalog = Gamification::catalog();
    for fixture in fixtures() {
        for pointer in fields(&fixture) {
            let path = path_of(&pointer);
            let is_reward = fixture["type"].as_str().unwrap().starts_with("reward");
            if is_reward && path == "data.value" {
                continue;
            }
            let right = fixture.pointer(&pointer).unwrap().clone();
            let others = [
                json!("x"),
                json!(1),
                json!(true),
                json!([]),
                json!({}),
                Value::Null,
            ];
            let is_like =
                |other: &Value| std::mem::discriminant(other) == std::mem::discriminant(&right);
            for other in others.into_iter().filter(|other| !is_like(other)) {
                let mut body = fixture.clone();
                let (object, name) = parent(&mut body, &pointer);
                object[name] = other;
                assert_eq!(read(&catalog, &body).unwrap_err(), [&*path], "{body}");
            }
        }
    }
}

#[test]
fn data_is_an_object() {
    let catalog = Gamification::catalog();
    for data in [json!(["quest-1"]), json!([]), json!("quest-1"), Value::Null] {
        let body = json!({"type": "quest.created", "data": data});
        assert_eq!(read(&catalog, &body).unwrap_err(), ["data"], "{body}");
    }
}

#[test]
fn a_reward_may_be_worth_anything_but_says_what() {
    let catalog = Gamification::catalog();
    let rewards = fixtures().into_iter();
    let rewards = rewards.filter(|fixture| fixture["type"].as_str().unwrap().starts_with("reward"));
    for mut body in rewards {
        for value in [
            Value::Null,
            json!(0.5),
            json!("badge"),
            json!([1]),
            json!({"a": {}}),
        ] {
            body["data"]["value"] = value;
            read(&catalog, &body).unwrap();
        }
        body["data"].as_object_mut().unwrap().remove("value");
        assert_eq!(read(&catalog, &body).unwrap_err(), ["data.value"]);
    }
}

#[test]
fn ids_are_not_empty_and_a_users_id_fits_a_channels_name() {
    let catalog = Gamification::catalog();
    for fixture in fixtures() {
        let with = |name: &str, value: &str| {
            let mut body = fixture.clone();
            body["data"][name] = value.into();
            read(&catalog, &body)
        };
        let family = fixture["type"].as_str().unwrap().split('.').next().unwrap();
        let id = format!("{family}Id");
        let path = format!("data.{id}");
        assert_eq!(with(&id, "").unwrap_err(), [path], "{fixture}");
        let longest = "u".repeat(250);
        for good in ["7", "user_4-5:6", &longest] {
            assert!(with("userId", good).is_ok(), "{good}");
        }
        let too_long = "u".repeat(251);
        for bad in ["", "a.b", "a b", "*", "ü", "a/b", &too_long] {
            assert_eq!(with("userId", bad).unwrap_err(), ["data.userId"], "{bad}");
        }
    }
}

#[test]
fn what_the_publisher_says_of_channel_and_priority_holds_where_it_agrees() {
    let catalog = Gamification::catalog();
    let of = |name: &str| {
        let mut fixtures = fixtures().into_iter();
        fixtures.find(|fixture| fixture["type"] == name).unwrap()
    };
    let with = |event: &str, field: &str, value: Value| {
        let mut body = of(event);
        body[field] = value;
        read(&catalog, &body)
    };
    let admitted = with("quest.completed", "channel", json!("user.user-456")).unwrap();
    assert_eq!(admitted.events[0].channel().as_str(), "user.user-456");
    for channel in [
        "user.user-457",
        "user",
        "quest",
        "quest.quest-123",
        "user.user-456.x",
        "",
    ] {
        let refused = with("quest.completed", "channel", channel.into());
        assert_eq!(refused.unwrap_err(), ["channel"], "{channel}");
    }
    // The data names nobody, but the publisher does.
    let admitted = with("quest.created", "channel", json!("user.7")).unwrap();
    assert!(!admitted.events[0].is_for_services_only());
    assert_eq!(admitted.events[0].channel().as_str(), "user.7");
    let refused = with("analytics.event_tracked", "channel", json!("user.7"));
    assert_eq!(refused.unwrap_err(), ["channel"], "no client gets it");
    for priority in ["high", "medium", "low"] {
        let admitted = with("quest.completed", "priority", priority.into()).unwrap();
        assert_eq!(admitted.events[0].priority().as_str(), priority);
    }
    for field in ["priority", "event", "category", "id", "Type"] {
        assert_eq!(
            with("quest.completed", field, json!("urgent")).unwrap_err(),
            [field]
        );
    }
}

#[test]
fn what_is_no_event_of_the_platform_is_refused() {
    let catalog = Gamification::catalog();
    for name in [
        "quest",
        "quest.",
        "quest.Completed",
        "Quest.completed",
        "forum.comment.created",
        "",
    ] {
        let body = json!({"type": name, "data": {"questId": "quest-1"}});
        assert_eq!(read(&catalog, &body).unwrap_err(), ["type"], "{name}");
    }
}
