//! NFTs, and how both documents write them.

use serde_json::{Value, json};

use super::base58;
use crate::demo::Scene;

/// The highest tier.
pub(super) const HIGHEST: u64 = TIERS.len() as u64;

const TIERS: [&str; 5] = [
    "Tech Chicken",
    "Crypto Chicken",
    "Golden Chicken",
    "Diamond Chicken",
    "Quantum Chicken",
];

/// One that was minted for a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Nft {
    pub(super) user: u64,
    /// Its tier, from 1 on.
    pub(super) level: u64,
    /// The user's how manieth it is.
    pub(super) serial: u64,
}

/// How the blockchain knows what came into being there.
#[derive(Clone, Debug)]
pub(super) struct Minted {
    pub(super) address: String,
    pub(super) signature: String,
    pub(super) token: String,
}

impl Nft {
    pub(super) fn id(self) -> String {
        format!("nft_tier_{}_{}_{:03}", self.level, self.user, self.serial)
    }

    pub(super) fn name(self) -> &'static str {
        tier(self.level)
    }

    pub(super) fn image_url(self) -> String {
        format!("https://nft.example.com/tier-{}.png", self.level)
    }

    /// As the guide has them.
    pub(super) fn benefits(self) -> Value {
        let level = self.level;
        json!({
            "tradingFeeDiscount": (5 * level) as f64 / 100.0, "aiAgentUses": 10 * level,
            "exclusiveAccess": ["premium_signals", "vip_chat"], "stakingBonus": (25 * level) as f64 / 1_000.0,
            "prioritySupport": level > 1
        })
    }

    /// The same as the architecture document has them.
    pub(super) fn tier_benefits(self) -> Value {
        json!({
            "tradingFeeReduction": format!("{}%", 5 * self.level), "aiAgentWeeklyUses": 10 * self.level,
            "prioritySupport": self.level > 1
        })
    }

    pub(super) fn avatar_url(self) -> String {
        format!("https://nft.example.com/avatars/tier-{}.png", self.level)
    }

    pub(super) fn avatar(self) -> Value {
        json!({
            "type": "nft", "nftId": self.id(), "nftLevel": self.level, "nftName": self.name(),
            "avatarUrl": self.avatar_url()
        })
    }
}

impl Minted {
    pub(super) fn now(scene: &mut Scene) -> Self {
        Self {
            address: base58(44, scene),
            signature: base58(88, scene),
            token: scene.number(1_000_000_000..9_999_999_999).to_string(),
        }
    }
}

/// The name of a tier.
pub(super) fn tier(level: u64) -> &'static str {
    TIERS[level as usize - 1]
}
