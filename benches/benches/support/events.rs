//! The events that are published.

/// An envelope of MechaMap of exactly `bytes` bytes: a new comment in a forum thread.
pub(crate) fn payload(bytes: usize, id: usize) -> String {
    let envelope = |content: &str| {
        format!(
            "{{\"event\":\"forum.comment.created\",\"data\":{{\"comment\":{{\"id\":{},\
             \"content\":\"{content}\",\"parent_id\":null,\"user\":{{\"id\":1,\"name\":\"n\",\
             \"username\":\"n\",\"avatar_url\":\"https://e.com/a\"}},\
             \"created_at\":\"2025-07-17T10:30:00Z\"}},\
             \"thread\":{{\"id\":456,\"title\":\"t\",\"reply_count\":1}}}}}}",
            10_000 + id
        )
    };
    let padding = bytes
        .checked_sub(envelope("").len())
        .expect("the envelope fits");
    envelope(&".".repeat(padding))
}
