//! Records on their way to the server of the service topics.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout};
use tracing::error;

use crate::BoxFuture;
use crate::broker::{BrokerError, BrokerErrorKind, Published};
use crate::dispatch::Carrier;
use crate::event::Stamp;
use crate::metrics;
use crate::sink::{Record, Sink};
use crate::sync::Mutex;

/// A sink must say within this whether it has a record; it is believed to be away after it, so that a
/// server which hangs holds nobody up for longer.
pub(super) const ANSWER: Duration = Duration::from_millis(1_500);
/// What a record on disk begins with.
const VERSION: u8 = 1;

/// The sink, as dispatch uses it.
#[derive(Debug)]
pub(super) struct Topics {
    pub(super) sink: Arc<dyn Sink>,
    pub(super) metrics: metrics::Topics,
}

impl Carrier for Topics {
    type Item = Arc<Record>;
    type Pass = Lines;

    const NAME: &'static str = "the server of the service topics";
    const PATIENCE: Duration = Duration::from_millis(500);

    fn carry(
        self: Arc<Self>,
        lines: &mut Lines,
        record: Arc<Record>,
    ) -> BoxFuture<'static, Result<Published, BrokerError>> {
        let turn = lines.line_up(&record);
        Box::pin(async move {
            let turn = turn.begin().await?;
            let begun = Instant::now();
            let writing = self.sink.publish(Record::clone(&record));
            let outcome = timeout(ANSWER, writing)
                .await
                .unwrap_or_else(|_| Err(unavailable("the server does not answer")));
            match &outcome {
                Ok(()) => {
                    self.metrics.published.increment(1);
                    self.metrics.publish.record(begun.elapsed());
                }
                Err(error) if error.kind() == BrokerErrorKind::Rejected => {
                    self.metrics.rejected.increment(1);
                    let error = error as &dyn std::error::Error;
                    error!(error, record.topic, record.id, "a record was refused");
                }
                Err(_) => turn.fail(),
            }
            outcome.map(|()| Published { position: None })
        })
    }

    fn is_up(&self) -> bool {
        self.sink.is_up()
    }

    fn stamp(&self, record: &Arc<Record>, _stamp: Stamp) -> Arc<Record> {
        record.clone()
    }

    fn void(&self, _record: &Arc<Record>) -> Option<Arc<Record>> {
        None
    }

    fn encode(&self, record: &Arc<Record>) -> Bytes {
        let texts = [&record.topic, &record.key, &record.id];
        let length = texts.iter().map(|text| 4 + text.len()).sum::<usize>();
        let mut frame = BytesMut::with_capacity(1 + length + record.payload.len());
        frame.put_u8(VERSION);
        for text in texts {
            let length = u32::try_from(text.len()).expect("no text of a record has 4 GiB");
            frame.put_u32(length);
            frame.put_slice(text.as_bytes());
        }
        frame.put_slice(&record.payload);
        frame.freeze()
    }

    fn decode(&self, mut frame: Bytes) -> Option<Arc<Record>> {
        if frame.try_get_u8() != Ok(VERSION) {
            return None;
        }
        Some(Arc::new(Record {
            topic: text(&mut frame)?,
            key: text(&mut frame)?,
            id: text(&mut frame)?,
            payload: frame,
        }))
    }

    fn make_do(&self, _record: &Arc<Record>) -> Option<Result<Published, BrokerError>> {
        None
    }

    fn weight(&self, record: &Arc<Record>) -> usize {
        record.topic.len() + record.key.len() + record.id.len() + record.payload.len()
    }
}

fn text(frame: &mut Bytes) -> Option<String> {
    let length = usize::try_from(frame.try_get_u32().ok()?).ok()?;
    if frame.remaining() < length {
        return None;
    }
    String::from_utf8(frame.split_to(length).into()).ok()
}

fn unavailable(sentence: &str) -> BrokerError {
    BrokerError::new(BrokerErrorKind::Unavailable, sentence)
}

/// Records of one topic and key go one after the other, each once the one before it has come.
///
/// Of several that were under way when the connection broke, a later one may come where an earlier one
/// did not, and its copy that is sent again stands behind it. Who reads by ids takes the first of each,
/// and so has them in the wrong order; stamps, by which nodes put that right, are not for services.
#[derive(Debug, Default)]
pub(super) struct Lines {
    ends: Arc<Mutex<Ends>>,
    hasher: RandomState,
}

#[derive(Debug, Default)]
struct Ends {
    /// What the next in a line waits for. Lines go by a hash: two that share one wait for each other.
    last: HashMap<u64, (u64, oneshot::Receiver<()>)>,
    turns: u64,
    /// Whether one has failed, so that nothing is to be sent before it was sent again.
    failed: bool,
}

/// A place in a line, held until it is dropped.
#[derive(Debug)]
struct Turn {
    ends: Arc<Mutex<Ends>>,
    line: u64,
    number: u64,
    before: Option<oneshot::Receiver<()>>,
    _after: oneshot::Sender<()>,
}

