//! How far a user's own channel has been received.

use super::{Outbox, State};
use crate::channel::Channel;
use crate::position::Position;
use crate::wire::Flush;

/// How far a user's own channel has come on this connection.
#[derive(Clone, Debug)]
pub(super) struct OwnChannel {
    channel: Channel,
    /// The newest position that has been queued.
    queued: Position,
    /// What had been queued when the last ping was.
    pinged: Option<Position>,
}

impl Outbox {
    /// Notes receipts for a user's own channel, of which `queued` is what the client has got or is
    /// being told now.
    pub(crate) fn follow_own(&self, channel: &Channel, queued: Position) {
        self.state.lock().own = Some(Box::new(OwnChannel {
            channel: channel.clone(),
            queued,
            pinged: None,
        }));
    }

    /// A ping stands behind what has been queued so far. Gives what stood before the ping before it.
    pub(crate) fn pinged(&self) -> Option<(Channel, Position)> {
        let mut guard = self.state.lock();
        let state = &mut *guard;
        // What is held will stand behind the ping. Where no pong proves that the ping has arrived,
        // what has not left yet may wait here for long.
        let expects_pong = state.form.codec.expects_pong();
        let all_left = state.queue.is_empty() && state.bytes == 0;
        let proves = state.holds == 0 && (expects_pong || all_left);
        let own = state.own.as_mut()?;
        let queued = proves.then_some(own.queued);
        let before = std::mem::replace(&mut own.pinged, queued)?;
        Some((own.channel.clone(), before))
    }

    /// The client has answered the ping: it has got everything that stood before it.
    pub(crate) fn ponged(&self) -> Option<(Channel, Position)> {
        let mut state = self.state.lock();
        let own = state.own.as_mut()?;
        let before = own.pinged.take()?;
        Some((own.channel.clone(), before))
    }
}

impl State {
    /// Remembers how far the user's own channel has been queued.
    pub(super) fn note_own(&mut self, flush: &Flush) {
        if let Some(own) = &mut self.own
            && own.channel == *flush.channel()
            && let Some(position) = flush.through()
        {
            own.queued = position;
        }
    }
}
