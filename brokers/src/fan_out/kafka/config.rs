//! Where a Kafka cluster is, and what is kept there.

use std::fmt;
use std::time::Duration;

use percent_encoding::percent_decode_str;
use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;

const SCHEME: &str = "kafka://";
const PORT: u16 = 9092;
const PARAMETERS: [&str; 3] = ["cluster", "partitions", "replication"];
/// Kafka takes 249; the longest suffix goes off that.
const MAX_CLUSTER_BYTES: usize = 200;

/// Where a Kafka cluster is, how to log in, and the topics of one cluster of nodes.
///
/// The two numbers of the topics count when the first node creates them. What exists stays as it is:
/// nodes take the number of partitions from the topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Brokers to ask first, as `host:port`; they name the others. At least one, default
    /// `127.0.0.1:9092`.
    pub servers: Vec<String>,
    /// User and password for SASL PLAIN, without TLS: for networks that are trusted, or tunnelled.
    /// Default none.
    pub login: Option<Login>,
    /// Keeps clusters of nodes apart on one Kafka: the first part of the topics' names, of
    /// `A-Z a-z 0-9 _ - .`, at most 200 bytes. Default `fanfare`.
    pub cluster: String,
    /// Partitions of `{cluster}.events`: a divisor of [`fanfare::LANES`]. Each is written by
    /// its own leader, so more of them spread the writing over more brokers; each costs every node two
    /// small requests every five seconds. Default 8.
    pub partitions: u16,
    /// Copies of each partition; none for what the brokers have as their default. What was accepted
    /// outlives the loss of all of them but one, so 1 outlives the end of a broker's process, and of
    /// its machine only what that had synced. Default none.
    pub replication: Option<u16>,
    /// How long events are kept, at least a second. Costs disk on the brokers. Default 24 h.
    pub retention: Duration,
    /// How many events a node reads back when it starts, over all partitions, in equal parts. They are
    /// what clients can recover from it. Costs about a second per 100,000 of them at the start.
    /// Default 100,000.
    pub read_back: u64,
}

/// Who a node is for Kafka.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    /// The user.
    pub user: String,
    /// The user's password.
    pub password: String,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            servers: vec![format!("127.0.0.1:{PORT}")],
            login: None,
            cluster: "fanfare".to_owned(),
            partitions: 8,
            replication: None,
            retention: Duration::from_secs(24 * 60 * 60),
            read_back: 100_000,
        }
    }
}

impl Config {
    /// Reads `kafka://[user:password@]host[:port][,host[:port]…][?cluster=…&partitions=…&replication=…]`.
    /// Connects to nothing.
    ///
    /// # Errors
    /// [`UrlError`] names what is wrong.
    pub fn from_url(url: &str) -> Result<Self, UrlError> {
        let rest = url.strip_prefix(SCHEME).ok_or(UrlError::Scheme)?;
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (login, hosts) = match rest.rsplit_once('@') {
            Some((login, hosts)) => (Some(login), hosts),
            None => (None, rest),
        };
        let hosts = hosts.strip_suffix('/').unwrap_or(hosts);
        let mut config = Self {
            servers: hosts.split(',').map(server).collect::<Result<_, _>>()?,
            login: login.map(Login::from_url).transpose()?,
            ..Self::default()
        };
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            match &*name {
                "cluster" => config.cluster = value.into_owned(),
                "partitions" => config.partitions = number(&name, &value)?,
                "replication" => config.replication = Some(number(&name, &value)?),
                _ => return Err(UrlError::Parameter(name.into_owned())),
            }
        }
        config.check()?;
        Ok(config)
    }

    /// Whether the fields can be what they are.
    pub(super) fn check(&self) -> Result<(), UrlError> {
        let wrong = |name: &str, value: String, expected: String| {
            Err(UrlError::Value {
                name: name.to_owned(),
                value,
                expected,
            })
        };
        let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
        let cluster = &self.cluster;
        if !(1..=MAX_CLUSTER_BYTES).contains(&cluster.len()) || !cluster.bytes().all(legal) {
            let expected = format!("1 to {MAX_CLUSTER_BYTES} of A-Z a-z 0-9 _ - .");
            return wrong("cluster", cluster.clone(), expected);
        }
        if !divides_lanes(self.partitions.into()) {
            let expected = format!("a divisor of {}", fanfare::LANES);
            return wrong("partitions", self.partitions.to_string(), expected);
        }
        if self.replication == Some(0) || self.replication > Some(i16::MAX.unsigned_abs()) {
            let value = self.replication.unwrap_or_default().to_string();
            return wrong("replication", value, "1 to 32767".to_owned());
        }
        if self.retention < Duration::from_secs(1) {
            let value = format!("{:?}", self.retention);
            return wrong("retention", value, "at least a second".to_owned());
        }
        if self.servers.is_empty() {
            return wrong("servers", String::new(), "host:port".to_owned());
        }
        Ok(())
    }

    /// What all clients of librdkafka have in common.
    pub(super) fn client(&self) -> ClientConfig {
        let mut client = ClientConfig::new();
        client
            .set("bootstrap.servers", self.servers.join(","))
            .set("client.id", "fanfare")
            // Topics are made by `topics`, with what they need, or not at all.
            .set("allow.auto.create.topics", "false")
            .set("topic.metadata.refresh.interval.ms", "60000")
            .set("socket.nagle.disable", "true")
            .set("socket.keepalive.enable", "true")
            .set("socket.timeout.ms", "5000")
            .set("socket.connection.setup.timeout.ms", "2000")
            .set("reconnect.backoff.ms", "50")
            .set("reconnect.backoff.max.ms", "500")
            .set_log_level(RDKafkaLogLevel::Warning);
        if let Some(login) = &self.login {
            client
                .set("security.protocol", "sasl_plaintext")
                .set("sasl.mechanism", "PLAIN")
                .set("sasl.username", &login.user)
                .set("sasl.password", &login.password);
        }
        client
    }

    pub(super) fn events_topic(&self) -> String {
        format!("{}.events", self.cluster)
    }

    pub(super) fn live_topic(&self) -> String {
        format!("{}.live", self.cluster)
    }
}

