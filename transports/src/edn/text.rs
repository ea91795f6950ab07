use std::borrow::Cow;
use std::char::decode_utf16;

/// The text that the inside of a JSON string stands for; none where it holds half of a surrogate pair.
pub(super) fn unescape(raw: &str) -> Option<Cow<'_, str>> {
    if !raw.contains('\\') {
        return Some(Cow::Borrowed(raw));
    }
    let mut text = String::with_capacity(raw.len());
    for part in Parts(raw) {
        match part {
            Part::Plain(plain) => text.push_str(plain),
            Part::Character(character) => text.push(character),
            Part::Surrogate(_) => return None,
        }
    }
    Some(Cow::Owned(text))
}

/// Writes the inside of a JSON string as an EDN string: in one line, with no escape but those that
/// readers know.
pub(super) fn write_string(raw: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    for part in Parts(raw) {
        match part {
            Part::Plain(plain) => out.extend_from_slice(plain.as_bytes()),
            Part::Character(character) => write_character(character, out),
            Part::Surrogate(unit) => write_unit(unit, out),
        }
    }
    out.push(b'"');
}

fn write_character(character: char, out: &mut Vec<u8>) {
    match character {
        '"' => out.extend_from_slice(br#"\""#),
        '\\' => out.extend_from_slice(br"\\"),
        '\n' => out.extend_from_slice(br"\n"),
        '\r' => out.extend_from_slice(br"\r"),
        '\t' => out.extend_from_slice(br"\t"),
        '\0'..' ' => write_unit(character as u16, out),
        _ => out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes()),
    }
}

fn write_unit(unit: u16, out: &mut Vec<u8>) {
    out.extend_from_slice(format!("\\u{unit:04x}").as_bytes());
}

enum Part<'a> {
    /// Without escapes.
    Plain(&'a str),
    /// From an escape.
    Character(char),
    /// Half of a pair whose other half is missing.
    Surrogate(u16),
}

/// The parts of the inside of a JSON string whose escapes are known to be complete.
struct Parts<'a>(&'a str);

impl<'a> Iterator for Parts<'a> {
    type Item = Part<'a>;

    fn next(&mut self) -> Option<Part<'a>> {
        let raw = self.0;
        let Some(escape) = raw.strip_prefix('\\') else {
            let end = raw.find('\\').unwrap_or(raw.len());
            let (plain, rest) = raw.split_at(end);
            self.0 = rest;
            return (!plain.is_empty()).then_some(Part::Plain(plain));
        };
        let mut rest = escape.chars();
        let letter = rest.next()?;
        self.0 = rest.as_str();
        Some(Part::Character(match letter {
            'u' => return self.unit(),
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            itself => itself,
        }))
    }
}

impl<'a> Parts<'a> {
    /// After `\u`: four digits, and the other half of the pair if they are one half.
    fn unit(&mut self) -> Option<Part<'a>> {
        let (first, rest) = digits(self.0)?;
        self.0 = rest;
        if let Some(Ok(character)) = decode_utf16([first]).next() {
            return Some(Part::Character(character));
        }
        if let Some((second, rest)) = rest.strip_prefix("\\u").and_then(digits)
            && let Some(Ok(character)) = decode_utf16([first, second]).next()
        {
            self.0 = rest;
            return Some(Part::Character(character));
        }
        Some(Part::Surrogate(first))
    }
}

fn digits(text: &str) -> Option<(u16, &str)> {
    let (digits, rest) = text.split_at_checked(4)?;
    Some((u16::from_str_radix(digits, 16).ok()?, rest))
}
