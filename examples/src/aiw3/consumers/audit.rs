//! Keeping a record of everything.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::thread;

use fanfare_brokers::services::{Handler, HandlerError, Record, Work};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio::sync::{mpsc, oneshot};

use super::{Message, RecentIds};

/// Of so many records the ids are remembered, also across a restart.
const REMEMBERED: usize = 1_000_000;
/// The most records that one sync writes.
const BATCH: usize = 256;

/// Appends records to a file, a line of JSON each: `id`, `topic`, `key`, `recordedAt` and the `event` as
/// it was published.
///
/// A record is acknowledged when its line is on the disk (`fdatasync`), and written once: one whose id is
/// among the last million lines is there already. Records that come together share a sync.
#[derive(Clone)]
pub struct Audit {
    entries: mpsc::Sender<Entry>,
}

/// A record on its way to the file.
struct Entry {
    record: Record,
    written: oneshot::Sender<Result<(), String>>,
}

impl Audit {
    /// Opens a file, or makes it. A last line that a crash cut off is taken away; its record was never
    /// acknowledged and comes again.
    ///
    /// # Errors
    /// Where the file cannot be opened, holds something else, or another process writes to it.
    pub fn open(path: &Path) -> io::Result<Self> {
        let trail = Trail::open(path)?;
        let (entries, queue) = mpsc::channel(BATCH);
        // A thread of its own: syncing blocks.
        thread::Builder::new()
            .name("audit".to_owned())
            .spawn(move || write_all(trail, queue))?;
        Ok(Self { entries })
    }
}

impl fmt::Debug for Audit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Audit")
    }
}

impl Handler for Audit {
    async fn handle(&self, work: Work) -> Result<(), HandlerError> {
        Message::read(&work.record)?;
        let (written, outcome) = oneshot::channel();
        let record = work.record;
        let ended = |_| HandlerError::unavailable("the audit trail's writer has ended");
        self.entries
            .send(Entry { record, written })
            .await
            .map_err(|_| ended(()))?;
        let outcome = outcome.await.map_err(|_| ended(()))?;
        // A full disk is not the record's fault.
        outcome.map_err(HandlerError::unavailable)
    }
}

/// Writes what is queued until nobody can queue anything more.
fn write_all(mut trail: Trail, mut queue: mpsc::Receiver<Entry>) {
    let mut batch = Vec::with_capacity(BATCH);
    while let Some(entry) = queue.blocking_recv() {
        batch.push(entry);
        while batch.len() < BATCH
            && let Ok(entry) = queue.try_recv()
        {
            batch.push(entry);
        }
        let records = batch.iter().map(|entry| &entry.record).collect::<Vec<_>>();
        let outcome = trail.append(&records);
        let outcome = outcome.map_err(|error| format!("{}: {error}", trail.path.display()));
        for Entry { written, .. } in batch.drain(..) {
            // A handler that was dropped does not wait any more.
            let _ = written.send(outcome.clone());
        }
    }
}

/// The file.
#[derive(Debug)]
struct Trail {
    path: PathBuf,
    file: File,
    /// How long it is up to the end of the last whole line.
    length: u64,
    ids: RecentIds,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Line<'a> {
    id: &'a str,
    topic: &'a str,
    key: &'a str,
    recorded_at: &'a str,
    event: &'a RawValue,
}

#[derive(Deserialize)]
struct Id {
    id: String,
}

impl Trail {
    fn open(path: &Path) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        let mut file = options
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)?;
        // Two writers would overwrite each other.
        file.try_lock()?;
        let mut ids = RecentIds::new(REMEMBERED);
        let mut length = 0;
        let mut reader = BufReader::new(&file);
        let mut line = Vec::new();
        for number in 1.. {
            line.clear();
            reader.read_until(b'\n', &mut line)?;
            if line.last() != Some(&b'\n') {
                break;
            }
            let id = serde_json::from_slice::<Id>(&line).map_err(|error| {
                let problem = format!("line {number} is no record of an audit: {error}");
                io::Error::new(io::ErrorKind::InvalidData, problem)
            })?;
            ids.insert(&id.id);
            length += line.len() as u64;
        }
        file.set_len(length)?;
        file.seek(SeekFrom::Start(length))?;
        Ok(Self {
            path: path.to_owned(),
            file,
            length,
            ids,
        })
    }

    /// Writes those records that are not there yet. All of them are on the disk then, or none.
    fn append(&mut self, records: &[&Record]) -> io::Result<()> {
        let mut text = Vec::new();
        let mut new = Vec::<&str>::new();
        for record in records {
            if self.ids.contains(&record.id) || new.contains(&&*record.id) {
                continue;
            }
            write_line(&mut text, record)?;
            new.push(&record.id);
        }
        if text.is_empty() {
            return Ok(());
        }
        let written = self
            .file
            .write_all(&text)
            .and_then(|()| self.file.sync_data());
        if let Err(error) = written {
            // Half a line in the middle of the file would be there for ever.
            self.file.set_len(self.length)?;
            self.file.seek(SeekFrom::Start(self.length))?;
            return Err(error);
        }
        self.length += text.len() as u64;
        for id in new {
            self.ids.insert(id);
        }
        Ok(())
    }
}

