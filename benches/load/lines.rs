//! The lines of a message: events by their marker, the rest as it stands.

use crate::marker;

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Line<'a> {
    Event(&'a [u8; marker::LENGTH]),
    Other(&'a [u8]),
}

/// Where the last event's line ended and its marker stood. The next event's line is of the same shape nearly always, so
/// that two bytes tell what searching the whole line would.
#[derive(Debug, Default)]
pub(crate) struct Shape {
    length: u32,
    marker: u32,
}

impl Shape {
    /// Walks through `text`, which is made of whole lines.
    #[inline]
    pub(crate) fn lines<'a>(&mut self, mut text: &'a [u8], mut visit: impl FnMut(Line<'a>)) {
        while !text.is_empty() {
            let (line, rest) = match self.expected(text) {
                Some(found) => found,
                None => self.search(text),
            };
            visit(line);
            text = rest;
        }
    }

    #[inline]
    fn expected<'a>(&self, text: &'a [u8]) -> Option<(Line<'a>, &'a [u8])> {
        let length = self.length as usize;
        let (line, rest) = text.split_at_checked(length)?;
        let rest = match rest {
            [] => rest,
            [b'\n', rest @ ..] => rest,
            _ => return None,
        };
        let marker = marker::at(line, self.marker as usize)?;
        marker::starts(marker).then_some((Line::Event(marker), rest))
    }

    #[cold]
    fn search<'a>(&mut self, text: &'a [u8]) -> (Line<'a>, &'a [u8]) {
        let (line, rest) = match memchr::memchr(b'\n', text) {
            Some(end) => (&text[..end], &text[end + 1..]),
            None => (text, &text[text.len()..]),
        };
        let Some(place) = marker::find(line) else {
            return (Line::Other(line), rest);
        };
        let marker = marker::at(line, place).expect("found there");
        *self = Self {
            length: line.len() as u32,
            marker: place as u32,
        };
        (Line::Event(marker), rest)
    }
}

/// Cuts messages that come in parts into whole lines.
#[derive(Debug, Default)]
pub(crate) struct LineBuffer {
    begun: Vec<u8>,
}

impl LineBuffer {
    /// Gives `visit` all whole lines that are complete with `part`, in one piece if none was begun before.
    #[inline]
    pub(crate) fn feed(&mut self, mut part: &[u8], end: bool, mut visit: impl FnMut(&[u8])) {
        if !self.begun.is_empty() {
            let (head, rest, complete) = match memchr::memchr(b'\n', part) {
                Some(place) => (&part[..place], &part[place + 1..], true),
                None => (part, &part[part.len()..], end),
            };
            self.begun.extend_from_slice(head);
            if !complete {
                return;
            }
            visit(&self.begun);
            // Most connections have no line begun most of the time: none of them keeps the memory.
            self.begun = Vec::new();
            part = rest;
        }
        if end {
            visit(part);
            return;
        }
        let (whole, begun) = match memchr::memrchr(b'\n', part) {
            Some(place) => (&part[..place], &part[place + 1..]),
            None => (&part[..0], part),
        };
        visit(whole);
        self.begun.extend_from_slice(begun);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::marker::Marker;

    fn event(sequence: u32, offset: u32) -> Vec<u8> {
        let mut line = b"{\"push\":{\"channel\":\"a\",\"pub\":{\"data\":{\"content\":\"".to_vec();
        Marker {
            tag: *b"00",
            sequence,
            sent: 5,
        }
        .write(&mut line);
        line.extend(format!(" xx\"}},\"offset\":{offset}}}}}").bytes());
        line
    }

    fn describe(line: &Line<'_>) -> String {
        match line {
            Line::Event(marker) => Marker::read(marker).sequence.to_string(),
            Line::Other(text) => String::from_utf8(text.to_vec()).unwrap(),
        }
    }

    #[test]
    fn events_pings_and_replies_are_told_apart_whatever_the_order() {
        let lines = [
            b"{}".to_vec(),
            event(1, 8),
            event(2, 9),
            b"{}".to_vec(),
            event(3, 10),
            b"{\"id\":1,\"connect\":{}}".to_vec(),
            event(4, 11),
            event(5, 12),
            b"{}".to_vec(),
        ];
        let text = lines.join(&b'\n');
        let (mut shape, mut seen) = (Shape::default(), Vec::new());
        shape.lines(&text, |line| seen.push(describe(&line)));
        assert_eq!(
            seen,
            [
                "{}",
                "1",
                "2",
                "{}",
                "3",
                "{\"id\":1,\"connect\":{}}",
                "4",
                "5",
                "{}"
            ]
        );
    }

    #[test]
    fn an_ending_newline_makes_no_line_of_its_own() {
        let mut text = event(1, 1);
        text.push(b'\n');
        let (mut shape, mut seen) = (Shape::default(), 0);
        shape.lines(&text, |_| seen += 1);
        assert_eq!(seen, 1);
    }

    #[test]
    fn lines_survive_any_cut() {
        let messages = [
            vec![event(1, 1), event(2, 2), b"{}".to_vec()],
            vec![event(3, 3)],
            vec![event(4, 4), event(5, 5)],
        ];
        for size in 1..200 {
            let (mut buffer, mut shape, mut seen) =
                (LineBuffer::default(), Shape::default(), Vec::new());
            for message in &messages {
                let text = message.join(&b'\n');
                let chunks = text.chunks(size).count();
                for (index, chunk) in text.chunks(size).enumerate() {
                    buffer.feed(chunk, index + 1 == chunks, |whole| {
                        shape.lines(whole, |line| seen.push(describe(&line)));
                    });
                }
            }
            assert_eq!(seen, ["1", "2", "{}", "3", "4", "5"], "cut at {size}");
        }
    }

    #[test]
    fn a_message_may_end_with_an_empty_part() {
        let (mut buffer, mut seen) = (LineBuffer::default(), Vec::new());
        buffer.feed(b"{\"a\"", false, |whole| seen.extend_from_slice(whole));
        buffer.feed(b"", false, |whole| seen.extend_from_slice(whole));
        buffer.feed(b"", true, |whole| seen.extend_from_slice(whole));
        assert_eq!(seen, b"{\"a\"");
    }
}
