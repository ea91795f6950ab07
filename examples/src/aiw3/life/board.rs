//! The competition: who is ahead of whom, and who is told.

use std::cmp::Reverse;
use std::collections::HashMap;

use rand::Rng;
use rand::rngs::StdRng;
use serde_json::{Value, json};

use super::{TRADERS, base58, cents, guide, usdt};
use crate::aiw3::ranks::{RankMove, RankTracker};
use crate::demo::Scene;

/// So many have a chance; the others are far behind.
const AHEAD: usize = 120;
const PARTICIPANTS: u64 = 8_750;
/// What one of the others has traded, in cents.
const OTHERS: u64 = 500_000;
const DAYS: u64 = 90;
/// A competition takes so many turns.
const TURNS: u64 = 2_000;
/// How much a competitor gains at most from one telling to the next when the competition ends, in
/// cents.
const GAIN: u64 = 800_000;
/// Between these ranks those go up and down who are not among the leaders.
const FIELD: std::ops::Range<u64> = 22..68;
/// Up to this rank there are prizes.
const PRIZES: u64 = 10;

/// Those who have a chance, and what everyone was told of them.
#[derive(Debug)]
pub(super) struct Board {
    /// How many competitions there were before.
    past: u64,
    turns: u64,
    /// The best is the first.
    competitors: Vec<Competitor>,
    tracker: RankTracker,
    /// What each trader was shown last: the rank, and the volume in cents.
    shown: HashMap<u64, (u64, u64)>,
}

#[derive(Clone, Debug)]
struct Competitor {
    user: u64,
    nickname: String,
    /// What was traded in the competition, in cents.
    volume: u64,
    /// What was gained last.
    gain: u64,
    pace: Pace,
}

/// How a competitor gets on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pace {
    Even,
    /// Overtakes others, until among the first of the field.
    Fast,
    /// Is overtaken, until among the last of the field.
    Slow,
}

impl Board {
    /// One in the midst of a competition.
    pub(super) fn new(random: &mut StdRng) -> Self {
        let mut board = Self {
            past: 0,
            turns: TURNS * 2 / 3,
            competitors: Vec::new(),
            tracker: RankTracker::default(),
            shown: HashMap::new(),
        };
        board.line_up(random);
        board
    }

    pub(super) fn turn(&mut self, scene: &mut Scene) {
        self.turns += 1;
        if self.turns == TURNS {
            self.end(scene);
        }
    }

    /// Shows a trader how the competition stands, and tells of the rank where it moved far enough.
    pub(super) fn show(&mut self, user: u64, scene: &mut Scene) {
        self.go_on(scene);
        let at = self.place(user);
        let own = &self.competitors[at];
        let (rank, volume) = (at as u64 + 1, own.volume);
        let (last_rank, last_volume) = self
            .shown
            .insert(user, (rank, volume))
            .unwrap_or((rank, volume));
        let ranked = |at: usize| {
            let each = &self.competitors[at];
            json!({
                "rank": at + 1, "userId": each.user, "nickname": each.nickname,
                "tradingVolume": usdt(each.volume), "volumeChange": usdt(each.gain)
            })
        };
        let neighbours = [at.checked_sub(1), Some(at + 1).filter(|at| *at < AHEAD)];
        let data = json!({
            "competitionId": self.id(),
            "userRank": {
                "rank": rank, "tradingVolume": usdt(volume), "percentile": percentile(rank),
                "rankChange": last_rank as i64 - rank as i64, "volumeChange": usdt(volume - last_volume)
            },
            "topRanks": (0..3).map(ranked).collect::<Value>(),
            "nearbyRanks": neighbours.into_iter().flatten().map(ranked).collect::<Value>(),
            "competitionStats": {
                "totalParticipants": PARTICIPANTS, "totalVolume": usdt(self.total()),
                "averageVolume": cents(usdt(self.total()) / PARTICIPANTS as f64), "medianVolume": usdt(OTHERS),
                "timeRemaining": self.time_remaining()
            }
        });
        guide("leaderboard_update", user, data, scene);
        if let Some(moved) = self.tracker.observe(user, rank) {
            self.tell_moved(user, moved, volume - last_volume, scene);
        }
    }

