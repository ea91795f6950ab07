//! The event that is published: a new comment in a forum thread, of a given size.

use std::io::Write;

use crate::marker::{self, Marker};

#[derive(Debug)]
pub(crate) struct Template {
    before_id: String,
    after_content: String,
    size: usize,
}

const BEFORE_CONTENT: &str = ",\"content\":\"";

impl Template {
    /// Where the envelope would not fit into `size` otherwise, it leaves out a channel that its thread determines.
    pub(crate) fn new(channel: &str, priority: Option<&str>, size: usize) -> Self {
        let full = Self::with(Some(channel), channel, priority, size);
        if full.smallest() > size && thread(channel).is_some() {
            return Self::with(None, channel, priority, size);
        }
        full
    }

    fn with(named: Option<&str>, channel: &str, priority: Option<&str>, size: usize) -> Self {
        let named = named.map_or(String::new(), |name| {
            format!("\"channel\":{},", serde_json::Value::from(name))
        });
        let priority = priority.map_or(String::new(), |priority| {
            format!("\"priority\":\"{priority}\",")
        });
        let before_id = format!(
            "{{\"event\":\"forum.comment.created\",{named}{priority}\"data\":{{\"comment\":{{\"id\":"
        );
        let after_content = format!(
            "\",\"parent_id\":null,\"user\":{{\"id\":1,\"name\":\"n\",\"username\":\"n\",\
             \"avatar_url\":\"https://e.com/a\"}},\"created_at\":\"2025-07-17T10:30:00Z\"}},\
             \"thread\":{{\"id\":{},\"title\":\"t\",\"reply_count\":1}}}}}}",
            thread(channel).unwrap_or(1)
        );
        Self {
            before_id,
            after_content,
            size,
        }
    }

    /// Size with the longest sequence number and no padding.
    pub(crate) fn smallest(&self) -> usize {
        self.before_id.len() + 7 + BEFORE_CONTENT.len() + marker::LENGTH + self.after_content.len()
    }

    pub(crate) fn names_channel(&self) -> bool {
        self.before_id.contains("\"channel\":")
    }

    pub(crate) fn write(&self, marker: &Marker, out: &mut Vec<u8>) {
        let end = out.len() + self.size;
        out.extend(self.before_id.bytes());
        write!(out, "{}", marker.sequence).expect("writing to memory does not fail");
        out.extend(BEFORE_CONTENT.bytes());
        marker.write(out);
        out.resize(
            out.len().max(end.saturating_sub(self.after_content.len())),
            b'.',
        );
        out.extend(self.after_content.bytes());
    }
}

/// The number in `thread.NUMBER`.
fn thread(channel: &str) -> Option<u64> {
    channel.strip_prefix("thread.")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn envelope(template: &Template, sequence: u32) -> Vec<u8> {
        let mut out = b"before".to_vec();
        template.write(
            &Marker {
                tag: *b"00",
                sequence,
                sent: 7,
            },
            &mut out,
        );
        out.split_off(6)
    }

    #[test]
    fn envelopes_have_the_size_asked_for() {
        for size in [350, 1_000, 5_000] {
            let template = Template::new("thread.456", Some("high"), size);
            assert!(template.names_channel());
            for sequence in [1, 99, 9_999_999] {
                let envelope = envelope(&template, sequence);
                assert_eq!(envelope.len(), size);
                let value: serde_json::Value = serde_json::from_slice(&envelope).unwrap();
                assert_eq!(value["channel"], "thread.456");
                assert_eq!(value["priority"], "high");
                assert_eq!(value["data"]["comment"]["id"], sequence);
                assert_eq!(value["data"]["thread"]["id"], 456);
            }
        }
    }

    #[test]
    fn a_channel_that_the_thread_determines_makes_room() {
        let template = Template::new("thread.456", Some("high"), 300);
        assert!(!template.names_channel());
        assert_eq!(envelope(&template, 9_999_999).len(), 300);
        let template = Template::new("conversation.4", Some("high"), 300);
        assert!(template.names_channel());
        assert_eq!(envelope(&template, 9_999_999).len(), template.smallest());
    }
}
