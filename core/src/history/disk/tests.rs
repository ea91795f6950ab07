use std::fs;

use tempfile::TempDir;

use super::*;
use crate::broker::SpillError;
use crate::event::{Guarantee, Priority, Publication, Publisher};
use crate::position::Epoch;

pub(super) fn channel(name: &str) -> Channel {
    Channel::new(name).unwrap()
}

pub(super) fn event(name: &str, payload: &str) -> Event {
    Event::new(channel(name), "e", payload.to_owned()).unwrap()
}

fn keep(events: usize) -> Retention {
    Retention {
        events,
        ..Retention::default()
    }
}

pub(super) fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

/// A store that serves from disk whatever is safe.
fn without_tail(folder: &TempDir) -> Disk {
    Disk::open_at(folder.path(), SystemTime::now(), 0).unwrap()
}

pub(super) async fn append(store: &Disk, event: Event, retention: &Retention) -> Arc<Publication> {
    let appended = store.append(event, retention);
    store.committed(appended.ticket).await.unwrap();
    assert!(store.safe() >= appended.ticket);
    appended.publication
}

pub(super) async fn expire(store: &Disk) {
    let mut rounds = store.shared.rounds.subscribe();
    let before = *rounds.borrow_and_update();
    store.expire();
    rounds.wait_for(|rounds| *rounds > before).await.unwrap();
}

pub(super) fn offsets_of(page: &Page) -> Vec<u64> {
    let positions = page.publications.iter().map(|p| p.position().unwrap());
    positions.map(|position| position.offset).collect()
}

async fn offsets(store: &Disk, after: u64, up_to: u64, limit: usize) -> (u64, Vec<u64>) {
    let page = store.read(&channel("thread.1"), after, up_to, limit).await;
    let page = page.unwrap();
    (page.oldest, offsets_of(&page))
}

#[tokio::test]
async fn the_newest_events_are_kept_in_memory_on_disk_and_after_a_restart() {
    for tail_bytes in [0, 700, TAIL_BYTES] {
        let folder = folder();
        let open = || Disk::open_at(folder.path(), SystemTime::now(), tail_bytes).unwrap();
        let store = open();
        for _ in 0..5 {
            append(&store, event("thread.1", "1"), &keep(3)).await;
        }
        three_of_five(&store).await;
        drop(store);
        three_of_five(&open()).await;
    }
}

async fn three_of_five(store: &Disk) {
    assert_eq!(offsets(store, 0, 9, 9).await, (3, vec![3, 4, 5]));
    assert_eq!(offsets(store, 3, 4, 9).await, (3, vec![4]));
    assert_eq!(offsets(store, 5, 9, 9).await, (3, vec![]));
    assert_eq!(offsets(store, 2, 5, 2).await, (3, vec![3, 4]));
    assert_eq!(offsets(store, u64::MAX, u64::MAX, 2).await, (3, vec![]));
    assert_eq!(offsets(store, 0, u64::MAX, 0).await, (3, vec![]));
}

#[tokio::test]
async fn bytes_bound_a_channel() {
    let folder = folder();
    let store = without_tail(&folder);
    let one = Publication::new(event("thread.1", "1"), None).weight();
    let retention = Retention {
        bytes: 2 * one,
        ..Retention::default()
    };
    for _ in 0..5 {
        append(&store, event("thread.1", "1"), &retention).await;
    }
    assert_eq!(offsets(&store, 0, 9, 9).await, (4, vec![4, 5]));
}

#[tokio::test]
async fn a_channel_that_keeps_nothing_counts_on() {
    let folder = folder();
    let store = without_tail(&folder);
    for _ in 0..3 {
        append(&store, event("thread.1", "1"), &keep(0)).await;
    }
    assert_eq!(offsets(&store, 0, 9, 9).await, (4, vec![]));
    drop(store);
    let store = without_tail(&folder);
    assert_eq!(offsets(&store, 0, 9, 9).await, (4, vec![]));
    let next = append(&store, event("thread.1", "1"), &keep(1)).await;
    assert_eq!(next.position().unwrap().offset, 4);
    assert_eq!(offsets(&store, 0, 9, 9).await, (4, vec![4]));
}

