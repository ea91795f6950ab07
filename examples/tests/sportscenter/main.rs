//! SportsCenter's event set against its document's own samples.
#![allow(
    clippy::unwrap_used,
    reason = "a test ends where something unexpected comes"
)]

mod fields;
mod routes;

use std::collections::BTreeSet;

use fanfare::catalog::Admitted;
use fanfare::{Catalog, Config, Event, Priority};
use fanfare_examples::platform::Platform;
use fanfare_examples::sportscenter::SportsCenter;
use serde_json::{Map, Value, json};

/// The document's samples, placeholders replaced, one a line.
const SAMPLES: &str = include_str!("../../fixtures/sportscenter.jsonl");
/// Of the document's events 11 are given in TypeScript and 51 in EDN. The other four of its rows,
/// ping, pong, error and health, are the protocol's and not published.
const EVENTS: usize = 11 + 51;
const USER: &str = "0192f6d0-7c1e-7b3a-9f55-3f1d2c4b5a61";

/// The fields that TypeScript marks with a `?`. Everything else that a sample shows is required.
const OPTIONAL: &[(&str, &str)] = &[
    ("session:status", "data.metadata.location"),
    ("video:status", "data.progress"),
    ("video:analysis", "data.progress"),
    ("video:analysis", "data.analysis"),
    ("goal:update", "data.progress"),
    ("notification:new", "data.action"),
];
/// Fields of TypeScript's type `any`, and the one of EDN that the document shows in two types.
const ANY: &[(&str, &str)] = &[
    ("notification:new", "data.action.payload"),
    ("community:activity", "data.content.data"),
    ("cache/live-session-sync", "data.updates[0].value"),
    ("cache/live-session-sync", "data.updates[1].value"),
];
/// Objects with free keys.
const FREE: &[&str] = &["data.vector", "data.allocation.weights"];

fn samples() -> Vec<Value> {
    let lines = SAMPLES.lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn sample(event: &str) -> Value {
    let mut samples = samples().into_iter();
    samples.find(|sample| sample["event"] == event).unwrap()
}

fn read(catalog: &Catalog, envelope: &Value) -> Result<Admitted, Vec<String>> {
    let body = envelope.to_string();
    let read = catalog.read_from_server(body.as_bytes(), &Config::default().limits);
    read.map(|mut admitted| admitted.remove(0))
        .map_err(|error| {
            let problems = error.problems().iter();
            problems.map(|problem| problem.path.clone()).collect()
        })
}

fn admit(envelope: &Value) -> Admitted {
    let admitted = read(&SportsCenter::catalog(), envelope);
    admitted.unwrap_or_else(|paths| panic!("{envelope}: {paths:?}"))
}

fn refuse(envelope: &Value) -> Vec<String> {
    read(&SportsCenter::catalog(), envelope).unwrap_err()
}

fn channels(admitted: &Admitted) -> Vec<&str> {
    let events = admitted.events.iter();
    events.map(|event| event.channel().as_str()).collect()
}

/// Every value of an envelope below its data, by path.
fn places(envelope: &Value) -> Vec<String> {
    fn below(value: &Value, path: &str, places: &mut Vec<String>) {
        match value {
            Value::Object(members) => {
                for (name, value) in members {
                    let path = format!("{path}.{name}");
                    places.push(path.clone());
                    below(value, &path, places);
                }
            }
            Value::Array(values) => {
                for (at, value) in values.iter().enumerate() {
                    let path = format!("{path}[{at}]");
                    places.push(path.clone());
                    below(value, &path, places);
                }
            }
            _ => {}
        }
    }
    let mut places = Vec::new();
    below(&envelope["data"], "data", &mut places);
    places
}

fn pointer(path: &str) -> String {
    let path = path.replace('[', ".").replace(']', "");
    format!("/{}", path.replace('.', "/"))
}

fn at<'a>(envelope: &'a mut Value, path: &str) -> &'a mut Value {
    envelope.pointer_mut(&pointer(path)).unwrap()
}

fn is_any(event: &str, path: &str) -> bool {
    let mut any = ANY.iter();
    any.any(|(of, place)| *of == event && (path == *place || is_inside(path, place)))
}

/// Whether a place lies in another.
fn is_inside(path: &str, outer: &str) -> bool {
    path.strip_prefix(outer)
        .is_some_and(|rest| rest.starts_with(['.', '[']))
}

