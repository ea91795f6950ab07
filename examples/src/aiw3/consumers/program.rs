//! The backend services, as a program.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{interval, timeout};

use super::analytics::Analytics;
use super::audit::Audit;
use super::notifications::{Notifications, Outlet};
use super::{Consumers, ServerApi};
use crate::aiw3::Aiw3;
use crate::platform::Platform;
use crate::serve::start;
use crate::topics::reason;

/// How long disconnecting may take. Whatever was done is done by then.
const SHUTDOWN_WITHIN: Duration = Duration::from_secs(5);

#[derive(Debug, Parser)]
#[command(
    name = "aiw3-consumers",
    version,
    about = "Reads AIW3's topics: counts events, notifies users, keeps an audit trail"
)]
struct Flags {
    /// `kafka://host:9092`, `nats+jetstream://host:4222` or `amqp://user:pass@host:5672/%2f?exchange=NAME`
    #[arg(
        long,
        env = "FANFARE_TOPICS",
        value_name = "URL",
        hide_env_values = true
    )]
    broker: String,
    /// The file of the audit trail
    #[arg(long, default_value = "aiw3-audit.jsonl", value_name = "FILE")]
    audit: PathBuf,
    /// The AIW3 server that brings notifications to users, `http://host:port`; without one they are printed
    #[arg(long, value_name = "URL", requires = "api_key")]
    server: Option<String>,
    /// That server's API key
    #[arg(
        long,
        env = "FANFARE_API_KEY",
        value_name = "KEY",
        hide_env_values = true
    )]
    api_key: Option<String>,
    /// Seconds between two lines with what was counted
    #[arg(long, default_value_t = 10, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    report: u64,
}

/// Runs the services until SIGTERM or SIGINT: what is in hand is finished, the rest stays in its topic.
/// Exit code 2 stands for a bad flag, or a server or file that cannot be used.
#[must_use]
pub fn run() -> ExitCode {
    start(serve)
}

async fn serve(flags: Flags) -> Result<(), String> {
    let mut interrupt = signal(SignalKind::interrupt()).map_err(|error| error.to_string())?;
    let mut terminate = signal(SignalKind::terminate()).map_err(|error| error.to_string())?;
    let outlet = match (&flags.server, &flags.api_key) {
        (Some(server), Some(key)) => {
            let api = ServerApi::new(server, key).map_err(|error| format!("--server: {error}"))?;
            Outlet::Server(Box::new(api))
        }
        _ => Outlet::Print,
    };
    let audit = Audit::open(&flags.audit)
        .map_err(|error| format!("cannot keep {}: {error}", flags.audit.display()))?;
    let engine = Aiw3::engine(&flags.broker)
        .await
        .map_err(|error| format!("--broker: {}", reason(&error)))?;
    let analytics = Analytics::default();
    let notifications = Notifications::new(outlet);
    let consumers = Consumers::start(&engine, analytics.clone(), notifications, audit)
        .await
        .map_err(|error| reason(&error))?;
    println!("consuming");
    let mut report = interval(Duration::from_secs(flags.report));
    let mut reported = analytics.counts();
    loop {
        tokio::select! {
            _ = interrupt.recv() => break,
            _ = terminate.recv() => break,
            _ = report.tick() => {
                let counts = analytics.counts();
                if counts != reported {
                    println!("{}", json!({ "analytics": counts }));
                    reported = counts;
                }
            }
        }
    }
    consumers.stop().await;
    println!("{}", json!({ "analytics": analytics.counts() }));
    let _ = timeout(SHUTDOWN_WITHIN, engine.shutdown()).await;
    Ok(())
}
