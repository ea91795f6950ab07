//! Events that need a role, over real sockets: nobody without it gets one, on any transport.

#![allow(clippy::unwrap_used, reason = "a suite, not a library")]

mod clients;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use clients::{LongPoll, Transport, WebSocket};
use fanfare::auth::jwt::JwtKey;
use fanfare::catalog::{Catalog, Envelope, TypedEvent};
use fanfare::{Channel, Config, Event, Guarantee, Node, Priority};
use fanfare_transports::{Server, Service};
use garde::Validate;
use jsonwebtoken::{EncodingKey, Header, encode};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

const SECRET: &[u8] = b"secret";
/// The events' names, and who gets them; everyone where nobody is named.
const EVENTS: [(&str, &[&str]); 4] = [
    ("session:opened", &[]),
    ("session:status", &["coach", "athlete", "parent"]),
    ("session:plan", &["coach"]),
    ("session:score", &["athlete", "parent"]),
];
const ROLES: [&[&str]; 5] = [
    &["coach"],
    &["athlete"],
    &["athlete", "coach"],
    &["admin"],
    &[],
];
/// The number of an event for everyone that stands behind the others.
const LAST: u64 = 1_000_000;

macro_rules! event {
    ($type:ident, $at:literal) => {
        #[derive(Deserialize, JsonSchema, Validate)]
        struct $type {}

        impl TypedEvent for $type {
            const NAME: &'static str = EVENTS[$at].0;
            const PRIORITY: Priority = Priority::High;
            const CHANNELS: &'static [&'static str] = &["session"];
            const ROLES: &'static [&'static str] = EVENTS[$at].1;
        }
    };
}

event!(Opened, 0);
event!(Status, 1);
event!(Plan, 2);
event!(Score, 3);

fn may_see(roles: &[&str], event: u64) -> bool {
    let (_, needed) = EVENTS[event as usize % EVENTS.len()];
    needed.is_empty() || needed.iter().any(|role| roles.contains(role))
}

fn visible(roles: &[&str], numbers: std::ops::Range<u64>) -> Vec<u64> {
    numbers.filter(|number| may_see(roles, *number)).collect()
}

fn token(user: usize, roles: &[&str]) -> String {
    let claims = json!({ "sub": user.to_string(), "roles": roles });
    encode(
        &Header::default(),
        &claims,
        &EncodingKey::from_secret(SECRET),
    )
    .unwrap()
}

async fn serve(config: Config) -> (Node, SocketAddr) {
    let catalog = Catalog::new(Envelope::new("event", "data"), &["session"], |_| false)
        .with::<Opened>()
        .with::<Status>()
        .with::<Plan>()
        .with::<Score>();
    let node = Node::builder()
        .config(config)
        .jwt(JwtKey::Hs256(SECRET))
        .unwrap()
        .catalog(catalog)
        .start()
        .await
        .unwrap();
    let service = Service::builder(node.clone()).build();
    let server = Server::bind("127.0.0.1:0".parse().unwrap(), service);
    let server = server.await.unwrap();
    let address = server.local_addr().unwrap();
    tokio::spawn(server.serve(std::future::pending()));
    (node, address)
}

fn event(number: u64, filling: usize) -> Event {
    let (name, _) = EVENTS[number as usize % EVENTS.len()];
    let payload = json!({ "number": number, "filling": "x".repeat(filling) }).to_string();
    Event::new(Channel::new("session").unwrap(), name, payload).unwrap()
}

/// Publishes events of every name, some of which leave together.
async fn publish(node: &Node, numbers: std::ops::Range<u64>) {
    for number in numbers {
        let priority = match number % 5 {
            0 => Priority::High,
            _ => Priority::Medium,
        };
        node.publish(event(number, 0).with_priority(priority))
            .await
            .unwrap();
        if number % 16 == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

async fn end(node: &Node, number: u64) {
    assert!(may_see(&[], number));
    node.publish(event(number, 0).with_priority(Priority::High))
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_transport_delivers_by_role() {
    let (node, address) = serve(Config::default()).await;
    let mut clients = Vec::new();
    for (user, roles) in ROLES.into_iter().enumerate() {
        for transport in Transport::ALL {
            let client = transport.connect(address, &token(user, roles), None).await;
            clients.push((transport, roles, client));
        }
    }
    publish(&node, 0..200).await;
    end(&node, LAST).await;
    for (transport, roles, mut client) in clients {
        let (mut numbers, _) = client.until(LAST).await;
        numbers.pop();
        assert_eq!(numbers, visible(roles, 0..200), "{transport:?} {roles:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_is_cut_recovers_what_is_visible() {
    let (node, address) = serve(Config::default()).await;
    let mut places = Vec::new();
    for (user, roles) in ROLES.into_iter().enumerate() {
        for transport in Transport::ALL {
            let client = transport.connect(address, &token(user, roles), None).await;
            places.push((transport, user, roles, client));
        }
    }
    publish(&node, 0..40).await;
    end(&node, 40).await;
    let mut cut = Vec::new();
    for (transport, user, roles, mut client) in places {
        cut.push((transport, user, roles, client.until(40).await));
    }
    // Hidden ones stand at both ends of what was missed.
    publish(&node, 42..83).await;
    for (transport, user, roles, (mut numbers, place)) in cut {
        let mut client = transport.connect(address, &token(user, roles), place).await;
        end(&node, LAST).await;
        numbers.extend(client.until(LAST).await.0);
        numbers.retain(|number| *number != LAST);
        let expected = [visible(roles, 0..41), visible(roles, 42..83)].concat();
        assert_eq!(numbers, expected, "{transport:?} {roles:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_poll_is_not_answered_with_nothing() {
    let (node, address) = serve(Config::default()).await;
    let athlete = token(1, &["athlete"]);
    let mut poller = LongPoll::begin(address, &athlete, None).await;
    let plan = |number: u64| event(number * 4 + 2, 0).with_priority(Priority::High);
    for number in 0..1_500 {
        node.publish(plan(number)).await.unwrap();
    }
    let begun = Instant::now();
    let publishing = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        node.publish(plan(1_500)).await.unwrap();
    };
    let (numbers, ()) = tokio::join!(poller.more(2), publishing);
    assert_eq!(numbers, [0; 0]);
    assert!(begun.elapsed() >= Duration::from_secs(2), "it waits");
    assert_eq!(poller.offset, 1_501, "its cursor has moved");
    end(&node, LAST).await;
    let begun = Instant::now();
    assert_eq!(poller.more(10).await, [LAST]);
    assert!(begun.elapsed() < Duration::from_secs(5));
}

/// Its socket is full, so that its outbox gives events up: among those that it was to get.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_reader_is_told_of_its_own_losses_alone() {
    const EVENTS: u64 = 12_000;
    let (node, address) = serve(Config::default()).await;
    let roles: &[&str] = &["athlete"];
    let small = Some(4 << 10);
    let mut client = WebSocket::with_buffer(address, &token(1, roles), None, small).await;
    for number in 0..EVENTS {
        let event = event(number, 2_000).with_guarantee(Guarantee::BestEffort);
        node.publish(event.with_priority(Priority::High))
            .await
            .unwrap();
    }
    let numbers = client.until_silence().await;
    let visible = visible(roles, 0..EVENTS);
    assert!(client.dropped > 0, "{} of {}", numbers.len(), visible.len());
    assert!(numbers.is_sorted_by(|a, b| a < b));
    assert!(numbers.iter().all(|number| may_see(roles, *number)));
    assert_eq!(numbers.len() as u64 + client.dropped, visible.len() as u64);
}
