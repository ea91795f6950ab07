//! The store beside the memory store, which is its model: the same steps, the same answers.

use std::collections::HashMap;

use proptest::prelude::*;

use super::tests::{append, channel, event, expire, folder, offsets_of};
use super::*;
use crate::history::memory::Memory;

#[derive(Clone, Debug)]
enum Step {
    Append {
        channel: usize,
        payload: usize,
        retention: Retention,
    },
    Read {
        channel: usize,
        after: u64,
        length: u64,
        limit: usize,
    },
    Advance(u64),
    Expire,
    Reopen {
        tail_bytes: usize,
    },
}

const NAMES: [&str; 3] = ["thread.1", "thread.2", "user.1"];

fn step() -> impl Strategy<Value = Step> {
    let limits = (0usize..8, 0usize..3_000, 0u64..20).prop_map(|(events, bytes, recent)| {
        Retention {
            events,
            bytes,
            // Of one length: the memory store drops what has expired at any read, for good.
            age: Duration::from_secs(30),
            recent: Duration::from_secs(recent),
        }
    });
    prop_oneof![
        10 => (0..NAMES.len(), 0usize..400, limits).prop_map(|(channel, payload, retention)| {
            Step::Append { channel, payload, retention }
        }),
        6 => (0..NAMES.len(), 0u64..30, 0u64..30, 0usize..12).prop_map(
            |(channel, after, length, limit)| Step::Read { channel, after, length, limit }
        ),
        3 => (0u64..40).prop_map(Step::Advance),
        2 => Just(Step::Expire),
        1 => prop::sample::select(vec![0, 900, TAIL_BYTES])
            .prop_map(|tail_bytes| Step::Reopen { tail_bytes }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn the_disk_remembers_what_memory_would(steps in prop::collection::vec(step(), 1..60)) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(compare(steps));
    }
}

async fn compare(steps: Vec<Step>) {
    let folder = folder();
    // Both stores see the same milliseconds.
    let start = std::time::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    let begun = Instant::now();
    let memory = Memory::default();
    let mut disk = Disk::open_at(folder.path(), start, TAIL_BYTES).unwrap();
    let mut epochs = HashMap::new();
    for step in steps {
        match step {
            Step::Append {
                channel,
                payload,
                retention,
            } => {
                let payload = format!("\"{}\"", "x".repeat(payload));
                let event = event(NAMES[channel], &payload);
                memory.append(event.clone(), &retention);
                append(&disk, event, &retention).await;
            }
            Step::Read {
                channel: name,
                after,
                length,
                limit,
            } => {
                let name = channel(NAMES[name]);
                let expected = memory.read(&name, after, after + length, limit).await;
                let expected = expected.unwrap();
                let page = disk
                    .read(&name, after, after + length, limit)
                    .await
                    .unwrap();
                assert_eq!(offsets_of(&page), offsets_of(&expected));
                for (read, expected) in page.publications.iter().zip(&expected.publications) {
                    assert_eq!(read.event().payload(), expected.event().payload());
                    assert_eq!(read.event().accepted_at(), expected.event().accepted_at());
                }
                assert!(page.oldest <= expected.oldest);
            }
            Step::Advance(seconds) => {
                tokio::time::advance(Duration::from_secs(seconds)).await;
            }
            Step::Expire => {
                memory.expire();
                expire(&disk).await;
                for name in NAMES.map(channel) {
                    let expected = memory.read(&name, 0, 0, 0).await.unwrap();
                    let page = disk.read(&name, 0, 0, 0).await.unwrap();
                    assert_eq!(page.oldest, expected.oldest);
                }
            }
            Step::Reopen { tail_bytes } => {
                drop(disk);
                let now = start + begun.elapsed();
                disk = Disk::open_at(folder.path(), now, tail_bytes).unwrap();
            }
        }
        for name in NAMES.map(channel) {
            let (expected, top) = (memory.top(&name), disk.top(&name));
            assert_eq!(top.offset, expected.offset);
            if expected.offset > 0 {
                let known = epochs.insert(name, (expected.epoch, top.epoch));
                if let Some((in_memory, on_disk)) = known {
                    assert_eq!(in_memory == expected.epoch, on_disk == top.epoch);
                }
            }
        }
    }
}
