//! A channel name is accepted exactly where the grammar says so, and stays what it was.

#![no_main]

use fanfare::{Channel, ChannelError, MAX_CHANNEL_BYTES};
use libfuzzer_sys::fuzz_target;

const ALPHABET: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-:";

fuzz_target!(|data: &[u8]| {
    let Ok(name) = std::str::from_utf8(data) else {
        return;
    };
    assert_eq!(Channel::is_segment(name), is_segment(name));
    match Channel::new(name) {
        Ok(channel) => {
            assert!(is_name(name));
            assert_eq!(channel.as_str(), name);
            assert_eq!(channel.to_string(), name);
            assert_eq!(name.parse(), Ok(channel.clone()));
            assert_eq!(channel.segments().collect::<Vec<_>>().join("."), name);
            assert_eq!(channel.segments().next(), Some(channel.family()));
            let json = serde_json::to_string(&channel).unwrap();
            // Codecs write names into JSON as they are.
            assert_eq!(json, format!("\"{name}\""));
            assert_eq!(serde_json::from_str::<Channel>(&json).unwrap(), channel);
        }
        Err(error) => {
            assert!(!is_name(name));
            assert_eq!(name.parse::<Channel>(), Err(error));
            assert!(names_the_place(error, name), "{error}");
        }
    }
});

fn is_segment(segment: &str) -> bool {
    !segment.is_empty()
        && segment.len() <= MAX_CHANNEL_BYTES
        && segment.chars().all(|c| ALPHABET.contains(c))
}

fn is_name(name: &str) -> bool {
    name.len() <= MAX_CHANNEL_BYTES && name.split('.').all(is_segment)
}

/// Whether what the error says is there.
fn names_the_place(error: ChannelError, name: &str) -> bool {
    match error {
        ChannelError::Empty => name.is_empty(),
        ChannelError::TooLong { bytes } => name.len() == bytes && bytes > MAX_CHANNEL_BYTES,
        ChannelError::EmptySegment { at } => {
            let (before, after) = name.split_at(at);
            (before.is_empty() || before.ends_with('.'))
                && (after.is_empty() || after.starts_with('.'))
        }
        ChannelError::Character { at, character } => {
            name[at..].starts_with(character) && character != '.' && !ALPHABET.contains(character)
        }
        _ => false,
    }
}
