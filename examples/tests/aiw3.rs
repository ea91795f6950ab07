//! AIW3's event set, against the samples of its documents.
#![allow(
    clippy::unwrap_used,
    reason = "a test ends where something unexpected comes"
)]

#[path = "aiw3/borders.rs"]
mod borders;

use std::collections::BTreeSet;

use fanfare::config::Limits;
use fanfare::{Catalog, Priority};
use fanfare_examples::aiw3::Aiw3;
use fanfare_examples::platform::Platform;
use serde_json::{Value, json};

const FIXTURES: &str = include_str!("../fixtures/aiw3.jsonl");

/// Of the 34 rows that the event list has for AIW3, two are no publications: the welcome
/// (`connection_established`) and the heartbeat. Each other row is an event in one envelope: 24 of the
/// guide, 8 of the architecture document.
const EVENTS: usize = 34 - 2;

/// Members that may be left out: of envelopes, and of data where another sample lacks them, or where
/// nothing but a client's handler knows them.
const OPTIONAL: &[&str] = &[
    "messageId",
    "timestamp",
    "category",
    "priority",
    "metadata",
    "eventId",
    "source",
    "version",
    "nft_upgrade_available data.nftId",
    "nft_upgrade_available data.targetLevel",
    "nft_upgrade_available data.requirements",
    "trading_milestone_reached data.milestone",
    "trading_milestone_reached data.currentVolume",
    "trading_milestone_reached data.nextMilestone",
    "competition_ended data.competitionId",
    "competition_ended data.competitionName",
];

/// Objects of which the documents say nothing: whatever stands in them passes.
const FREE: &[&str] = &[
    "metadata",
    "nft_upgrade_available data.requirements",
    "maintenance_started data",
    "maintenance_completed data",
    "chat_message data",
    "nft_burned data",
];

/// What of a benefit is optional, wherever it stands.
const OPTIONAL_BENEFITS: &[&str] = &["aiAgentUses", "stakingBonus", "prioritySupport"];

fn fixtures() -> Vec<Value> {
    let lines = FIXTURES.lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// The fixture of an event, in the guide's envelope or the architecture document's.
fn fixture(event: &str, envelope: Envelope) -> Value {
    let mut fixtures = fixtures().into_iter();
    let found = fixtures.find(|fixture| {
        fixture["eventType"] == event
            && fixture.get("eventId").is_some() == (envelope == Envelope::Architecture)
    });
    found.unwrap_or_else(|| panic!("{event}"))
}

#[derive(Clone, Copy, PartialEq)]
enum Envelope {
    Guide,
    Architecture,
}

/// The paths of what is wrong with an envelope.
fn problems(catalog: &Catalog, envelope: &Value) -> Vec<String> {
    let read = catalog.read_from_server(envelope.to_string().as_bytes(), &Limits::default());
    match read {
        Ok(_) => Vec::new(),
        Err(error) => {
            let problems = error.problems().iter();
            problems.map(|problem| problem.path.clone()).collect()
        }
    }
}

/// A member of an object, or an item of a list, by its JSON pointer and its path as problems have it.
#[derive(Clone)]
struct Place {
    pointer: String,
    path: String,
    is_member: bool,
}

/// Everything in a value, from outside to inside.
fn places(value: &Value, pointer: &str, path: &str, found: &mut Vec<Place>) {
    let mut visit = |name: &str, path: String, is_member: bool, value: &Value| {
        let pointer = format!("{pointer}/{name}");
        let place = Place {
            pointer: pointer.clone(),
            path: path.clone(),
            is_member,
        };
        found.push(place);
        places(value, &pointer, &path, found);
    };
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                let dot = if path.is_empty() { "" } else { "." };
                visit(name, format!("{path}{dot}{name}"), true, value);
            }
        }
        Value::Array(items) => {
            for (at, value) in items.iter().enumerate() {
                visit(&at.to_string(), format!("{path}[{at}]"), false, value);
            }
        }
        _ => {}
    }
}

fn is_listed(list: &[&str], event: &str, path: &str) -> bool {
    list.contains(&path) || list.contains(&&*format!("{event} {path}"))
}

/// Whether a place lies in an object of which nothing is known.
fn is_free(event: &str, path: &str) -> bool {
    let inside = path.match_indices(['.', '[']).map(|(at, _)| &path[..at]);
    inside
        .into_iter()
        .any(|parent| is_listed(FREE, event, parent))
}

/// The places of every fixture that are typed, with the fixture.
fn typed_places() -> Vec<(Value, Place)> {
    let of = |fixture: Value| {
        let mut found = Vec::new();
        places(&fixture, "", "", &mut found);
        let event = fixture["eventType"].as_str().unwrap().to_owned();
        found.retain(|place| !is_free(&event, &place.path));
        found.into_iter().map(move |place| (fixture.clone(), place))
    };
    fixtures().into_iter().flat_map(of).collect()
}

