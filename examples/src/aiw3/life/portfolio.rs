//! What one trader has, and is after.

use serde_json::{Value, json};

use super::badges::{Badges, REQUIRED, Way};
use super::nft::{self, HIGHEST, Minted, Nft};
use super::{amount, base58, guide, service, usdt};
use crate::aiw3::milestones::{self, MILESTONES};
use crate::demo::Scene;

/// Why a claim may fail at first: the error code, what users read of it, and whether another try makes
/// sense.
const CLAIM_FAILURES: &[(&str, &str, bool)] = &[
    (
        "INSUFFICIENT_SOL_BALANCE",
        "Insufficient SOL balance for transaction fees",
        true,
    ),
    ("NETWORK_CONGESTION", "The blockchain is busy", true),
    (
        "INVALID_WALLET_ADDRESS",
        "The wallet's address is not valid",
        false,
    ),
];
/// The most tries that a claim takes.
const TRIES: u64 = 3;
/// How many turns a trader rests at the highest tier before a new season begins.
const REST: u64 = 16;

/// A portfolio. In a season it grows from the first tier to the highest; each tier takes the volume of its
/// mark and a set of badges, which its NFT uses up.
#[derive(Debug)]
pub(super) struct Portfolio {
    user: u64,
    stage: Stage,
    /// What was traded in this season, in cents.
    volume: u64,
    /// The NFT of this season, if it has come to one.
    nft: Option<Nft>,
    /// Whose benefits were the last to hold, and since when they do no more.
    retired: (Nft, String),
    /// How many NFTs there ever were.
    minted: u64,
    badges: Badges,
    /// One of each tier of this season.
    avatars: Vec<Nft>,
    avatar: Nft,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// On the way to the next tier.
    Climbing,
    /// All that the next tier takes is there; so many claims have failed.
    Qualified(u64),
    /// At the highest tier, for so many turns.
    Resting(u64),
}

impl Portfolio {
    /// One that has come to `level` in its second season, 0 to the highest but one.
    pub(super) fn new(user: u64, level: u64) -> Self {
        let nft = |level, serial| Nft {
            user,
            level,
            serial,
        };
        let last = nft(HIGHEST, HIGHEST);
        let avatars = (1..=level).map(|level| nft(level, HIGHEST + level));
        let avatars = avatars.collect::<Vec<_>>();
        Self {
            user,
            stage: Stage::Climbing,
            volume: mark(level),
            nft: avatars.last().copied(),
            retired: (last, "2024-01-01T00:00:00.000Z".to_owned()),
            minted: HIGHEST + level,
            badges: Badges::after(level, user),
            avatar: avatars.last().copied().unwrap_or(last),
            avatars,
        }
    }

    /// The trader trades; who has traded enough strives for badges, and who has both claims.
    pub(super) fn trade(&mut self, scene: &mut Scene) {
        match self.stage {
            Stage::Climbing if self.volume < mark(self.next_level()) => self.grow(scene),
            Stage::Climbing => self.earn(scene),
            Stage::Qualified(failed) => self.claim(failed, scene),
            Stage::Resting(0) => self.begin_season(scene),
            Stage::Resting(turns) => self.stage = Stage::Resting(turns - 1),
        }
    }

    /// The trader strives for badges; who has them trades, and who has both claims.
    pub(super) fn strive(&mut self, scene: &mut Scene) {
        if self.stage == Stage::Climbing && self.badges.active() < REQUIRED {
            self.earn(scene);
        } else {
            self.trade(scene);
        }
    }

    /// The trader takes another of the avatars.
    pub(super) fn change_avatar(&mut self, scene: &mut Scene) {
        let others = self.avatars.iter().copied();
        let others = others.filter(|nft| *nft != self.avatar).collect::<Vec<_>>();
        if !others.is_empty() {
            let avatar = scene.pick(&others);
            self.wear(avatar, "user_choice", scene);
        }
    }

    /// The trader claims what is not to be had, or was had already.
    pub(super) fn claim_early(&mut self, scene: &mut Scene) {
        let duplicate = self.nft.filter(|_| scene.chance(50));
        match (duplicate, self.stage) {
            (Some(nft), _) => {
                let message = "The transaction was processed already";
                self.tell_failed("DUPLICATE_TRANSACTION", message, false, nft.level, 1, scene);
            }
            (None, Stage::Climbing) => {
                let (level, message) = (self.next_level(), "The requirements are not met yet");
                self.tell_failed("NFT_REQUIREMENTS_NOT_MET", message, false, level, 1, scene);
            }
            _ => {}
        }
    }

