//! What the NFT service says.

use serde_json::{Value, json};

use super::{BADGES, Scene, tier};
use crate::aiw3::milestones;

/// One envelope; the server fills in the rest.
pub(super) fn envelope(scene: &mut Scene<'_>) -> Value {
    let (event, data) = match scene.number(0..100) {
        0..25 => ("nft_minted", minted(scene)),
        25..45 => ("badge_earned", badge_earned(scene)),
        45..60 => ("tier_qualification_changed", qualification_changed(scene)),
        60..70 => ("volume_milestone_reached", milestone_reached(scene)),
        70..80 => ("nft_unlocked", unlocked(scene)),
        80..88 => ("nft_upgraded", upgraded(scene)),
        88..95 => ("nft_burned", json!({"nftId": scene.nft_id(scene.level)})),
        _ => (
            "nft_unlock_failed",
            json!({"error": "Transaction simulation failed", "nftDefinitionId": scene.level}),
        ),
    };
    json!({"eventType": event, "userId": scene.user.to_string(), "data": data})
}

fn unlocked(scene: &mut Scene<'_>) -> Value {
    json!({
        "nftId": scene.nft_id(scene.level), "tierName": tier(scene.level), "tierId": scene.level,
        "mintAddress": scene.base58(44), "imageUrl": format!("https://nft.example.com/tier-{}.png", scene.level),
        "benefits": {
            "tradingFeeReduction": format!("{}%", 5 * scene.level), "aiAgentWeeklyUses": 10 * scene.level,
            "prioritySupport": scene.level > 1
        }
    })
}

fn upgraded(scene: &mut Scene<'_>) -> Value {
    let next = scene.level + 1;
    json!({
        "oldNft": {"nftId": scene.nft_id(scene.level), "tierName": tier(scene.level), "burnedAt": scene.at(-2)},
        "newNft": {
            "nftId": scene.nft_id(next), "tierName": tier(next), "tierId": next, "mintAddress": scene.base58(44),
            "transactionSignature": scene.base58(88)
        },
        "consumedBadges": [scene.badge_id(scene.badge)]
    })
}

fn badge_earned(scene: &Scene<'_>) -> Value {
    let (name, _) = BADGES[scene.badge];
    json!({
        "badgeId": scene.badge_id(scene.badge), "badgeName": name, "description": format!("Earned for: {name}"),
        "imageUrl": format!("https://badges.example.com/{}.png", scene.badge_id(scene.badge)),
        "earnedAt": scene.at(0), "requiredForTier": scene.level + 1
    })
}

fn minted(scene: &mut Scene<'_>) -> Value {
    let id = scene.nft_id(scene.level);
    json!({
        "nftId": id, "mintAddress": scene.base58(44), "transactionSignature": scene.base58(88),
        "metadataUri": format!("https://metadata.example.com/{id}.json"), "gasUsed": 0.001234
    })
}

/// Trades come in until a mark is reached.
fn milestone_reached(scene: &mut Scene<'_>) -> Value {
    let mut previous = scene.amount(50_000..2_400_000);
    loop {
        let current = super::cents(previous + scene.amount(100..20_000));
        if let Some((milestone, tier)) = milestones::reached(previous, current).next() {
            return json!({
                "previousVolume": previous, "currentVolume": current, "milestone": milestone, "tierUnlocked": tier
            });
        }
        previous = current;
    }
}

fn qualification_changed(scene: &mut Scene<'_>) -> Value {
    let before = (1..=scene.level).collect::<Vec<_>>();
    let now = (1..=scene.level + 1).collect::<Vec<_>>();
    json!({
        "previousQualifications": before, "currentQualifications": now, "volumeChange": scene.amount(100..9_000),
        "badgeChanges": {"earned": [scene.badge_id(scene.badge)], "activated": [], "consumed": []}
    })
}