    fn tell_moved(&self, user: u64, moved: RankMove, gained: u64, scene: &mut Scene) {
        let at = self.place(user);
        let volume = self.competitors[at].volume;
        let distance = |to: usize| {
            let gap = self.competitors[to].volume.saturating_sub(volume);
            json!({
                "rank": to + 1, "volumeGap": usdt(gap),
                "percentageGap": cents(100.0 * gap as f64 / volume as f64)
            })
        };
        let projected = usdt(volume) * GAIN as f64 / self.so_far(GAIN) as f64;
        let data = json!({
            "competitionId": self.id(), "competitionName": self.name(),
            "oldRank": moved.old, "newRank": moved.new, "rankChange": moved.places(),
            "direction": moved.direction(), "currentTradingVolume": usdt(volume), "volumeChange": usdt(gained),
            "percentile": percentile(moved.new),
            "percentileChange": cents(percentile(moved.new) - percentile(moved.old)),
            "distanceToNextRank": distance(at.saturating_sub(1)),
            "distanceToPrizeRank": distance(at.min(PRIZES as usize - 1)),
            "timeRemaining": self.time_remaining(), "projectedFinalRank": moved.new,
            "projectedFinalVolume": cents(projected)
        });
        guide("rank_changed", user, data, scene);
    }

    /// The competition ends, those who won something are told, and the next one begins.
    fn end(&mut self, scene: &mut Scene) {
        let (id, name) = (self.id(), self.name());
        for user in users() {
            let data = json!({"competitionId": id, "competitionName": name});
            guide("competition_ended", user, data, scene);
        }
        for (at, winner) in self.competitors.iter().take(PRIZES as usize).enumerate() {
            if users().contains(&winner.user) {
                self.tell_awarded(at as u64 + 1, winner, scene);
            }
        }
        self.past += 1;
        self.turns = 0;
        self.tracker = RankTracker::default();
        self.shown.clear();
        self.line_up(&mut scene.random);
        for user in users() {
            self.tell_started(user, scene);
        }
    }

    fn tell_awarded(&self, rank: u64, winner: &Competitor, scene: &mut Scene) {
        let (mint, hash, token) = (
            base58(44, scene),
            base58(88, scene),
            scene.number(1_000_000_000..9_999_999_999).to_string(),
        );
        let data = json!({
            "competitionId": self.id(), "competitionName": self.name(), "finalRank": rank,
            "totalParticipants": PARTICIPANTS, "percentile": percentile(rank),
            "finalTradingVolume": usdt(winner.volume), "prizeAmount": prize(rank),
            "nftReward": {
                "nftId": format!("{}_nft_{rank:03}", self.id()), "name": "Elite Trader",
                "description": "Awarded for a finish among the first ten", "rarity": "epic",
                "imageUrl": "https://nft.example.com/elite.png", "tokenId": token,
                "mintAddress": mint, "estimatedValue": prize(rank),
                "benefits": {
                    "tradingFeeDiscount": 0.05, "exclusiveAccess": ["competition_insights"], "prioritySupport": true
                }
            },
            "awardedAt": scene.at(0), "transactionHash": hash,
            "competitionStats": {
                "duration": format!("{DAYS} days"), "totalVolume": usdt(self.total()),
                "averageVolume": cents(usdt(self.total()) / PARTICIPANTS as f64),
                "topVolume": usdt(self.competitors[0].volume)
            }
        });
        guide("competition_nft_awarded", winner.user, data, scene);
    }

    fn tell_started(&self, user: u64, scene: &mut Scene) {
        let prizes = [("1-1", 1), ("2-3", 2), ("4-10", 4)].map(|(range, rank)| {
            json!({
                "rankRange": range, "prizeAmount": prize(rank),
                "nftReward": {
                    "name": "Elite Trader", "rarity": "epic", "imageUrl": "https://nft.example.com/elite.png"
                }
            })
        });
        let data = json!({
            "competitionId": self.id(), "competitionName": self.name(),
            "description": "Quarterly trading volume competition with NFT rewards",
            "startDate": scene.at(0), "endDate": scene.at(DAYS as i64 * 86_400),
            "registrationDeadline": scene.at(2_592_000), "totalPrizePool": 100_000, "currency": "USDT",
            "participantLimit": 10_000, "currentParticipants": PARTICIPANTS,
            "eligibilityRequirements": {
                "minimumTradingVolume": 1_000, "accountAgeMinimumDays": 30, "kycRequired": true
            },
            "prizeStructure": prizes,
            "rules": ["Only spot trading volume counts", "Wash trading will result in disqualification"]
        });
        guide("competition_started", user, data, scene);
    }