#[test]
fn every_event_has_a_fixture_and_every_fixture_is_an_event() {
    let catalog = Aiw3::catalog();
    let fixtures = fixtures();
    assert_eq!(fixtures.len(), EVENTS);
    let names = fixtures
        .iter()
        .map(|fixture| fixture["eventType"].as_str().unwrap());
    assert_eq!(names.collect::<BTreeSet<_>>(), catalog.names().collect());
}

#[test]
fn every_fixture_is_accepted_and_stays_as_it_is() {
    let catalog = Aiw3::catalog();
    for line in FIXTURES.lines() {
        let admitted = catalog.read_from_server(line.as_bytes(), &Limits::default());
        let admitted = admitted
            .unwrap_or_else(|error| panic!("{line}: {error:?}"))
            .remove(0);
        assert_eq!(admitted.events.len(), 1);
        let event = &admitted.events[0];
        assert_eq!(event.payload(), line, "there is nothing to fill in");
        let fixture = serde_json::from_str::<Value>(line).unwrap();
        let id = fixture.get("messageId").or_else(|| fixture.get("eventId"));
        assert_eq!(id.unwrap(), &*admitted.id);
        let channel = match fixture["eventType"].as_str().unwrap() {
            "nft_minted" | "nft_burned" | "nft_unlock_failed" => Some("admin.nft"),
            "volume_milestone_reached" => None,
            _ => Some("user.12345"),
        };
        match channel {
            Some(channel) => assert_eq!(event.channel().as_str(), channel),
            None => assert!(event.is_for_services_only()),
        }
        if let Some(priority) = fixture["priority"].as_str() {
            assert_eq!(event.priority().as_str(), priority);
        } else {
            assert_eq!(event.priority(), Priority::High);
        }
    }
}

#[test]
fn what_a_publisher_leaves_out_is_filled_in_as_the_document_has_it() {
    let catalog = Aiw3::catalog();
    for fixture in fixtures() {
        let mut short = fixture.clone();
        let members = short.as_object_mut().unwrap();
        members.retain(|name, _| ["eventType", "userId", "data"].contains(&&**name));
        let admitted = catalog.read_from_server(short.to_string().as_bytes(), &Limits::default());
        let admitted = admitted
            .unwrap_or_else(|error| panic!("{short}: {error:?}"))
            .remove(0);
        let filled = serde_json::from_slice::<Value>(admitted.events[0].payload()).unwrap();
        for name in [
            "eventType",
            "userId",
            "data",
            "category",
            "priority",
            "source",
            "version",
        ] {
            assert_eq!(filled.get(name), fixture.get(name), "{name} of {fixture}");
        }
        for name in ["messageId", "eventId", "timestamp"] {
            assert_eq!(
                filled.get(name).is_some(),
                fixture.get(name).is_some(),
                "{name}"
            );
        }
    }
}

#[test]
fn a_member_that_is_missing_is_reported_by_its_own_path() {
    let catalog = Aiw3::catalog();
    let mut checked = 0;
    for (fixture, place) in typed_places() {
        if !place.is_member {
            continue;
        }
        let event = fixture["eventType"].as_str().unwrap();
        let (parent, name) = place.pointer.rsplit_once('/').unwrap();
        let mut without = fixture.clone();
        without
            .pointer_mut(parent)
            .unwrap()
            .as_object_mut()
            .unwrap()
            .remove(name);
        let is_benefit = OPTIONAL_BENEFITS.contains(&name)
            && ["enefits", "nftReward.benefits"].iter().any(|end| {
                place
                    .path
                    .rsplit_once('.')
                    .is_some_and(|(parent, _)| parent.ends_with(end))
            })
            && fixture.get("messageId").is_some();
        if is_benefit || is_listed(OPTIONAL, event, &place.path) {
            assert_eq!(
                problems(&catalog, &without),
                [""; 0],
                "{event} without {}",
                place.path
            );
        } else {
            assert_eq!(problems(&catalog, &without), [&*place.path], "{event}");
        }
        checked += 1;
    }
    println!("{checked} members");
    assert!(checked > 450, "{checked}");
}

