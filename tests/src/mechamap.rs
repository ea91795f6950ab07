//! Envelopes as MechaMap's backend writes them.

use serde::Deserialize;
use serde_json::{Value, json};

const TIME: &str = "2025-07-17T10:30:00Z";

/// Someone commented on a thread. Medium; the data says which channel is meant.
#[must_use]
pub fn comment(thread: u64, id: u64) -> Value {
    json!({
        "event": "forum.comment.created",
        "data": {
            "comment": {
                "id": id,
                "content": "Great explanation!",
                "parent_id": null,
                "user": { "id": 123, "name": "John Doe", "username": "johndoe", "avatar_url": "https://a.example/1" },
                "created_at": TIME,
            },
            "thread": { "id": thread, "title": "SolidWorks Tips", "reply_count": 15 },
        },
    })
}

/// A comment on a thread that nobody should have to wait for.
#[must_use]
pub fn urgent_comment(thread: u64, id: u64) -> Value {
    with(comment(thread, id), "priority", "high")
}

/// Comments on a thread that nobody should have to wait for, one for each id, in one request.
#[must_use]
pub fn urgent_comments(thread: u64, ids: std::ops::RangeInclusive<u64>) -> Value {
    ids.map(|id| urgent_comment(thread, id)).collect()
}

/// A comment on a thread that may wait the longest.
#[must_use]
pub fn idle_comment(thread: u64, id: u64) -> Value {
    with(comment(thread, id), "priority", "low")
}

/// The id of the comment that an envelope is about.
#[must_use]
pub fn comment_id(envelope: &Value) -> u64 {
    envelope["data"]["comment"]["id"]
        .as_u64()
        .expect("an envelope of a comment")
}

/// The event's name and the comment's id, of an envelope as it came. Reads nothing else: in a build that
/// is not optimized a [`Value`] takes several times as long.
///
/// # Panics
/// Where it is no envelope of a comment.
#[must_use]
pub fn read_comment(envelope: &str) -> (String, u64) {
    #[derive(Deserialize)]
    struct Envelope {
        event: String,
        data: Data,
    }
    #[derive(Deserialize)]
    struct Data {
        comment: Comment,
    }
    #[derive(Deserialize)]
    struct Comment {
        id: u64,
    }
    let envelope = serde_json::from_str::<Envelope>(envelope).expect("an envelope of a comment");
    (envelope.event, envelope.data.comment.id)
}

/// Someone wrote to a user. High.
#[must_use]
pub fn message(recipient: u64, id: u64) -> Value {
    json!({
        "event": "messaging.message.sent",
        "channel": format!("user.{recipient}"),
        "data": { "message": {
            "id": id,
            "conversation_id": 456,
            "content": "Hello there!",
            "sender": { "id": 123, "name": "John Doe", "avatar_url": "https://a.example/1" },
            "created_at": TIME,
        } },
    })
}

/// A thread was looked at. Low; a newer count of the thread takes an older one's place.
#[must_use]
pub fn view_count(channel: &str, thread: u64, views: u64) -> Value {
    json!({
        "event": "forum.thread.view_count_updated",
        "channel": channel,
        "data": { "thread_id": thread, "view_count": views },
    })
}

/// What a client publishes while its user writes a comment.
#[must_use]
pub fn typing(user: u64) -> Value {
    json!({
        "event": "forum.typing.started",
        "data": { "user": { "id": user, "name": "John Doe" }, "expires_at": "2025-07-17T10:31:00Z" },
    })
}

/// What a client publishes while its user writes a private message.
#[must_use]
pub fn typing_in_conversation(user: u64, conversation: u64) -> Value {
    json!({
        "event": "messaging.typing.started",
        "data": { "user_id": user, "conversation_id": conversation, "expires_at": "2025-07-17T10:31:00Z" },
    })
}

/// Sets a field of an envelope.
#[must_use]
pub fn with(mut envelope: Value, field: &str, value: impl Into<Value>) -> Value {
    envelope[field] = value.into();
    envelope
}

