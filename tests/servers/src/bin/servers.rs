//! Runs brokers for JavaScript tests, benches, and people who try things.
//!
//! ```sh
//! cargo run -p fanfare-test-servers --bin servers -- nats rabbitmq kafka redis
//! ```
//!
//! prints a line `NAME URL` for each as soon as it is ready, and runs them until it gets SIGTERM or SIGINT,
//! or its standard input ends where that is a pipe.

use std::any::Any;
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::FileTypeExt;
use std::process::{ExitCode, exit};
use std::thread;
use std::time::Instant;

use fanfare_test_servers::{Broker, Kafka, Nats, RabbitMq, Redis, Server};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;
use tokio::task::JoinSet;

const NAMES: [&str; 4] = ["nats", "rabbitmq", "kafka", "redis"];

/// A server of any kind, which only has to be kept.
type Running = Box<dyn Any + Send>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let mut starting = JoinSet::new();
    for name in std::env::args().skip(1) {
        match name.as_str() {
            "nats" => starting.spawn(run(Nats::start())),
            "rabbitmq" => starting.spawn(run(RabbitMq::start())),
            "kafka" => starting.spawn(run(Kafka::start())),
            "redis" => starting.spawn(run(Redis::start())),
            _ => return usage(),
        };
    }
    if starting.is_empty() {
        return usage();
    }

    let mut running = Vec::new();
    let failed = tokio::select! {
        () = ended() => false,
        failed = keep(&mut starting, &mut running) => failed,
    };
    drop((starting, running));
    // A start that is under way would be waited for.
    exit(failed.into());
}

fn usage() -> ExitCode {
    eprintln!("usage: servers NAME..., each of {}", NAMES.join(", "));
    ExitCode::from(2)
}

async fn run<B: Broker>(start: impl Future<Output = Server<B>>) -> Running {
    let begun = Instant::now();
    let server = start.await;
    eprintln!("{} is ready after {:.2?}", B::NAME, begun.elapsed());
    println!("{} {}", B::NAME, server.url());
    Box::new(server)
}

/// Keeps what has started. Ends only where something does not start, whose panic has said why.
async fn keep(starting: &mut JoinSet<Running>, running: &mut Vec<Running>) -> bool {
    while let Some(started) = starting.join_next().await {
        match started {
            Ok(server) => running.push(server),
            Err(_) => return true,
        }
    }
    std::future::pending().await
}

/// Waits for a signal to end, or the end of standard input.
async fn ended() {
    let mut terminate = signal(SignalKind::terminate()).expect("the runtime has signals");
    let mut interrupt = signal(SignalKind::interrupt()).expect("the runtime has signals");
    let input = end_of_input();
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        () = input => {}
    }
}

/// Waits for the end of standard input where that is a pipe. A terminal has Ctrl-C, and `/dev/null` says
/// nothing.
async fn end_of_input() {
    let (sender, ended) = oneshot::channel::<()>();
    if input_is_pipe().unwrap_or(false) {
        // Not tokio's thread for this, which would have to be waited for.
        thread::spawn(move || {
            let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
            drop(sender);
        });
        let _ = ended.await;
    } else {
        std::future::pending::<()>().await;
    }
}

fn input_is_pipe() -> io::Result<bool> {
    let input = File::from(io::stdin().as_fd().try_clone_to_owned()?);
    let kind = input.metadata()?.file_type();
    Ok(kind.is_fifo() || kind.is_socket())
}