pub(super) fn divides_lanes(partitions: usize) -> bool {
    partitions > 0 && fanfare::LANES.is_multiple_of(partitions)
}

impl Login {
    fn from_url(text: &str) -> Result<Self, UrlError> {
        let (user, password) = text.split_once(':').ok_or(UrlError::Login)?;
        let decoded = |text| percent_decode_str(text).decode_utf8().ok();
        match (decoded(user), decoded(password)) {
            (Some(user), Some(password)) if !user.is_empty() => Ok(Self {
                user: user.into_owned(),
                password: password.into_owned(),
            }),
            _ => Err(UrlError::Login),
        }
    }
}

fn server(text: &str) -> Result<String, UrlError> {
    let wrong = || UrlError::Host(text.to_owned());
    // The colons inside the brackets of an IPv6 address are no port's.
    let end = text.rfind(']').map_or(0, |end| end + 1);
    let (host, port) = match text[end..].rfind(':') {
        Some(colon) => {
            let port = text[end + colon + 1..].parse().map_err(|_| wrong())?;
            (&text[..end + colon], port)
        }
        None => (text, PORT),
    };
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:[]".contains(&byte);
    let bare = host.contains(':') && !(host.starts_with('[') && host.ends_with(']'));
    if host.is_empty() || bare || port == 0 || !host.bytes().all(legal) {
        return Err(wrong());
    }
    Ok(format!("{host}:{port}"))
}

fn number(name: &str, value: &str) -> Result<u16, UrlError> {
    value.parse().map_err(|_| UrlError::Value {
        name: name.to_owned(),
        value: value.to_owned(),
        expected: "a whole number".to_owned(),
    })
}

/// Without the password.
impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login")
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

/// The URL is none of a Kafka cluster, or asks for what there is not. Never holds the password.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum UrlError {
    /// It does not begin with `kafka://`.
    Scheme,
    /// What stands before the `@` is not a user and a password, percent-encoded.
    Login,
    /// A host, or its port, is missing or malformed. Holds what stands in its place.
    Host(String),
    /// There is no parameter of this name.
    Parameter(String),
    /// A parameter, or a field of the configuration, cannot have this value.
    Value {
        /// Its name.
        name: String,
        /// What was given.
        value: String,
        /// What it can have.
        expected: String,
    },
}

impl fmt::Display for UrlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Scheme => write!(f, "the URL does not begin with {SCHEME}"),
            Self::Login => {
                f.write_str("the URL has no user:password, percent-encoded, before the @")
            }
            Self::Host(host) => write!(f, "the URL has {host:?} where host:port is expected"),
            Self::Parameter(name) => write!(
                f,
                "the URL has an unknown parameter {name:?}; known are {}",
                PARAMETERS.join(", ")
            ),
            Self::Value {
                name,
                value,
                expected,
            } => write!(f, "{name} is {value:?}, expected {expected}"),
        }
    }
}

impl std::error::Error for UrlError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_parts_are_read() {
        let url = "kafka://u:p%40x@a,b:1,[::1]:2/?cluster=c-1&partitions=16&replication=3";
        let config = Config::from_url(url).unwrap();
        assert_eq!(config.servers, ["a:9092", "b:1", "[::1]:2"]);
        let login = config.login.as_ref().unwrap();
        assert_eq!((&*login.user, &*login.password), ("u", "p@x"));
        assert_eq!((&*config.cluster, config.partitions), ("c-1", 16));
        assert_eq!(config.replication, Some(3));
        assert_eq!(config.events_topic(), "c-1.events");
        let plain = Config::from_url("kafka://127.0.0.1:9092").unwrap();
        assert_eq!(plain, Config::default());
    }

    #[test]
    fn refusals_name_what_is_wrong() {
        let refused = |url: &str| Config::from_url(url).unwrap_err().to_string();
        assert_eq!(refused("nats://a"), "the URL does not begin with kafka://");
        for bad in ["", "a:", "a:99999", "a:0", ":1", "::1", "a b", "a,"] {
            let refused = refused(&format!("kafka://{bad}"));
            assert!(refused.contains("where host:port is expected"), "{bad}");
        }
        assert!(refused("kafka://u@a").contains("user:password"));
        assert!(refused("kafka://%ff:x@a").contains("percent-encoded"));
        assert_eq!(
            refused("kafka://a?acks=1"),
            r#"the URL has an unknown parameter "acks"; known are cluster, partitions, replication"#
        );
        for bad in ["cluster=", "cluster=a%20b", "partitions=0", "partitions=7"] {
            assert!(refused(&format!("kafka://a?{bad}")).contains("expected"));
        }
        for bad in [
            "partitions=64",
            "partitions=x",
            "replication=0",
            "replication=-1",
        ] {
            assert!(refused(&format!("kafka://a?{bad}")).contains("expected"));
        }
    }

    #[test]
    fn passwords_are_not_shown() {
        let config = Config::from_url("kafka://u:secret@a").unwrap();
        assert!(!format!("{config:?}").contains("secret"));
        let refused = Config::from_url("kafka://u:secret@a?partitions=7").unwrap_err();
        assert!(!format!("{refused:?} {refused}").contains("secret"));
    }
}
