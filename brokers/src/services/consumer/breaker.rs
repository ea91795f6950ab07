//! The circuit breaker: what stops a consumer from failing record after record while what its
//! handler needs is away.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

/// When a consumer stops taking records, and when it goes on.
///
/// Attempts that fail with a [retryable](super::HandlerError::retryable) error count as failures;
/// [permanent](super::HandlerError::permanent) ones are the record's own fault and do not count.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BreakerPolicy {
    /// Opens after this many failures in a row; 0 for never. Default 5.
    pub consecutive: u32,
    /// Opens when too many of the recent attempts failed. Default none.
    pub ratio: Option<FailureRatio>,
    /// How long it stays open. Default 10 s. Records wait in the broker meanwhile.
    pub pause: Duration,
    /// Closes after this many successes of single attempts, at least 1. Default 2.
    pub successes: u32,
}

/// A share of attempts that failed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FailureRatio {
    /// The share, above 0 and up to 1.
    pub failed: f64,
    /// Says nothing about fewer attempts than this.
    pub least: u32,
    /// How far it looks back. Kept in tenths of it.
    pub window: Duration,
}

impl BreakerPolicy {
    /// Opens only when a handler says that what it needs is
    /// [unavailable](super::HandlerError::unavailable).
    pub const NEVER: Self = Self {
        consecutive: 0,
        ratio: None,
        pause: Duration::from_secs(10),
        successes: 2,
    };
}

impl Default for BreakerPolicy {
    fn default() -> Self {
        Self {
            consecutive: 5,
            ..Self::NEVER
        }
    }
}

/// What a circuit breaker does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakerState {
    /// Records are taken as they come.
    Closed,
    /// One record at a time is tried.
    HalfOpen,
    /// Nothing is taken.
    Open,
}

impl BreakerState {
    /// The value of the gauge `fanfare_consumer_breaker`: 0 closed, 1 half-open, 2 open.
    #[must_use]
    pub const fn gauge(self) -> f64 {
        match self {
            Self::Closed => 0.0,
            Self::HalfOpen => 1.0,
            Self::Open => 2.0,
        }
    }
}

/// The state machine. It asks no clock: whoever drives it says what time it is.
#[derive(Debug)]
pub(super) struct Breaker {
    policy: BreakerPolicy,
    phase: Phase,
    era: Era,
}

/// From one change of state to the next. An attempt that began in another era says nothing about
/// this one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Era(u64);

/// What became of an attempt, as far as the breaker is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Succeeded,
    Failed,
    /// What the handler needs is away.
    Unavailable,
    /// It says nothing about anything but the record.
    Neutral,
}

#[derive(Debug)]
enum Phase {
    Closed { consecutive: u32, recent: Window },
    Open { until: Instant },
    HalfOpen { successes: u32 },
}

impl Breaker {
    pub(super) fn new(policy: BreakerPolicy) -> Self {
        Self {
            policy,
            phase: closed(),
            era: Era::default(),
        }
    }

    /// The state at a time; an open breaker is half-open once its pause is over.
    pub(super) fn state(&mut self, now: Instant) -> BreakerState {
        match self.phase {
            Phase::Closed { .. } => BreakerState::Closed,
            Phase::HalfOpen { .. } => BreakerState::HalfOpen,
            Phase::Open { until } if now < until => BreakerState::Open,
            Phase::Open { .. } => {
                self.enter(Phase::HalfOpen { successes: 0 });
                BreakerState::HalfOpen
            }
        }
    }

    /// When an open breaker is half-open.
    pub(super) fn half_open_at(&self) -> Option<Instant> {
        match self.phase {
            Phase::Open { until } => Some(until),
            Phase::Closed { .. } | Phase::HalfOpen { .. } => None,
        }
    }

    /// The era that an attempt begins in.
    pub(super) const fn era(&self) -> Era {
        self.era
    }

    /// Counts an attempt that began in `era`.
    pub(super) fn count(&mut self, outcome: Outcome, era: Era, now: Instant) {
        if era != self.era || outcome == Outcome::Neutral {
            return;
        }
        let opens = match &mut self.phase {
            Phase::Open { .. } => false,
            Phase::HalfOpen { successes } if outcome == Outcome::Succeeded => {
                *successes += 1;
                if *successes >= self.policy.successes {
                    self.enter(closed());
                }
                return;
            }
            Phase::HalfOpen { .. } => true,
            Phase::Closed {
                consecutive,
                recent,
            } => {
                let failed = outcome != Outcome::Succeeded;
                *consecutive = if failed { *consecutive + 1 } else { 0 };
                let too_many = failed && *consecutive == self.policy.consecutive;
                let ratio = self.policy.ratio;
                let share = ratio.is_some_and(|ratio| recent.count(&ratio, failed, now));
                outcome == Outcome::Unavailable || too_many || share
            }
        };
        if opens {
            let until = now + self.policy.pause;
            self.enter(Phase::Open { until });
        }
    }

    fn enter(&mut self, phase: Phase) {
        self.phase = phase;
        self.era.0 += 1;
    }
}

const fn closed() -> Phase {
    Phase::Closed {
        consecutive: 0,
        recent: Window(VecDeque::new()),
    }
}

/// The recent attempts, counted in tenths of the window.
#[derive(Debug)]
struct Window(VecDeque<Slot>);

#[derive(Debug)]
struct Slot {
    begun: Instant,
    attempts: u32,
    failed: u32,
}

impl Window {
    /// Adds an attempt, and says whether too many failed.
    fn count(&mut self, ratio: &FailureRatio, failed: bool, now: Instant) -> bool {
        let slots = &mut self.0;
        while slots
            .front()
            .is_some_and(|slot| now.duration_since(slot.begun) >= ratio.window)
        {
            slots.pop_front();
        }
        if slots
            .back()
            .is_none_or(|slot| now.duration_since(slot.begun) >= ratio.window / 10)
        {
            slots.push_back(Slot {
                begun: now,
                attempts: 0,
                failed: 0,
            });
        }
        if let Some(slot) = slots.back_mut() {
            slot.attempts += 1;
            slot.failed += u32::from(failed);
        }
        let attempts = slots.iter().map(|slot| slot.attempts).sum::<u32>();
        let failures = slots.iter().map(|slot| slot.failed).sum::<u32>();
        failed
            && attempts >= ratio.least
            && f64::from(failures) >= ratio.failed * f64::from(attempts)
    }
}

#[cfg(test)]
mod tests;
