//! The events of a channel that wait for its next flush.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::config::{Config, Linger};
use crate::event::{Priority, Publication};
use crate::history::Appended;
use crate::position::Position;

/// Waiting events in order, the moment by which they must go, and their weight.
///
/// Of events with a conflation key only the newest waits: it takes its place at the end, and its
/// predecessor's deadline still counts, so that a busy key does not put itself off for ever.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    /// Conflated events leave a hole, so that the places of the others stay as `keys` has them.
    slots: VecDeque<Slot>,
    /// How many slots have left at the front so far.
    gone: u64,
    keys: HashMap<Arc<str>, u64>,
    holes: usize,
    bytes: usize,
    due: Option<Instant>,
}

/// An event's place in the queue.
#[derive(Debug)]
struct Slot {
    publication: Option<Arc<Publication>>,
    /// The newest position up to here, that of conflated events included: history has them.
    position: Option<Position>,
    /// When history has for good what stands up to here; see [`Appended`].
    ticket: u64,
}

/// Events that leave.
#[derive(Debug)]
pub(crate) struct Taken {
    pub(crate) publications: Box<[Arc<Publication>]>,
    /// The newest position that has left.
    pub(crate) position: Option<Position>,
}

impl Pending {
    /// Adds the newest event. Says whether it took the place of an older one.
    pub(crate) fn push(&mut self, appended: Appended, due: Instant) -> bool {
        let Appended {
            publication,
            ticket,
        } = appended;
        self.due = Some(self.due.map_or(due, |earlier| earlier.min(due)));
        self.bytes += publication.weight();
        let mut conflated = false;
        if let Some(key) = publication.event().conflation_key() {
            let place = self.gone + self.slots.len() as u64;
            if let Some(older) = self.keys.insert(key.clone(), place) {
                self.punch(older);
                conflated = true;
            }
        }
        let last = self.slots.back();
        self.slots.push_back(Slot {
            position: publication
                .position()
                .or_else(|| last.and_then(|last| last.position)),
            ticket: last.map_or(ticket, |last| ticket.max(last.ticket)),
            publication: Some(publication),
        });
        if self.holes > 32 && self.holes > self.slots.len() / 2 {
            self.close_holes();
        }
        conflated
    }

    fn punch(&mut self, place: u64) {
        let slot = usize::try_from(place - self.gone)
            .ok()
            .and_then(|at| self.slots.get_mut(at));
        if let Some(publication) = slot.and_then(|slot| slot.publication.take()) {
            self.bytes -= publication.weight();
            self.holes += 1;
        }
    }

    fn close_holes(&mut self) {
        self.gone += self.holes as u64;
        self.holes = 0;
        self.slots.retain(|slot| slot.publication.is_some());
        self.keys.clear();
        for (at, slot) in self.slots.iter().enumerate() {
            let event = slot.publication.as_deref().map(Publication::event);
            if let Some(key) = event.and_then(|event| event.conflation_key()) {
                self.keys.insert(key.clone(), self.gone + at as u64);
            }
        }
    }

    /// Takes events from the front, in order, up to `max_bytes` but at least one, as far as history
    /// has them for good (`safe`). What is left stays due.
    pub(crate) fn take(&mut self, max_bytes: usize, safe: u64) -> Taken {
        let mut taken = Vec::with_capacity(self.slots.len().min(1024));
        let mut bytes = 0;
        let mut position = None;
        while let Some(slot) = self.slots.front() {
            let weight = slot
                .publication
                .as_ref()
                .map_or(0, |publication| publication.weight());
            if slot.ticket > safe || (!taken.is_empty() && bytes + weight > max_bytes) {
                break;
            }
            bytes += weight;
            position = slot.position;
            self.gone += 1;
            match self.slots.pop_front().and_then(|slot| slot.publication) {
                Some(publication) => taken.push(publication),
                None => self.holes -= 1,
            }
        }
        self.bytes -= bytes;
        if self.slots.is_empty() {
            *self = Self {
                gone: self.gone,
                ..Self::default()
            };
        } else {
            let gone = self.gone;
            self.keys.retain(|_, place| *place >= gone);
        }
        Taken {
            publications: taken.into(),
            position,
        }
    }

    /// Whether so much waits that it need not wait for its deadline.
    pub(crate) fn is_full(&self, config: &Config) -> bool {
        let events = self.slots.len() - self.holes;
        self.bytes >= config.buffers.flush
            || config.linger.events.is_some_and(|most| events >= most)
    }

    /// The moment by which the events must go; none if there are none.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Makes what waits due at once.
    pub(crate) fn hurry(&mut self) {
        self.due = self.due.map(|due| due.min(Instant::now()));
    }

    /// The ticket of the first event that waits.
    pub(crate) fn first_ticket(&self) -> Option<u64> {
        self.slots.front().map(|slot| slot.ticket)
    }

