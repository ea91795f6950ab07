//! The order of one connection's events, exactly.

use std::ops::Range;

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Arrival {
    InOrder,
    /// So many were left out before it.
    Ahead(u32),
    /// After one that was published later.
    Late,
    Duplicate,
}

#[derive(Debug)]
pub(crate) struct Sequence {
    next: u32,
    /// Left out so far.
    missing: Vec<Range<u32>>,
}

impl Default for Sequence {
    fn default() -> Self {
        Self {
            next: 1,
            missing: Vec::new(),
        }
    }
}

impl Sequence {
    /// The highest number seen.
    pub(crate) fn last(&self) -> u32 {
        self.next - 1
    }

    #[inline]
    pub(crate) fn arrive(&mut self, number: u32) -> Arrival {
        if number == self.next {
            self.next += 1;
            return Arrival::InOrder;
        }
        self.out_of_order(number)
    }

    #[cold]
    fn out_of_order(&mut self, number: u32) -> Arrival {
        if number > self.next {
            self.missing.push(self.next..number);
            let left_out = number - self.next;
            self.next = number + 1;
            return Arrival::Ahead(left_out);
        }
        let Some(place) = self
            .missing
            .iter()
            .position(|range| range.contains(&number))
        else {
            return Arrival::Duplicate;
        };
        let range = self.missing[place].clone();
        let parts = [range.start..number, number + 1..range.end];
        self.missing.splice(
            place..=place,
            parts.into_iter().filter(|part| !part.is_empty()),
        );
        Arrival::Late
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Arrival::{Ahead, Duplicate, InOrder, Late};

    fn arrivals(numbers: &[u32]) -> Vec<Arrival> {
        let mut sequence = Sequence::default();
        numbers
            .iter()
            .map(|&number| sequence.arrive(number))
            .collect()
    }

    #[test]
    fn order_loss_lateness_and_duplicates_are_told_apart() {
        assert_eq!(arrivals(&[1, 2, 3]), [InOrder, InOrder, InOrder]);
        assert_eq!(arrivals(&[1, 3, 2, 4]), [InOrder, Ahead(1), Late, InOrder]);
        assert_eq!(
            arrivals(&[1, 1, 2, 1]),
            [InOrder, Duplicate, InOrder, Duplicate]
        );
        assert_eq!(
            arrivals(&[5, 3, 3, 1, 2, 4, 4, 6]),
            [
                Ahead(4),
                Late,
                Duplicate,
                Late,
                Late,
                Late,
                Duplicate,
                InOrder
            ]
        );
        assert_eq!(
            arrivals(&[3, 6, 5, 1, 4, 2]),
            [Ahead(2), Ahead(2), Late, Late, Late, Late]
        );
    }
}
