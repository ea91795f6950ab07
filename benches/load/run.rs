//! One run: connect, rest, publish, measure, drain, end.

use std::os::unix::process::ExitStatusExt;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::thread::{JoinHandle, sleep};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::connection::Introduction;
use crate::envelope::Template;
use crate::flags::{self, Flags};
use crate::http::Poster;
use crate::process;
use crate::publisher::{Pace, Publisher};
use crate::reader::{Plan, Reader, Shared};
use crate::report::{Cpu, Delivery, IdleMemory, Measured, Publishing, Quantiles, Report};
use crate::server::Server;
use crate::stall::Stalled;
use crate::tally::Tally;
use crate::token;

/// Without a connection set up for so long, setting up has failed.
const STALLED: Duration = Duration::from_secs(20);

const SIGTERM: i32 = 15;

/// Files that are no connections.
const OTHER_FILES: u64 = 32;

pub(crate) fn run(flags: &Flags) -> Result<Report, String> {
    flags.check()?;
    if let Some(limit) = process::open_files_limit()
        .filter(|limit| *limit < u64::from(flags.connections) + OTHER_FILES)
    {
        return Err(format!(
            "{} connections need more open files than this process may have ({limit})",
            flags.connections
        ));
    }
    let server = flags
        .spawn
        .as_deref()
        .map(|command| Server::spawn(command, &environment(flags)))
        .transpose()?;
    let url = server
        .as_ref()
        .map_or(flags.url.as_str(), |server| &server.url);
    let pid = server
        .as_ref()
        .map(Server::pid)
        .or(flags.server_pid)
        .map(|pid| pid.to_string());
    let mut run = Run::start(flags, url, pid)?;
    run.whole()?;
    let mut report = run.finish()?;
    if let Some(server) = server {
        let status = server.terminate()?;
        // A server without a handler is ended by the signal itself.
        if !status.success() && status.signal() != Some(SIGTERM) {
            report.faults.push(format!("server ended with {status}"));
        }
        report.server_exit = Some(status.to_string());
    }
    report.ok = report.faults.is_empty();
    Ok(report)
}

fn environment(flags: &Flags) -> Vec<(&str, &str)> {
    let secret = flags
        .jwt_secret()
        .map(|secret| ("FANFARE_JWT_SECRET", secret));
    secret
        .into_iter()
        .chain(flags.api_key().map(|key| ("FANFARE_API_KEY", key)))
        .collect()
}

struct Run<'a> {
    flags: &'a Flags,
    plan: Arc<Plan>,
    shared: Arc<Shared>,
    readers: Vec<JoinHandle<std::io::Result<Tally>>>,
    server: Option<String>,
    report: Report,
}

impl<'a> Run<'a> {
    fn start(flags: &'a Flags, url: &str, server: Option<String>) -> Result<Self, String> {
        let (host, address) = flags::resolve(url)?;
        let tokens = match (&flags.token, flags.jwt_secret()) {
            (Some(token), _) => vec![token.clone()],
            (None, Some(secret)) => token::mint(secret, flags.connections)?,
            (None, None) => Vec::new(),
        };
        let plan = Plan {
            address,
            host,
            path: flags.ws_path().to_owned(),
            channels: flags.channels(),
            tokens,
            connections: flags.connections,
            threads: flags.threads,
            connect_rate: flags.connect_rate,
            connect_at_once: flags.connect_at_once,
            sample: flags.sample(),
            run: SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .unwrap_or_default()
                .subsec_millis()
                ^ std::process::id(),
        };
        let report = Report {
            connections: flags.connections,
            channels: plan.channels.len(),
            threads: flags.threads,
            ..Report::default()
        };
        let shared = Arc::new(Shared::new(flags.threads));
        Ok(Self {
            flags,
            plan: Arc::new(plan),
            shared,
            readers: Vec::new(),
            server,
            report,
        })
    }