#[tokio::test]
async fn limits_that_shrink_are_reached_in_steps() {
    let folder = folder();
    let store = without_tail(&folder);
    for _ in 0..3_000 {
        store.append(event("thread.1", "1"), &keep(9_999));
    }
    append(&store, event("thread.1", "1"), &keep(10)).await;
    assert_eq!(offsets(&store, 0, u64::MAX, 0).await.0, 1_025);
    for _ in 0..2 {
        append(&store, event("thread.1", "1"), &keep(10)).await;
    }
    let (oldest, left) = offsets(&store, 0, u64::MAX, 99).await;
    assert_eq!((oldest, left.len()), (2_994, 10));
}

#[tokio::test(start_paused = true)]
async fn age_bounds_a_channel_and_a_forgotten_one_gets_a_new_epoch() {
    let folder = folder();
    let store = without_tail(&folder);
    let thread = channel("thread.1");
    let retention = Retention {
        age: Duration::from_secs(60),
        ..Retention::default()
    };
    let before = store.top(&thread);
    append(&store, event("thread.1", "1"), &retention).await;
    let first = Position {
        offset: 1,
        ..before
    };
    assert_eq!(store.top(&thread), first);
    tokio::time::advance(Duration::from_secs(61)).await;
    // What has expired is not shown, removed or not.
    assert_eq!(offsets(&store, 0, 9, 9).await, (2, vec![]));
    expire(&store).await;
    assert_eq!(store.top(&thread), first);
    assert_eq!(offsets(&store, 0, 9, 9).await, (2, vec![]));
    tokio::time::advance(Duration::from_secs(61)).await;
    expire(&store).await;
    let after = store.top(&thread);
    assert_eq!(after.offset, 0);
    assert_ne!(after.epoch, before.epoch);
    append(&store, event("thread.1", "2"), &retention).await;
    assert_eq!(store.top(&thread), Position { offset: 1, ..after });
    drop(store);
    assert_eq!(without_tail(&folder).top(&thread).epoch, after.epoch);
}

#[tokio::test(start_paused = true)]
async fn ages_go_on_while_the_node_is_down() {
    let folder = folder();
    let start = SystemTime::now();
    let retention = Retention {
        age: Duration::from_secs(60),
        ..Retention::default()
    };
    let store = Disk::open_at(folder.path(), start, TAIL_BYTES).unwrap();
    let position = append(&store, event("thread.1", "1"), &retention)
        .await
        .position()
        .unwrap();
    tokio::time::advance(Duration::from_secs(30)).await;
    append(&store, event("thread.1", "2"), &retention).await;
    store.close().await;
    drop(store);
    let later = start + Duration::from_secs(70);
    let store = Disk::open_at(folder.path(), later, TAIL_BYTES).unwrap();
    assert_eq!(offsets(&store, 0, 9, 9).await, (2, vec![2]));
    expire(&store).await;
    assert_eq!(offsets(&store, 0, 9, 9).await, (2, vec![2]));
    drop(store);
    let later = start + Duration::from_secs(151);
    let store = Disk::open_at(folder.path(), later, TAIL_BYTES).unwrap();
    assert_eq!(store.top(&channel("thread.1")).epoch, position.epoch);
    expire(&store).await;
    let top = store.top(&channel("thread.1"));
    assert_eq!(top.offset, 0);
    assert_ne!(top.epoch, position.epoch);
    drop(store);
    let store = Disk::open_at(folder.path(), later, TAIL_BYTES).unwrap();
    assert_eq!(store.top(&channel("thread.1")), top);
}

