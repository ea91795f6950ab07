//! Events as AIW3's backends might publish them, in lifelike proportions.

mod announcements;
mod guide;
mod service;

use std::f64::consts::TAU;

use jiff::{SignedDuration, Timestamp};
use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use serde_json::{Value, json};

const TIERS: &[&str] = &[
    "Tech Chicken",
    "Crypto Chicken",
    "Golden Chicken",
    "Diamond Chicken",
    "Quantum Chicken",
];
const TRADERS: &[&str] = &[
    "MoonWhale",
    "TopTrader2024",
    "CryptoKing",
    "TradeMaster",
    "MarketMover",
    "SatoshiFan",
];
const BADGES: &[(&str, &str)] = &[
    ("First Trade", "common"),
    ("Volume Milestone - 1K", "common"),
    ("Volume Milestone - 10K", "uncommon"),
    ("Night Owl", "rare"),
    ("Iron Hands", "epic"),
    ("Founding Trader", "legendary"),
];
const COMPETITION: &str = "comp_q1_2024";
const COMPETITION_NAME: &str = "Q1 2024 Trading Championship";
/// Bitcoin's alphabet of Base58.
const BASE58: &[u8] = b"123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";

/// One envelope: of a guide's event mostly, of what the NFT service says else. Progress outweighs what
/// it leads to, and everything outweighs trouble.
pub(super) fn envelope(random: &mut StdRng) -> Value {
    let mut scene = Scene::new(random);
    match scene.random.random_range(0..1_000) {
        0..850 => guide::envelope(&mut scene),
        _ => service::envelope(&mut scene),
    }
}

/// What the fields of one event have in common.
struct Scene<'a> {
    random: &'a mut StdRng,
    now: Timestamp,
    user: u64,
    /// An NFT of the user's, 1 to 4: there is always a next one.
    level: u64,
    badge: usize,
}

impl<'a> Scene<'a> {
    fn new(random: &'a mut StdRng) -> Self {
        // Half of it is the first one's, whose token the server prints.
        let user = match random.random_range(1..=TRADERS.len() as u64 + 4) {
            user if user > TRADERS.len() as u64 => 1,
            user => user,
        };
        // Each trader stays at a tier: the first one at the third.
        let level = 1 + (user + 1) % (TIERS.len() as u64 - 1);
        let badge = random.random_range(0..BADGES.len() - 1);
        Self {
            random,
            now: Timestamp::now(),
            user,
            level,
            badge,
        }
    }

    /// The time so many seconds from now.
    fn at(&self, seconds: i64) -> String {
        format!("{:.3}", self.now + SignedDuration::from_secs(seconds))
    }

    fn nft_id(&self, level: u64) -> String {
        format!("nft_tier_{level}_{}_{level:03}", self.user)
    }

    fn badge_id(&self, badge: usize) -> String {
        let name = BADGES[badge]
            .0
            .to_lowercase()
            .replace(" - ", "_")
            .replace(' ', "_");
        format!("badge_{name}")
    }

    /// An amount with two decimals.
    fn amount(&mut self, range: std::ops::Range<u64>) -> f64 {
        self.random.random_range(range.start * 100..range.end * 100) as f64 / 100.0
    }

    /// How far something is that goes on for `seconds`, and then begins anew, a little differently for
    /// each `what` of a trader: 0 to 1.
    fn course(&self, seconds: u64, what: u64) -> f64 {
        let so_far = self.now.as_millisecond() as f64 / 1_000.0 / seconds as f64;
        (so_far + 0.29 * what as f64 + 0.13 * self.user as f64).fract()
    }

    /// The trader's place in the competition: up and down between 20 and 70.
    fn rank(&self, user: u64) -> u64 {
        let turns = self.now.as_millisecond() as f64 / 90_000.0 + 0.37 * user as f64;
        (45.0 + 25.0 * (turns * TAU).sin()).round() as u64
    }

    fn number(&mut self, range: std::ops::Range<u64>) -> u64 {
        self.random.random_range(range)
    }

    fn base58(&mut self, length: usize) -> String {
        let digits = (0..length).map(|_| BASE58.choose(self.random).copied().unwrap_or(b'1'));
        digits.map(char::from).collect()
    }

    fn pick<'t>(&mut self, of: &[&'t str]) -> &'t str {
        of.choose(self.random).copied().unwrap_or_default()
    }

    fn chance(&mut self, percent: u32) -> bool {
        self.random.random_range(0..100) < percent
    }

    /// What an NFT is good for.
    fn benefits(&self, level: u64) -> Value {
        json!({
            "tradingFeeDiscount": 0.05 * level as f64, "aiAgentUses": 10 * level,
            "exclusiveAccess": ["premium_signals", "vip_chat"], "stakingBonus": 0.025 * level as f64,
            "prioritySupport": level > 1
        })
    }
}

/// The name of a tier.
fn tier(level: u64) -> &'static str {
    let at = usize::try_from(level.saturating_sub(1)).unwrap_or(usize::MAX);
    TIERS.get(at).copied().unwrap_or_default()
}

/// Two decimals.
fn cents(amount: f64) -> f64 {
    (amount * 100.0).round() / 100.0
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use fanfare::Config;
    use rand::SeedableRng;

    use super::*;
    use crate::aiw3::Aiw3;
    use crate::platform::Platform;

    #[test]
    fn every_sample_is_a_valid_event_and_every_event_occurs() {
        let catalog = Aiw3::catalog();
        let mut random = StdRng::seed_from_u64(7);
        let mut seen = BTreeSet::new();
        for _ in 0..20_000 {
            let envelope = envelope(&mut random);
            let read = catalog
                .read_from_server(envelope.to_string().as_bytes(), &Config::default().limits);
            assert!(read.is_ok(), "{envelope}: {read:?}");
            if let Some(change) = envelope["data"]["rankChange"].as_i64() {
                assert!(envelope["eventType"] != "rank_changed" || change.abs() >= 5);
            }
            let event = envelope["eventType"]
                .as_str()
                .unwrap_or_default()
                .to_owned();
            seen.insert((event, envelope["userId"].is_string()));
        }
        let names = seen
            .iter()
            .map(|(name, _)| &**name)
            .collect::<BTreeSet<_>>();
        assert_eq!(names, catalog.names().collect());
        assert_eq!(seen.len(), 32, "two of them in both envelopes");
    }

    #[test]
    fn the_stream_is_the_same_every_time() {
        let stream = || {
            let mut random = StdRng::seed_from_u64(1);
            let names = (0..500).map(|_| envelope(&mut random)["eventType"].to_string());
            names.collect::<Vec<_>>()
        };
        assert_eq!(stream(), stream());
    }
}
