use std::collections::{BTreeMap, BTreeSet};

use fanfare::Config;
use rand::SeedableRng;

use super::*;
use crate::mechamap::MechaMap;
use crate::platform::Platform;

const LENGTH: usize = 5_000;

fn story(seed: u64) -> impl Iterator<Item = (String, Value)> {
    let life = life(StdRng::seed_from_u64(seed)).take(LENGTH);
    life.map(|envelope| {
        let event = envelope["event"].as_str().unwrap().to_owned();
        (event, envelope)
    })
}

#[test]
fn every_event_occurs_and_is_valid() {
    let catalog = MechaMap::catalog();
    for seed in 1..4 {
        let mut seen = BTreeSet::new();
        for (event, envelope) in story(seed) {
            let read = catalog
                .read_from_server(envelope.to_string().as_bytes(), &Config::default().limits);
            assert!(read.is_ok(), "{envelope}: {read:?}");
            seen.insert(event);
        }
        assert!(seen.iter().map(|name| &**name).eq(catalog.names()));
    }
}

#[test]
fn the_same_seed_tells_the_same_story() {
    let told = |seed| {
        let events = story(seed).map(|(event, envelope)| {
            let data = &envelope["data"];
            let ids = ["product_id", "new_stock", "thread_id", "view_count"];
            (event, ids.map(|id| data[id].clone()))
        });
        events.take(500).collect::<Vec<_>>()
    };
    assert_eq!(told(1), told(1));
    assert_ne!(told(1), told(2));
}

#[test]
fn stock_goes_on_from_where_it_was_and_each_fall_is_warned_of_once() {
    for seed in 1..6 {
        let mut stocks = BTreeMap::new();
        let mut due = None;
        let mut warnings = 0;
        for (event, envelope) in story(seed) {
            let data = &envelope["data"];
            let number = |name: &str| data[name].as_u64().unwrap();
            if event == "marketplace.stock.low_warning" {
                assert_eq!(due.take(), Some((number("product_id"), number("stock"))));
                warnings += 1;
                continue;
            }
            assert_eq!(due, None, "the warning comes right after the change");
            if event != "marketplace.stock.updated" {
                continue;
            }
            let (id, old, new) = (
                number("product_id"),
                number("old_stock"),
                number("new_stock"),
            );
            assert_ne!(old, new);
            assert_eq!(stocks.insert(id, new).unwrap_or(old), old, "product {id}");
            let threshold = number("low_stock_threshold");
            assert_eq!(data["is_low_stock"], new <= threshold);
            due = (old > threshold && new <= threshold).then_some((id, new));
        }
        assert!(warnings > 10, "{warnings}");
    }
}

#[test]
fn counts_only_go_up() {
    for seed in 1..6 {
        let mut counts = BTreeMap::new();
        for (event, envelope) in story(seed) {
            let data = &envelope["data"];
            let (what, count) = match &*event {
                "forum.thread.view_count_updated" => (&data["thread_id"], &data["view_count"]),
                "forum.comment.created" => (&data["thread"]["id"], &data["thread"]["reply_count"]),
                "showcase.project.stats_updated" => (&data["showcase_id"], &data["views"]),
                _ => continue,
            };
            let count = count.as_u64().unwrap();
            let last = counts.insert((event, what.as_u64()), count);
            assert!(last.is_none_or(|last| count > last), "{envelope}");
        }
    }
}

#[test]
fn only_comments_that_were_made_are_edited_and_reacted_to() {
    for seed in 1..6 {
        let mut comments = BTreeMap::new();
        let mut reactions = BTreeMap::<_, u64>::new();
        for (event, envelope) in story(seed) {
            let data = &envelope["data"];
            match &*event {
                "forum.comment.created" => {
                    let thread = format!("thread.{}", data["thread"]["id"]);
                    let known = comments.insert(data["comment"]["id"].as_u64(), thread);
                    assert_eq!(known, None);
                }
                "forum.comment.updated" | "forum.reaction.added" => {
                    let thread = &comments[&data["comment_id"].as_u64()];
                    assert_eq!(envelope["channel"], **thread);
                }
                _ => {}
            }
            if event == "forum.reaction.added" {
                let of = (
                    data["comment_id"].as_u64(),
                    data["reaction_type"].to_string(),
                );
                let count = reactions.entry(of).or_default();
                *count += 1;
                assert_eq!(data["new_count"], *count);
            }
        }
    }
}

#[test]
fn prices_and_orders_go_on_from_where_they_were() {
    for seed in 1..6 {
        let mut last = BTreeMap::new();
        for (event, envelope) in story(seed) {
            let data = &envelope["data"];
            let (id, old, new) = match &*event {
                "marketplace.price.changed" => ("product_id", "old_price", "new_price"),
                "marketplace.order.status_changed" => ("order_id", "old_status", "new_status"),
                _ => continue,
            };
            let known = last.insert((event, data[id].to_string()), data[new].clone());
            assert_eq!(known.unwrap_or_else(|| data[old].clone()), data[old]);
            assert_ne!(data[old], data[new]);
        }
    }
}