#[test]
fn a_value_of_another_type_is_reported_by_its_path() {
    /// Which takes a number and a text.
    const EITHER: &str = "data.nftDefinitionId";
    let catalog = Aiw3::catalog();
    let mut checked = 0;
    for (fixture, place) in typed_places() {
        let event = fixture["eventType"].as_str().unwrap();
        if is_listed(FREE, event, &place.path) && place.path != "data" && place.path != "metadata" {
            continue;
        }
        let others = match fixture.pointer(&place.pointer).unwrap() {
            Value::String(_) => vec![json!(5), json!(true), json!([]), json!({})],
            Value::Number(_) => vec![json!("x"), json!(true), json!([]), json!({})],
            Value::Bool(_) => vec![json!("true"), json!(1), json!({})],
            Value::Object(_) => vec![json!("x"), json!(5), json!([])],
            Value::Array(_) => vec![json!("x"), json!(5), json!({})],
            Value::Null => vec![json!("x"), json!(5)],
        };
        for other in others {
            if place.path == EITHER && (other.is_string() || other.is_number()) {
                continue;
            }
            let mut changed = fixture.clone();
            *changed.pointer_mut(&place.pointer).unwrap() = other.clone();
            let found = problems(&catalog, &changed);
            assert_eq!(found, [&*place.path], "{event}: {other}");
            checked += 1;
        }
    }
    println!("{checked} changes");
    assert!(checked > 1_500, "{checked}");
}

#[test]
fn null_stands_only_where_a_sample_has_it() {
    let catalog = Aiw3::catalog();
    for (fixture, place) in typed_places() {
        let event = fixture["eventType"].as_str().unwrap();
        let name = place.pointer.rsplit('/').next().unwrap();
        let is_optional = OPTIONAL_BENEFITS.contains(&name)
            || (place.path.starts_with("data.") && is_listed(OPTIONAL, event, &place.path));
        if is_optional || fixture.pointer(&place.pointer).unwrap().is_null() {
            continue;
        }
        let mut changed = fixture.clone();
        *changed.pointer_mut(&place.pointer).unwrap() = Value::Null;
        assert_eq!(problems(&catalog, &changed), [&*place.path], "{event}");
    }
}

#[test]
fn retryable_agrees_with_the_error_code() {
    let catalog = Aiw3::catalog();
    for (code, retryable) in [
        ("INSUFFICIENT_SOL_BALANCE", true),
        ("NETWORK_CONGESTION", true),
        ("INVALID_WALLET_ADDRESS", false),
        ("NFT_REQUIREMENTS_NOT_MET", false),
        ("DUPLICATE_TRANSACTION", false),
    ] {
        let mut failed = fixture("transaction_failed", Envelope::Guide);
        failed["data"]["errorCode"] = code.into();
        failed["data"]["retryable"] = retryable.into();
        assert_eq!(problems(&catalog, &failed), [""; 0], "{code}");
        failed["data"]["retryable"] = (!retryable).into();
        assert_eq!(problems(&catalog, &failed), ["data.retryable"], "{code}");
    }
}

/// Fields that the client's handlers read as numbers, and the message structures do not have.
#[test]
fn numbers_that_only_handlers_know_are_checked_where_they_are() {
    let catalog = Aiw3::catalog();
    for (event, name) in [
        ("leaderboard_update", "userRankChange"),
        ("badge_progress_update", "progressPercentage"),
        ("badge_progress_update", "currentProgress"),
        ("badge_progress_update", "targetProgress"),
    ] {
        let mut fixture = fixture(event, Envelope::Guide);
        fixture["data"][name] = json!(5);
        assert_eq!(problems(&catalog, &fixture), [""; 0], "{name}");
        fixture["data"][name] = json!("many");
        assert_eq!(problems(&catalog, &fixture), [format!("data.{name}")]);
    }
}

#[test]
fn what_is_unknown_passes_inside_of_data_and_nowhere_else() {
    let catalog = Aiw3::catalog();
    for fixture in fixtures() {
        let mut inside = fixture.clone();
        inside["data"]["somethingNew"] = json!({"a": 1});
        assert_eq!(problems(&catalog, &inside), [""; 0]);
        let mut beside = fixture;
        beside["prority"] = json!("high");
        assert_eq!(problems(&catalog, &beside), ["prority"]);
    }
}

#[test]
fn both_shapes_of_an_event_belong_to_their_own_envelopes() {
    let catalog = Aiw3::catalog();
    for event in ["nft_unlocked", "badge_earned"] {
        let mut guide = fixture(event, Envelope::Guide);
        let mut architecture = fixture(event, Envelope::Architecture);
        let (of_guide, of_architecture) = (guide["data"].take(), architecture["data"].take());
        guide["data"] = of_architecture;
        architecture["data"] = of_guide;
        for crossed in [guide, architecture] {
            let problems = problems(&catalog, &crossed);
            assert!(
                problems.iter().all(|path| path.starts_with("data.")),
                "{problems:?}"
            );
            assert!(!problems.is_empty(), "{crossed}");
        }
    }
}
