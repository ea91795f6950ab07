//! Names in Kafka: letters, digits, dots, underscores and hyphens, at most 249 of them.

use std::time::Duration;

use fanfare::broker::BrokerError;

use crate::services::headers::refused;

/// What Kafka lets a topic's name have.
const NAME_BYTES: usize = 249;

/// The pauses that have a topic of their own. A record waits in the first that is not shorter than its
/// pause, until it is due; so it waits behind others for no longer than that step is.
const STEPS: [Duration; 4] = [
    Duration::from_secs(1),
    Duration::from_secs(10),
    Duration::from_secs(60),
    Duration::from_secs(600),
];

/// The topics and consumer groups of a group that reads a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Names {
    pub(super) topic: String,
    pub(super) group: String,
    /// The topics of records that wait for a retry, by the length of the pause.
    pub(super) retries: Vec<(Duration, String)>,
    /// The consumer group that reads those. Not the group itself, because Kafka spreads all partitions
    /// of a group over its members as if they were the same: one could have nothing but retries.
    pub(super) retry_group: String,
    /// The topic of dead letters, and the consumer group whose offset says what was replayed.
    pub(super) dead: String,
}

impl Names {
    pub(super) fn new(topic: &str, group: &str) -> Result<Self, BrokerError> {
        check("topic", topic)?;
        check("group", group)?;
        let name = |step: &Duration| {
            let millis = step.as_millis();
            (*step, format!("{topic}.{group}.retry.{millis}"))
        };
        let names = Self {
            topic: topic.to_owned(),
            group: group.to_owned(),
            retries: STEPS.iter().map(name).collect(),
            retry_group: format!("{topic}.{group}.retry"),
            dead: format!("{topic}.{group}.dead"),
        };
        for (_, retry) in &names.retries {
            check("topic for retries", retry)?;
        }
        Ok(names)
    }

    /// Where a record waits for so long.
    pub(super) fn retry(&self, pause: Duration) -> &str {
        let step = self.retries.iter().find(|(step, _)| pause <= *step);
        let step = step.or_else(|| self.retries.last());
        step.map_or(&self.dead, |(_, name)| name)
    }
}

/// Refuses what Kafka would.
pub(super) fn check(what: &str, name: &str) -> Result<(), BrokerError> {
    let legal = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    if name.is_empty() || matches!(name, "." | "..") || !name.bytes().all(legal) {
        return Err(refused(format!(
            "{name:?} cannot be a {what} in Kafka: it has letters, digits, dots, underscores and hyphens"
        )));
    }
    if name.len() > NAME_BYTES {
        return Err(refused(format!(
            "{name:?} cannot be a {what} in Kafka: it has {} characters, and may have {NAME_BYTES}",
            name.len()
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_waits_in_the_first_step_that_is_long_enough() {
        let names = Names::new("orders", "billing").unwrap();
        let retry = |ms| names.retry(Duration::from_millis(ms)).to_owned();
        assert_eq!(retry(0), "orders.billing.retry.1000");
        assert_eq!(retry(1_000), "orders.billing.retry.1000");
        assert_eq!(retry(1_001), "orders.billing.retry.10000");
        assert_eq!(retry(60_000), "orders.billing.retry.60000");
        assert_eq!(retry(86_400_000), "orders.billing.retry.600000");
    }

    #[test]
    fn what_kafka_would_refuse_is_refused() {
        for (topic, group) in [
            ("", "g"),
            ("a b", "g"),
            ("é", "g"),
            ("..", "g"),
            ("t", "g/h"),
        ] {
            assert!(Names::new(topic, group).is_err(), "{topic:?} {group:?}");
        }
        assert!(Names::new(&"t".repeat(200), &"g".repeat(40)).is_err());
    }
}
