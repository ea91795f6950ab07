//! Every event of every platform, by its schema: what matches is accepted and stays as it is, what was
//! changed to match no more is refused, naming the path.

#![allow(clippy::unwrap_used, reason = "what a test cannot unwrap, it fails by")]
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    clippy::float_cmp,
    reason = "the numbers of schemas are small"
)]

mod generated;

use std::path::Path;

use fanfare::config::Limits;
use fanfare::{Catalog, ErrorKind};
use fanfare_examples::gamification::Gamification;
use fanfare_examples::mechamap::MechaMap;
use fanfare_examples::platform::Platform;
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{Config, TestRunner};
use serde_json::Value;

use self::generated::{valid, wrong};

/// Cases of each event.
const CASES: u32 = 48;

/// An event with one of its envelopes.
struct Kind {
    schema: Value,
    /// The document's own sample.
    sample: Value,
}

fn samples(platform: &str) -> Vec<Value> {
    let file = format!("fixtures/{platform}.jsonl");
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    let text = std::fs::read_to_string(file).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// Every event, with the sample that has its envelope.
fn kinds(document: &Value, samples: &[Value]) -> Vec<Kind> {
    let references = document["oneOf"].as_array().unwrap().iter();
    let kinds = references.map(|reference| {
        let pointer = reference["$ref"].as_str().unwrap();
        let pointer = pointer.trim_start_matches('#').replace("%23", "#");
        let schema = document.pointer(&pointer).unwrap().clone();
        let properties = schema["properties"].as_object().unwrap();
        let is_of = |sample: &&Value| {
            let members = sample.as_object().unwrap();
            members.keys().all(|name| properties.contains_key(name))
                && properties.iter().all(|(name, property)| {
                    let known = property.get("const").filter(|_| members.contains_key(name));
                    known.is_none_or(|known| members[name] == *known)
                })
        };
        let sample = samples.iter().find(is_of);
        let sample = sample
            .unwrap_or_else(|| panic!("no sample of {pointer}"))
            .clone();
        Kind { schema, sample }
    });
    kinds.collect()
}

/// Puts a sample's channel into an envelope, where the data does not say which is meant.
fn on_a_channel(catalog: &Catalog, mut envelope: Value, sample: &Value) -> Value {
    envelope.as_object_mut().unwrap().remove("channel");
    let needs_one = match read(catalog, &envelope) {
        Ok(()) => false,
        Err(paths) => paths == ["channel"],
    };
    if let (true, Some(channel)) = (needs_one, sample.get("channel")) {
        envelope["channel"] = channel.clone();
    }
    envelope
}

fn read(catalog: &Catalog, envelope: &Value) -> Result<(), Vec<String>> {
    let body = envelope.to_string();
    let limits = Limits {
        envelope: 1 << 20,
        ..Limits::default()
    };
    match catalog.read_from_server(body.as_bytes(), &limits) {
        Ok(admitted) => {
            for event in admitted.iter().flat_map(|admitted| &admitted.events) {
                let payload = serde_json::from_slice::<Value>(event.payload()).unwrap();
                for (name, sent) in envelope.as_object().unwrap() {
                    let arrived = &payload[name];
                    assert!(stays(sent, arrived), "{sent} stays in {arrived}");
                }
            }
            Ok(())
        }
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::InvalidEvent, "{error}");
            Err(error.problems().iter().map(|p| p.path.clone()).collect())
        }
    }
}

/// Whether what was sent is there; members that were left out may stand beside it.
fn stays(sent: &Value, arrived: &Value) -> bool {
    match (sent, arrived) {
        (Value::Object(sent), Value::Object(arrived)) => sent
            .iter()
            .all(|(name, sent)| arrived.get(name) == Some(sent)),
        _ => sent == arrived,
    }
}

fn every_event_by_its_schema<P: Platform>() {
    let catalog = P::catalog();
    let document = serde_json::from_str::<Value>(&catalog.json_schema(P::NAME)).unwrap();
    let samples = samples(&P::NAME.to_lowercase());
    for Kind { schema, sample } in kinds(&document, &samples) {
        read(&catalog, &sample).unwrap_or_else(|paths| panic!("{paths:?} of {sample}"));
        let mut runner = TestRunner::new(Config {
            cases: CASES,
            failure_persistence: None,
            ..Config::default()
        });
        let events = (valid(&schema, &document), any::<Index>());
        let outcome = runner.run(&events, |(envelope, which)| {
            let envelope = on_a_channel(&catalog, envelope, &sample);
            let accepted = read(&catalog, &envelope);
            prop_assert!(accepted.is_ok(), "{:?} of {envelope}", accepted);
            let wrong = wrong(&envelope, &schema, &document, &which);
            match read(&catalog, &wrong.value) {
                Ok(()) => prop_assert!(
                    false,
                    "accepted, with {} wrong: {}",
                    wrong.path,
                    wrong.value
                ),
                Err(paths) => prop_assert!(
                    paths.contains(&wrong.path),
                    "{paths:?} for {}: {}",
                    wrong.path,
                    wrong.value
                ),
            }
            Ok(())
        });
        if let Err(problem) = outcome {
            panic!("{}: {problem}", sample);
        }
    }
}

#[test]
fn mechamap() {
    every_event_by_its_schema::<MechaMap>();
}

#[test]
fn gamification() {
    every_event_by_its_schema::<Gamification>();
}
