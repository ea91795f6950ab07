//! One connection to a NATS server, and the streams on it.

use std::time::Duration;

use async_nats::connection::State;
use async_nats::jetstream::context::{ContextBuilder, GetStreamErrorKind, PublishErrorKind};
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::stream::{self, DiscardPolicy, RetentionPolicy, StorageType, Stream};
use async_nats::jetstream::{AckKind, Context, ErrorCode};
use async_nats::{Client, ConnectErrorKind, ConnectOptions, Event, Request, ServerAddr};
use fanfare::broker::{BrokerError, BrokerErrorKind};
use tokio::sync::watch;
use tokio::time::{Instant, timeout, timeout_at};

use super::Config;
use crate::services::headers::{refused, unavailable};

/// How long the server may take for anything.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// Two pings without an answer are a lost connection: a server that hangs is noticed in 3 s.
const PING: Duration = Duration::from_secs(1);

/// Acknowledgements of publishes that may be on their way.
pub(super) const MOST_WRITES: usize = 4_096;

/// The server drops a record that it got before within this time.
const DUPLICATES: Duration = Duration::from_secs(120);

pub(super) struct Connection {
    client: Client,
    pub(super) context: Context,
    pub(super) config: Config,
    /// How often it came up, and whether it is up.
    state: watch::Receiver<(u64, bool)>,
    place: String,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection")
            .field("place", &self.place)
            .field("up", &self.is_up())
            .finish_non_exhaustive()
    }
}

impl Connection {
    pub(super) async fn new(url: &str, config: Config) -> Result<Self, BrokerError> {
        check_config(&config)?;
        let address = address(url)?;
        let place = format!("{}:{}", address.host(), address.port());
        let (sender, state) = watch::channel((0, true));
        let options = ConnectOptions::new()
            .name("fanfare services")
            .connection_timeout(PATIENCE)
            .request_timeout(Some(PATIENCE))
            .ping_interval(PING)
            .client_capacity(MOST_WRITES)
            // A tenth of a second, then twice as long up to 2 s, and up to half as much again, so
            // that the clients of a server that restarts do not all come at once.
            .reconnect_delay_callback(|attempt| {
                let base = 100u64 << attempt.clamp(1, 6).saturating_sub(1);
                let base = base.min(2_000);
                Duration::from_millis(base + rand::random_range(0..=base / 2))
            })
            .event_callback(move |event| {
                note(&sender, &event);
                std::future::ready(())
            });
        let connected = Box::pin(options.connect(address));
        let client = match timeout(PATIENCE, connected).await {
            Ok(Ok(client)) => client,
            Ok(Err(error)) => return Err(not_connected(&place, &error)),
            Err(_) => {
                return Err(unavailable(format!(
                    "no answer from NATS at {place} in 5 s"
                )));
            }
        };
        let version = client.server_info().version;
        if !client.is_server_compatible(2, 10, 0) {
            return Err(refused(format!(
                "the NATS server at {place} is version {version}; 2.10 or newer is needed"
            )));
        }
        let context = ContextBuilder::new()
            .timeout(PATIENCE)
            .ack_timeout(PATIENCE)
            .max_ack_inflight(MOST_WRITES)
            .build(client.clone());
        let connection = Self {
            client,
            context,
            config,
            state,
            place,
        };
        Box::pin(connection.prepare()).await?;
        Ok(connection)
    }

    /// Creates the streams that are missing.
    pub(super) async fn prepare(&self) -> Result<(), BrokerError> {
        let Config {
            prefix,
            max_age,
            max_bytes,
            ..
        } = &self.config;
        let age = Some(*max_age);
        let streams = [
            (self.records(), format!("{prefix}.>"), age, *max_bytes, -1),
            (self.dead(), format!("{prefix}_dead.>"), None, None, -1),
            // Written after the record, so what is kept as long as records are outlives it.
            (
                self.failures(),
                format!("{prefix}_failures.>"),
                age,
                None,
                1,
            ),
        ];
        for (name, subject, age, bytes, per_subject) in streams {
            Box::pin(self.stream(name, subject, age, bytes, per_subject)).await?;
        }
        Ok(())
    }

    pub(super) fn records(&self) -> String {
        self.config.stream.clone()
    }

    pub(super) fn dead(&self) -> String {
        format!("{}_DEAD", self.config.stream)
    }

    pub(super) fn failures(&self) -> String {
        format!("{}_FAILURES", self.config.stream)
    }

