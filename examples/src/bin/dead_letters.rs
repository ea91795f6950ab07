//! Looks at the dead letters of a group, and gives them back to it.

use std::error::Error as _;
use std::fmt::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use fanfare::BrokerError;
use fanfare_brokers::services::{Dead, Subscription, engine_from_url};
use jiff::Timestamp;

/// How long disconnecting may take. Whatever was done is done by then.
const SHUTDOWN_WITHIN: Duration = Duration::from_secs(5);
/// How many characters are shown of a text.
const SHOWN: usize = 1_000;

#[derive(Debug, Parser)]
#[command(
    name = "dead-letters",
    version,
    about = "Lists and replays the records that a group of consumers has given up"
)]
struct Flags {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Print dead letters, the oldest first; they stay where they are
    List(Whose),
    /// Give dead letters back to their group, the oldest first, as if they had never failed
    Replay(Whose),
}

#[derive(Debug, Args)]
struct Whose {
    /// `amqp://user:pass@host:5672/%2f`, `nats+jetstream://host:4222` or `kafka://host:9092`
    #[arg(
        long,
        env = "FANFARE_BROKER",
        value_name = "URL",
        hide_env_values = true
    )]
    broker: String,
    /// The topic or queue that the group reads
    #[arg(long, value_name = "TOPIC")]
    topic: String,
    /// The group
    #[arg(long, value_name = "GROUP")]
    group: String,
    /// At most this many
    #[arg(long, default_value_t = 100, value_name = "N")]
    limit: usize,
}

fn main() -> ExitCode {
    let flags = match Flags::try_parse() {
        Ok(flags) => flags,
        Err(error) if error.use_stderr() => {
            return refuse(&sentence(&error));
        }
        // Help, or the version.
        Err(error) => error.exit(),
    };
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return refuse(&format!("cannot start: {error}")),
    };
    match runtime.block_on(Box::pin(run(flags.command))) {
        Ok(text) => {
            println!("{text}");
            ExitCode::SUCCESS
        }
        Err(sentence) => refuse(&sentence),
    }
}

fn refuse(sentence: &str) -> ExitCode {
    eprintln!("error: {sentence}");
    ExitCode::from(2)
}

async fn run(command: Command) -> Result<String, String> {
    let (Command::List(whose) | Command::Replay(whose)) = &command;
    let engine = engine_from_url(&whose.broker)
        .await
        .map_err(|error| causes(&error))?;
    let subscription = Subscription {
        topic: whose.topic.clone(),
        group: whose.group.clone(),
        prefetch: 1,
    };
    let mut letters = engine
        .dead_letters(&subscription)
        .await
        .map_err(|error| causes(&error))?;
    let text = match &command {
        Command::List(_) => {
            let dead = letters
                .list(whose.limit)
                .await
                .map_err(|error| causes(&error))?;
            shown(&dead, &subscription)
        }
        Command::Replay(_) => {
            let replayed = letters
                .replay(whose.limit)
                .await
                .map_err(|error| causes(&error))?;
            format!("{} given back to group {}", count(replayed), whose.group)
        }
    };
    drop(letters);
    let _ = tokio::time::timeout(SHUTDOWN_WITHIN, engine.shutdown()).await;
    Ok(text)
}

fn shown(dead: &[Dead], subscription: &Subscription) -> String {
    let mut text = String::new();
    for Dead { record, failures } in dead {
        // Writing to a string does not fail.
        let _ = writeln!(
            text,
            "{} {} key {}",
            printable(&record.id),
            printable(&record.topic),
            printable(&record.key)
        );
        for (attempt, failure) in (1..).zip(failures) {
            let at = Timestamp::try_from(failure.at).unwrap_or_default();
            let _ = writeln!(text, "  {attempt}. {at:.3} {}", printable(&failure.reason));
        }
        let payload = String::from_utf8_lossy(&record.payload);
        let more = if payload.chars().nth(SHOWN).is_some() {
            "…"
        } else {
            ""
        };
        let _ = writeln!(text, "  {}{more}", printable(&payload));
    }
    let _ = write!(
        text,
        "{} of group {}",
        count(dead.len()),
        subscription.group
    );
    text
}

/// The beginning of a text, with nothing in it that a terminal would obey.
fn printable(text: &str) -> String {
    let shown = text.chars().take(SHOWN);
    shown.fold(String::new(), |mut text, char| {
        if char.is_control() {
            text.extend(char.escape_default());
        } else {
            text.push(char);
        }
        text
    })
}

fn count(letters: usize) -> String {
    match letters {
        1 => "1 dead letter".to_owned(),
        _ => format!("{letters} dead letters"),
    }
}

/// What is wrong with the command line, in one line.
fn sentence(error: &clap::Error) -> String {
    use clap::error::ErrorKind;
    if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        return "say `list` or `replay`, or --help".to_owned();
    }
    let text = error.to_string();
    let lines = text
        .lines()
        .map(str::trim)
        .take_while(|line| !line.is_empty());
    let line = lines.collect::<Vec<_>>().join(" ");
    line.strip_prefix("error: ").unwrap_or(&line).to_owned()
}

/// What an error came from, in one line. Its own words say only whose fault it was.
fn causes(error: &BrokerError) -> String {
    let cause = error.source().map(ToString::to_string);
    cause
        .unwrap_or_else(|| error.to_string())
        .replace('\n', " ")
}
