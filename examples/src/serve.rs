//! From the command line to a running server, and down again.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use fanfare::auth::jwt::{Jwt, JwtKey};
use fanfare::history::disk::Disk;
use fanfare::{Config, Node};
use fanfare_transports::{Server, Service, Tls, TlsErrorKind};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

use crate::broker;
use crate::demo;
#[cfg(feature = "brokers")]
use crate::ingest;
use crate::platform::Platform;
use crate::replay::{Replay, Replayed};
use crate::tokens::{random_secret, token};
use crate::topics;

/// Seconds; from a socket that is written at once to one that waited for a low-priority flush.
const LATENCY_BUCKETS: &[f64] = &[
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 1.5, 2.0, 5.0, 8.0, 9.0, 10.0,
    30.0,
];
const FLUSH_BUCKETS: &[f64] = &[
    1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0,
];

#[derive(Debug, Parser)]
#[command(version, about = "Serves the platform's events in real time")]
struct Flags {
    /// Address to listen on; port 0 picks a free one
    #[arg(
        long,
        env = "FANFARE_LISTEN",
        default_value = "127.0.0.1:8080",
        value_name = "ADDR"
    )]
    listen: SocketAddr,
    /// What carries events between nodes: `memory:` for one that is alone, or the URL of a server
    #[arg(
        long,
        env = "FANFARE_BROKER",
        default_value = "memory:",
        value_name = "URL",
        hide_env_values = true
    )]
    broker: String,
    /// Topic or queue of the server of --topics, else of --broker, whose records are published to clients: TOPIC, or TOPIC=GROUP to
    /// read it as another group than the one of its name; may be repeated
    #[cfg(feature = "brokers")]
    #[arg(long, value_name = "TOPIC", value_parser = ingest::topic)]
    ingest: Vec<ingest::Topic>,
    /// What takes events for backend services: the URL of a server, or `none`. Where `--broker` is the
    /// kind of server that the platform has for that, it is the default
    #[arg(
        long,
        env = "FANFARE_TOPICS",
        value_name = "URL",
        hide_env_values = true
    )]
    topics: Option<String>,
    /// Where history is kept: `memory:`, or `file:DIR`, which survives a restart
    #[arg(
        long,
        env = "FANFARE_HISTORY",
        default_value = "memory:",
        value_name = "URL",
        value_parser = history
    )]
    history: History,
    /// HS256 secret of client tokens; a random one is printed where none is given
    #[arg(
        long,
        env = "FANFARE_JWT_SECRET",
        value_name = "SECRET",
        hide_env_values = true
    )]
    jwt_secret: Option<String>,
    /// Bearer key of the server API; a random one is printed where none is given
    #[arg(
        long,
        env = "FANFARE_API_KEY",
        value_name = "KEY",
        hide_env_values = true
    )]
    api_key: Option<String>,
    /// Publish a lifelike stream of the platform's events, this many a second
    #[arg(long, value_name = "RATE", value_parser = demo_rate, allow_negative_numbers = true)]
    demo: Option<f64>,
    /// Publish recorded events at their pace: a file with an envelope a line, or `{"at": TIME, "envelope": …}`
    #[arg(long, value_name = "FILE")]
    replay: Option<PathBuf>,
    /// How many times faster than they were recorded
    #[arg(long, value_name = "X", value_parser = speed, default_value_t = 1.0, requires = "replay", allow_negative_numbers = true)]
    speed: f64,
    /// TOML file with the server's numbers and channel policies
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// PEM file with the certificate chain to serve TLS with (HTTP/2 and HTTP/1.1, wss)
    #[arg(long, env = "FANFARE_TLS_CERT", value_name = "FILE")]
    tls_cert: Option<PathBuf>,
    /// PEM file with the certificate's private key
    #[arg(long, env = "FANFARE_TLS_KEY", value_name = "FILE")]
    tls_key: Option<PathBuf>,
    /// Browser origin that may connect besides the server's own; may be repeated
    #[arg(long, value_name = "ORIGIN")]
    allow_origin: Vec<String>,
}

/// Where history is kept.
#[derive(Clone, Debug)]
enum History {
    Memory,
    Folder(PathBuf),
}