    /// The tier in hand, 0 where there is none.
    fn level(&self) -> u64 {
        self.nft.map_or(0, |nft| nft.level)
    }

    fn next_level(&self) -> u64 {
        self.level() + 1
    }

    fn grow(&mut self, scene: &mut Scene) {
        let level = self.level();
        let stretch = mark(level + 1) - mark(level);
        let traded = scene.number(stretch / 50..stretch / 16);
        let (before, overall) = (self.volume, self.overall());
        self.volume += traded;
        self.tell_progress(traded, overall, scene);
        let reached = milestones::reached(usdt(before), usdt(self.volume));
        for (milestone, tier) in reached.collect::<Vec<_>>() {
            let mut data = json!({"milestone": milestone, "currentVolume": usdt(self.volume)});
            if let Some(next) = MILESTONES.get(tier as usize) {
                data["nextMilestone"] = (*next).into();
            }
            guide("trading_milestone_reached", self.user, data, scene);
            let data = json!({
                "previousVolume": usdt(before), "currentVolume": usdt(self.volume), "milestone": milestone,
                "tierUnlocked": tier
            });
            service("volume_milestone_reached", self.user, data, scene);
        }
        self.qualify(traded, scene);
    }

    fn earn(&mut self, scene: &mut Scene) {
        let (level, before) = (self.next_level(), self.overall());
        let way = |contribution: u64| Way {
            level,
            before: usdt(before),
            after: usdt(before + 100 * contribution),
        };
        if self.badges.turn(way, scene) {
            self.tell_progress(0, before, scene);
            self.qualify(0, scene);
        }
    }

    /// How far it is to the next tier, in hundredths of a percent: volume and badges count alike.
    fn overall(&self) -> u64 {
        (self.volume_progress() + self.badge_progress()) / 2
    }

    fn volume_progress(&self) -> u64 {
        (10_000 * self.volume / mark(self.next_level())).min(10_000)
    }

    fn badge_progress(&self) -> u64 {
        10_000 / REQUIRED as u64 * self.badges.active() as u64
    }

    /// `before` is how far it was.
    fn tell_progress(&self, traded: u64, before: u64, scene: &mut Scene) {
        let (level, required) = (self.next_level(), mark(self.next_level()));
        let active = self.badges.active();
        // Ten steps lead to each mark.
        let step = required / 10;
        let next = ((self.volume / step + 1) * step).min(required);
        let next_milestone = if self.volume < required {
            json!({
                "type": "trading_volume", "target": usdt(next), "remaining": usdt(next - self.volume)
            })
        } else {
            json!({"type": "badges", "target": REQUIRED, "remaining": REQUIRED - active})
        };
        let data = json!({
            "nftLevel": level, "nftName": nft::tier(level),
            "tradingVolumeRequired": usdt(required), "tradingVolumeCurrent": usdt(self.volume),
            "tradingVolumeProgress": usdt(self.volume_progress()), "tradingVolumeChange": usdt(traded),
            "badgesRequired": REQUIRED, "badgesOwned": active, "badgeProgress": usdt(self.badge_progress()),
            "overallProgress": usdt(self.overall()), "progressChange": usdt(self.overall() - before),
            "estimatedTimeToCompletion": scene.at(2_678_400),
            "milestoneReached": (self.volume - traded) / step < self.volume / step,
            "nextMilestone": next_milestone
        });
        guide("nft_progress_update", self.user, data, scene);
    }

    fn qualify(&mut self, traded: u64, scene: &mut Scene) {
        let level = self.next_level();
        if self.volume < mark(level) || self.badges.active() < REQUIRED {
            return;
        }
        self.stage = Stage::Qualified(0);
        let ids = self.badges.ids();
        self.tell_qualifications(level - 1, level, traded, &ids, scene);
        if let Some(nft) = self.nft {
            let data = json!({
                "nftId": nft.id(), "targetLevel": level,
                "requirements": {"tradingVolume": usdt(mark(level)), "badges": REQUIRED}
            });
            guide("nft_upgrade_available", self.user, data, scene);
        }
    }

