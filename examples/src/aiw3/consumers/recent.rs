//! Ids that were seen of late.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

/// The ids of the last so many records. What comes again does so soon: after a loss of connection, or
/// when the process that had it in hand was replaced.
#[derive(Debug)]
pub struct RecentIds {
    most: usize,
    oldest_first: VecDeque<Arc<str>>,
    known: HashSet<Arc<str>>,
}

impl RecentIds {
    /// Remembers the last `most`, about 150 bytes each.
    #[must_use]
    pub fn new(most: usize) -> Self {
        Self {
            most,
            oldest_first: VecDeque::new(),
            known: HashSet::new(),
        }
    }

    /// Whether an id is among them.
    #[must_use]
    pub fn contains(&self, id: &str) -> bool {
        self.known.contains(id)
    }

    /// Remembers an id. False where it is among them already.
    pub fn insert(&mut self, id: &str) -> bool {
        let id = Arc::<str>::from(id);
        if !self.known.insert(Arc::clone(&id)) {
            return false;
        }
        self.oldest_first.push_back(id);
        if self.oldest_first.len() > self.most
            && let Some(oldest) = self.oldest_first.pop_front()
        {
            self.known.remove(&oldest);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_is_forgotten_first() {
        let mut ids = RecentIds::new(2);
        assert!(ids.insert("a") && ids.insert("b"));
        assert!(!ids.insert("a"));
        assert!(ids.insert("c"));
        assert!(!ids.contains("a") && ids.contains("b") && ids.contains("c"));
        assert_eq!((ids.known.len(), ids.oldest_first.len()), (2, 2));
    }
}
