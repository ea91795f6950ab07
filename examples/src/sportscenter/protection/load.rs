//! What the process and its machine are busy with, as far as Linux says it; zeros elsewhere.

use std::path::Path;
use std::time::Instant;

use crate::sportscenter::fields::NodeLoad;

/// Looks at the counters of the system, and remembers the last look.
#[derive(Debug)]
pub(super) struct Load {
    at: Instant,
    cpu_seconds: f64,
    network_bytes: u64,
}

/// What was found.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Measured {
    pub(super) node: NodeLoad,
    /// Over all network interfaces, in both directions.
    pub(super) bytes_per_second: f64,
}

impl Default for Load {
    fn default() -> Self {
        Self {
            at: Instant::now(),
            cpu_seconds: cpu_seconds().unwrap_or_default(),
            network_bytes: network_bytes(),
        }
    }
}

impl Load {
    /// Averages since the last look, and the memory of now.
    pub(super) fn look(&mut self) -> Measured {
        let now = Self::default();
        let elapsed = now.at.duration_since(self.at).as_secs_f64().max(0.001);
        let cpu = (now.cpu_seconds - self.cpu_seconds).max(0.0) / elapsed;
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let bytes_per_second =
            now.network_bytes.saturating_sub(self.network_bytes) as f64 / elapsed;
        *self = now;
        let node = NodeLoad {
            memory_usage: percent(memory().unwrap_or_default()),
            cpu_usage: percent(cpu / processors as f64),
            network_saturation: percent(match link_speed() {
                0.0 => 0.0,
                speed => bytes_per_second / speed,
            }),
        };
        Measured {
            node,
            bytes_per_second: bytes_per_second.round(),
        }
    }
}

/// In percent, with a tenth.
fn percent(share: f64) -> f64 {
    (share * 1_000.0).round() / 10.0
}

/// The share of the machine's memory that the process has.
fn memory() -> Option<f64> {
    let pages = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages = pages.split(' ').nth(1)?.parse::<f64>().ok()?;
    let all = std::fs::read_to_string("/proc/meminfo").ok()?;
    let all = all
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kibibytes = all.split_whitespace().next()?.parse::<f64>().ok()?;
    Some(pages * 4.0 / kibibytes)
}

/// What the process has used of its processors.
fn cpu_seconds() -> Option<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The second field is the command's name in parentheses, which may hold spaces.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut times = fields.split_ascii_whitespace().skip(11);
    let user = times.next()?.parse::<f64>().ok()?;
    let system = times.next()?.parse::<f64>().ok()?;
    Some((user + system) / 100.0)
}

/// What all interfaces have carried.
fn network_bytes() -> u64 {
    let interfaces = std::fs::read_to_string("/proc/net/dev").unwrap_or_default();
    let bytes = interfaces.lines().filter_map(|line| {
        let (_, counters) = line.split_once(':')?;
        let mut counters = counters.split_ascii_whitespace();
        let received = counters.next()?.parse::<u64>().ok()?;
        let sent = counters.nth(7)?.parse::<u64>().ok()?;
        Some(received.saturating_add(sent))
    });
    bytes.fold(0, u64::saturating_add)
}

/// What the interfaces that say their speed can carry, in bytes a second.
fn link_speed() -> f64 {
    let Ok(interfaces) = std::fs::read_dir("/sys/class/net") else {
        return 0.0;
    };
    let speed = |interface: &Path| {
        let megabits = std::fs::read_to_string(interface.join("speed")).ok()?;
        let megabits = megabits.trim().parse::<f64>().ok()?;
        // -1 is that of an interface that has none.
        (megabits > 0.0).then_some(megabits * 125_000.0)
    };
    let interfaces = interfaces.filter_map(Result::ok);
    interfaces
        .filter_map(|interface| speed(&interface.path()))
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn a_busy_process_is_seen() {
        let mut load = Load::default();
        let until = Instant::now() + std::time::Duration::from_millis(100);
        let mut turns = 0_u64;
        while Instant::now() < until {
            turns = std::hint::black_box(turns + 1);
        }
        let Measured { node, .. } = load.look();
        assert!(node.cpu_usage > 0.0, "{node:?}");
        assert!(
            node.memory_usage > 0.0 && node.memory_usage < 100.0,
            "{node:?}"
        );
        assert!((0.0..=100.0).contains(&node.network_saturation), "{node:?}");
    }
}
