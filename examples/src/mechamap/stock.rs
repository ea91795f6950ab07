//! When a product is about to run out.

/// How many pieces of a product are left, and at how many it is about to run out.
///
/// What a producer tells of it follows from the [`StockChange`]s: each is a `marketplace.stock.updated`,
/// and the one that takes the stock from above the threshold to it or below is a
/// `marketplace.stock.low_warning` as well. The next warning comes after a refill to above the
/// threshold, so that buyers are not told with every piece that is sold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stock {
    left: u64,
    threshold: u64,
}

/// A stock that is another than before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StockChange {
    /// How many pieces were left.
    pub old: u64,
    /// How many are left now.
    pub new: u64,
    /// At so many or fewer the product is about to run out.
    pub threshold: u64,
}

impl Stock {
    /// A stock of `left` pieces. One that is low from the start is not warned of: nobody has seen it
    /// fall.
    #[must_use]
    pub const fn new(left: u64, threshold: u64) -> Self {
        Self { left, threshold }
    }

    /// How many pieces are left.
    #[must_use]
    pub const fn left(self) -> u64 {
        self.left
    }

    /// Whether the product is about to run out, or has.
    #[must_use]
    pub const fn is_low(self) -> bool {
        self.left <= self.threshold
    }

    /// Takes pieces out; none where fewer are left, and then nothing is taken.
    pub const fn sell(&mut self, pieces: u64) -> Option<StockChange> {
        match self.left.checked_sub(pieces) {
            Some(left) => Some(self.change_to(left)),
            None => None,
        }
    }

    /// Puts pieces in. There is room for [`u64::MAX`].
    pub const fn refill(&mut self, pieces: u64) -> StockChange {
        self.change_to(self.left.saturating_add(pieces))
    }

    const fn change_to(&mut self, left: u64) -> StockChange {
        let old = self.left;
        self.left = left;
        StockChange {
            old,
            new: left,
            threshold: self.threshold,
        }
    }
}

impl StockChange {
    /// As `marketplace.stock.updated` has it.
    #[must_use]
    pub const fn is_low(self) -> bool {
        self.new <= self.threshold
    }

    /// Whether this is the change to warn of.
    #[must_use]
    pub const fn falls_low(self) -> bool {
        self.is_low() && self.old > self.threshold
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_threshold_itself_is_low() {
        let mut stock = Stock::new(10, 5);
        let change = stock.sell(4).unwrap();
        assert!(!change.is_low() && !change.falls_low());
        let change = stock.sell(1).unwrap();
        assert_eq!((change.old, change.new), (6, 5));
        assert!(change.is_low() && change.falls_low() && stock.is_low());
    }

    #[test]
    fn what_is_low_already_is_not_warned_of_again() {
        let mut stock = Stock::new(6, 5);
        assert!(stock.sell(2).unwrap().falls_low());
        assert!(!stock.sell(1).unwrap().falls_low());
        // Not above the threshold: that is no fresh start.
        assert!(!stock.refill(2).falls_low());
        assert!(!stock.sell(1).unwrap().falls_low());
        assert!(!stock.refill(2).is_low());
        assert!(stock.sell(1).unwrap().falls_low());
    }

    #[test]
    fn nobody_gets_more_than_there_is() {
        let mut stock = Stock::new(2, 5);
        assert_eq!(stock.sell(3), None);
        assert_eq!(stock.left(), 2);
        assert_eq!(stock.sell(2).unwrap().new, 0);
        assert_eq!(stock.refill(u64::MAX).new, u64::MAX);
        assert_eq!(stock.refill(1).new, u64::MAX);
    }

    proptest! {
        /// Against a producer that remembers whether it has warned since the stock was above.
        #[test]
        fn each_fall_is_warned_of_once(
            left in 0..30_u64,
            threshold in 0..12_u64,
            steps in prop::collection::vec((any::<bool>(), 0..9_u64), 0..200),
        ) {
            let mut stock = Stock::new(left, threshold);
            let mut left = left;
            let mut has_warned = left <= threshold;
            for (is_sale, pieces) in steps {
                let change = if is_sale { stock.sell(pieces) } else { Some(stock.refill(pieces)) };
                let Some(change) = change else {
                    prop_assert!(is_sale && pieces > left);
                    continue;
                };
                prop_assert_eq!(change.old, left);
                left = if is_sale { left - pieces } else { left + pieces };
                prop_assert_eq!((change.new, stock.left()), (left, left));
                prop_assert_eq!(change.is_low(), left <= threshold);
                prop_assert_eq!(change.falls_low(), left <= threshold && !has_warned);
                has_warned = left <= threshold;
            }
        }
    }
}
