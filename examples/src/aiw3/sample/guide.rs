//! What users are told.

use serde_json::{Value, json};

use super::announcements;
use super::{BADGES, COMPETITION, COMPETITION_NAME, Scene, TRADERS, cents, tier};
use crate::aiw3::milestones::MILESTONES;
use crate::aiw3::ranks::{RankMove, RankTracker};

const MESSAGES: &[&str] = &[
    "gm",
    "Which badge is next for you?",
    "Gas is cheap right now.",
    "Top ten, here I come.",
    "Anyone staking already?",
];
/// The error codes, what users read of them, and whether another try makes sense.
const FAILURES: &[(&str, &str, bool)] = &[
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
    (
        "NFT_REQUIREMENTS_NOT_MET",
        "The requirements have changed",
        false,
    ),
    (
        "DUPLICATE_TRANSACTION",
        "The transaction was processed already",
        false,
    ),
];
const PARTICIPANTS: u64 = 8_750;

/// One envelope; the server fills in the rest.
pub(super) fn envelope(scene: &mut Scene<'_>) -> Value {
    let (event, data) = match scene.number(0..1_000) {
        0..260 => ("nft_progress_update", nft_progress(scene)),
        260..420 => ("badge_progress_update", badge_progress(scene)),
        420..570 => ("leaderboard_update", leaderboard(scene)),
        570..670 => ("rank_changed", rank_changed(scene)),
        670..750 => return message(scene),
        750..810 => ("badge_earned", badge_earned(scene)),
        810..850 => ("badge_activated", badge_activated(scene)),
        850..875 => ("nft_unlocked", nft_unlocked(scene)),
        875..895 => ("nft_benefits_activated", benefits_activated(scene)),
        895..915 => ("avatar_changed", avatar_changed(scene)),
        915..930 => ("nft_avatar_unlocked", avatar_unlocked(scene)),
        930..945 => ("transaction_failed", transaction_failed(scene)),
        945..955 => ("nft_upgrade_available", upgrade_available(scene)),
        955..965 => ("nft_upgrade_completed", upgrade_completed(scene)),
        965..975 => ("trading_milestone_reached", milestone_reached(scene)),
        _ => announcements::event(scene),
    };
    json!({"eventType": event, "userId": scene.user, "data": data})
}

/// In one of three rooms.
fn message(scene: &mut Scene<'_>) -> Value {
    let room = scene.pick(&["lobby", "competition", "nft-talk"]);
    json!({
        "eventType": "chat_message", "userId": scene.user, "channel": format!("room.{room}"),
        "data": {"from": nickname(scene.user), "text": scene.pick(MESSAGES)}
    })
}

fn nickname(user: u64) -> &'static str {
    let at = usize::try_from(user.saturating_sub(1)).unwrap_or(usize::MAX);
    TRADERS.get(at).copied().unwrap_or_default()
}

fn nft_progress(scene: &mut Scene<'_>) -> Value {
    let required = 500_000.0 * scene.level as f64;
    let current = cents(required * (0.1 + 0.89 * scene.course(180, 0)));
    let badges = (5.0 * scene.course(180, 1)) as u64;
    let volume_progress = cents(100.0 * current / required);
    let target = cents((current / 50_000.0).ceil() * 50_000.0);
    json!({
        "nftLevel": scene.level + 1, "nftName": tier(scene.level + 1),
        "tradingVolumeRequired": required, "tradingVolumeCurrent": current,
        "tradingVolumeProgress": volume_progress, "tradingVolumeChange": scene.amount(10..9_000),
        "badgesRequired": 5, "badgesOwned": badges, "badgeProgress": 20 * badges,
        "overallProgress": cents((volume_progress + 20.0 * badges as f64) / 2.0),
        "progressChange": scene.amount(0..3), "estimatedTimeToCompletion": scene.at(2_678_400),
        "milestoneReached": false,
        "nextMilestone": {"type": "trading_volume", "target": target, "remaining": cents(target - current)}
    })
}

fn badge_progress(scene: &mut Scene<'_>) -> Value {
    let (name, rarity) = BADGES[scene.badge];
    let current = cents(1_000.0 + 8_900.0 * scene.course(150, scene.badge as u64));
    let change = scene.amount(1..400);
    let progress = cents(current / 100.0);
    json!({
        "badgeId": scene.badge_id(scene.badge), "badgeName": name, "category": "trading", "rarity": rarity,
        "requirements": [{
            "type": "trading_volume", "description": "Reach 10,000 USDT trading volume", "target": 10_000,
            "current": current, "previous": cents(current - change), "change": change,
            "progressPercentage": progress, "completed": false
        }],
        "overallProgress": progress, "progressChange": cents(change / 100.0),
        "estimatedCompletionTime": scene.at(432_000), "milestoneReached": false,
        "nextMilestone": {
            "target": 10_000, "remaining": cents(10_000.0 - current), "description": "The badge is yours"
        },
        "isCloseToCompletion": progress >= 80.0, "completionThreshold": 90
    })
}

