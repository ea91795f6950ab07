//! Which content coding a client gets (RFC 9110 section 12.5.3).

use std::sync::Arc;

use fanfare::Framing;
use fanfare::config::Compression;
use http::{HeaderMap, HeaderValue, header};

use super::framing::{GzipFraming, ZstdFraming};
use crate::weighted::{Weight, members};

/// A content coding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Coding {
    /// RFC 1952.
    Gzip,
    /// RFC 8878.
    Zstd,
}

/// What a request accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Codings {
    /// What an answer comes in that is worth the work; none where that is as it is.
    pub(crate) coding: Option<Coding>,
    /// Whether a short answer may come as it is too.
    pub(crate) identity: bool,
}

impl Codings {
    /// Reads `Accept-Encoding`. Where nothing that it accepts can be given, an answer comes as it is:
    /// a client that can read nothing is helped as little by a refusal.
    pub(crate) fn of(headers: &HeaderMap, config: &Compression) -> Self {
        let plain = Self {
            coding: None,
            identity: true,
        };
        if !config.enabled {
            return plain;
        }
        let (mut gzip, mut zstd, mut identity, mut any) = (None, None, None, None);
        for (name, weight) in members(headers, &header::ACCEPT_ENCODING) {
            let is = |known: &str| name.eq_ignore_ascii_case(known);
            let place = match name {
                "*" => &mut any,
                _ if is("gzip") || is("x-gzip") => &mut gzip,
                _ if is("zstd") => &mut zstd,
                _ if is("identity") => &mut identity,
                _ => continue,
            };
            *place = Some(weight);
        }
        // One that takes anything may know zstd as little as we do what comes after it.
        let gzip = gzip.or(any).unwrap_or(0);
        let zstd = zstd.unwrap_or(0);
        // As it is, is accepted where it is not refused, and wanted only where it is named.
        let identity: Option<Weight> = identity.or(any);
        let (coding, weight) = if zstd >= gzip {
            (Coding::Zstd, zstd)
        } else {
            (Coding::Gzip, gzip)
        };
        if weight == 0 || weight < identity.unwrap_or(0) {
            return plain;
        }
        Self {
            coding: Some(coding),
            identity: identity != Some(0),
        }
    }
}

impl Coding {
    /// The value of `Content-Encoding`.
    pub(crate) const fn name(self) -> HeaderValue {
        match self {
            Self::Gzip => HeaderValue::from_static("gzip"),
            Self::Zstd => HeaderValue::from_static("zstd"),
        }
    }

    /// How messages lie in a stream that goes on.
    pub(crate) fn framing(self, config: &Compression) -> Arc<dyn Framing> {
        match self {
            Self::Gzip => Arc::new(GzipFraming::new(config)),
            Self::Zstd => Arc::new(ZstdFraming::new(config)),
        }
    }

    /// What such a stream begins with.
    pub(crate) const fn head(self) -> &'static [u8] {
        match self {
            // No name, no time, of an unknown system (RFC 1952 section 2.3).
            Self::Gzip => &[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff],
            Self::Zstd => &[],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(accept: Option<&str>) -> (Option<Coding>, bool) {
        let mut headers = HeaderMap::new();
        if let Some(accept) = accept {
            headers.insert(
                header::ACCEPT_ENCODING,
                HeaderValue::from_str(accept).unwrap(),
            );
        }
        let codings = Codings::of(&headers, &Compression::default());
        (codings.coding, codings.identity)
    }

    #[test]
    fn the_weights_decide() {
        let (gzip, zstd) = (Some(Coding::Gzip), Some(Coding::Zstd));
        for (accept, expected) in [
            (None, (None, true)),
            (Some(""), (None, true)),
            (Some("gzip"), (gzip, true)),
            (Some("GZip"), (gzip, true)),
            (Some("x-gzip"), (gzip, true)),
            (Some("zstd"), (zstd, true)),
            (Some("gzip, deflate, br, zstd"), (zstd, true)),
            (Some("gzip, deflate"), (gzip, true)),
            (Some("gzip, zstd;q=0.9"), (gzip, true)),
            (Some("gzip;q=0, zstd;q=0.001"), (zstd, true)),
            (Some("gzip;q=0"), (None, true)),
            (Some("br, deflate"), (None, true)),
            (Some("*"), (gzip, true)),
            (Some("*;q=0"), (None, true)),
            (Some("*;q=0, gzip"), (gzip, false)),
            (Some("gzip, *;q=0"), (gzip, false)),
            (Some("zstd, *;q=0.5"), (zstd, true)),
            (Some("identity, gzip;q=0.5"), (None, true)),
            (Some("identity;q=0.5, gzip"), (gzip, true)),
            (Some("identity;q=0, gzip;q=0.1"), (gzip, false)),
            (Some("identity;q=0"), (None, true)),
            (Some("gzip;q=1.5"), (None, true)),
        ] {
            assert_eq!(of(accept), expected, "{accept:?}");
        }
    }

    #[test]
    fn nothing_is_coded_where_that_is_switched_off() {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
        let off = Compression {
            enabled: false,
            ..Compression::default()
        };
        assert_eq!(Codings::of(&headers, &off).coding, None);
    }
}
