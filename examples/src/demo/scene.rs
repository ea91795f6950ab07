//! What stories are told with: chance, the time, and what is still to be told.

use std::collections::VecDeque;
use std::ops::Range;

use jiff::{SignedDuration, Timestamp};
use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use serde_json::Value;

/// One turn of a story after the other.
#[derive(Debug)]
pub(crate) struct Scene {
    pub(crate) random: StdRng,
    pub(crate) now: Timestamp,
    told: VecDeque<Value>,
}

impl Scene {
    /// The envelopes that `turn` tells, for ever: it is called whenever there are none left, and tells
    /// sooner or later. What it tells may depend on nothing but what it keeps and the scene's chance, so
    /// that a story is the same for the same seed; times are those of the turn.
    pub(crate) fn play(
        random: StdRng,
        mut turn: impl FnMut(&mut Self) + Send + 'static,
    ) -> impl Iterator<Item = Value> + Send + 'static {
        let mut scene = Self {
            random,
            now: Timestamp::now(),
            told: VecDeque::new(),
        };
        std::iter::from_fn(move || {
            while scene.told.is_empty() {
                scene.now = Timestamp::now();
                turn(&mut scene);
            }
            scene.told.pop_front()
        })
    }

    /// The envelope after those that were told before.
    pub(crate) fn tell(&mut self, envelope: Value) {
        self.told.push_back(envelope);
    }

    /// The time so many seconds from now.
    pub(crate) fn at(&self, seconds: i64) -> String {
        format!("{:.3}", self.now + SignedDuration::from_secs(seconds))
    }

    pub(crate) fn number(&mut self, range: Range<u64>) -> u64 {
        self.random.random_range(range)
    }

    /// One of 0 to `length` - 1.
    pub(crate) fn place(&mut self, length: usize) -> usize {
        self.random.random_range(0..length)
    }

    pub(crate) fn chance(&mut self, percent: u32) -> bool {
        self.random.random_range(0..100) < percent
    }

    pub(crate) fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        *of.choose(&mut self.random)
            .expect("something to choose from")
    }

    /// The first of `count` half of the time, else any: 0 to `count` - 1.
    pub(crate) fn mostly_the_first(&mut self, count: usize) -> usize {
        let at = self.random.random_range(0..2 * count - 2);
        if at < count { at } else { 0 }
    }
}
