//! Events to keep, and what is asked of a store again and again.

use std::sync::Arc;
use std::time::Duration;

use rand::Rng;
use rand::rngs::SmallRng;
use tokio::time::{Instant, sleep, timeout};

use super::Plan;
use crate::channel::Channel;
use crate::event::{Event, Guarantee, Priority, Publication, Publisher};
use crate::history::{Appended, HistoryStore, Page, Retention};
use crate::testing::promise;

pub(super) fn channel(number: u32) -> Channel {
    Channel::new(&format!("conformance.{number}")).expect("the name is of the alphabet")
}

/// An event with a different mixture of attributes each time.
pub(super) fn event(channel: &Channel, random: &mut SmallRng) -> Event {
    let pad = random.random_range(0..300);
    let pad = (0..pad).map(|_| random.random_range(' '..='~'));
    let pad = pad.filter(|c| !matches!(c, '"' | '\\')).collect::<String>();
    let payload = match random.random_range(0..5) {
        0 => "null".to_owned(),
        1 => format!(r#"{{"price":1.50,"large":12345678901234567890,"e":1E+2,"pad":"{pad}"}}"#),
        2 => format!(r#"["\u0000\n\"\\", "é 漢字 🎺", "{pad}"]"#),
        3 => format!(r#"{{"b":1,"a":2,"b":3,"":{{}},"pad":"{pad}"}}"#),
        _ => format!(r#""{pad}""#),
    };
    let name = ["forum.comment.created", "session:status", "é", ""][random.random_range(0..4)];
    let mut event = Event::new(channel.clone(), name, payload)
        .expect("the payload is JSON")
        .with_priority(Priority::ALL[random.random_range(0..3)]);
    if random.random() {
        event = event.with_guarantee(Guarantee::BestEffort);
    }
    if random.random() {
        event = event.conflated_by(&format!("key {}", random.random_range(0..9)));
    }
    if random.random() {
        event = event.published_by(Publisher {
            user: format!("user{}", random.random_range(0..9)).into(),
            client: format!("client{}", random.random_range(0..9)).into(),
        });
    }
    event
}

/// An event whose payload has so many bytes.
pub(super) fn sized(channel: &Channel, bytes: usize) -> Event {
    let payload = format!("\"{}\"", "x".repeat(bytes.saturating_sub(2)));
    Event::new(channel.clone(), "sized", payload).expect("the payload is JSON")
}

/// A retention that keeps all that the checks append.
pub(super) fn everything() -> Retention {
    Retention {
        events: 1_000_000,
        bytes: 1 << 30,
        age: Duration::from_secs(60 * 60),
        recent: Duration::ZERO,
    }
}

/// Appends, and waits until that is safe.
pub(super) async fn keep(
    store: &impl HistoryStore,
    event: Event,
    retention: &Retention,
    plan: &Plan,
) -> Arc<Publication> {
    let appended = store.append(event, retention);
    commit(store, &appended, plan).await;
    appended.publication
}

pub(super) async fn commit(store: &impl HistoryStore, appended: &Appended, plan: &Plan) {
    let ticket = appended.ticket;
    let committed = timeout(plan.patience, store.committed(ticket)).await;
    promise!(
        committed.is_ok(),
        "everything that was appended becomes safe in the end",
        "`committed({ticket})` was not resolved after {:?}",
        plan.patience
    );
    if let Ok(Err(error)) = committed {
        let cause = std::error::Error::source(&error).map(ToString::to_string);
        promise!(
            false,
            "a store that is up commits what it took in",
            "`committed({ticket})`: {error}: {}",
            cause.unwrap_or_default()
        );
    }
    let safe = store.safe();
    promise!(
        safe >= ticket,
        "a ticket that `committed` resolved for is safe",
        "ticket {ticket} while `safe()` is {safe}"
    );
}

pub(super) async fn read(
    store: &impl HistoryStore,
    channel: &Channel,
    (after, up_to, limit): (u64, u64, usize),
    plan: &Plan,
) -> Page {
    let page = timeout(plan.patience, store.read(channel, after, up_to, limit)).await;
    match page {
        Ok(Ok(page)) => page,
        Ok(Err(error)) => {
            panic!("broken promise: a store that is up can be read\n  seen: {error:?}")
        }
        Err(_) => panic!(
            "broken promise: a read ends\n  seen: none of {channel} after {:?}",
            plan.patience
        ),
    }
}

/// All that is kept.
pub(super) async fn read_all(store: &impl HistoryStore, channel: &Channel, plan: &Plan) -> Page {
    read(store, channel, (0, u64::MAX, usize::MAX), plan).await
}

pub(super) fn offsets(page: &Page) -> Vec<u64> {
    page.publications.iter().map(|p| offset(p)).collect()
}

pub(super) fn offset(publication: &Publication) -> u64 {
    match publication.position() {
        Some(position) => position.offset,
        None => panic!(
            "broken promise: what is in history has a position\n  seen: none on an event of {}",
            publication.event().channel()
        ),
    }
}

/// Compares all that an event brought with what became of it.
pub(super) fn assert_same(kept: &Event, appended: &Event, seed: u64) {
    const WHOLE: &str = "an event comes out of history as it went in, byte for byte";
    macro_rules! same {
        ($attribute:ident) => {
            let (kept, appended) = (kept.$attribute(), appended.$attribute());
            let attribute = stringify!($attribute);
            promise!(
                kept == appended,
                WHOLE,
                "{attribute} {kept:?} in place of {appended:?} (seed {seed})"
            );
        };
    }
    same!(channel);
    same!(name);
    same!(payload);
    same!(priority);
    same!(guarantee);
    same!(conflation_key);
    same!(publisher);
}

/// Looks until it is so, and says whether that happened in time.
pub(super) async fn becomes(within: Duration, mut so: impl AsyncFnMut() -> bool) -> bool {
    let end = Instant::now() + within;
    loop {
        if so().await {
            return true;
        }
        if Instant::now() >= end {
            return false;
        }
        sleep(Duration::from_millis(10)).await;
    }
}
