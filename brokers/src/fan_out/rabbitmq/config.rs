//! Where RabbitMQ is, and how its log is kept.

use std::fmt;
use std::time::Duration;

use percent_encoding::percent_decode_str;

const CLUSTER_BYTES: usize = 128;
/// Parameters that say nothing without a stream,
const OF_STREAMS: [&str; 4] = ["read_back", "max_age", "max_bytes", "segment_bytes"];
/// and nothing of classic queues.
const OF_STREAMS_OR_QUORUM: [&str; 5] = [
    "read_back",
    "max_age",
    "max_bytes",
    "segment_bytes",
    "replicas",
];

/// Where RabbitMQ is, and how its log is kept.
///
/// What concerns the log's retention is told to the server when the log is made, by the first node of
/// a cluster; afterwards a policy of the server can change it.
#[derive(Clone, PartialEq, Eq)]
pub struct Config {
    /// The server's name or address. Default `127.0.0.1`.
    pub host: String,
    /// Its port. Default 5672, with TLS 5671.
    pub port: u16,
    /// Whether to speak TLS, with the roots of trust of the system. Default no.
    pub tls: bool,
    /// The user. Default `guest`.
    pub user: String,
    /// The user's password. Default `guest`.
    pub password: String,
    /// The virtual host. Default `/`.
    pub vhost: String,
    /// Keeps apart what shares a virtual host: the beginning of the names of exchanges and queues,
    /// 1 to 128 of `A-Z a-z 0-9 _ -`. Default `fanfare`.
    pub cluster: String,
    /// Whether a stream is the cluster's log. Without it each node has a queue, and there is no log; see
    /// [the module](super). Default yes.
    pub stream: bool,
    /// Without a stream: what the nodes' queues are. Default [`QueueType::Classic`].
    pub queues: QueueType,
    /// How many events back a node reads when it starts. It starts later by what that takes: 10,000 a
    /// second were read by a build without optimizations. Default 100,000.
    pub read_back: u64,
    /// How long the log keeps events, to the second, at least one. Default 24 h.
    pub max_age: Duration,
    /// How large the log may become, in bytes on each server that has a copy; then the oldest go.
    /// Default 4 GiB.
    pub max_bytes: u64,
    /// How large a file of the log becomes, in bytes, at most 3,000,000,000. Retention removes whole
    /// files, and never the newest. Default 64 MiB.
    pub segment_bytes: u64,
    /// How many servers of a cluster of servers have a copy of the log, each of which takes its size on
    /// disk, or of a quorum queue. Nodes must connect to one of those that have the log. Default none:
    /// all of them for the log, the server's default for queues.
    pub replicas: Option<u16>,
}

/// What the queues of nodes are on the server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum QueueType {
    /// Exclusive ones, each on the server that its node is connected to. They end with the connection;
    /// what a node misses meanwhile it asks the owners for.
    #[default]
    Classic,
    /// Ones with copies on several servers, written to disk, which end one minute after their node has
    /// ended. They hold what was broadcast over the end of a server and the loss of a connection, also
    /// where the owner dies meanwhile. An event is accepted later by the time in which that is written.
    /// Needs RabbitMQ 3.10 or newer.
    Quorum,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            host: "127.0.0.1".to_owned(),
            port: port(false),
            tls: false,
            user: "guest".to_owned(),
            password: "guest".to_owned(),
            vhost: "/".to_owned(),
            cluster: "fanfare".to_owned(),
            stream: true,
            queues: QueueType::Classic,
            read_back: 100_000,
            max_age: Duration::from_secs(24 * 60 * 60),
            max_bytes: 4 << 30,
            segment_bytes: 64 << 20,
            replicas: None,
        }
    }
}

