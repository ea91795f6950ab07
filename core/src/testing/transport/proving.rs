//! Nodes to prove a transport on, and what is asked of its clients again and again.

use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use super::ledger::{Ledger, Published};
use super::{Client, Connecting, End, Plan, Received};
use crate::BoxFuture;
use crate::auth::{Action, AuthError, Authenticator, Authorizer, Handshake, Identity};
use crate::channel::Channel;
use crate::config::Config;
use crate::error::Error;
use crate::event::Event;
use crate::node::Node;
use crate::testing::promise;

/// Lets everyone in who brings a token, which is the user's id, and everywhere.
#[derive(Debug)]
struct Everyone;

impl Authenticator for Everyone {
    fn authenticate<'a>(
        &'a self,
        token: Option<&'a str>,
        _handshake: &'a Handshake,
    ) -> BoxFuture<'a, Result<Identity, AuthError>> {
        let identity = token.ok_or(AuthError::Missing).and_then(Identity::new);
        Box::pin(std::future::ready(identity))
    }
}

impl Authorizer for Everyone {
    fn authorize<'a>(
        &'a self,
        _identity: &'a Identity,
        _action: Action<'a>,
    ) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(std::future::ready(Ok(())))
    }
}

/// Numbers under which nothing that a check publishes is given up.
pub(super) fn config() -> Config {
    let mut config = Config::default();
    config.limits.connections_per_user = 100;
    config.history.events = 1_000_000;
    config.history.bytes = 1 << 30;
    config.buffers.outbox = 16 << 20;
    config
}

/// A node that is served.
pub(super) struct Proving<C: Client> {
    pub(super) node: Node,
    pub(super) server: C::Server,
    plan: Plan,
}

impl<C: Client> Proving<C> {
    pub(super) async fn with(config: Config, plan: &Plan) -> Self {
        let node = Node::builder()
            .config(config)
            .authenticator(Everyone)
            .authorizer(Everyone)
            .start()
            .await
            .expect("a node in memory starts");
        Self {
            server: C::serve(node.clone()).await,
            node,
            plan: plan.clone(),
        }
    }

    pub(super) async fn publish(&self, event: Event) {
        if let Err(error) = self.node.publish(event).await {
            panic!("the node of the check refuses an event: {error}");
        }
    }

    /// Publishes an event that leaves at once, and waits until it has: whoever connects afterwards
    /// finds it in history alone.
    pub(super) async fn publish_and_flush(&self, event: Event) {
        let channel = event.channel().clone();
        let published = self.node.publish(event).await;
        let Ok(Some(position)) = published.map(|published| published.position) else {
            panic!("the node of the check refuses an event");
        };
        let flushed = async {
            loop {
                match self.node.history(&channel, None, 0, false).await {
                    Ok((_, shown)) if shown.offset >= position.offset => return,
                    _ => sleep(Duration::from_millis(5)).await,
                }
            }
        };
        if timeout(self.plan.patience, flushed).await.is_err() {
            panic!("the node of the check does not flush");
        }
    }

    pub(super) async fn publish_all(&self, events: Vec<Event>) {
        if let Err(error) = self.node.publish_all(events).await {
            panic!("the node of the check refuses events: {error}");
        }
    }

    /// Connects, which must succeed.
    pub(super) async fn connect(&self, channels: &[Channel], resume: Option<&C::Resume>) -> C {
        let connecting = Connecting {
            token: "conformance",
            channels,
            resume,
        };
        let connected = timeout(self.plan.patience, C::connect(&self.server, connecting)).await;
        let client = match connected {
            Ok(Ok(client)) => client,
            Ok(Err(end)) => {
                panic!("broken promise: a client that may connect is let in\n  seen: {end:?}")
            }
            Err(_) => panic!(
                "broken promise: connecting ends\n  seen: nothing after {:?}",
                self.plan.patience
            ),
        };
        promise!(
            client.resume().is_some() || !C::capabilities().resume,
            "a client that has just connected knows from where it would resume",
            "nothing, after connecting to {channels:?} from {resume:?}"
        );
        client
    }

    /// Waits until nobody is left.
    pub(super) async fn is_left(&self) {
        let end = Instant::now() + self.plan.patience;
        while self.node.sessions() > 0 || self.node.connections() > 0 {
            promise!(
                Instant::now() < end,
                "the session of a client that is gone ends",
                "{} sessions and {} connections after {:?}",
                self.node.sessions(),
                self.node.connections(),
                self.plan.patience
            );
            sleep(Duration::from_millis(5)).await;
        }
    }
}

/// The next event, which must come.
pub(super) async fn next<C: Client>(client: &mut C, within: Duration) -> Received {
    match timeout(within, client.next()).await {
        Ok(Ok(received)) => received,
        Ok(Err(end)) => panic!(
            "broken promise: a connection that keeps up goes on until it is cut\n  seen: its end \
             ({end:?})"
        ),
        Err(_) => {
            panic!("broken promise: every event arrives, in time\n  seen: nothing after {within:?}")
        }
    }
}

/// Reads until everything has come.
pub(super) async fn read_all<C: Client>(
    client: &mut C,
    ledger: &mut Ledger,
    published: &Published,
    plan: &Plan,
) {
    while !ledger.has_all(published) {
        ledger.take(&next(client, plan.patience).await);
    }
}

/// Nothing comes any more.
pub(super) async fn is_quiet<C: Client>(client: &mut C, ledger: &mut Ledger) {
    match timeout(Duration::from_millis(150), client.next()).await {
        Err(_) => {}
        Ok(Ok(received)) => {
            ledger.take(&received);
            panic!("broken promise: nothing arrives that was not published\n  seen: {received:?}");
        }
        Ok(Err(end)) => promise!(
            false,
            "an idle connection goes on",
            "its end ({end:?}) after the last event"
        ),
    }
}

/// Waits for a task, and fails as it did.
pub(super) async fn join<T>(task: JoinHandle<T>) -> T {
    match task.await {
        Ok(value) => value,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(error) => panic!("a task of the check ended: {error}"),
        },
    }
}

/// The end of a connection, after what may come before.
pub(super) async fn end<C: Client>(client: &mut C, ledger: &mut Ledger, plan: &Plan) -> End {
    loop {
        match timeout(plan.patience, client.next()).await {
            Ok(Ok(received)) => ledger.take(&received),
            Ok(Err(end)) => return end,
            Err(_) => panic!(
                "broken promise: a connection that the node ends ends at its client too\n  seen: \
                 nothing after {:?}",
                plan.patience
            ),
        }
    }
}