    /// A stream to ask, without asking for it first.
    pub(super) async fn open_stream(&self, name: &str) -> Result<Stream<()>, BrokerError> {
        self.check()?;
        let stream = self.context.get_stream_no_info(name).await;
        stream.map_err(|error| BrokerError::new(BrokerErrorKind::Rejected, error))
    }

    pub(super) fn is_up(&self) -> bool {
        self.client.connection_state() == State::Connected
    }

    /// Refuses at once while the server is away: the client would keep what it is given for later.
    pub(super) fn check(&self) -> Result<(), BrokerError> {
        if self.is_up() {
            return Ok(());
        }
        Err(self.away())
    }

    fn away(&self) -> BrokerError {
        unavailable(format!("NATS at {} is away", self.place))
    }

    /// Changes when the connection is lost and when it comes up again.
    pub(super) fn watch(&self) -> watch::Receiver<(u64, bool)> {
        self.state.clone()
    }

    pub(super) const fn client(&self) -> &Client {
        &self.client
    }

    /// Resolves once the connection is lost.
    pub(super) async fn gone(&self) -> BrokerError {
        let mut state = self.state.clone();
        let lost = state.wait_for(|(_, up)| !up).await.map(drop);
        if lost.is_err() {
            // The client is gone; whoever waits for its answer is told so.
            std::future::pending::<()>().await;
        }
        self.away()
    }

    /// Writes, and waits until the server has it.
    pub(super) async fn write(
        &self,
        subject: String,
        message: PublishMessage,
    ) -> Result<(), BrokerError> {
        self.check()?;
        let acknowledged = async {
            let sent = self.context.send_publish(subject, message).await;
            sent.map_err(not_written)?.await.map_err(not_written)
        };
        self.before(Instant::now() + PATIENCE, acknowledged).await?;
        Ok(())
    }

    /// Waits for what the server says, until a time, or until the connection is lost: the answer to
    /// what was sent before never comes then.
    pub(super) async fn before<T>(
        &self,
        until: Instant,
        said: impl Future<Output = Result<T, BrokerError>>,
    ) -> Result<T, BrokerError> {
        tokio::select! {
            biased;
            said = timeout_at(until, said) => said.unwrap_or_else(|_| Err(self.silent())),
            error = self.gone() => Err(error),
        }
    }

    /// Tells the server what became of a delivery, and waits until it knows, `patience` at most.
    pub(super) async fn acknowledge(
        &self,
        reply: &str,
        kind: AckKind,
        patience: Duration,
    ) -> Result<(), BrokerError> {
        self.check()?;
        let request = Request::new().payload(kind.into()).timeout(Some(patience));
        // The time of the request begins when it is sent, which waits where the connection is full.
        let answered = async {
            let answered = self.client.send_request(reply.to_owned(), request).await;
            answered.map_err(|error| BrokerError::new(BrokerErrorKind::Unavailable, error))
        };
        self.before(Instant::now() + patience, answered).await?;
        Ok(())
    }

    pub(super) fn silent(&self) -> BrokerError {
        unavailable(format!("no answer from NATS at {} in 5 s", self.place))
    }

    pub(super) async fn close(&self) {
        if self.is_up() {
            let _ = timeout(PATIENCE, self.client.flush()).await;
        }
        let _ = timeout(PATIENCE, self.client.drain()).await;
    }

    async fn stream(
        &self,
        name: String,
        subject: String,
        age: Option<Duration>,
        bytes: Option<u64>,
        per_subject: i64,
    ) -> Result<(), BrokerError> {
        let max_age = age.unwrap_or_default();
        let max_bytes = bytes.and_then(|bytes| i64::try_from(bytes).ok());
        let config = stream::Config {
            name: name.clone(),
            subjects: vec![subject.clone()],
            retention: RetentionPolicy::Limits,
            discard: DiscardPolicy::Old,
            storage: StorageType::File,
            max_age,
            max_bytes: max_bytes.filter(|&bytes| bytes > 0).unwrap_or(-1),
            max_messages_per_subject: per_subject,
            duplicate_window: if max_age.is_zero() {
                DUPLICATES
            } else {
                DUPLICATES.min(max_age)
            },
            num_replicas: usize::from(self.config.replicas),
            ..stream::Config::default()
        };
        let found = match self.context.get_stream(&name).await {
            Ok(stream) => stream.cached_info().config.clone(),
            Err(error) => match error.kind() {
                GetStreamErrorKind::JetStream(code)
                    if code.error_code() == ErrorCode::STREAM_NOT_FOUND =>
                {
                    let created = self.context.create_stream(config).await;
                    created
                        .map_err(|error| self.no_stream(&name, &error))?
                        .cached_info()
                        .config
                        .clone()
                }
                GetStreamErrorKind::Request => return Err(self.no_jetstream(&error)),
                _ => return Err(self.no_stream(&name, &error)),
            },
        };
        if found.subjects.contains(&subject) {
            return Ok(());
        }
        Err(refused(format!(
            "the stream {name} exists on NATS at {} and does not have the subjects {subject}, \
             but {:?}",
            self.place, found.subjects
        )))
    }

