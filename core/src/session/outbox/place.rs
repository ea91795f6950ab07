//! Where the client stands in its channels, for dialects that carry a cursor.

use std::sync::Arc;

use bytes::Bytes;

use super::{Chunk, Outbox, State};
use crate::channel::Channel;
use crate::cursor::Cursor;
use crate::position::Position;
use crate::wire::Flush;

impl Outbox {
    /// Adds a channel to the cursor, or moves it to where the client begins to read.
    pub(crate) fn set_position(&self, channel: &Channel, position: Position) {
        let mut state = self.state.lock();
        if state.form.codec.has_cursor() {
            state.cursor.get_or_insert_default().set(channel, position);
        }
    }

    /// Takes a channel out of the cursor.
    pub(crate) fn forget_position(&self, channel: &Channel) {
        if let Some(cursor) = &mut self.state.lock().cursor {
            cursor.remove(channel);
        }
    }

    /// Where the client stands once it has read what has been taken out.
    pub(crate) fn cursor(&self) -> Option<Cursor> {
        self.state.lock().cursor.as_deref().cloned()
    }
}

impl State {
    /// Writes the cursor into the first chunks of the queue, which are about to leave.
    pub(super) fn write_cursors(&mut self, chunks: usize) {
        for chunk in self.queue.iter_mut().take(chunks).filter(|c| c.bare) {
            chunk.bare = false;
            let (Some(flush), cursor) = (&chunk.flush, &mut self.cursor) else {
                continue;
            };
            let channel = flush.channel();
            let publications = flush.publications();
            // It has this channel alone, so what all such connections share is right for it. What still
            // waits of a channel that it has left is not.
            let shared = !chunk.frame.is_empty()
                && cursor
                    .as_ref()
                    .is_some_and(|cursor| cursor.len() == 1 && cursor.position(channel).is_some());
            let frame = match cursor {
                _ if shared => chunk.frame.clone(),
                Some(cursor) => self.form.encode_for(cursor, channel, publications),
                None => self.form.encode_for_one(channel, publications),
            };
            // Also where the dialect writes its cursor elsewhere, and the frame did not move it; and past
            // what is not for this client.
            if let (Some(cursor), Some(position)) = (cursor, flush.through()) {
                let told = publications.iter().rev().find_map(|p| p.position());
                self.moved_on = told != Some(position);
                cursor.advance(channel, position);
            }
            self.bytes = self.bytes - chunk.frame.len() + frame.len();
            if chunk.live {
                self.live = self.live - chunk.frame.len() + frame.len();
            }
            chunk.frame = frame;
        }
    }

    /// Moves on past a flush of which nothing is for this client, once what waits has left.
    pub(super) fn pass(&mut self, flush: &Arc<Flush>) {
        let Some(position) = flush.through() else {
            return;
        };
        self.note_own(flush);
        if self.closing.is_some() || !self.form.codec.has_cursor() {
            return;
        }
        let waiting = match self.holds {
            0 => &mut self.queue,
            _ => &mut self.held,
        };
        if self.holds == 0 && waiting.is_empty() {
            if let Some(cursor) = &mut self.cursor {
                self.moved_on |= cursor.advance(flush.channel(), position);
            }
            return;
        }
        // One for each channel at most stands behind the last frame: they hold no bytes, so that no
        // budget would bound them.
        let mut passed = waiting.iter_mut().rev().map_while(Chunk::passed);
        match passed.find(|passed| passed.channel() == flush.channel()) {
            Some(passed) => *passed = flush.clone(),
            None => waiting.push_back(Chunk {
                frame: Bytes::new(),
                flush: Some(flush.clone()),
                live: false,
                bare: true,
            }),
        }
    }
}
