//! The memory store: appending to a channel that is full, and reading its newest events.

#[path = "support/events.rs"]
mod events;

use std::hint::black_box;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use fanfare::history::Retention;
use fanfare::history::memory::Memory;
use fanfare::{Channel, Event, HistoryStore};
use tokio::runtime::{Builder, Runtime};

/// As in the servers.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Events that a channel keeps.
const KEPT: usize = 1_000;

fn event(channel: usize, id: usize) -> Event {
    let channel = Channel::new(&format!("thread.{channel}")).expect("the name is a channel name");
    let event = Event::new(channel, "forum.comment.created", events::payload(300, id));
    event.expect("the payload is JSON")
}

fn retention(events: usize) -> Retention {
    Retention {
        events,
        ..Retention::default()
    }
}

fn append(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("history/append");
    group.warm_up_time(Duration::from_millis(500));
    group.measurement_time(Duration::from_secs(1));
    group.throughput(Throughput::Elements(1));
    // As many events in all.
    for (channels, kept) in [(1, KEPT), (1_000, 1)] {
        let store = Memory::default();
        let retention = retention(kept);
        let events = (0..channels)
            .map(|channel| event(channel, 0))
            .collect::<Vec<_>>();
        for event in events.iter().cycle().take(2 * KEPT) {
            store.append(event.clone(), &retention);
        }
        let mut next = events.iter().cycle();
        group.bench_function(BenchmarkId::new("channels", channels), |bencher| {
            bencher.iter(|| {
                next.next()
                    .map(|event| store.append(event.clone(), &retention).publication)
            });
        });
    }
    group.finish();
}

fn read(criterion: &mut Criterion) {
    let runtime = runtime();
    let store = Memory::default();
    for id in 0..2 * KEPT {
        store.append(event(0, id), &retention(KEPT));
    }
    let channel = Channel::new("thread.0").expect("the name is a channel name");
    let top = store.top(&channel).offset;
    let mut group = criterion.benchmark_group("history/read");
    group.warm_up_time(Duration::from_millis(500));
    group.measurement_time(Duration::from_secs(1));
    for newest in [10, 100, 1_000] {
        group.throughput(Throughput::Elements(newest));
        group.bench_function(BenchmarkId::new("newest", newest), |bencher| {
            bencher.to_async(&runtime).iter(|| async {
                let page = store
                    .read(&channel, black_box(top - newest), top, usize::MAX)
                    .await;
                let page = page.expect("memory can be read");
                assert_eq!(page.publications.len() as u64, newest);
                page
            });
        });
    }
    group.finish();
}

fn runtime() -> Runtime {
    Builder::new_current_thread()
        .build()
        .expect("a runtime starts")
}

criterion_group!(benches, append, read);
criterion_main!(benches);
