use std::{cell::RefCell, fmt};

use flate2::{Decompress, FlushDecompress, Status};

use super::ProtocolError;
use crate::compression::SYNC_FLUSH;

/// Heap memory that a compressed message holds while it arrives, besides its text: about the window of
/// deflate and what is known of the block.
pub(super) const STATE_BYTES: usize = 48 << 10;
/// Bytes of text that are made at a time.
const PIECE: usize = 4 << 10;
/// A last block without anything in it (RFC 1951 section 3.2.4).
const END: [u8; 5] = [1, 0, 0, 0xff, 0xff];

thread_local! {
    /// Kept from message to message, because most are whole in one read.
    static SPARE: RefCell<Option<Decompress>> = const { RefCell::new(None) };
}

/// What turns the payload of a compressed message (RFC 7692 section 7.2.2) into its text.
pub(super) struct Inflater {
    /// None once it has been handed back.
    state: Option<Decompress>,
    /// Bytes of payload that frames have announced.
    announced: usize,
}

impl Default for Inflater {
    /// For a new message: nothing is carried over from the one before it.
    fn default() -> Self {
        let spare = SPARE.take();
        let mut state = spare.unwrap_or_else(|| Decompress::new(false));
        state.reset(false);
        Self {
            state: Some(state),
            announced: 0,
        }
    }
}

impl Inflater {
    /// Counts the payload of a frame; none where it is more than any compressor would make of a
    /// message of `most` bytes. Payload can be empty blocks, which would go on for ever.
    pub(super) fn announce(&mut self, length: u64, most: usize) -> Option<usize> {
        let most = most.saturating_add(most / 4).saturating_add(64);
        let length = usize::try_from(length).ok()?;
        self.announced = self.announced.checked_add(length)?;
        (self.announced <= most).then_some(length)
    }

    /// Gives `take` what `payload` adds to the text, in pieces.
    pub(super) fn inflate(
        &mut self,
        mut payload: &[u8],
        mut take: impl FnMut(&[u8]) -> Result<(), ProtocolError>,
    ) -> Result<(), ProtocolError> {
        let mut piece = [0; PIECE];
        loop {
            let (taken, made, status) = self.step(payload, &mut piece);
            // What stands before bad bytes is looked at first, however the message was cut.
            take(&piece[..made])?;
            payload = &payload[taken..];
            match status? {
                // Some compressors end their stream to flush it (RFC 7692 section 7.2.3.4).
                Status::StreamEnd => self.reset(),
                Status::Ok | Status::BufError if made == 0 && taken == 0 => {
                    return if payload.is_empty() {
                        Ok(())
                    } else {
                        Err(ProtocolError::InvalidDeflate)
                    };
                }
                Status::Ok | Status::BufError => {}
            }
        }
    }

    /// The rest of the text of a message whose payload has ended. It must have ended between two
    /// blocks.
    pub(super) fn finish(
        mut self,
        take: impl FnMut(&[u8]) -> Result<(), ProtocolError>,
    ) -> Result<(), ProtocolError> {
        self.inflate(&SYNC_FLUSH, take)?;
        match self.step(&END, &mut [0]) {
            (5, 0, Ok(Status::StreamEnd)) => Ok(()),
            _ => Err(ProtocolError::InvalidDeflate),
        }
    }

    fn step(
        &mut self,
        payload: &[u8],
        out: &mut [u8],
    ) -> (usize, usize, Result<Status, ProtocolError>) {
        let Some(state) = &mut self.state else {
            return (0, 0, Err(ProtocolError::InvalidDeflate));
        };
        let (taken, made) = (state.total_in(), state.total_out());
        let status = state
            .decompress(payload, out, FlushDecompress::None)
            .map_err(|_| ProtocolError::InvalidDeflate);
        // Both are at most the lengths of slices.
        let taken = (state.total_in() - taken) as usize;
        let made = (state.total_out() - made) as usize;
        (taken, made, status)
    }

    fn reset(&mut self) {
        if let Some(state) = &mut self.state {
            state.reset(false);
        }
    }
}

impl Drop for Inflater {
    fn drop(&mut self) {
        // The thread may be on its way out.
        let _ = SPARE.try_with(|spare| {
            if let Ok(mut spare) = spare.try_borrow_mut() {
                *spare = self.state.take();
            }
        });
    }
}

impl fmt::Debug for Inflater {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inflater")
            .field("announced", &self.announced)
            .finish_non_exhaustive()
    }
}
