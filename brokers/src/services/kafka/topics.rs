//! How topics are created.

use std::collections::BTreeMap;

/// How a topic is created where it is missing. One that exists stays as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TopicConfig {
    /// How many partitions. At most so many processes of a group share it. 1 to 10,000.
    pub partitions: u16,
    /// How many brokers have a copy; 0 for as many as the cluster's default says.
    pub replication: u16,
}

/// How topics are created, by name. The default: every topic has 3 partitions, and as many copies as
/// the cluster's default says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topics {
    /// For topics that are not named, and the number of copies of those for retries and dead letters.
    pub default: TopicConfig,
    /// For those that are.
    pub named: BTreeMap<String, TopicConfig>,
}

impl Topics {
    /// How a topic is created.
    #[must_use]
    pub fn of(&self, topic: &str) -> TopicConfig {
        self.named.get(topic).copied().unwrap_or(self.default)
    }
}

impl Default for Topics {
    fn default() -> Self {
        Self {
            default: TopicConfig {
                partitions: 3,
                replication: 0,
            },
            named: BTreeMap::new(),
        }
    }
}

impl<N: Into<String>> FromIterator<(N, u16)> for Topics {
    /// Names and numbers of partitions, the rest by default.
    fn from_iter<I: IntoIterator<Item = (N, u16)>>(topics: I) -> Self {
        let mut all = Self::default();
        for (name, partitions) in topics {
            let config = TopicConfig {
                partitions,
                ..all.default
            };
            all.named.insert(name.into(), config);
        }
        all
    }
}
