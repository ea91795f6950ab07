//! What a consumer has taken and not begun: whose turn it is.

use std::collections::{HashMap, VecDeque};

/// Things that wait for their turn, in the order in which they came, one of a key at a time.
/// Things without a key do not wait for each other.
#[derive(Debug)]
pub(super) struct InHand<T> {
    /// Those whose keys are free.
    ready: VecDeque<Waiting<T>>,
    /// By each key that something is ready or under way for: what waits behind it.
    behind: HashMap<String, VecDeque<Waiting<T>>>,
    /// How many wait, ready or not.
    waiting: usize,
    /// How many have come.
    came: u64,
}

#[derive(Debug)]
struct Waiting<T> {
    came: u64,
    key: String,
    thing: T,
}

impl<T> Default for InHand<T> {
    fn default() -> Self {
        Self {
            ready: VecDeque::new(),
            behind: HashMap::new(),
            waiting: 0,
            came: 0,
        }
    }
}

impl<T> InHand<T> {
    /// How many wait.
    pub(super) const fn waiting(&self) -> usize {
        self.waiting
    }

    pub(super) fn push(&mut self, key: &str, thing: T) {
        let waiting = Waiting {
            came: self.came,
            key: key.to_owned(),
            thing,
        };
        self.came += 1;
        self.waiting += 1;
        match self.behind.get_mut(key) {
            Some(behind) => behind.push_back(waiting),
            None => {
                if !key.is_empty() {
                    self.behind.insert(key.to_owned(), VecDeque::new());
                }
                self.ready.push_back(waiting);
            }
        }
    }

    /// The next whose key is free. Its key is not, until it [`finished`](Self::finished).
    pub(super) fn begin(&mut self) -> Option<T> {
        let Waiting { thing, .. } = self.ready.pop_front()?;
        self.waiting -= 1;
        Some(thing)
    }

    /// What was under way for a key is over.
    pub(super) fn finished(&mut self, key: &str) {
        let Some(behind) = self.behind.get_mut(key) else {
            return;
        };
        match behind.pop_front() {
            Some(next) => self.ready.push_back(next),
            None => {
                self.behind.remove(key);
            }
        }
    }

    /// Takes out all that wait, in the order in which they came. Keys that something is under way
    /// for stay taken.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = T> + use<T> {
        let mut all = Vec::with_capacity(self.waiting);
        for ready in self.ready.drain(..) {
            // Nothing is under way for it, and what waits behind it goes as well.
            if let Some(behind) = self.behind.remove(&ready.key) {
                all.extend(behind);
            }
            all.push(ready);
        }
        for behind in self.behind.values_mut() {
            all.extend(behind.drain(..));
        }
        self.waiting = 0;
        all.sort_unstable_by_key(|waiting| waiting.came);
        all.into_iter().map(|waiting| waiting.thing)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn one_of_a_key_at_a_time() {
        let mut in_hand = InHand::default();
        for (key, thing) in [("a", 1), ("a", 2), ("b", 3), ("", 4), ("", 5)] {
            in_hand.push(key, thing);
        }
        let begun = std::iter::from_fn(|| in_hand.begin()).collect::<Vec<_>>();
        assert_eq!(begun, [1, 3, 4, 5]);
        in_hand.finished("b");
        assert_eq!(in_hand.begin(), None);
        in_hand.finished("a");
        assert_eq!(in_hand.begin(), Some(2));
        in_hand.finished("a");
        assert_eq!((in_hand.waiting(), in_hand.behind.len()), (0, 0));
    }

    #[test]
    fn a_key_that_is_under_way_stays_taken_when_the_rest_is_taken_out() {
        let mut in_hand = InHand::default();
        for thing in 1..=3 {
            in_hand.push("a", thing);
        }
        assert_eq!(in_hand.begin(), Some(1));
        assert_eq!(in_hand.drain().collect::<Vec<_>>(), [2, 3]);
        in_hand.push("a", 4);
        assert_eq!(in_hand.begin(), None);
        in_hand.finished("a");
        assert_eq!(in_hand.begin(), Some(4));
    }

    proptest! {
        /// In any order of steps: nothing is lost or doubled, no two of a key are under way, and
        /// those of a key begin in their order.
        #[test]
        fn turns_are_kept(steps in prop::collection::vec(0u8..8, 1..300)) {
            let mut in_hand = InHand::default();
            let mut under_way = Vec::<(&str, u32)>::new();
            let mut begun = Vec::<(&str, u32)>::new();
            let (mut pushed, mut taken_out) = (0, 0);
            for step in steps {
                match step {
                    0..=3 => {
                        let key = ["", "a", "b", "c"][usize::from(step)];
                        in_hand.push(key, (key, pushed));
                        pushed += 1;
                    }
                    4 | 5 => if let Some((key, thing)) = in_hand.begin() {
                        prop_assert!(key.is_empty() || under_way.iter().all(|(other, _)| *other != key));
                        prop_assert!(key.is_empty() || begun.iter().all(|(other, before)| *other != key || *before < thing));
                        under_way.push((key, thing));
                        begun.push((key, thing));
                    },
                    6 => if !under_way.is_empty() {
                        let (key, _) = under_way.remove(0);
                        in_hand.finished(key);
                    },
                    _ => {
                        let waiting = in_hand.waiting();
                        let drained = in_hand.drain().map(|(_, thing)| thing).collect::<Vec<_>>();
                        prop_assert_eq!(drained.len(), waiting);
                        prop_assert!(drained.is_sorted());
                        taken_out += drained.len();
                    }
                }
                prop_assert_eq!(pushed as usize, begun.len() + taken_out + in_hand.waiting());
            }
            // Everything that is left has its turn.
            loop {
                for (key, _) in under_way.drain(..) {
                    in_hand.finished(key);
                }
                let Some(next) = in_hand.begin() else { break };
                begun.push(next);
                under_way.push(next);
            }
            prop_assert_eq!(pushed as usize, begun.len() + taken_out);
        }
    }
}
