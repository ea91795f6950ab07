//! JSON as EDN (the extensible data notation of Clojure, <https://github.com/edn-format/edn>).
//!
//! Objects become maps, arrays vectors, `null` becomes `nil`. A key is a keyword where its text is a
//! name that EDN allows, and a string elsewhere. Numbers keep their text; an integer beyond 64 bits
//! gets the suffix `N`, without which readers may round it. Of keys that come twice in an object the
//! last one stays, because readers refuse a map that has a key twice.
//!
//! ```
//! let json = br#"{"event":"metric:recorded","data":{"athlete-id":7,"max heart":null}}"#;
//! assert_eq!(
//!     fanfare_transports::edn::from_json(json, Some("metric:recorded"))?,
//!     br#"{:event :metric:recorded :data {:athlete-id 7 "max heart" nil}}"#
//! );
//! # Ok::<(), fanfare_transports::edn::NotJson>(())
//! ```

mod keyword;
#[cfg(test)]
mod tests;
mod text;

use std::borrow::Cow;
use std::fmt;

use self::keyword::is_keyword;
use self::text::{unescape, write_string};

/// The EDN of one JSON value. Where the value is an object, those of its own members that are the
/// string `event` become keywords, if that is a keyword's name.
///
/// Takes time in proportion to the length, and stack that does not depend on the depth.
///
/// # Errors
/// Where `json` is not one JSON value (RFC 8259).
pub fn from_json(json: &[u8], event: Option<&str>) -> Result<Vec<u8>, NotJson> {
    let text = str::from_utf8(json).map_err(|error| NotJson {
        at: error.valid_up_to(),
    })?;
    let mut writer = Writer {
        text,
        at: 0,
        out: Vec::with_capacity(text.len()),
        open: Vec::new(),
        event: event.filter(|event| is_keyword(event)),
    };
    match writer.write() {
        Some(()) => Ok(writer.out),
        None => Err(NotJson { at: writer.at }),
    }
}

/// Bytes that are not one JSON value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotJson {
    at: usize,
}

impl fmt::Display for NotJson {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not JSON from byte {} on", self.at)
    }
}

impl std::error::Error for NotJson {}

struct Writer<'a> {
    text: &'a str,
    at: usize,
    out: Vec<u8>,
    /// What the value that is being read stands in.
    open: Vec<Collection<'a>>,
    event: Option<&'a str>,
}

enum Collection<'a> {
    Vector,
    Map(Vec<Entry<'a>>),
}

/// A member of a map, and where it begins in what has been written.
struct Entry<'a> {
    key: Cow<'a, str>,
    start: usize,
}

impl<'a> Writer<'a> {
    fn write(&mut self) -> Option<()> {
        loop {
            self.skip_whitespace();
            let mut is_complete = self.value()?;
            while is_complete {
                self.skip_whitespace();
                if self.open.is_empty() {
                    return (self.at == self.text.len()).then_some(());
                }
                is_complete = self.go_on()?;
            }
        }
    }

    /// Writes the value that begins here, or the beginning of a collection; says whether the value
    /// is complete.
    fn value(&mut self) -> Option<bool> {
        match self.peek()? {
            b'{' => {
                self.at += 1;
                self.out.push(b'{');
                self.skip_whitespace();
                self.open.push(Collection::Map(Vec::new()));
                if self.takes(b'}') {
                    self.close();
                    return Some(true);
                }
                self.key()?;
                return Some(false);
            }
            b'[' => {
                self.at += 1;
                self.out.push(b'[');
                self.skip_whitespace();
                self.open.push(Collection::Vector);
                if self.takes(b']') {
                    self.close();
                    return Some(true);
                }
                return Some(false);
            }
            b'"' => self.string()?,
            b't' => self.word("true", b"true")?,
            b'f' => self.word("false", b"false")?,
            b'n' => self.word("null", b"nil")?,
            _ => self.number()?,
        }
        Some(true)
    }

    /// After a value in a collection: its end, which completes it, or what comes before the next
    /// value.
    fn go_on(&mut self) -> Option<bool> {
        let is_map = matches!(self.open.last()?, Collection::Map(_));
        if self.takes(if is_map { b'}' } else { b']' }) {
            self.close();
            return Some(true);
        }
        if !self.takes(b',') {
            return None;
        }
        self.out.push(b' ');
        if is_map {
            self.skip_whitespace();
            self.key()?;
        }
        Some(false)
    }

