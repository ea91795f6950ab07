//! How far the slowest connection is, without looking at all of them each time.

#[derive(Debug)]
pub(crate) struct Progress {
    positions: Vec<u64>,
    least: u64,
    at_least: usize,
}

impl Progress {
    pub(crate) fn new() -> Self {
        Self {
            positions: Vec::new(),
            least: u64::MAX,
            at_least: 0,
        }
    }

    pub(crate) fn add(&mut self, position: u64) {
        self.positions.push(position);
        if position < self.least {
            (self.least, self.at_least) = (position, 0);
        }
        self.at_least += usize::from(position == self.least);
    }

    #[inline]
    pub(crate) fn advance(&mut self, index: usize, position: u64) {
        let old = std::mem::replace(&mut self.positions[index], position);
        if old == self.least && position != old {
            self.at_least -= 1;
        }
    }

    /// That connection is not waited for any more.
    pub(crate) fn give_up(&mut self, index: usize) {
        self.advance(index, u64::MAX);
    }

    pub(crate) fn least(&mut self) -> u64 {
        if self.at_least == 0 {
            self.count();
        }
        self.least
    }

    fn count(&mut self) {
        self.least = self.positions.iter().copied().min().unwrap_or(u64::MAX);
        self.at_least = self
            .positions
            .iter()
            .filter(|&&position| position == self.least)
            .count();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_follows_the_slowest() {
        let mut progress = Progress::new();
        assert_eq!(progress.least(), u64::MAX);
        for position in [0, 1, 0] {
            progress.add(position);
        }
        assert_eq!(progress.least(), 0);
        progress.advance(0, 5);
        assert_eq!(progress.least(), 0);
        progress.advance(2, 2);
        assert_eq!(progress.least(), 1);
        progress.advance(1, 9);
        assert_eq!(progress.least(), 2);
        progress.give_up(2);
        assert_eq!(progress.least(), 5);
        progress.give_up(0);
        progress.give_up(1);
        assert_eq!(progress.least(), u64::MAX);
    }
}
