//! The channels that the broker is asked for, one request after the other.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, oneshot};
use tokio::task::AbortHandle;
use tokio::time::timeout;
use tracing::warn;

use crate::broker::{Broker, BrokerError, BrokerErrorKind};
use crate::channel::Channel;
use crate::sync::Mutex;

/// How long a client waits for its channel.
const PATIENCE: Duration = Duration::from_secs(10);

/// Subscribes and unsubscribes at the broker. Requests that come while one is under way become the
/// next one together; a channel's keep their order, so that a late unsubscribe cannot undo a newer
/// subscribe.
#[derive(Debug)]
pub(super) struct Interest {
    shared: Arc<Shared>,
    task: AbortHandle,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    more: Notify,
}

#[derive(Debug, Default)]
struct State {
    here: HashSet<Channel>,
    wanted: HashMap<Channel, Vec<Waiter>>,
    unwanted: HashSet<Channel>,
}

type Waiter = oneshot::Sender<Result<(), Arc<BrokerError>>>;

impl Interest {
    pub(super) fn start(broker: Arc<dyn Broker>) -> Self {
        let shared = Arc::<Shared>::default();
        let task = tokio::spawn(run(shared.clone(), broker)).abort_handle();
        Self { shared, task }
    }

    /// Resolves once the broker delivers the channel. Cancel safe.
    pub(super) async fn want(&self, channel: &Channel) -> Result<(), Arc<BrokerError>> {
        let outcome = {
            let mut state = self.shared.state.lock();
            if state.here.contains(channel) && !state.unwanted.contains(channel) {
                return Ok(());
            }
            let (waiter, outcome) = oneshot::channel();
            state
                .wanted
                .entry(channel.clone())
                .or_default()
                .push(waiter);
            outcome
        };
        self.shared.more.notify_one();
        let error = |text| Arc::new(BrokerError::new(BrokerErrorKind::Unavailable, text));
        match timeout(PATIENCE, outcome).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) => Err(error("the node has ended")),
            Err(_) => Err(error("the broker does not answer")),
        }
    }

    /// Gives channels up, unless somebody asks for them right now.
    pub(super) fn give_up(&self, channels: impl IntoIterator<Item = Channel>) {
        let mut state = self.shared.state.lock();
        for channel in channels {
            if state.here.contains(&channel) && !state.wanted.contains_key(&channel) {
                state.unwanted.insert(channel);
            }
        }
        drop(state);
        self.shared.more.notify_one();
    }
}

impl Drop for Interest {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn run(shared: Arc<Shared>, broker: Arc<dyn Broker>) {
    loop {
        let (wanted, unwanted) = {
            let mut state = shared.state.lock();
            let unwanted = std::mem::take(&mut state.unwanted);
            for channel in &unwanted {
                state.here.remove(channel);
            }
            (std::mem::take(&mut state.wanted), unwanted)
        };
        if wanted.is_empty() && unwanted.is_empty() {
            shared.more.notified().await;
            continue;
        }
        if !unwanted.is_empty()
            && let Err(error) = broker.unsubscribe(unwanted.into_iter().collect()).await
        {
            let error = &error as &dyn std::error::Error;
            warn!(
                error,
                "could not unsubscribe from channels that nobody listens to"
            );
        }
        if wanted.is_empty() {
            continue;
        }
        let outcome = broker.subscribe(wanted.keys().cloned().collect()).await;
        let outcome = outcome.map_err(Arc::new);
        if outcome.is_ok() {
            let channels = wanted.keys().cloned();
            shared.state.lock().here.extend(channels);
        }
        for waiter in wanted.into_values().flatten() {
            // Who has gone need not be told.
            let _ = waiter.send(outcome.clone());
        }
    }
}
