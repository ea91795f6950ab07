//! The settings of a NATS broker.

use std::str::FromStr;

use super::address::{Address, CLUSTER, UrlError, check_cluster, parse};

/// Where the servers are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Where the servers are.
    pub address: Address,
    /// What this cluster of nodes is called: clusters with different names have nothing in common on
    /// one server. At most 128 of `A-Z a-z 0-9 _ -`; default `fanfare`. Subjects begin with it.
    pub cluster: String,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            address: Address::default(),
            cluster: CLUSTER.to_owned(),
        }
    }
}

impl Config {
    pub(super) fn check(&self) -> Result<(), UrlError> {
        check_cluster(&self.cluster)?;
        if self.address.servers.is_empty() {
            return Err(UrlError::Value {
                name: "address.servers".to_owned(),
                value: "[]".to_owned(),
                expected: "at least one server".to_owned(),
            });
        }
        Ok(())
    }
}

/// `nats://[user:password@]host[:port][,host[:port]…][?cluster=NAME]`.
impl FromStr for Config {
    type Err = UrlError;

    fn from_str(url: &str) -> Result<Self, UrlError> {
        let (address, parameters) = parse("nats", url)?;
        let mut config = Self {
            address,
            ..Self::default()
        };
        for (name, value) in parameters {
            match &*name {
                "cluster" => config.cluster = value,
                _ => {
                    return Err(UrlError::Parameter {
                        name,
                        known: &["cluster"],
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
    fn the_cluster_is_read_and_nothing_else() {
        let config: Config = "nats://h?cluster=c".parse().unwrap();
        assert_eq!(
            (&*config.cluster, &*config.address.servers[0]),
            ("c", "h:4222")
        );
        assert_eq!("nats://127.0.0.1".parse(), Ok(Config::default()));
        let refused = "nats://h?replicas=3".parse::<Config>().unwrap_err();
        assert!(
            refused
                .to_string()
                .contains("\"replicas\"; known are cluster"),
            "{refused}"
        );
    }
}
