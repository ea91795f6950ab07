//! The marker that every published event carries: found and read without parsing JSON.

/// `#`, two hex digits of tag, eight of sequence number, twelve of time.
pub(crate) const LENGTH: usize = 23;

const START: u8 = b'#';

/// Tells the events of one channel of one run from those of others.
pub(crate) type Tag = [u8; 2];

/// The tag of a channel in a run, which is known by a number.
pub(crate) fn tag(run: u32, channel: u32) -> Tag {
    let number = run.wrapping_add(channel);
    [digit(number >> 4), digit(number)]
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Marker {
    pub(crate) tag: Tag,
    /// From 1 up, in its channel.
    pub(crate) sequence: u32,
    /// Nanoseconds since the start of the run.
    pub(crate) sent: u64,
}

impl Marker {
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        out.push(START);
        out.extend(self.tag);
        out.extend(
            (0..8)
                .rev()
                .map(|place| digit(self.sequence >> (4 * place))),
        );
        out.extend(
            (0..12)
                .rev()
                .map(|place| digit((self.sent >> (4 * place)) as u32)),
        );
    }

    /// Reads a marker whose digits are known to be digits.
    #[inline]
    pub(crate) fn read(bytes: &[u8; LENGTH]) -> Self {
        let high = number(bytes, 11) as u64;
        let low = number(bytes, 15) as u64 & 0xffff;
        Self {
            tag: [bytes[1], bytes[2]],
            sequence: number(bytes, 3),
            sent: high << 16 | low,
        }
    }
}

/// The place of the first marker in `line`.
pub(crate) fn find(line: &[u8]) -> Option<usize> {
    memchr::memchr_iter(START, line).find(|&place| at(line, place).is_some_and(is_marker))
}

#[inline]
pub(crate) fn at(line: &[u8], place: usize) -> Option<&[u8; LENGTH]> {
    line.get(place..)?.first_chunk()
}

#[inline]
pub(crate) fn starts(bytes: &[u8; LENGTH]) -> bool {
    bytes[0] == START
}

fn is_marker(bytes: &[u8; LENGTH]) -> bool {
    starts(bytes)
        && bytes[1..]
            .iter()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// Eight hex digits at once: to nibbles in bytes, then neighbours joined, pairwise wider.
#[inline]
fn number(bytes: &[u8; LENGTH], from: usize) -> u32 {
    let mut digits = [0; 8];
    digits.copy_from_slice(&bytes[from..from + 8]);
    let text = u64::from_be_bytes(digits);
    let nibbles = (text & 0x0f0f_0f0f_0f0f_0f0f) + 9 * ((text >> 6) & 0x0101_0101_0101_0101);
    let pairs = (nibbles | nibbles >> 4) & 0x00ff_00ff_00ff_00ff;
    let fours = (pairs | pairs >> 8) & 0x0000_ffff_0000_ffff;
    (fours | fours >> 16) as u32
}

fn digit(number: u32) -> u8 {
    b"0123456789abcdef"[(number & 0xf) as usize]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_written_marker_is_found_and_read() {
        for (sequence, sent) in [
            (0, 0),
            (1, 9),
            (0x1234_abcd, 0x1234_5678_9abc),
            (u32::MAX, (1 << 48) - 1),
        ] {
            let marker = Marker {
                tag: tag(0xa7, 3),
                sequence,
                sent,
            };
            let mut line = b"{\"content\":\"".to_vec();
            marker.write(&mut line);
            assert_eq!(line.len(), 12 + LENGTH);
            line.extend(b" padding\"}");
            let place = find(&line).unwrap();
            assert_eq!(place, 12);
            assert_eq!(Marker::read(at(&line, place).unwrap()), marker);
        }
    }

    #[test]
    fn other_number_signs_are_passed_over() {
        let mut line = b"##1 is #first# #00112233445566778899zz ".to_vec();
        assert_eq!(find(&line), None);
        let place = line.len();
        Marker {
            tag: tag(0, 0),
            sequence: 7,
            sent: 8,
        }
        .write(&mut line);
        assert_eq!(find(&line), Some(place));
        assert_eq!(find(&line[..line.len() - 1]), None, "cut off");
    }

    #[test]
    fn channels_of_a_run_have_different_tags() {
        assert_ne!(tag(9, 0), tag(9, 1));
        assert_ne!(tag(9, 0), tag(10, 0));
        assert_eq!(tag(0xff, 1), *b"00");
    }
}
