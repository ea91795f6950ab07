//! The numbers of a JetStream broker.

use std::str::FromStr;
use std::time::Duration;

use crate::fan_out::nats::{self, Address, CLUSTER, UrlError, number, parse};

/// What parameters a URL can have.
const PARAMETERS: &[&str] = &[
    "cluster",
    "replicas",
    "max_age",
    "max_bytes",
    "max_events",
    "read_back",
];

/// Where the servers are, and how the log is kept there.
///
/// Nodes of a cluster should agree: the log is kept as the node says that started last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Where the servers are.
    pub address: Address,
    /// What this cluster of nodes is called: clusters with different names have nothing in common on
    /// one server. At most 128 of `A-Z a-z 0-9 _ -`; default `fanfare`. The stream is called
    /// `NAME-events`, its subjects `NAME.e.>`; what lives in no log goes to `NAME.l.>`.
    pub cluster: String,
    /// Servers that hold a copy of the log, 1 to 5; default 1. More than one needs a NATS cluster,
    /// costs a round trip between its servers for each batch of events, and is what survives the
    /// loss of a server.
    pub replicas: usize,
    /// How long the log keeps events; default 24 h. What clients can recover, at most.
    pub max_age: Duration,
    /// How large the log may become before the oldest events go, in bytes on disk; default 1 GiB.
    /// The server sets the space aside: it refuses a log that it could not keep.
    pub max_bytes: u64,
    /// How many events the log may hold before the oldest go; default none. Each costs the server
    /// some 40 bytes besides itself, and each channel that has events some 100 bytes of memory.
    pub max_events: Option<u64>,
    /// How many events a node reads back when it starts, at most; default 100,000. Some 10 us each,
    /// and the memory of the newest ones of each channel. What is older cannot be recovered on this
    /// node.
    pub read_back: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            address: Address::default(),
            cluster: CLUSTER.to_owned(),
            replicas: 1,
            max_age: Duration::from_secs(24 * 60 * 60),
            max_bytes: 1 << 30,
            max_events: None,
            read_back: 100_000,
        }
    }
}

impl Config {
    pub(super) fn check(&self) -> Result<(), UrlError> {
        nats::check_cluster(&self.cluster)?;
        let wrong = |name: &str, value: String, expected: &str| {
            Err(UrlError::Value {
                name: name.to_owned(),
                value,
                expected: expected.to_owned(),
            })
        };
        if self.address.servers.is_empty() {
            return wrong("address.servers", "[]".to_owned(), "at least one server");
        }
        if !(1..=5).contains(&self.replicas) {
            return wrong("replicas", self.replicas.to_string(), "1 to 5");
        }
        if self.max_age < Duration::from_secs(1) {
            return wrong("max_age", format!("{:?}", self.max_age), "at least 1 s");
        }
        if self.max_bytes == 0 || i64::try_from(self.max_bytes).is_err() {
            return wrong("max_bytes", self.max_bytes.to_string(), "1 to 2^63 - 1");
        }
        if let Some(events) = self.max_events
            && (events == 0 || i64::try_from(events).is_err())
        {
            return wrong("max_events", events.to_string(), "1 to 2^63 - 1");
        }
        Ok(())
    }
}

/// `nats+jetstream://[user:password@]host[:port][,host[:port]…][?name=value&…]` with the parameters
/// `cluster`, `replicas`, `max_age` (in seconds), `max_bytes`, `max_events` and `read_back`.
impl FromStr for Config {
    type Err = UrlError;

    fn from_str(url: &str) -> Result<Self, UrlError> {
        let (address, parameters) = parse("nats+jetstream", url)?;
        let mut config = Self {
            address,
            ..Self::default()
        };
        for (name, value) in parameters {
            match &*name {
                "cluster" => config.cluster = value,
                "replicas" => {
                    let replicas = number(&name, &value, 1)?;
                    config.replicas = usize::try_from(replicas).unwrap_or(usize::MAX);
                }
                "max_age" => config.max_age = Duration::from_secs(number(&name, &value, 1)?),
                "max_bytes" => config.max_bytes = number(&name, &value, 1)?,
                "max_events" => config.max_events = Some(number(&name, &value, 1)?),
                "read_back" => config.read_back = number(&name, &value, 0)?,
                _ => {
                    return Err(UrlError::Parameter {
                        name,
                        known: PARAMETERS,
                    });
                }
            }
        }
        config.check()?;
        Ok(config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_parameter_is_read() {
        let url = "nats+jetstream://u:p@h:1?cluster=c&replicas=3&max_age=60&max_bytes=9&max_events=8&read_back=0";
        let config: Config = url.parse().unwrap();
        assert_eq!(config.address.servers, ["h:1"]);
        assert_eq!((&*config.cluster, config.replicas), ("c", 3));
        assert_eq!(config.max_age, Duration::from_secs(60));
        assert_eq!(
            (config.max_bytes, config.max_events, config.read_back),
            (9, Some(8), 0)
        );
        let plain: Config = "nats+jetstream://127.0.0.1".parse().unwrap();
        assert_eq!(plain, Config::default());
    }

    #[test]
    fn what_is_wrong_is_named() {
        let refused = |query: &str| {
            let url = format!("nats+jetstream://h?{query}");
            url.parse::<Config>().unwrap_err().to_string()
        };
        assert!(refused("clutser=a").contains("unknown parameter \"clutser\"; known are cluster,"));
        assert_eq!(refused("replicas=6"), "replicas is \"6\", expected 1 to 5");
        assert!(refused("max_age=0").starts_with("max_age is \"0\""));
        assert!(refused("max_bytes=-1").starts_with("max_bytes is \"-1\""));
        assert!(refused("cluster=a.b").starts_with("cluster is \"a.b\""));
    }
}
