//! When servers end, and what they leave.
#![allow(
    clippy::unwrap_used,
    reason = "a test ends where something unexpected comes"
)]

use std::io::{BufRead, BufReader};
use std::net::TcpStream;
use std::panic::AssertUnwindSafe;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use fanfare_test_servers::Nats;
use rustix::process::{Pid, Signal, kill_process};

fn is_up(url: &str) -> bool {
    let (_, address) = url.split_once("://").unwrap();
    TcpStream::connect(address).is_ok()
}

#[tokio::test]
async fn several_run_at_once_on_ports_and_folders_of_their_own() {
    let (one, other) = tokio::join!(Nats::start(), Nats::start());
    assert_ne!(one.url(), other.url());
    assert_ne!(one.folder(), other.folder());
    assert!(is_up(&one.url()) && is_up(&other.url()));
}

#[tokio::test]
async fn a_shared_server_is_one_and_the_same() {
    let (one, other) = tokio::join!(Nats::shared(), Nats::shared());
    assert!(std::ptr::eq(one, other));
    assert!(is_up(&one.url()));
}

#[test]
fn a_shared_server_outlives_the_runtime_that_started_it() {
    let once = || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        runtime.block_on(async { Nats::shared().await.url() })
    };
    let url = once();
    assert_eq!(once(), url);
    assert!(is_up(&url));
}

#[tokio::test(start_paused = true)]
async fn a_start_takes_no_time_of_a_paused_clock() {
    let begun = tokio::time::Instant::now();
    let mut nats = Nats::start().await;
    nats.kill().await;
    nats.start_again().await;
    assert!(is_up(&nats.url()));
    assert_eq!(begun.elapsed(), Duration::ZERO);
}

#[tokio::test]
async fn a_panic_ends_the_server_and_removes_its_folder() {
    let nats = Nats::start().await;
    let (url, folder) = (nats.url(), nats.folder());
    assert!(folder.join("data/jetstream").is_dir());
    let panicked = std::panic::catch_unwind(AssertUnwindSafe(move || {
        assert!(!is_up(&nats.url()), "this is what the test wants");
    }));
    assert!(panicked.is_err());
    assert!(!is_up(&url));
    assert!(!folder.exists());
}

/// The binary `servers` with a NATS server, and that server's URL.
fn servers() -> (Child, String) {
    let mut servers = Command::new(env!("CARGO_BIN_EXE_servers"))
        .arg("nats")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let stdout = servers.stdout.take().unwrap();
    BufReader::new(stdout).read_line(&mut line).unwrap();
    let url = line.trim_end().strip_prefix("nats ").unwrap();
    assert!(is_up(url));
    (servers, url.to_owned())
}

fn assert_gone_soon(url: &str) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while is_up(url) {
        assert!(Instant::now() < deadline, "{url} is still up");
        thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_killed_process_leaves_no_server_behind() {
    let (mut servers, url) = servers();
    servers.kill().unwrap();
    servers.wait().unwrap();
    assert_gone_soon(&url);
}

#[test]
fn the_binary_ends_with_its_standard_input() {
    let (mut servers, url) = servers();
    drop(servers.stdin.take());
    assert!(servers.wait().unwrap().success());
    assert!(!is_up(&url));
}

#[test]
fn the_binary_ends_by_a_signal_and_removes_its_folders() {
    let (mut servers, url) = servers();
    let port = url.rsplit(':').next().unwrap();
    let folders = || {
        let entries = std::env::temp_dir().read_dir().unwrap().flatten();
        let name = format!("fanfare-server-{port}-");
        entries
            .filter(move |entry| entry.file_name().to_str().unwrap().starts_with(&name))
            .count()
    };
    assert_eq!(folders(), 1);
    kill_process(Pid::from_child(&servers), Signal::TERM).unwrap();
    assert!(servers.wait().unwrap().success());
    assert_eq!(folders(), 0);
    assert!(!is_up(&url));
}
