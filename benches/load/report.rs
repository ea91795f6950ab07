//! The result, for people and for programs.

use std::collections::BTreeMap;
use std::fmt::{Display, Formatter, Result};
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::process::Memory;
use crate::tally::Tally;

#[derive(Debug, Default, Serialize)]
pub(crate) struct Report {
    pub(crate) ok: bool,
    pub(crate) connections: u32,
    pub(crate) channels: usize,
    pub(crate) threads: u32,
    pub(crate) connect_seconds: f64,
    pub(crate) event_bytes: usize,
    /// Things about the set-up that a reader of the figures has to know.
    pub(crate) notes: Vec<String>,
    pub(crate) faults: Vec<String>,
    pub(crate) memory: Option<IdleMemory>,
    pub(crate) measured: Option<Measured>,
    pub(crate) publishing: Option<Publishing>,
    pub(crate) delivery: Option<Delivery>,
    pub(crate) server_exit: Option<String>,
}

/// Before any connection, and with all of them idle.
#[derive(Debug, Serialize)]
pub(crate) struct IdleMemory {
    pub(crate) before: Memory,
    pub(crate) idle: Memory,
    pub(crate) private_per_connection: i64,
    pub(crate) resident_per_connection: i64,
}

impl IdleMemory {
    pub(crate) fn new(before: Memory, idle: Memory, connections: u32) -> Self {
        let per_connection =
            |before: u64, idle: u64| (idle as i64 - before as i64) / i64::from(connections);
        Self {
            before,
            idle,
            private_per_connection: per_connection(before.private, idle.private),
            resident_per_connection: per_connection(before.resident, idle.resident),
        }
    }
}

/// Of the measured span alone.
#[derive(Debug, Serialize)]
pub(crate) struct Measured {
    pub(crate) seconds: f64,
    pub(crate) events: u64,
    pub(crate) events_per_second: f64,
    pub(crate) deliveries: u64,
    pub(crate) deliveries_per_second: f64,
    pub(crate) messages: u64,
    pub(crate) events_per_message: f64,
    pub(crate) server: Option<Cpu>,
    pub(crate) client: Option<Cpu>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Cpu {
    pub(crate) us_per_delivery: f64,
    pub(crate) cores: f64,
}

impl Cpu {
    pub(crate) fn new(used: Duration, span: Duration, deliveries: u64) -> Self {
        Self {
            us_per_delivery: used.as_secs_f64() * 1e6 / deliveries.max(1) as f64,
            cores: used.as_secs_f64() / span.as_secs_f64(),
        }
    }
}

#[derive(Debug, Serialize)]
pub(crate) struct Publishing {
    pub(crate) events: u64,
    pub(crate) calls: u64,
    pub(crate) call_ms: Quantiles,
    /// How long after its time an event was published at worst.
    pub(crate) latest_ms: f64,
}

/// Of the whole run.
#[derive(Debug, Serialize)]
pub(crate) struct Delivery {
    pub(crate) deliveries: u64,
    pub(crate) messages: u64,
    pub(crate) lost: u64,
    /// Events after the end of connections that the server ended.
    pub(crate) cut_off: u64,
    pub(crate) duplicates: u64,
    pub(crate) order_errors: u64,
    pub(crate) ahead: u64,
    pub(crate) late: u64,
    pub(crate) foreign: u64,
    pub(crate) other_pushes: u64,
    pub(crate) pings: u64,
    pub(crate) failures: BTreeMap<String, u64>,
    pub(crate) disconnects: BTreeMap<String, u64>,
    /// Of events made in the measured span.
    pub(crate) latency_ms: Quantiles,
}

impl Delivery {
    pub(crate) fn new(tally: Tally) -> Self {
        Self {
            deliveries: tally.deliveries,
            messages: tally.messages,
            lost: tally.missing + tally.tail,
            cut_off: tally.cut_off,
            duplicates: tally.duplicates,
            order_errors: tally.ahead + tally.late,
            ahead: tally.ahead,
            late: tally.late,
            foreign: tally.foreign,
            other_pushes: tally.other_pushes,
            pings: tally.pings,
            failures: tally.failures,
            disconnects: tally.disconnects,
            latency_ms: Quantiles::new(&tally.latency.into_histogram()),
        }
    }

    /// What must not have happened.
    pub(crate) fn faults(&self) -> Vec<String> {
        let sum = |of: &BTreeMap<String, u64>| of.values().sum::<u64>();
        let counts = [
            ("events lost", self.lost),
            ("events out of order", self.order_errors),
            ("duplicates", self.duplicates),
            ("events of other channels or runs", self.foreign),
            ("unexpected disconnects", sum(&self.disconnects)),
            ("connections that could not be set up", sum(&self.failures)),
        ];
        counts
            .iter()
            .filter(|(_, count)| *count > 0)
            .map(|(name, count)| format!("{count} {name}"))
            .collect()
    }
}

#[derive(Debug, Serialize)]
pub(crate) struct Quantiles {
    pub(crate) count: u64,
    pub(crate) p50: f64,
    pub(crate) p90: f64,
    pub(crate) p99: f64,
    pub(crate) p999: f64,
    pub(crate) max: f64,
}

impl Quantiles {
    pub(crate) fn new(microseconds: &Histogram<u64>) -> Self {
        let at = |quantile| microseconds.value_at_quantile(quantile) as f64 / 1_000.0;
        Self {
            count: microseconds.len(),
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p999: at(0.999),
            max: microseconds.max() as f64 / 1_000.0,
        }
    }
}

impl Display for Quantiles {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let Self {
            count,
            p50,
            p90,
            p99,
            p999,
            max,
        } = self;
        write!(
            f,
            "p50 {p50:.2}  p90 {p90:.2}  p99 {p99:.2}  p99.9 {p999:.2}  max {max:.2} ms ({})",
            grouped(*count)
        )
    }
}

