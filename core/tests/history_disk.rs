//! The disk store and the ends that a process can come to.
#![cfg(feature = "disk")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Lines};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use fanfare::codec::Since;
use fanfare::history::Retention;
use fanfare::history::disk::Disk;
use fanfare::{Channel, Epoch, Event, HistoryStore, Node, Position};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

/// Where the child finds its folder; absent where these tests are run by hand.
const FOLDER: &str = "FANFARE_TEST_HISTORY";
/// A channel that keeps few events, so that removals are under way when the end comes.
const SHORT: &str = "short.1";
const CHANNELS: [&str; 4] = ["thread.1", "thread.2", "thread.3", SHORT];

/// Every position that the child had for safe, with the number in its payload.
type Safe = HashMap<(String, u64), (Epoch, u64)>;

/// What the child does: publishes to all channels at once and prints what is safe, for ever.
#[test]
#[ignore = "the child process of the other tests"]
fn child() {
    let Ok(folder) = std::env::var(FOLDER) else {
        return;
    };
    runtime().block_on(async {
        let store = Arc::new(Disk::open(&folder).unwrap());
        println!("open");
        let mut publishers = JoinSet::new();
        for name in CHANNELS {
            publishers.spawn(publish_for_ever(store.clone(), name));
        }
        while publishers.join_next().await.is_some() {}
        println!("up {}", store.is_up());
        let late = store.append(event(CHANNELS[0], 0), &retention(CHANNELS[0]));
        let committed = store.committed(late.ticket).await;
        println!("late {}", committed.is_ok());
    });
}

/// Publishes until the store has failed.
async fn publish_for_ever(store: Arc<Disk>, name: &'static str) {
    let mut number = 0;
    loop {
        // A few at a time, so that batches hold several of a channel.
        let appended = (0..number % 7 + 1).map(|more| {
            let number = number + more;
            (store.append(event(name, number), &retention(name)), number)
        });
        let appended = appended.collect::<Vec<_>>();
        number += appended.len() as u64;
        for (appended, number) in appended {
            if store.committed(appended.ticket).await.is_err() {
                return;
            }
            let Position { epoch, offset } = appended.publication.position().unwrap();
            println!("safe {name} {epoch} {offset} {number} .");
        }
        if number % 5 == 0 {
            store.expire();
        }
    }
}

#[test]
fn what_was_safe_is_there_after_kill_9() {
    let folder = tempfile::tempdir().unwrap();
    let mut safe = Safe::new();
    for round in 0..12 {
        let (mut child, mut lines) = spawn(folder.path(), false);
        let until = Instant::now() + Duration::from_millis(rand::random_range(1..250));
        while Instant::now() < until {
            note(&mut safe, &lines.next().unwrap().unwrap());
        }
        // SIGKILL.
        child.kill().unwrap();
        child.wait().unwrap();
        for line in lines.map_while(Result::ok) {
            note(&mut safe, &line);
        }
        assert!(!safe.is_empty());
        runtime().block_on(check(folder.path(), &safe, round));
    }
    let longest = safe.keys().map(|(_, offset)| *offset).max().unwrap();
    assert!(longest > 50, "the child came no further than {longest}");
}

/// Every position that was safe is there with its payload and epoch, and nothing is missing between
/// the oldest and the newest.
async fn check(folder: &Path, safe: &Safe, round: usize) {
    let store = Disk::open(folder).unwrap();
    for name in CHANNELS {
        let channel = Channel::new(name).unwrap();
        let top = store.top(&channel);
        let page = store.read(&channel, 0, u64::MAX, usize::MAX).await.unwrap();
        assert_eq!(page.top, top);
        let mut numbers = HashMap::new();
        for (publication, expected) in page.publications.iter().zip(page.oldest..) {
            let position = publication.position().unwrap();
            assert_eq!((position.epoch, position.offset), (top.epoch, expected));
            let payload = std::str::from_utf8(publication.event().payload()).unwrap();
            let number = payload.split([':', ',']).nth(1).unwrap();
            numbers.insert(position.offset, number.parse::<u64>().unwrap());
        }
        assert_eq!(numbers.len() as u64, top.offset + 1 - page.oldest);
        if name == SHORT {
            assert!(numbers.len() <= retention(name).events);
        } else {
            assert_eq!(page.oldest, 1);
        }
        for ((_, offset), (epoch, number)) in safe.iter().filter(|((of, _), _)| of == name) {
            assert_eq!(*epoch, top.epoch, "round {round}, {name} {offset}");
            assert!(*offset <= top.offset, "round {round}, {name} {offset}");
            if *offset >= page.oldest {
                assert_eq!(numbers.get(offset), Some(number), "{name} {offset}");
            }
        }
    }
    store.close().await;
}

