//! One cursor over all channels of a connection: whoever is cut off anywhere resumes right there.

#![allow(clippy::unwrap_used, reason = "a suite, not a library")]

mod common;
mod gated;
mod lines;

use std::collections::BTreeMap;
use std::io::{self, IoSlice};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Buf;
use common::{builder, channel, event, node};
use fanfare::codec::{Connect, Since};
use fanfare::{Batch, Config, DirectWrite, Event, Guarantee, Node, Priority, Resume};
use lines::{Line, LineClient, Lines, last_cursor, numbers, opening, read_lines, resuming};
use proptest::prelude::*;
use tokio::time::{sleep, timeout};

const SILENCE: Duration = Duration::from_secs(20);

async fn high(node: &Node, name: &str, number: u64) {
    let event = event(name, number).with_priority(Priority::High);
    node.publish(event).await.unwrap();
}

/// The offsets of a cursor.
fn offsets(cursor: &str, channels: &[&str]) -> Vec<Option<u64>> {
    let resume = cursor.parse::<Resume>().unwrap();
    let positions = channels.iter().map(|name| resume.position(&channel(name)));
    positions.map(|p| p.map(|p| p.offset)).collect()
}

async fn chunk(client: &LineClient) -> (*const u8, Vec<u8>) {
    let mut batch = Batch::default();
    client.outbound.next_batch(&mut batch).await.unwrap();
    let at = batch.chunk().as_ptr();
    (at, batch.copy_to_bytes(batch.remaining()).to_vec())
}

#[tokio::test(start_paused = true)]
async fn connections_with_one_channel_share_their_frames() {
    let node = node(Config::default()).await;
    let mut first = LineClient::joined(&node, "1", &["thread.1"]).await;
    let mut second = LineClient::joined(&node, "2", &["thread.1"]).await;
    let mut other = LineClient::joined(&node, "3", &["thread.1", "thread.2"]).await;
    for client in [&mut first, &mut second, &mut other] {
        client.lines(Duration::from_millis(1)).await;
    }
    high(&node, "thread.1", 1).await;
    let (at_first, bytes) = chunk(&first).await;
    let (at_second, _) = chunk(&second).await;
    let (at_other, of_other) = chunk(&other).await;
    assert_eq!(at_first, at_second, "the same memory");
    assert_ne!(at_first, at_other);
    let cursor = last_cursor(&read_lines(&bytes)).unwrap();
    let channels = ["thread.1", "thread.2"];
    assert_eq!(offsets(&cursor, &channels), [Some(1), None]);
    let cursor = last_cursor(&read_lines(&of_other)).unwrap();
    assert_eq!(offsets(&cursor, &channels), [Some(1), Some(0)]);
}

#[tokio::test(start_paused = true)]
async fn each_event_carries_where_the_client_stands_in_all_channels() {
    let node = node(Config::default()).await;
    let channels = ["thread.1", "thread.2"];
    let mut client = LineClient::joined(&node, "1", &channels).await;
    for (name, number) in [
        ("thread.1", 1),
        ("thread.2", 2),
        ("thread.2", 3),
        ("thread.1", 4),
    ] {
        high(&node, name, number).await;
        sleep(Duration::from_millis(1)).await;
    }
    let (lines, _) = client.lines(SILENCE).await;
    let cursors = lines.iter().filter_map(Line::cursor);
    let given = cursors.map(|cursor| offsets(cursor, &channels));
    let expected = [[0, 0], [1, 0], [1, 1], [1, 2], [2, 2]];
    let expected = expected.map(|offsets| offsets.map(Some).to_vec());
    assert_eq!(given.collect::<Vec<_>>(), expected);
}

#[tokio::test(start_paused = true)]
async fn ephemeral_events_leave_the_cursor_where_it_is() {
    let node = node(Config::default()).await;
    let channels = ["thread.1", "thread.2"];
    let mut client = LineClient::joined(&node, "1", &channels).await;
    high(&node, "thread.1", 1).await;
    let typing = event("thread.2", 2)
        .with_priority(Priority::High)
        .with_guarantee(Guarantee::Ephemeral);
    node.publish(typing).await.unwrap();
    let (lines, _) = client.lines(SILENCE).await;
    let mut seen = numbers(&lines);
    seen.sort_unstable();
    assert_eq!(seen, [1, 2]);
    let cursor = last_cursor(&lines).unwrap();
    assert_eq!(offsets(&cursor, &channels), [Some(1), Some(0)]);
}