fn history(text: &str) -> Result<History, String> {
    match text.split_once(':') {
        Some(("memory", "")) => Ok(History::Memory),
        Some(("file", folder)) if !folder.is_empty() => Ok(History::Folder(folder.into())),
        _ => Err("history is kept in `memory:` or in `file:DIR`".to_owned()),
    }
}

fn demo_rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if rate > 0.0 && rate <= 100_000.0 => Ok(rate),
        _ => Err("a rate is a number of events a second, above 0 and up to 100000".to_owned()),
    }
}

fn speed(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(speed) if speed > 0.0 && speed <= 1e6 => Ok(speed),
        _ => Err("a speed is a factor, above 0 and up to 1000000".to_owned()),
    }
}

/// Runs a platform's server until it is told to stop. Exit code 2 stands for a bad flag or
/// configuration.
#[must_use]
pub fn run<P: Platform>() -> ExitCode {
    start(serve::<P>)
}

/// Runs a program with its flags. What it finds wrong, a bad flag among it, is said in one sentence, and
/// the exit code is 2.
pub(crate) fn start<F, R>(program: impl FnOnce(F) -> R) -> ExitCode
where
    F: Parser,
    R: Future<Output = Result<(), String>>,
{
    let flags = match F::try_parse() {
        Ok(flags) => flags,
        Err(error) if error.use_stderr() => return refuse(&first_sentence(&error.to_string())),
        // Help, or the version.
        Err(error) => error.exit(),
    };
    log();
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return refuse(&format!("cannot start: {error}")),
    };
    match runtime.block_on(Box::pin(program(flags))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(sentence) => refuse(&sentence),
    }
}

/// Logs to standard error what `RUST_LOG` says, or warnings. RabbitMQ's client library logs each refusal
/// on several lines, which the one sentence on it says as well.
fn log() {
    let filter = EnvFilter::try_from_default_env();
    let filter = filter.unwrap_or_else(|_| EnvFilter::new("warn,lapin=off"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .init();
}

fn refuse(sentence: &str) -> ExitCode {
    eprintln!("error: {sentence}");
    ExitCode::from(2)
}

async fn serve<P: Platform>(flags: Flags) -> Result<(), String> {
    let metrics = install_metrics()?;
    let config = config::<P>(&flags)?;
    let tls = tls(flags.tls_cert.as_deref(), flags.tls_key.as_deref())?;
    let secret = flags.jwt_secret.clone().unwrap_or_else(random_secret);
    let api_key = flags.api_key.clone().unwrap_or_else(random_secret);
    let jwt = Jwt::new(JwtKey::Hs256(secret.as_bytes())).map_err(|error| causes(&error))?;
    let replay = match &flags.replay {
        Some(file) => Some(Replay::open(file, flags.speed).await?),
        None => None,
    };
    let mut node = Node::builder();
    if let History::Folder(folder) = &flags.history {
        node = node.history(Disk::open(folder).map_err(|error| causes(&error))?);
    }
    let node = broker::attach(node, &flags.broker)?;
    let node = topics::attach::<P>(node, flags.topics.as_deref(), &flags.broker)
        .await?
        .config(config)
        .authenticator(P::authenticator(jwt))
        .authorizer(P::authorizer())
        .catalog(P::catalog())
        .start()
        .await
        .map_err(|error| causes(&error))?;
    let rendering = metrics.clone();
    let mut service = Service::builder(node.clone())
        .api_key(&*api_key)
        .page(P::PAGE)
        .socket_io(P::SOCKET_IO)
        .about(P::NAME, env!("CARGO_PKG_VERSION"))
        .metrics(move || rendering.render());
    if let Some(welcome) = P::sse_welcome() {
        service = service.sse_welcome(welcome);
    }
    for origin in &flags.allow_origin {
        service = service.allow_origin(origin);
    }
    let mut interrupt = signal(SignalKind::interrupt()).map_err(|error| error.to_string())?;
    let mut terminate = signal(SignalKind::terminate()).map_err(|error| error.to_string())?;
    let scheme = if tls.is_some() { "https" } else { "http" };
    let mut server = Server::bind(flags.listen, service.build())
        .await
        .map_err(|error| format!("cannot listen on {}: {error}", flags.listen))?;
    if let Some(tls) = tls {
        server = server.tls(tls);
    }
    let address = server.local_addr().map_err(|error| error.to_string())?;
    let url = format!("{scheme}://{address}");
    #[cfg(feature = "brokers")]
    let ingesting =
        ingest::start::<P>(&node, flags.topics.as_deref(), &flags.broker, &flags.ingest).await?;
    print_credentials::<P>(&flags, &url, &secret, &api_key)?;
    println!("listening on {url}");
    tokio::spawn(P::beside(node.clone(), metrics.clone()));
    if let Some(replay) = replay {
        let node = node.clone();
        tokio::spawn(async move {
            let Replayed { published, refused } = replay.run(&node).await;
            println!("replayed {published} events, {refused} refused");
        });
    }
    if let Some(rate) = flags.demo {
        tokio::spawn(demo::run::<P>(node, rate));
    }
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(Duration::from_secs(2)).await;
            metrics.run_upkeep();
        }
    });
    server
        .serve(async {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            // While the node drains, it takes no more.
            #[cfg(feature = "brokers")]
            tokio::spawn(ingesting.stop());
        })
        .await;
    Ok(())
}