impl Config {
    /// Reads `amqp[s]://[user[:password]@]host[:port][/vhost][?name=value&…]`; user, password and
    /// virtual host are percent-encoded. The parameters are `cluster`, `stream` (`true` or `false`);
    /// with a stream `read_back`, `max_age` (seconds), `max_bytes` and `segment_bytes`; without one
    /// `queues` (`classic` or `quorum`); and `replicas` of a stream or of quorum queues.
    ///
    /// # Errors
    /// [`UrlError`] says what is wrong. Nothing is connected to.
    pub fn from_url(url: &str) -> Result<Self, UrlError> {
        let (scheme, rest) = url.split_once("://").ok_or(UrlError::Scheme)?;
        let tls = match scheme {
            "amqp" => false,
            "amqps" => true,
            _ => return Err(UrlError::Scheme),
        };
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, vhost) = rest.split_once('/').unwrap_or((rest, ""));
        let (login, place) = match authority.rsplit_once('@') {
            Some((login, place)) => (login, place),
            None => ("", authority),
        };
        let (user, password) = login.split_once(':').unwrap_or((login, ""));
        let (host, port) = host_and_port(place, tls)?;
        let mut config = Self {
            host,
            port,
            tls,
            ..Self::default()
        };
        if !login.is_empty() {
            config.user = decoded(user).ok_or(UrlError::Login)?;
            config.password = decoded(password).ok_or(UrlError::Login)?;
        }
        if !vhost.is_empty() {
            config.vhost = decoded(vhost).ok_or(UrlError::Vhost)?;
        }
        let parameters = || form_urlencoded::parse(query.as_bytes());
        for (name, value) in parameters() {
            config.set(&name, &value)?;
        }
        config.check()?;
        let of_others = match (config.stream, config.queues) {
            (true, _) => &["queues"][..],
            (false, QueueType::Quorum) => &OF_STREAMS,
            (false, QueueType::Classic) => &OF_STREAMS_OR_QUORUM,
        };
        for (name, _) in parameters() {
            if of_others.contains(&&*name) {
                let name = name.into_owned();
                return Err(UrlError::OfNoUse { name });
            }
        }
        Ok(config)
    }

    fn set(&mut self, name: &str, value: &str) -> Result<(), UrlError> {
        let number = || {
            value
                .parse::<u64>()
                .map_err(|_| wrong(name, value, "a whole number"))
        };
        match name {
            "cluster" => value.clone_into(&mut self.cluster),
            "read_back" => self.read_back = number()?,
            "max_age" => self.max_age = Duration::from_secs(number()?),
            "max_bytes" => self.max_bytes = number()?,
            "segment_bytes" => self.segment_bytes = number()?,
            "replicas" => {
                let replicas = value.parse();
                let replicas = replicas.map_err(|_| wrong(name, value, "a number from 1"))?;
                self.replicas = Some(replicas);
            }
            "stream" => {
                let stream = value.parse();
                self.stream = stream.map_err(|_| wrong(name, value, "true or false"))?;
            }
            "queues" => {
                self.queues = match value {
                    "classic" => QueueType::Classic,
                    "quorum" => QueueType::Quorum,
                    _ => return Err(wrong(name, value, "classic or quorum")),
                }
            }
            _ => {
                return Err(UrlError::Parameter {
                    name: name.to_owned(),
                });
            }
        }
        Ok(())
    }

    pub(super) fn check(&self) -> Result<(), UrlError> {
        let legal = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        let cluster = &self.cluster;
        if cluster.is_empty() || cluster.len() > CLUSTER_BYTES || !cluster.bytes().all(legal) {
            return Err(wrong("cluster", cluster, "1 to 128 of A-Z a-z 0-9 _ -"));
        }
        let numbers = [
            ("max_age", self.max_age.as_secs(), 1, u64::from(u32::MAX)),
            ("max_bytes", self.max_bytes, 1, i64::MAX as u64),
            ("segment_bytes", self.segment_bytes, 1, 3_000_000_000),
            ("replicas", self.replicas.map_or(1, u64::from), 1, 65_535),
        ];
        for (name, value, least, most) in numbers {
            if value < least || value > most {
                let expected = format!("a number from {least} to {most}");
                return Err(wrong(name, &value.to_string(), &expected));
            }
        }
        Ok(())
    }

    /// The server, as sentences name it.
    pub(super) fn place(&self) -> String {
        format!("RabbitMQ at {}:{}", self.host, self.port)
    }
}