impl Lines {
    fn line_up(&self, record: &Record) -> Turn {
        let line = self.hasher.hash_one((&record.topic, &record.key));
        let (after, next) = oneshot::channel();
        let mut ends = self.ends.lock();
        ends.turns += 1;
        let number = ends.turns;
        let before = ends.last.insert(line, (number, next));
        Turn {
            ends: self.ends.clone(),
            line,
            number,
            before: before.map(|(_, before)| before),
            _after: after,
        }
    }
}

impl Turn {
    async fn begin(mut self) -> Result<Self, BrokerError> {
        if let Some(before) = self.before.take() {
            // Nothing is ever sent: it ends with the turn of the one before.
            let _ = before.await;
        }
        if self.ends.lock().failed {
            return Err(unavailable("one before it was not written"));
        }
        Ok(self)
    }

    fn fail(&self) {
        self.ends.lock().failed = true;
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut ends = self.ends.lock();
        let last = ends.last.get(&self.line);
        if last.is_some_and(|(number, _)| *number == self.number) {
            ends.last.remove(&self.line);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{HashMap, HashSet, VecDeque};
    use std::sync::atomic::{AtomicUsize, Ordering};

    use proptest::prelude::*;

    use super::*;
    use crate::broker::Spill;
    use crate::dispatch::Dispatch;
    use crate::dispatch::tests::spill;

    /// A server that fails in every way, and what was written to it.
    #[derive(Debug, Default)]
    struct Server {
        written: Mutex<Vec<Record>>,
        refused: Mutex<HashSet<String>>,
        fates: Mutex<VecDeque<Fate>>,
        under_way: Mutex<HashMap<String, usize>>,
        most_under_way: AtomicUsize,
    }

    #[derive(Clone, Copy, Debug)]
    enum Fate {
        Comes(u64),
        /// It is written, and nobody is told.
        ComesUnconfirmed,
        IsLost,
        IsRefused,
        /// It is written long after the node has given up.
        ComesLate,
    }

    #[derive(Clone, Debug)]
    struct Way(Arc<Server>);

    impl Sink for Way {
        fn name(&self) -> &'static str {
            "test"
        }

        fn publish(&self, record: Record) -> BoxFuture<'_, Result<(), BrokerError>> {
            let server = self.0.clone();
            let fate = server.fates.lock().pop_front().unwrap_or(Fate::Comes(1));
            Box::pin(async move {
                {
                    let mut under_way = server.under_way.lock();
                    let count = under_way.entry(record.key.clone()).or_default();
                    *count += 1;
                    server.most_under_way.fetch_max(*count, Ordering::Relaxed);
                }
                let after = match fate {
                    Fate::Comes(after) => after,
                    _ => 2,
                };
                tokio::time::sleep(Duration::from_millis(after)).await;
                *server.under_way.lock().get_mut(&record.key).unwrap() -= 1;
                match fate {
                    Fate::Comes(_) | Fate::ComesUnconfirmed => {
                        server.written.lock().push(record);
                    }
                    Fate::ComesLate => {
                        let server = server.clone();
                        tokio::spawn(async move {
                            tokio::time::sleep(2 * ANSWER).await;
                            server.written.lock().push(record);
                        });
                        std::future::pending::<()>().await;
                    }
                    Fate::IsRefused => {
                        server.refused.lock().insert(record.id);
                        return Err(BrokerError::new(BrokerErrorKind::Rejected, "no queue"));
                    }
                    Fate::IsLost => {}
                }
                match fate {
                    Fate::Comes(_) => Ok(()),
                    _ => Err(unavailable("away")),
                }
            })
        }

        fn is_up(&self) -> bool {
            true
        }

        fn shutdown(&self) -> BoxFuture<'_, ()> {
            Box::pin(std::future::ready(()))
        }
    }

    fn start(server: &Arc<Server>, kept: Option<&Arc<dyn Spill>>) -> Dispatch<Topics> {
        let topics = Topics {
            sink: Arc::new(Way(server.clone())),
            metrics: metrics::Topics::new(),
        };
        Dispatch::start(Arc::new(topics), kept)
    }

    fn record(id: u32) -> Arc<Record> {
        Arc::new(Record {
            topic: "orders".into(),
            key: format!("user.{}", id % 3),
            id: id.to_string(),
            payload: Bytes::from_static(b"{}"),
        })
    }

    fn outcome(
        dispatch: &Dispatch<Topics>,
        id: u32,
    ) -> impl Future<Output = Result<Published, BrokerError>> + Send + use<> {
        let room = dispatch.try_room(0, std::iter::once(1)).unwrap();
        dispatch.send(0, record(id), room)
    }

    #[test]
    fn a_record_comes_back_from_disk_as_it_was() {
        let topics = Topics {
            sink: Arc::new(Way(Arc::default())),
            metrics: metrics::Topics::new(),
        };
        let frame = topics.encode(&record(7));
        assert_eq!(topics.decode(frame.clone()), Some(record(7)));
        for cut in 0..frame.len() - record(7).payload.len() {
            assert_eq!(topics.decode(frame.slice(..cut)), None, "{cut}");
        }
        assert_eq!(topics.decode(Bytes::from_static(b"\x02")), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_hangs_holds_nobody_up_for_long() {
        for kept in [None, Some(spill(99))] {
            let server = Arc::<Server>::default();
            server.fates.lock().extend([Fate::ComesLate; 9]);
            let dispatch = start(&server, kept.as_ref());
            let begun = Instant::now();
            assert_eq!(outcome(&dispatch, 1).await.is_ok(), kept.is_some());
            let waited = begun.elapsed();
            assert!(waited <= ANSWER + Duration::from_millis(600), "{waited:?}");
            assert!(!dispatch.is_up());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_refused_holds_up_nothing_and_has_nothing_sent_again() {
        let server = Arc::<Server>::default();
        server
            .fates
            .lock()
            .extend([Fate::Comes(1), Fate::IsRefused]);
        let dispatch = start(&server, None);
        let outcomes = (0..9).map(|id| outcome(&dispatch, id)).collect::<Vec<_>>();
        for (id, outcome) in outcomes.into_iter().enumerate() {
            let kind = outcome.await.err().map(|error| error.kind());
            assert_eq!(kind, (id == 1).then_some(BrokerErrorKind::Rejected));
        }
        assert!(dispatch.is_up());
        let written = server.written.lock();
        let mut ids = written
            .iter()
            .map(|record| &record.id[..])
            .collect::<Vec<_>>();
        ids.sort_unstable();
        assert_eq!(ids, ["0", "2", "3", "4", "5", "6", "7", "8"]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_refused_from_disk_is_dropped() {
        let server = Arc::<Server>::default();
        let kept = spill(99);
        server.fates.lock().extend([Fate::IsLost, Fate::IsLost]);
        let dispatch = start(&server, Some(&kept));
        let outcomes = (0..3)
            .map(|id| outcome(&dispatch, 3 * id))
            .collect::<Vec<_>>();
        for outcome in outcomes {
            outcome.await.unwrap();
        }
        server.fates.lock().extend([Fate::IsRefused]);
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(kept.is_empty());
        outcome(&dispatch, 9).await.unwrap();
        let written = server.written.lock();
        let ids = written.iter().map(|record| &record.id[..]);
        assert_eq!(ids.collect::<Vec<_>>(), ["3", "6", "9"]);
    }

    fn fates() -> impl Strategy<Value = Vec<Fate>> {
        let fate = prop_oneof![
            12 => (1u64..40).prop_map(Fate::Comes),
            2 => Just(Fate::ComesUnconfirmed),
            2 => Just(Fate::IsLost),
            1 => Just(Fate::IsRefused),
            1 => Just(Fate::ComesLate),
        ];
        prop::collection::vec(fate, 0..60)
    }

    proptest! {
        /// Whatever happens on the way: what was accepted is written, and whoever takes the first copy
        /// of each has the records of a key in the order of publishing.
        #[test]
        fn what_is_accepted_is_written_and_in_order_after_dedupe(
            fates in fates(),
            most in prop::option::of(0usize..40),
            pauses in prop::collection::vec(0u64..2_000, 1..50),
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_time()
                .start_paused(true)
                .build()
                .unwrap();
            let (accepted, server) = runtime.block_on(async {
                let server = Arc::<Server>::default();
                *server.fates.lock() = fates.into();
                let kept = most.map(spill);
                let dispatch = start(&server, kept.as_ref());
                let mut publishers = Vec::new();
                for (id, pause) in (0..).zip(pauses) {
                    publishers.push((id, tokio::spawn(outcome(&dispatch, id))));
                    if pause % 3 == 0 {
                        tokio::time::sleep(Duration::from_millis(pause % 7)).await;
                    }
                    if pause % 5 == 0 {
                        tokio::time::sleep(Duration::from_millis(pause)).await;
                    }
                }
                let mut accepted = Vec::new();
                for (id, publisher) in publishers {
                    let outcome = timeout(Duration::from_secs(300), publisher).await;
                    if outcome.expect("a publisher is told").unwrap().is_ok() {
                        accepted.push(id);
                    }
                }
                server.fates.lock().clear();
                tokio::time::sleep(Duration::from_secs(30)).await;
                assert!(dispatch.is_up());
                (accepted, server)
            });
            prop_assert!(server.most_under_way.load(Ordering::Relaxed) <= 1);
            let refused = server.refused.lock();
            // One that was refused before it was taken after all has lost its place.
            let written = server.written.lock();
            let written = written.iter().filter(|record| !refused.contains(&record.id));
            let mut firsts = Vec::<u32>::new();
            for record in written {
                let id = record.id.parse().unwrap();
                if !firsts.contains(&id) {
                    firsts.push(id);
                }
            }
            for key in 0..3 {
                let of_key = firsts.iter().filter(|id| *id % 3 == key);
                prop_assert!(of_key.is_sorted(), "{firsts:?}");
            }
            let missing = accepted
                .iter()
                .filter(|id| !firsts.contains(id) && !refused.contains(&id.to_string()));
            let missing = missing.collect::<Vec<_>>();
            prop_assert!(missing.is_empty(), "accepted and not written: {missing:?}");
        }
    }
}
