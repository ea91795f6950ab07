//! What a client that comes back is told: everything it missed, or honestly that it is not all.

use std::sync::Arc;

use crate::codec::Since;
use crate::event::Publication;
use crate::history::Page;
use crate::position::Position;

/// What a client missed.
#[derive(Debug)]
pub(crate) struct Recovery {
    /// Whether `publications` are all that the client missed.
    pub(crate) recovered: bool,
    pub(crate) publications: Vec<Arc<Publication>>,
}

/// The offset after which a client that stands at `since` needs the channel's history; none where
/// its position says nothing about this channel.
pub(crate) fn resume_after(since: &Since, flushed: Position) -> Option<u64> {
    (since.is_of(flushed.epoch) && since.offset <= flushed.offset).then_some(since.offset)
}

/// Judges what history gave of the offsets in `after + 1 ..= flushed`. Those of a log have holes, so
/// that counting says nothing.
pub(crate) fn recover(after: u64, flushed: Position, page: Page) -> Recovery {
    let missed = flushed.offset > after;
    let complete = !missed || (page.top.epoch == flushed.epoch && page.oldest <= after + 1);
    Recovery {
        recovered: complete,
        publications: if complete {
            page.publications
        } else {
            Vec::new()
        },
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::channel::Channel;
    use crate::event::Event;
    use crate::history::memory::Memory;
    use crate::history::{HistoryStore, Retention};
    use crate::position::Epoch;

    fn since(epoch: &str, offset: u64) -> Since {
        Since {
            epoch: epoch.to_owned(),
            offset,
        }
    }

    #[test]
    fn a_foreign_position_resumes_nothing() {
        let flushed = Position {
            epoch: Epoch::new(1),
            offset: 5,
        };
        assert_eq!(
            resume_after(&since("0000000000000001", 5), flushed),
            Some(5)
        );
        assert_eq!(resume_after(&since("", 3), flushed), Some(3));
        assert_eq!(resume_after(&since("0000000000000002", 3), flushed), None);
        assert_eq!(resume_after(&since("_", 0), flushed), None);
        assert_eq!(resume_after(&since("0000000000000001", 6), flushed), None);
    }

    proptest! {
        /// Recovered means every offset in between, once, in order; else nothing is claimed.
        #[test]
        fn recovered_is_never_a_half_truth(published in 0u64..30, keep in 0usize..30, after in 0u64..30, flushed in 0u64..30, limit in 1usize..40) {
            let flushed = flushed.min(published);
            let after = after.min(flushed);
            let channel = Channel::new("thread.1").unwrap();
            let store = Memory::default();
            let retention = Retention { events: keep, ..Retention::default() };
            for _ in 0..published {
                store.append(Event::new(channel.clone(), "e", "1").unwrap(), &retention);
            }
            let flushed = Position { offset: flushed, ..store.top(&channel) };
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let page = runtime.block_on(store.read(&channel, after, flushed.offset, limit)).unwrap();
            let recovery = recover(after, flushed, page);
            let offsets = recovery.publications.iter().map(|p| p.position().unwrap().offset).collect::<Vec<_>>();
            if recovery.recovered {
                prop_assert_eq!(offsets, (after + 1..=flushed.offset).take(limit).collect::<Vec<_>>());
            } else {
                prop_assert!(offsets.is_empty());
                prop_assert!(published - after > keep as u64);
            }
        }
    }
}
