//! Events as MechaMap's backend might publish them, in lifelike proportions.

use jiff::{SignedDuration, Timestamp};
use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use serde_json::{Value, json};

const NAMES: &[&str] = &[
    "Linh Tran",
    "Minh Nguyen",
    "Anna Weber",
    "John Doe",
    "Yuki Sato",
    "Sofia Rossi",
];
const TITLES: &[&str] = &[
    "Sheet metal bend allowances",
    "Which CAM for five axes?",
    "Gear backlash in small printers",
    "Tolerance stacks, step by step",
    "Cheap linear rails, tested",
];
const COMMENTS: &[&str] = &[
    "K-factor of 0.44 worked for 2 mm aluminium.",
    "Did you check the thermal expansion?",
    "Great write-up, thank you!",
    "Use a dial indicator and measure twice.",
    "I would go with a helical pair here.",
    "Attached my drawing for comparison.",
];

struct Person {
    id: u64,
    name: &'static str,
}

impl Person {
    fn any(random: &mut StdRng) -> Self {
        let at = random.random_range(0..NAMES.len());
        Self {
            id: at as u64 + 1,
            name: NAMES[at],
        }
    }
}

/// One envelope. Reading outweighs writing, and writing outweighs trading.
pub(super) fn envelope(random: &mut StdRng) -> Value {
    let now = Timestamp::now();
    let time = format!("{now:.3}");
    let soon = format!("{:.3}", now + SignedDuration::from_secs(10));
    let person = Person::any(random);
    let thread = random.random_range(1..=5u64);
    let in_thread = format!("thread.{thread}");
    let product = random.random_range(1..=20u64);
    let number = random.random_range(1..=99_999u64);
    // Counters that only go up, as those of a real forum: by the clock, a little differently for
    // each thread.
    let seconds = now.as_second().unsigned_abs();
    let views = thread * 1_931 + seconds % 1_000_000;
    let replies = thread * 7 + seconds / 10 % 1_000;
    match random.random_range(0..100) {
        0..30 => json!({
            "event": "forum.thread.view_count_updated", "channel": in_thread,
            "data": {"thread_id": thread, "view_count": views}
        }),
        30..50 => json!({"event": "forum.comment.created", "data": {
            "comment": {
                "id": number, "content": pick(random, COMMENTS), "parent_id": null, "created_at": time,
                "user": {
                    "id": person.id, "name": person.name, "username": person.name.replace(' ', "").to_lowercase(),
                    "avatar_url": format!("https://mechamap.example/avatars/{}.png", person.id)
                }
            },
            "thread": {
                "id": thread, "title": TITLES[(thread - 1) as usize % TITLES.len()], "reply_count": replies
            }
        }}),
        50..60 => json!({"event": "forum.typing.started", "channel": in_thread, "data": {
            "user": {"id": person.id, "name": person.name}, "expires_at": soon
        }}),
        60..70 => json!({"event": "forum.reaction.added", "channel": in_thread, "data": {
            "comment_id": number, "reaction_type": pick(random, &["like", "insightful", "thanks"]),
            "user_id": person.id, "new_count": number % 40
        }}),
        70..73 => json!({"event": "forum.comment.updated", "channel": in_thread, "data": {
            "comment_id": number, "content": pick(random, COMMENTS), "edited_at": time, "edit_reason": "Fixed a unit"
        }}),
        73..80 => {
            let left = random.random_range(0..20u64);
            json!({"event": "marketplace.stock.updated", "data": {
                "product_id": product, "old_stock": left + 1, "new_stock": left, "is_low_stock": left <= 5,
                "low_stock_threshold": 5
            }})
        }
        80..82 => {
            json!({"event": "marketplace.stock.low_warning", "channel": "marketplace.global", "data": {
                "product_id": product, "stock": number % 5
            }})
        }
        82..84 => json!({"event": "marketplace.price.changed", "data": {
            "product_id": product, "old_price": 99.99, "new_price": 79.99, "discount_percentage": 20, "sale_ends_at": soon
        }}),
        84..86 => json!({
            "event": "marketplace.order.status_changed", "channel": format!("user.{}.orders", person.id), "data": {
                "order_id": number, "old_status": "processing", "new_status": "shipped",
                "tracking_number": format!("MM{number:06}"), "estimated_delivery": "2026-12-24"
            }
        }),
        86..90 => {
            json!({"event": "messaging.message.sent", "channel": format!("user.{}", person.id), "data": {
                "message": {
                    "id": number, "conversation_id": number % 9 + 1, "content": pick(random, COMMENTS), "created_at": time,
                    "sender": {"id": person.id, "name": person.name, "avatar_url": "https://mechamap.example/avatars/1.png"}
                }
            }})
        }
        90..93 => json!({"event": "notification.sent", "user_id": person.id, "data": {
            "notification": {
                "id": number, "type": "reply", "title": "New reply", "message": pick(random, COMMENTS), "icon": "comment",
                "action_url": format!("/threads/{thread}"), "created_at": time
            },
            "unread_count": number % 12
        }}),
        93..95 => {
            json!({"event": "user.status.changed", "channel": format!("following.{}", person.id), "data": {
                "user_id": person.id % 6 + 1, "status": pick(random, &["online", "away", "offline"]), "last_seen_at": time,
                "activity": "viewing_thread"
            }})
        }
        95..97 => {
            json!({"event": "user.activity.feed_updated", "channel": format!("following.{}", person.id), "data": {
                "activity": {
                    "type": "thread_created", "user_id": person.id % 6 + 1, "content_id": thread,
                    "content_title": TITLES[(thread - 1) as usize % TITLES.len()], "created_at": time
                }
            }})
        }
        97..99 => json!({"event": "showcase.project.updated", "data": {
            "showcase_id": thread, "update_type": "new_image",
            "content": {"image_url": "https://mechamap.example/p/1.jpg", "description": "Latest progress photo"},
            "author": {"id": person.id, "name": person.name}
        }}),
        _ => json!({
            "event": "showcase.project.stats_updated", "channel": format!("showcase.{thread}"),
            "data": {"showcase_id": thread, "views": views, "likes": number % 300}
        }),
    }
}

fn pick<'a>(random: &mut StdRng, of: &[&'a str]) -> &'a str {
    of.choose(random).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use fanfare::Config;
    use rand::SeedableRng;

    use super::*;
    use crate::mechamap::MechaMap;
    use crate::platform::Platform;

    #[test]
    fn every_sample_is_a_valid_event() {
        let catalog = MechaMap::catalog();
        let mut random = StdRng::seed_from_u64(7);
        for _ in 0..2_000 {
            let envelope = envelope(&mut random);
            let read = catalog
                .read_from_server(envelope.to_string().as_bytes(), &Config::default().limits);
            assert!(read.is_ok(), "{envelope}: {read:?}");
        }
    }
}
