//! What is compressed for clients that take it so.
//!
//! Everything here compresses a text by itself, without a dictionary of what came before it, so that
//! one compressed text serves every client.

mod answer;
mod coding;
mod deflate;
mod framing;

pub(crate) use self::answer::compress;
pub(crate) use self::coding::Codings;
pub(crate) use self::deflate::{SYNC_FLUSH, deflate};
