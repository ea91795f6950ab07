//! Numbering the events of lanes.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use fanfare::{Channel, Event, Stamp};
use tokio::time::Instant;

use super::message::{Numbered, Term, Verdict};

/// What an owner keeps for those who missed it, in bytes.
const KEPT: usize = 16 << 20;
/// What one answer repeats at most, in bytes and in events. Who lacks more asks again.
const REPEATS: (usize, usize) = (1 << 20, 512);
/// How long after its last event a channel's newest number is announced, and how often.
const QUIET: Duration = Duration::from_millis(300);
const ANNOUNCED: u8 = 3;
/// How long a channel, or an origin, is remembered that has no events.
const REMEMBERED: Duration = Duration::from_secs(10 * 60);
/// How long events out of turn are refused before the run goes on without those that are missing.
const STUCK: Duration = Duration::from_secs(60);

/// The lanes that this node numbers.
#[derive(Debug, Default)]
pub(super) struct Owner {
    lanes: HashMap<usize, Lane>,
    /// What is kept, oldest first.
    kept: VecDeque<(usize, Channel, usize)>,
    kept_bytes: usize,
    /// Channels whose newest number will be announced, and when.
    announces: VecDeque<(Instant, Channel)>,
}

#[derive(Debug)]
struct Lane {
    term: Term,
    last: u64,
    channels: HashMap<Channel, Tail>,
    origins: HashMap<u64, Run>,
}

/// The newest events of a channel.
#[derive(Debug)]
struct Tail {
    kept: VecDeque<Numbered>,
    last: u64,
    at: Instant,
    /// How often the number is still to be announced.
    announces: u8,
}

/// The turns of an origin, by the rule of the ingress of logs.
#[derive(Debug)]
struct Run {
    next: u64,
    seen: Instant,
    stuck: Option<Instant>,
}

/// What an owner has of what somebody wants.
#[derive(Debug, Default)]
pub(super) struct Repair {
    pub(super) events: Vec<Numbered>,
    /// Up to here it is not kept any more.
    pub(super) lost: Option<u64>,
}

impl Owner {
    pub(super) fn begin(&mut self, lane: usize, term: Term) {
        self.end(lane);
        let begun = Lane {
            term,
            last: 0,
            channels: HashMap::new(),
            origins: HashMap::new(),
        };
        self.lanes.insert(lane, begun);
    }

    pub(super) fn end(&mut self, lane: usize) {
        if self.lanes.remove(&lane).is_some() {
            self.kept.retain(|(kept, _, _)| *kept != lane);
            self.kept_bytes = self.kept.iter().map(|(_, _, weight)| weight).sum();
        }
    }

    /// Takes an event in its turn.
    pub(super) fn take(
        &mut self,
        frame: Bytes,
        now: Instant,
    ) -> (Verdict, Option<(Channel, Numbered)>) {
        let Ok(event) = Event::decode(frame.clone()) else {
            return (Verdict::Garbled, None);
        };
        let index = event.channel().lane();
        let Some(lane) = self.lanes.get_mut(&index) else {
            return (Verdict::NotMine, None);
        };
        let verdict = event.stamp().map(|stamp| lane.turn(stamp, now));
        if let Some(verdict) = verdict.flatten() {
            return (verdict, None);
        }
        lane.last += 1;
        let channel = event.channel().clone();
        let tail = lane.channels.entry(channel.clone()).or_insert(Tail {
            kept: VecDeque::new(),
            last: 0,
            at: now,
            announces: 0,
        });
        let numbered = Numbered {
            term: lane.term,
            number: lane.last,
            previous: tail.last,
            frame,
        };
        tail.last = lane.last;
        tail.at = now;
        tail.kept.push_back(numbered.clone());
        if tail.announces == 0 {
            self.announces.push_back((now + QUIET, channel.clone()));
        }
        tail.announces = ANNOUNCED;
        let weight = numbered.frame.len() + size_of::<Numbered>();
        self.kept.push_back((index, channel.clone(), weight));
        self.kept_bytes += weight;
        self.trim();
        (Verdict::Taken, Some((channel, numbered)))
    }

