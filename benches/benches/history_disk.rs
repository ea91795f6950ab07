//! History on disk: two engines driven directly, and the store that is built on one of them.
//!
//! Prints tables. Every group is one commit with its sync. What is opened was left by a process that
//! ended without closing it.

#[path = "history_disk/engines.rs"]
mod engines;
#[path = "support/events.rs"]
mod events;

use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use fanfare::history::disk::Disk;
use fanfare::{Channel, HistoryStore};
use tokio::runtime::Builder;

/// As in the servers.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const GROUPS: [u64; 3] = [1, 64, 1024];

fn main() {
    let arguments = std::env::args().collect::<Vec<_>>();
    let words = arguments.iter().map(String::as_str).collect::<Vec<_>>();
    match &words[1..] {
        ["fill", name, folder, events] => {
            fill(name, Path::new(folder), events.parse().expect("a count"));
        }
        ["open", name, folder] => open(name, Path::new(folder)),
        _ if words.contains(&"--quick") => compare(3, Duration::from_millis(100), 100_000),
        // Among the tests it only has to run.
        _ if !words.contains(&"--bench") => compare(1, Duration::from_millis(20), 2_000),
        _ => compare(5, Duration::from_millis(500), 1_000_000),
    }
}

fn compare(rounds: usize, span: Duration, events: u64) {
    println!(
        "                     events a commit   commits/s     events/s   (median of {rounds})"
    );
    for group in GROUPS {
        let mut rates = vec![Vec::new(); engines::NAMES.len()];
        // In turns, so that what else the machine does falls on all of them.
        for _ in 0..rounds {
            for (name, rates) in engines::NAMES.iter().zip(&mut rates) {
                rates.push(append(name, group, span));
            }
        }
        for (name, rates) in engines::NAMES.iter().zip(&mut rates) {
            rates.sort_by(f64::total_cmp);
            let rate = rates[rounds / 2];
            println!(
                "{name:20} {group:15} {rate:11.0} {:12.0}",
                rate * group as f64
            );
        }
    }
    println!("\n                         events    on disk  open, memory after it");
    for name in engines::NAMES {
        let folder = tempfile::tempdir().expect("a folder");
        // It ends by a signal, which is not success.
        run(&[
            "fill",
            name,
            &folder.path().to_string_lossy(),
            &events.to_string(),
        ]);
        let size = bytes_in(folder.path()) as f64 / 1e6;
        let opened = run(&["open", name, &folder.path().to_string_lossy()]);
        let opened = String::from_utf8_lossy(&opened.stdout);
        println!("{name:20} {events:10} {size:7.0} MB  {}", opened.trim());
        if name == "Disk" {
            read(folder.path(), events / engines::CHANNELS);
        }
    }
}

/// Appends for a while; how many commits a second.
fn append(name: &str, group: u64, span: Duration) -> f64 {
    let folder = tempfile::tempdir().expect("a folder");
    let mut engine = engines::open(name, folder.path());
    let begun = Instant::now();
    let mut commits = 0;
    while begun.elapsed() < span {
        engine.commit(commits * group, group);
        commits += 1;
    }
    commits as f64 / begun.elapsed().as_secs_f64()
}

/// Runs this program once more.
fn run(arguments: &[&str]) -> Output {
    let program = std::env::current_exe().expect("this program has a path");
    let output = Command::new(program).args(arguments).output();
    output.expect("the program runs once more")
}

/// Fills a folder and ends without closing anything.
fn fill(name: &str, folder: &Path, events: u64) -> ! {
    let mut engine = engines::open(name, folder);
    for first in (0..events).step_by(1_000) {
        engine.commit(first, 1_000);
    }
    std::process::abort()
}

fn open(name: &str, folder: &Path) {
    let begun = Instant::now();
    let engine = engines::open(name, folder);
    assert_eq!(engine.heads() as u64, engines::CHANNELS);
    let opened = begun.elapsed().as_secs_f64() * 1e3;
    println!("{opened:.0} ms, {} MB", resident() / 1_000_000);
}

/// Reads the oldest events of a channel from disk, of which it has so many, again and again.
fn read(folder: &Path, kept: u64) {
    let store = Disk::open(folder).expect("the store opens");
    let channel = Channel::new("thread.7").expect("the name is a channel name");
    let runtime = Builder::new_current_thread().build();
    let runtime = runtime.expect("a runtime starts");
    for count in [10, 100, 1_000] {
        let begun = Instant::now();
        let rounds = 200;
        for _ in 0..rounds {
            let page = runtime.block_on(store.read(&channel, 0, u64::MAX, count));
            let page = page.expect("the disk can be read");
            assert_eq!(page.publications.len() as u64, kept.min(count as u64));
        }
        let each = begun.elapsed() / rounds;
        println!(
            "  {count} events of a channel from disk: {} us",
            each.as_micros()
        );
    }
}

/// Bytes of memory that this process holds; 0 where the system does not say.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kilobytes.unwrap_or(0) * 1_024
}

fn bytes_in(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).expect("the folder can be read");
    let sizes = entries.map(|entry| {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            bytes_in(&path)
        } else {
            path.metadata().map_or(0, |metadata| metadata.len())
        }
    });
    sizes.sum()
}