#[tokio::test]
async fn a_publication_comes_back_from_disk_as_it_was() {
    let folder = folder();
    let publisher = Publisher {
        user: "u1".into(),
        client: "c1".into(),
    };
    let event = event("thread.1", r#"{"text":"\u00e4 \n","n":1.50}"#)
        .with_priority(Priority::Low)
        .with_guarantee(Guarantee::BestEffort)
        .conflated_by("k")
        .published_by(publisher.clone());
    let store = without_tail(&folder);
    let appended = append(&store, event.clone(), &keep(9)).await;
    drop(store);
    let store = without_tail(&folder);
    let page = store.read(&channel("thread.1"), 0, 9, 9).await.unwrap();
    let [read] = &page.publications[..] else {
        panic!("one publication is kept");
    };
    assert_eq!(read.position(), appended.position());
    assert_eq!(read.event().channel(), event.channel());
    assert_eq!(read.event().name(), event.name());
    assert_eq!(read.event().payload(), event.payload());
    assert_eq!(read.event().priority(), Priority::Low);
    assert_eq!(read.event().guarantee(), Guarantee::BestEffort);
    assert_eq!(read.event().conflation_key(), event.conflation_key());
    assert_eq!(read.event().publisher(), Some(&publisher));
    assert_eq!(read.weight(), appended.weight());
}

#[tokio::test]
async fn an_event_is_read_before_it_is_safe() {
    let folder = folder();
    let store = Disk::open(&folder).unwrap();
    for offset in 1..=2_000 {
        let appended = store.append(event("thread.1", "1"), &keep(10_000));
        assert_eq!(appended.publication.position().unwrap().offset, offset);
        let (_, read) = offsets(&store, offset - 1, offset, 1).await;
        assert_eq!(read, [offset]);
    }
}

#[tokio::test]
async fn memory_keeps_no_more_than_its_bound() {
    let folder = folder();
    let store = Disk::open_at(folder.path(), SystemTime::now(), 10_000).unwrap();
    let payload = format!("\"{}\"", "x".repeat(298));
    for _ in 0..100 {
        for name in ["thread.1", "thread.2", "thread.3"] {
            store.append(event(name, &payload), &keep(10_000));
        }
    }
    append(&store, event("thread.1", &payload), &keep(10_000)).await;
    // What was written last is let go of just after it is called safe.
    append(&store, event("thread.1", "1"), &keep(10_000)).await;
    let one = Publication::new(event("thread.1", &payload), None).weight();
    assert!(store.shared.channels.weight() <= 10_000 + one);
    let (oldest, read) = offsets(&store, 0, u64::MAX, usize::MAX).await;
    assert_eq!((oldest, read), (1, (1..=102).collect()));
}

#[tokio::test]
async fn channels_without_events_keep_their_epoch_too() {
    let folder = folder();
    let store = Disk::open(&folder).unwrap();
    let thread = store.top(&channel("thread.1"));
    assert_ne!(thread.epoch, store.top(&channel("thread.2")).epoch);
    drop(store);
    assert_eq!(
        Disk::open(&folder).unwrap().top(&channel("thread.1")),
        thread
    );
    let other = tempfile::tempdir().unwrap();
    let other = Disk::open(&other).unwrap();
    assert_ne!(other.top(&channel("thread.1")).epoch, thread.epoch);
}

#[tokio::test(start_paused = true)]
async fn receipts_survive_and_are_dropped_after_two_days() {
    let folder = folder();
    let start = SystemTime::now();
    let user = channel("user.1");
    let receipt = |offset, at| Receipt {
        position: Position {
            epoch: Epoch::new(1),
            offset,
        },
        at,
    };
    let store = Disk::open_at(folder.path(), start, TAIL_BYTES).unwrap();
    assert_eq!(store.receipt(&user), None);
    store.note_receipt(&user, receipt(5, start));
    store.note_receipt(&user, receipt(4, start));
    assert_eq!(store.receipt(&user), Some(receipt(5, start)));
    drop(store);
    let later = start + Duration::from_secs(47 * 60 * 60);
    let store = Disk::open_at(folder.path(), later, TAIL_BYTES).unwrap();
    expire(&store).await;
    assert_eq!(store.receipt(&user).unwrap().position.offset, 5);
    tokio::time::advance(Duration::from_secs(2 * 60 * 60)).await;
    expire(&store).await;
    assert_eq!(store.receipt(&user), None);
    drop(store);
    let store = Disk::open_at(folder.path(), start, TAIL_BYTES).unwrap();
    assert_eq!(store.receipt(&user), None);
}

#[tokio::test]
async fn a_closed_store_says_so() {
    let folder = folder();
    let store = without_tail(&folder);
    append(&store, event("thread.1", "1"), &keep(9)).await;
    let waiting = store.append(event("thread.1", "2"), &keep(9));
    assert!(store.is_up());
    store.close().await;
    assert!(!store.is_up());
    store.committed(waiting.ticket).await.unwrap();
    let late = store.append(event("thread.1", "3"), &keep(9));
    assert!(store.safe() < late.ticket);
    let error = store.committed(late.ticket).await.unwrap_err();
    let source = std::error::Error::source(&error).unwrap();
    assert_eq!(source.to_string(), CLOSED);
    assert!(store.read(&channel("thread.1"), 0, 1, 1).await.is_err());
    // The folder is free, though the store is still there.
    assert_eq!(offsets(&without_tail(&folder), 0, 9, 9).await.1, [1, 2]);
}

#[tokio::test]
async fn files_that_vanish_take_the_store_down() {
    let folder = folder();
    let store = Disk::open(&folder).unwrap();
    append(&store, event("thread.1", "1"), &keep(9)).await;
    fs::remove_dir_all(folder.path().join("keyspaces")).unwrap();
    let payload = format!("\"{}\"", "x".repeat(60_000));
    let mut written = 0;
    loop {
        let appended = store.append(event("thread.1", &payload), &keep(9_999));
        if store.committed(appended.ticket).await.is_err() {
            break;
        }
        written += payload.len();
        assert!(written < 100 << 20, "the engine has not noticed");
    }
    assert!(!store.is_up());
    let late = store.append(event("thread.1", "1"), &keep(9));
    assert!(store.committed(late.ticket).await.is_err());
    assert!(store.safe() < late.ticket);
    // What is still in memory can be read, and nothing panics.
    let top = store.top(&channel("thread.1")).offset;
    let _ = store.read(&channel("thread.1"), 0, top, 9_999).await;
    store.expire();
    store.close().await;
}

#[test]
fn a_folder_is_opened_once() {
    let folder = folder();
    let _store = Disk::open(&folder).unwrap();
    let error = Disk::open(&folder).unwrap_err();
    assert_eq!(error.kind(), OpenErrorKind::InUse);
    let sentence = format!(
        "history folder {} is in use by another process",
        folder.path().display()
    );
    assert_eq!(error.to_string(), sentence);
}

#[test]
fn a_file_in_the_folders_place_is_refused() {
    let folder = folder();
    let path = folder.path().join("history");
    fs::write(&path, "x").unwrap();
    let error = Disk::open(&path).unwrap_err();
    assert_eq!(
        (error.kind(), error.folder()),
        (OpenErrorKind::Access, &*path)
    );
}

#[test]
fn another_format_is_refused() {
    let folder = folder();
    drop(Disk::open(&folder).unwrap());
    files::tests::set_format(folder.path(), 7);
    let error = Disk::open(&folder).unwrap_err();
    assert_eq!(error.kind(), OpenErrorKind::Format { found: 7 });
    assert!(
        error
            .to_string()
            .ends_with("has format 7, this version knows only 1")
    );
}

#[tokio::test]
async fn a_damaged_folder_is_named() {
    let folder = folder();
    let store = Disk::open(&folder).unwrap();
    append(&store, event("thread.1", "1"), &keep(9)).await;
    drop(store);
    let mut garbled = 0;
    garble(folder.path(), &mut garbled);
    assert!(garbled > 1);
    let error = Disk::open(&folder).unwrap_err();
    assert_eq!(error.kind(), OpenErrorKind::Damaged, "{error:?}");
    assert!(
        error
            .to_string()
            .contains(&folder.path().display().to_string())
    );
}

/// Overwrites all files but locks.
fn garble(folder: &Path, garbled: &mut u32) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            garble(&path, garbled);
        } else if path.file_name().is_some_and(|name| name != "lock") {
            fs::write(path, [0xaa; 4_096]).unwrap();
            *garbled += 1;
        }
    }
}