const fn port(tls: bool) -> u16 {
    if tls { 5671 } else { 5672 }
}

fn decoded(text: &str) -> Option<String> {
    let text = percent_decode_str(text).decode_utf8();
    text.ok().map(std::borrow::Cow::into_owned)
}

fn host_and_port(place: &str, tls: bool) -> Result<(String, u16), UrlError> {
    // Not named: where a password holds a slash that is not encoded, this is a part of it.
    let wrong = || UrlError::Host;
    // The colons inside the brackets of an IPv6 address are no port's.
    let (host, rest) = match place.strip_prefix('[') {
        Some(place) => place.split_once(']').ok_or_else(wrong)?,
        None => place.split_at(place.find(':').unwrap_or(place.len())),
    };
    let port = match rest.strip_prefix(':') {
        Some(number) => number.parse().map_err(|_| wrong())?,
        None if rest.is_empty() => port(tls),
        None => return Err(wrong()),
    };
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:".contains(&byte);
    if host.is_empty() || port == 0 || !host.bytes().all(legal) {
        return Err(wrong());
    }
    Ok((host.to_owned(), port))
}

fn wrong(name: &str, value: &str, expected: &str) -> UrlError {
    UrlError::Value {
        name: name.to_owned(),
        value: value.to_owned(),
        expected: expected.to_owned(),
    }
}

/// Without the password.
impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("host", &self.host)
            .field("port", &self.port)
            .field("tls", &self.tls)
            .field("user", &self.user)
            .field("vhost", &self.vhost)
            .field("cluster", &self.cluster)
            .field("stream", &self.stream)
            .field("queues", &self.queues)
            .field("read_back", &self.read_back)
            .field("max_age", &self.max_age)
            .field("max_bytes", &self.max_bytes)
            .field("segment_bytes", &self.segment_bytes)
            .field("replicas", &self.replicas)
            .finish_non_exhaustive()
    }
}

/// The URL is none of a RabbitMQ server, or asks for what there is not. Never holds the password.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum UrlError {
    /// It begins with neither `amqp://` nor `amqps://`.
    Scheme,
    /// The user or password is not percent-encoded UTF-8.
    Login,
    /// The virtual host is not percent-encoded UTF-8.
    Vhost,
    /// The host, or its port, is missing or malformed.
    Host,
    /// There is no such parameter.
    Parameter {
        /// Its name.
        name: String,
    },
    /// A parameter has a value that it cannot have.
    Value {
        /// Its name.
        name: String,
        /// Its value.
        value: String,
        /// What it may be.
        expected: String,
    },
    /// A parameter is of no use beside the others: of a stream where there is none, or of queues where
    /// there is a stream.
    OfNoUse {
        /// Its name.
        name: String,
    },
}

impl fmt::Display for UrlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Scheme => f.write_str("a RabbitMQ URL begins with amqp:// or amqps://"),
            Self::Login => f.write_str("user and password must be percent-encoded UTF-8"),
            Self::Vhost => f.write_str("the virtual host must be percent-encoded UTF-8"),
            Self::Host => f.write_str(
                "the host, or its port, is missing or malformed (a password must be percent-encoded)",
            ),
            Self::Parameter { name } => write!(
                f,
                "there is no parameter {name:?}; there are cluster, stream, queues, read_back, \
                 max_age, max_bytes, segment_bytes and replicas"
            ),
            Self::Value {
                name,
                value,
                expected,
            } => write!(f, "{name} is {value:?}, and should be {expected}"),
            Self::OfNoUse { name } => write!(
                f,
                "{name} has no effect here: read_back, max_age, max_bytes and segment_bytes are of a \
                 stream, queues goes with stream=false, and replicas with a stream or quorum queues"
            ),
        }
    }
}

