//! Who is there, and who numbers which lane.

use std::collections::HashMap;
use std::time::Duration;

use fanfare::LANES;
use tokio::time::Instant;

use super::message::{NodeId, Term};

/// How often a node says that it is there.
pub(super) const HELLO: Duration = Duration::from_millis(500);
/// After this silence a node is gone.
const GONE: Duration = Duration::from_millis(2_500);
/// How long a node listens after it has connected, before it takes part: all others announce
/// themselves in that time.
const SETTLES: Duration = Duration::from_millis(800);
/// A node that does not hear itself for so long hears nobody.
const DEAF: Duration = Duration::from_millis(1_200);

#[derive(Debug)]
pub(super) struct Members {
    me: NodeId,
    /// When each other node was last heard.
    others: HashMap<NodeId, Instant>,
    heard_me: Instant,
    up_since: Option<Instant>,
    seats: [Seat; LANES],
}

/// Who numbers a lane.
#[derive(Clone, Copy, Debug, Default)]
struct Seat {
    term: Term,
    /// The owner is gone.
    vacant: bool,
}

impl Members {
    pub(super) fn new(me: NodeId, now: Instant) -> Self {
        Self {
            me,
            others: HashMap::new(),
            heard_me: now,
            up_since: None,
            seats: [Seat {
                vacant: true,
                ..Seat::default()
            }; LANES],
        }
    }

    pub(super) fn link_up(&mut self, now: Instant) {
        self.up_since = Some(now);
        self.listen_anew(now);
    }

    pub(super) fn link_down(&mut self) {
        self.up_since = None;
    }

    fn listen_anew(&mut self, now: Instant) {
        self.heard_me = now;
        for heard in self.others.values_mut() {
            *heard = now;
        }
    }

    /// Whether the node takes part.
    pub(super) fn settled(&self, now: Instant) -> bool {
        self.up_since
            .is_some_and(|since| now.duration_since(since) >= SETTLES)
    }

    /// The owner of a lane and its term.
    pub(super) fn term(&self, lane: usize) -> Option<Term> {
        let seat = self.seats[lane];
        (!seat.vacant).then_some(seat.term)
    }

    pub(super) fn all_taken(&self) -> bool {
        self.seats.iter().all(|seat| !seat.vacant)
    }

    /// The lanes that this node numbers.
    pub(super) fn mine(&self) -> Vec<(u8, u32)> {
        (0..)
            .zip(&self.seats)
            .filter(|(_, seat)| !seat.vacant && seat.term.owner == self.me)
            .map(|(lane, seat)| (lane, seat.term.number))
            .collect()
    }

    /// A node is there and says what it numbers. Returns lanes that this node has lost by that.
    pub(super) fn heard(&mut self, node: NodeId, lanes: &[(u8, u32)], now: Instant) -> Vec<usize> {
        if node == self.me {
            // Back from where nothing was heard: who was silent meanwhile may have spoken.
            if now.duration_since(self.heard_me) > DEAF {
                self.listen_anew(now);
            }
            self.heard_me = now;
            return Vec::new();
        }
        self.others.insert(node, now);
        let mut lost = Vec::new();
        for &(lane, number) in lanes {
            let claimed = Term {
                number,
                owner: node,
            };
            let lane = usize::from(lane);
            let seat = &mut self.seats[lane];
            if claimed > seat.term || (claimed == seat.term && seat.vacant) {
                if !seat.vacant && seat.term.owner == self.me {
                    lost.push(lane);
                }
                *seat = Seat {
                    term: claimed,
                    vacant: false,
                };
            }
        }
        lost
    }

    /// A node has ended.
    pub(super) fn gone(&mut self, node: NodeId) {
        self.others.remove(&node);
        for seat in &mut self.seats {
            seat.vacant |= seat.term.owner == node;
        }
    }