    /// For the tiers up to `before`, and up to `now`.
    fn tell_qualifications(
        &self,
        before: u64,
        now: u64,
        traded: u64,
        badges: &[String],
        scene: &mut Scene,
    ) {
        let data = json!({
            "previousQualifications": (1..=before).collect::<Vec<_>>(),
            "currentQualifications": (1..=now).collect::<Vec<_>>(), "volumeChange": usdt(traded),
            "badgeChanges": {"earned": badges, "activated": badges, "consumed": []}
        });
        service("tier_qualification_changed", self.user, data, scene);
    }

    fn claim(&mut self, failed: u64, scene: &mut Scene) {
        let level = self.next_level();
        if failed + 1 < TRIES && scene.chance(35) {
            self.stage = Stage::Qualified(failed + 1);
            let (code, message, retryable) = scene.pick(CLAIM_FAILURES);
            self.tell_failed(code, message, retryable, level, failed + 1, scene);
            return;
        }
        self.minted += 1;
        let nft = Nft {
            user: self.user,
            level,
            serial: self.minted,
        };
        let minted = Minted::now(scene);
        let old = self.nft.replace(nft);
        match old {
            Some(old) => self.tell_upgraded(old, nft, &minted, scene),
            None => self.tell_unlocked(nft, &minted, scene),
        }
        if let Some(old) = old {
            self.retired = (old, scene.at(0));
        }
        self.tell_activated(nft, scene);
        self.avatars.push(nft);
        self.tell_avatar_unlocked(nft, old.is_some(), scene);
        let reason = old.map_or("nft_unlocked", |_| "nft_upgrade");
        self.wear(nft, reason, scene);
        if level == HIGHEST {
            self.stage = Stage::Resting(REST);
            return;
        }
        self.stage = Stage::Climbing;
        self.badges = Badges::after(level, self.user);
        self.tell_progress(0, self.overall(), scene);
    }

    fn tell_minted(&self, nft: Nft, minted: &Minted, scene: &mut Scene) {
        let data = json!({
            "nftId": nft.id(), "mintAddress": minted.address, "transactionSignature": minted.signature,
            "metadataUri": format!("https://metadata.example.com/{}.json", nft.id()), "gasUsed": 0.001234
        });
        service("nft_minted", self.user, data, scene);
    }

    fn tell_unlocked(&self, nft: Nft, minted: &Minted, scene: &mut Scene) {
        self.tell_minted(nft, minted, scene);
        let data = json!({
            "nftId": nft.id(), "tierName": nft.name(), "tierId": nft.level, "mintAddress": minted.address,
            "imageUrl": nft.image_url(), "benefits": nft.tier_benefits()
        });
        service("nft_unlocked", self.user, data, scene);
        let value = amount(100 * nft.level..900 * nft.level, scene);
        let data = json!({
            "nftId": nft.id(), "nftLevel": nft.level, "nftName": nft.name(),
            "nftDescription": "Trading NFT with enhanced benefits", "imageUrl": nft.image_url(),
            "tokenId": minted.token, "mintAddress": minted.address, "transactionHash": minted.signature,
            "benefits": nft.benefits(), "claimedAt": scene.at(-2), "estimatedValue": value
        });
        guide("nft_unlocked", self.user, data, scene);
    }

    fn tell_upgraded(&self, old: Nft, new: Nft, minted: &Minted, scene: &mut Scene) {
        service("nft_burned", self.user, json!({"nftId": old.id()}), scene);
        self.tell_minted(new, minted, scene);
        let data = json!({
            "oldNft": {"nftId": old.id(), "tierName": old.name(), "burnedAt": scene.at(-2)},
            "newNft": {
                "nftId": new.id(), "tierName": new.name(), "tierId": new.level, "mintAddress": minted.address,
                "transactionSignature": minted.signature
            },
            "consumedBadges": self.badges.ids()
        });
        service("nft_upgraded", self.user, data, scene);
        let (burn, value) = (base58(88, scene), amount(500..5_000, scene));
        let data = json!({
            "oldNftId": old.id(), "oldNftLevel": old.level, "oldNftName": old.name(),
            "newNftId": new.id(), "newNftLevel": new.level, "newNftName": new.name(),
            "newImageUrl": new.image_url(), "newTokenId": minted.token, "newMintAddress": minted.address,
            "burnTransactionHash": burn, "mintTransactionHash": minted.signature, "upgradedAt": scene.at(-1),
            "newBenefits": new.benefits(), "upgradeValue": value
        });
        guide("nft_upgrade_completed", self.user, data, scene);
    }

