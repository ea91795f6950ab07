//! Where NATS servers are.

use std::fmt;

use percent_encoding::percent_decode_str;

const PORT: u16 = 4222;
/// The cluster that is meant where none is named.
pub(in crate::fan_out) const CLUSTER: &str = "fanfare";

/// Where the servers of a NATS cluster are, and how to log in there.
///
/// TLS is used where the server asks for it, with the roots of trust of the system.
#[derive(Clone, PartialEq, Eq)]
pub struct Address {
    /// Servers of the cluster as `host:port`, at least one; connecting tries them in a random order.
    /// Default `127.0.0.1:4222`.
    pub servers: Vec<String>,
    /// The user, or the token where there is no password. Default none.
    pub user: Option<String>,
    /// The user's password. Default none.
    pub password: Option<String>,
}

impl Default for Address {
    fn default() -> Self {
        Self {
            servers: vec![format!("127.0.0.1:{PORT}")],
            user: None,
            password: None,
        }
    }
}

/// Without the password, and without what may be a token.
impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Address")
            .field("servers", &self.servers)
            .field("logs_in", &self.user.is_some())
            .finish_non_exhaustive()
    }
}

/// The servers, as sentences name them.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.servers.join(", "))
    }
}

/// Reads `scheme://[user:password@]host[:port][,host[:port]…][/][?name=value&…]`: the address and the
/// parameters.
pub(in crate::fan_out) fn parse(
    scheme: &'static str,
    url: &str,
) -> Result<(Address, Vec<(String, String)>), UrlError> {
    let rest = url.strip_prefix(scheme);
    let Some(rest) = rest.and_then(|rest| rest.strip_prefix("://")) else {
        return Err(UrlError::Scheme { expected: scheme });
    };
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (login, hosts) = match rest.rsplit_once('@') {
        Some((login, hosts)) => (Some(login), hosts),
        None => (None, rest),
    };
    let hosts = hosts.strip_suffix('/').unwrap_or(hosts);
    let (user, password) = match login.map(|login| login.split_once(':').unwrap_or((login, ""))) {
        Some((user, password)) => (decoded(user)?, decoded(password)?),
        None => (None, None),
    };
    let servers = hosts.split(',').map(server).collect::<Result<_, _>>()?;
    let address = Address {
        servers,
        user,
        password,
    };
    let parameters = form_urlencoded::parse(query.as_bytes()).into_owned();
    Ok((address, parameters.collect()))
}

fn decoded(text: &str) -> Result<Option<String>, UrlError> {
    let decoded = percent_decode_str(text).decode_utf8();
    let decoded = decoded.map_err(|_| UrlError::Login)?;
    Ok((!decoded.is_empty()).then(|| decoded.into_owned()))
}

fn server(text: &str) -> Result<String, UrlError> {
    let wrong = || UrlError::Host {
        host: text.to_owned(),
    };
    // The colons inside the brackets of an IPv6 address are no port's.
    let end = text.rfind(']').map_or(0, |end| end + 1);
    let (host, port) = match text[end..].rfind(':') {
        Some(colon) => (&text[..end + colon], &text[end + colon + 1..]),
        None => (text, ""),
    };
    let port = if port.is_empty() && host.len() == text.len() {
        PORT
    } else {
        port.parse().map_err(|_| wrong())?
    };
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:[]".contains(&byte);
    let bare = host.contains(':') && !(host.starts_with('[') && host.ends_with(']'));
    if host.is_empty() || bare || !host.bytes().all(legal) {
        return Err(wrong());
    }
    Ok(format!("{host}:{port}"))
}

/// A number of a parameter.
pub(in crate::fan_out) fn number(name: &str, value: &str, least: u64) -> Result<u64, UrlError> {
    let number = value.parse().ok().filter(|number| *number >= least);
    number.ok_or_else(|| UrlError::Value {
        name: name.to_owned(),
        value: value.to_owned(),
        expected: format!("a whole number from {least}"),
    })
}

/// A cluster's name: it becomes a token of subjects and a part of a stream's name.
pub(in crate::fan_out) fn check_cluster(name: &str) -> Result<(), UrlError> {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if !name.is_empty() && name.len() <= 128 && name.bytes().all(legal) {
        return Ok(());
    }
    Err(UrlError::Value {
        name: "cluster".to_owned(),
        value: name.to_owned(),
        expected: "1 to 128 of A-Z a-z 0-9 _ -".to_owned(),
    })
}

/// The URL is none of a NATS server, or asks for what there is not. Never holds the password.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum UrlError {
    /// It begins with another scheme.
    Scheme {
        /// The one that belongs there.
        expected: &'static str,
    },
    /// The user or password is not percent-encoded UTF-8.
    Login,
    /// A host, or its port, is missing or malformed.
    Host {
        /// What stands in its place.
        host: String,
    },
    /// There is no such parameter.
    Parameter {
        /// Its name.
        name: String,
        /// Those that there are.
        known: &'static [&'static str],
    },
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
            Self::Scheme { expected } => write!(f, "the URL does not begin with {expected}://"),
            Self::Login => f.write_str("the URL's user or password is not percent-encoded UTF-8"),
            Self::Host { host } => write!(f, "the URL has {host:?} where host:port is expected"),
            Self::Parameter { name, known } => write!(
                f,
                "the URL has an unknown parameter {name:?}; known are {}",
                known.join(", ")
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
        let (address, parameters) =
            parse("nats", "nats://u:p%40x@a,b:1,[::1]:2/?cluster=c").unwrap();
        assert_eq!(address.servers, ["a:4222", "b:1", "[::1]:2"]);
        assert_eq!(address.user.as_deref(), Some("u"));
        assert_eq!(address.password.as_deref(), Some("p@x"));
        assert_eq!(parameters, [("cluster".to_owned(), "c".to_owned())]);
        let (address, parameters) = parse("nats", "nats://token@[::1]").unwrap();
        assert_eq!(address.servers, ["[::1]:4222"]);
        assert_eq!(
            (address.user.as_deref(), address.password),
            (Some("token"), None)
        );
        assert_eq!(parameters, []);
    }

    #[test]
    fn refusals_name_what_is_wrong() {
        let refused = |url| parse("nats", url).unwrap_err().to_string();
        assert_eq!(refused("http://a"), "the URL does not begin with nats://");
        for bad in [
            "nats://",
            "nats://a:",
            "nats://a:99999",
            "nats://:1",
            "nats://::1",
            "nats://a b",
            "nats://a,",
        ] {
            assert!(
                refused(bad).contains("where host:port is expected"),
                "{bad}"
            );
        }
        assert!(refused("nats://%ff@a").contains("percent-encoded"));
        assert!(check_cluster("a.b").is_err() && check_cluster("").is_err());
    }

    #[test]
    fn passwords_are_not_shown() {
        let (address, _) = parse("nats", "nats://u:secret@a").unwrap();
        assert!(!format!("{address:?} {address}").contains("secret"));
    }
}
