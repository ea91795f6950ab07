use serde::{Deserialize, Serialize};

/// What is compressed for clients that take it so: permessage-deflate on WebSockets, gzip and zstd in
/// answers of HTTP.
///
/// A flush is compressed once for all subscribers of a wire form, and each message and answer by
/// itself, so that no connection holds a dictionary.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Compression {
    /// Whether anything is compressed; default true. Without it no client is offered any.
    pub enabled: bool,
    /// Bytes from which a message, a flush or an answer is compressed; default 1 KiB. What is
    /// shorter fits one packet either way, and costs nothing as it is.
    pub threshold: usize,
    /// From 1, the fastest and the default, to 9, the smallest. A flush of 64 events (25 KB) costs
    /// 15 us at 1 and becomes 4.0 KB; at 3 it is 45 us and 3.0 KB, at 9 0.8 ms and 2.8 KB. A thread
    /// that compresses holds about 300 KB for it.
    pub level: u8,
}

impl Default for Compression {
    fn default() -> Self {
        Self {
            enabled: true,
            threshold: 1 << 10,
            level: 1,
        }
    }
}
