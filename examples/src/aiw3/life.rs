//! What AIW3's backends might publish: the same traders for ever, in lifelike proportions.
//!
//! Both of its documents tell the story, each in its envelope.

mod badges;
mod board;
mod nft;
mod notices;
mod portfolio;
#[cfg(test)]
mod tests;

use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use serde_json::{Value, json};

use self::board::Board;
use self::notices::Notices;
use self::portfolio::Portfolio;
use crate::demo::Scene;

/// User 1 is the one whose token the server prints; half of it is the first one's.
const TRADERS: [&str; 6] = [
    "MoonWhale",
    "TopTrader2024",
    "CryptoKing",
    "TradeMaster",
    "MarketMover",
    "SatoshiFan",
];
const MESSAGES: &[&str] = &[
    "gm",
    "Which badge is next for you?",
    "Gas is cheap right now.",
    "Top ten, here I come.",
    "Anyone staking already?",
];
/// Bitcoin's alphabet of Base58.
const BASE58: &[u8] = b"123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
/// So many turns apart everyone is told of something.
const BETWEEN_NOTICES: u64 = 250;

/// Progress outweighs what it leads to, and everything outweighs trouble.
pub(super) fn life(mut random: StdRng) -> impl Iterator<Item = Value> + Send + 'static {
    let mut exchange = Exchange::new(&mut random);
    Scene::play(random, move |scene| exchange.turn(scene))
}

/// Everyone who trades, and where.
#[derive(Debug)]
struct Exchange {
    portfolios: Vec<Portfolio>,
    board: Board,
    notices: Notices,
    turns: u64,
}

impl Exchange {
    fn new(random: &mut StdRng) -> Self {
        let users = 1..=TRADERS.len() as u64;
        Self {
            // Each has come to another tier.
            portfolios: users.map(|user| Portfolio::new(user, user % 5)).collect(),
            board: Board::new(random),
            notices: Notices::default(),
            turns: 0,
        }
    }

    fn turn(&mut self, scene: &mut Scene) {
        self.turns += 1;
        if self.turns.is_multiple_of(BETWEEN_NOTICES) {
            self.notices.turn(scene);
        }
        self.board.turn(scene);
        let at = scene.mostly_the_first(TRADERS.len());
        let portfolio = &mut self.portfolios[at];
        match scene.number(0..1_000) {
            0..370 => portfolio.trade(scene),
            370..670 => portfolio.strive(scene),
            670..860 => self.board.show(at as u64 + 1, scene),
            860..960 => chat(at as u64 + 1, scene),
            960..975 => portfolio.change_avatar(scene),
            975..990 => portfolio.claim_early(scene),
            _ => self.notices.alert(at as u64 + 1, scene),
        }
    }
}

/// In one of three rooms.
fn chat(user: u64, scene: &mut Scene) {
    let room = scene.pick(&["lobby", "competition", "nft-talk"]);
    let text = scene.pick(MESSAGES);
    scene.tell(json!({
        "eventType": "chat_message", "userId": user, "channel": format!("room.{room}"),
        "data": {"from": TRADERS[user as usize - 1], "text": text}
    }));
}

/// What a user is told by the guide; the server fills in the rest.
fn guide(event: &str, user: u64, data: Value, scene: &mut Scene) {
    let mut envelope = json!({"eventType": event, "userId": user});
    envelope["data"] = data;
    scene.tell(envelope);
}

/// What the NFT service says of a user.
fn service(event: &str, user: u64, data: Value, scene: &mut Scene) {
    let mut envelope = json!({"eventType": event, "userId": user.to_string()});
    envelope["data"] = data;
    scene.tell(envelope);
}

fn base58(length: usize, scene: &mut Scene) -> String {
    let random = &mut scene.random;
    let digits = (0..length).map(|_| BASE58.choose(random).copied().unwrap_or(b'1'));
    digits.map(char::from).collect()
}

/// An amount with two decimals.
fn amount(range: std::ops::Range<u64>, scene: &mut Scene) -> f64 {
    usdt(
        scene
            .random
            .random_range(range.start * 100..range.end * 100),
    )
}

/// Of cents.
fn usdt(cents: u64) -> f64 {
    cents as f64 / 100.0
}

/// Two decimals.
fn cents(amount: f64) -> f64 {
    (amount * 100.0).round() / 100.0
}
