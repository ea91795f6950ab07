//! One channel as a node hears it: in the owner's order, without holes and copies.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use fanfare::Event;
use tokio::time::Instant;

use super::message::{Numbered, Term};

/// What may be held back behind a hole, in bytes.
const HELD: usize = 4 << 20;
/// How long a hole may be young: what is only late needs no repair.
const LATE: Duration = Duration::from_millis(60);
/// How often what is missing is asked for.
const ASKS: Duration = Duration::from_millis(150);
/// How long a hole is waited for, since anything was last filled in: longer than it takes until an
/// owner that does not answer is either back or gone.
const PATIENCE: Duration = Duration::from_secs(3);
/// Origins whose last numbers are remembered.
const ORIGINS: usize = 256;

#[derive(Debug, Default)]
pub(super) struct Reader {
    term: Term,
    /// The last number that was delivered or is known to need no delivery; none until the owner has
    /// said where the channel stands, or an event has come.
    last: Option<u64>,
    /// The newest number that is known of.
    newest: u64,
    /// Events behind a hole.
    held: BTreeMap<u64, (u64, Event)>,
    held_bytes: usize,
    hole: Option<Hole>,
    /// The last number that came of each origin.
    origins: HashMap<u64, (u64, Instant)>,
}

#[derive(Clone, Copy, Debug)]
struct Hole {
    since: Instant,
    asks: Instant,
}

/// What a reader hands over.
#[derive(Debug, Default)]
pub(super) struct Heard {
    pub(super) events: Vec<Event>,
    /// Holes that were given up.
    pub(super) given_up: u64,
}

/// What a reader lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Missing {
    pub(super) term: Term,
    pub(super) after: u64,
    pub(super) upto: u64,
}

impl Reader {
    /// An event came, broadcast or repeated.
    pub(super) fn event(&mut self, numbered: &Numbered, event: Event, now: Instant) -> Heard {
        let mut heard = Heard::default();
        if numbered.term < self.term {
            // The last words of an owner that was replaced: not in order, but not lost.
            if event.stamp().is_some() {
                self.deliver(event, now, &mut heard);
            } else {
                heard.given_up += 1;
            }
            return heard;
        }
        self.enter(numbered.term, now, &mut heard);
        self.newest = self.newest.max(numbered.number);
        match self.last {
            Some(last) if numbered.number <= last => {}
            Some(last) if numbered.previous > last => {
                let weight = event.payload().len() + size_of::<Event>();
                let held = (numbered.previous, event);
                if self.held.insert(numbered.number, held).is_none() {
                    self.held_bytes += weight;
                }
                if self.held_bytes > HELD {
                    self.give_up(now, &mut heard);
                }
            }
            _ => {
                self.last = Some(numbered.number);
                self.deliver(event, now, &mut heard);
                self.filled(now, &mut heard);
            }
        }
        self.look(now);
        heard
    }

    /// The owner says where the channel stands. To be believed, where nothing came yet.
    pub(super) fn newest(&mut self, term: Term, number: u64, now: Instant) -> Heard {
        let mut heard = Heard::default();
        if term < self.term {
            return heard;
        }
        self.enter(term, now, &mut heard);
        self.last.get_or_insert(number);
        self.newest = self.newest.max(number);
        self.look(now);
        heard
    }

    /// The owner does not have what is missing, up to a number.
    pub(super) fn lost(&mut self, term: Term, upto: u64, now: Instant) -> Heard {
        let mut heard = Heard::default();
        if term == self.term && self.last.is_some_and(|last| last < upto) {
            heard.given_up += 1;
            self.last = Some(upto);
            self.filled(now, &mut heard);
            self.look(now);
        }
        heard
    }

    /// Whether something is missing.
    pub(super) fn has_hole(&self) -> bool {
        self.hole.is_some()
    }

    /// What is to be asked for now. Gives up what did not come for long.
    pub(super) fn tick(&mut self, now: Instant) -> (Option<Missing>, Heard) {
        let mut heard = Heard::default();
        let Some(hole) = &mut self.hole else {
            return (None, heard);
        };
        if now.duration_since(hole.since) >= PATIENCE {
            self.give_up(now, &mut heard);
            self.look(now);
            return (None, heard);
        }
        if now < hole.asks {
            return (None, heard);
        }
        hole.asks = now + ASKS;
        let first = self.held.values().next();
        let missing = Missing {
            term: self.term,
            after: self.last.unwrap_or(0),
            upto: first.map_or(self.newest, |(previous, _)| *previous),
        };
        (Some(missing), heard)
    }

    /// The owner could not answer while the link was away.
    pub(super) fn link_up(&mut self, now: Instant) {
        if let Some(hole) = &mut self.hole {
            *hole = Hole {
                since: now,
                asks: now,
            };
        }
    }

    /// Goes on with a term. All of it is wanted, where anything of an older one was.
    fn enter(&mut self, term: Term, now: Instant, heard: &mut Heard) {
        if term == self.term {
            return;
        }
        while !self.held.is_empty() {
            self.give_up(now, heard);
        }
        if self.last.is_some_and(|last| last < self.newest) {
            heard.given_up += 1;
        }
        self.last = self.last.map(|_| 0);
        self.newest = 0;
        self.term = term;
        self.hole = None;
    }

