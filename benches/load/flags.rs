//! The command line.

use std::net::{SocketAddr, ToSocketAddrs};
use std::time::Duration;

use clap::{ArgGroup, Parser, ValueEnum};

use crate::publisher::{Api, LARGEST_BATCH, Pace};
use crate::stall::Transport;

/// Opens many WebSocket connections to a server of the Centrifuge protocol (JSON), has events published, and reports
/// deliveries, loss, order, latency, CPU and memory. Ends with 0 only if every event came to every connection once and
/// in order.
#[derive(Debug, Parser)]
#[command(name = "load")]
#[command(group = ArgGroup::new("mode").required(true).args(["rate", "window", "idle_only"]))]
pub(crate) struct Flags {
    /// Where the server listens; unencrypted
    #[arg(long, default_value = "http://127.0.0.1:8080")]
    pub(crate) url: String,
    /// Where to publish, if not to the same: to another node of the cluster
    #[arg(long, value_name = "URL", conflicts_with = "spawn")]
    pub(crate) publish_url: Option<String>,
    /// Path of the WebSocket endpoint [default: /ws, with Centrifugo /connection/websocket]
    #[arg(long)]
    ws_path: Option<String>,
    /// Path of the publishing endpoint [default: /publish, with Centrifugo /api/batch]
    #[arg(long)]
    publish_path: Option<String>,
    /// Whose publishing call to use
    #[arg(long, value_enum, default_value_t = Server::Fanfare)]
    api: Server,
    /// Starts the server by this command, waits for its line `listening on URL`, measures it, and ends it by SIGTERM.
    /// It gets the secrets as FANFARE_JWT_SECRET and FANFARE_API_KEY
    #[arg(long, value_name = "COMMAND", conflicts_with_all = ["url", "server_pid"])]
    pub(crate) spawn: Option<String>,
    /// Process of the server, for its CPU time and memory
    #[arg(long, value_name = "PID")]
    pub(crate) server_pid: Option<u32>,

