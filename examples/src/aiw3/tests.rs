use std::collections::BTreeSet;

use fanfare::catalog::{Admitted, TypedEvent};
use fanfare::config::Limits;
use fanfare::{Guarantee, Priority};
use serde_json::json;

use super::topics::{ANALYTICS, NOTIFICATIONS, OPERATIONS, USER_EVENTS};
use super::*;

fn channel(name: &str) -> Channel {
    Channel::new(name).unwrap()
}

fn read(envelope: &Value) -> Result<Admitted, Vec<String>> {
    let read =
        Aiw3::catalog().read_from_server(envelope.to_string().as_bytes(), &Limits::default());
    read.map(|mut admitted| admitted.remove(0))
        .map_err(|error| {
            let problems = error.problems().iter();
            problems.map(|problem| problem.path.clone()).collect()
        })
}

fn payload(admitted: &Admitted) -> Value {
    serde_json::from_slice(admitted.events[0].payload()).unwrap()
}

/// An event that takes any object, in neither envelope yet.
fn burned() -> Value {
    json!({"eventType": "nft_burned", "data": {}})
}

fn started() -> Value {
    json!({"eventType": "maintenance_started", "data": {}})
}

fn with(mut envelope: Value, field: &str, value: impl Into<Value>) -> Value {
    envelope[field] = value.into();
    envelope
}

#[test]
fn the_whole_event_set_is_there() {
    // Of the 34 rows two are no publications (the welcome and the heartbeat), and two names have two
    // rows, one for each envelope.
    assert_eq!(guide().names().count(), 24);
    assert_eq!(architecture().names().count(), 8);
    assert_eq!(Aiw3::catalog().names().count(), 34 - 2 - 2);
    for protocol in ["connection_established", "heartbeat"] {
        let published = with(started(), "eventType", protocol);
        assert_eq!(
            read(&with(published, "userId", 7)).unwrap_err(),
            ["eventType"]
        );
    }
}

#[test]
fn the_document_of_it_has_all_34_rows() {
    let document = Aiw3::catalog().asyncapi("AIW3", "1");
    let document = serde_json::from_str::<Value>(&document).unwrap();
    let messages = document["components"]["messages"].as_object().unwrap();
    // What clients publish of a row stands beside it.
    let rows = messages.keys().filter(|key| !key.ends_with(".from-client"));
    assert_eq!(rows.count(), 34);
    let from_server = |name: &str| {
        let reference = format!("#/channels/connection/messages/{name}");
        let sent = &document["operations"]["send.connection"]["messages"];
        sent.as_array()
            .unwrap()
            .contains(&json!({"$ref": reference}))
    };
    for (name, definition, members) in [
        (
            "connection_established",
            "ConnectionEstablished",
            &["type", "userId", "timestamp", "message"][..],
        ),
        ("heartbeat", "Heartbeat", &["type", "timestamp"]),
    ] {
        assert!(from_server(name), "{name}");
        let schema = &document["components"]["schemas"][definition];
        assert_eq!(schema["properties"]["type"]["const"], name);
        let required = schema["required"].as_array().unwrap().iter();
        let required = required.map(|name| name.as_str().unwrap());
        assert_eq!(required.collect::<Vec<_>>(), members);
        assert_eq!(
            schema["properties"].as_object().unwrap().len(),
            members.len()
        );
    }
}

#[test]
fn the_fields_tell_the_envelopes_apart() {
    let is_architecture = |envelope: &Value| {
        let is_taken = |event: Value| {
            let mut event = event;
            let fields = envelope.as_object().unwrap().clone();
            event.as_object_mut().unwrap().extend(fields);
            // Each knows one of the two events only.
            !matches!(read(&event), Err(paths) if paths == ["eventType"])
        };
        let (architecture, guide) = (is_taken(burned()), is_taken(started()));
        assert_ne!(architecture, guide, "{envelope}");
        architecture
    };
    for envelope in [
        json!({"userId": "7"}),
        json!({"userId": "7", "eventId": "e"}),
        json!({"userId": "7", "source": "s"}),
        json!({"userId": "7", "version": "1.0.0"}),
        json!({"userId": "7", "version": "1.0.0", "priority": "high"}),
    ] {
        assert!(is_architecture(&envelope), "{envelope}");
    }
    for envelope in [
        json!({"userId": 7}),
        json!({"userId": 7, "messageId": "m"}),
        json!({"userId": 7, "priority": "high"}),
        json!({"userId": 7, "metadata": {}}),
    ] {
        assert!(!is_architecture(&envelope), "{envelope}");
    }
}

