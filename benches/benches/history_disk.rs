//! History on disk: two engines driven directly, and the store that is built on one of them.
//!
//! Prints tables. Every group is one commit with its sync; `open` is after an end without close, in
//! a new process.

#[path = "history_disk/engines.rs"]
mod engines;

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

/// As in the servers.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const GROUPS: [u64; 3] = [1, 64, 1024];

fn main() {
    let arguments = std::env::args().collect::<Vec<_>>();
    if let [_, command, name, folder, events] = &arguments[..]
        && command == "fill"
    {
        fill(name, Path::new(folder), events.parse().expect("a count"));
    }
    let quick = arguments.iter().any(|argument| argument == "--quick");
    let (span, events) = if quick {
        (Duration::from_millis(500), 100_000)
    } else {
        (Duration::from_secs(3), 1_000_000)
    };
    println!("engine               events a commit   commits/s     events/s");
    for name in engines::NAMES {
        for group in GROUPS {
            let (commits, elapsed) = append(name, group, span);
            let commits_a_second = commits as f64 / elapsed.as_secs_f64();
            println!(
                "{name:20} {group:15} {commits_a_second:11.0} {:12.0}",
                commits_a_second * group as f64
            );
        }
    }
    println!("\nengine                   events    open      on disk");
    for name in engines::NAMES {
        let folder = tempfile::tempdir().expect("a folder");
        run_fill(name, folder.path(), events);
        let size = bytes_in(folder.path());
        let begun = Instant::now();
        let engine = engines::open(name, folder.path());
        assert_eq!(engine.heads() as u64, engines::CHANNELS);
        let opened = begun.elapsed();
        println!(
            "{name:20} {events:10} {:5.0} ms {:8.0} MB",
            opened.as_secs_f64() * 1e3,
            size as f64 / 1e6
        );
    }
}

/// Appends for a while; how many commits, and how long they took.
fn append(name: &str, group: u64, span: Duration) -> (u64, Duration) {
    let folder = tempfile::tempdir().expect("a folder");
    let mut engine = engines::open(name, folder.path());
    let begun = Instant::now();
    let mut commits = 0;
    while begun.elapsed() < span {
        engine.commit(commits * group, group);
        commits += 1;
    }
    (commits, begun.elapsed())
}

/// Fills a folder in a process that ends without closing anything.
fn run_fill(name: &str, folder: &Path, events: u64) {
    let program = std::env::current_exe().expect("this program has a path");
    let mut command = Command::new(program);
    command.arg("fill").arg(name).arg(folder);
    // It ends by a signal, which is not success.
    let status = command.arg(events.to_string()).status();
    status.expect("the program runs once more");
}

fn fill(name: &str, folder: &Path, events: u64) -> ! {
    let mut engine = engines::open(name, folder);
    for first in (0..events).step_by(1_000) {
        engine.commit(first, 1_000);
    }
    std::process::abort()
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
