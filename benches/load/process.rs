//! What the kernel tells about a process.

use std::fs::read_to_string;
use std::time::Duration;

use serde::Serialize;

/// Unit of the times in `/proc`: fixed by Linux's interface, whatever the kernel's own clock.
const TICK: Duration = Duration::from_millis(10);

/// Bytes of user memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Memory {
    pub(crate) resident: u64,
    pub(crate) private: u64,
}

/// CPU time that the process used so far.
pub(crate) fn cpu(process: &str) -> Result<Duration, String> {
    let path = format!("/proc/{process}/stat");
    let text = read_to_string(&path).map_err(|error| format!("{path}: {error}"))?;
    parse_cpu(&text).ok_or_else(|| format!("{path}: not understood"))
}

/// Private memory counts as resident where the kernel does not tell them apart.
pub(crate) fn memory(process: &str) -> Result<Memory, String> {
    if let Ok(text) = read_to_string(format!("/proc/{process}/smaps_rollup"))
        && let Some(resident) = kibibytes(&text, "Rss:")
        && let Some(clean) = kibibytes(&text, "Private_Clean:")
        && let Some(dirty) = kibibytes(&text, "Private_Dirty:")
    {
        return Ok(Memory {
            resident,
            private: clean + dirty,
        });
    }
    let path = format!("/proc/{process}/status");
    let text = read_to_string(&path).map_err(|error| format!("{path}: {error}"))?;
    let resident = kibibytes(&text, "VmRSS:").ok_or_else(|| format!("{path}: no VmRSS"))?;
    Ok(Memory {
        resident,
        private: resident,
    })
}

/// How many files this process may have open.
pub(crate) fn open_files_limit() -> Option<u64> {
    let text = read_to_string("/proc/self/limits").ok()?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// The name before the numbers is free text in parentheses.
fn parse_cpu(stat: &str) -> Option<Duration> {
    let (_, numbers) = stat.rsplit_once(')')?;
    let mut times = numbers.split_whitespace().skip(11);
    let user: u32 = times.next()?.parse().ok()?;
    let system: u32 = times.next()?.parse().ok()?;
    Some(TICK * (user + system))
}

fn kibibytes(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    let number: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(number * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_time_is_read_behind_any_name() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194560 1 0 0 0 123 45 9 9 20 0 4 0 100 1 1";
        assert_eq!(parse_cpu(stat), Some(Duration::from_millis(1_680)));
    }

    #[test]
    fn this_process_can_be_read() {
        assert!(cpu("self").is_ok());
        assert!(memory("self").unwrap().private > 0);
        assert!(open_files_limit().unwrap() > 0);
    }
}