/// A disk that refuses to be written takes the store down, and what was safe before stays.
#[cfg(target_os = "linux")]
#[test]
fn a_disk_that_fails_takes_the_store_down() {
    let folder = tempfile::tempdir().unwrap();
    let mut safe = Safe::new();
    let (mut child, mut lines) = spawn(folder.path(), true);
    let mut last = String::new();
    while safe.len() < 20 {
        note(&mut safe, &lines.next().unwrap().unwrap());
    }
    // From now on no file may be written beyond its first byte.
    let limited = Command::new("prlimit")
        .args(["--pid", &child.id().to_string(), "--fsize=1"])
        .status();
    assert!(limited.unwrap().success());
    let mut told = Vec::new();
    for line in lines.map_while(Result::ok) {
        if !note(&mut safe, &line) {
            told.push(line.clone());
        }
        last = line;
    }
    let status = child.wait().unwrap();
    assert!(status.success(), "it ended with {status}: {last}");
    assert!(told.contains(&"up false".to_owned()), "{told:?}");
    assert!(told.contains(&"late false".to_owned()), "{told:?}");
    runtime().block_on(check(folder.path(), &safe, 0));
}

#[test]
fn many_publishers_share_commits() {
    let folder = tempfile::tempdir().unwrap();
    let publishers = 200;
    let each = 20;
    runtime().block_on(async {
        let store = Arc::new(Disk::open(folder.path()).unwrap());
        let mut tasks = JoinSet::new();
        for publisher in 0..publishers {
            let store = store.clone();
            tasks.spawn(async move {
                let name = format!("user.{publisher}");
                for number in 0..each {
                    let appended = store.append(event(&name, number), &retention(&name));
                    let offset = appended.publication.position().unwrap().offset;
                    assert_eq!(offset, number + 1);
                    store.committed(appended.ticket).await.unwrap();
                    assert!(store.safe() >= appended.ticket);
                }
            });
        }
        while let Some(task) = tasks.join_next().await {
            task.unwrap();
        }
        store.close().await;
    });
    runtime().block_on(async {
        let store = Disk::open(folder.path()).unwrap();
        for publisher in 0..publishers {
            let channel = Channel::new(&format!("user.{publisher}")).unwrap();
            let page = store.read(&channel, 0, u64::MAX, usize::MAX).await.unwrap();
            assert_eq!(page.publications.len() as u64, each);
        }
    });
}

#[test]
fn a_node_goes_on_where_the_one_before_it_ended() {
    let folder = tempfile::tempdir().unwrap();
    let channel = Channel::new("thread.1").unwrap();
    let begun = runtime().block_on(async {
        let store = Disk::open(folder.path()).unwrap();
        let node = Node::builder().history(store).start().await.unwrap();
        let events = (1..=5).map(|number| event("thread.1", number)).collect();
        let published = node.publish_all(events).await.unwrap();
        node.drain().await;
        published[1].position.unwrap()
    });
    runtime().block_on(async {
        let store = Disk::open(folder.path()).unwrap();
        let node = Node::builder().history(store).start().await.unwrap();
        let since = Since {
            epoch: begun.epoch.to_string(),
            offset: begun.offset,
        };
        let missed = node.history(&channel, Some(&since), 99, false).await;
        let (missed, top) = missed.unwrap();
        let missed = missed.iter().map(|p| p.position().unwrap().offset);
        assert_eq!(missed.collect::<Vec<_>>(), [3, 4, 5]);
        let next = node.publish(event("thread.1", 6)).await.unwrap();
        assert_eq!((top.offset, next.position.unwrap().offset), (5, 6));
        assert_eq!(next.position.unwrap().epoch, begun.epoch);
        node.drain().await;
    });
}

/// Runs `child` of this program. If `outlives_limits`, writes over the limit fail instead of
/// ending it.
fn spawn(folder: &Path, outlives_limits: bool) -> (Child, Lines<BufReader<ChildStdout>>) {
    let program = std::env::current_exe().unwrap();
    let mut command = if outlives_limits {
        let mut shell = Command::new("sh");
        shell
            .args(["-c", r#"trap "" XFSZ; exec "$0" "$@""#])
            .arg(program);
        shell
    } else {
        Command::new(program)
    };
    let mut child = command
        .args(["--exact", "child", "--ignored", "--nocapture"])
        .env(FOLDER, folder)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    while lines.next().unwrap().unwrap() != "open" {}
    (child, lines)
}

/// Keeps a line of the child that says that a position is safe.
fn note(safe: &mut Safe, line: &str) -> bool {
    let words = line.split(' ').collect::<Vec<_>>();
    // A line that was cut off has no full stop.
    let ["safe", name, epoch, offset, number, "."] = &words[..] else {
        return false;
    };
    let key = ((*name).to_owned(), offset.parse().unwrap());
    let known = safe.insert(key, (epoch.parse().unwrap(), number.parse().unwrap()));
    assert_eq!(known, None, "{line} came twice");
    true
}

fn event(channel: &str, number: u64) -> Event {
    let payload = format!(r#"{{"n":{number},"text":"{}"}}"#, "x".repeat(200));
    Event::new(Channel::new(channel).unwrap(), "e", payload).unwrap()
}

fn retention(channel: &str) -> Retention {
    Retention {
        events: if channel == SHORT { 10 } else { usize::MAX },
        bytes: usize::MAX,
        ..Retention::default()
    }
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
}