    /// Everyone takes a place as at this time of a competition: three traders lead, the others are in
    /// the field.
    fn line_up(&mut self, random: &mut StdRng) {
        let mut nicknames =
            (1..).map(|number| (10_000 + 37 * number, format!("Trader{number:03}")));
        let traders = [(0, 2), (1, 3), (2, 4), (44, 1), (30, 5), (58, 6)];
        self.competitors.clear();
        for at in 0..AHEAD {
            let trader = traders.iter().find(|(place, _)| *place == at);
            let (user, nickname) = match trader {
                Some((_, user)) => (*user, TRADERS[*user as usize - 1].to_owned()),
                None => nicknames.next().expect("numbers do not run out"),
            };
            let pace = match (users().contains(&user), at > PRIZES as usize) {
                (true, true) => [Pace::Fast, Pace::Slow][random.random_range(0..2)],
                _ => Pace::Even,
            };
            // The leaders are far ahead, and each of the others not far from the next.
            let most = 120_000_000 - 600_000 * at as u64 + if at < 3 { 300_000_000 } else { 0 };
            let volume = self.so_far(most) + random.random_range(0..self.so_far(300_000));
            self.competitors.push(Competitor {
                user,
                nickname,
                volume,
                gain: 0,
                pace,
            });
        }
        self.sort();
    }

    /// Everyone trades, some more than others.
    fn go_on(&mut self, scene: &mut Scene) {
        let most = self.so_far(GAIN);
        for at in 0..AHEAD {
            let rank = at as u64 + 1;
            let gain = match self.competitors[at].pace {
                Pace::Even => scene.number(0..most),
                Pace::Fast => scene.number(most..5 * most),
                Pace::Slow => scene.number(0..most / 8),
            };
            let competitor = &mut self.competitors[at];
            competitor.volume += gain;
            competitor.gain = gain;
            competitor.pace = match competitor.pace {
                Pace::Fast if rank < FIELD.start => Pace::Slow,
                Pace::Slow if rank > FIELD.end => Pace::Fast,
                pace => pace,
            };
        }
        self.sort();
    }

    fn sort(&mut self) {
        self.competitors.sort_by_key(|each| Reverse(each.volume));
    }

    /// What it comes to at this time, of what it is in the end.
    fn so_far(&self, most: u64) -> u64 {
        most * (self.turns + TURNS / 10) / (TURNS + TURNS / 10)
    }

    fn place(&self, user: u64) -> usize {
        let place = self.competitors.iter().position(|each| each.user == user);
        place.expect("every trader competes")
    }

    fn total(&self) -> u64 {
        let ahead = self.competitors.iter().map(|each| each.volume);
        ahead.sum::<u64>() + OTHERS * (PARTICIPANTS - AHEAD as u64)
    }

    fn id(&self) -> String {
        let (quarter, year) = self.quarter();
        format!("comp_q{quarter}_{year}")
    }

    fn name(&self) -> String {
        let (quarter, year) = self.quarter();
        format!("Q{quarter} {year} Trading Championship")
    }

    fn quarter(&self) -> (u64, u64) {
        (self.past % 4 + 1, 2024 + self.past / 4)
    }

    fn time_remaining(&self) -> String {
        let minutes = DAYS * 1_440 * (TURNS - self.turns) / TURNS;
        let (days, hours) = (minutes / 1_440, minutes / 60 % 24);
        format!("{days} days, {hours} hours, {} minutes", minutes % 60)
    }
}

fn users() -> std::ops::RangeInclusive<u64> {
    1..=TRADERS.len() as u64
}

fn percentile(rank: u64) -> f64 {
    cents(100.0 - 100.0 * rank as f64 / PARTICIPANTS as f64)
}

/// In USDT.
fn prize(rank: u64) -> u64 {
    match rank {
        1 => 25_000,
        2 | 3 => 10_000,
        _ => 5_000,
    }
}