    /// How many connections
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) connections: u32,
    /// New connections a second
    #[arg(long, default_value_t = 2_000.0)]
    pub(crate) connect_rate: f64,
    /// New connections that may wait for the server at once
    #[arg(long, default_value_t = 256)]
    pub(crate) connect_at_once: usize,
    /// Reader threads
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub(crate) threads: u32,
    /// Every how manieth connection measures latency [default: 1 up to 1,000 connections, else 8]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    sample: Option<u32>,
    /// Token of all connections
    #[arg(long, conflicts_with = "jwt_secret")]
    pub(crate) token: Option<String>,
    /// Makes a token for each connection, of users of their own
    #[arg(long)]
    jwt_secret: Option<String>,
    /// Key for publishing
    #[arg(long)]
    api_key: Option<String>,

    /// Channel of all events and connections
    #[arg(long, default_value = "thread.456")]
    channel: String,
    /// Spreads events and connections over the channels thread.1 to thread.K instead
    #[arg(long, value_name = "K", conflicts_with = "channel", value_parser = clap::value_parser!(u32).range(1..))]
    channels: Option<u32>,
    /// Bytes of an event's envelope as it is published
    #[arg(long, default_value_t = 300)]
    pub(crate) size: usize,
    /// Priority of the events
    #[arg(long, value_enum, default_value_t = Priority::High)]
    priority: Priority,

    /// Publishes so many events a second
    #[arg(long, value_name = "EVENTS")]
    rate: Option<f64>,
    /// Milliseconds between publishing calls [default: 5, or an event's time if that is longer]
    #[arg(long, value_name = "MS", requires = "rate")]
    tick_ms: Option<f64>,
    /// Publishes as fast as the slowest connection receives, with so many events on their way
    #[arg(long, value_name = "EVENTS", value_parser = clap::value_parser!(u64).range(1..))]
    window: Option<u64>,
    /// Events in a call [default: a quarter of the window, at most 1,000]
    #[arg(long, value_name = "EVENTS", requires = "window", value_parser = clap::value_parser!(u64).range(1..=1000))]
    batch: Option<u64>,
    /// Publishes nothing: measures only the memory of idle connections
    #[arg(long)]
    pub(crate) idle_only: bool,

    /// Adds a client that subscribes to the first channel over this transport and never reads
    #[arg(
        long,
        value_enum,
        value_name = "TRANSPORT",
        conflicts_with = "idle_only"
    )]
    pub(crate) stall: Option<Transport>,

    /// Seconds to measure
    #[arg(long, default_value_t = 10.0)]
    seconds: f64,
    /// Seconds of publishing before that
    #[arg(long, default_value_t = 2.0)]
    warmup: f64,
    /// Seconds that the connections rest before their memory is measured
    #[arg(long, default_value_t = 3.0)]
    idle: f64,
    /// Seconds to wait for the last events
    #[arg(long, default_value_t = 5.0)]
    drain: f64,
    /// Prints the result as a JSON object as well, on the last line
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Server {
    Fanfare,
    Centrifugo,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Priority {
    High,
    Medium,
    Low,
}

/// Known to both sides where the server is started for the run.
const OWN_JWT_SECRET: &str = "secret-of-a-load-run-and-of-nothing-else";
const OWN_API_KEY: &str = "key-of-a-load-run";

impl Flags {
    pub(crate) fn check(&self) -> Result<(), String> {
        let positive = |name: &str, value: f64| match value.is_finite() && value > 0.0 {
            true => Ok(()),
            false => Err(format!("--{name} must be positive")),
        };
        if self.stall.is_some() && self.api == Server::Centrifugo {
            return Err("--stall knows the endpoints of --api fanfare only".to_owned());
        }
        positive("connect-rate", self.connect_rate)?;
        positive("rate", self.rate.unwrap_or(1.0))?;
        positive("tick-ms", self.tick_ms.unwrap_or(1.0))?;
        positive("seconds", self.seconds)?;
        for (name, value) in [
            ("warmup", self.warmup),
            ("idle", self.idle),
            ("drain", self.drain),
        ] {
            Duration::try_from_secs_f64(value).map_err(|error| format!("--{name}: {error}"))?;
        }
        Ok(())
    }

    pub(crate) fn api(&self) -> Api {
        match self.api {
            Server::Fanfare => Api::Fanfare,
            Server::Centrifugo => Api::Centrifugo,
        }
    }

    pub(crate) fn ws_path(&self) -> &str {
        self.ws_path.as_deref().unwrap_or(match self.api {
            Server::Fanfare => "/ws",
            Server::Centrifugo => "/connection/websocket",
        })
    }

    pub(crate) fn publish_path(&self) -> &str {
        self.publish_path.as_deref().unwrap_or(match self.api {
            Server::Fanfare => "/publish",
            Server::Centrifugo => "/api/batch",
        })
    }

    pub(crate) fn jwt_secret(&self) -> Option<&str> {
        let own = (self.spawn.is_some() && self.token.is_none()).then_some(OWN_JWT_SECRET);
        self.jwt_secret.as_deref().or(own)
    }

    pub(crate) fn api_key(&self) -> Option<&str> {
        self.api_key
            .as_deref()
            .or(self.spawn.is_some().then_some(OWN_API_KEY))
    }

    /// Header lines that let publish.
    pub(crate) fn api_headers(&self) -> String {
        match (self.api_key(), self.api) {
            (None, _) => String::new(),
            (Some(key), Server::Fanfare) => format!("Authorization: Bearer {key}\r\n"),
            (Some(key), Server::Centrifugo) => format!("X-API-Key: {key}\r\n"),
        }
    }

    pub(crate) fn channels(&self) -> Vec<String> {
        match self.channels {
            Some(count) => (1..=count)
                .map(|number| format!("thread.{number}"))
                .collect(),
            None => vec![self.channel.clone()],
        }
    }

    pub(crate) fn priority(&self) -> &'static str {
        match self.priority {
            Priority::High => "high",
            Priority::Medium => "medium",
            Priority::Low => "low",
        }
    }

    pub(crate) fn sample(&self) -> u32 {
        self.sample
            .unwrap_or(if self.connections <= 1_000 { 1 } else { 8 })
    }

    /// Nothing with `--idle-only`.
    pub(crate) fn pace(&self) -> Option<Pace> {
        if let Some(rate) = self.rate {
            let tick = self
                .tick_ms
                .map_or((1.0 / rate).max(0.005), |tick| tick / 1_000.0);
            return Some(Pace::Rate {
                rate,
                tick: Duration::from_secs_f64(tick),
            });
        }
        self.window.map(|window| {
            let batch = self
                .batch
                .unwrap_or(window / 4)
                .clamp(1, LARGEST_BATCH.min(window));
            Pace::Window { window, batch }
        })
    }

    pub(crate) fn seconds(&self) -> Duration {
        Duration::from_secs_f64(self.seconds)
    }

    pub(crate) fn warmup(&self) -> Duration {
        Duration::from_secs_f64(self.warmup)
    }

    pub(crate) fn idle(&self) -> Duration {
        Duration::from_secs_f64(self.idle)
    }

    pub(crate) fn drain(&self) -> Duration {
        Duration::from_secs_f64(self.drain)
    }
}