    /// Delivers an event unless it came before, in another term or by another way.
    fn deliver(&mut self, event: Event, now: Instant, heard: &mut Heard) {
        if let Some(stamp) = event.stamp() {
            if let Some((last, _)) = self.origins.get(&stamp.origin)
                && stamp.number <= *last
            {
                return;
            }
            self.origins.insert(stamp.origin, (stamp.number, now));
            if self.origins.len() > ORIGINS {
                let oldest = self.origins.iter().min_by_key(|(_, (_, seen))| *seen);
                if let Some(oldest) = oldest.map(|(origin, _)| *origin) {
                    self.origins.remove(&oldest);
                }
            }
        }
        heard.events.push(event);
    }

    /// Delivers what follows what came.
    fn filled(&mut self, now: Instant, heard: &mut Heard) {
        if let Some(hole) = &mut self.hole {
            hole.since = now;
        }
        while let Some(first) = self.held.first_entry() {
            let last = self.last.unwrap_or(0);
            if first.get().0 > last && *first.key() > last {
                break;
            }
            let (number, (_, event)) = first.remove_entry();
            self.held_bytes -= event.payload().len() + size_of::<Event>();
            if number > last {
                self.last = Some(number);
                self.deliver(event, now, heard);
            }
        }
    }

    /// Goes on behind the first hole.
    fn give_up(&mut self, now: Instant, heard: &mut Heard) {
        heard.given_up += 1;
        let first = self.held.values().next();
        self.last = Some(first.map_or(self.newest, |(previous, _)| *previous));
        self.filled(now, heard);
    }

    fn look(&mut self, now: Instant) {
        let whole = self.last.is_none_or(|last| last >= self.newest);
        if whole {
            self.hole = None;
        } else if self.hole.is_none() {
            self.hole = Some(Hole {
                since: now,
                asks: now + LATE,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use fanfare::{Channel, Stamp};

    use super::*;

    const ONE: Term = Term {
        number: 1,
        owner: 1,
    };
    const TWO: Term = Term {
        number: 2,
        owner: 2,
    };

    fn heard(reader: &mut Reader, term: Term, previous: u64, number: u64) -> Vec<u64> {
        let channel = Channel::new("thread.1").unwrap();
        let event = Event::new(channel, "e", number.to_string()).unwrap();
        let event = event.stamped(Stamp {
            origin: 1,
            number: number + u64::from(term.number) * 100,
            settled: 0,
        });
        let numbered = Numbered {
            term,
            number,
            previous,
            frame: Bytes::new(),
        };
        numbers(&reader.event(&numbered, event, Instant::now()))
    }

    fn numbers(heard: &Heard) -> Vec<u64> {
        let number = |event: &Event| std::str::from_utf8(event.payload()).unwrap().parse();
        heard
            .events
            .iter()
            .map(|event| number(event).unwrap())
            .collect()
    }

    #[tokio::test(start_paused = true)]
    async fn holes_are_filled_before_what_follows() {
        let mut reader = Reader::default();
        reader.newest(ONE, 4, Instant::now());
        assert_eq!(heard(&mut reader, ONE, 4, 6), [6]);
        assert_eq!(heard(&mut reader, ONE, 9, 11), [0; 0]);
        assert_eq!(heard(&mut reader, ONE, 11, 12), [0; 0]);
        assert_eq!(reader.tick(Instant::now()).0, None, "it may only be late");
        tokio::time::advance(LATE).await;
        let missing = Missing {
            term: ONE,
            after: 6,
            upto: 9,
        };
        assert_eq!(reader.tick(Instant::now()).0, Some(missing));
        assert_eq!(reader.tick(Instant::now()).0, None);
        assert_eq!(heard(&mut reader, ONE, 6, 9), [9, 11, 12]);
        assert!(!reader.has_hole());
        assert_eq!(heard(&mut reader, ONE, 6, 9), [0; 0], "a copy");
    }

    #[tokio::test(start_paused = true)]
    async fn what_does_not_come_is_given_up() {
        let mut reader = Reader::default();
        reader.newest(ONE, 0, Instant::now());
        assert_eq!(heard(&mut reader, ONE, 3, 5), [0; 0]);
        tokio::time::advance(PATIENCE).await;
        let (asked, after) = reader.tick(Instant::now());
        assert_eq!((asked, after.given_up), (None, 1));
        assert_eq!(numbers(&after), [5]);
        reader.newest(ONE, 9, Instant::now());
        assert!(reader.has_hole());
        let gone = reader.lost(ONE, 9, Instant::now());
        assert_eq!(gone.given_up, 1);
        assert!(!reader.has_hole());
    }

    #[tokio::test(start_paused = true)]
    async fn all_of_a_new_term_is_wanted() {
        let mut reader = Reader::default();
        assert_eq!(
            heard(&mut reader, ONE, 3, 5),
            [5],
            "nothing is known before the first"
        );
        assert_eq!(heard(&mut reader, TWO, 1, 2), [0; 0]);
        assert!(reader.has_hole());
        assert_eq!(heard(&mut reader, TWO, 0, 1), [1, 2]);
        assert_eq!(
            heard(&mut reader, ONE, 5, 7),
            [0; 0],
            "its origin has sent later ones"
        );
    }
}