#[tokio::test]
async fn what_waits_for_the_broker_survives_and_is_bounded() {
    let folder = folder();
    let frames = |range: std::ops::Range<u8>| {
        range
            .map(|n| vec![n; 100].into())
            .collect::<Vec<bytes::Bytes>>()
    };
    {
        let disk = Disk::open(folder.path()).unwrap();
        let spill = disk.spill(SpillPart::Broker, 10 * 200).unwrap();
        assert!(spill.read(0, 9).await.unwrap().is_empty());
        spill.append(0, frames(0..5)).await.unwrap();
        spill.append(7, frames(5..8)).await.unwrap();
        spill.append(0, frames(8..10)).await.unwrap();
        let full = spill.append(7, frames(0..5)).await;
        assert!(matches!(full, Err(SpillError::Full)));
        spill
            .remove(0, spill.read(0, 2).await.unwrap()[1].0)
            .await
            .unwrap();
        assert_eq!(spill.len(), 8);
    }
    let disk = Disk::open(folder.path()).unwrap();
    let spill = disk.spill(SpillPart::Broker, 10 * 200).unwrap();
    assert_eq!(spill.len(), 8);
    spill.append(0, frames(10..11)).await.unwrap();
    let kept = spill.read(0, 99).await.unwrap();
    let first = kept.iter().map(|(_, frame)| frame[0]).collect::<Vec<_>>();
    assert_eq!(first, [2, 3, 4, 8, 9, 10]);
    assert!(kept.windows(2).all(|pair| pair[0].0 < pair[1].0));
    disk.close().await;
    assert!(spill.append(0, frames(0..1)).await.is_err());
    drop(disk);
    let disk = Disk::open(folder.path()).unwrap();
    assert_eq!(disk.spill(SpillPart::Broker, 0).unwrap().len(), 9);
}