/// The members of objects, without those that stand under free keys or in data of any kind.
fn members(event: &str, envelope: &Value) -> Vec<String> {
    let mut places = places(envelope);
    places.retain(|path| {
        let is_free = FREE.iter().any(|outer| is_inside(path, outer));
        let inside_any = ANY
            .iter()
            .any(|(of, outer)| *of == event && is_inside(path, outer));
        !path.ends_with(']') && !is_free && !inside_any
    });
    places
}

#[test]
fn every_event_has_its_sample() {
    let samples = samples();
    let sampled = samples
        .iter()
        .map(|sample| sample["event"].as_str().unwrap());
    let sampled = sampled.collect::<BTreeSet<_>>();
    assert!(SportsCenter::catalog().names().eq(sampled.iter().copied()));
    assert_eq!((samples.len(), sampled.len()), (EVENTS, EVENTS));
}

#[test]
fn every_sample_is_taken_and_stays_as_it_was_sent() {
    let catalog = SportsCenter::catalog();
    for (line, sample) in SAMPLES.lines().zip(samples()) {
        let admitted = read(&catalog, &sample).unwrap_or_else(|paths| panic!("{line}: {paths:?}"));
        assert!(!admitted.id.is_empty());
        let sent = catalog.read_from_server(line.as_bytes(), &Config::default().limits);
        for event in &sent.unwrap()[0].events {
            assert_eq!(event.payload(), line.as_bytes(), "nothing is filled in");
        }
    }
}

#[test]
fn what_is_required_is_missed_by_its_own_path() {
    let catalog = SportsCenter::catalog();
    let mut removed = 0;
    for sample in samples() {
        let event = sample["event"].as_str().unwrap().to_owned();
        for path in members(&event, &sample) {
            let (parent, name) = path.rsplit_once('.').unwrap();
            let mut without = sample.clone();
            let parent = at(&mut without, parent).as_object_mut().unwrap();
            parent.remove(name).unwrap();
            removed += 1;
            let refused = read(&catalog, &without);
            if OPTIONAL.contains(&(&*event, &*path)) {
                assert!(refused.is_ok(), "{event} without {path}: {refused:?}");
            } else {
                assert_eq!(refused.unwrap_err(), [path], "{event}: {without}");
            }
        }
        for name in ["event", "data"] {
            let mut without = sample.clone();
            without.as_object_mut().unwrap().remove(name).unwrap();
            assert_eq!(read(&catalog, &without).unwrap_err(), [name], "{event}");
        }
    }
    assert!(removed > 400, "{removed}");
}

#[test]
fn a_value_of_another_type_is_refused_by_its_own_path() {
    let catalog = SportsCenter::catalog();
    let mut crossed = 0;
    for sample in samples() {
        let event = sample["event"].as_str().unwrap().to_owned();
        for path in places(&sample) {
            if is_any(&event, &path) {
                continue;
            }
            for other in [
                json!(null),
                json!(true),
                json!("x y"),
                json!(7),
                json!([]),
                json!({}),
            ] {
                let mut changed = sample.clone();
                let value = at(&mut changed, &path);
                if std::mem::discriminant(value) == std::mem::discriminant(&other) {
                    continue;
                }
                *value = other;
                crossed += 1;
                let refused = read(&catalog, &changed);
                assert_eq!(refused.unwrap_err(), [&*path], "{event}: {changed}");
            }
        }
    }
    assert!(crossed > 2_000, "{crossed}");
}

#[test]
fn data_is_an_object() {
    for sample in samples() {
        for other in [json!(null), json!("x"), json!(7)] {
            let changed = json!({"event": sample["event"], "data": other});
            assert_eq!(refuse(&changed), ["data"], "{changed}");
        }
    }
}

#[test]
fn unknown_fields_pass_inside_the_data_only() {
    for sample in samples() {
        let mut more = sample.clone();
        for (name, value) in [("extra", json!(1)), ("name.with.dots", json!({"a": null}))] {
            more["data"][name] = value;
        }
        let admitted = admit(&more);
        let payload = serde_json::from_slice::<Value>(admitted.events[0].payload()).unwrap();
        assert_eq!(payload, more);
        let mut more = sample;
        more["prority"] = json!("high");
        assert_eq!(refuse(&more), ["prority"]);
    }
}

#[test]
fn control_events_are_not_published() {
    for event in [
        "ping",
        "pong",
        "error",
        "health",
        ":mentor/session-booked",
        ":event",
        "session:statuses",
        "message",
        "",
    ] {
        let envelope = json!({"event": event, "data": {}});
        assert_eq!(refuse(&envelope), ["event"], "{event}");
    }
}