fn write_line(text: &mut Vec<u8>, record: &Record) -> io::Result<()> {
    // Line breaks are insignificant between JSON's tokens, and cannot stand inside of one.
    let one_line = record.payload.iter().map(|&byte| match byte {
        b'\n' | b'\r' => b' ',
        byte => byte,
    });
    let one_line = one_line.collect::<Vec<_>>();
    let line = Line {
        id: &record.id,
        topic: &record.topic,
        key: &record.key,
        recorded_at: &format!("{:.3}", Timestamp::now()),
        event: serde_json::from_slice(&one_line)?,
    };
    serde_json::to_writer(&mut *text, &line)?;
    text.push(b'\n');
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use serde_json::{Value, json};
    use tempfile::TempDir;

    use super::*;

    fn record(id: &str, payload: &str) -> Record {
        Record {
            topic: "t".to_owned(),
            key: "k".to_owned(),
            id: id.to_owned(),
            payload: payload.to_owned().into(),
        }
    }

    fn work(id: &str, payload: &str) -> Work {
        Work {
            record: record(id, payload),
            attempt: 1,
        }
    }

    fn envelope(number: u64) -> String {
        json!({"eventType": "nft_minted", "userId": "7", "data": {"number": number}}).to_string()
    }

    fn lines(path: &Path) -> Vec<Value> {
        let text = fs::read_to_string(path).unwrap();
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    /// The file's last writer may take a moment to end.
    fn open(path: &Path) -> Audit {
        loop {
            match Audit::open(path) {
                Ok(audit) => return audit,
                Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock, "{error}"),
            }
            thread::yield_now();
        }
    }

    #[tokio::test]
    async fn a_record_is_written_once_also_across_a_restart() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("audit.jsonl");
        for _ in 0..2 {
            let audit = open(&path);
            for _ in 0..2 {
                audit.handle(work("a", &envelope(1))).await.unwrap();
                audit.handle(work("b", &envelope(2))).await.unwrap();
            }
        }
        let lines = lines(&path);
        assert_eq!(lines.len(), 2);
        assert_eq!(
            (&lines[0]["id"], &lines[1]["id"]),
            (&json!("a"), &json!("b"))
        );
        assert_eq!(lines[1]["event"]["data"]["number"], 2);
        assert_eq!(
            (&lines[0]["topic"], &lines[0]["key"]),
            (&json!("t"), &json!("k"))
        );
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn records_that_come_together_are_all_written() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("audit.jsonl");
        let audit = Audit::open(&path).unwrap();
        let handled = (0..1_000).map(|number| {
            let audit = audit.clone();
            // Each id twice.
            let work = work(&(number % 500).to_string(), &envelope(number % 500));
            tokio::spawn(async move { audit.handle(work).await })
        });
        for handled in handled.collect::<Vec<_>>() {
            handled.await.unwrap().unwrap();
        }
        assert_eq!(lines(&path).len(), 500);
    }

    #[test]
    fn a_line_that_a_crash_cut_off_is_taken_away() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("audit.jsonl");
        let mut trail = Trail::open(&path).unwrap();
        trail
            .append(&[&record("a", "{}"), &record("b", "{}")])
            .unwrap();
        drop(trail);
        let whole = fs::read(&path).unwrap();
        for length in whole.len() / 2 + 1..whole.len() {
            fs::write(&path, &whole[..length]).unwrap();
            let mut trail = Trail::open(&path).unwrap();
            trail
                .append(&[&record("a", "{}"), &record("b", "{}")])
                .unwrap();
            let ids = lines(&path).into_iter().map(|line| line["id"].clone());
            assert_eq!(ids.collect::<Vec<_>>(), ["a", "b"], "cut at {length}");
        }
    }

    #[test]
    fn an_event_is_kept_as_it_was_on_one_line() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("audit.jsonl");
        let mut trail = Trail::open(&path).unwrap();
        let event = record("a", "{\r\n \"a\": 1.50,\n \"b\": \"x\\ny\"\n}");
        trail.append(&[&event]).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(text.lines().count(), 1);
        assert!(text.contains("\"a\": 1.50"), "{text}");
        assert!(text.contains("\"x\\ny\""), "{text}");
    }

    #[test]
    fn a_file_has_one_writer() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("audit.jsonl");
        let _first = Trail::open(&path).unwrap();
        let error = Trail::open(&path).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
    }

    #[test]
    fn another_kind_of_file_is_left_alone() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("notes.txt");
        fs::write(&path, "not an audit\n").unwrap();
        let error = Trail::open(&path).unwrap_err();
        assert!(error.to_string().contains("line 1"), "{error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), "not an audit\n");
    }
}