#[tokio::test]
async fn what_waits_for_one_server_takes_no_room_of_another() {
    let folder = folder();
    let frame = |byte: u8| vec![vec![byte; 100].into()];
    {
        let disk = Disk::open(folder.path()).unwrap();
        let broker = disk.spill(SpillPart::Broker, 400).unwrap();
        let topics = disk.spill(SpillPart::Topics, 400).unwrap();
        for _ in 0..2 {
            topics.append(3, frame(1)).await.unwrap();
        }
        assert!(topics.room() < 100, "{}", topics.room());
        let full = topics.append(3, frame(1)).await;
        assert!(matches!(full, Err(SpillError::Full)));
        assert_eq!(broker.room(), 400);
        broker.append(3, frame(2)).await.unwrap();
        assert_eq!((broker.len(), topics.len()), (1, 2));
    }
    let disk = Disk::open(folder.path()).unwrap();
    let broker = disk.spill(SpillPart::Broker, 400).unwrap();
    let topics = disk.spill(SpillPart::Topics, 400).unwrap();
    assert_eq!((broker.len(), topics.len()), (1, 2));
    assert!(topics.room() < 100 && broker.room() < 300);
    for (spill, count, byte) in [(&broker, 1, 2), (&topics, 2, 1)] {
        let kept = spill.read(3, 9).await.unwrap();
        assert_eq!(kept.len(), count);
        assert!(kept.iter().all(|(_, frame)| frame[0] == byte));
        spill.remove(3, kept[count - 1].0).await.unwrap();
        assert!(spill.is_empty());
        assert_eq!(spill.room(), 400);
    }
}
