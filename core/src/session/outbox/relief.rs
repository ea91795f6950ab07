//! What a subscriber that is behind loses, and in which order.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use bytes::Bytes;

use super::{Pushed, State};
use crate::channel::Channel;
use crate::disconnect::Disconnect;
use crate::event::{Guarantee, Publication};
use crate::wire::{Flush, WireForm};

impl State {
    /// Makes room in the order in which things may be lost: first what a newer event of its key
    /// makes superfluous, then best-effort events, and in the end the connection.
    pub(super) fn relieve(&mut self, budget: usize, pushed: &mut Pushed) {
        let form = self.form.clone();
        pushed.conflated = self.drop_superseded(&form);
        if self.live > budget {
            pushed.dropped = self.drop_best_effort(&form);
        }
        if self.live > budget {
            pushed.overflowed = true;
            let chunks = self.queue.iter().chain(&self.held);
            let waiting = chunks.filter_map(|chunk| chunk.flush.as_deref());
            pushed.given_up = waiting.map(|flush| flush.publications().len() as u64).sum();
            self.close(Disconnect::SLOW);
        }
    }

    fn drop_superseded(&mut self, form: &WireForm) -> u64 {
        let mut newest = HashMap::new();
        let chunks = self.queue.iter().chain(&self.held);
        for publication in chunks
            .filter_map(|c| c.flush.as_deref())
            .flat_map(Flush::publications)
        {
            if let Some(key) = key(publication) {
                newest.insert(key, Arc::as_ptr(publication));
            }
        }
        let newest = newest.into_values().collect::<HashSet<_>>();
        self.retain(form, |publication| {
            key(publication).is_none() || newest.contains(&Arc::as_ptr(publication))
        })
        .into_iter()
        .map(|(_, count)| count)
        .sum()
    }

    fn drop_best_effort(&mut self, form: &WireForm) -> u64 {
        let lost = self.retain(form, |publication| {
            publication.event().guarantee() == Guarantee::AtLeastOnce
        });
        let mut total = 0;
        for (channel, count) in lost {
            total += count;
            match self.lost.iter_mut().find(|(known, _)| *known == channel) {
                Some((_, known)) => *known += count,
                None => self.lost.push((channel, count)),
            }
        }
        total
    }

    /// Keeps the publications that `keep` wants in every chunk that is not on the wire yet, and
    /// says how many each channel lost.
    fn retain(
        &mut self,
        form: &WireForm,
        keep: impl Fn(&Arc<Publication>) -> bool,
    ) -> Vec<(Channel, u64)> {
        let mut lost = Vec::new();
        let untouchable = usize::from(self.written > 0);
        let mut freed = 0;
        for chunk in self
            .queue
            .iter_mut()
            .skip(untouchable)
            .chain(&mut self.held)
        {
            // What has its cursor stays: those behind it count on it.
            let kept_whole = !chunk.live || (form.codec.has_cursor() && !chunk.bare);
            if chunk.flush.as_ref().is_some_and(|flush| flush.is_notice()) {
                // Who came and went can be asked.
                freed += chunk.frame.len();
                chunk.frame = Bytes::new();
                continue;
            }
            let flush = chunk.flush.as_ref().filter(|flush| flush.yields);
            let Some(flush) = flush.filter(|_| !kept_whole) else {
                continue;
            };
            let kept = flush
                .publications()
                .iter()
                .filter(|p| keep(p))
                .cloned()
                .collect::<Box<[_]>>();
            let count = flush.publications().len() - kept.len();
            if count == 0 {
                continue;
            }
            lost.push((flush.channel().clone(), count as u64));
            freed += chunk.frame.len();
            // Encoded for this connection alone: it is the one that is behind.
            chunk.frame = if kept.is_empty() {
                Bytes::new()
            } else {
                form.encode_for_one(flush.channel(), &kept)
            };
            freed -= chunk.frame.len();
            chunk.flush = Some(Arc::new(Flush::new(flush.channel().clone(), kept)));
        }
        self.bytes -= freed;
        self.live -= freed;
        let mut at = 0;
        self.queue.retain(|chunk| {
            at += 1;
            at <= untouchable || !chunk.frame.is_empty() || !chunk.live
        });
        self.held
            .retain(|chunk| !chunk.frame.is_empty() || !chunk.live);
        lost
    }
}

fn key(publication: &Publication) -> Option<(&Channel, &str)> {
    let event = publication.event();
    Some((event.channel(), event.conflation_key()?))
}
