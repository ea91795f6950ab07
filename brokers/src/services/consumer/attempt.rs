//! One attempt: the handler at work on a record, and what becomes of the record after it.

use std::any::Any;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::{Duration, SystemTime};

use fanfare::BrokerError;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use super::RetryFor;
use super::breaker::{Breaker, BreakerState, Era, Outcome};
use super::handler::{Handler, HandlerError, HandlerErrorKind, Work};
use super::metrics::Metrics;
use super::run::{Phase, reached};
use crate::services::engine::{Delivery, Failure};

/// How much of a reason is kept.
const REASON_BYTES: usize = 1_000;
/// A record whose settling failed comes again, at once as a rule. The pause keeps a consumer from
/// spinning around it.
const AFTER_UNSETTLED: Duration = Duration::from_millis(200);

/// What the attempts of a consumer share.
pub(super) struct Shared<H> {
    pub(super) handler: H,
    pub(super) retry: Arc<RetryFor>,
    pub(super) metrics: Metrics,
    breaker: Mutex<Breaker>,
    state: watch::Sender<BreakerState>,
}

impl<H> Shared<H> {
    pub(super) fn new(
        handler: H,
        retry: Arc<RetryFor>,
        metrics: Metrics,
        breaker: Breaker,
        state: watch::Sender<BreakerState>,
    ) -> Self {
        Self {
            handler,
            retry,
            metrics,
            breaker: Mutex::new(breaker),
            state,
        }
    }

    /// Asks or tells the breaker something, and publishes the state that it is in after that.
    pub(super) fn breaker<T>(&self, act: impl FnOnce(&mut Breaker) -> T) -> (BreakerState, T) {
        let mut breaker = self.breaker.lock().unwrap_or_else(PoisonError::into_inner);
        let answer = act(&mut breaker);
        let state = breaker.state(Instant::now());
        self.state.send_if_modified(|published| {
            let changes = *published != state;
            *published = state;
            changes
        });
        self.metrics.breaker(state);
        (state, answer)
    }
}

/// Runs the handler on a delivery and settles it. Returns the record's key.
pub(super) async fn attempt<H: Handler>(
    shared: Arc<Shared<H>>,
    delivery: Delivery,
    era: Era,
    mut phase: watch::Receiver<Phase>,
) -> String {
    let Delivery {
        record,
        failures,
        settle,
    } = delivery;
    let (key, id) = (record.key.clone(), record.id.clone());
    let retry = (shared.retry)(&record);
    let attempt = u32::try_from(failures.len()).map_or(u32::MAX, |failed| failed.saturating_add(1));
    let handled = tokio::select! {
        biased;
        handled = caught(|| shared.handler.handle(Work { record, attempt })) => handled,
        () = reached(&mut phase, Phase::Aborting) => {
            report(&id, settle.release().await);
            return key;
        }
    };
    let outcome = match &handled {
        Ok(()) => Outcome::Succeeded,
        Err(error) => match error.kind() {
            HandlerErrorKind::Retryable => Outcome::Failed,
            HandlerErrorKind::Permanent => Outcome::Neutral,
            HandlerErrorKind::Unavailable => Outcome::Unavailable,
        },
    };
    shared.breaker(|breaker| breaker.count(outcome, era, Instant::now()));
    let metrics = &shared.metrics;
    let settled = match handled {
        Ok(()) => {
            let settled = settle.done().await;
            metrics.processed.increment(u64::from(settled.is_ok()));
            settled
        }
        Err(error) if error.kind() == HandlerErrorKind::Unavailable => {
            tracing::warn!(record = id, reason = error.reason(), "handed back");
            settle.release().await
        }
        Err(error) => {
            metrics.failed.increment(1);
            let failure = Failure::new(SystemTime::now(), &error.reason());
            let pause = (error.kind() == HandlerErrorKind::Retryable)
                .then(|| retry.pause(failures.len() + 1))
                .flatten();
            if let Some(pause) = pause {
                tracing::debug!(record = id, attempt, reason = failure.reason, "failed");
                let settled = settle.retry(pause, failure).await;
                metrics.retried.increment(u64::from(settled.is_ok()));
                settled
            } else {
                tracing::warn!(record = id, attempt, reason = failure.reason, "given up");
                let settled = settle.give_up(failure).await;
                metrics.dead_lettered.increment(u64::from(settled.is_ok()));
                settled
            }
        }
    };
    if report(&id, settled) {
        tokio::select! {
            () = sleep(AFTER_UNSETTLED) => {}
            () = reached(&mut phase, Phase::Stopping) => {}
        }
    }
    key
}

/// Logs that a record could not be settled, and says whether that is so.
pub(super) fn report(id: &str, settled: Result<(), BrokerError>) -> bool {
    let Err(error) = settled else { return false };
    let cause = std::error::Error::source(&error).map(ToString::to_string);
    tracing::warn!(record = id, %error, cause, "not settled, so it comes again");
    true
}

/// What a handler says, or its panic as an error.
async fn caught<W>(handle: impl FnOnce() -> W) -> Result<(), HandlerError>
where
    W: Future<Output = Result<(), HandlerError>>,
{
    // A panic leaves nothing behind that anybody looks at: the future is dropped unpolled, and a
    // handler is shared by reference, so that what it keeps is behind locks of its own.
    let handling = match catch_unwind(AssertUnwindSafe(handle)) {
        Ok(handling) => handling,
        Err(panic) => return Err(panicked(&*panic)),
    };
    let mut handling = pin!(handling);
    poll_fn(move |context| {
        match catch_unwind(AssertUnwindSafe(|| handling.as_mut().poll(context))) {
            Ok(handled) => handled,
            Err(panic) => Poll::Ready(Err(panicked(&*panic))),
        }
    })
    .await
}

fn panicked(panic: &(dyn Any + Send)) -> HandlerError {
    let message = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("without a message");
    HandlerError::retryable(format!("the handler panicked: {message}"))
}

impl Failure {
    /// A failure whose reason is cut to the bytes that are kept.
    pub(crate) fn new(at: SystemTime, reason: &str) -> Self {
        let mut end = reason.len().min(REASON_BYTES);
        while !reason.is_char_boundary(end) {
            end -= 1;
        }
        Self {
            at,
            reason: reason[..end].to_owned(),
        }
    }
}