fn leaderboard(scene: &mut Scene<'_>) -> Value {
    let rank = scene.rank(scene.user);
    let volume = cents(900_000.0 - 5_000.0 * rank as f64);
    let ranked = |rank: u64, user: u64, volume: f64| {
        json!({
            "rank": rank, "userId": user, "nickname": nickname(user), "tradingVolume": cents(volume),
            "volumeChange": cents(volume / 40.0)
        })
    };
    let others = (1..=TRADERS.len() as u64).filter(|user| *user != scene.user);
    let others = others.collect::<Vec<_>>();
    // Three are far ahead, and take turns.
    let mut leaders = others[..3].to_vec();
    leaders.sort_by_key(|user| scene.rank(*user));
    let top = (1..).zip(&leaders);
    let top = top.map(|(place, user)| ranked(place, *user, 4_800_000.0 - 300_000.0 * place as f64));
    json!({
        "competitionId": COMPETITION,
        "userRank": {
            "rank": rank, "tradingVolume": volume, "percentile": percentile(rank), "rankChange": 0,
            "volumeChange": scene.amount(0..5_000)
        },
        "topRanks": top.collect::<Value>(),
        "nearbyRanks": [
            ranked(rank - 1, others[3], volume + 1_500.25), ranked(rank + 1, others[4], volume - 1_500.25)
        ],
        "competitionStats": {
            "totalParticipants": PARTICIPANTS, "totalVolume": 125_000_000, "averageVolume": 14_285.71,
            "medianVolume": 5_000, "timeRemaining": "44 days, 9 hours, 25 minutes"
        }
    })
}

fn percentile(rank: u64) -> f64 {
    cents(100.0 - 100.0 * rank as f64 / PARTICIPANTS as f64)
}

/// As trades come in, a rank goes up and down by a few places, and only what adds up is told.
fn significant_move(scene: &mut Scene<'_>) -> RankMove {
    let mut tracker = RankTracker::default();
    let mut rank = scene.rank(scene.user);
    loop {
        if let Some(found) = tracker.observe(scene.user, rank) {
            return found;
        }
        rank = (rank + scene.number(0..7)).saturating_sub(3).max(1);
    }
}

fn rank_changed(scene: &mut Scene<'_>) -> Value {
    let moved = significant_move(scene);
    let volume = scene.amount(500_000..900_000);
    let distance = |rank: u64, gap: f64| json!({"rank": rank, "volumeGap": cents(gap), "percentageGap": cents(100.0 * gap / volume)});
    json!({
        "competitionId": COMPETITION, "competitionName": COMPETITION_NAME,
        "oldRank": moved.old, "newRank": moved.new, "rankChange": moved.places(),
        "direction": moved.direction(), "currentTradingVolume": volume, "volumeChange": scene.amount(1_000..60_000),
        "percentile": percentile(moved.new), "percentileChange": cents(percentile(moved.new) - percentile(moved.old)),
        "distanceToNextRank": distance(moved.new.saturating_sub(1).max(1), 15_000.75),
        "distanceToPrizeRank": distance(10, 125_000.5), "timeRemaining": "44 days, 9 hours, 30 minutes",
        "projectedFinalRank": moved.new.saturating_sub(3).max(1), "projectedFinalVolume": cents(1.4 * volume)
    })
}

fn badge_earned(scene: &mut Scene<'_>) -> Value {
    let (name, rarity) = BADGES[scene.badge];
    let contribution = scene.amount(1..10);
    json!({
        "badgeId": scene.badge_id(scene.badge), "badgeName": name, "badgeDescription": format!("Earned for: {name}"),
        "iconUrl": format!("https://badges.example.com/{}.png", scene.badge_id(scene.badge)),
        "category": "trading", "rarity": rarity, "contributionValue": contribution, "contributionWeight": 1,
        "earnedAt": scene.at(0),
        "requirements": [{
            "type": "trade_count", "description": "Complete 1 trade", "target": 1, "current": 1, "completed": true
        }],
        "rewards": {"nftProgressContribution": contribution, "experiencePoints": 100, "title": "Novice Trader"},
        "nextBadgeInSeries": {
            "badgeId": scene.badge_id(scene.badge + 1), "badgeName": BADGES[scene.badge + 1].0,
            "requirements": [{
                "type": "trading_volume", "description": "Reach 1,000 USDT trading volume", "target": 1_000,
                "current": scene.amount(100..900)
            }]
        }
    })
}

fn badge_activated(scene: &mut Scene<'_>) -> Value {
    let before = scene.amount(20..90);
    let contribution = scene.amount(1..10);
    let after = cents(before + contribution);
    json!({
        "badgeId": scene.badge_id(scene.badge), "badgeName": BADGES[scene.badge].0, "activatedAt": scene.at(0),
        "contributionValue": contribution, "previousTotalContribution": before, "newTotalContribution": after,
        "contributionChange": contribution,
        "affectedNftLevels": [{
            "nftLevel": scene.level + 1, "nftName": tier(scene.level + 1), "oldProgress": before,
            "newProgress": after, "progressChange": contribution, "requirementsMet": false
        }],
        "totalActiveBadges": scene.number(1..20), "maxActiveBadges": 50
    })
}

