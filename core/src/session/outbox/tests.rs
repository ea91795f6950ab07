#![cfg(not(loom))]

mod cursors;
mod passing;
mod reframing;

use std::io::{self, IoSlice};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Waker;

use bytes::{Buf, BytesMut};
use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::codec::centrifuge::Centrifuge;
use crate::event::{Event, Guarantee, Publication};
use crate::framing::Framing;
use crate::position::{Epoch, Position};

const BUDGET: usize = 2_000;

/// A message ends with a zero byte.
#[derive(Debug)]
struct ZeroEnded;

impl Framing for ZeroEnded {
    fn name(&self) -> &'static str {
        "zero-ended"
    }

    fn frame(&self, message: &[u8], out: &mut BytesMut) {
        out.extend_from_slice(message);
        out.extend_from_slice(&[0]);
    }
}

/// A socket with room for so many bytes.
#[derive(Clone, Default)]
struct Socket(Arc<SocketState>);

#[derive(Default)]
struct SocketState {
    room: AtomicUsize,
    taken: Mutex<Vec<u8>>,
}

impl DirectWrite for Socket {
    fn try_write(&self, frames: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut written = 0;
        for frame in frames {
            let count = frame.len().min(self.0.room.load(Ordering::Relaxed));
            self.0.taken.lock().extend_from_slice(&frame[..count]);
            self.0.room.fetch_sub(count, Ordering::Relaxed);
            written += count;
        }
        if written == 0 {
            Err(io::ErrorKind::WouldBlock.into())
        } else {
            Ok(written)
        }
    }
}

impl Socket {
    fn make_room(&self, bytes: usize) {
        self.0.room.fetch_add(bytes, Ordering::Relaxed);
    }

    fn lines(&self) -> Vec<Value> {
        lines(&self.0.taken.lock())
    }
}

fn lines(bytes: &[u8]) -> Vec<Value> {
    bytes
        .split(|byte| matches!(byte, 0 | b'\n'))
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_slice(line).unwrap())
        .collect()
}

fn outbox() -> Outbox {
    Outbox::new(
        Arc::new(WireForm::new(
            0,
            Arc::new(Centrifuge),
            Arc::new(ZeroEnded),
            1 << 16,
        )),
        BUDGET,
    )
}

fn flush(events: impl IntoIterator<Item = (u64, Guarantee, Option<u8>)>) -> Arc<Flush> {
    let channel = Channel::new("thread.1").unwrap();
    let publications = events.into_iter().map(|(number, guarantee, key)| {
        let event = Event::new(channel.clone(), "e", format!("{{\"n\":{number}}}"))
            .unwrap()
            .with_guarantee(guarantee);
        let event = match key {
            Some(key) => event.conflated_by(&key.to_string()),
            None => event,
        };
        Arc::new(Publication::new(
            event,
            Some(Position {
                epoch: Epoch::new(1),
                offset: number,
            }),
        ))
    });
    Arc::new(Flush::new(channel.clone(), publications.collect()))
}

fn at_least_once(number: u64) -> Arc<Flush> {
    flush([(number, Guarantee::AtLeastOnce, None)])
}

fn control(number: u64) -> Bytes {
    Bytes::from(format!("{{\"control\":{number}}}\0"))
}

fn numbers(lines: &[Value]) -> Vec<u64> {
    lines
        .iter()
        .filter_map(|line| line.pointer("/push/pub/data/n")?.as_u64())
        .collect()
}

fn controls(lines: &[Value]) -> Vec<u64> {
    lines
        .iter()
        .filter_map(|line| line.get("control")?.as_u64())
        .collect()
}

fn reported_lost(lines: &[Value]) -> u64 {
    lines
        .iter()
        .filter_map(|line| line.pointer("/push/message/data/count")?.as_u64())
        .sum()
}

