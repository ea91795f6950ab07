//! A reader thread: its share of the connections on one epoll instance and one read buffer.

use std::io::{ErrorKind, Read};
use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use mio::event::Event;
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use socket2::{Domain, Socket, Type};

use crate::connection::{Connection, End, Introduction, Stage};
use crate::marker;
use crate::progress::Progress;
use crate::tally::Tally;

/// Fits the second-level cache together with what the kernel copies from.
const BUFFER: usize = 256 * 1024;

/// Linux's errno of a connect that goes on in the background.
const EINPROGRESS: i32 = 115;

/// A source address has 28,000 ports: so many of them leave room for those of earlier runs that still wait.
const SOURCES: u32 = 32;

/// What all threads see.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) start: Instant,
    pub(crate) stop: AtomicBool,
    /// Events accepted by the server.
    pub(crate) published: AtomicU64,
    /// Latencies count of events made in this span of nanoseconds since the start.
    pub(crate) window: (AtomicU64, AtomicU64),
    pub(crate) threads: Vec<ThreadState>,
}

/// What a thread says of itself after each pass over its sockets.
#[derive(Debug)]
#[repr(align(64))]
pub(crate) struct ThreadState {
    pub(crate) ready: AtomicUsize,
    pub(crate) failed: AtomicUsize,
    pub(crate) deliveries: AtomicU64,
    pub(crate) messages: AtomicU64,
    pub(crate) missing: AtomicU64,
    /// All events before this one, counted over all channels, arrived at every connection or never will.
    pub(crate) least: AtomicU64,
}

impl Shared {
    pub(crate) fn new(threads: u32) -> Self {
        let thread = || ThreadState {
            ready: AtomicUsize::new(0),
            failed: AtomicUsize::new(0),
            deliveries: AtomicU64::new(0),
            messages: AtomicU64::new(0),
            missing: AtomicU64::new(0),
            least: AtomicU64::new(0),
        };
        Self {
            start: Instant::now(),
            stop: AtomicBool::new(false),
            published: AtomicU64::new(0),
            window: (AtomicU64::new(u64::MAX), AtomicU64::new(u64::MAX)),
            threads: (0..threads).map(|_| thread()).collect(),
        }
    }

    pub(crate) fn now(&self) -> u64 {
        self.start.elapsed().as_nanos() as u64
    }

    pub(crate) fn stopped(&self) -> bool {
        self.stop.load(Relaxed)
    }

    pub(crate) fn sum(&self, what: impl Fn(&ThreadState) -> &AtomicU64) -> u64 {
        self.threads
            .iter()
            .map(|thread| what(thread).load(Relaxed))
            .sum()
    }

    pub(crate) fn count(&self, what: impl Fn(&ThreadState) -> &AtomicUsize) -> usize {
        self.threads
            .iter()
            .map(|thread| what(thread).load(Relaxed))
            .sum()
    }

    pub(crate) fn least(&self) -> u64 {
        self.threads
            .iter()
            .map(|thread| thread.least.load(Relaxed))
            .min()
            .unwrap_or(u64::MAX)
    }
}

/// What is to be connected to what.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) address: SocketAddr,
    pub(crate) host: String,
    pub(crate) path: String,
    pub(crate) channels: Vec<String>,
    /// One for each connection, or one for all, or none.
    pub(crate) tokens: Vec<String>,
    pub(crate) connections: u32,
    pub(crate) threads: u32,
    /// Connections a second, and how many at once.
    pub(crate) connect_rate: f64,
    pub(crate) connect_at_once: usize,
    /// Every how manieth connection measures latency.
    pub(crate) sample: u32,
    pub(crate) run: u32,
}

impl Plan {
    /// Which of all connections stands at that place of that thread.
    fn index(&self, thread: u32, place: usize) -> u32 {
        place as u32 * self.threads + thread
    }

    fn channel(&self, connection: u32) -> u32 {
        connection % self.channels.len() as u32
    }

    fn introduction(&self, connection: u32) -> Introduction {
        let token = match self.tokens.as_slice() {
            [] => None,
            tokens => Some(tokens[connection as usize % tokens.len()].clone()),
        };
        Introduction {
            host: self.host.clone(),
            path: self.path.clone(),
            channel: self.channels[self.channel(connection) as usize].clone(),
            token,
        }
    }