#[test]
fn what_tells_the_envelope_has_to_fit_it() {
    let guide = |field: &str, value: Value| {
        read(&with(with(started(), "userId", 7), field, value)).unwrap_err()
    };
    let architecture = |field: &str, value: Value| {
        read(&with(with(burned(), "userId", "7"), field, value)).unwrap_err()
    };
    assert_eq!(guide("messageId", json!("")), ["messageId"]);
    assert_eq!(guide("messageId", json!("x".repeat(129))), ["messageId"]);
    assert_eq!(guide("timestamp", json!("yesterday")), ["timestamp"]);
    assert_eq!(guide("category", json!("nft")), ["category"]);
    assert_eq!(guide("priority", json!("urgent")), ["priority"]);
    assert_eq!(guide("metadata", json!([])), ["metadata"]);
    for id in [json!(0), json!(-1), json!(1.5), json!(null)] {
        assert_eq!(guide("userId", id.clone()), ["userId"], "{id}");
    }
    // With a string it would be the architecture's, but for the message's id.
    let named = with(with(started(), "messageId", "m"), "userId", "7");
    assert_eq!(read(&named).unwrap_err(), ["userId"]);
    assert_eq!(architecture("eventId", json!("")), ["eventId"]);
    assert_eq!(architecture("source", json!(1)), ["source"]);
    assert_eq!(architecture("version", json!(1)), ["version"]);
    for id in ["", "a.b", "a b"] {
        assert_eq!(architecture("userId", json!(id)), ["userId"], "{id}");
    }
    let numbered = with(with(burned(), "eventId", "e"), "userId", 7);
    assert_eq!(read(&numbered).unwrap_err(), ["userId"]);
    let mixed = with(
        with(with(burned(), "userId", "7"), "eventId", "e"),
        "messageId",
        "m",
    );
    assert_eq!(read(&mixed).unwrap_err(), ["messageId"]);
    assert_eq!(
        read(&burned()).unwrap_err(),
        ["userId"],
        "the guide's, as nothing says otherwise"
    );
}

#[test]
fn what_was_left_out_is_filled_in() {
    let admitted = read(&with(started(), "userId", 7)).unwrap();
    let filled = payload(&admitted);
    assert_eq!(filled["messageId"], *admitted.id);
    assert_eq!(filled["category"], "system");
    assert_eq!(filled["priority"], "high");
    assert!(Timestamp::parse(filled["timestamp"].as_str().unwrap()).is_some());
    assert_eq!(filled.as_object().unwrap().len(), 7, "{filled}");

    let admitted = read(&with(burned(), "userId", "7")).unwrap();
    let filled = payload(&admitted);
    assert_eq!(filled["eventId"], *admitted.id);
    assert_eq!(
        (&filled["source"], &filled["version"]),
        (&json!("nft-service"), &json!("1.0.0"))
    );
    assert!(Timestamp::parse(filled["timestamp"].as_str().unwrap()).is_some());
    assert_eq!(filled.as_object().unwrap().len(), 7, "{filled}");
    assert_eq!(admitted.events[0].priority(), Priority::High);
}

#[test]
fn both_kinds_of_user_ids_are_one_user() {
    let number = read(&with(started(), "userId", 12_345)).unwrap();
    let data = json!({"previousQualifications": [], "currentQualifications": [], "volumeChange": 0,
        "badgeChanges": {"earned": [], "activated": [], "consumed": []}});
    let text = json!({"eventType": "tier_qualification_changed", "userId": "12345", "data": data});
    let text = read(&text).unwrap();
    for admitted in [number, text] {
        assert_eq!(admitted.events[0].channel().as_str(), "user.12345");
    }
}