    fn tell_activated(&self, nft: Nft, scene: &mut Scene) {
        let (retired, since) = &self.retired;
        let data = json!({
            "nftId": nft.id(), "nftLevel": nft.level, "nftName": nft.name(),
            "activatedBenefits": nft.benefits(),
            "previousActiveNft": {
                "nftId": retired.id(), "nftLevel": retired.level, "deactivatedAt": since
            },
            "activatedAt": scene.at(0), "benefitsExpiryDate": null
        });
        guide("nft_benefits_activated", self.user, data, scene);
    }

    fn tell_avatar_unlocked(&self, nft: Nft, is_upgrade: bool, scene: &mut Scene) {
        let available = self
            .avatars
            .iter()
            .map(|nft| json!({"nftId": nft.id(), "nftLevel": nft.level, "nftName": nft.name()}));
        let data = json!({
            "nftId": nft.id(), "nftLevel": nft.level, "nftName": nft.name(), "avatarUrl": nft.avatar_url(),
            "thumbnailUrl": format!("https://nft.example.com/avatars/tier-{}-thumb.png", nft.level),
            "rarity": "rare", "unlockedAt": scene.at(0),
            "triggerEvent": if is_upgrade { "nft_upgrade_completed" } else { "nft_unlocked" },
            "isNewHighestTier": true, "totalAvatarsUnlocked": self.avatars.len(),
            "availableAvatars": available.collect::<Value>()
        });
        guide("nft_avatar_unlocked", self.user, data, scene);
    }

    fn wear(&mut self, avatar: Nft, reason: &str, scene: &mut Scene) {
        let data = json!({
            "previousAvatar": self.avatar.avatar(), "newAvatar": avatar.avatar(), "changedAt": scene.at(0),
            "changeReason": reason, "isAutomatic": reason != "user_choice"
        });
        self.avatar = avatar;
        guide("avatar_changed", self.user, data, scene);
    }

    fn tell_failed(
        &self,
        code: &str,
        message: &str,
        retryable: bool,
        level: u64,
        tries: u64,
        scene: &mut Scene,
    ) {
        let balance = if code == "INSUFFICIENT_SOL_BALANCE" {
            0.005
        } else {
            0.25
        };
        let what = if level == 1 {
            "nft_claim"
        } else {
            "nft_upgrade"
        };
        let number = match code {
            "DUPLICATE_TRANSACTION" => self.minted,
            _ => self.minted + 1,
        };
        let wallet = base58(44, scene);
        let data = json!({
            "transactionId": format!("tx_claim_{}_{number:03}", self.user),
            "transactionType": what, "nftLevel": level, "walletAddress": wallet,
            "errorCode": code, "errorMessage": message, "technicalError": "Error: Transaction simulation failed",
            "failedAt": scene.at(0), "retryable": retryable, "retryCount": tries, "maxRetries": TRIES,
            "nextRetryAt": scene.at(300), "requiredSolBalance": 0.01, "currentSolBalance": balance,
            "estimatedGasCost": 0.001234
        });
        guide("transaction_failed", self.user, data, scene);
        let data = json!({"error": message, "nftDefinitionId": level});
        service("nft_unlock_failed", self.user, data, scene);
    }

    /// The portfolio begins anew.
    fn begin_season(&mut self, scene: &mut Scene) {
        if let Some(old) = self.nft.take() {
            service("nft_burned", self.user, json!({"nftId": old.id()}), scene);
            self.retired = (old, scene.at(0));
        }
        self.stage = Stage::Climbing;
        self.volume = 0;
        self.badges = Badges::after(0, self.user);
        self.avatars.clear();
        self.tell_qualifications(HIGHEST, 0, 0, &[], scene);
        self.tell_progress(0, self.overall(), scene);
    }
}

/// The volume that a tier takes, in cents.
fn mark(level: u64) -> u64 {
    let at = level.checked_sub(1);
    at.map_or(0, |at| 100 * MILESTONES[at as usize] as u64)
}
