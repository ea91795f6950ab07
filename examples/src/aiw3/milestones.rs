//! Marks of trading volume (architecture document, "Integration with Existing Services").

/// The marks, in USDT.
pub const MILESTONES: [f64; 5] = [100_000.0, 250_000.0, 500_000.0, 1_000_000.0, 2_500_000.0];

/// The marks between a user's volume before and now, the lowest first, each with the tier that it unlocks.
/// The document does not say which tier that is; here the first mark unlocks tier 1.
pub fn reached(previous: f64, current: f64) -> impl Iterator<Item = (f64, u64)> {
    let marks = MILESTONES.into_iter().zip(1..);
    marks.filter(move |(mark, _)| previous < *mark && *mark <= current)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marks(previous: f64, current: f64) -> Vec<f64> {
        reached(previous, current).map(|(mark, _)| mark).collect()
    }

    #[test]
    fn a_mark_is_reached_once() {
        assert_eq!(marks(99_999.99, 100_000.0), [100_000.0]);
        assert_eq!(marks(100_000.0, 100_000.01), [0.0; 0]);
        assert_eq!(marks(0.0, 99_999.99), [0.0; 0]);
        assert_eq!(marks(300_000.0, 200_000.0), [0.0; 0], "volume went down");
        assert_eq!(marks(2_500_000.0, 1e9), [0.0; 0]);
    }

    #[test]
    fn one_trade_may_reach_several() {
        assert_eq!(
            marks(90_000.0, 600_000.0),
            [100_000.0, 250_000.0, 500_000.0]
        );
        assert_eq!(marks(0.0, 1e9), MILESTONES);
    }

    #[test]
    fn each_unlocks_a_tier() {
        let tiers = reached(0.0, 1e9).map(|(_, tier)| tier);
        assert_eq!(tiers.collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
    }
}
