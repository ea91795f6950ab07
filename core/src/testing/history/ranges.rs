//! Reading, against a plain model.

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use super::Plan;
use super::sample::{assert_same, channel, commit, event, everything, read};
use crate::channel::Channel;
use crate::event::Event;
use crate::history::{HistoryStore, Retention};
use crate::testing::promise;

/// A page is the oldest `limit` of what is kept of the range asked for, in order, whatever range
/// and limit; and says what the oldest and the newest are.
///
/// # Panics
/// With the promise that the store breaks.
pub async fn check_ranges<S: HistoryStore>(fresh: &impl AsyncFn() -> S, plan: &Plan) {
    let store = fresh().await;
    let mut random = SmallRng::seed_from_u64(plan.seed);
    let mut models = (0..plan.channels)
        .map(|number| Model {
            channel: channel(number),
            appended: Vec::new(),
            retention: Retention {
                events: random.random_range(0..100),
                ..everything()
            },
        })
        .collect::<Vec<_>>();
    const ROUNDS: u32 = 10;
    for _ in 0..ROUNDS {
        for model in &mut models {
            model.grow(&store, &mut random, plan).await;
        }
        for _ in 0..plan.ranges.div_ceil(ROUNDS) {
            let model = &models[random.random_range(0..models.len())];
            model.compare(&store, &mut random, plan).await;
        }
    }
}

struct Model {
    channel: Channel,
    /// The event with offset 1, and so on.
    appended: Vec<Event>,
    retention: Retention,
}

impl Model {
    async fn grow(&mut self, store: &impl HistoryStore, random: &mut SmallRng, plan: &Plan) {
        for _ in 0..random.random_range(0..40) {
            let event = event(&self.channel, random);
            self.appended.push(event.clone());
            let appended = store.append(event, &self.retention);
            if random.random_ratio(1, 4) {
                commit(store, &appended, plan).await;
            }
        }
        // What an append displaces is gone once it is safe.
        let event = event(&self.channel, random);
        self.appended.push(event.clone());
        commit(store, &store.append(event, &self.retention), plan).await;
    }

    async fn compare(&self, store: &impl HistoryStore, random: &mut SmallRng, plan: &Plan) {
        let top = self.appended.len() as u64;
        let oldest = top + 1 - top.min(self.retention.events as u64);
        let (after, up_to) = match random.random_range(0..10) {
            0 => (u64::MAX, u64::MAX),
            1 => (0, u64::MAX),
            2 => (0, 0),
            _ => (
                random.random_range(0..=top + 2),
                random.random_range(0..=top + 2),
            ),
        };
        let limit = match random.random_range(0..4) {
            0 => usize::MAX,
            1 => random.random_range(0..3),
            _ => random.random_range(0..60),
        };
        let asked = format!(
            "read({}, {after}, {up_to}, {limit}) where {oldest} to {top} are kept (seed {})",
            self.channel, plan.seed
        );
        let page = read(store, &self.channel, (after, up_to, limit), plan).await;
        promise!(
            page.oldest == oldest,
            "a page says what the oldest offset is that is kept, and `top + 1` where none is",
            "{} as the oldest of {asked}",
            page.oldest
        );
        promise!(
            page.top == store.top(&self.channel),
            "a page says what the newest position is, whether it reaches it or not",
            "{:?} as the top of {asked}",
            page.top
        );
        let from = after.saturating_add(1).max(oldest);
        let expected = (from..=up_to.min(top)).take(limit);
        let expected = expected
            .map(|offset| Some(crate::Position { offset, ..page.top }))
            .collect::<Vec<_>>();
        let found = page.publications.iter().map(|p| p.position());
        let found = found.collect::<Vec<_>>();
        promise!(
            found == expected,
            "a page holds the oldest `limit` of what is kept of its range, in order",
            "{found:?} in place of {expected:?} by {asked}"
        );
        for (publication, position) in page.publications.iter().zip(&expected) {
            let offset = position.map_or(0, |position| position.offset);
            let appended = &self.appended[offset as usize - 1];
            assert_same(publication.event(), appended, plan.seed);
        }
    }
}