    fn key(&mut self) -> Option<()> {
        let raw = self.raw_string()?;
        let start = self.out.len();
        let key = match unescape(raw) {
            Some(key) => {
                if is_keyword(&key) {
                    self.out.push(b':');
                    self.out.extend_from_slice(key.as_bytes());
                } else {
                    write_string(raw, &mut self.out);
                }
                key
            }
            // Half of a surrogate pair, which no text of ours can hold.
            None => {
                write_string(raw, &mut self.out);
                Cow::Borrowed(raw)
            }
        };
        self.out.push(b' ');
        if let Some(Collection::Map(entries)) = self.open.last_mut() {
            entries.push(Entry { key, start });
        }
        self.skip_whitespace();
        self.takes(b':').then_some(())
    }

    fn string(&mut self) -> Option<()> {
        let raw = self.raw_string()?;
        let is_member = matches!(&self.open[..], [Collection::Map(_)]);
        match self.event.filter(|_| is_member) {
            Some(event) if unescape(raw).is_some_and(|text| text == event) => {
                self.out.push(b':');
                self.out.extend_from_slice(event.as_bytes());
            }
            _ => write_string(raw, &mut self.out),
        }
        Some(())
    }

    /// What stands between the quotes of the string that begins here, checked.
    fn raw_string(&mut self) -> Option<&'a str> {
        if !self.takes(b'"') {
            return None;
        }
        let start = self.at;
        loop {
            match self.peek()? {
                b'"' => {
                    let raw = &self.text[start..self.at];
                    self.at += 1;
                    return Some(raw);
                }
                b'\\' => {
                    self.at += 1;
                    match self.peek()? {
                        b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => self.at += 1,
                        b'u' => {
                            let digits = self.text.as_bytes().get(self.at + 1..self.at + 5)?;
                            if !digits.iter().all(u8::is_ascii_hexdigit) {
                                return None;
                            }
                            self.at += 5;
                        }
                        _ => return None,
                    }
                }
                0..0x20 => return None,
                _ => self.at += 1,
            }
        }
    }

    fn word(&mut self, json: &str, edn: &[u8]) -> Option<()> {
        if !self.text.as_bytes()[self.at..].starts_with(json.as_bytes()) {
            return None;
        }
        self.at += json.len();
        self.out.extend_from_slice(edn);
        Some(())
    }

    /// EDN's numbers are those of JSON and more.
    fn number(&mut self) -> Option<()> {
        let start = self.at;
        self.takes(b'-');
        if !self.takes(b'0') {
            self.digits()?;
        }
        let mut is_integer = true;
        if self.takes(b'.') {
            self.digits()?;
            is_integer = false;
        }
        if self.takes(b'e') || self.takes(b'E') {
            let _ = self.takes(b'+') || self.takes(b'-');
            self.digits()?;
            is_integer = false;
        }
        let number = &self.text[start..self.at];
        self.out.extend_from_slice(number.as_bytes());
        if is_integer && number.parse::<i64>().is_err() {
            self.out.push(b'N');
        }
        Some(())
    }

    fn digits(&mut self) -> Option<()> {
        let start = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        (self.at > start).then_some(())
    }

    fn close(&mut self) {
        match self.open.pop() {
            Some(Collection::Map(entries)) => {
                self.drop_repeated(&entries);
                self.out.push(b'}');
            }
            _ => self.out.push(b']'),
        }
    }

    fn drop_repeated(&mut self, entries: &[Entry<'_>]) {
        let mut order = (0..entries.len()).collect::<Vec<_>>();
        order.sort_by_key(|&at| &entries[at].key);
        let same = |pair: &[usize]| entries[pair[0]].key == entries[pair[1]].key;
        let mut repeated = order.windows(2).filter(|pair| same(pair)).peekable();
        if repeated.peek().is_none() {
            return;
        }
        let mut is_dropped = vec![false; entries.len()];
        // The sort is stable, so of a pair the first one came first.
        repeated.for_each(|pair| is_dropped[pair[0]] = true);
        let start = entries[0].start;
        let written = self.out.split_off(start);
        for (at, entry) in entries.iter().enumerate() {
            if is_dropped[at] {
                continue;
            }
            if self.out.len() > start {
                self.out.push(b' ');
            }
            let end = match entries.get(at + 1) {
                // Without the space before it.
                Some(next) => next.start - 1,
                None => start + written.len(),
            };
            self.out
                .extend_from_slice(&written[entry.start - start..end - start]);
        }
    }

    fn skip_whitespace(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.peek() {
            self.at += 1;
        }
    }

    fn takes(&mut self, byte: u8) -> bool {
        let is_there = self.peek() == Some(byte);
        self.at += usize::from(is_there);
        is_there
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }
}
