//! The topics of AIW3's NFT events, and which event goes where, as its event-driven architecture has
//! them ("Event Publishing Service", `topicMappings`, and "Create topics").

use super::Topics;

/// Minting, burning, transfers; and every event that is not named. Audit reads it.
pub const OPERATIONS: &str = "nft-operations-topic";
/// Unlocks, upgrades, activations.
pub const USER_EVENTS: &str = "user-nft-events-topic";
/// What users are told.
pub const NOTIFICATIONS: &str = "nft-notifications-topic";
/// What nobody but analytics reads.
pub const ANALYTICS: &str = "nft-analytics-topic";

/// The topics with their numbers of partitions.
pub const TOPICS: [(&str, u16); 4] = [
    (OPERATIONS, 3),
    (USER_EVENTS, 5),
    (NOTIFICATIONS, 3),
    (ANALYTICS, 2),
];

/// Which event goes to which topics.
pub const ROUTES: [(&str, &[&str]); 7] = [
    ("nft_unlocked", &[USER_EVENTS, ANALYTICS]),
    ("nft_upgraded", &[USER_EVENTS, OPERATIONS]),
    ("badge_earned", &[USER_EVENTS, NOTIFICATIONS]),
    ("nft_minted", &[OPERATIONS, ANALYTICS]),
    ("nft_burned", &[OPERATIONS, ANALYTICS]),
    ("volume_milestone_reached", &[ANALYTICS]),
    ("tier_qualification_changed", &[ANALYTICS, USER_EVENTS]),
];

/// The topics that an event goes to; the operations topic where it is not named.
#[must_use]
pub fn topics_of(event: &str) -> &'static [&'static str] {
    let route = ROUTES.iter().find(|(name, _)| *name == event);
    route.map_or(&[OPERATIONS], |(_, topics)| topics)
}

/// The topics as they are created.
#[must_use]
pub fn topics() -> Topics {
    TOPICS.into_iter().collect()
}
