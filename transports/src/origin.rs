//! Which browser origins may connect.

use http::{HeaderMap, Uri, header};

/// Origins besides the server's own. Browsers attach cookies and cannot be told by users what to
/// send, so a page of a foreign origin must not connect in their name unless it is allowed here.
#[derive(Clone, Debug, Default)]
pub(crate) struct AllowedOrigins(Vec<String>);

impl AllowedOrigins {
    pub(crate) fn add(&mut self, origin: &str) {
        self.0
            .push(origin.trim_end_matches('/').to_ascii_lowercase());
    }

    /// Whether the request may come from where it says. Without an `Origin` it comes from no
    /// browser.
    pub(crate) fn allow(&self, uri: &Uri, headers: &HeaderMap) -> bool {
        let mut origins = headers.get_all(header::ORIGIN).iter();
        let (origin, further) = (origins.next(), origins.next());
        let Some(origin) = origin else { return true };
        let Some(origin) = origin.to_str().ok().filter(|_| further.is_none()) else {
            return false;
        };
        let origin = origin.to_ascii_lowercase();
        self.0.contains(&origin) || is_own(&origin, uri, headers)
    }
}

/// Whether `origin` is the server that was asked: the same host and port, http or https.
fn is_own(origin: &str, uri: &Uri, headers: &HeaderMap) -> bool {
    let Ok(origin) = origin.parse::<Uri>() else {
        return false;
    };
    let (Some(scheme), Some(authority)) = (origin.scheme_str(), origin.authority()) else {
        return false;
    };
    let default = match scheme {
        "http" => ":80",
        "https" => ":443",
        _ => return false,
    };
    let host = match uri.authority() {
        Some(authority) => Some(authority.as_str()),
        None => headers
            .get(header::HOST)
            .and_then(|host| host.to_str().ok()),
    };
    host.is_some_and(|host| {
        let host = host.to_ascii_lowercase();
        let host = host.strip_suffix(default).unwrap_or(&host);
        authority
            .as_str()
            .strip_suffix(default)
            .unwrap_or(authority.as_str())
            == host
    })
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn allow(allowed: &[&str], host: &str, origin: &[&str]) -> bool {
        let mut origins = AllowedOrigins::default();
        for origin in allowed {
            origins.add(origin);
        }
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, HeaderValue::from_str(host).unwrap());
        for origin in origin {
            headers.append(header::ORIGIN, HeaderValue::from_str(origin).unwrap());
        }
        origins.allow(&Uri::from_static("/ws"), &headers)
    }

    #[test]
    fn the_own_origin_and_no_origin_are_let_in() {
        assert!(allow(&[], "a.example:8080", &[]));
        assert!(allow(&[], "a.example:8080", &["http://a.example:8080"]));
        assert!(allow(&[], "A.example", &["https://a.EXAMPLE"]));
        assert!(allow(&[], "a.example", &["https://a.example:443"]));
    }

    #[test]
    fn foreign_origins_are_not_unless_they_are_named() {
        for foreign in [
            "https://b.example",
            "https://a.example:8443",
            "null",
            "",
            "https://a.example.b.example",
            "ftp://a.example",
        ] {
            assert!(!allow(&[], "a.example", &[foreign]), "{foreign}");
        }
        assert!(!allow(
            &[],
            "a.example",
            &["https://a.example", "https://b.example"]
        ));
        assert!(allow(
            &["https://b.example/"],
            "a.example",
            &["https://b.example"]
        ));
        assert!(!allow(
            &["https://b.example"],
            "a.example",
            &["http://b.example"]
        ));
    }
}
