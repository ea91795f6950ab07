//! The one order in which everybody saw everything.

use std::collections::{HashMap, HashSet};

use fanfare_tests::Follower;

use super::audience::Member;

/// All ids in the order that everybody saw.
///
/// Everybody saw all of them, from the first to the last, but for what the server itself told them that
/// they may have missed; none twice, and none in another place.
///
/// # Panics
/// Where somebody saw something else.
pub(crate) fn common(members: &[Member]) -> Vec<u64> {
    let order = whole(members);
    let places = order.iter().zip(0..).collect::<HashMap<_, usize>>();
    assert_eq!(places.len(), order.len(), "nothing twice");
    for member in members {
        let Member {
            transport,
            home,
            leaves,
            follower,
        } = member;
        let who = format!("{transport:?} of node {home}, leaves {leaves:?}");
        let mut next = 0;
        for run in runs(follower) {
            let begin = places[&run[0]];
            assert!(begin >= next, "{who}: goes back to {}", run[0]);
            let expected = order[begin..].iter();
            let differs = run.iter().zip(expected).position(|(a, b)| a != b);
            if let Some(at) = differs {
                let around = at.saturating_sub(3)..(at + 4).min(run.len());
                panic!(
                    "{who} saw {:?}, where the order is {:?}",
                    &run[around.clone()],
                    &order[begin + around.start..begin + around.end]
                );
            }
            next = begin + run.len();
        }
        assert_eq!(next, order.len(), "{who}: up to the end");
        assert_eq!(follower.seen[0], order[0], "{who}: from the beginning");
    }
    order
}

/// What one has seen, with what it missed put in as others have seen it.
fn whole(members: &[Member]) -> Vec<u64> {
    let first = runs(&members[0].follower);
    let mut order = first[0].to_vec();
    for run in &first[1..] {
        let (last, next) = (order[order.len() - 1], run[0]);
        let between = members[1..].iter().find_map(|other| {
            runs(&other.follower).into_iter().find_map(|run| {
                let last = run.iter().position(|id| *id == last)?;
                let next = run.iter().position(|id| *id == next)?;
                run.get(last + 1..next).map(<[u64]>::to_vec)
            })
        });
        let between = between.unwrap_or_else(|| panic!("nobody knows what is before {next}"));
        order.extend(between);
        order.extend_from_slice(run);
    }
    order
}

/// What a client saw, cut where it was told that something may be missing.
fn runs(follower: &Follower) -> Vec<&[u64]> {
    let mut runs = Vec::new();
    let mut begin = 0;
    for end in follower.gaps.iter().copied().chain([follower.seen.len()]) {
        runs.push(&follower.seen[begin..end]);
        begin = end;
    }
    runs.retain(|run| !run.is_empty());
    runs
}

/// How many of these are not in the order.
pub(crate) fn missing(ids: &[u64], order: &[u64]) -> usize {
    let order = order.iter().collect::<HashSet<_>>();
    ids.iter().filter(|id| !order.contains(id)).count()
}
