//! Frames that are no events.

use fanfare::broker::FrameError;

use super::dropped::Dropped;

/// Counts frames that could not be decoded, and says so at most every ten seconds.
#[derive(Debug)]
pub(super) struct Undecodable(Dropped);

impl Undecodable {
    pub(super) fn new() -> Self {
        Self(Dropped::new("undecodable"))
    }

    pub(super) fn count(&mut self, place: &str, error: FrameError) {
        self.0.count(1, place, error);
    }
}
