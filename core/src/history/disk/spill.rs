//! What was accepted while a server was away, in the same folder as history.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread::JoinHandle;

use bytes::Bytes;
use tokio::sync::oneshot;
use tracing::error;

use super::files::{Files, FilesError};
use super::writer::chain;
use crate::BoxFuture;
use crate::broker::{Spill, SpillError, SpillPart};
use crate::history::HistoryError;
use crate::sync::Mutex;

/// What a frame weighs beside its bytes: its key, and the engine's part.
const FRAME: u64 = 64;
const CLOSED: &str = "history was closed";

/// Frames by lane and place. A thread writes them: all appends that have gathered become one batch
/// with one sync.
pub(super) struct Spilled {
    shared: Arc<Shared>,
    work: Mutex<Option<mpsc::Sender<Work>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

struct Shared {
    files: Mutex<Option<Files>>,
    parts: [Counts; 2],
}

/// What a part holds.
struct Counts {
    frames: AtomicU64,
    bytes: AtomicU64,
    /// Bytes that may be held.
    most: AtomicU64,
}

/// One part of it: lanes and a bound of its own.
pub(super) struct Part {
    spilled: Arc<Spilled>,
    part: SpillPart,
}

enum Work {
    Append {
        lane: u16,
        frames: Vec<Bytes>,
        done: Done,
    },
    Remove {
        lane: u16,
        up_to: u64,
        done: Done,
    },
}

type Done = oneshot::Sender<Result<(), SpillError>>;

impl Spilled {
    /// Counts what is there, and starts the thread. Blocks.
    pub(super) fn open(files: Files) -> Result<Self, FilesError> {
        let mut next = HashMap::new();
        let shared = Arc::new(Shared {
            files: Mutex::new(Some(files.clone())),
            parts: [Counts::none(), Counts::none()],
        });
        files.each_spilled(|lane, place, length| {
            let counts = &shared.parts[part_of(lane) as usize];
            counts.frames.fetch_add(1, Ordering::AcqRel);
            counts
                .bytes
                .fetch_add(length as u64 + FRAME, Ordering::AcqRel);
            next.insert(lane, place + 1);
        })?;
        let (work, queue) = mpsc::channel();
        let writer = Writer {
            files,
            shared: shared.clone(),
            next,
        };
        let thread = std::thread::Builder::new().name("fanfare-spill".to_owned());
        let thread = thread
            .spawn(move || writer.run(&queue))
            .map_err(|error| FilesError::Engine(error.into()))?;
        Ok(Self {
            shared,
            work: Mutex::new(Some(work)),
            thread: Mutex::new(Some(thread)),
        })
    }

    /// Writes what was handed over, and lets go of the folder. Blocks.
    pub(super) fn close(&self) {
        *self.work.lock() = None;
        *self.shared.files.lock() = None;
        let thread = self.thread.lock().take();
        if let Some(thread) = thread {
            // It has told what it had to tell.
            let _ = thread.join();
        }
    }

    fn ask(&self, work: impl FnOnce(Done) -> Work) -> BoxFuture<'_, Result<(), SpillError>> {
        let (done, outcome) = oneshot::channel();
        let sender = self.work.lock().clone();
        if let Some(sender) = sender {
            // Where the thread has ended, the outcome says so.
            let _ = sender.send(work(done));
        }
        Box::pin(async { outcome.await.unwrap_or_else(|_| Err(closed())) })
    }
}

impl Part {
    /// A part that holds at most `bytes`.
    pub(super) fn new(spilled: Arc<Spilled>, part: SpillPart, bytes: u64) -> Self {
        let part = Self { spilled, part };
        part.counts().most.store(bytes, Ordering::Relaxed);
        part
    }

    fn counts(&self) -> &Counts {
        &self.spilled.shared.parts[self.part as usize]
    }

    /// The lane's number on disk.
    fn lane(&self, lane: u16) -> u16 {
        (self.part as u16) << 8 | lane
    }
}