    fn trim(&mut self) {
        while self.kept_bytes > KEPT
            && let Some((lane, channel, weight)) = self.kept.pop_front()
        {
            self.kept_bytes -= weight;
            // A lane that began anew has others.
            let tail = self.lanes.get_mut(&lane);
            if let Some(tail) = tail.and_then(|lane| lane.channels.get_mut(&channel)) {
                tail.kept.pop_front();
            }
        }
    }

    /// The newest number of a channel; 0 where there is none.
    pub(super) fn newest(&self, channel: &Channel) -> Option<(Term, u64)> {
        let lane = self.lanes.get(&channel.lane())?;
        let tail = lane.channels.get(channel);
        Some((lane.term, tail.map_or(0, |tail| tail.last)))
    }

    /// What of a channel is asked for again.
    pub(super) fn repair(&self, channel: &Channel, term: Term, after: u64, upto: u64) -> Repair {
        let mut repair = Repair::default();
        let lane = self.lanes.get(&channel.lane());
        let Some(lane) = lane.filter(|lane| lane.term == term) else {
            return repair;
        };
        let tail = lane.channels.get(channel);
        let kept = tail.into_iter().flat_map(|tail| &tail.kept);
        let mut bytes = 0;
        let mut reaches = after;
        for event in kept.filter(|event| (after + 1..=upto).contains(&event.number)) {
            if repair.events.is_empty() && event.previous > after {
                repair.lost = Some(event.previous);
            }
            bytes += event.frame.len();
            reaches = event.number;
            repair.events.push(event.clone());
            if bytes > REPEATS.0 || repair.events.len() == REPEATS.1 {
                break;
            }
        }
        if reaches == after {
            repair.lost = Some(upto);
        }
        repair
    }

    /// The newest numbers that are to be announced now.
    pub(super) fn announce(&mut self, now: Instant) -> Vec<(Channel, Term, u64)> {
        let mut all = Vec::new();
        while let Some((due, _)) = self.announces.front()
            && *due <= now
            && let Some((_, channel)) = self.announces.pop_front()
        {
            let Some(lane) = self.lanes.get_mut(&channel.lane()) else {
                continue;
            };
            let term = lane.term;
            let Some(tail) = lane.channels.get_mut(&channel) else {
                continue;
            };
            // Each event announces those before it.
            if now.duration_since(tail.at) >= QUIET {
                all.push((channel.clone(), term, tail.last));
                tail.announces = tail.announces.saturating_sub(1);
            }
            if tail.announces > 0 {
                self.announces.push_back((now + QUIET, channel));
            }
        }
        all
    }

    /// Forgets what had no events for long.
    pub(super) fn expire(&mut self, now: Instant) {
        for lane in self.lanes.values_mut() {
            lane.origins
                .retain(|_, run| now.duration_since(run.seen) < REMEMBERED);
            lane.channels.retain(|_, tail| {
                !tail.kept.is_empty() || now.duration_since(tail.at) < REMEMBERED
            });
        }
    }
}

impl Lane {
    /// Whether it is an event's turn: none if it is.
    fn turn(&mut self, stamp: Stamp, now: Instant) -> Option<Verdict> {
        let settled = stamp.settled.saturating_add(1).min(stamp.number);
        let run = self.origins.entry(stamp.origin).or_insert(Run {
            next: settled,
            seen: now,
            stuck: None,
        });
        run.seen = now;
        run.next = run.next.max(settled);
        if stamp.number < run.next {
            return Some(Verdict::Taken);
        }
        if stamp.number > run.next {
            let since = *run.stuck.get_or_insert(now);
            if now.duration_since(since) < STUCK {
                return Some(Verdict::Early);
            }
        }
        run.stuck = None;
        run.next = stamp.number.saturating_add(1);
        None
    }
}
