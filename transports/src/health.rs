//! Probes: is the server well, does it take in clients.

use std::sync::Mutex;
use std::time::{Instant, SystemTime};

use fanfare::Node;
use http::{Response, StatusCode};
use serde::Serialize;

use crate::Body;
use crate::refusal::json;

/// Answers the probes, and remembers the last look at the clock of the process.
#[derive(Debug)]
pub(crate) struct Health {
    last: Mutex<(Instant, f64)>,
}

impl Default for Health {
    fn default() -> Self {
        Self {
            last: Mutex::new((Instant::now(), cpu_seconds().unwrap_or_default())),
        }
    }
}

#[derive(Serialize)]
struct Report {
    status: &'static str,
    timestamp: String,
    metrics: Metrics,
    broker: Broker,
    /// Where the node has a sink.
    #[serde(skip_serializing_if = "Option::is_none")]
    topics: Option<Topics>,
}

#[derive(Serialize)]
struct Metrics {
    /// Resident bytes of the process.
    memory: u64,
    /// Percent of one processor since the last probe, at least a second ago.
    cpu: f64,
    connections: usize,
}

#[derive(Serialize)]
struct Broker {
    name: &'static str,
    status: &'static str,
    /// As far as this node knows, itself included.
    nodes: usize,
    ordered: bool,
    durable: bool,
    replayable: bool,
    shared_positions: bool,
}

/// The server of the service topics.
#[derive(Serialize)]
struct Topics {
    name: &'static str,
    up: bool,
    /// Records that wait on disk for it.
    spilled: u64,
}

impl Health {
    /// Always 200 while the process answers; the body says how it is.
    pub(crate) fn health(&self, node: &Node) -> Response<Body> {
        json(StatusCode::OK, &self.report(node))
    }

    /// The body of the above.
    pub(crate) fn report(&self, node: &Node) -> impl Serialize + use<> {
        let up = node.broker_is_up();
        let guarantees = node.guarantees();
        let sink = node.sink_status();
        let reaches_topics = sink.is_none_or(|sink| sink.is_up);
        Report {
            status: if node.is_draining() || !node.history_is_up() {
                "unhealthy"
            } else if up && reaches_topics {
                "healthy"
            } else {
                "degraded"
            },
            timestamp: jiff::Timestamp::try_from(SystemTime::now())
                .map_or_else(|_| String::new(), |now| format!("{now:.3}")),
            metrics: Metrics {
                memory: resident_bytes().unwrap_or_default(),
                cpu: self.cpu_percent(),
                connections: node.connections(),
            },
            broker: Broker {
                name: guarantees.name,
                status: if up { "up" } else { "down" },
                nodes: node.nodes(),
                ordered: guarantees.ordered,
                durable: guarantees.durable,
                replayable: guarantees.replayable,
                shared_positions: guarantees.shared_positions,
            },
            topics: sink.map(|sink| Topics {
                name: sink.name,
                up: sink.is_up,
                spilled: sink.spilled,
            }),
        }
    }

    /// 200 while clients are taken in, 503 otherwise. They are while brokers are away: what there
    /// is they get, and nodes that all turned away their clients would help nobody.
    pub(crate) fn ready(node: &Node) -> Response<Body> {
        #[derive(Serialize)]
        struct Ready {
            ready: bool,
        }
        let ready = node.history_is_up() && !node.is_draining();
        let status = if ready {
            StatusCode::OK
        } else {
            StatusCode::SERVICE_UNAVAILABLE
        };
        json(status, &Ready { ready })
    }

    fn cpu_percent(&self) -> f64 {
        let used = cpu_seconds().unwrap_or_default();
        let mut last = self
            .last
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let elapsed = last.0.elapsed().as_secs_f64();
        let percent = 100.0 * (used - last.1) / elapsed.max(0.001);
        if elapsed >= 1.0 {
            *last = (Instant::now(), used);
        }
        (percent * 10.0).round() / 10.0
    }
}

/// From `/proc/self/statm`; none on systems without it.
fn resident_bytes() -> Option<u64> {
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages = statm.split(' ').nth(1)?.parse::<u64>().ok()?;
    Some(pages * 4096)
}

/// From `/proc/self/stat`, user and system time in ticks of 10 ms; none on systems without it.
fn cpu_seconds() -> Option<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The second field is the command's name in parentheses, which may hold spaces.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut times = fields.split_ascii_whitespace().skip(11);
    let user = times.next()?.parse::<u32>().ok()?;
    let system = times.next()?.parse::<u32>().ok()?;
    Some(f64::from(user.saturating_add(system)) / 100.0)
}