impl Display for Cpu {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        write!(
            f,
            "{:.3} us per delivery ({:.2} cores)",
            self.us_per_delivery, self.cores
        )
    }
}

impl Display for Report {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let mut row = |name: &str, value: String| writeln!(f, "{name:<18} {value}");
        let threads = self.threads;
        let open = format!(
            "opened in {:.2} s, read by {threads} thread(s)",
            self.connect_seconds
        );
        row(
            "connections",
            format!("{} {open}", grouped(u64::from(self.connections))),
        )?;
        row("channels", self.channels.to_string())?;
        if let Some(memory) = &self.memory {
            let IdleMemory {
                before,
                idle,
                private_per_connection,
                resident_per_connection,
            } = memory;
            let both = format!(
                "{private_per_connection} bytes private, {resident_per_connection} resident"
            );
            row("idle connection", both)?;
            let mib = |bytes: u64| bytes as f64 / 1_048_576.0;
            let whole = format!(
                "{:.1} MiB private before, {:.1} with all idle",
                mib(before.private),
                mib(idle.private)
            );
            row("server memory", whole)?;
        }
        if let Some(measured) = &self.measured {
            let rate = |count: u64, rate: f64| {
                format!("{} ({}/s)", grouped(count), grouped(rate.round() as u64))
            };
            row(
                "measured",
                format!(
                    "{:.2} s, events of {} bytes",
                    measured.seconds, self.event_bytes
                ),
            )?;
            row("events", rate(measured.events, measured.events_per_second))?;
            row(
                "deliveries",
                rate(measured.deliveries, measured.deliveries_per_second),
            )?;
            let messages = grouped(measured.messages);
            row(
                "messages",
                format!(
                    "{messages} ({:.2} events each)",
                    measured.events_per_message
                ),
            )?;
            let cpu = |cpu: &Option<Cpu>| cpu.as_ref().map_or("unknown".to_owned(), Cpu::to_string);
            row("server CPU", cpu(&measured.server))?;
            row("client CPU", cpu(&measured.client))?;
        }
        if let Some(delivery) = &self.delivery {
            if self.measured.is_some() {
                row("latency", delivery.latency_ms.to_string())?;
            }
            if let Some(publishing) = &self.publishing {
                row("publishing call", publishing.call_ms.to_string())?;
                row(
                    "publisher late by",
                    format!("{:.2} ms at most", publishing.latest_ms),
                )?;
                let events = grouped(publishing.events);
                row(
                    "whole run",
                    format!(
                        "{events} events, {} deliveries",
                        grouped(delivery.deliveries)
                    ),
                )?;
            }
            row("lost", grouped(delivery.lost))?;
            row("duplicates", grouped(delivery.duplicates))?;
            let errors = grouped(delivery.order_errors);
            row(
                "order errors",
                format!(
                    "{errors} ({} ahead, {} late)",
                    delivery.ahead, delivery.late
                ),
            )?;
            if delivery.foreign + delivery.other_pushes > 0 {
                let foreign = format!("{} of other channels or runs", delivery.foreign);
                row(
                    "other pushes",
                    format!("{foreign}, {} without a marker", delivery.other_pushes),
                )?;
            }
            row("disconnects", by_reason(&delivery.disconnects))?;
            if delivery.cut_off > 0 {
                row(
                    "",
                    format!("{} events came after that", grouped(delivery.cut_off)),
                )?;
            }
            if !delivery.failures.is_empty() {
                row("not set up", by_reason(&delivery.failures))?;
            }
        }
        if let Some(exit) = &self.server_exit {
            row("server ended", exit.clone())?;
        }
        for note in &self.notes {
            row("note", note.clone())?;
        }
        match self.faults.as_slice() {
            [] => row("result", "ok".to_owned()),
            faults => row("result", format!("FAILED: {}", faults.join("; "))),
        }
    }
}

fn by_reason(counts: &BTreeMap<String, u64>) -> String {
    let total: u64 = counts.values().sum();
    let reasons: Vec<String> = counts
        .iter()
        .map(|(reason, count)| format!("{count} x {reason}"))
        .collect();
    format!("{} {}", grouped(total), reasons.join(", "))
        .trim_end()
        .to_owned()
}

/// With commas between thousands.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped() {
        let numbers = [0, 999, 1_000, 123_456, 1_234_567].map(grouped);
        assert_eq!(numbers, ["0", "999", "1,000", "123,456", "1,234,567"]);
    }

    #[test]
    fn faults_are_named() {
        let mut tally = Tally::new();
        assert!(Delivery::new(Tally::new()).faults().is_empty());
        (tally.missing, tally.tail, tally.late) = (2, 3, 1);
        tally.disconnects.insert("3008 slow".to_owned(), 4);
        let faults = Delivery::new(tally).faults();
        assert_eq!(
            faults,
            [
                "5 events lost",
                "1 events out of order",
                "4 unexpected disconnects"
            ]
        );
    }
}