impl Spill for Part {
    fn append(&self, lane: u16, frames: Vec<Bytes>) -> BoxFuture<'_, Result<(), SpillError>> {
        let lane = self.lane(lane);
        self.spilled.ask(|done| Work::Append { lane, frames, done })
    }

    fn read(
        &self,
        lane: u16,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<(u64, Bytes)>, SpillError>> {
        let lane = self.lane(lane);
        let files = self.spilled.shared.files.lock().clone();
        let nothing = self.is_empty();
        Box::pin(async move {
            let files = files.ok_or_else(closed)?;
            if nothing {
                return Ok(Vec::new());
            }
            let read = tokio::task::spawn_blocking(move || files.spilled(lane, limit));
            let read = read
                .await
                .map_err(|error| failed(HistoryError::new(error)))?;
            read.map_err(|error| failed(HistoryError::new(error)))
        })
    }

    fn remove(&self, lane: u16, up_to: u64) -> BoxFuture<'_, Result<(), SpillError>> {
        let lane = self.lane(lane);
        self.spilled.ask(|done| Work::Remove { lane, up_to, done })
    }

    fn len(&self) -> u64 {
        self.counts().frames.load(Ordering::Acquire)
    }

    fn room(&self) -> u64 {
        let counts = self.counts();
        let most = counts.most.load(Ordering::Relaxed);
        most.saturating_sub(counts.bytes.load(Ordering::Acquire))
    }
}

impl Counts {
    fn none() -> Self {
        Self {
            frames: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            most: AtomicU64::new(u64::MAX),
        }
    }
}

impl Drop for Spilled {
    fn drop(&mut self) {
        self.close();
    }
}

impl fmt::Debug for Spilled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Spilled")
    }
}

impl fmt::Debug for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Part")
            .field("part", &self.part)
            .field("frames", &self.len())
            .finish_non_exhaustive()
    }
}

struct Writer {
    files: Files,
    shared: Arc<Shared>,
    /// The next place of each lane.
    next: HashMap<u16, u64>,
}

impl Writer {
    fn run(mut self, queue: &mpsc::Receiver<Work>) {
        while let Ok(first) = queue.recv() {
            let mut told = Vec::new();
            let outcome = self.write(std::iter::once(first).chain(queue.try_iter()), &mut told);
            if let Err(problem) = &outcome {
                error!(problem = %chain(problem), "what waits for a server cannot be written");
            }
            for done in told {
                let outcome = match &outcome {
                    Ok(()) => Ok(()),
                    Err(problem) => Err(failed(HistoryError::new(chain(problem)))),
                };
                // Who has gone need not be told.
                let _ = done.send(outcome);
            }
        }
    }

    fn write(
        &mut self,
        work: impl Iterator<Item = Work>,
        told: &mut Vec<Done>,
    ) -> Result<(), FilesError> {
        let mut batch = self.files.batch();
        // Frames and bytes of each part.
        let (mut more, mut less) = ([(0, 0); 2], [(0, 0); 2]);
        for work in work {
            match work {
                Work::Append { lane, frames, done } => {
                    let bytes = frames
                        .iter()
                        .map(|frame| frame.len() as u64 + FRAME)
                        .sum::<u64>();
                    let part = part_of(lane) as usize;
                    let counts = &self.shared.parts[part];
                    let held = counts.bytes.load(Ordering::Acquire) + more[part].1;
                    if held + bytes > counts.most.load(Ordering::Relaxed) {
                        let _ = done.send(Err(SpillError::Full));
                        continue;
                    }
                    more[part].0 += frames.len() as u64;
                    more[part].1 += bytes;
                    let next = self.next.entry(lane).or_insert(1);
                    for frame in frames {
                        batch.spill(lane, *next, &frame);
                        *next += 1;
                    }
                    told.push(done);
                }
                Work::Remove { lane, up_to, done } => {
                    told.push(done);
                    let less = &mut less[part_of(lane) as usize];
                    for (place, length) in self.files.spilled_up_to(lane, up_to)? {
                        batch.unspill(lane, place);
                        less.0 += 1;
                        less.1 += length as u64 + FRAME;
                    }
                }
            }
        }
        // What is removed may come back after a crash: it is sent again, and known for a copy.
        let sync = more.iter().any(|(frames, _)| *frames > 0);
        batch.commit(sync)?;
        for (part, (more, less)) in self.shared.parts.iter().zip(more.into_iter().zip(less)) {
            part.frames.fetch_add(more.0, Ordering::AcqRel);
            part.bytes.fetch_add(more.1, Ordering::AcqRel);
            part.frames.fetch_sub(less.0, Ordering::AcqRel);
            part.bytes.fetch_sub(less.1, Ordering::AcqRel);
        }
        Ok(())
    }
}

/// The part that a lane on disk belongs to.
fn part_of(lane: u16) -> SpillPart {
    match lane >> 8 {
        0 => SpillPart::Broker,
        // Of a part that this version does not know, all that matters is that it is counted.
        _ => SpillPart::Topics,
    }
}

fn closed() -> SpillError {
    failed(HistoryError::new(CLOSED))
}

fn failed(error: HistoryError) -> SpillError {
    SpillError::Failed(error)
}