    fn whole(&mut self) -> Result<(), String> {
        let before = self.server.as_deref().map(process::memory).transpose()?;
        if !self.connect()? {
            return Ok(());
        }
        if let (Some(before), Some(server)) = (before, &self.server) {
            sleep(self.flags.idle());
            let idle = process::memory(server)?;
            self.report.memory = Some(IdleMemory::new(before, idle, self.flags.connections));
        } else if self.flags.idle_only {
            return Err("--idle-only needs --server-pid or --spawn".to_owned());
        }
        if let Some(pace) = self.flags.pace() {
            let _stalled = self.stall()?;
            self.publish(pace)?;
        }
        Ok(())
    }

    /// Whether all connections are ready.
    fn connect(&mut self) -> Result<bool, String> {
        let start = Instant::now();
        for thread in 0..self.flags.threads {
            let reader = Reader::new(Arc::clone(&self.plan), Arc::clone(&self.shared), thread);
            let reader = reader.map_err(|error| format!("epoll: {error}"))?;
            self.readers.push(std::thread::spawn(move || reader.run()));
        }
        let (mut settled, mut since) = (0, Instant::now());
        loop {
            let (ready, failed) = (
                self.shared.count(|thread| &thread.ready),
                self.shared.count(|thread| &thread.failed),
            );
            if ready + failed == self.flags.connections as usize {
                self.report.connect_seconds = start.elapsed().as_secs_f64();
                return Ok(failed == 0);
            }
            if ready + failed != settled {
                (settled, since) = (ready + failed, Instant::now());
            }
            if since.elapsed() > STALLED {
                let seconds = STALLED.as_secs();
                self.report.faults.push(format!(
                    "{ready} connections set up, then none for {seconds} s"
                ));
                return Ok(false);
            }
            sleep(Duration::from_millis(5));
        }
    }

    /// Adds the client that never reads, if one is wanted.
    fn stall(&mut self) -> Result<Option<Stalled>, String> {
        let Some(transport) = self.flags.stall else {
            return Ok(None);
        };
        let who = Introduction {
            host: self.plan.host.clone(),
            path: String::new(),
            channel: self.plan.channels[0].clone(),
            token: self.stalled_token()?,
        };
        let stalled = Stalled::subscribe(transport, self.plan.address, &who)
            .map_err(|error| format!("--stall: {error}"))?;
        let note = format!("one more client ({transport:?}) is subscribed and never reads");
        self.report.notes.push(note);
        Ok(Some(stalled))
    }

    /// Of a user without other connections, where users can be made.
    fn stalled_token(&self) -> Result<Option<String>, String> {
        match (&self.flags.token, self.flags.jwt_secret()) {
            (None, Some(secret)) => Ok(token::mint(secret, self.flags.connections + 1)?.pop()),
            (token, _) => Ok(token.clone()),
        }
    }

    fn publish(&mut self, pace: Pace) -> Result<(), String> {
        let publisher = self.publisher()?;
        let start = Instant::now();
        let (from, to) = (
            start + self.flags.warmup(),
            start + self.flags.warmup() + self.flags.seconds(),
        );
        let since_start = |time: Instant| time.duration_since(self.shared.start).as_nanos() as u64;
        self.shared.window.0.store(since_start(from), Relaxed);
        self.shared.window.1.store(since_start(to), Relaxed);
        let publisher = std::thread::spawn(move || publisher.run(pace, to));
        sleep(from.saturating_duration_since(Instant::now()));
        let first = self.snapshot();
        while Instant::now() < to && !publisher.is_finished() {
            sleep(
                to.saturating_duration_since(Instant::now())
                    .min(Duration::from_millis(100)),
            );
        }
        let last = self.snapshot();
        self.report.measured = Some(last.since(&first));
        let outcome = publisher
            .join()
            .map_err(|_| "the publisher panicked".to_owned())?;
        self.drain();
        self.report.publishing = Some(Publishing {
            events: self.shared.published.load(Relaxed),
            calls: outcome.calls.len(),
            call_ms: Quantiles::new(&outcome.calls),
            latest_ms: outcome.latest.as_secs_f64() * 1e3,
        });
        self.report.faults.extend(outcome.failure);
        Ok(())
    }

