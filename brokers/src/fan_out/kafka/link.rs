//! The connection to Kafka: made, watched, and made again.

use std::future::ready;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use fanfare::Ingress;
use fanfare::broker::BrokerError;
use rdkafka::error::KafkaError;
use tokio::sync::{Notify, oneshot, watch};
use tokio::time::{Instant, sleep};
use tracing::{debug, error, info, warn};

use super::config::Config;
use super::positions::{Positions, Start};
use super::reader::{Reader, Reading};
use super::topics::{Log, Seen, Topics};
use super::writer::Writer;
use super::{Shared, blocking, retire, unavailable};

/// How long a start may wait for the first answer.
const FOUND_WITHIN: Duration = Duration::from_secs(4);
/// How long a server that answered may be silent while its log is read: reading keeps it busy.
const SILENT_WITHIN: Duration = Duration::from_secs(6);
/// How long topics may take to be created, and their partitions to have leaders.
const READY_WITHIN: Duration = Duration::from_secs(15);
/// How often it is asked whether anyone is there.
const ASKED_EVERY: Duration = Duration::from_millis(500);
/// How long an answer may take. After one that did not come the broker is not up; after two, or one
/// where connections broke as well, the connection is lost.
const ANSWERED_WITHIN: Duration = Duration::from_secs(1);
/// How often the log is looked at: which one it is, and where it ends.
const SURVEYED_EVERY: Duration = Duration::from_secs(5);
const RETRIED_EVERY: Duration = Duration::from_millis(200);

/// One node's connection.
pub(super) struct Link {
    config: Config,
    topics: Arc<Topics>,
    shared: Arc<Shared>,
    ingress: Ingress,
    session: Session,
}

/// What is thrown away when the connection is lost.
struct Session {
    writer: Arc<Writer>,
    reader: Reader,
    positions: Arc<Positions>,
    /// Raised by the writer: is anyone there?
    doubt: Arc<Notify>,
    /// Raised by the reader: it cannot go on.
    stuck: Arc<Notify>,
    caught_up: oneshot::Receiver<()>,
}

impl Link {
    /// Connects, and hands over what is in the log.
    pub(super) async fn connect(
        config: Config,
        shared: Arc<Shared>,
        ingress: Ingress,
    ) -> Result<Self, BrokerError> {
        let servers = config.servers.join(", ");
        let wrong = |error: KafkaError| unavailable(format!("no client for Kafka: {error}"));
        let topics = Arc::new(Topics::new(&config).map_err(wrong)?);
        let session = Session::open(&config, &topics, &shared, &ingress, &servers, FOUND_WITHIN);
        let mut session = match session.await {
            Ok(session) => session,
            Err(error) => {
                retire(topics);
                return Err(error);
            }
        };
        if let Err(error) = session.catch_up(&topics).await {
            session.close(topics).await;
            return Err(error);
        }
        info!(
            servers,
            log = session.positions.log().identity(),
            "reading from Kafka"
        );
        Ok(Self {
            config,
            topics,
            shared,
            ingress,
            session,
        })
    }

    pub(super) fn writer(&self) -> Arc<Writer> {
        self.session.writer.clone()
    }

    /// Keeps the connection until told to stop, or nobody is left who could tell.
    pub(super) async fn keep(mut self, mut stop: watch::Receiver<bool>) {
        loop {
            let stopped = stop.wait_for(|stop| *stop);
            let reason = tokio::select! {
                _ = stopped => break,
                reason = self.session.watch(&self.topics, &self.shared) => reason,
            };
            self.shared.lose();
            warn!(reason, "lost Kafka");
            let reopened = tokio::select! {
                _ = stop.wait_for(|stop| *stop) => None,
                session = self.reopen() => Some(session),
            };
            let Some(session) = reopened else { break };
            retire(std::mem::replace(&mut self.session, session).writer);
            self.shared.open(self.session.writer.clone());
            info!(
                log = self.session.positions.log().identity(),
                "Kafka is back"
            );
        }
        self.session.close(self.topics).await;
    }

