use proptest::prelude::*;

use super::*;

const POLICY: BreakerPolicy = BreakerPolicy {
    consecutive: 3,
    ratio: None,
    pause: Duration::from_secs(10),
    successes: 2,
};

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn count(breaker: &mut Breaker, outcomes: &[Outcome], now: Instant) {
    for outcome in outcomes {
        let era = breaker.era();
        breaker.count(*outcome, era, now);
    }
}

use Outcome::{Failed, Neutral, Succeeded, Unavailable};

#[test]
fn failures_in_a_row_open_it() {
    let (mut breaker, now) = (Breaker::new(POLICY), Instant::now());
    count(
        &mut breaker,
        &[Failed, Failed, Succeeded, Failed, Failed],
        now,
    );
    assert_eq!(breaker.state(now), BreakerState::Closed);
    count(&mut breaker, &[Neutral, Failed], now);
    assert_eq!(breaker.state(now), BreakerState::Open);
    assert_eq!(breaker.half_open_at(), Some(now + seconds(10)));
}

#[test]
fn a_pause_leads_to_single_attempts_and_successes_close_it() {
    let (mut breaker, now) = (Breaker::new(POLICY), Instant::now());
    count(&mut breaker, &[Failed; 3], now);
    assert_eq!(breaker.state(now + seconds(9)), BreakerState::Open);
    let later = now + seconds(10);
    assert_eq!(breaker.state(later), BreakerState::HalfOpen);
    count(&mut breaker, &[Succeeded, Neutral], later);
    assert_eq!(breaker.state(later), BreakerState::HalfOpen);
    count(&mut breaker, &[Succeeded], later);
    assert_eq!(breaker.state(later), BreakerState::Closed);
    // What failed before the pause is forgotten.
    count(&mut breaker, &[Failed, Failed], later);
    assert_eq!(breaker.state(later), BreakerState::Closed);
}

#[test]
fn a_failure_while_half_open_opens_it_again() {
    let (mut breaker, now) = (Breaker::new(POLICY), Instant::now());
    count(&mut breaker, &[Failed; 3], now);
    let later = now + seconds(10);
    assert_eq!(breaker.state(later), BreakerState::HalfOpen);
    count(&mut breaker, &[Succeeded, Failed], later);
    assert_eq!(breaker.state(later + seconds(9)), BreakerState::Open);
    assert_eq!(breaker.state(later + seconds(10)), BreakerState::HalfOpen);
}

#[test]
fn stragglers_of_another_era_do_not_count() {
    let (mut breaker, now) = (Breaker::new(POLICY), Instant::now());
    let straggler = breaker.era();
    count(&mut breaker, &[Failed; 3], now);
    let later = now + seconds(10);
    assert_eq!(breaker.state(later), BreakerState::HalfOpen);
    breaker.count(Succeeded, straggler, later);
    breaker.count(Succeeded, straggler, later);
    breaker.count(Failed, straggler, later);
    assert_eq!(breaker.state(later), BreakerState::HalfOpen);
}

#[test]
fn unavailable_opens_it_at_once() {
    let (mut breaker, now) = (Breaker::new(BreakerPolicy::NEVER), Instant::now());
    count(&mut breaker, &[Failed; 100], now);
    assert_eq!(breaker.state(now), BreakerState::Closed);
    count(&mut breaker, &[Unavailable], now);
    assert_eq!(breaker.state(now), BreakerState::Open);
}

#[test]
fn a_share_of_failures_within_the_window_opens_it() {
    let ratio = FailureRatio {
        failed: 0.5,
        least: 10,
        window: seconds(10),
    };
    let policy = BreakerPolicy {
        consecutive: 0,
        ratio: Some(ratio),
        ..POLICY
    };
    let (mut breaker, start) = (Breaker::new(policy), Instant::now());
    count(&mut breaker, &[Succeeded, Failed, Succeeded, Failed], start);
    assert_eq!(breaker.state(start), BreakerState::Closed, "too few to say");
    // Out of the window again: eight more successes keep the share low.
    let later = start + seconds(11);
    count(&mut breaker, &[Succeeded; 8], later);
    count(&mut breaker, &[Failed; 7], later);
    assert_eq!(breaker.state(later), BreakerState::Closed, "7 of 15");
    count(&mut breaker, &[Failed], later);
    assert_eq!(breaker.state(later), BreakerState::Open, "8 of 16");
}

proptest! {
    /// Whatever happens: it opens only by a failure, is never open for longer than its pause, and
    /// nothing but successes closes it.
    #[test]
    fn it_keeps_its_rules(
        steps in prop::collection::vec((0u64..4_000, 0usize..4, any::<bool>()), 1..200),
        consecutive in 0u32..5,
        successes in 1u32..4,
    ) {
        let policy = BreakerPolicy { consecutive, successes, ..POLICY };
        let mut breaker = Breaker::new(policy);
        let mut now = Instant::now();
        let mut opened = None;
        let mut era = breaker.era();
        for (wait, outcome, straggles) in steps {
            now += Duration::from_millis(wait);
            let before = breaker.state(now);
            if let (BreakerState::Open, Some(opened)) = (before, opened) {
                prop_assert!(now < opened + policy.pause);
            }
            let outcome = [Succeeded, Failed, Unavailable, Neutral][outcome];
            let of_now = breaker.era();
            let counted = if straggles { era } else { of_now };
            breaker.count(outcome, counted, now);
            era = of_now;
            let after = breaker.state(now);
            match (before, after) {
                (BreakerState::Closed | BreakerState::HalfOpen, BreakerState::Open) => {
                    prop_assert!(matches!(outcome, Failed | Unavailable));
                    prop_assert!(outcome == Unavailable || consecutive > 0 || before == BreakerState::HalfOpen);
                    prop_assert_eq!(counted, of_now);
                    opened = Some(now);
                }
                (BreakerState::HalfOpen, BreakerState::Closed) => prop_assert_eq!(outcome, Succeeded),
                _ => prop_assert_eq!(before, after),
            }
        }
    }
}