#[test]
fn a_channel_that_is_named_has_to_be_the_users() {
    let to = |name: &str| read(&with(with(started(), "userId", 7), "channel", name));
    assert!(to("user.7").is_ok());
    for other in ["user.8", "room.1", "admin.nft", "user"] {
        assert_eq!(to(other).unwrap_err(), ["channel"], "{other}");
    }
}

#[test]
fn messages_go_to_the_user_or_to_a_room() {
    let message = json!({"eventType": "chat_message", "userId": 7, "data": {"text": "gm"}});
    let channel_of =
        |envelope: &Value| read(envelope).map(|admitted| admitted.events[0].channel().to_string());
    assert_eq!(channel_of(&message).unwrap(), "user.7");
    let to = |name: &str| channel_of(&with(message.clone(), "channel", name));
    assert_eq!(to("room.lobby").unwrap(), "room.lobby");
    assert_eq!(to("user.7").unwrap(), "user.7");
    assert_eq!(to("user.8").unwrap_err(), ["channel"]);
    assert_eq!(to("admin.nft").unwrap_err(), ["channel"]);
}

#[test]
fn what_is_internal_stays_inside() {
    let mut envelope = with(with(burned(), "userId", "7"), "internalId", "row 5");
    envelope["systemMetadata"] = json!({"host": "a"});
    envelope["data"] = json!({"nftId": "n", "internalId": 5, "systemMetadata": null});
    let admitted = read(&envelope).unwrap();
    let shown = payload(&admitted);
    assert_eq!(shown["data"], json!({"nftId": "n"}));
    assert!(shown.get("internalId").is_none() && shown.get("systemMetadata").is_none());
    let kept = admitted.events[0]
        .services()
        .unwrap()
        .payload
        .clone()
        .unwrap();
    let kept = serde_json::from_slice::<Value>(&kept).unwrap();
    for (name, value) in envelope.as_object().unwrap() {
        assert_eq!(&kept[name], value, "{name}");
    }
}

/// Of a type: its topics, and where it goes.
fn route<T: TypedEvent>() -> (
    &'static str,
    &'static [&'static str],
    &'static [&'static str],
) {
    (T::NAME, T::TOPICS, T::CHANNELS)
}

/// The mapping of the architecture document's publishing service, word for word, and who gets what by
/// the table of its section "Event Categories and Routing".
#[test]
fn topics_are_those_of_the_document_and_say_who_gets_an_event() {
    let routes = [
        route::<service::NftUnlocked>(),
        route::<service::NftUpgraded>(),
        route::<service::BadgeEarned>(),
        route::<service::NftMinted>(),
        route::<service::NftBurned>(),
        route::<service::VolumeMilestoneReached>(),
        route::<service::TierQualificationChanged>(),
        route::<service::NftUnlockFailed>(),
    ];
    let expected: [(&str, &[&str]); 8] = [
        ("nft_unlocked", &[USER_EVENTS, ANALYTICS]),
        ("nft_upgraded", &[USER_EVENTS, OPERATIONS]),
        ("badge_earned", &[USER_EVENTS, NOTIFICATIONS]),
        ("nft_minted", &[OPERATIONS, ANALYTICS]),
        ("nft_burned", &[OPERATIONS, ANALYTICS]),
        ("volume_milestone_reached", &[ANALYTICS]),
        ("tier_qualification_changed", &[ANALYTICS, USER_EVENTS]),
        ("nft_unlock_failed", &[OPERATIONS]),
    ];
    for ((name, topics, channels), expected) in routes.into_iter().zip(expected) {
        assert_eq!((name, topics), expected);
        let audience: &[&str] = if topics.contains(&USER_EVENTS) || topics.contains(&NOTIFICATIONS)
        {
            TO_USER
        } else if topics.contains(&OPERATIONS) {
            &["admin.nft"]
        } else {
            &[]
        };
        assert_eq!(channels, audience, "{name}");
    }
    // One mapping for both envelopes.
    assert_eq!(nft::Unlocked::TOPICS, service::NftUnlocked::TOPICS);
    assert_eq!(badge::Earned::TOPICS, service::BadgeEarned::TOPICS);
}