#[tokio::test(start_paused = true)]
async fn what_waits_of_a_channel_that_was_left_keeps_the_cursor_of_the_others() {
    let node = node(Config::default()).await;
    let channels = ["thread.1", "thread.2"];
    let mut client = LineClient::joined(&node, "1", &channels).await;
    high(&node, "thread.2", 1).await;
    client.lines(SILENCE).await;
    high(&node, "thread.1", 2).await;
    sleep(Duration::from_millis(10)).await;
    client.send("unsubscribe thread.1").await;
    let (lines, _) = client.lines(SILENCE).await;
    assert_eq!(numbers(&lines), [2], "it was queued before");
    let cursor = last_cursor(&lines).unwrap();
    assert_eq!(offsets(&cursor, &channels)[1], Some(1), "{cursor}");
}

#[tokio::test(start_paused = true)]
async fn a_connection_begins_where_it_says() {
    let node = node(Config::default()).await;
    let channels = ["thread.1", "thread.2"];
    let mut client = LineClient::joined(&node, "1", &channels).await;
    for number in 1..=4 {
        high(&node, "thread.1", number).await;
        high(&node, "thread.2", number + 10).await;
    }
    let (lines, _) = client.lines(SILENCE).await;
    let cursor = last_cursor(&lines[..lines.len() - 2]).unwrap();
    let at = offsets(&cursor, &channels);
    let epoch = cursor
        .parse::<Resume>()
        .unwrap()
        .position(&channel("thread.1"))
        .unwrap()
        .epoch;
    drop(client);

    // None: from now on.
    let mut client = LineClient::joined(&node, "1", &channels).await;
    let (lines, _) = client.lines(SILENCE).await;
    assert!(numbers(&lines).is_empty());
    assert_eq!(
        offsets(&last_cursor(&lines).unwrap(), &channels),
        [Some(4), Some(4)]
    );
    drop(client);

    // A cursor: all channels from there, and the line that says so comes first.
    let mut client = LineClient::resumed(&node, "1", &channels, &cursor).await;
    let (lines, _) = client.lines(SILENCE).await;
    let Line::Start { cursor: first } = &lines[0] else {
        panic!("{lines:?}");
    };
    assert_eq!(offsets(first, &channels), at);
    let missed = (8 - at[0].unwrap() - at[1].unwrap()) as usize;
    assert_eq!(numbers(&lines).len(), missed);
    drop(client);

    // A position wins over the cursor, in its channel.
    let connect = Connect {
        positions: vec![(
            "thread.1".to_owned(),
            Since {
                epoch: epoch.to_string(),
                offset: 1,
            },
        )],
        ..resuming(&cursor)
    };
    let opening = opening("1", &channels, Lines { pongs: false });
    let mut client = LineClient::connect(&node, opening, connect).await.unwrap();
    let (lines, _) = client.lines(SILENCE).await;
    let seen = numbers(&lines);
    let (of_one, of_two): (Vec<u64>, Vec<u64>) = seen.iter().partition(|number| **number < 10);
    assert_eq!(of_one, [2, 3, 4]);
    assert_eq!(of_two, (11 + at[1].unwrap()..=14).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn a_position_that_is_not_covered_is_told() {
    let mut config = Config::default();
    config.history.events = 2;
    let node = node(config).await;
    let channels = ["thread.1", "thread.2"];
    let mut client = LineClient::joined(&node, "1", &channels).await;
    let (lines, _) = client.lines(SILENCE).await;
    let begin = last_cursor(&lines).unwrap();
    drop(client);
    for number in 1..=3 {
        high(&node, "thread.1", number).await;
    }
    high(&node, "thread.2", 4).await;
    let mut client = LineClient::resumed(&node, "1", &channels, &begin).await;
    let (lines, _) = client.lines(SILENCE).await;
    let subscribed = |name: &str, offset, recovered| Line::Subscribed {
        channel: name.to_owned(),
        offset,
        was_recovering: true,
        recovered,
    };
    assert!(
        lines.contains(&subscribed("thread.1", 3, false)),
        "{lines:?}"
    );
    assert!(
        lines.contains(&subscribed("thread.2", 0, true)),
        "{lines:?}"
    );
    assert_eq!(numbers(&lines), [4]);
    assert_eq!(
        offsets(&last_cursor(&lines).unwrap(), &channels),
        [Some(3), Some(1)]
    );
}

#[tokio::test(start_paused = true)]
async fn a_later_subscribe_takes_from_the_cursor_once() {
    let node = node(Config::default()).await;
    let channels = ["thread.1", "thread.2"];
    let mut client = LineClient::joined(&node, "1", &channels).await;
    let begin = last_cursor(&client.lines(SILENCE).await.0).unwrap();
    drop(client);
    high(&node, "thread.2", 1).await;
    let mut client = LineClient::resumed(&node, "1", &["thread.1"], &begin).await;
    client.lines(SILENCE).await;
    client.send("subscribe thread.2").await;
    let (lines, _) = client.lines(SILENCE).await;
    assert_eq!(numbers(&lines), [1]);
    client.send("unsubscribe thread.2").await;
    client.lines(SILENCE).await;
    high(&node, "thread.2", 2).await;
    client.send("subscribe thread.2").await;
    let (lines, _) = client.lines(SILENCE).await;
    assert!(numbers(&lines).is_empty(), "{lines:?}");
    assert!(lines.contains(&Line::Subscribed {
        channel: "thread.2".to_owned(),
        offset: 2,
        was_recovering: false,
        recovered: false,
    }));
}

#[tokio::test(start_paused = true)]
async fn a_subscribe_that_failed_may_be_tried_again() {
    let store = gated::Gated::default();
    let node = builder(Config::default())
        .history(store.clone())
        .start()
        .await
        .unwrap();
    let channels = ["thread.1", "thread.2"];
    let mut client = LineClient::joined(&node, "1", &channels).await;
    let begin = last_cursor(&client.lines(SILENCE).await.0).unwrap();
    drop(client);
    let publishing = {
        let node = node.clone();
        tokio::spawn(async move { high(&node, "thread.2", 1).await })
    };
    sleep(Duration::from_millis(5)).await;
    store.commit_all();
    publishing.await.unwrap();
    let mut client = LineClient::resumed(&node, "1", &["thread.1"], &begin).await;
    client.lines(SILENCE).await;
    store.fail_reads(1);
    client.send("subscribe thread.2").await;
    let (lines, _) = client.lines(SILENCE).await;
    assert_eq!(lines[0], Line::Refused("Unavailable".to_owned()));
    client.send("subscribe thread.2").await;
    let (lines, _) = client.lines(SILENCE).await;
    assert_eq!(numbers(&lines), [1], "{lines:?}");
}

/// The tag of a channel in a cursor has 32 bits; two names share one now and then.
#[tokio::test(start_paused = true)]
async fn channels_with_one_tag_lose_nothing_silently() {
    let mut known = BTreeMap::new();
    let (one, two) = (0u32..)
        .find_map(|at| {
            let name = format!("thread.{at}");
            let hash = name.bytes().fold(0x811c_9dc5, |hash: u32, byte| {
                (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
            });
            known.insert(hash, name.clone()).map(|other| (other, name))
        })
        .unwrap();
    let node = node(Config::default()).await;
    let channels = [&*one, &*two];
    for order in [channels, [channels[1], channels[0]]] {
        let mut client = LineClient::joined(&node, "1", &channels).await;
        let cursor = last_cursor(&client.lines(SILENCE).await.0).unwrap();
        drop(client);
        high(&node, &one, 1).await;
        high(&node, &two, 2).await;
        let mut client = LineClient::resumed(&node, "1", &order, &cursor).await;
        let (lines, _) = client.lines(SILENCE).await;
        for name in channels {
            let got = lines
                .iter()
                .any(|line| matches!(line, Line::Event { channel, .. } if channel == name));
            let told = lines.iter().any(|line| {
                matches!(line, Line::Subscribed { channel, was_recovering: true, recovered: false, .. } if channel == name)
            });
            assert!(got != told, "{name}: {lines:?}");
        }
    }
}

/// A socket that takes so many bytes at a time.
#[derive(Clone, Debug, Default)]
struct Socket(Arc<Mutex<(usize, Vec<u8>)>>);

impl DirectWrite for Socket {
    fn try_write(&self, frames: &[IoSlice<'_>]) -> io::Result<usize> {
        let (room, taken) = &mut *self.0.lock().unwrap();
        let mut written = 0;
        for frame in frames {
            let count = frame.len().min(*room);
            taken.extend_from_slice(&frame[..count]);
            *room -= count;
            written += count;
        }
        if written == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(written)
    }
}

#[derive(Clone, Debug)]
enum Step {
    Publish {
        channel: usize,
        priority: Priority,
        guarantee: Guarantee,
        key: Option<u8>,
    },
    /// The client takes one batch, or so many bytes.
    Read(usize),
    Wait(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let guarantee = prop_oneof![
        6 => Just(Guarantee::AtLeastOnce),
        3 => Just(Guarantee::BestEffort),
        1 => Just(Guarantee::Ephemeral),
    ];
    let priority = prop::sample::select(Priority::ALL.to_vec());
    let publish = (
        0usize..3,
        priority,
        guarantee,
        prop::option::weighted(0.3, 0u8..2),
    );
    let step = prop_oneof![
        6 => publish.prop_map(|(channel, priority, guarantee, key)| Step::Publish { channel, priority, guarantee, key }),
        2 => (1usize..600).prop_map(Step::Read),
        1 => (0u64..3_000).prop_map(Step::Wait),
    ];
    prop::collection::vec(step, 1..50)
}

/// What was published to a channel.
#[derive(Debug, Default)]
struct Published {
    /// Of each event with a position its number, whether it must arrive, and its key.
    kept: Vec<(u64, bool, Option<u8>)>,
    /// Of each event with a key, ephemeral ones too, its number.
    keys: Vec<(u64, u8)>,
}

impl Published {
    /// Whether the event at an offset must have been seen by whoever stands behind it.
    fn must_be_seen(&self, offset: u64) -> bool {
        let (number, must, key) = self.kept[offset as usize - 1];
        let newer = |(other, of): &(u64, u8)| *other > number && Some(*of) == key;
        must && !self.keys.iter().any(newer)
    }
}

type All = BTreeMap<String, Published>;

const CHANNELS: [&str; 3] = ["thread.0", "thread.1", "thread.2"];

async fn publish(node: &Node, all: &mut All, number: u64, step: &Step) {
    let Step::Publish {
        channel: at,
        priority,
        guarantee,
        key,
    } = step
    else {
        return;
    };
    let event = Event::new(channel(CHANNELS[*at]), "e", number.to_string()).unwrap();
    let event = event.with_priority(*priority).with_guarantee(*guarantee);
    let event = match key {
        Some(key) => event.conflated_by(&key.to_string()),
        None => event,
    };
    let published = node.publish(event).await.unwrap();
    let all = all.entry(CHANNELS[*at].to_owned()).or_default();
    all.keys.extend(key.map(|key| (number, key)));
    if let Some(position) = published.position {
        let must = *guarantee == Guarantee::AtLeastOnce;
        all.kept.push((number, must, *key));
        assert_eq!(position.offset, all.kept.len() as u64);
    }
}

/// Whether a cut after `lines` is one from which the cursor resumes exactly.
fn check_cut(lines: &[Line], begin: &str, all: &All) {
    let cursor = last_cursor(lines).unwrap_or_else(|| begin.to_owned());
    let begun = begin.parse::<Resume>().unwrap();
    let resume = cursor.parse::<Resume>().unwrap();
    for name in CHANNELS {
        let from = begun.position(&channel(name)).unwrap().offset;
        let to = resume
            .position(&channel(name))
            .expect("no channel is missing")
            .offset;
        let seen = lines.iter().filter_map(|line| match line {
            Line::Event {
                channel,
                offset: Some(offset),
                ..
            } if channel == name => Some(*offset),
            _ => None,
        });
        let seen = seen.collect::<Vec<_>>();
        assert!(
            seen.windows(2).all(|pair| pair[0] < pair[1]),
            "{name} {seen:?}"
        );
        assert!(
            seen.iter().all(|offset| *offset > from && *offset <= to),
            "{name} would get {seen:?} again after {to}"
        );
        for offset in from + 1..=to {
            assert!(
                !all[name].must_be_seen(offset) || seen.contains(&offset),
                "{name} never gets {offset}: has {seen:?} and resumes after {to}"
            );
        }
    }
}

/// Resumes for real.
async fn check_resume(node: &Node, lines: &[Line], begin: &str, all: &All) {
    let cursor = last_cursor(lines).unwrap_or_else(|| begin.to_owned());
    let resume = cursor.parse::<Resume>().unwrap();
    let mut client = LineClient::resumed(node, "2", &CHANNELS, &cursor).await;
    let (lines, _) = client.lines(Duration::from_millis(1)).await;
    check_cut(&lines, &cursor, all);
    for name in CHANNELS {
        let from = resume.position(&channel(name)).unwrap().offset;
        let newest = all.get(name).map_or(0, |all| all.kept.len() as u64);
        let seen = lines.iter().filter_map(|line| match line {
            Line::Event {
                channel, offset, ..
            } if channel == name => Some(offset.unwrap()),
            Line::Subscribed {
                channel, recovered, ..
            } if channel == name => {
                assert!(recovered);
                None
            }
            _ => None,
        });
        assert_eq!(
            seen.collect::<Vec<_>>(),
            (from + 1..=newest).collect::<Vec<_>>(),
            "{name}"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// However much was recovered, flushed, conflated or lost, and wherever the client is cut off:
    /// the last cursor that it read resumes right there.
    #[test]
    fn the_last_cursor_resumes_right_there(before in steps(), steps in steps(), lent in any::<bool>()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let mut config = Config::default();
            config.heartbeat.comment = Duration::from_secs(24 * 60 * 60);
            config.limits.envelope = 100;
            config.buffers.flush = 700;
            config.buffers.outbox = 1_400;
            let node = node(config).await;
            let mut all = All::new();
            let mut number = 0;
            let begin = {
                let mut client = LineClient::joined(&node, "1", &CHANNELS).await;
                last_cursor(&client.lines(Duration::from_millis(1)).await.0).unwrap()
            };
            // What is recovered at the start.
            for step in &before {
                number += 1;
                publish(&node, &mut all, number, step).await;
            }
            let client = LineClient::resumed(&node, "1", &CHANNELS, &begin).await;
            let socket = Socket::default();
            if lent {
                client.outbound.lend(socket.clone());
            }
            let outbound = client.outbound.clone();
            let driving = outbound.drive(|| sleep(Duration::from_millis(1)));
            let mut taken = Vec::new();
            let acting = async {
                let mut batch = Batch::default();
                for step in &steps {
                    number += 1;
                    match step {
                        Step::Publish { .. } => publish(&node, &mut all, number, step).await,
                        Step::Read(room) if lent => {
                            socket.0.lock().unwrap().0 += room;
                            sleep(Duration::from_millis(5)).await;
                        }
                        Step::Read(_) => {
                            let moment = Duration::from_millis(1);
                            if let Ok(Ok(())) = timeout(moment, client.outbound.next_batch(&mut batch)).await {
                                taken.extend_from_slice(&batch.copy_to_bytes(batch.remaining()));
                            }
                        }
                        Step::Wait(millis) => sleep(Duration::from_millis(*millis)).await,
                    }
                }
                sleep(SILENCE).await;
                if lent {
                    socket.0.lock().unwrap().0 = usize::MAX / 2;
                    sleep(Duration::from_millis(5)).await;
                } else {
                    while let Ok(Ok(())) = timeout(Duration::from_millis(1), client.outbound.next_batch(&mut batch)).await {
                        taken.extend_from_slice(&batch.copy_to_bytes(batch.remaining()));
                    }
                }
            };
            if lent {
                tokio::select! {
                    biased;
                    () = acting => {}
                    _ = driving => {}
                }
                // Cut off for good, if it was too slow: what stands half on the wire stays half.
                taken = socket.0.lock().unwrap().1.clone();
                sleep(SILENCE).await;
            } else {
                acting.await;
            }
            drop(client);
            let lines = read_lines(&taken);
            for cut in 0..=lines.len() {
                check_cut(&lines[..cut], &begin, &all);
                check_resume(&node, &lines[..cut], &begin, &all).await;
            }
        });
    }
}
