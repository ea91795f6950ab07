//! From appended to safe.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

use rand::SeedableRng;
use rand::rngs::SmallRng;
use tokio::time::timeout;

use super::Plan;
use super::sample::{becomes, channel, commit, event, everything};
use crate::history::HistoryStore;
use crate::testing::promise;

/// Tickets never fall, nor does what is safe; everything becomes safe, whether or not somebody waits
/// for it, and whoever stops waiting takes nothing from the others.
///
/// # Panics
/// With the promise that the store breaks.
pub async fn check_committing<S: HistoryStore>(fresh: &impl AsyncFn() -> S, plan: &Plan) {
    let store = fresh().await;
    let mut random = SmallRng::seed_from_u64(plan.seed);
    let mut last = None;
    let (mut ticket, mut safe) = (0, store.safe());
    for number in 0..plan.events {
        let channel = channel(number as u32 % plan.channels);
        let appended = store.append(event(&channel, &mut random), &everything());
        promise!(
            appended.ticket >= ticket,
            "tickets never fall",
            "{} after {ticket}",
            appended.ticket
        );
        ticket = appended.ticket;
        let now = store.safe();
        promise!(
            now >= safe,
            "what is safe stays safe",
            "`safe()` {now} after {safe}"
        );
        safe = now;
        if number % 3 == 0 {
            let mut waiting = pin!(store.committed(ticket));
            // Asked once, and given up.
            poll_fn(|context| {
                let _ = waiting.as_mut().poll(context);
                Poll::Ready(())
            })
            .await;
        }
        if number % 10 == 0 {
            commit(&store, &appended, plan).await;
        }
        last = Some(appended);
    }
    promise!(
        becomes(plan.patience, async || store.safe() >= ticket).await,
        "everything that was appended becomes safe in the end, though nobody waits for it",
        "`safe()` is {} where {ticket} was the last ticket",
        store.safe()
    );
    if let Some(last) = last {
        commit(&store, &last, plan).await;
    }
    promise!(
        store.is_up(),
        "a store that did not fail is up",
        "`is_up()` is false"
    );
}

/// `close` makes everything safe.
///
/// # Panics
/// With the promise that the store breaks.
pub async fn check_closing<S: HistoryStore>(fresh: &impl AsyncFn() -> S, plan: &Plan) {
    let store = fresh().await;
    let mut random = SmallRng::seed_from_u64(plan.seed);
    let mut ticket = 0;
    for number in 0..plan.events {
        let channel = channel(number as u32 % plan.channels);
        ticket = store
            .append(event(&channel, &mut random), &everything())
            .ticket;
    }
    promise!(
        timeout(plan.patience, store.close()).await.is_ok(),
        "`close` ends",
        "it was not resolved after {:?}",
        plan.patience
    );
    promise!(
        store.safe() >= ticket,
        "`close` makes everything safe",
        "`safe()` is {} where {ticket} was the last ticket",
        store.safe()
    );
    let committed = timeout(plan.patience, store.committed(ticket)).await;
    promise!(
        matches!(committed, Ok(Ok(()))),
        "what became safe by `close` is committed",
        "{committed:?}"
    );
}
