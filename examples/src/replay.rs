//! Recorded events, published again at the pace they were recorded at.
//!
//! A line of the file is one envelope, or `{"at": TIME, "envelope": ENVELOPE}`. The time is RFC 3339 and
//! says when the event was recorded; of a bare envelope it is its `timestamp`, or that of its
//! `metadata`. An event without a time follows the one before it at once.

use std::path::{Path, PathBuf};
use std::time::Duration;

use fanfare::Node;
use fanfare::catalog::Timestamp;
use serde_json::Value;
use serde_json::value::RawValue;
use tokio::fs::File;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::time::{Instant, sleep_until};
use tracing::warn;

/// The longest pause between two events, whatever their times say: a recording that was interrupted
/// need not be waited for.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// A file of recorded events.
#[derive(Debug)]
pub struct Replay {
    path: PathBuf,
    lines: Lines<BufReader<File>>,
    speed: f64,
}

/// What became of a replay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Replayed {
    /// Events that were published.
    pub published: u64,
    /// Lines that were not; the log says which and why.
    pub refused: u64,
}

impl Replay {
    /// Opens a file. At a speed of 2 an hour takes half an hour.
    ///
    /// # Errors
    /// A sentence, where it cannot be read.
    pub async fn open(path: &Path, speed: f64) -> Result<Self, String> {
        let cannot = |error| format!("--replay: cannot read {}: {error}", path.display());
        let file = File::open(path).await.map_err(cannot)?;
        // A folder can be opened as well.
        if file.metadata().await.map_err(cannot)?.is_dir() {
            return Err(format!("--replay: {} is a folder", path.display()));
        }
        Ok(Self {
            path: path.to_owned(),
            lines: BufReader::new(file).lines(),
            speed,
        })
    }

    /// Publishes the events on a node, to the end of the file or of the node.
    pub async fn run(mut self, node: &Node) -> Replayed {
        let mut replayed = Replayed {
            published: 0,
            refused: 0,
        };
        let mut due = Instant::now();
        let mut last = None;
        for number in 1u64.. {
            let line = match self.lines.next_line().await {
                Ok(Some(line)) => line,
                Ok(None) => break,
                Err(error) => {
                    warn!(path = %self.path.display(), number, %error, "the replay ends here");
                    break;
                }
            };
            if line.trim().is_empty() {
                continue;
            }
            let (at, envelope) = recorded(&line);
            if let (Some(last), Some(at)) = (last, at) {
                let pause = Duration::from_nanos(u64::try_from(at - last).unwrap_or(0));
                let pause = pause.min(LONGEST_PAUSE).div_f64(self.speed);
                due += pause;
                sleep_until(due).await;
            }
            last = at.or(last);
            match publish(node, envelope).await {
                Ok(()) => replayed.published += 1,
                Err(_) if node.is_draining() => break,
                Err(problem) => {
                    replayed.refused += 1;
                    warn!(path = %self.path.display(), number, problem, "not replayed");
                }
            }
        }
        replayed
    }
}

/// When a line was recorded, in nanoseconds since 1970, and its envelope.
fn recorded(line: &str) -> (Option<i128>, &str) {
    #[derive(serde::Deserialize)]
    struct Wrapped<'a> {
        at: Timestamp,
        #[serde(borrow)]
        envelope: &'a RawValue,
    }
    if let Ok(Wrapped { at, envelope }) = serde_json::from_str(line) {
        return (Some(at.unix_nanoseconds()), envelope.get());
    }
    let envelope = serde_json::from_str::<Value>(line).unwrap_or_default();
    let time = envelope
        .get("timestamp")
        .or_else(|| envelope.get("metadata")?.get("timestamp"));
    let time = time.and_then(Value::as_str).and_then(Timestamp::parse);
    (time.map(|time| time.unix_nanoseconds()), line)
}

async fn publish(node: &Node, envelope: &str) -> Result<(), String> {
    let catalog = node.catalog().ok_or("this node has no event set")?;
    let limits = &node.config().limits;
    let admitted = catalog
        .read_from_server(envelope.as_bytes(), limits)
        .map_err(|error| error.to_string())?;
    let events = admitted.into_iter().flat_map(|admitted| admitted.events);
    let published = node.publish_all(events.collect()).await;
    published.map(|_| ()).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use fanfare::Channel;
    use fanfare::codec::Since;

    use super::*;
    use crate::mechamap::MechaMap;
    use crate::platform::Platform;

    fn typing(second: u32) -> String {
        format!(
            r#"{{"event":"forum.reaction.added","channel":"thread.1","timestamp":"2025-07-17T10:30:{second:02}Z","data":{{"comment_id":{},"reaction_type":"like","user_id":1,"new_count":1}}}}"#,
            second + 1
        )
    }

    async fn replay(lines: &[String], speed: f64) -> (Replayed, Duration, usize) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("events.jsonl");
        std::fs::write(&file, lines.join("\n")).unwrap();
        let node = Node::builder().catalog(MechaMap::catalog());
        let node = node.start().await.unwrap();
        let begun = Instant::now();
        let replay = Replay::open(&file, speed).await.unwrap();
        let replayed = replay.run(&node).await;
        let took = begun.elapsed();
        tokio::time::sleep(Duration::from_secs(20)).await;
        let channel = Channel::new("thread.1").unwrap();
        let none: Option<&Since> = None;
        let (history, _) = node.history(&channel, none, 100, false).await.unwrap();
        (replayed, took, history.len())
    }

    #[tokio::test(start_paused = true)]
    async fn events_keep_their_distances_divided_by_the_speed() {
        let lines = [typing(0), typing(10), String::new(), typing(30)];
        let (replayed, took, kept) = replay(&lines, 2.0).await;
        assert_eq!((replayed.published, replayed.refused, kept), (3, 0, 3));
        assert!((took.as_secs_f64() - 15.0).abs() < 0.5, "{took:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_no_event_is_left_out() {
        let lines = ["nonsense".to_owned(), "{}".to_owned(), typing(1)];
        let (replayed, _, kept) = replay(&lines, 1.0).await;
        assert_eq!((replayed.published, replayed.refused, kept), (1, 2, 1));
    }

    #[test]
    fn a_line_may_say_when_it_was_recorded() {
        let line = format!(
            r#"{{"at":"2025-07-17T10:30:00Z","envelope":{}}}"#,
            typing(9)
        );
        let (at, envelope) = recorded(&line);
        assert_eq!(at, Some(1_752_748_200_000_000_000));
        assert_eq!(envelope, typing(9));
        assert_eq!(recorded("{}").0, None);
    }
}
