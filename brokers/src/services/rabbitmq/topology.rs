//! Exchanges and queues, as data.

/// The exchanges and queues that a service uses. All are durable; what is missing is declared when
/// the engine connects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topology {
    /// The topic exchange that records are published to; a record's topic is its routing key.
    pub exchange: String,
    /// Its queues. A group that has a queue's name reads that queue.
    pub queues: Vec<Queue>,
    /// Where dead letters go.
    pub dead_letters: DeadLetterQueue,
    /// What kind of queues they are. A queue that exists keeps its kind: one that was declared as
    /// another is refused by the server.
    pub durability: Durability,
}

/// A queue that gets what one of its binding keys matches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Queue {
    /// Its name.
    pub name: String,
    /// Words joined by dots; `*` stands for one word, `#` for any number.
    pub binding_keys: Vec<String>,
}

/// The queue that keeps dead letters, and the topic exchange in front of it. The routing key of a dead
/// letter is `error.` and the first word of its queue's first binding key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetterQueue {
    /// The exchange, which every queue names as its dead letter exchange.
    pub exchange: String,
    /// The queue.
    pub queue: String,
    /// What binds the two.
    pub binding_key: String,
}

/// How queues survive the loss of a server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// Classic queues: on the disk of one server.
    #[default]
    Classic,
    /// Quorum queues: on the disks of most servers of a cluster.
    Quorum,
}

impl Topology {
    /// An exchange without queues of its own: each group of a topic gets one. Its dead letter exchange
    /// and queue are `NAME.dlx` and `NAME.failed_events`.
    #[must_use]
    pub fn new(exchange: &str) -> Self {
        Self {
            exchange: exchange.to_owned(),
            queues: Vec::new(),
            dead_letters: DeadLetterQueue {
                exchange: format!("{exchange}.dlx"),
                queue: format!("{exchange}.failed_events"),
                binding_key: "error.*".to_owned(),
            },
            durability: Durability::default(),
        }
    }

    /// What the gamification service's document lists.
    #[must_use]
    pub fn gamification() -> Self {
        let families = [
            "achievement",
            "quest",
            "reward",
            "notification",
            "analytics",
        ];
        let queue = |family| Queue {
            name: format!("{family}_events"),
            binding_keys: vec![format!("{family}.*")],
        };
        Self {
            queues: families.map(queue).into(),
            dead_letters: DeadLetterQueue {
                exchange: "gamification.dlx".to_owned(),
                queue: "failed_events".to_owned(),
                binding_key: "error.*".to_owned(),
            },
            ..Self::new("gamification")
        }
    }

    /// The same, with queues of a kind.
    #[must_use]
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// The queue of a group.
    ///
    /// A group that has the name of one of the queues reads that queue, by its name or by one of its
    /// binding keys as the topic. Any other group has a queue `TOPIC.GROUP` of its own, which gets
    /// what the queue of the topic's name gets, or what the topic matches as a binding key.
    #[must_use]
    pub fn queue_of(&self, topic: &str, group: &str) -> Queue {
        let named = |name: &str| self.queues.iter().find(|queue| queue.name == name);
        if let Some(queue) = named(group)
            && (topic == group || queue.binding_keys.iter().any(|key| key == topic))
        {
            return queue.clone();
        }
        Queue {
            name: format!("{topic}.{group}"),
            binding_keys: named(topic).map_or_else(
                || vec![topic.to_owned()],
                |queue| queue.binding_keys.clone(),
            ),
        }
    }
}

impl Queue {
    /// The routing key of its dead letters.
    pub(super) fn dead_letter_key(&self) -> String {
        let key = self.binding_keys.first().map_or("", String::as_str);
        match key.split('.').next() {
            Some("" | "*" | "#") | None => "error.other".to_owned(),
            Some(family) => format!("error.{family}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gamification_document() {
        let topology = Topology::gamification();
        assert_eq!(topology.exchange, "gamification");
        let queues = topology.queues.iter();
        let queues = queues.map(|queue| (&queue.name[..], &queue.binding_keys[0][..]));
        assert_eq!(
            queues.collect::<Vec<_>>(),
            [
                ("achievement_events", "achievement.*"),
                ("quest_events", "quest.*"),
                ("reward_events", "reward.*"),
                ("notification_events", "notification.*"),
                ("analytics_events", "analytics.*"),
            ]
        );
        assert_eq!(topology.dead_letters.exchange, "gamification.dlx");
        assert_eq!(topology.dead_letters.queue, "failed_events");
        assert_eq!(topology.queues[1].dead_letter_key(), "error.quest");
    }

    #[test]
    fn each_group_has_its_queue() {
        let topology = Topology::gamification();
        let quests = &topology.queues[1];
        assert_eq!(&topology.queue_of("quest_events", "quest_events"), quests);
        assert_eq!(&topology.queue_of("quest.*", "quest_events"), quests);
        let audit = topology.queue_of("quest_events", "audit");
        assert_eq!(audit.name, "quest_events.audit");
        assert_eq!(audit.binding_keys, ["quest.*"]);
        let mailer = topology.queue_of("quest.completed", "mailer");
        assert_eq!(mailer.name, "quest.completed.mailer");
        assert_eq!(mailer.binding_keys, ["quest.completed"]);
        assert_eq!(mailer.dead_letter_key(), "error.quest");
        // The queue of that name has other records.
        let other = topology.queue_of("reward.claimed", "quest_events");
        assert_eq!(other.name, "reward.claimed.quest_events");
        assert_eq!(
            topology.queue_of("#", "all").dead_letter_key(),
            "error.other"
        );
    }
}