    async fn reopen(&mut self) -> Session {
        self.session.give_up().await;
        let servers = self.config.servers.join(", ");
        loop {
            let opened = Session::open(
                &self.config,
                &self.topics,
                &self.shared,
                &self.ingress,
                &servers,
                READY_WITHIN,
            );
            match opened.await {
                Ok(session) => return session,
                Err(error) => debug!(?error, "Kafka is not back yet"),
            }
            sleep(RETRIED_EVERY).await;
        }
    }
}

impl Session {
    /// Connects and begins to read, from where `shared` has got to.
    async fn open(
        config: &Config,
        topics: &Arc<Topics>,
        shared: &Shared,
        ingress: &Ingress,
        servers: &str,
        found_within: Duration,
    ) -> Result<Self, BrokerError> {
        let doubt = Arc::new(Notify::new());
        let writer = Writer::new(config, doubt.clone());
        let writer =
            writer.map_err(|error| unavailable(format!("no client for Kafka: {error}")))?;
        let writer = Arc::new(writer);
        let opened = async {
            let until = Instant::now() + found_within;
            found(&writer, topics, servers, until).await?;
            let log = topics.ready(&writer, Instant::now() + READY_WITHIN).await?;
            let live = ends(&writer, &topics.live, 1).await?[0].1;
            let ends = ends(&writer, &topics.events, log.partitions).await?;
            let known = shared.positions();
            let Some((positions, began)) = begin(&known, &log, &ends, config.read_back) else {
                error!(
                    topic = topics.events,
                    "the log has lost its end; clients will be told that they may have missed events"
                );
                topics.continue_from(&log).await?;
                return Err(unavailable("the log has lost its end"));
            };
            shared.read_from(positions.clone());
            let stuck = Arc::new(Notify::new());
            let (catching_up, caught_up) = oneshot::channel();
            let reading = Reading {
                ingress: ingress.clone(),
                positions: positions.clone(),
                began,
                ends: ends.iter().map(|(_, end)| *end).collect(),
                live,
                caught_up: catching_up,
                alarm: stuck.clone(),
            };
            let reader = Reader::new(config, topics, reading);
            let reader =
                reader.map_err(|error| unavailable(format!("no reader for Kafka: {error}")))?;
            Ok((reader, positions, stuck, caught_up))
        };
        match opened.await {
            Ok((reader, positions, stuck, caught_up)) => Ok(Self {
                writer,
                reader,
                positions,
                doubt,
                stuck,
                caught_up,
            }),
            Err(error) => {
                retire(writer);
                Err(error)
            }
        }
    }

    /// Waits until what was in the log has been handed over.
    async fn catch_up(&mut self, topics: &Topics) -> Result<(), BrokerError> {
        let mut heard = Instant::now();
        loop {
            tokio::select! {
                caught_up = &mut self.caught_up => {
                    return caught_up.map_err(|_| unavailable("reading from Kafka has ended"));
                }
                () = self.stuck.notified() => {
                    return Err(unavailable("the log was changed while it was read"));
                }
                () = sleep(ASKED_EVERY) => {}
            }
            match Topics::look(&self.writer, &topics.events, ANSWERED_WITHIN).await {
                Seen::Silent(reason) if heard.elapsed() > SILENT_WITHIN => {
                    return Err(unavailable(format!(
                        "Kafka was lost while its log was read: {reason}"
                    )));
                }
                Seen::Silent(_) => {}
                _ => heard = Instant::now(),
            }
        }
    }

