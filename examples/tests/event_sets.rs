//! The platforms' event sets are those of their documents, with what holds for each event.

#![allow(
    clippy::unwrap_used,
    reason = "a test ends where something unexpected comes"
)]

use std::collections::{BTreeMap, BTreeSet};

use fanfare_examples::described::documents;
use serde_json::Value;

/// What the documents say, a row for each event and envelope. The columns `priority`, `delivery` and
/// `channel` are empty where they say nothing; topics that services read stand as `topic:NAME`.
const ROWS: &str = include_str!("../fixtures/events.csv");

struct Row {
    event: &'static str,
    family: &'static str,
    priority: &'static str,
    delivery: &'static str,
    channels: BTreeSet<&'static str>,
}

fn rows(platform: &str) -> Vec<Row> {
    let rows = ROWS.lines().skip(1).map(|line| {
        let columns = line.split(',').collect::<Vec<_>>();
        let [of, event, family, priority, delivery, channels] = columns[..] else {
            panic!("{line}")
        };
        let row = Row {
            event,
            family,
            priority,
            delivery,
            channels: channels.split_whitespace().collect(),
        };
        (of, row)
    });
    let rows = rows.filter(|(of, _)| *of == platform).map(|(_, row)| row);
    rows.collect()
}

/// A platform's AsyncAPI document.
struct Described {
    /// Each message with its key, but for what clients publish.
    messages: Vec<(String, Value)>,
    /// The channels and topics that a message goes to.
    channels: BTreeMap<String, BTreeSet<String>>,
}

fn described(platform: &str) -> Described {
    let path = format!("{platform}/asyncapi.json");
    let all = documents();
    let text = all.iter().find(|document| document.path == path);
    let document = serde_json::from_str::<Value>(&text.unwrap().text).unwrap();
    let mut channels = BTreeMap::<_, BTreeSet<_>>::new();
    for (key, channel) in document["channels"].as_object().unwrap() {
        let address = channel["address"].as_str().unwrap_or_default();
        let address = match key.starts_with("topic.") {
            true => format!("topic:{address}"),
            false => address.to_owned(),
        };
        for message in channel["messages"].as_object().unwrap().keys() {
            let of_message = channels.entry(message.clone()).or_default();
            of_message.insert(address.clone());
        }
    }
    let messages = document["components"]["messages"].as_object().unwrap();
    let messages = messages
        .iter()
        .filter(|(key, _)| !key.ends_with(".from-client"));
    Described {
        messages: messages.map(|(k, v)| (k.clone(), v.clone())).collect(),
        channels,
    }
}

/// The names of ids differ: `user.{userId}`, `user.{buyer_id}`.
fn shape(channel: &str) -> String {
    let segments = channel.split('.');
    let segments = segments.map(|segment| match segment.starts_with('{') {
        true => "{}",
        false => segment,
    });
    segments.collect::<Vec<_>>().join(".")
}

#[test]
fn there_are_137_of_them() {
    let platforms = ["aiw3", "gamification", "sportscenter", "mechamap"];
    let counts = platforms.map(|platform| rows(platform).len());
    assert_eq!(counts, [34, 18, 66, 19]);
    assert_eq!(counts.iter().sum::<usize>(), 137);
    for (platform, count) in platforms.into_iter().zip(counts) {
        assert_eq!(described(platform).messages.len(), count, "{platform}");
    }
}

#[test]
fn each_is_described_as_its_document_has_it() {
    for platform in ["aiw3", "gamification", "sportscenter", "mechamap"] {
        let Described {
            mut messages,
            channels,
        } = described(platform);
        for row in rows(platform) {
            let fits = |(_, message): &(String, Value)| {
                // Control messages have no family.
                let family = message["x-fanfare"]["family"].as_str();
                message["name"] == row.event && family.is_none_or(|family| family == row.family)
            };
            let at = messages.iter().position(fits);
            let at = at.unwrap_or_else(|| panic!("{platform}: {} {}", row.family, row.event));
            // Each row has one of its own.
            let (key, message) = messages.swap_remove(at);
            let about = &message["x-fanfare"];
            let is_as_said = |said: &str, is: &Value| said.is_empty() || *is == said;
            let event = row.event;
            assert!(
                is_as_said(row.priority, &about["priority"]),
                "{event}: {about}"
            );
            // Typing indicators are live only, which no document calls a guarantee.
            assert!(
                is_as_said(row.delivery, &about["guarantee"]),
                "{event}: {about}"
            );
            let known = channels.get(&key).cloned().unwrap_or_default();
            let known = known.iter().map(|channel| shape(channel));
            let known = known.collect::<BTreeSet<_>>();
            for channel in &row.channels {
                assert!(
                    known.contains(&shape(channel)),
                    "{event}: {channel} of {known:?}"
                );
            }
            let topics = |channel: &&str| channel.starts_with("topic:");
            let said = row
                .channels
                .iter()
                .filter(|channel| topics(channel))
                .count();
            let has = known
                .iter()
                .filter(|channel| topics(&channel.as_str()))
                .count();
            // Where a document names no topic, its services may have one all the same.
            assert!(said == 0 || said == has, "{event}: {known:?}");
        }
        assert!(
            messages.is_empty(),
            "{platform}: in no document: {messages:?}"
        );
    }
}