    /// How many of the first `published` events are of this channel, when they take turns.
    fn published(&self, published: u64, channel: u32) -> u64 {
        let channels = self.channels.len() as u64;
        (published + channels - 1 - u64::from(channel)) / channels
    }
}

pub(crate) struct Reader {
    plan: Arc<Plan>,
    shared: Arc<Shared>,
    /// Which of the threads this is: it has every so manieth connection.
    thread: u32,
    share: u32,
    poll: Poll,
    connections: Vec<Connection>,
    /// Bytes of each connection that cannot be understood without more: an incomplete header.
    pending: Vec<Vec<u8>>,
    progress: Progress,
    buffer: Vec<u8>,
    tally: Tally,
    ready: usize,
    failed: usize,
}

impl Reader {
    pub(crate) fn new(plan: Arc<Plan>, shared: Arc<Shared>, thread: u32) -> std::io::Result<Self> {
        let share = (plan.connections + plan.threads - 1 - thread) / plan.threads;
        Ok(Self {
            plan,
            shared,
            thread,
            share,
            poll: Poll::new()?,
            connections: Vec::with_capacity(share as usize),
            pending: Vec::with_capacity(share as usize),
            progress: Progress::new(),
            buffer: vec![0; BUFFER],
            tally: Tally::new(),
            ready: 0,
            failed: 0,
        })
    }

    /// Opens the connections and reads from them until told to stop.
    pub(crate) fn run(mut self) -> std::io::Result<Tally> {
        let mut events = Events::with_capacity(1024);
        let start = Instant::now();
        while !self.shared.stopped() {
            let all_open = self.connections.len() == self.share as usize;
            let timeout = Duration::from_millis(if all_open { 50 } else { 2 });
            match self.poll.poll(&mut events, Some(timeout)) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                outcome => outcome?,
            }
            let window = &self.shared.window;
            self.tally.latency.window = window.0.load(Relaxed)..window.1.load(Relaxed);
            for event in &events {
                self.handle(event);
            }
            if !all_open {
                self.open(start.elapsed());
            }
            self.publish_state();
        }
        self.finish();
        Ok(self.tally)
    }

    fn open(&mut self, elapsed: Duration) {
        let threads = self.plan.threads as usize;
        let due = (elapsed.as_secs_f64() * self.plan.connect_rate / threads as f64) as usize + 1;
        let at_once = (self.plan.connect_at_once / threads).max(1);
        while self.connections.len() < due.min(self.share as usize) {
            let settled = self.ready + self.failed;
            if self.connections.len() >= settled + at_once {
                return;
            }
            if let Err(error) = self.open_one() {
                // Nothing to go on with: the rest of the share counts as failed.
                let left = self.share as usize - self.connections.len();
                *self
                    .tally
                    .failures
                    .entry(format!("socket: {error}"))
                    .or_default() += left as u64;
                self.failed += left;
                self.share = self.connections.len() as u32;
            }
        }
    }

    fn open_one(&mut self) -> std::io::Result<()> {
        let place = self.connections.len();
        let index = self.plan.index(self.thread, place);
        let mut stream = connect(self.plan.address, index)?;
        self.poll.registry().register(
            &mut stream,
            Token(place),
            Interest::READABLE | Interest::WRITABLE,
        )?;
        let channel = self.plan.channel(index);
        let sampled = index.is_multiple_of(self.plan.sample);
        let tag = marker::tag(self.plan.run, channel);
        self.connections.push(Connection::new(
            stream,
            self.plan.introduction(index),
            tag,
            sampled,
        ));
        self.pending.push(Vec::new());
        self.progress.add(u64::from(channel));
        Ok(())
    }

    fn handle(&mut self, event: &Event) {
        let place = event.token().0;
        let before = self.connections[place].stage();
        let outcome = match before {
            Stage::Closed => return,
            Stage::Connecting if event.is_writable() => self.connected(place),
            Stage::Connecting => Ok(()),
            _ => self.read(place, event.is_read_closed()),
        };
        if before != Stage::Ready && self.connections[place].stage() == Stage::Ready {
            self.ready += 1;
        }
        if let Err(end) = outcome {
            self.ended(place, end);
            return;
        }
        let channels = self.plan.channels.len() as u64;
        let channel = self.plan.channel(self.plan.index(self.thread, place));
        let last = self.connections[place].last();
        self.progress
            .advance(place, u64::from(last) * channels + u64::from(channel));
    }

    fn connected(&mut self, place: usize) -> Result<(), End> {
        let connection = &mut self.connections[place];
        connection.connected()?;
        let registry = self.poll.registry();
        registry
            .reregister(connection.stream(), Token(place), Interest::READABLE)
            .map_err(|error| error.to_string())
    }

    /// Reads until nothing is left, as edge-triggered readiness demands; on a stream socket a short read tells that
    /// without another call.
    fn read(&mut self, place: usize, to_end: bool) -> Result<(), End> {
        let connection = &mut self.connections[place];
        let pending = &mut self.pending[place];
        loop {
            let kept = pending.len();
            let Some(free) = self.buffer.get_mut(kept..).filter(|free| !free.is_empty()) else {
                return Err("1009 answer too long".to_owned());
            };
            let read = match connection.stream().read(free) {
                Ok(0) => return Err("1006 end of stream".to_owned()),
                Ok(read) => read,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(format!("1006 {error}")),
            };
            let drained = read < free.len() && !to_end;
            let now = self.shared.now();
            self.buffer[..kept].copy_from_slice(pending);
            let input = &self.buffer[..kept + read];
            let used = connection.receive(input, now, &mut self.tally)?;
            pending.clear();
            pending.extend_from_slice(&input[used..]);
            if drained {
                return Ok(());
            }
        }
    }

    fn ended(&mut self, place: usize, end: End) {
        let connection = &mut self.connections[place];
        match connection.stage() {
            Stage::Ready => *self.tally.disconnects.entry(end).or_default() += 1,
            stage => {
                *self
                    .tally
                    .failures
                    .entry(format!("{stage}: {end}"))
                    .or_default() += 1;
                self.failed += 1;
            }
        }
        connection.ended();
        let _ = connection.stream().shutdown(Shutdown::Both);
        self.progress.give_up(place);
    }

    fn publish_state(&mut self) {
        let state = &self.shared.threads[self.thread as usize];
        state.ready.store(self.ready, Relaxed);
        state.failed.store(self.failed, Relaxed);
        state.deliveries.store(self.tally.deliveries, Relaxed);
        state.messages.store(self.tally.messages, Relaxed);
        state.missing.store(self.tally.missing, Relaxed);
        state.least.store(self.progress.least(), Relaxed);
    }

    fn finish(&mut self) {
        let published = self.shared.published.load(Relaxed);
        for (place, connection) in self.connections.iter_mut().enumerate() {
            let index = self.plan.index(self.thread, place);
            let expected = self.plan.published(published, self.plan.channel(index));
            let tail = expected.saturating_sub(u64::from(connection.last()));
            match connection.stage() {
                Stage::Ready => self.tally.tail += tail,
                Stage::Closed => self.tally.cut_off += tail,
                stage => {
                    *self
                        .tally
                        .failures
                        .entry(format!("{stage}: no answer"))
                        .or_default() += 1;
                }
            }
            connection.close();
        }
    }
}

