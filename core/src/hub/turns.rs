//! Which of the events that a log holds are taken in.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::event::Stamp;
use crate::sync::Mutex;

/// How long an origin is remembered that sends nothing; much longer than any node tries to send an
/// event.
const REMEMBERED: Duration = Duration::from_secs(2 * 24 * 60 * 60);
/// How long events out of turn are dropped before the run goes on without those that are missing.
/// Nodes send what is missing again within seconds, unless they ended.
const STUCK: Duration = Duration::from_secs(60);

/// The next number of each origin.
///
/// A node that does not know whether the log has event 5 sends 5 again, and with it all that it had
/// sent after it: the log may hold 5 6 7 5 6 7, or 6 7 5 6 7. Taking only the next number makes both
/// into 5 6 7, and every node that reads the log comes to the same.
#[derive(Debug, Default)]
pub(crate) struct Turns {
    origins: Mutex<HashMap<u64, Run>>,
}

#[derive(Debug)]
struct Run {
    next: u64,
    seen: Instant,
    /// Whether the last one belonged to what was in the log before the reader began.
    begins: bool,
    /// Since when nothing but later numbers has come.
    stuck: Option<Instant>,
}

/// What becomes of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// It is the next of its run.
    Take,
    /// It was taken before.
    Copy,
    /// Others of its run come before it, and it will come again.
    Early,
}

impl Turns {
    /// Whether it is an event's turn. `begins` says that the reader has just begun somewhere in the
    /// log, and may have missed what came before.
    pub(crate) fn take(&self, stamp: Stamp, begins: bool) -> Turn {
        let now = Instant::now();
        let mut origins = self.origins.lock();
        let run = origins.entry(stamp.origin).or_insert_with(|| Run {
            next: if begins {
                stamp.number
            } else {
                stamp.settled.saturating_add(1).min(stamp.number)
            },
            begins,
            seen: now,
            stuck: None,
        });
        run.seen = now;
        if begins && !std::mem::replace(&mut run.begins, begins) {
            // What came before may have been trimmed away meanwhile.
            run.next = run.next.max(stamp.number);
        }
        run.begins = begins;
        // What was settled need not come any more.
        run.next = run
            .next
            .max(stamp.settled.saturating_add(1).min(stamp.number));
        if stamp.number < run.next {
            return Turn::Copy;
        }
        if stamp.number > run.next {
            let since = *run.stuck.get_or_insert(now);
            if now.duration_since(since) < STUCK {
                return Turn::Early;
            }
        }
        run.stuck = None;
        run.next = stamp.number.saturating_add(1);
        Turn::Take
    }

    /// Forgets origins that have sent nothing for long.
    pub(crate) fn expire(&self) {
        let now = Instant::now();
        let mut origins = self.origins.lock();
        origins.retain(|_, run| now.duration_since(run.seen) < REMEMBERED);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn stamp(number: u64, settled: u64) -> Stamp {
        Stamp {
            origin: 7,
            number,
            settled,
        }
    }

    fn taken(log: &[(u64, u64)], begins: usize) -> Vec<u64> {
        let turns = Turns::default();
        let mut taken = Vec::new();
        for (at, &(number, settled)) in log.iter().enumerate() {
            if turns.take(stamp(number, settled), at < begins) == Turn::Take {
                taken.push(number);
            }
        }
        taken
    }

    #[test]
    fn what_was_sent_again_is_taken_once() {
        assert_eq!(
            taken(&[(1, 0), (2, 0), (1, 0), (2, 0), (3, 0)], 0),
            [1, 2, 3]
        );
    }

    #[test]
    fn what_overtook_a_lost_event_waits_for_it() {
        assert_eq!(
            taken(&[(2, 0), (3, 0), (1, 0), (2, 0), (3, 0)], 0),
            [1, 2, 3]
        );
    }

    #[test]
    fn an_origin_that_was_there_before_is_believed() {
        assert_eq!(taken(&[(58, 57), (59, 57)], 0), [58, 59]);
        assert_eq!(taken(&[(57, 50), (58, 50)], 1), [57, 58]);
        let turns = Turns::default();
        let trimmed = [(1, false), (81, true), (83, true), (82, true), (83, true)];
        let outcome = trimmed.map(|(number, begins)| turns.take(stamp(number, 0), begins));
        let expected = [Turn::Take, Turn::Take, Turn::Early, Turn::Take, Turn::Take];
        assert_eq!(outcome, expected);
        assert_eq!(taken(&[(57, 50), (51, 50), (52, 50)], 0), [51, 52]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_run_whose_missing_event_never_comes_goes_on() {
        let turns = Turns::default();
        assert_eq!(turns.take(stamp(1, 0), false), Turn::Take);
        assert_eq!(turns.take(stamp(3, 0), false), Turn::Early);
        tokio::time::sleep(STUCK).await;
        assert_eq!(turns.take(stamp(4, 0), false), Turn::Take);
        assert_eq!(turns.take(stamp(5, 0), false), Turn::Take);
    }

    /// A sender with a window, over a connection that breaks: what it sends reaches the log up to
    /// somewhere, or from somewhere on, and it goes back to the first that was not confirmed.
    fn log_of(breaks: &[(u64, u64, bool, u64)]) -> (Vec<(u64, u64)>, u64) {
        let mut log = Vec::new();
        let mut settled = 0;
        for &(window, written, from_behind, confirmed) in breaks {
            let sent = settled + 1..=settled + window;
            let written = written.min(window);
            let came: Vec<u64> = if from_behind {
                sent.rev()
                    .take(written as usize)
                    .collect::<Vec<_>>()
                    .into_iter()
                    .rev()
                    .collect()
            } else {
                sent.take(written as usize).collect()
            };
            let whole = if from_behind && written < window {
                0
            } else {
                written
            };
            log.extend(came.iter().map(|number| (*number, settled)));
            settled += confirmed.min(whole);
        }
        (log, settled)
    }

    proptest! {
        #[test]
        fn every_reader_takes_each_once_in_order(
            breaks in prop::collection::vec((1u64..9, 0u64..9, any::<bool>(), 0u64..9), 1..12),
        ) {
            let (log, settled) = log_of(&breaks);
            let taken = taken(&log, 0);
            let in_order = (1..=taken.len() as u64).collect::<Vec<_>>();
            prop_assert_eq!(&taken, &in_order);
            prop_assert!(taken.len() as u64 >= settled, "what is confirmed was taken");
        }
    }
}
