use std::collections::{BTreeMap, BTreeSet};

use fanfare::Config;
use rand::SeedableRng;

use super::nft::{HIGHEST, tier};
use super::*;
use crate::aiw3::Aiw3;
use crate::aiw3::milestones::MILESTONES;
use crate::aiw3::ranks::SIGNIFICANT;
use crate::platform::Platform;

const LENGTH: usize = 5_000;

/// An event, whether the architecture document's, the user and the data.
struct Told {
    event: String,
    is_service: bool,
    user: u64,
    data: Value,
}

fn story(seed: u64) -> impl Iterator<Item = Told> {
    let life = life(StdRng::seed_from_u64(seed)).take(LENGTH);
    life.map(|mut envelope| {
        let user = &envelope["userId"];
        Told {
            is_service: user.is_string(),
            user: user.to_string().trim_matches('"').parse().unwrap(),
            event: text(&envelope["eventType"]),
            data: envelope["data"].take(),
        }
    })
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

fn float(value: &Value) -> f64 {
    value.as_f64().unwrap()
}

#[test]
fn every_event_occurs_and_is_valid() {
    let catalog = Aiw3::catalog();
    for seed in 1..4 {
        let mut seen = BTreeSet::new();
        for envelope in life(StdRng::seed_from_u64(seed)).take(LENGTH) {
            let read = catalog
                .read_from_server(envelope.to_string().as_bytes(), &Config::default().limits);
            assert!(read.is_ok(), "{envelope}: {read:?}");
            seen.insert((text(&envelope["eventType"]), envelope["userId"].is_string()));
        }
        let names = seen.iter().map(|(name, _)| &**name);
        assert_eq!(names.collect::<BTreeSet<_>>(), catalog.names().collect());
        assert_eq!(seen.len(), 32, "two of them in both envelopes");
    }
}

#[test]
fn the_same_seed_tells_the_same_story() {
    let told = |seed| {
        let events = story(seed).map(
            |Told {
                 event, user, data, ..
             }| {
                let kept = ["overallProgress", "newRank", "nftId", "mintAddress", "text"];
                (event, user, kept.map(|name| data[name].clone()))
            },
        );
        events.take(500).collect::<Vec<_>>()
    };
    assert_eq!(told(1), told(1));
    assert_ne!(told(1), told(2));
}

#[test]
fn the_first_user_has_half_of_it() {
    let of_first = story(1).filter(|told| told.user == 1).count();
    assert!((LENGTH * 2 / 5..LENGTH * 3 / 5).contains(&of_first));
}

/// What a user was told of tiers.
#[derive(Default)]
struct Climb {
    /// The tier in hand, once it is known.
    level: Option<u64>,
    nft: Option<String>,
    progress: f64,
    volume: f64,
    is_available: bool,
    avatar: Option<String>,
    /// What has to be told next.
    due: Vec<&'static str>,
}

impl Climb {
    fn rise(&mut self, to: u64, id: &Value, due: &[&'static str]) {
        self.level = Some(to);
        self.nft = Some(text(id));
        self.is_available = false;
        (self.progress, self.due) = (0.0, due.to_vec());
    }

    /// Whether the event is the one that is due, if any is.
    fn settle(&mut self, event: &str) {
        let is_due = [
            "nft_benefits_activated",
            "nft_avatar_unlocked",
            "avatar_changed",
        ];
        if !self.due.is_empty() {
            assert_eq!(event, self.due.remove(0));
        } else if event != "avatar_changed" {
            assert!(!is_due.contains(&event), "{event} for no reason");
        }
    }

    fn hear(&mut self, event: &str, data: &Value) {
        self.settle(event);
        match event {
            "nft_progress_update" => self.advance(data),
            "nft_upgrade_available" => {
                assert!(self.progress >= 100.0 && !self.is_available);
                assert_eq!(
                    data["targetLevel"].as_u64(),
                    self.level.map(|level| level + 1)
                );
                self.is_available = true;
            }
            "nft_unlocked" => {
                assert!(self.level.is_none_or(|level| level == 0));
                assert_eq!(data["nftLevel"], 1);
                assert!(self.progress >= 100.0);
                let due = [
                    "nft_benefits_activated",
                    "nft_avatar_unlocked",
                    "avatar_changed",
                ];
                self.rise(1, &data["nftId"], &due);
            }
            "nft_upgrade_completed" => {
                let level = data["newNftLevel"].as_u64().unwrap();
                assert!(self.is_available);
                assert_eq!(data["oldNftLevel"], level - 1);
                if let Some(nft) = &self.nft {
                    assert_eq!(data["oldNftId"], **nft);
                }
                let due = [
                    "nft_benefits_activated",
                    "nft_avatar_unlocked",
                    "avatar_changed",
                ];
                self.rise(level, &data["newNftId"], &due);
            }
            "nft_benefits_activated" | "nft_avatar_unlocked" => {
                assert_eq!(data["nftId"].as_str(), self.nft.as_deref());
                assert_eq!(data["nftLevel"].as_u64(), self.level);
            }
            "avatar_changed" => {
                let last = self.avatar.replace(text(&data["newAvatar"]["nftId"]));
                let before = text(&data["previousAvatar"]["nftId"]);
                assert_eq!(last.unwrap_or_else(|| before.clone()), before);
                assert_ne!(data["newAvatar"], data["previousAvatar"]);
            }
            _ => {}
        }
    }

    fn advance(&mut self, data: &Value) {
        let next = data["nftLevel"].as_u64().unwrap();
        assert_eq!(data["nftName"], tier(next));
        let (progress, volume) = (
            float(&data["overallProgress"]),
            float(&data["tradingVolumeCurrent"]),
        );
        if next == 1 && self.level == Some(HIGHEST) {
            // A new season.
            assert_eq!((progress, volume), (0.0, 0.0));
            (self.level, self.nft) = (Some(0), None);
            (self.progress, self.volume) = (0.0, 0.0);
        }
        assert_eq!(
            *self.level.get_or_insert(next - 1),
            next - 1,
            "towards the next tier"
        );
        assert!(!self.is_available, "all of it is done");
        assert!(progress >= self.progress && progress <= 100.0, "{data}");
        assert!(volume >= self.volume);
        let required = float(&data["tradingVolumeRequired"]);
        assert!(required == MILESTONES[next as usize - 1]);
        let is_done = volume >= required && data["badgesOwned"] == data["badgesRequired"];
        assert_eq!(progress >= 100.0, is_done, "{data}");
        (self.progress, self.volume) = (progress, volume);
    }
}

#[test]
fn progress_leads_to_the_next_tier_and_what_comes_with_it() {
    for seed in 1..6 {
        let mut climbs = BTreeMap::<_, Climb>::new();
        let mut upgrades = 0;
        for told in story(seed).filter(|told| !told.is_service) {
            upgrades += u64::from(told.event == "nft_upgrade_completed");
            climbs
                .entry(told.user)
                .or_default()
                .hear(&told.event, &told.data);
        }
        assert!(upgrades > 15, "{upgrades}");
    }
}

#[test]
fn milestones_are_told_when_the_volume_passes_them() {
    for seed in 1..6 {
        let mut volumes = BTreeMap::<_, (Option<f64>, f64)>::new();
        let mut due = BTreeSet::new();
        for told in story(seed) {
            let Told { user, data, .. } = &told;
            match &*told.event {
                "nft_progress_update" => {
                    let now = float(&data["tradingVolumeCurrent"]);
                    let before = volumes.get(user).map(|(_, before)| *before);
                    volumes.insert(*user, (before, now));
                    let passed = MILESTONES
                        .into_iter()
                        .filter(|mark| before.is_some_and(|before| before < *mark && now >= *mark));
                    for mark in passed {
                        due.extend([false, true].map(|by| (*user, mark as u64, by)));
                    }
                }
                "trading_milestone_reached" | "volume_milestone_reached" => {
                    let (before, now) = volumes[user];
                    assert_eq!(float(&data["currentVolume"]), now);
                    let mark = float(&data["milestone"]);
                    let was_due = due.remove(&(*user, mark as u64, told.is_service));
                    assert!(was_due || before.is_none(), "{data}");
                    if told.is_service {
                        let at = data["tierUnlocked"].as_u64().unwrap() as usize - 1;
                        assert!(MILESTONES[at] == mark);
                    }
                }
                _ => {}
            }
        }
        // The last turn may be half told.
        assert!(due.len() <= 2, "{due:?}");
    }
}

#[test]
fn badges_are_worked_for_then_earned_then_activated_once_a_season() {
    for seed in 1..6 {
        let mut badges = BTreeMap::<_, (String, f64)>::new();
        for Told {
            event,
            is_service,
            user,
            data,
        } in story(seed)
        {
            if event == "nft_progress_update"
                && data["nftLevel"] == 1
                && data["overallProgress"] == 0.0
            {
                badges.retain(|(of, _), _| *of != user);
            }
            let Some(what) = event.strip_prefix("badge_") else {
                continue;
            };
            let badge = (user, text(&data["badgeId"]));
            let last = badges.get(&badge).map(|(last, _)| &**last);
            let before = badges.get(&badge).map_or(-1.0, |(_, progress)| *progress);
            let mut progress = 100.0;
            match what {
                "progress_update" => {
                    progress = float(&data["overallProgress"]);
                    assert!(matches!(last, None | Some("progress_update")), "{last:?}");
                    assert!(progress > before && progress < 100.0, "{data}");
                }
                "earned" if is_service => assert_eq!(last, Some("earned"), "both say so"),
                "earned" => assert!(matches!(last, None | Some("progress_update")), "{last:?}"),
                _ => assert_eq!(last, Some("earned")),
            }
            badges.insert(badge, (what.to_owned(), progress));
        }
    }
}

#[test]
fn an_activated_badge_brings_the_tier_as_much_closer_as_it_says() {
    for seed in 1..6 {
        let mut overall = BTreeMap::new();
        let mut due = None;
        for Told {
            event, user, data, ..
        } in story(seed)
        {
            match &*event {
                "badge_activated" => {
                    let way = &data["affectedNftLevels"][0];
                    if let Some(last) = overall.get(&user) {
                        assert_eq!(way["oldProgress"], *last, "{data}");
                    }
                    due = Some((user, way["nftLevel"].clone(), way["newProgress"].clone()));
                }
                "nft_progress_update" => {
                    if let Some(due) = due.take() {
                        let (level, now) = (&data["nftLevel"], &data["overallProgress"]);
                        assert_eq!(due, (user, level.clone(), now.clone()));
                    }
                    overall.insert(user, data["overallProgress"].clone());
                }
                _ => assert_eq!(due, None),
            }
        }
    }
}

#[test]
fn rank_changes_are_those_that_the_leaderboard_showed() {
    for seed in 1..6 {
        let mut shown = BTreeMap::new();
        let mut announced = BTreeMap::new();
        let mut competition = Value::Null;
        let mut changes = 0;
        for Told {
            event, user, data, ..
        } in story(seed)
        {
            match &*event {
                "competition_started" => {
                    if competition != data["competitionId"] {
                        (shown, announced) = (BTreeMap::new(), BTreeMap::new());
                    }
                    competition = data["competitionId"].clone();
                }
                "leaderboard_update" => {
                    let rank = data["userRank"]["rank"].as_u64().unwrap();
                    announced.entry(user).or_insert(rank);
                    shown.insert(user, rank);
                    let ranks = data["nearbyRanks"].as_array().unwrap().iter();
                    assert!(
                        ranks
                            .clone()
                            .all(|near| near["rank"].as_u64().unwrap().abs_diff(rank) == 1)
                    );
                    if competition.is_null() {
                        competition = data["competitionId"].clone();
                    }
                    assert_eq!(data["competitionId"], competition);
                }
                "rank_changed" => {
                    let new = data["newRank"].as_u64().unwrap();
                    let old = announced.insert(user, new).unwrap();
                    assert_eq!(
                        (Some(&new), &data["oldRank"]),
                        (shown.get(&user), &old.into())
                    );
                    assert!(old.abs_diff(new) >= SIGNIFICANT);
                    assert_eq!(data["competitionId"], competition);
                    changes += 1;
                }
                "competition_ended" | "competition_nft_awarded" => {
                    assert_eq!(data["competitionId"], competition);
                }
                _ => {}
            }
        }
        assert!(changes > 100, "{changes}");
    }
}

#[test]
fn the_nft_service_tells_of_the_same_nfts() {
    for seed in 1..6 {
        let mut minted = BTreeMap::new();
        let mut burned = BTreeSet::new();
        for Told { event, data, .. } in story(seed) {
            match &*event {
                "nft_minted" => {
                    let id = text(&data["nftId"]);
                    assert_eq!(minted.insert(id, data["mintAddress"].clone()), None);
                }
                "nft_burned" => assert!(burned.insert(text(&data["nftId"]))),
                "nft_unlocked" => {
                    assert_eq!(minted[&text(&data["nftId"])], data["mintAddress"]);
                }
                "nft_upgrade_completed" => {
                    assert_eq!(minted[&text(&data["newNftId"])], data["newMintAddress"]);
                    assert!(burned.contains(&text(&data["oldNftId"])));
                }
                "nft_upgraded" => {
                    assert_eq!(
                        minted[&text(&data["newNft"]["nftId"])],
                        data["newNft"]["mintAddress"]
                    );
                    assert!(burned.contains(&text(&data["oldNft"]["nftId"])));
                }
                "nft_benefits_activated" | "nft_upgrade_available" => {
                    assert!(!burned.contains(&text(&data["nftId"])), "{data}");
                }
                _ => {}
            }
        }
    }
}

#[test]
fn a_maintenance_is_announced_begins_and_ends() {
    let order = [
        "maintenance_scheduled",
        "maintenance_started",
        "maintenance_completed",
    ];
    for seed in 1..6 {
        let mut last = BTreeMap::new();
        for Told {
            event, user, data, ..
        } in story(seed)
        {
            let Some(part) = order.iter().position(|name| *name == event) else {
                continue;
            };
            let before = last.insert((user, text(&data["maintenanceId"])), part);
            assert_eq!(before.map_or(0, |before| before + 1), part, "{event}");
        }
    }
}
