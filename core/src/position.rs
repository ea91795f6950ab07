//! Where events stand in their channel.

use std::fmt;
use std::str::FromStr;

use crate::channel::Channel;

/// One incarnation of a channel's offsets: offsets of different epochs cannot be compared.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Epoch(pub(crate) u64);

impl Epoch {
    /// An epoch by its number; stores choose them at random.
    #[must_use]
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The epoch of a channel in a log that numbers the events of many: the same on every node, and
    /// another for each channel. `log` must name one incarnation of the log, so that a log which was
    /// made anew has other epochs.
    #[must_use]
    pub fn of_log(log: &str, channel: &Channel) -> Self {
        let bytes = log.bytes().chain([0]).chain(channel.as_str().bytes());
        // FNV-1a, which every version and machine computes alike, and a last mix of its bits.
        let hash = bytes.fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        Self((hash ^ (hash >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text is no epoch of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EpochError;

impl fmt::Display for EpochError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an epoch is 16 hexadecimal digits")
    }
}

impl std::error::Error for EpochError {}

impl FromStr for Epoch {
    type Err = EpochError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        if text.len() != 16 || !text.bytes().all(digits) {
            return Err(EpochError);
        }
        u64::from_str_radix(text, 16)
            .map(Self)
            .map_err(|_| EpochError)
    }
}

/// Where a publication stands in its channel: the epoch and the offset within it, counted from 1.
///
/// Offset 0 is the position before the first publication.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Position {
    /// The incarnation of the channel's offsets.
    pub epoch: Epoch,
    /// The number within the epoch.
    pub offset: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn epochs_read_what_they_write() {
        let epoch = Epoch::new(0xab);
        assert_eq!(epoch.to_string(), "00000000000000ab");
        assert_eq!(epoch.to_string().parse(), Ok(epoch));
        for bad in ["", "_", "ab", "00000000000000AB", "+0000000000000ab"] {
            assert_eq!(bad.parse::<Epoch>(), Err(EpochError), "{bad:?}");
        }
    }
}