impl std::error::Error for UrlError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_says_all_there_is_to_say() {
        let url = "amqps://a%40b:p%3aw@rabbit.example:1234/my%2fhost?cluster=c-1&read_back=7&\
                   max_age=60&max_bytes=1000&segment_bytes=500&replicas=3&stream=true";
        let expected = Config {
            host: "rabbit.example".to_owned(),
            port: 1234,
            tls: true,
            user: "a@b".to_owned(),
            password: "p:w".to_owned(),
            vhost: "my/host".to_owned(),
            cluster: "c-1".to_owned(),
            stream: true,
            queues: QueueType::Classic,
            read_back: 7,
            max_age: Duration::from_secs(60),
            max_bytes: 1000,
            segment_bytes: 500,
            replicas: Some(3),
        };
        assert_eq!(Config::from_url(url), Ok(expected));
    }

    #[test]
    fn what_a_url_leaves_out_is_the_default() {
        for url in [
            "amqp://127.0.0.1",
            "amqp://127.0.0.1/",
            "amqp://127.0.0.1:5672/%2f",
            "amqp://guest:guest@127.0.0.1?cluster=fanfare",
        ] {
            assert_eq!(Config::from_url(url), Ok(Config::default()), "{url}");
        }
        let six = Config::from_url("amqps://[::1]/").unwrap();
        assert_eq!((&*six.host, six.port), ("::1", 5671));
    }

    #[test]
    fn queues_are_asked_for_by_name() {
        let config = |url| Config::from_url(url).unwrap();
        let classic = config("amqp://h?stream=false");
        assert_eq!(
            (classic.stream, classic.queues),
            (false, QueueType::Classic)
        );
        let quorum = config("amqp://h?queues=quorum&stream=false&replicas=3");
        assert_eq!((quorum.stream, quorum.queues), (false, QueueType::Quorum));
        assert_eq!(quorum.replicas, Some(3));
    }

    #[test]
    fn a_url_that_is_wrong_is_refused_by_what_is_wrong() {
        let refused = [
            ("", "begins with amqp://"),
            ("nats://h", "begins with amqp://"),
            ("amqp://", "host, or its port"),
            ("amqp://h:x", "host, or its port"),
            ("amqp://h:0", "host, or its port"),
            ("amqp://h:99999", "host, or its port"),
            ("amqp://[::1", "host, or its port"),
            ("amqp://[::1]x", "host, or its port"),
            ("amqp://ho st", "host, or its port"),
            ("amqp://%ff:x@h", "user and password"),
            ("amqp://h/%ff", "virtual host"),
            ("amqp://h?clutser=x", "no parameter \"clutser\""),
            ("amqp://h?cluster=", "cluster is \"\""),
            ("amqp://h?cluster=a.b", "cluster is \"a.b\""),
            ("amqp://h?read_back=-1", "read_back is \"-1\""),
            ("amqp://h?max_age=0", "max_age is \"0\""),
            ("amqp://h?segment_bytes=3000000001", "segment_bytes is"),
            ("amqp://h?replicas=0", "replicas is \"0\""),
            ("amqp://h?stream=no", "stream is \"no\""),
            ("amqp://h?stream=false&queues=x", "queues is \"x\""),
            ("amqp://h?queues=quorum", "queues has no effect"),
            ("amqp://h?stream=false&max_age=9", "max_age has no effect"),
            ("amqp://h?replicas=3&stream=false", "replicas has no effect"),
        ];
        for (url, expected) in refused {
            let error = Config::from_url(url).unwrap_err().to_string();
            assert!(error.contains(expected), "{url}: {error}");
        }
    }

    #[test]
    fn no_password_is_shown() {
        let config = Config::from_url("amqp://user:hidden@h").unwrap();
        assert!(!format!("{config:?}").contains("hidden"));
        for url in [
            "amqp://user:hidden@h:x",
            "amqp://user:hidden@h?x=1",
            "amqp://user:hidden/@h",
        ] {
            let error = Config::from_url(url).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("hidden"));
        }
    }
}