/// Connects in the background, within loopback from one of several source addresses.
fn connect(address: SocketAddr, index: u32) -> std::io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.set_tcp_nodelay(true)?;
    if let IpAddr::V4(ip) = address.ip()
        && ip.is_loopback()
    {
        let source = Ipv4Addr::new(127, 0, 0, 2 + (index % SOURCES) as u8);
        socket.bind(&SocketAddr::from((source, 0)).into())?;
    }
    match socket.connect(&address.into()) {
        Ok(()) => {}
        Err(error) if error.raw_os_error() == Some(EINPROGRESS) => {}
        Err(error) => return Err(error),
    }
    Ok(TcpStream::from_std(socket.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_of_channels_add_up() {
        let plan = Plan {
            address: SocketAddr::from(([127, 0, 0, 1], 1)),
            host: String::new(),
            path: String::new(),
            channels: ["a", "b", "c"].map(str::to_owned).to_vec(),
            tokens: Vec::new(),
            connections: 1,
            threads: 1,
            connect_rate: 1.0,
            connect_at_once: 1,
            sample: 1,
            run: 0,
        };
        for published in 0..20 {
            let of_each: Vec<u64> = (0..3)
                .map(|channel| plan.published(published, channel))
                .collect();
            assert_eq!(of_each.iter().sum::<u64>(), published);
            assert!(of_each.is_sorted_by(|a, b| a >= b));
        }
    }
}
