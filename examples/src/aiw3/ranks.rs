//! Which moves of a rank are news.

use std::collections::HashMap;

/// Moves of fewer places are not announced.
pub const SIGNIFICANT: u64 = 5;

/// Remembers what each trader of a competition was told, so that small moves go unannounced until they
/// add up to [`SIGNIFICANT`] places. Costs about 40 bytes a trader.
#[derive(Clone, Debug, Default)]
pub struct RankTracker {
    announced: HashMap<u64, u64>,
}

/// A move that is news.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RankMove {
    /// The rank that was announced last.
    pub old: u64,
    /// The rank now; 1 is the best.
    pub new: u64,
}

impl RankTracker {
    /// Takes note of a trader's rank. Tells of the move where it is news; the first rank of a trader is
    /// none, there is nothing to compare it with.
    pub fn observe(&mut self, user: u64, rank: u64) -> Option<RankMove> {
        let announced = self.announced.entry(user).or_insert(rank);
        if announced.abs_diff(rank) < SIGNIFICANT {
            return None;
        }
        let old = std::mem::replace(announced, rank);
        Some(RankMove { old, new: rank })
    }
}

impl RankMove {
    /// How many places, whatever the direction.
    #[must_use]
    pub const fn places(self) -> u64 {
        self.old.abs_diff(self.new)
    }

    /// `up` or `down`, as `rank_changed` has it.
    #[must_use]
    pub const fn direction(self) -> &'static str {
        if self.new < self.old { "up" } else { "down" }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moved(old: u64, new: u64) -> Option<RankMove> {
        Some(RankMove { old, new })
    }

    #[test]
    fn five_places_are_news_and_four_are_none() {
        let mut tracker = RankTracker::default();
        assert_eq!(tracker.observe(7, 25), None, "the first rank");
        assert_eq!(tracker.observe(7, 21), None);
        assert_eq!(tracker.observe(7, 20), moved(25, 20));
        assert_eq!(tracker.observe(7, 24), None);
        assert_eq!(tracker.observe(7, 25), moved(20, 25));
    }

    #[test]
    fn small_moves_add_up() {
        let mut tracker = RankTracker::default();
        tracker.observe(7, 100);
        let moves = (101..=112).filter_map(|rank| tracker.observe(7, rank));
        let moves = moves.map(|found| (found.old, found.new));
        assert_eq!(moves.collect::<Vec<_>>(), [(100, 105), (105, 110)]);
    }

    #[test]
    fn to_and_fro_is_no_news() {
        let mut tracker = RankTracker::default();
        for rank in [10, 12, 8, 11, 9, 13, 6, 14] {
            assert_eq!(tracker.observe(7, rank), None, "{rank}");
        }
    }

    #[test]
    fn traders_have_ranks_of_their_own() {
        let mut tracker = RankTracker::default();
        assert_eq!(tracker.observe(7, 1), None);
        assert_eq!(tracker.observe(8, 100), None);
        assert_eq!(tracker.observe(7, 6), moved(1, 6));
    }

    #[test]
    fn a_lower_number_is_up() {
        let up = RankMove { old: 25, new: 15 };
        assert_eq!((up.places(), up.direction()), (10, "up"));
        let down = RankMove { old: 15, new: 25 };
        assert_eq!((down.places(), down.direction()), (10, "down"));
    }
}
