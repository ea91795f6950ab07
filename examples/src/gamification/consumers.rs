//! The backend's side of the queues, as a program.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use fanfare::Sink;
use fanfare_brokers::services::rabbitmq::RabbitMq;
use fanfare_brokers::services::{Consumer, Subscription};
use metrics_exporter_prometheus::PrometheusBuilder;
use tokio::signal::unix::{SignalKind, signal};

use super::RETRY;
use super::monitoring::Monitor;
use super::rewards::Rewards;
use crate::serve::start;
use crate::topics::reason;

/// The queue of quests, and the group that reads it.
const QUESTS: &str = "quest_events";
/// How long handlers may take to finish. Each only writes a record.
const GRACE: Duration = Duration::from_secs(5);
/// How long disconnecting may take. Whatever was done is done by then.
const SHUTDOWN_WITHIN: Duration = Duration::from_secs(5);

#[derive(Debug, Parser)]
#[command(
    name = "gamification-consumers",
    version,
    about = "Works off the gamification service's queues: a reward for each completed quest"
)]
struct Flags {
    /// The RabbitMQ server with the queues, `amqp://user:pass@host:5672/%2f`
    #[arg(
        long,
        env = "FANFARE_BROKER",
        value_name = "URL",
        hide_env_values = true
    )]
    broker: String,
    /// Records that may be in hand at a time
    #[arg(
        long,
        default_value_t = 100,
        value_name = "N",
        value_parser = clap::value_parser!(u16).range(1..=10_000)
    )]
    prefetch: u16,
    /// Seconds between two lines that say how the queues are and what was done
    #[arg(
        long,
        default_value_t = 30,
        value_name = "SECONDS",
        value_parser = clap::value_parser!(u64).range(1..=86_400)
    )]
    report: u64,
}

/// Runs the consumers until SIGTERM or SIGINT: what is in hand is finished, the rest stays in its
/// queue. Exit code 2 stands for a bad flag or a server that is away.
#[must_use]
pub fn run() -> ExitCode {
    start(consume)
}

async fn consume(flags: Flags) -> Result<(), String> {
    let scheme = flags.broker.split_once("://").map(|(scheme, _)| scheme);
    if !matches!(scheme, Some("amqp" | "amqps")) {
        return Err("--broker: the queues are those of RabbitMQ, amqp://HOST:PORT".to_owned());
    }
    let mut interrupt = signal(SignalKind::interrupt()).map_err(|error| error.to_string())?;
    let mut terminate = signal(SignalKind::terminate()).map_err(|error| error.to_string())?;
    // What consumers count goes there, so before the first of them begins.
    let counted = PrometheusBuilder::new().install_recorder();
    let counted = counted.map_err(|error| format!("metrics: {error}"))?;
    let server = RabbitMq::from_url(&flags.broker)
        .await
        .map_err(|error| format!("--broker: {}", reason(&error)))?;
    let server = Arc::new(server);
    let rewards = Arc::new(Rewards::new(server.clone()));
    let monitor = Monitor::new(server.clone(), QUESTS, rewards, counted);
    let subscription = Subscription {
        topic: QUESTS.to_owned(),
        group: QUESTS.to_owned(),
        prefetch: flags.prefetch,
    };
    let running = Consumer::new(server.clone(), subscription, monitor.handler())
        .retry(RETRY.into())
        .grace(GRACE)
        .start()
        .await
        .map_err(|error| reason(&error))?;
    println!("reading {QUESTS}");
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
        () = monitor.run(Duration::from_secs(flags.report)) => {}
    }
    running.stop().await;
    let _ = tokio::time::timeout(SHUTDOWN_WITHIN, server.shutdown()).await;
    Ok(())
}
