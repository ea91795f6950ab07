//! The Kafka topics of AIW3, which backend services read. Which event goes to which is said beside the
//! event's type; one of which the architecture document says nothing goes to [`OPERATIONS`].

/// Minting, burning, and whatever the document does not name. Audit reads it.
pub const OPERATIONS: &str = "nft-operations-topic";
/// Unlocks, upgrades, activations.
pub const USER_EVENTS: &str = "user-nft-events-topic";
/// What users are told.
pub const NOTIFICATIONS: &str = "nft-notifications-topic";
/// What analytics reads.
pub const ANALYTICS: &str = "nft-analytics-topic";

/// The topics with their numbers of partitions (architecture document, "Kafka Topic Setup").
pub const PARTITIONS: [(&str, u16); 4] = [
    (OPERATIONS, 3),
    (USER_EVENTS, 5),
    (NOTIFICATIONS, 3),
    (ANALYTICS, 2),
];

/// The topics as they are created.
#[cfg(feature = "brokers")]
#[must_use]
pub fn topics() -> fanfare_brokers::services::kafka::Topics {
    PARTITIONS.into_iter().collect()
}
