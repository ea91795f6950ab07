//! What of a partition is settled.

use std::collections::BTreeSet;
use std::fmt::Write as _;

/// The server keeps 4,096 bytes beside an offset (`offset.metadata.max.bytes`).
const METADATA_BYTES: usize = 4_000;

/// Tells our text beside an offset from that of other programs.
const MARK: &str = "fanfare ";

/// The offsets of one partition that were fetched, and which of them are settled.
///
/// Kafka knows one offset of a group and partition, before which everything is settled. Records are
/// settled in any order, so those that are settled behind it are written beside it, as ranges:
/// `fanfare 2,5-9`, counted from the offset. What does not fit there is delivered again after a restart.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Ledger {
    unsettled: BTreeSet<i64>,
    /// Settled, behind one that is not, or behind where the reading begins.
    ahead: BTreeSet<i64>,
    /// One after the last that was fetched.
    position: Option<i64>,
}

impl Ledger {
    /// As it was committed.
    pub(super) fn restore(offset: Option<i64>, metadata: &str) -> Self {
        let mut ahead = BTreeSet::new();
        if let (Some(offset), Some(text)) = (offset, metadata.strip_prefix(MARK)) {
            for range in text.split(',') {
                let (first, last) = range.split_once('-').unwrap_or((range, range));
                let (Ok(first), Ok(last)) = (first.parse::<i64>(), last.parse::<i64>()) else {
                    continue;
                };
                // Nobody fetches so many at a time: it is not ours.
                if (0..=last).contains(&first) && last - first <= 100_000 {
                    ahead.extend((first..=last).filter_map(|n| offset.checked_add(n)));
                }
            }
        }
        Self {
            unsettled: BTreeSet::new(),
            ahead,
            position: offset,
        }
    }

    /// Takes note of a record; false where it is settled already, or in hand.
    pub(super) fn fetch(&mut self, offset: i64) -> bool {
        self.position = Some(
            self.position
                .map_or(offset + 1, |last| last.max(offset + 1)),
        );
        !self.ahead.contains(&offset) && self.unsettled.insert(offset)
    }

    pub(super) fn settle(&mut self, offset: i64) {
        if self.unsettled.remove(&offset) {
            self.ahead.insert(offset);
        }
        if let Some(before) = self.offset() {
            self.ahead = self.ahead.split_off(&before);
        }
    }

    /// Where everything before is settled; none where nothing is known yet.
    pub(super) fn offset(&self) -> Option<i64> {
        self.unsettled.first().copied().or(self.position)
    }

    /// How many are settled behind that.
    pub(super) fn ahead(&self) -> usize {
        self.ahead.len()
    }

    /// What is written beside the offset.
    pub(super) fn metadata(&self) -> String {
        let Some(offset) = self.offset() else {
            return String::new();
        };
        let mut text = String::new();
        let mut settled = self.ahead.range(offset..).copied().peekable();
        while let Some(first) = settled.next() {
            let mut last = first;
            while let Some(next) = settled.next_if_eq(&(last + 1)) {
                last = next;
            }
            let before = text.len();
            text.push_str(if text.is_empty() { MARK } else { "," });
            let _ = write!(text, "{}", first - offset);
            if last > first {
                let _ = write!(text, "-{}", last - offset);
            }
            if text.len() > METADATA_BYTES {
                text.truncate(before);
                break;
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_offset_waits_for_the_oldest() {
        let mut ledger = Ledger::restore(None, "");
        assert_eq!(ledger.offset(), None);
        for offset in 10..15 {
            assert!(ledger.fetch(offset));
        }
        ledger.settle(11);
        ledger.settle(12);
        ledger.settle(14);
        assert_eq!(ledger.offset(), Some(10));
        assert_eq!(ledger.metadata(), "fanfare 1-2,4");
        ledger.settle(10);
        assert_eq!(ledger.offset(), Some(13));
        assert_eq!(ledger.metadata(), "fanfare 1");
        ledger.settle(13);
        assert_eq!(
            (ledger.offset(), ledger.metadata()),
            (Some(15), String::new())
        );
    }

    #[test]
    fn text_of_others_means_nothing() {
        for text in [
            "",
            "theirs",
            "fanfare ",
            "fanfare -3",
            "fanfare 5-1",
            "fanfare 0-9999999999",
        ] {
            assert_eq!(Ledger::restore(Some(7), text), Ledger::restore(Some(7), ""));
        }
    }

    #[test]
    fn what_does_not_fit_is_delivered_again() {
        let mut ledger = Ledger::default();
        for offset in 0..10_000 {
            ledger.fetch(offset);
        }
        for offset in (1..10_000).step_by(2) {
            ledger.settle(offset);
        }
        let text = ledger.metadata();
        assert!(text.len() <= METADATA_BYTES && text.len() > METADATA_BYTES - 10);
        let mut restored = Ledger::restore(ledger.offset(), &text);
        assert!(restored.fetch(0) && !restored.fetch(1) && restored.fetch(9_999));
    }

    proptest! {
        /// However records are settled, a restart delivers exactly those that are not.
        #[test]
        fn a_restart_delivers_what_is_not_settled(
            gaps in proptest::collection::vec(1i64..4, 1..60),
            settled in proptest::collection::vec(any::<prop::sample::Index>(), 0..80),
        ) {
            let mut offset = 100;
            let offsets: Vec<i64> = gaps.iter().map(|gap| { offset += gap; offset }).collect();
            let mut ledger = Ledger::default();
            let mut left: BTreeSet<i64> = offsets.iter().copied().collect();
            for &offset in &offsets {
                ledger.fetch(offset);
            }
            for index in settled {
                let offset = offsets[index.index(offsets.len())];
                ledger.settle(offset);
                left.remove(&offset);
                prop_assert_eq!(ledger.offset(), left.first().copied().or(Some(offsets[offsets.len() - 1] + 1)));
                let from = ledger.offset().unwrap();
                let mut again = Ledger::restore(Some(from), &ledger.metadata());
                let delivered: BTreeSet<i64> = offsets.iter().copied().filter(|&offset| offset >= from && again.fetch(offset)).collect();
                prop_assert_eq!(&delivered, &left);
            }
        }
    }
}
