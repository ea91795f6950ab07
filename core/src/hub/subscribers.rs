//! The subscribers of one channel on one worker.

use std::sync::Arc;

use super::connection::Connection;

/// Subscribers in stable places: one that leaves or joins while a flush walks the list moves no
/// other, so none is missed or served twice.
#[derive(Debug, Default)]
pub(crate) struct Subscribers {
    places: Vec<Place>,
    free: Vec<u32>,
    count: usize,
}

#[derive(Debug)]
struct Place {
    /// Counts the subscriptions that stood here, so that a late unsubscribe does not remove a
    /// newer one.
    generation: u32,
    subscriber: Option<Subscriber>,
}

/// What fan-out reads of a subscriber.
#[derive(Debug)]
pub(crate) struct Subscriber {
    pub(crate) connection: Arc<Connection>,
    /// The channel's last flush before it joined; it gets those after.
    pub(crate) joined_after: u64,
    /// Whether it wants to be told who joins and leaves.
    pub(crate) follows: bool,
}

/// Where a subscriber stands. Not `Copy`: a seat is left once.
#[derive(Debug)]
pub(crate) struct Seat {
    place: u32,
    generation: u32,
}

impl Subscribers {
    pub(crate) fn len(&self) -> usize {
        self.count
    }

    pub(crate) fn join(&mut self, subscriber: Subscriber) -> Seat {
        self.count += 1;
        if let Some(place) = self.free.pop() {
            let entry = &mut self.places[place as usize];
            entry.generation = entry.generation.wrapping_add(1);
            entry.subscriber = Some(subscriber);
            return Seat {
                place,
                generation: entry.generation,
            };
        }
        let place =
            u32::try_from(self.places.len()).expect("fewer connections than descriptors exist");
        self.places.push(Place {
            generation: 0,
            subscriber: Some(subscriber),
        });
        Seat {
            place,
            generation: 0,
        }
    }

    /// Removes the subscriber in `seat`, unless it has left already.
    #[expect(clippy::needless_pass_by_value, reason = "a seat is left once")]
    pub(crate) fn leave(&mut self, seat: Seat) -> Option<Subscriber> {
        let Seat { place, generation } = seat;
        let entry = self.places.get_mut(place as usize)?;
        if entry.generation != generation {
            return None;
        }
        let subscriber = entry.subscriber.take()?;
        self.count -= 1;
        if self.count == 0 {
            // Nobody holds a seat any more, so places and generations may start anew.
            self.places = Vec::new();
            self.free = Vec::new();
        } else {
            self.free.push(place);
        }
        Some(subscriber)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Subscriber> {
        self.places
            .iter()
            .filter_map(|place| place.subscriber.as_ref())
    }
}