    /// Declares silent nodes gone and takes lanes without an owner that fall to this node: those
    /// where it wins among all members. Returns these.
    pub(super) fn tick(&mut self, now: Instant) -> Vec<usize> {
        if !self.settled(now) || now.duration_since(self.heard_me) > DEAF {
            return Vec::new();
        }
        let silent = self.others.iter();
        let silent = silent.filter(|(_, heard)| now.duration_since(**heard) > GONE);
        for node in silent.map(|(node, _)| *node).collect::<Vec<_>>() {
            self.gone(node);
        }
        let mut taken = Vec::new();
        for lane in 0..LANES {
            if self.seats[lane].vacant && self.falls_to(lane) == self.me {
                self.seats[lane] = Seat {
                    term: Term {
                        number: self.seats[lane].term.number.saturating_add(1),
                        owner: self.me,
                    },
                    vacant: false,
                };
                taken.push(lane);
            }
        }
        taken
    }

    /// Rendezvous hashing: every node comes to the same, and a node that goes changes its own lanes
    /// only.
    fn falls_to(&self, lane: usize) -> NodeId {
        let members = self.others.keys().copied().chain([self.me]);
        let winner = members.max_by_key(|node| (mixed(*node ^ mixed(lane as u64 + 1)), *node));
        winner.unwrap_or(self.me)
    }
}

/// The last step of splitmix64.
fn mixed(mut number: u64) -> u64 {
    number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn up(me: NodeId, now: Instant) -> Members {
        let mut members = Members::new(me, now);
        members.link_up(now);
        members
    }

    #[test]
    fn lanes_are_shared_by_those_who_begin_together() {
        let now = Instant::now();
        let mut all = [1, 2, 3].map(|me| up(me, now));
        for members in &mut all {
            for node in [1, 2, 3] {
                members.heard(node, &[], now);
            }
            assert_eq!(members.tick(now), [0; 0], "nobody takes part at once");
        }
        let then = now + SETTLES;
        let taken = all.map(|mut members| members.tick(then));
        assert!(taken.iter().all(|taken| taken.len() > 3), "{taken:?}");
        let mut lanes = taken.concat();
        lanes.sort_unstable();
        assert_eq!(lanes, (0..LANES).collect::<Vec<_>>());
    }

    #[test]
    fn an_owner_stays_until_it_is_gone() {
        let now = Instant::now();
        let mut members = up(1, now);
        let claims = (0..32).map(|lane| (lane, 1)).collect::<Vec<_>>();
        members.heard(2, &claims, now);
        let mut then = now;
        while then < now + GONE {
            members.heard(1, &[], then);
            assert_eq!(members.tick(then), [0; 0]);
            then += HELLO;
        }
        then += HELLO;
        members.heard(1, &[], then);
        assert_eq!(members.tick(then).len(), LANES);
        assert_eq!(
            members.term(0),
            Some(Term {
                number: 2,
                owner: 1
            })
        );
        // What it claimed before is over; a greater term is believed.
        assert_eq!(members.heard(2, &claims, then), [0; 0]);
        assert_eq!(members.heard(2, &[(7, 2)], then), [7]);
        assert_eq!(
            members.term(7),
            Some(Term {
                number: 2,
                owner: 2
            })
        );
    }

    #[test]
    fn nobody_is_gone_while_the_own_link_is_silent() {
        let now = Instant::now();
        let mut members = up(1, now);
        members.heard(2, &[(0, 1)], now);
        let later = now + GONE * 2;
        assert_eq!(members.tick(later), [0; 0], "it does not even hear itself");
        members.heard(1, &[], later);
        assert!(!members.tick(later).contains(&0));
        members.link_down();
        members.link_up(later + GONE);
        assert!(!members.tick(later + GONE + SETTLES).contains(&0));
        members.gone(2);
        members.heard(1, &[], later + GONE + SETTLES);
        assert!(members.tick(later + GONE + SETTLES).contains(&0));
    }
}
