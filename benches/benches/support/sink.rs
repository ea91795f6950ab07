//! A socket that takes everything at once and looks at nothing.

use std::io::{self, IoSlice};

use fanfare::DirectWrite;

pub(crate) struct Sink;

impl DirectWrite for Sink {
    fn try_write(&self, frames: &[IoSlice<'_>]) -> io::Result<usize> {
        Ok(frames.iter().map(|frame| frame.len()).sum())
    }
}