fn nft_unlocked(scene: &mut Scene<'_>) -> Value {
    json!({
        "nftId": scene.nft_id(scene.level), "nftLevel": scene.level, "nftName": tier(scene.level),
        "nftDescription": "Trading NFT with enhanced benefits",
        "imageUrl": format!("https://nft.example.com/tier-{}.png", scene.level),
        "tokenId": scene.number(1_000_000_000..9_999_999_999).to_string(), "mintAddress": scene.base58(44),
        "transactionHash": scene.base58(88), "benefits": scene.benefits(scene.level), "claimedAt": scene.at(-2),
        "estimatedValue": scene.amount(100..9_000)
    })
}

fn upgrade_completed(scene: &mut Scene<'_>) -> Value {
    let next = scene.level + 1;
    json!({
        "oldNftId": scene.nft_id(scene.level), "oldNftLevel": scene.level, "oldNftName": tier(scene.level),
        "newNftId": scene.nft_id(next), "newNftLevel": next, "newNftName": tier(next),
        "newImageUrl": format!("https://nft.example.com/tier-{next}.png"),
        "newTokenId": scene.number(1_000_000_000..9_999_999_999).to_string(), "newMintAddress": scene.base58(44),
        "burnTransactionHash": scene.base58(88), "mintTransactionHash": scene.base58(88),
        "upgradedAt": scene.at(-1), "newBenefits": scene.benefits(next), "upgradeValue": scene.amount(500..5_000)
    })
}

fn benefits_activated(scene: &mut Scene<'_>) -> Value {
    let next = scene.level + 1;
    json!({
        "nftId": scene.nft_id(next), "nftLevel": next, "nftName": tier(next),
        "activatedBenefits": scene.benefits(next),
        "previousActiveNft": {
            "nftId": scene.nft_id(scene.level), "nftLevel": scene.level, "deactivatedAt": scene.at(0)
        },
        "activatedAt": scene.at(0), "benefitsExpiryDate": null
    })
}

fn upgrade_available(scene: &mut Scene<'_>) -> Value {
    json!({
        "nftId": scene.nft_id(scene.level), "targetLevel": scene.level + 1,
        "requirements": {"tradingVolume": 500_000 * scene.level, "badges": 5}
    })
}

fn milestone_reached(scene: &mut Scene<'_>) -> Value {
    let at = usize::try_from(scene.number(0..4)).unwrap_or_default();
    let current = cents(MILESTONES[at] + scene.amount(1..5_000));
    json!({"milestone": MILESTONES[at], "currentVolume": current, "nextMilestone": MILESTONES[at + 1]})
}

fn transaction_failed(scene: &mut Scene<'_>) -> Value {
    let at = usize::try_from(scene.number(0..FAILURES.len() as u64)).unwrap_or_default();
    let (code, message, retryable) = FAILURES[at];
    let number = scene.number(1..999);
    json!({
        "transactionId": format!("tx_claim_{}_{number:03}", scene.user),
        "transactionType": "nft_claim", "nftLevel": scene.level, "walletAddress": scene.base58(44),
        "errorCode": code, "errorMessage": message, "technicalError": "Error: Transaction simulation failed",
        "failedAt": scene.at(0), "retryable": retryable, "retryCount": 1, "maxRetries": 3,
        "nextRetryAt": scene.at(300), "requiredSolBalance": 0.01, "currentSolBalance": 0.005,
        "estimatedGasCost": 0.001234
    })
}

fn avatar(scene: &Scene<'_>, level: u64) -> Value {
    json!({
        "type": "nft", "nftId": scene.nft_id(level), "nftLevel": level, "nftName": tier(level),
        "avatarUrl": format!("https://nft.example.com/avatars/tier-{level}.png")
    })
}

fn avatar_changed(scene: &mut Scene<'_>) -> Value {
    json!({
        "previousAvatar": avatar(scene, scene.level), "newAvatar": avatar(scene, scene.level + 1),
        "changedAt": scene.at(0), "changeReason": "nft_upgrade", "isAutomatic": scene.chance(30)
    })
}

fn avatar_unlocked(scene: &mut Scene<'_>) -> Value {
    let next = scene.level + 1;
    let available = (1..=next).map(
        |level| json!({"nftId": scene.nft_id(level), "nftLevel": level, "nftName": tier(level)}),
    );
    json!({
        "nftId": scene.nft_id(next), "nftLevel": next, "nftName": tier(next),
        "avatarUrl": format!("https://nft.example.com/avatars/tier-{next}.png"),
        "thumbnailUrl": format!("https://nft.example.com/avatars/tier-{next}-thumb.png"),
        "rarity": "rare", "unlockedAt": scene.at(0), "triggerEvent": "nft_unlocked", "isNewHighestTier": true,
        "totalAvatarsUnlocked": next, "availableAvatars": available.collect::<Value>()
    })
}
