//! The thread that publishes: at a fixed rate, or as fast as the slowest connection receives.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use crate::envelope::Template;
use crate::http::Poster;
use crate::marker::{self, Marker, Tag};
use crate::reader::Shared;
use crate::tally::microseconds;

/// The most that one call may hold.
pub(crate) const LARGEST_BATCH: u64 = 1_000;

#[derive(Clone, Copy, Debug)]
pub(crate) enum Pace {
    /// Events a second, published at ticks.
    Rate { rate: f64, tick: Duration },
    /// At most `window` events that are not received everywhere, published by `batch`.
    Window { window: u64, batch: u64 },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Api {
    Fanfare,
    Centrifugo,
}

pub(crate) struct Publisher {
    shared: Arc<Shared>,
    poster: Poster,
    api: Api,
    channels: Vec<Channel>,
    published: u64,
    body: Vec<u8>,
    outcome: Outcome,
}

struct Channel {
    name: String,
    tag: Tag,
    template: Template,
}

#[derive(Debug)]
pub(crate) struct Outcome {
    /// Microseconds from call to answer.
    pub(crate) calls: Histogram<u64>,
    /// How long after its time an event was published at worst.
    pub(crate) latest: Duration,
    pub(crate) failure: Option<String>,
}

impl Publisher {
    pub(crate) fn new(
        shared: Arc<Shared>,
        poster: Poster,
        api: Api,
        channels: impl Iterator<Item = (String, Template)>,
        run: u32,
    ) -> Self {
        let channel = |(index, (name, template))| Channel {
            name,
            tag: marker::tag(run, index),
            template,
        };
        Self {
            shared,
            poster,
            api,
            channels: (0..).zip(channels).map(channel).collect(),
            published: 0,
            body: Vec::new(),
            outcome: Outcome {
                calls: microseconds(),
                latest: Duration::ZERO,
                failure: None,
            },
        }
    }

    /// Publishes until `end`, or until a call fails.
    pub(crate) fn run(mut self, pace: Pace, end: Instant) -> Outcome {
        let outcome = match pace {
            Pace::Rate { rate, tick } => self.paced(rate, tick, end),
            Pace::Window { window, batch } => self.closed_loop(window, batch, end),
        };
        self.outcome.failure = outcome.err();
        self.outcome
    }

    fn paced(&mut self, rate: f64, tick: Duration, end: Instant) -> Result<(), String> {
        let start = Instant::now();
        let mut next = start;
        loop {
            let now = Instant::now();
            if now >= end || self.shared.stopped() {
                return Ok(());
            }
            let due = (now.duration_since(start).as_secs_f64() * rate) as u64;
            if due > self.published {
                let ideal = Duration::from_secs_f64((self.published + 1) as f64 / rate);
                self.outcome.latest = self
                    .outcome
                    .latest
                    .max(now.duration_since(start).saturating_sub(ideal));
                self.publish((due - self.published).min(LARGEST_BATCH))?;
            }
            while next <= now {
                next += tick;
            }
            if due <= self.published {
                std::thread::sleep(next.saturating_duration_since(Instant::now()));
            }
        }
    }

    fn closed_loop(&mut self, window: u64, batch: u64, end: Instant) -> Result<(), String> {
        while Instant::now() < end && !self.shared.stopped() {
            let open = self.published.saturating_sub(self.shared.least());
            if open + batch <= window {
                self.publish(batch)?;
            } else {
                std::thread::sleep(Duration::from_micros(200));
            }
        }
        Ok(())
    }

    fn publish(&mut self, count: u64) -> Result<(), String> {
        self.write_body(count);
        let start = Instant::now();
        let answer = self
            .poster
            .post(&self.body)
            .map_err(|error| format!("publishing: {error}"))?;
        self.outcome
            .calls
            .saturating_record(start.elapsed().as_micros() as u64);
        let text = String::from_utf8_lossy(&answer.body);
        let accepted = match self.api {
            Api::Fanfare => [',', '}']
                .iter()
                .any(|end| text.contains(&format!("\"accepted\":{count}{end}"))),
            Api::Centrifugo => !text.contains("\"error\""),
        };
        if answer.status != 200 || !accepted {
            let shown: String = text.chars().take(300).collect();
            return Err(format!(
                "publishing {count} events: answer {} {shown}",
                answer.status
            ));
        }
        self.published += count;
        self.shared.published.store(self.published, Relaxed);
        Ok(())
    }

    fn write_body(&mut self, count: u64) {
        self.body.clear();
        let sent = self.shared.now();
        let (open, close) = match self.api {
            Api::Fanfare if count == 1 => ("", ""),
            Api::Fanfare => ("[", "]"),
            Api::Centrifugo => ("{\"commands\":[", "]}"),
        };
        self.body.extend(open.bytes());
        for number in self.published..self.published + count {
            if number > self.published {
                self.body.push(b',');
            }
            let channels = self.channels.len() as u64;
            let channel = &self.channels[(number % channels) as usize];
            let marker = Marker {
                tag: channel.tag,
                sequence: (number / channels) as u32 + 1,
                sent,
            };
            match self.api {
                Api::Fanfare => channel.template.write(&marker, &mut self.body),
                Api::Centrifugo => {
                    let name = serde_json::Value::from(channel.name.as_str());
                    self.body
                        .extend(format!("{{\"publish\":{{\"channel\":{name},\"data\":").bytes());
                    channel.template.write(&marker, &mut self.body);
                    self.body.extend(b"}}");
                }
            }
        }
        self.body.extend(close.bytes());
    }
}
