//! From `Node::publish` until every connection's end has every byte.

#[path = "support/audience.rs"]
mod audience;
#[path = "support/events.rs"]
mod events;

use std::cell::LazyCell;
use std::sync::Arc;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use tokio::runtime::{Builder, Runtime};

use crate::audience::{Audience, Outlet};

/// As in the servers.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Channels, and the connections that listen to each.
const SHAPES: [(usize, usize); 2] = [(1, 10_000), (1_000, 10)];
/// Events that are published to each channel.
const EVENTS: [u64; 3] = [1, 16, 64];

fn runtime(threads: usize) -> Runtime {
    let mut builder = match threads {
        1 => Builder::new_current_thread(),
        _ => Builder::new_multi_thread(),
    };
    if threads > 1 {
        builder.worker_threads(threads);
    }
    builder.enable_time().build().expect("a runtime starts")
}

/// An audience on its runtime.
struct Stage {
    runtime: Runtime,
    audience: Arc<Audience>,
}

impl Stage {
    fn new(threads: usize, (channels, ends): (usize, usize), outlet: Outlet) -> Self {
        let runtime = runtime(threads);
        let audience = Arc::new(runtime.block_on(Audience::gather(channels, ends, outlet)));
        Self { runtime, audience }
    }

    fn publish(&self, times: u64, events: u64) -> Duration {
        let audience = self.audience.clone();
        // In a task, as publishers are: the thread that blocks is none of the runtime's.
        let publisher = self.runtime.spawn(async move {
            let mut total = Duration::ZERO;
            for _ in 0..times {
                total += audience.publish(events).await;
            }
            total
        });
        self.runtime
            .block_on(publisher)
            .expect("the publisher does not fail")
    }
}

fn fan_out(criterion: &mut Criterion) {
    for threads in [1, 2] {
        for (outlet, name) in [(Outlet::Lent, "lent"), (Outlet::Task, "task")] {
            let mut group = criterion.benchmark_group(format!("fan_out/{name}/threads_{threads}"));
            group.sample_size(20);
            group.warm_up_time(Duration::from_millis(500));
            group.measurement_time(Duration::from_secs(2));
            for shape in SHAPES {
                let (channels, ends) = shape;
                let stage = LazyCell::new(|| Stage::new(threads, shape, outlet));
                for events in EVENTS {
                    group.throughput(Throughput::Elements(events * (channels * ends) as u64));
                    let id = BenchmarkId::new(format!("{channels}x{ends}"), events);
                    group.bench_function(id, |bencher| {
                        bencher.iter_custom(|times| stage.publish(times, events));
                    });
                }
            }
            group.finish();
        }
    }
}

criterion_group!(benches, fan_out);
criterion_main!(benches);
