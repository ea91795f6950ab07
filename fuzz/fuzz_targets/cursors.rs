//! Whatever a client brings as its cursor or position, reading it does not panic: it is refused, or
//! it says of a channel what a cursor says that was written for it.

#![no_main]

use std::sync::LazyLock;

use fanfare::{Channel, Cursor, Epoch, Position, Resume};
use libfuzzer_sys::fuzz_target;

static CHANNELS: LazyLock<Vec<Channel>> = LazyLock::new(|| {
    let names = (0..4).map(|at| format!("thread.{at}"));
    names
        .map(|name| Channel::new(&name).expect("a name"))
        .collect()
});

fuzz_target!(|data: &[u8]| {
    if let Ok(text) = std::str::from_utf8(data) {
        brought(text);
    }
    written(data);
});

/// A text of a stranger.
fn brought(text: &str) {
    let Ok(resume) = text.parse::<Resume>() else {
        return;
    };
    assert!(
        text.bytes()
            .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b) || b == b'.')
    );
    let known = CHANNELS
        .iter()
        .filter_map(|channel| Some((channel.clone(), resume.position(channel)?)));
    let cursor = Cursor::from_iter(known);
    // Written anew it is a part of what was brought, to the letter.
    for entry in cursor
        .to_string()
        .split('.')
        .filter(|entry| !entry.is_empty())
    {
        assert!(
            text.split('.').any(|brought| brought == entry),
            "{entry} is not of {text}"
        );
    }
}

/// A text of ours: 17 bytes make a channel and its position, the later ones move the earlier.
fn written(data: &[u8]) {
    let mut cursor = Cursor::default();
    for entry in data.chunks_exact(17) {
        let channel = &CHANNELS[usize::from(entry[0]) % CHANNELS.len()];
        let number = |at: usize| u64::from_le_bytes(entry[at..at + 8].try_into().expect("8 bytes"));
        let position = Position {
            epoch: Epoch::new(number(1)),
            offset: number(9),
        };
        cursor.set(channel, position);
    }
    let text = cursor.to_string();
    if cursor.is_empty() {
        assert_eq!(text, "");
        return;
    }
    let resume = text.parse::<Resume>().expect("what we write we read");
    for channel in &*CHANNELS {
        assert_eq!(resume.position(channel), cursor.position(channel));
    }
}