/// Host as it stands in `url`, and its address.
pub(crate) fn resolve(url: &str) -> Result<(String, SocketAddr), String> {
    let rest = url
        .strip_prefix("http://")
        .ok_or_else(|| format!("{url}: only http:// is supported"))?;
    let host = rest.trim_end_matches('/');
    let with_port = match host.rsplit_once(':') {
        Some((_, port)) if port.parse::<u16>().is_ok() => host.to_owned(),
        _ => format!("{host}:80"),
    };
    let mut addresses = with_port
        .to_socket_addrs()
        .map_err(|error| format!("{url}: {error}"))?;
    let address = addresses
        .next()
        .ok_or_else(|| format!("{url}: no address"))?;
    Ok((host.to_owned(), address))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flags(text: &str) -> Flags {
        Flags::try_parse_from(text.split(' ')).unwrap()
    }

    #[test]
    fn a_tick_is_5_ms_or_an_event() {
        let tick = |text| match flags(text).pace() {
            Some(Pace::Rate { tick, .. }) => tick.as_millis(),
            other => panic!("{other:?}"),
        };
        assert_eq!(tick("load --rate 1000"), 5);
        assert_eq!(tick("load --rate 10"), 100);
        assert_eq!(tick("load --rate 10 --tick-ms 20"), 20);
    }

    #[test]
    fn a_batch_fits_the_window_and_the_call() {
        let batch = |text| match flags(text).pace() {
            Some(Pace::Window { batch, .. }) => batch,
            other => panic!("{other:?}"),
        };
        assert_eq!(batch("load --window 1"), 1);
        assert_eq!(batch("load --window 256"), 64);
        assert_eq!(batch("load --window 100000"), 1_000);
        assert_eq!(batch("load --window 8 --batch 64"), 8);
    }

    #[test]
    fn only_our_own_endpoints_can_be_stalled() {
        let stalled = flags("load --rate 1 --stall socket_io");
        assert_eq!(stalled.stall, Some(Transport::SocketIo));
        assert!(stalled.check().is_ok());
        let foreign = flags("load --rate 1 --stall sse --api centrifugo");
        assert!(foreign.check().is_err());
    }

    #[test]
    fn exactly_one_mode_is_needed() {
        for text in [
            "load",
            "load --rate 1 --window 1",
            "load --idle-only --rate 1",
        ] {
            assert!(Flags::try_parse_from(text.split(' ')).is_err(), "{text}");
        }
        assert!(flags("load --idle-only").pace().is_none());
        assert!(flags("load --rate 0").check().is_err());
        assert!(flags("load --rate 1").check().is_ok());
    }

    #[test]
    fn urls_resolve() {
        let (host, address) = resolve("http://127.0.0.1:8080/").unwrap();
        assert_eq!(
            (host.as_str(), address.to_string().as_str()),
            ("127.0.0.1:8080", "127.0.0.1:8080")
        );
        assert_eq!(resolve("http://127.0.0.1").unwrap().1.port(), 80);
        assert!(resolve("https://127.0.0.1").is_err());
    }
}