    /// Returns when the session cannot go on, with why.
    async fn watch(&mut self, topics: &Topics, shared: &Shared) -> String {
        let mut surveyed = Instant::now();
        let mut told = false;
        let mut silent = false;
        loop {
            tokio::select! {
                () = self.reader.ended() => return "reading has ended".to_owned(),
                () = self.stuck.notified() => return "reading was interrupted".to_owned(),
                () = self.doubt.notified() => silent = true,
                () = sleep(ASKED_EVERY), if !silent => {}
                () = ready(()), if silent => {}
            }
            if let Some(reason) = self.writer.broken() {
                return reason;
            }
            let partitions = self.positions.partitions();
            match Topics::look(&self.writer, &topics.events, ANSWERED_WITHIN).await {
                Seen::Silent(reason) if silent => return self.writer.reason().unwrap_or(reason),
                Seen::Silent(_) => {
                    silent = true;
                    shared.answers.store(false, Ordering::Release);
                    continue;
                }
                Seen::Missing => return format!("the topic {} is gone", topics.events),
                Seen::Usable(count) if count != partitions && !told => {
                    told = true;
                    error!(
                        topic = topics.events,
                        partitions,
                        count,
                        "the number of partitions was changed: all nodes must be started again at once"
                    );
                }
                Seen::Usable(_) | Seen::Refused(_) | Seen::Not(_) => {}
            }
            silent = false;
            shared.answers.store(true, Ordering::Release);
            if surveyed.elapsed() >= SURVEYED_EVERY {
                surveyed = Instant::now();
                if let Err(reason) = self.survey(topics).await {
                    return reason;
                }
            }
        }
    }

    /// Whether the log is the one that is read, and how much of it is not read yet.
    async fn survey(&self, topics: &Topics) -> Result<(), String> {
        let positions = &self.positions;
        let partitions = positions.partitions();
        match topics.log(partitions).await {
            Ok(log) if log != *positions.log() => {
                return Err(format!("the topic {} was made anew", topics.events));
            }
            Ok(_) => {}
            Err(error) => debug!(?error, "Kafka does not describe its topics"),
        }
        if Topics::look(&self.writer, &topics.live, ANSWERED_WITHIN).await == Seen::Missing {
            return Err(format!("the topic {} is gone", topics.live));
        }
        // Before the ends are asked for: they only move on.
        let read = (0..partitions).map(|partition| positions.next(partition));
        let read = read.collect::<Vec<_>>();
        match ends(&self.writer, &topics.events, partitions).await {
            Ok(ends) => {
                let mut lag = 0;
                for ((_, end), next) in ends.iter().zip(read) {
                    lag += end
                        .checked_sub(next)
                        .ok_or_else(|| format!("the topic {} has lost its end", topics.events))?;
                }
                metrics::gauge!("fanfare_broker_lag").set(lag as f64);
            }
            Err(error) => debug!(?error, "Kafka does not say where its topics end"),
        }
        Ok(())
    }

    /// Fails what is under way and stops reading. Resolves when nothing more is handed over.
    async fn give_up(&mut self) {
        self.writer.give_up();
        self.reader.stop().await;
    }

    async fn close(mut self, topics: Arc<Topics>) {
        self.give_up().await;
        let writer = self.writer;
        blocking(move || drop((writer, topics))).await;
    }
}

/// Waits for the first answer.
async fn found(
    writer: &Arc<Writer>,
    topics: &Topics,
    servers: &str,
    until: Instant,
) -> Result<(), BrokerError> {
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let within = left.clamp(Duration::from_millis(100), ANSWERED_WITHIN);
        let Seen::Silent(reason) = Topics::look(writer, &topics.events, within).await else {
            return Ok(());
        };
        if Instant::now() >= until {
            let reason = writer.reason().unwrap_or(reason);
            return Err(unavailable(format!(
                "no Kafka answers at {servers}: {reason}"
            )));
        }
    }
}

/// Where to begin, and up to where events belong to the time before. None where the log has lost
/// events that this node has handed over, and has not been given another identity for it.
fn begin(
    known: &Arc<Positions>,
    log: &Log,
    ends: &[(u64, u64)],
    read_back: u64,
) -> Option<(Arc<Positions>, Vec<u64>)> {
    let same = known.log() == log;
    if !same && !known.log().is_continued_by(log) {
        let share = (read_back / ends.len() as u64).max(1);
        let starts = ends.iter().map(|(low, high)| {
            let next = high.saturating_sub(share).max(*low);
            Start { from: next, next }
        });
        let positions = Positions::new(log.clone(), starts);
        let began = ends.iter().map(|(_, high)| *high).collect();
        return Some((Arc::new(positions), began));
    }
    let mut starts = Vec::new();
    let mut began = Vec::new();
    for (partition, (low, high)) in ends.iter().enumerate() {
        let next = known.next(partition);
        if *low > next {
            warn!(
                partition,
                from = next,
                to = low,
                "the log was trimmed before it was read"
            );
            starts.push(Start {
                from: *low,
                next: *low,
            });
            began.push(*high);
        } else if same && *high < next {
            return None;
        } else if same {
            starts.push(Start {
                from: known.from(partition),
                next,
            });
            began.push(0);
        } else {
            // What this node was handed before has positions in another incarnation.
            let next = next.min(*high);
            starts.push(Start { from: next, next });
            began.push(0);
        }
    }
    if same && began.iter().all(|began| *began == 0) {
        return Some((known.clone(), began));
    }
    let positions = Positions::new(log.clone(), starts.into_iter());
    Some((Arc::new(positions), began))
}

