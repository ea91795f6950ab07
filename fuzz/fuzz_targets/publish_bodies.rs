//! Whatever a backend posts, reading it does not panic, and an envelope that is accepted leaves as
//! one line of JSON with everything in it that was sent.

#![no_main]

use std::collections::BTreeMap;
use std::sync::LazyLock;

use fanfare::catalog::Admitted;
use fanfare::{Catalog, Config, ErrorKind};
use fanfare_examples::mechamap::MechaMap;
use fanfare_examples::platform::Platform;
use libfuzzer_sys::fuzz_target;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

static CATALOG: LazyLock<Catalog> = LazyLock::new(MechaMap::catalog);
static CONFIG: LazyLock<Config> = LazyLock::new(Config::default);

/// What every envelope has in the end.
const ALWAYS: [&str; 6] = [
    "event",
    "data",
    "channel",
    "priority",
    "timestamp",
    "metadata",
];

fuzz_target!(
    |data: &[u8]| match CATALOG.read_from_server(data, &CONFIG.limits) {
        Ok(admitted) => {
            let sent = envelopes(data);
            assert_eq!(admitted.len(), sent.len());
            for (admitted, sent) in admitted.iter().zip(sent) {
                check(admitted, sent);
            }
        }
        Err(error) => match error.kind() {
            ErrorKind::InvalidEvent => assert!(!error.problems().is_empty()),
            ErrorKind::BadRequest | ErrorKind::TooLarge => assert!(error.problems().is_empty()),
            other => panic!("{other:?}: {error}"),
        },
    }
);

fn envelopes(body: &[u8]) -> Vec<&RawValue> {
    match serde_json::from_slice::<Vec<&RawValue>>(body) {
        Ok(batch) => batch,
        Err(_) => vec![serde_json::from_slice(body).expect("what was read is JSON")],
    }
}

fn check(admitted: &Admitted, sent: &RawValue) {
    let [event] = &admitted.events[..] else {
        panic!("an event of this platform has one channel")
    };
    let payload = std::str::from_utf8(event.payload()).expect("the payload is UTF-8");
    assert!(!payload.contains(['\n', '\r']));
    serde_json::from_str::<IgnoredAny>(payload).expect("the payload is JSON");

    let before = members(sent.get());
    let after = members(payload);
    for (name, value) in &before {
        assert_eq!(without_spaces(value.get()), after[name].get(), "{name}");
    }
    let sent = without_spaces(sent.get());
    let added = payload
        .strip_prefix(&sent[..sent.len() - 1])
        .expect("what was sent stands first");
    assert_eq!(added == "}", before.len() == after.len());
    for name in ALWAYS {
        assert!(after.contains_key(name), "{name} is missing");
    }
    let text =
        |name| serde_json::from_str::<String>(after[name].get()).expect("the member is a string");
    assert_eq!(text("event"), event.name());
    assert_eq!(text("channel"), event.channel().as_str());
    assert_eq!(text("priority"), event.priority().as_str());
    assert!(CATALOG.knows(event.channel()));

    let again = CATALOG.read_from_server(payload.as_bytes(), &CONFIG.limits);
    let again = again.expect("what was completed is complete");
    assert_eq!(again[0].events[0].payload(), event.payload());
    assert_eq!(again[0].events[0].channel(), event.channel());
    assert_eq!(again[0].events[0].priority(), event.priority());
    assert_eq!(again[0].events[0].conflation_key(), event.conflation_key());
}

fn members(json: &str) -> BTreeMap<String, &RawValue> {
    serde_json::from_str(json).expect("an envelope is an object")
}

/// A JSON value without the spaces between its tokens.
fn without_spaces(json: &str) -> String {
    let mut kept = String::new();
    let mut rest = json;
    while let Some(quote) = rest.find('"') {
        kept.extend(rest[..quote].split_ascii_whitespace());
        let text = &rest[quote..];
        let mut escaped = true;
        let end = text.find(|c| {
            let ends = c == '"' && !escaped;
            escaped = c == '\\' && !escaped;
            ends
        });
        let end = end.expect("a string ends") + 1;
        kept.push_str(&text[..end]);
        rest = &text[end..];
    }
    kept.extend(rest.split_ascii_whitespace());
    kept
}
