//! Reading a topic as a group: concurrency, retries, dead letters, a circuit breaker.

mod attempt;
mod breaker;
mod handler;
mod in_hand;
mod metrics;
mod retry;
mod run;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use fanfare::BrokerError;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::Instant;

use self::attempt::Shared;
use self::breaker::Breaker;
pub use self::breaker::{BreakerPolicy, BreakerState, FailureRatio};
pub use self::handler::{Handler, HandlerError, HandlerErrorKind, Work};
use self::in_hand::InHand;
use self::metrics::Metrics;
pub use self::retry::RetryPolicy;
use self::run::{Phase, Run};
use super::engine::{Engine, Record, Subscription};

/// The retry policy of a record.
type RetryFor = dyn Fn(&Record) -> RetryPolicy + Send + Sync;

/// Works off the records of a topic for a group, by the same rules on every engine.
///
/// - **At least once.** A record is settled after its handler returned. Where the broker does not
///   hear of it, the record comes again, and the handler sees it twice; [`Record::id`] tells.
/// - **Order.** Records of one key are handled one after the other, in the order in which they come,
///   while other keys go on. One that failed comes again later, behind its successors. Records
///   without a key have no order.
/// - **Retries** wait in the broker, not here: they survive this process, and nothing waits behind
///   them. What fails too often, or [permanently](HandlerError::permanent), is a dead letter with
///   the history of its attempts; see [`DeadLetters`](super::DeadLetters).
/// - **The circuit breaker** stops taking records while what the handler needs is away, and lets
///   single ones try after a pause. What is in hand and not begun is given back, and has not failed.
///   The server may have handed over up to the prefetch more; they wait.
///
/// Metrics, with labels `topic` and `group`: `fanfare_consumer_processed_total`, `…_failed_total`
/// (attempts), `…_retried_total`, `…_dead_lettered_total`, `fanfare_consumer_breaker` (0 closed,
/// 1 half-open, 2 open), `fanfare_broker_lag` (every 5 s, where the engine knows it).
///
/// ```no_run
/// # use std::sync::Arc;
/// # use std::time::Duration;
/// use fanfare_brokers::services::{Consumer, Engine, HandlerError, RetryPolicy, Subscription, Work};
///
/// # async fn example(engine: Arc<dyn Engine>) -> Result<(), fanfare::BrokerError> {
/// let subscription = Subscription {
///     topic: "quest_events".into(),
///     group: "quest_events".into(),
///     prefetch: 100,
/// };
/// let running = Consumer::new(engine, subscription, async |work: Work| {
///     println!("{} for the {}. time", work.record.id, work.attempt);
///     Ok::<_, HandlerError>(())
/// })
/// .concurrency(8)
/// .retry(RetryPolicy::attempts(3, Duration::from_secs(1)))
/// .start()
/// .await?;
/// // ...
/// running.stop().await;
/// # Ok(())
/// # }
/// ```
pub struct Consumer<H> {
    engine: Arc<dyn Engine>,
    subscription: Subscription,
    handler: H,
    concurrency: usize,
    retry: Arc<RetryFor>,
    breaker: BreakerPolicy,
    grace: Duration,
}

impl<H: Handler> Consumer<H> {
    /// A consumer that does not run yet.
    pub fn new(engine: Arc<dyn Engine>, subscription: Subscription, handler: H) -> Self {
        Self {
            engine,
            subscription,
            handler,
            concurrency: 8,
            retry: Arc::new(|_| RetryPolicy::default()),
            breaker: BreakerPolicy::default(),
            grace: Duration::from_secs(30),
        }
    }

    /// How many records handlers work on at a time; default 8, at least 1. The subscription's
    /// prefetch bounds it as well.
    #[must_use]
    pub fn concurrency(mut self, concurrency: usize) -> Self {
        self.concurrency = concurrency.max(1);
        self
    }

    /// How often records are tried; default [`RetryPolicy::default`].
    #[must_use]
    pub fn retry(self, policy: RetryPolicy) -> Self {
        self.retry_for(move |_| policy)
    }

    /// How often records are tried, where that is not the same for all of them: by their event's
    /// priority, for instance. Asked before each attempt.
    #[must_use]
    pub fn retry_for(
        mut self,
        policy: impl Fn(&Record) -> RetryPolicy + Send + Sync + 'static,
    ) -> Self {
        self.retry = Arc::new(policy);
        self
    }

    /// When to stop taking records; default [`BreakerPolicy::default`].
    #[must_use]
    pub fn breaker(mut self, policy: BreakerPolicy) -> Self {
        self.breaker = policy;
        self
    }

    /// How long handlers may take to finish once the consumer is stopped; default 30 s. Those that
    /// take longer are dropped, and their records given back.
    #[must_use]
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// Opens the subscription and begins to work, on tasks of the runtime that this is called in.
    /// Goes on by itself after a loss of connection.
    ///
    /// # Errors
    /// [`BrokerError`] where the server is away now, or does not let the group read.
    pub async fn start(self) -> Result<Running, BrokerError> {
        let source = self.engine.open(&self.subscription).await?;
        let (state, breaker) = watch::channel(BreakerState::Closed);
        let (phase, _) = watch::channel(Phase::Running);
        let (stop, stopping) = watch::channel(Phase::Running);
        let shared = Shared::new(
            self.handler,
            self.retry,
            Metrics::new(&self.subscription),
            Breaker::new(self.breaker),
            state,
        );
        let run = Run {
            shared: Arc::new(shared),
            source,
            phase,
            breaker: breaker.clone(),
            concurrency: self.concurrency,
            prefetch: usize::from(self.subscription.prefetch).max(1),
            grace: self.grace,
            in_hand: InHand::default(),
            attempts: JoinSet::new(),
            not_before: Instant::now(),
        };
        // Dropped before its consumer has ended, an engine would take the connection along.
        let engine = self.engine;
        let task = tokio::spawn(Box::pin(async move {
            run.run(stopping).await;
            drop(engine);
        }));
        Ok(Running {
            stop,
            breaker,
            task,
        })
    }
}

impl<H> fmt::Debug for Consumer<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Consumer")
            .field("engine", &self.engine)
            .field("subscription", &self.subscription)
            .field("concurrency", &self.concurrency)
            .field("breaker", &self.breaker)
            .field("grace", &self.grace)
            .finish_non_exhaustive()
    }
}

/// A consumer at work. Dropping it stops the consumer as [`stop`](Self::stop) does, with nobody
/// waiting for the end.
#[derive(Debug)]
pub struct Running {
    stop: watch::Sender<Phase>,
    breaker: watch::Receiver<BreakerState>,
    task: JoinHandle<()>,
}

impl Running {
    /// What the circuit breaker does now.
    #[must_use]
    pub fn breaker(&self) -> BreakerState {
        *self.breaker.borrow()
    }

    /// Stops: takes no more, lets handlers finish what they have in hand within the
    /// [grace](Consumer::grace), settles it, and gives back the rest. When this returns, whatever was
    /// acknowledged is so in the broker, and whatever was not comes again to another consumer.
    ///
    /// Dropping the future does not stop the stopping.
    pub async fn stop(self) {
        self.stop.send_replace(Phase::Stopping);
        // An error would be a panic of the loop, which has been logged and has ended it.
        let _ = self.task.await;
    }
}