async fn ends(
    writer: &Arc<Writer>,
    topic: &str,
    partitions: usize,
) -> Result<Vec<(u64, u64)>, BrokerError> {
    let (writer, name) = (writer.clone(), topic.to_owned());
    let ends = blocking(move || {
        let of = |partition| writer.ends(&name, partition, ANSWERED_WITHIN);
        (0..partitions).map(of).collect::<Result<Vec<_>, _>>()
    });
    let ends = ends.await;
    ends.map_err(|error| unavailable(format!("Kafka does not say where {topic} ends: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    const READ_BACK: u64 = 2 * 100;

    fn log(number: u64) -> Log {
        Log::new("events", number, 2)
    }

    fn start(from: u64, next: u64) -> Start {
        Start { from, next }
    }

    /// The starts and the ends of the time before, in a log whose partitions have these offsets.
    fn begun(
        known: &Arc<Positions>,
        log: &Log,
        ends: [(u64, u64); 2],
    ) -> Option<([Start; 2], Vec<u64>)> {
        let (positions, began) = begin(known, log, &ends, READ_BACK)?;
        assert_eq!(positions.log(), log);
        let starts = [0, 1].map(|part| start(positions.from(part), positions.next(part)));
        Some((starts, began))
    }

    fn known(starts: [Start; 2]) -> Arc<Positions> {
        Arc::new(Positions::new(log(1 << 20), starts.into_iter()))
    }

    #[test]
    fn a_log_that_is_new_is_read_back() {
        let unknown = Arc::new(Positions::unknown());
        let begun = begun(&unknown, &log(1 << 20), [(0, 0), (50, 250)]).unwrap();
        assert_eq!(begun, ([start(0, 0), start(150, 150)], vec![0, 250]));
    }

    #[test]
    fn the_same_log_is_read_on() {
        let known = known([start(3, 7), start(0, 9)]);
        let (positions, began) =
            begin(&known, &log(1 << 20), &[(5, 7), (0, 30)], READ_BACK).unwrap();
        assert!(Arc::ptr_eq(&positions, &known));
        assert_eq!(began, [0, 0]);
    }

    #[test]
    fn what_was_trimmed_unread_is_not_covered() {
        let known = known([start(3, 7), start(0, 9)]);
        let begun = begun(&known, &log(1 << 20), [(5, 7), (20, 30)]).unwrap();
        assert_eq!(begun, ([start(3, 7), start(20, 20)], vec![0, 30]));
    }

    #[test]
    fn a_lost_end_asks_for_another_identity() {
        let known = known([start(0, 7), start(0, 9)]);
        assert_eq!(begun(&known, &log(1 << 20), [(0, 6), (0, 9)]), None);
        let begun = begun(&known, &log((1 << 20) + 1), [(0, 6), (0, 12)]).unwrap();
        assert_eq!(begun, ([start(6, 6), start(9, 9)], vec![0, 0]));
    }

    #[test]
    fn a_log_that_was_made_anew_is_read_from_its_beginning() {
        let known = known([start(0, 7), start(0, 9)]);
        let begun = begun(&known, &log(2 << 20), [(0, 3), (0, 12)]).unwrap();
        assert_eq!(begun, ([start(0, 0), start(0, 0)], vec![3, 12]));
    }
}