fn config<P: Platform>(flags: &Flags) -> Result<Config, String> {
    let Some(path) = &flags.config else {
        return Ok(P::config());
    };
    let text = std::fs::read_to_string(path)
        .map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    // By itself first, because what is wrong has a line only there.
    toml::from_str::<Config>(&text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start.min(text.len()));
        let number = text.get(..at).unwrap_or_default().matches('\n').count();
        let line = text.lines().nth(number).unwrap_or_default().trim();
        let message = error.message().replace('\n', ", ");
        format!(
            "{} line {}, `{line}`: {message}",
            path.display(),
            number + 1
        )
    })?;
    over_profile(&P::config(), &text).map_err(|error| format!("{}: {error}", path.display()))
}

/// The platform's numbers with those of the file in their place.
fn over_profile(profile: &Config, file: &str) -> Result<Config, String> {
    fn merge(into: &mut toml::Table, from: toml::Table) {
        for (key, value) in from {
            match (into.get_mut(&key), value) {
                (Some(toml::Value::Table(into)), toml::Value::Table(from)) => merge(into, from),
                (_, value) => {
                    into.insert(key, value);
                }
            }
        }
    }
    let mut table = toml::Table::try_from(profile).map_err(|error| error.to_string())?;
    let file = toml::from_str::<toml::Table>(file).map_err(|error| error.to_string())?;
    let of_file = file.get("limits").cloned();
    merge(&mut table, file);
    let mut config = table
        .try_into::<Config>()
        .map_err(|error| error.to_string())?;
    // What is none is not written to the table, and would be the framework's own number now.
    let is_silent = |name| {
        let limits = of_file.as_ref();
        limits.and_then(|limits| limits.get(name)).is_none()
    };
    let (limits, own) = (&mut config.limits, &profile.limits);
    for (name, rate, own) in [
        (
            "events_per_user",
            &mut limits.events_per_user,
            own.events_per_user,
        ),
        (
            "events_per_channel",
            &mut limits.events_per_channel,
            own.events_per_channel,
        ),
        (
            "events_per_node",
            &mut limits.events_per_node,
            own.events_per_node,
        ),
        (
            "events_per_session",
            &mut limits.events_per_session,
            own.events_per_session,
        ),
    ] {
        if is_silent(name) {
            *rate = own;
        }
    }
    Ok(config)
}

fn tls(certificate: Option<&Path>, key: Option<&Path>) -> Result<Option<Tls>, String> {
    let (certificate, key) = match (certificate, key) {
        (None, None) => return Ok(None),
        (Some(certificate), Some(key)) => (certificate, key),
        (Some(_), None) => return Err("--tls-cert needs --tls-key".to_owned()),
        (None, Some(_)) => return Err("--tls-key needs --tls-cert".to_owned()),
    };
    let tls = Tls::from_pem(&read(certificate)?, &read(key)?).map_err(|error| {
        let file = match error.kind() {
            TlsErrorKind::Certificate => certificate,
            _ => key,
        };
        format!("cannot use {}: {}", file.display(), causes(&error))
    })?;
    Ok(Some(tls))
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    std::fs::read(path).map_err(|error| format!("cannot read {}: {error}", path.display()))
}

