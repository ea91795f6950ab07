//! Lists in which a client says what it likes better (RFC 9110 section 12.4.2).

use http::{HeaderMap, HeaderName};

/// How much a client likes something, in thousandths; 0 is not at all.
pub(crate) type Weight = u16;

/// The weight of what stands in a list without one.
pub(crate) const FULL: Weight = 1_000;

/// The members of a header with their weights, in order. Parameters are left out, and so is a member
/// whose weight is none.
pub(crate) fn members<'a>(
    headers: &'a HeaderMap,
    name: &HeaderName,
) -> impl Iterator<Item = (&'a str, Weight)> {
    headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(member)
}

fn member(text: &str) -> Option<(&str, Weight)> {
    let mut parts = text.split(';').map(str::trim);
    let name = parts.next().filter(|name| !name.is_empty())?;
    for parameter in parts {
        let Some((key, value)) = parameter.split_once('=') else {
            continue;
        };
        if key.trim().eq_ignore_ascii_case("q") {
            return Some((name, weight(value.trim())?));
        }
    }
    Some((name, FULL))
}

/// `0`, `0.` and up to three digits, or `1` and nothing behind it but zeros.
fn weight(text: &str) -> Option<Weight> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let is_number = fraction.len() <= 3 && fraction.bytes().all(|byte| byte.is_ascii_digit());
    let thousandths = format!("{fraction:0<3}");
    match (whole, thousandths.parse()) {
        ("0", Ok(weight)) if is_number => Some(weight),
        ("1", Ok(0)) if is_number => Some(FULL),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use http::header::ACCEPT_ENCODING;

    use super::*;

    fn read(values: &[&str]) -> Vec<(String, Weight)> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(ACCEPT_ENCODING, HeaderValue::from_str(value).unwrap());
        }
        members(&headers, &ACCEPT_ENCODING)
            .map(|(name, weight)| (name.to_owned(), weight))
            .collect()
    }

    #[test]
    fn weights_are_thousandths() {
        for (text, weight) in [
            ("a", Some(1000)),
            ("a;q=1", Some(1000)),
            ("a ; Q = 0.5", Some(500)),
            ("a;level=1;q=0.125", Some(125)),
            ("a;q=0", Some(0)),
            ("a;q=0.", Some(0)),
            ("a;q=1.000", Some(1000)),
            ("a;q=1.001", None),
            ("a;q=0.1234", None),
            ("a;q=2", None),
            ("a;q=-1", None),
            ("a;q=0.x", None),
            ("a;q=", None),
            ("a;q", Some(1000)),
            (";q=1", None),
            ("", None),
        ] {
            let expected = weight.map(|weight| ("a".to_owned(), weight));
            assert_eq!(read(&[text]), Vec::from_iter(expected), "{text:?}");
        }
    }

    #[test]
    fn a_list_may_stand_in_several_headers() {
        let read = read(&["gzip, br;q=0.5", "zstd;q=0"]);
        let names = read.iter().map(|(name, weight)| (&**name, *weight));
        assert_eq!(
            Vec::from_iter(names),
            [("gzip", 1000), ("br", 500), ("zstd", 0)]
        );
    }
}