    /// The first offset that waits.
    pub(crate) fn first_offset(&self) -> Option<u64> {
        let offsets = self.slots.iter().filter_map(|slot| slot.position);
        offsets.map(|position| position.offset).next()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }
}

/// How long an event of a channel may wait. `phase` (0 to 255) differs between channels and spreads
/// their flushes over a tenth of the window; the rest of it is left for the delivery itself.
pub(crate) fn linger(config: &Linger, priority: Priority, phase: u8) -> Duration {
    let most = match priority {
        Priority::High => return Duration::ZERO,
        Priority::Medium => config.medium,
        Priority::Low => config.low,
    };
    most * 85 / 100 + most * u32::from(phase) / 2_560
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::channel::Channel;
    use crate::event::Event;
    use crate::position::Epoch;

    fn publication(name: &str, key: Option<&str>) -> Appended {
        let channel = Channel::new("thread.1").unwrap();
        let event = Event::new(channel, name, "1").unwrap();
        let event = match key {
            Some(key) => event.conflated_by(key),
            None => event,
        };
        Appended {
            publication: Arc::new(Publication::new(event, None)),
            ticket: 0,
        }
    }

    fn names(taken: &[Arc<Publication>]) -> Vec<String> {
        taken.iter().map(|p| p.event().name().to_owned()).collect()
    }

    #[test]
    fn an_event_never_waits_longer_than_its_window() {
        let config = Linger::default();
        for phase in 0..=255 {
            assert_eq!(linger(&config, Priority::High, phase), Duration::ZERO);
            let medium = linger(&config, Priority::Medium, phase);
            assert!(medium >= config.medium * 85 / 100 && medium <= config.medium * 95 / 100);
            let low = linger(&config, Priority::Low, phase);
            assert!(low >= config.low * 85 / 100 && low <= config.low * 95 / 100);
        }
    }

    #[derive(Clone, Debug)]
    enum Step {
        Push { key: Option<u8>, due: u64 },
        Take { events: usize },
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            3 => (prop::option::of(0u8..4), 0u64..9).prop_map(|(key, due)| Step::Push { key, due }),
            1 => (1usize..9).prop_map(|events| Step::Take { events }),
        ];
        prop::collection::vec(step, 0..200)
    }

    #[test]
    fn what_history_may_lose_stays() {
        let mut pending = Pending::default();
        for ticket in [1, 2, 3] {
            let appended = Appended {
                ticket,
                ..publication("e", None)
            };
            pending.push(appended, Instant::now());
        }
        assert_eq!(pending.take(usize::MAX, 0).publications.len(), 0);
        assert_eq!(pending.take(usize::MAX, 2).publications.len(), 2);
        assert_eq!(pending.first_ticket(), Some(3));
        assert!(pending.due().is_some());
    }

    #[test]
    fn what_an_ephemeral_event_conflates_still_counts_as_gone() {
        let position = Position {
            epoch: Epoch::new(1),
            offset: 7,
        };
        let mut pending = Pending::default();
        for known in (0..100).map(|at| (at == 0).then_some(position)) {
            let event = publication("e", Some("key")).publication.event().clone();
            let appended = Appended {
                publication: Arc::new(Publication::new(event, known)),
                ticket: u64::from(known.is_some()),
            };
            pending.push(appended, Instant::now());
        }
        assert_eq!(pending.take(usize::MAX, 0).position, None);
        let taken = pending.take(usize::MAX, 1);
        assert_eq!(taken.publications.len(), 1);
        assert_eq!(taken.position, Some(position));
    }

    proptest! {
        /// Against the plainest model there is: a list that is searched.
        #[test]
        fn the_newest_of_each_key_goes_in_order_by_the_earliest_deadline(steps in steps()) {
            let start = Instant::now();
            let weight = publication("0", None).publication.weight();
            let mut pending = Pending::default();
            let mut model: Vec<(String, Option<u8>)> = Vec::new();
            let mut model_due: Option<u64> = None;
            for (at, step) in steps.into_iter().enumerate() {
                match step {
                    Step::Push { key, due } => {
                        let name = at.to_string();
                        let text = key.map(|key| key.to_string());
                        let conflated =
                            pending.push(publication(&name, text.as_deref()), start + Duration::from_secs(due));
                        let before = model.len();
                        model.retain(|(_, known)| known.is_none() || *known != key);
                        prop_assert_eq!(conflated, model.len() < before);
                        model.push((name, key));
                        model_due = Some(model_due.map_or(due, |earlier| earlier.min(due)));
                    }
                    Step::Take { events } => {
                        let taken = names(&pending.take(events * weight, 0).publications);
                        let expected = model.drain(..events.min(model.len())).map(|(name, _)| name).collect::<Vec<_>>();
                        prop_assert_eq!(taken, expected);
                        if model.is_empty() {
                            model_due = None;
                        }
                    }
                }
                prop_assert_eq!(pending.bytes(), model.len() * weight);
                prop_assert_eq!(pending.due(), model_due.map(|due| start + Duration::from_secs(due)));
            }
        }
    }
}