/// One envelope of every event that the platform knows, with its priority and the channel that it
/// goes to. Private ones are for `user`; everything else concerns number 456.
#[must_use]
pub fn every_event(user: u64) -> Vec<(Value, &'static str, String)> {
    let own = format!("user.{user}");
    let following = format!("following.{user}");
    let plain = |event: &str, channel: &str| json!({ "event": event, "channel": channel, "data": { "any": "thing" } });
    let event = |event: &str, data: Value| json!({ "event": event, "data": data });
    let on = |channel: &str, envelope: Value| with(envelope, "channel", channel);
    let person = json!({ "id": 123, "name": "John Doe" });
    let comment_updated = json!({ "comment_id": 789, "content": "Updated", "edited_at": TIME, "edit_reason": "Typo" });
    let reaction =
        json!({ "comment_id": 789, "reaction_type": "like", "user_id": 123, "new_count": 25 });
    let stock = json!({
        "product_id": 456, "old_stock": 10, "new_stock": 5, "is_low_stock": true, "low_stock_threshold": 5,
    });
    let order = json!({
        "order_id": 789, "old_status": "processing", "new_status": "shipped", "tracking_number": "ABC123456",
        "estimated_delivery": "2025-07-20",
    });
    let price = json!({
        "product_id": 456, "old_price": 99.99, "new_price": 79.99, "discount_percentage": 20,
        "sale_ends_at": "2025-07-24T23:59:59Z",
    });
    let status = json!({ "user_id": 123, "status": "online", "last_seen_at": TIME, "activity": "viewing_thread" });
    let activity = json!({ "activity": {
        "type": "thread_created", "user_id": 123, "content_id": 456, "content_title": "New Tutorial", "created_at": TIME,
    } });
    let notification = json!({
        "notification": {
            "id": 789, "type": "order_shipped", "title": "Shipped", "message": "On its way", "icon": "truck",
            "action_url": "/orders/12345", "created_at": TIME,
        },
        "unread_count": 5,
    });
    let project = json!({
        "showcase_id": 456, "update_type": "new_image",
        "content": { "image_url": "https://a.example/2", "description": "Latest progress photo" }, "author": person,
    });
    vec![
        (comment(456, 789), "medium", "thread.456".to_owned()),
        (
            on(
                "thread.456",
                event("forum.comment.updated", comment_updated),
            ),
            "medium",
            "thread.456".to_owned(),
        ),
        (
            on("thread.456", event("forum.reaction.added", reaction)),
            "low",
            "thread.456".to_owned(),
        ),
        (
            on("thread.456", typing(123)),
            "high",
            "thread.456".to_owned(),
        ),
        (
            view_count("thread.456", 456, 1),
            "low",
            "thread.456".to_owned(),
        ),
        (
            event("marketplace.stock.updated", stock),
            "medium",
            "product.456".to_owned(),
        ),
        (
            plain("marketplace.stock.low_warning", "product.456"),
            "medium",
            "product.456".to_owned(),
        ),
        (
            on(&own, event("marketplace.order.status_changed", order)),
            "high",
            own.clone(),
        ),
        (
            event("marketplace.price.changed", price),
            "medium",
            "product.456".to_owned(),
        ),
        (
            on(&following, event("user.status.changed", status)),
            "high",
            following.clone(),
        ),
        (
            plain("user.status.online", &following),
            "high",
            following.clone(),
        ),
        (
            on(&following, event("user.activity.feed_updated", activity)),
            "low",
            following.clone(),
        ),
        (message(user, 789), "high", own.clone()),
        (
            typing_in_conversation(123, 456),
            "high",
            "conversation.456".to_owned(),
        ),
        (
            with(event("notification.sent", notification), "user_id", user),
            "high",
            own.clone(),
        ),
        (plain("notification.security.alert", &own), "high", own),
        (
            plain("notification.system.announcement", "marketplace.global"),
            "medium",
            "marketplace.global".to_owned(),
        ),
        (
            event("showcase.project.updated", project),
            "medium",
            "showcase.456".to_owned(),
        ),
        (
            plain("showcase.project.stats_updated", "showcase.456"),
            "low",
            "showcase.456".to_owned(),
        ),
    ]
}
