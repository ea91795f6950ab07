//! The backend's side of the queues, as a program.

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use fanfare_brokers::services::{Consumer, Subscription, engine_from_url};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

use super::RETRY;
use super::rewards::Rewards;
use crate::serve::{causes, first_sentence, refuse};

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
}

/// Runs the consumers until SIGTERM or SIGINT: what is in hand is finished, the rest stays in its
/// queue. Exit code 2 stands for a bad flag or a server that is away.
#[must_use]
pub fn run() -> ExitCode {
    let flags = match Flags::try_parse() {
        Ok(flags) => flags,
        Err(error) if error.use_stderr() => return refuse(&first_sentence(&error.to_string())),
        // Help, or the version.
        Err(error) => error.exit(),
    };
    tracing_subscriber::fmt()
        .with_env_filter(
            EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn")),
        )
        .with_writer(std::io::stderr)
        .init();
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return refuse(&format!("cannot start: {error}")),
    };
    match runtime.block_on(Box::pin(consume(flags))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(sentence) => refuse(&sentence),
    }
}

async fn consume(flags: Flags) -> Result<(), String> {
    let scheme = flags.broker.split_once("://").map(|(scheme, _)| scheme);
    if !matches!(scheme, Some("amqp" | "amqps")) {
        return Err("--broker: the queues are those of RabbitMQ, amqp://HOST:PORT".to_owned());
    }
    let mut interrupt = signal(SignalKind::interrupt()).map_err(|error| error.to_string())?;
    let mut terminate = signal(SignalKind::terminate()).map_err(|error| error.to_string())?;
    let engine = engine_from_url(&flags.broker)
        .await
        .map_err(|error| format!("--broker: {}", causes(&error)))?;
    let subscription = Subscription {
        topic: QUESTS.to_owned(),
        group: QUESTS.to_owned(),
        prefetch: flags.prefetch,
    };
    let running = Consumer::new(engine.clone(), subscription, Rewards::new(engine.clone()))
        .retry(RETRY.into())
        .grace(GRACE)
        .start()
        .await
        .map_err(|error| causes(&error))?;
    println!("reading {QUESTS}");
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    running.stop().await;
    let _ = tokio::time::timeout(SHUTDOWN_WITHIN, engine.shutdown()).await;
    Ok(())
}
