//! What was published, and what has come of it.

use std::collections::BTreeMap;

use rand::Rng;
use rand::rngs::SmallRng;
use serde::{Deserialize, Serialize};

use super::Received;
use crate::channel::Channel;
use crate::event::{Event, Priority};
use crate::testing::promise;

const BYTE_FOR_BYTE: &str = "a payload arrives byte for byte";

/// The payload of an event: enough to make it again.
#[derive(Serialize, Deserialize)]
struct Numbered {
    channel: Channel,
    number: u64,
    bytes: usize,
}

/// What JSON allows and a careless writer changes: escapes, numbers, order, repeated keys.
const TRAPS: &str = r#""z":1.50,"a":12345678901234567890,"e":1E+2,"t":"\u0000\n\t\\\" \/ é 漢字 🎺 </script>","z":[]"#;

/// The payload of the event of a channel with a number, at least so long.
fn payload(channel: &Channel, number: u64, bytes: usize) -> String {
    let mut payload =
        format!(r#"{{"channel":"{channel}","number":{number},"bytes":{bytes},{TRAPS},"pad":""#);
    let missing = bytes.saturating_sub(payload.len() + 2);
    // Not the same anywhere: a piece that is repeated or left out shows.
    while payload.len() < bytes.saturating_sub(2) && missing > 0 {
        payload.push(char::from(
            b'a' + (payload.len() * 7 + number as usize) as u8 % 26,
        ));
    }
    payload.push_str("\"}");
    payload
}

pub(super) fn channel(number: u32) -> Channel {
    Channel::new(&format!("conformance.{number}")).expect("the name is of the alphabet")
}

pub(super) fn channels(count: u32) -> Vec<Channel> {
    (0..count).map(channel).collect()
}

/// Makes events, numbered in each channel from 1.
#[derive(Clone, Debug, Default)]
pub(super) struct Published(BTreeMap<Channel, u64>);

impl Published {
    pub(super) fn event(&mut self, channel: &Channel, bytes: usize) -> Event {
        let number = self.0.entry(channel.clone()).or_default();
        *number += 1;
        Event::new(
            channel.clone(),
            "numbered",
            payload(channel, *number, bytes),
        )
        .expect("the payload is JSON")
    }

    /// An event that counts for nobody.
    pub(super) fn uncounted(channel: &Channel) -> Event {
        Event::new(channel.clone(), "numbered", payload(channel, 0, 0))
            .expect("the payload is JSON")
    }

    pub(super) fn random(&mut self, channels: &[Channel], random: &mut SmallRng) -> Event {
        let channel = &channels[random.random_range(0..channels.len())];
        let bytes = match random.random_range(0..50) {
            0 => 20_000,
            1..10 => 2_000,
            _ => 0,
        };
        self.event(channel, bytes)
            .with_priority(Priority::ALL[random.random_range(0..3)])
    }
}

/// What one client has got. Every event has to come once, in the order of its channel.
#[derive(Clone, Debug)]
pub(super) struct Ledger {
    newest: BTreeMap<Channel, u64>,
    seed: u64,
}

impl Ledger {
    /// Of a client that gets these channels from the first event on.
    pub(super) fn of(channels: &[Channel], seed: u64) -> Self {
        Self {
            newest: channels.iter().map(|c| (c.clone(), 0)).collect(),
            seed,
        }
    }

    pub(super) fn take(&mut self, received: &Received) {
        let (channel, number) = self.read(received);
        let seed = self.seed;
        promise!(
            number > 0,
            "an ephemeral event reaches only those who are there, and no transport that delivers none",
            "one in {channel} (seed {seed})"
        );
        let Some(newest) = self.newest.get_mut(&channel) else {
            panic!(
                "broken promise: a client gets the channels that it subscribed to\n  seen: an event \
                 of {channel} (seed {seed})"
            );
        };
        promise!(
            number > *newest,
            "an event arrives once",
            "event {number} of {channel} after {newest} (seed {seed})"
        );
        promise!(
            number == *newest + 1,
            "every event arrives, in the order of its channel",
            "event {number} of {channel} where {} was next (seed {seed})",
            *newest + 1
        );
        *newest = number;
    }

    /// Takes an event which must be the uncounted one.
    pub(super) fn take_uncounted(&self, received: &Received) {
        let (channel, number) = self.read(received);
        promise!(
            number == 0,
            "an ephemeral event arrives with those who are there, in its place",
            "event {number} of {channel} instead"
        );
    }

    fn read(&self, received: &Received) -> (Channel, u64) {
        let seed = self.seed;
        let payload_text = String::from_utf8_lossy(&received.payload);
        let numbered = serde_json::from_slice::<Numbered>(&received.payload);
        let Ok(Numbered {
            channel,
            number,
            bytes,
        }) = numbered
        else {
            panic!("broken promise: {BYTE_FOR_BYTE}\n  seen: {payload_text} (seed {seed})");
        };
        let expected = payload(&channel, number, bytes);
        promise!(
            received.payload == expected,
            BYTE_FOR_BYTE,
            "{payload_text} in place of {expected} (seed {seed})"
        );
        if let Some(named) = &received.channel {
            promise!(
                named == channel.as_str(),
                "an event arrives under its own channel",
                "one of {channel} under {named} (seed {seed})"
            );
        }
        (channel, number)
    }

    /// Whether everything has come.
    pub(super) fn has_all(&self, published: &Published) -> bool {
        self.newest.iter().all(|(channel, newest)| {
            published.0.get(channel).copied().unwrap_or_default() == *newest
        })
    }

    /// Whether this many have come, over all channels.
    pub(super) fn count(&self) -> u64 {
        self.newest.values().sum()
    }
}