/// What clap says, without the usage and hints around it, in one line.
fn first_sentence(error: &str) -> String {
    let lines = error.lines().map(str::trim);
    let lines = lines.take_while(|line| !line.is_empty());
    let sentence = lines.collect::<Vec<_>>().join(" ");
    sentence
        .strip_prefix("error: ")
        .unwrap_or(&sentence)
        .to_owned()
}

/// What was made up because no flag said it, so that the server can be tried at once.
fn print_credentials<P: Platform>(
    flags: &Flags,
    url: &str,
    secret: &str,
    api_key: &str,
) -> Result<(), String> {
    if flags.jwt_secret.is_none() {
        println!("jwt secret: {secret}");
        let token = token(secret, P::DEMO_USER, P::DEMO_ROLES).map_err(|error| causes(&error))?;
        println!("demo token (user {}, a day): {token}", P::DEMO_USER);
        println!(
            "live page of {}: {url}/#token={token}&key={api_key}",
            P::NAME
        );
    }
    if flags.api_key.is_none() {
        println!("api key: {api_key}");
    }
    Ok(())
}

fn install_metrics() -> Result<PrometheusHandle, String> {
    use metrics_exporter_prometheus::Matcher;
    PrometheusBuilder::new()
        .set_buckets(LATENCY_BUCKETS)
        .and_then(|builder| {
            builder.set_buckets_for_metric(
                Matcher::Full("fanfare_flush_events".to_owned()),
                FLUSH_BUCKETS,
            )
        })
        .and_then(PrometheusBuilder::install_recorder)
        .map_err(|error| format!("metrics: {error}"))
}

/// An error with everything that caused it, in one sentence.
pub(crate) fn causes(error: &dyn std::error::Error) -> String {
    let mut sentence = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        sentence.push_str(": ");
        sentence.push_str(&error.to_string());
        cause = error.source();
    }
    sentence
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_can_say_every_number() {
        let written = toml::to_string(&Config::default()).unwrap();
        assert_eq!(
            toml::from_str::<Config>(&written).unwrap(),
            Config::default()
        );
        for number in [
            "medium = 2.0",
            "events_per_user",
            "handshake",
            "outbox",
            "ping",
            "pause",
            "age",
        ] {
            assert!(written.contains(number), "{number} is missing in {written}");
        }
    }

    #[test]
    fn what_a_file_leaves_out_stays_as_the_platform_has_it() {
        let mut profile = Config::default();
        let kept = fanfare::config::ChannelPolicy {
            presence: Some(fanfare::config::PresencePolicy::default()),
            ..fanfare::config::ChannelPolicy::default()
        };
        profile.channels.insert("thread".into(), kept.clone());
        profile.limits.events_per_session = Some(fanfare::config::Rate {
            events: 10,
            per: Duration::from_secs(1),
        });
        let config = over_profile(&profile, "[limits]\nconnections_per_user = 3").unwrap();
        assert_eq!(config.limits.connections_per_user, 3);
        assert_eq!(config.channels["thread"], kept);
        assert_eq!(
            config.limits.events_per_session,
            profile.limits.events_per_session
        );
        let config = over_profile(&profile, "[channels.thread.history]\nevents = 7").unwrap();
        assert_eq!(config.retention("thread").events, 7);
        assert!(config.presence("thread").is_some());
        profile.limits.events_per_channel = None;
        let rates = |file: &str| {
            let limits = over_profile(&profile, file).unwrap().limits;
            (
                limits.events_per_channel.is_some(),
                limits.events_per_node.is_some(),
            )
        };
        assert_eq!(rates("linger = { medium = 1 }"), (false, true));
        let rate = "limits = { events_per_channel = { events = 1, per = 1 } }";
        assert_eq!(rates(rate), (true, true));
    }

    #[test]
    fn a_file_may_say_less_but_nothing_unknown() {
        let config = toml::from_str::<Config>(
            "[limits]\nconnections_per_user = 3\n[channels.thread.history]\nevents = 7",
        )
        .unwrap();
        assert_eq!(config.limits.connections_per_user, 3);
        assert_eq!(config.retention("thread").events, 7);
        assert_eq!(config.linger, Config::default().linger);
        let error = toml::from_str::<Config>("[limits]\nconections = 3")
            .unwrap_err()
            .to_string();
        assert!(error.contains("conections"), "{error}");
    }
}