    fn no_stream(&self, name: &str, error: &dyn std::error::Error) -> BrokerError {
        refused(format!(
            "NATS at {} does not give the stream {name}: {error}",
            self.place
        ))
    }

    fn no_jetstream(&self, error: &dyn std::error::Error) -> BrokerError {
        unavailable(format!(
            "JetStream does not answer on NATS at {}; is it switched on? {error}",
            self.place
        ))
    }
}

/// Why a publish was not acknowledged.
pub(super) fn not_written(error: async_nats::jetstream::context::PublishError) -> BrokerError {
    let kind = match error.kind() {
        PublishErrorKind::MaxPayloadExceeded => BrokerErrorKind::Rejected,
        // The server's own words. Its resources may be back later, so it is not the record's fault.
        _ => BrokerErrorKind::Unavailable,
    };
    BrokerError::new(kind, error)
}

/// The address, with the schemes that fanfare adds taken off.
fn address(url: &str) -> Result<ServerAddr, BrokerError> {
    let plain = url.strip_prefix("nats+jetstream://");
    let plain = plain.map(|rest| format!("nats://{rest}"));
    let known = ["nats://", "tls://"];
    let text = plain.as_deref().unwrap_or(url);
    // What was given is left out: it may hold a password.
    let no_url = || refused("the address of NATS is no URL of the form nats://host:port");
    if !known.iter().any(|scheme| text.starts_with(scheme)) {
        return Err(no_url());
    }
    let address: ServerAddr = text.parse().map_err(|_| no_url())?;
    let (_, server) = text.split_once("://").unwrap_or_default();
    // What stands behind the port would be ignored.
    let has_more = server.trim_end_matches('/').contains(['/', '?', '#']);
    if has_more || address.host().is_empty() {
        return Err(no_url());
    }
    Ok(address)
}

fn check_config(config: &Config) -> Result<(), BrokerError> {
    let plain = |text: &str| {
        !text.is_empty()
            && text.len() <= 64
            && text
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
    };
    if !plain(&config.stream) || !plain(&config.prefix) {
        return Err(refused(format!(
            "a stream and a prefix are 1 to 64 letters, digits, _ and -, not {:?} and {:?}",
            config.stream, config.prefix
        )));
    }
    if !(1..=5).contains(&config.replicas) {
        return Err(refused(format!(
            "a stream has 1 to 5 replicas, not {}",
            config.replicas
        )));
    }
    if config.ack_wait < Duration::from_secs(1) {
        return Err(refused(format!(
            "ack_wait is at least 1 s, not {:?}",
            config.ack_wait
        )));
    }
    Ok(())
}

fn note(sender: &watch::Sender<(u64, bool)>, event: &Event) {
    match event {
        Event::Connected => sender.send_modify(|(times, up)| {
            *times += 1;
            *up = true;
        }),
        Event::Disconnected | Event::Closed => sender.send_modify(|(_, up)| *up = false),
        Event::ServerError(error) => tracing::warn!(%error, "nats server"),
        Event::ClientError(error) => tracing::warn!(%error, "nats client"),
        Event::SlowConsumer(_) | Event::LameDuckMode | Event::Draining => {
            tracing::warn!(%event, "nats");
        }
    }
}

fn not_connected(place: &str, error: &async_nats::ConnectError) -> BrokerError {
    let kind = match error.kind() {
        ConnectErrorKind::Authentication
        | ConnectErrorKind::AuthorizationViolation
        | ConnectErrorKind::ServerParse => BrokerErrorKind::Rejected,
        _ => BrokerErrorKind::Unavailable,
    };
    let sentence = format!("NATS at {place} cannot be reached: {error}");
    BrokerError::new(kind, sentence)
}
