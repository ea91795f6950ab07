//! What a configuration asks of its broker.

use serde::{Deserialize, Serialize};

use super::Guarantees;
use crate::config::ConfigError;

/// What a deployment cannot do without. A node whose broker gives less does not start; nothing is asked
/// for by default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is asked for by itself, in a file"
)]
pub struct Required {
    /// [`Guarantees::ordered`].
    pub ordered: bool,
    /// [`Guarantees::durable`].
    pub durable: bool,
    /// [`Guarantees::replayable`].
    pub replayable: bool,
    /// [`Guarantees::shared_positions`].
    pub shared_positions: bool,
    /// That events are accepted while the broker is away, which takes a history store on disk; a broker
    /// within the node is never away.
    pub outages: bool,
}

impl Required {
    /// Looks whether `given`, and a history store that can keep what waits if `has_spill`, are enough.
    ///
    /// # Errors
    /// A sentence that names the first setting that cannot be had, and who can give it.
    pub(crate) fn check(
        self,
        given: &Guarantees,
        is_local: bool,
        has_spill: bool,
    ) -> Result<(), ConfigError> {
        let rules = [
            (
                self.ordered,
                given.ordered,
                "ordered",
                "one order of a channel's events on all nodes",
            ),
            (
                self.durable,
                given.durable,
                "durable",
                "events that survive its own end and that of every node; a log does: \
                 nats+jetstream, kafka or rabbitmq",
            ),
            (
                self.replayable,
                given.replayable,
                "replayable",
                "events that can be read again; a log does: nats+jetstream, kafka or rabbitmq",
            ),
            (
                self.shared_positions,
                given.shared_positions,
                "shared_positions",
                "positions that mean the same on every node; a log does: nats+jetstream, kafka or \
                 rabbitmq",
            ),
        ];
        let missing = rules.iter().find(|(asked, given, ..)| *asked && !given);
        if let Some((_, _, setting, meaning)) = missing {
            return Err(ConfigError(format!(
                "broker.{setting} is asked for, and the broker {} does not give {meaning}",
                given.name
            )));
        }
        if self.outages && !is_local && !has_spill {
            return Err(ConfigError(
                "broker.outages is asked for, and there is no history on disk where events could \
                 wait while the broker is away"
                    .to_owned(),
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOTHING: Guarantees = Guarantees {
        name: "pigeons",
        ordered: false,
        durable: false,
        replayable: false,
        shared_positions: false,
    };

    #[test]
    fn what_is_not_given_is_named() {
        let all = Guarantees {
            ordered: true,
            durable: true,
            replayable: true,
            shared_positions: true,
            ..NOTHING
        };
        for setting in ["ordered", "durable", "replayable", "shared_positions"] {
            let asked = json!({ setting: true });
            let required = serde_json::from_value::<Required>(asked).unwrap();
            let sentence = required
                .check(&NOTHING, true, true)
                .unwrap_err()
                .to_string();
            assert!(
                sentence.starts_with(&format!("broker.{setting} ")),
                "{sentence}"
            );
            assert!(sentence.contains("pigeons"), "{sentence}");
            assert_eq!(required.check(&all, false, false), Ok(()));
        }
        assert_eq!(Required::default().check(&NOTHING, false, false), Ok(()));
    }

    #[test]
    fn an_outage_takes_a_place_to_wait_or_a_broker_that_is_never_away() {
        let required = Required {
            outages: true,
            ..Required::default()
        };
        assert!(required.check(&NOTHING, false, false).is_err());
        assert_eq!(required.check(&NOTHING, false, true), Ok(()));
        assert_eq!(required.check(&NOTHING, true, false), Ok(()));
    }
}
