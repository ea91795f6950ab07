//! One connection to a NATS server, from its beginning to its end.

use std::fmt::Write as _;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_nats::connection::State;
use async_nats::{Client, ConnectOptions, Event, Message};
use futures_util::StreamExt;
use tokio::sync::watch;
use tokio::task::AbortHandle;

use super::address::Address;

/// How long connecting to one server may take; twice that is less than what a start has.
const CONNECT: Duration = Duration::from_secs(2);
/// How often the server is asked whether it is there. It is given up with the third question after
/// the last answer.
const PING: Duration = Duration::from_millis(500);
/// How long a server may take to answer a question about a stream.
const ANSWER: Duration = Duration::from_secs(3);

/// A connection that is never renewed.
///
/// The client library reconnects by itself and then sends what waited in it: events of long ago,
/// behind the back of those who were told that they are not sent. So each connection has a client of
/// its own, which is dropped with all that waits in it.
#[derive(Debug)]
pub(in crate::fan_out) struct Session {
    pub(in crate::fan_out) client: Client,
    lost: watch::Receiver<bool>,
    listening: Mutex<Vec<AbortHandle>>,
}

/// Why there is no connection, as a sentence.
pub(in crate::fan_out) type Failure = String;

impl Session {
    pub(in crate::fan_out) async fn connect(
        address: &Address,
        name: &str,
    ) -> Result<Self, Failure> {
        let (ended, lost) = watch::channel(false);
        let mut options = ConnectOptions::new()
            .name(name)
            .connection_timeout(CONNECT)
            .ping_interval(PING)
            .request_timeout(Some(ANSWER))
            // Until the library's own attempt to reconnect fails or is found to be of no use.
            .max_reconnects(address.servers.len())
            .ignore_discovered_servers()
            .event_callback(move |event| {
                if matches!(event, Event::Disconnected | Event::Closed) {
                    ended.send_replace(true);
                }
                std::future::ready(())
            });
        options = match (&address.user, &address.password) {
            (Some(user), Some(password)) => {
                options.user_and_password(user.clone(), password.clone())
            }
            (Some(token), None) => options.token(token.clone()),
            (None, _) => options,
        };
        let servers = address
            .servers
            .iter()
            .map(|server| format!("nats://{server}"));
        let connected = Box::pin(options.connect(servers.collect::<Vec<_>>())).await;
        let client = connected
            .map_err(|error| format!("cannot connect to NATS at {address}: {}", chain(&error)))?;
        Ok(Self {
            client,
            lost,
            listening: Mutex::default(),
        })
    }

    /// Resolves when the connection is lost.
    pub(in crate::fan_out) async fn lost(&self) -> Failure {
        let mut lost = self.lost.clone();
        // An event of the client may get lost where many happen; its state does not.
        let mut looks = tokio::time::interval(PING);
        loop {
            tokio::select! {
                _ = lost.wait_for(|lost| *lost) => break,
                _ = looks.tick() => if self.client.connection_state() == State::Disconnected {
                    break;
                },
            }
        }
        "the connection to NATS is lost".to_owned()
    }

    /// Turns true, or closes, with the connection.
    pub(in crate::fan_out) fn ends(&self) -> watch::Receiver<bool> {
        self.lost.clone()
    }

    /// Hands over every message of a subject until the session is dropped, in a task of its own. The
    /// server has the subscription before it sees anything that is sent after this has resolved.
    pub(in crate::fan_out) async fn listen<F: Future<Output = ()> + Send>(
        &self,
        subject: String,
        mut take: impl FnMut(Message) -> F + Send + 'static,
    ) -> Result<AbortHandle, Failure> {
        let subscribed = self.client.subscribe(subject).await;
        let mut messages = subscribed.map_err(|error| chain(&error))?;
        let task = tokio::spawn(async move {
            while let Some(message) = messages.next().await {
                take(message).await;
            }
        });
        let mut listening = self
            .listening
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        listening.retain(|task| !task.is_finished());
        listening.push(task.abort_handle());
        Ok(task.abort_handle())
    }
}

impl Drop for Session {
    /// Subscriptions would keep the client alive, and have it reconnect.
    fn drop(&mut self) {
        let listening = self.listening.get_mut();
        for task in listening.unwrap_or_else(PoisonError::into_inner) {
            task.abort();
        }
    }
}

/// An error and all its sources, as one sentence.
pub(in crate::fan_out) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let part = error.to_string();
        // Errors of the client say their source themselves, some of the time.
        if !text.contains(&part) {
            let _ = write!(text, ": {part}");
        }
        source = error.source();
    }
    text
}