/// By priority and guarantee, as the guide's tables have it; what the NFT service says is high and must
/// arrive.
#[test]
fn retries_are_those_of_the_guide() {
    let catalog = Aiw3::catalog();
    let seconds = |event: &str, user: Value| {
        let envelope = json!({"eventType": event, "userId": user}).to_string();
        let pauses = catalog.retry(envelope.as_bytes()).unwrap().pauses();
        pauses.map(|pause| pause.as_secs()).collect::<Vec<_>>()
    };
    let of_guide = |event| seconds(event, json!(7));
    let of_service = |event| seconds(event, json!("7"));
    assert_eq!(of_guide("transaction_failed"), [1, 2, 4, 8, 16]);
    assert_eq!(of_guide("rank_changed"), [1, 2, 3]);
    assert_eq!(of_guide("leaderboard_update"), [0]);
    for best_effort in [
        "badge_earned",
        "badge_activated",
        "avatar_changed",
        "chat_message",
    ] {
        assert_eq!(of_guide(best_effort), [0; 0], "{best_effort}");
    }
    for event in architecture().names() {
        assert_eq!(of_service(event), [1, 2, 4, 8, 16], "{event}");
    }
}

#[test]
fn badges_avatars_and_messages_are_best_effort() {
    let guarantees = include_str!("../../fixtures/aiw3.jsonl")
        .lines()
        .map(|line| {
            let envelope = serde_json::from_str::<Value>(line).unwrap();
            let family = envelope["category"].as_str().unwrap_or_default().to_owned();
            (family, read(&envelope).unwrap().events[0].guarantee())
        });
    let best_effort = guarantees.filter(|(_, guarantee)| *guarantee == Guarantee::BestEffort);
    let families = best_effort
        .map(|(family, _)| family)
        .collect::<BTreeSet<_>>();
    assert_eq!(
        families.into_iter().collect::<Vec<_>>(),
        ["avatar", "badge", "user"]
    );
}

#[test]
fn channels_are_for_those_whom_they_concern() {
    let mut someone = Identity::new("7").unwrap();
    let may = |identity: &Identity, name: &str| {
        let channel = channel(name);
        is_allowed(identity, &Action::Subscribe(&channel))
    };
    for open in ["user.7", "user.7.x", "room.1", "room.lobby"] {
        assert!(may(&someone, open), "{open}");
    }
    for closed in [
        "user.8",
        "user",
        "user.77",
        "admin.nft",
        "admin",
        "room",
        "room.1.x",
        "thread.1",
    ] {
        assert!(!may(&someone, closed), "{closed}");
    }
    someone.roles = vec!["Admin".into(), "user".into()];
    assert!(!may(&someone, "admin.nft"), "roles are compared exactly");
    someone.roles = vec!["admin".into()];
    assert!(may(&someone, "admin.nft"));
    assert!(!may(&someone, "user.8"));
    for (name, allowed) in [("room.1", true), ("user.7", false), ("admin.nft", false)] {
        let channel = channel(name);
        let publish = Action::Publish(&channel, "chat_message");
        assert_eq!(is_allowed(&someone, &publish), allowed, "{name}");
    }
}

#[test]
fn the_welcome_names_the_user_as_a_number_where_the_id_is_one() {
    for (user, expected) in [
        ("12345", json!(12_345)),
        ("007", json!("007")),
        ("anna", json!("anna")),
    ] {
        let welcome = welcome(&Identity::new(user).unwrap());
        let welcome = serde_json::from_str::<Value>(&welcome).unwrap();
        assert_eq!(welcome["type"], "connection_established");
        assert_eq!(welcome["userId"], expected);
        assert_eq!(
            welcome["message"],
            "NFT event stream connected successfully"
        );
        assert!(Timestamp::parse(welcome["timestamp"].as_str().unwrap()).is_some());
    }
}