    fn publisher(&mut self) -> Result<Publisher, String> {
        let (flags, plan) = (self.flags, &self.plan);
        let templates: Vec<(String, Template)> = plan
            .channels
            .iter()
            .map(|name| {
                (
                    name.clone(),
                    Template::new(name, Some(flags.priority()), flags.size),
                )
            })
            .collect();
        let smallest = templates
            .iter()
            .map(|(_, template)| template.smallest())
            .max()
            .unwrap_or_default();
        self.report.event_bytes = flags.size.max(smallest);
        if smallest > flags.size {
            self.report.notes.push(format!(
                "the smallest possible envelope has {smallest} bytes"
            ));
        }
        if templates
            .iter()
            .any(|(_, template)| !template.names_channel())
        {
            let note =
                "to fit the size, envelopes leave out the channel, which their thread determines";
            self.report.notes.push(note.to_owned());
        }
        let (host, address) = match &flags.publish_url {
            Some(url) => flags::resolve(url)?,
            None => (plan.host.clone(), plan.address),
        };
        let poster = Poster::connect(address, &host, flags.publish_path(), &flags.api_headers());
        let poster = poster.map_err(|error| format!("connecting to publish: {error}"))?;
        Ok(Publisher::new(
            Arc::clone(&self.shared),
            poster,
            flags.api(),
            templates.into_iter(),
            plan.run,
        ))
    }

    /// Waits until all events are everywhere, and a little longer for those that come twice.
    fn drain(&self) {
        let start = Instant::now();
        let published = self.shared.published.load(Relaxed);
        while start.elapsed() < self.flags.drain()
            && (self.shared.least() < published || self.shared.sum(|thread| &thread.missing) > 0)
        {
            sleep(Duration::from_millis(10));
        }
        sleep(Duration::from_millis(200));
    }

    fn finish(mut self) -> Result<Report, String> {
        self.shared.stop.store(true, Relaxed);
        let mut tally = Tally::new();
        for reader in self.readers {
            let part = reader.join().map_err(|_| "a reader panicked".to_owned())?;
            tally.add(part.map_err(|error| format!("epoll: {error}"))?);
        }
        let delivery = Delivery::new(tally);
        self.report.faults.extend(delivery.faults());
        self.report.delivery = Some(delivery);
        Ok(self.report)
    }

    fn snapshot(&self) -> Snapshot {
        Snapshot {
            time: Instant::now(),
            events: self.shared.published.load(Relaxed),
            deliveries: self.shared.sum(|thread| &thread.deliveries),
            messages: self.shared.sum(|thread| &thread.messages),
            // A server that ended shows in the disconnects.
            server: self
                .server
                .as_deref()
                .and_then(|server| process::cpu(server).ok()),
            client: process::cpu("self").ok(),
        }
    }
}

struct Snapshot {
    time: Instant,
    events: u64,
    deliveries: u64,
    messages: u64,
    server: Option<Duration>,
    client: Option<Duration>,
}

impl Snapshot {
    fn since(&self, before: &Self) -> Measured {
        let span = self.time.duration_since(before.time);
        let (events, deliveries) = (
            self.events - before.events,
            self.deliveries - before.deliveries,
        );
        let messages = self.messages - before.messages;
        let cpu = |used: Option<Duration>, earlier: Option<Duration>| {
            Some(Cpu::new(used?.saturating_sub(earlier?), span, deliveries))
        };
        Measured {
            seconds: span.as_secs_f64(),
            events,
            events_per_second: events as f64 / span.as_secs_f64(),
            deliveries,
            deliveries_per_second: deliveries as f64 / span.as_secs_f64(),
            messages,
            events_per_message: deliveries as f64 / messages.max(1) as f64,
            server: cpu(self.server, before.server),
            client: cpu(self.client, before.client),
        }
    }
}