fn poll<T>(outbox: impl FnOnce(&mut Context<'_>) -> Poll<T>) -> Poll<T> {
    outbox(&mut Context::from_waker(Waker::noop()))
}

#[test]
fn a_socket_that_keeps_up_is_written_at_once() {
    let (outbox, socket) = (outbox(), Socket::default());
    outbox.lend(Box::new(socket.clone()));
    socket.make_room(10_000);
    assert!(outbox.push_flush(&at_least_once(1)).newly_staged);
    assert!(!outbox.push_flush(&at_least_once(2)).newly_staged);
    assert!(matches!(outbox.write(), Written::All(_)));
    assert_eq!(numbers(&socket.lines()), [1, 2]);
    assert!(outbox.push_flush(&at_least_once(3)).newly_staged);
    assert_eq!(
        poll(|context| outbox.poll_attention(context)),
        Poll::Pending
    );
}

#[test]
fn a_full_socket_is_left_to_the_task_and_order_is_kept() {
    let (outbox, socket) = (outbox(), Socket::default());
    outbox.lend(Box::new(socket.clone()));
    socket.make_room(10);
    outbox.push_flush(&at_least_once(1));
    assert_eq!(outbox.write(), Written::Part(10));
    assert_eq!(
        poll(|context| outbox.poll_attention(context)),
        Poll::Ready(Attention::Stalled)
    );
    socket.make_room(10_000);
    outbox.push_flush(&at_least_once(2));
    assert_eq!(
        outbox.write(),
        Written::Part(0),
        "fan-out must leave a stalled socket alone"
    );
    assert!(matches!(outbox.write_on(), Written::All(_)));
    assert_eq!(numbers(&socket.lines()), [1, 2]);
    assert_eq!(outbox.bytes(), 0);
}

#[test]
fn a_batch_counts_until_the_next_is_asked_for() {
    let outbox = outbox();
    let mut batch = Batch::default();
    outbox.push_flush(&at_least_once(1));
    assert_eq!(
        poll(|context| outbox.poll_batch(context, &mut batch)),
        Poll::Ready(Ok(()))
    );
    let bytes = batch.remaining();
    assert_eq!(outbox.bytes(), bytes);
    assert_eq!(numbers(&lines(&batch.copy_to_bytes(bytes))), [1]);
    assert_eq!(
        poll(|context| outbox.poll_batch(context, &mut batch)),
        Poll::Pending
    );
    assert_eq!(outbox.bytes(), 0);
}

#[test]
fn what_is_held_follows_the_reply() {
    let (outbox, socket) = (outbox(), Socket::default());
    outbox.lend(Box::new(socket.clone()));
    socket.make_room(10_000);
    outbox.hold();
    outbox.push_flush(&at_least_once(1));
    assert_eq!(outbox.write(), Written::All(0));
    outbox.hold();
    outbox.release(Some(control(1)));
    outbox.push_flush(&at_least_once(2));
    outbox.release(Some(control(2)));
    outbox.write();
    let lines = socket.lines();
    assert_eq!(lines.len(), 4);
    assert_eq!(controls(&lines[..2]), [1, 2]);
    assert_eq!(numbers(&lines[2..]), [1, 2]);
}

#[test]
fn the_newest_of_each_key_survives_a_full_outbox() {
    let outbox = outbox();
    let mut conflated = 0;
    for number in 0..100 {
        let pushed = outbox.push_flush(&flush([(
            number,
            Guarantee::AtLeastOnce,
            Some((number % 2) as u8),
        )]));
        assert!(!pushed.overflowed);
        conflated += pushed.conflated;
    }
    let mut batch = Batch::default();
    assert!(poll(|context| outbox.poll_batch(context, &mut batch)).is_ready());
    let kept = numbers(&lines(&batch.copy_to_bytes(batch.remaining())));
    assert_eq!(kept.len() as u64 + conflated, 100);
    assert_eq!(kept[kept.len() - 2..], [98, 99]);
    assert!(kept.is_sorted());
}

#[test]
fn best_effort_is_given_up_before_the_connection_and_the_client_is_told() {
    let outbox = outbox();
    outbox.push_flush(&at_least_once(0));
    let mut dropped = 0;
    for number in 1..100 {
        let pushed = outbox.push_flush(&flush([(number, Guarantee::BestEffort, None)]));
        assert!(!pushed.overflowed);
        dropped += pushed.dropped;
    }
    assert!(dropped > 0);
    let mut all = Vec::new();
    let mut batch = Batch::default();
    while poll(|context| outbox.poll_batch(context, &mut batch)).is_ready() {
        all.extend(lines(&batch.copy_to_bytes(batch.remaining())));
    }
    assert_eq!(numbers(&all)[0], 0);
    assert_eq!(numbers(&all).len() as u64 + dropped, 100);
    assert_eq!(reported_lost(&all), dropped);
}

#[test]
fn an_event_that_must_arrive_and_cannot_ends_the_connection() {
    let outbox = outbox();
    let overflowed =
        (0..1_000).find(|&number| outbox.push_flush(&at_least_once(number)).overflowed);
    assert!(overflowed.is_some());
    assert_eq!(outbox.bytes(), 0);
    let mut batch = Batch::default();
    let polled = poll(|context| outbox.poll_batch(context, &mut batch));
    assert_eq!(polled, Poll::Ready(Err(Disconnect::SLOW)));
    assert!(!outbox.push_flush(&at_least_once(0)).newly_staged);
}

#[test]
fn a_frame_half_on_the_wire_is_finished_before_an_abrupt_end() {
    let (outbox, socket) = (outbox(), Socket::default());
    outbox.lend(Box::new(socket.clone()));
    socket.make_room(10);
    outbox.push_flush(&at_least_once(1));
    outbox.push_flush(&at_least_once(2));
    outbox.write();
    outbox.close(Disconnect::SLOW);
    socket.make_room(10_000);
    assert!(matches!(outbox.write_on(), Written::All(_)));
    assert_eq!(numbers(&socket.lines()), [1]);
}

#[test]
fn a_broken_socket_ends_the_connection() {
    struct Broken;
    impl DirectWrite for Broken {
        fn try_write(&self, _frames: &[IoSlice<'_>]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
    }
    let outbox = outbox();
    outbox.lend(Box::new(Broken));
    outbox.push_flush(&at_least_once(1));
    outbox.write();
    assert_eq!(
        poll(|context| outbox.poll_closing(context)),
        Poll::Ready(Disconnect::WRITE_ERROR)
    );
    assert_eq!(outbox.write_on(), Written::All(0));
}

#[derive(Clone, Debug)]
enum Step {
    Flush(Vec<(Guarantee, Option<u8>)>),
    Control,
    Hold,
    Release,
    Write,
    Room(usize),
    WriteOn,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let guarantee = prop_oneof![
        3 => Just(Guarantee::AtLeastOnce),
        3 => Just(Guarantee::BestEffort),
        1 => Just(Guarantee::Ephemeral),
    ];
    let step = prop_oneof![
        6 => prop::collection::vec((guarantee, prop::option::of(0u8..3)), 1..6).prop_map(Step::Flush),
        1 => Just(Step::Control),
        1 => Just(Step::Hold),
        1 => Just(Step::Release),
        4 => Just(Step::Write),
        3 => (1usize..900).prop_map(Step::Room),
        2 => Just(Step::WriteOn),
    ];
    prop::collection::vec(step, 0..120)
}

proptest! {
    /// Whatever happens: whole frames in order, every control message, every event that must arrive
    /// unless the connection ends, the newest of each key, and every loss told.
    #[test]
    fn outcomes_are_as_named(steps in steps()) {
        let (outbox, socket) = (outbox(), Socket::default());
        outbox.lend(Box::new(socket.clone()));
        let mut sent = Vec::new();
        let (mut next, mut sent_controls, mut holds) = (0u64, 0u64, 0u32);
        let (mut conflated, mut dropped, mut overflowed) = (0u64, 0u64, false);
        for step in steps {
            match step {
                Step::Flush(events) => {
                    let events = events.into_iter().map(|(guarantee, key)| {
                        next += 1;
                        (next, guarantee, key)
                    }).collect::<Vec<_>>();
                    let pushed = outbox.push_flush(&flush(events.clone()));
                    conflated += pushed.conflated;
                    dropped += pushed.dropped;
                    if pushed.overflowed {
                        overflowed = true;
                        break;
                    }
                    sent.extend(events);
                    prop_assert!(outbox.bytes() <= BUDGET + 20 * sent_controls as usize);
                }
                Step::Control => {
                    sent_controls += 1;
                    outbox.push_control(control(sent_controls));
                }
                Step::Hold => { outbox.hold(); holds += 1; }
                Step::Release if holds > 0 => { outbox.release(None); holds -= 1; }
                Step::Release => {}
                Step::Write => { outbox.write(); }
                Step::Room(bytes) => socket.make_room(bytes),
                Step::WriteOn => { outbox.write_on(); }
            }
        }
        for _ in 0..holds {
            outbox.release(None);
        }
        socket.make_room(1 << 20);
        outbox.write_on();
        prop_assert_eq!(outbox.bytes(), 0);
        let lines = socket.lines();
        let arrived = numbers(&lines);
        prop_assert!(arrived.windows(2).all(|pair| pair[0] < pair[1]), "{:?}", arrived);
        if !overflowed {
            prop_assert_eq!(controls(&lines), (1..=sent_controls).collect::<Vec<_>>());
            prop_assert_eq!(reported_lost(&lines), dropped);
            prop_assert_eq!(arrived.len() as u64 + conflated + dropped, sent.len() as u64);
            for (at, (number, guarantee, key)) in sent.iter().enumerate() {
                let superseded = key.is_some() && sent[at + 1..].iter().any(|(_, _, later)| later == key);
                if *guarantee == Guarantee::AtLeastOnce && !superseded {
                    prop_assert!(arrived.contains(number), "{} is missing of {:?}", number, arrived);
                }
            }
        }
    }
}
