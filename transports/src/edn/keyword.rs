/// Whether a text can stand behind the colon of a keyword: one symbol, or two with a slash between
/// them.
///
/// A little less than EDN allows, which is what all readers take: no colon at the end and none behind
/// another, which Clojure refuses.
pub(super) fn is_keyword(text: &str) -> bool {
    let (prefix, name) = match text.split_once('/') {
        Some((prefix, name)) => (Some(prefix), name),
        None => (None, text),
    };
    prefix.is_none_or(is_symbol) && is_symbol(name)
}

fn is_symbol(text: &str) -> bool {
    let bytes = text.as_bytes();
    let begins = match bytes {
        [] => false,
        [b'-' | b'+' | b'.', second, ..] => !second.is_ascii_digit(),
        [first, ..] => !matches!(first, b'0'..=b'9' | b':' | b'#'),
    };
    begins
        && bytes.iter().all(|&byte| is_constituent(byte))
        && !text.ends_with(':')
        && !text.contains("::")
}

const fn is_constituent(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'.' | b'*'
                | b'+'
                | b'!'
                | b'-'
                | b'_'
                | b'?'
                | b'$'
                | b'%'
                | b'&'
                | b'='
                | b'<'
                | b'>'
                | b':'
                | b'#'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_keywords() {
        for name in [
            "a",
            "session-id",
            "mentor-session/status-changed",
            "session:status",
            "forum.comment.created",
            "a1",
            "_",
            "-",
            "-a",
            ".a",
            "+",
            "a#",
            "*x*",
            "true",
            "nil",
            "<=>",
            "a/-b",
        ] {
            assert!(is_keyword(name), "{name}");
        }
        for name in [
            "", "1", "1a", "-1", "+1", ".5", "a b", "a,b", "a/", "/a", "/", "a/b/c", "a//b", ":a",
            "a:", "a::b", "#a", "a/1", "a/:b", "a:/b", "ä", "a\"", "a\\", "a(", "@a", "a'b", "a~",
            "a^", "a`", "a;b", "a{", "a\n", "a\0",
        ] {
            assert!(!is_keyword(name), "{name:?}");
        }
    }
}
