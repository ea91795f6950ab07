//! From one transport to the next, and from one server process to the next, without a gap.

#![allow(clippy::unwrap_used, reason = "what a test cannot unwrap, it fails by")]

use std::collections::{BTreeMap, HashSet};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use fanfare_tests::mechamap::{comment_id, urgent_comments};
use fanfare_tests::server::API_KEY;
use fanfare_tests::{Carrier, Follower, Launch, Request, SOON, Server, Transport};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::Value;
use tempfile::TempDir;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

const CONFIG: &str = "
    limits = { connections_per_user = 1000 }
    history = { events = 100000, bytes = 268435456 }
";
const THREAD: u64 = 456;
const BATCH: u64 = 5;
const WHOLE: Duration = Duration::from_secs(120);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_changes_its_transport_all_the_time_misses_nothing() {
    const EVENTS: u64 = 3000;
    const ROUTE: [Transport; 6] = [
        Transport::WebSocket,
        Transport::EventStream,
        Transport::LongPoll,
        Transport::SocketIo(Carrier::WebSocket),
        Transport::SocketIo(Carrier::Polling),
        Transport::HttpStream,
    ];
    let seed = rand::random::<u64>();
    eprintln!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let server = Server::configured(CONFIG).await;
    let mut follower = Follower::begin(server.address(), 7, THREAD).await;
    let publishing = async {
        let mut tick = interval(Duration::from_millis(20));
        tick.set_missed_tick_behavior(MissedTickBehavior::Burst);
        for first in (1..=EVENTS).step_by(BATCH as usize) {
            tick.tick().await;
            let batch = urgent_comments(THREAD, first..=first + BATCH - 1);
            server.publish(&batch).await;
        }
    };
    let mut changes = 0;
    let wandering = async {
        for transport in ROUTE.into_iter().cycle() {
            let enough = follower.seen.len() + random.random_range(1..150);
            let enough = enough.min(EVENTS as usize);
            let followed =
                follower.follow(transport, server.address(), |seen| seen.len() >= enough);
            followed.await.unwrap();
            changes += 1;
            if enough == EVENTS as usize {
                break;
            }
        }
    };
    let both = Box::pin(async { tokio::join!(publishing, wandering) });
    timeout(WHOLE, both)
        .await
        .expect("the last event arrives in the end");
    assert_eq!(follower.seen, (1..=EVENTS).collect::<Vec<_>>());
    assert_eq!(follower.losses, 0);
    assert!(changes >= 12, "{changes} changes");
}

/// How a server ends.
#[derive(Clone, Copy, Debug)]
enum Ending {
    Kill,
    Terminate,
}

fn launch(folder: &Path) -> Launch {
    Launch::mechamap()
        .argument("--history")
        .argument(format!("file:{}", folder.display()))
        .config(CONFIG)
}

/// The ids of the events that history has, by their offsets; from 1 on, without holes.
async fn history(server: &Server) -> Vec<u64> {
    let mut ids = Vec::new();
    let mut cursor = String::new();
    loop {
        let path = format!("/channels/thread.{THREAD}/history?limit=1000{cursor}");
        let page = server.ask(&path).await.json();
        assert_ne!(page["recovered"], false, "{page}");
        let events = page["events"].as_array().unwrap();
        for event in events {
            assert_eq!(event["offset"], ids.len() as u64 + 1, "no holes");
            ids.push(comment_id(&event["data"]));
        }
        if events.is_empty() {
            return ids;
        }
        cursor = format!("&cursor={}", page["cursor"].as_str().unwrap());
    }
}

/// Publishes until the server is gone, and gives the ids that it accepted, by their offsets.
async fn publish_until_gone(address: SocketAddr, ids: Arc<AtomicU64>) -> BTreeMap<u64, u64> {
    let mut accepted = BTreeMap::new();
    loop {
        let first = ids.fetch_add(BATCH, Ordering::Relaxed);
        let body = urgent_comments(THREAD, first..=first + BATCH - 1).to_string();
        let request = Request::post(address, "/publish", body)
            .header("Authorization", &format!("Bearer {API_KEY}"));
        let Ok(mut response) = request.send().await else {
            return accepted;
        };
        let Ok(body) = response.rest().await else {
            return accepted;
        };
        if response.status == 503 {
            return accepted;
        }
        let answer = serde_json::from_slice::<Value>(&body).unwrap();
        assert_eq!(response.status, 200, "{answer}");
        for (id, result) in (first..).zip(answer["results"].as_array().unwrap()) {
            accepted.insert(result["offset"].as_u64().unwrap(), id);
        }
    }
}

/// Lets servers end one after the other under load, on one folder.
async fn assert_nothing_accepted_is_lost(ending: Ending, rounds: u32) {
    let seed = rand::random::<u64>();
    eprintln!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let folder = TempDir::new().unwrap();
    let ids = Arc::new(AtomicU64::new(1));
    let mut accepted = BTreeMap::new();
    let mut followers = Vec::new();
    for round in 0..=rounds {
        let mut server = launch(folder.path()).start().await;
        let address = server.address();
        if followers.is_empty() {
            for transport in Transport::ALL {
                followers.push((transport, Follower::begin(address, 7, THREAD).await));
            }
        }
        let kept = history(&server).await;
        let distinct = kept.iter().collect::<HashSet<_>>().len();
        assert_eq!(distinct, kept.len(), "round {round}: every event once");
        for (offset, id) in &accepted {
            let found = kept.get(*offset as usize - 1);
            assert_eq!(found, Some(id), "round {round}, offset {offset}");
        }
        for (transport, follower) in &mut followers {
            let followed = follower.follow(*transport, address, |seen| seen.len() >= kept.len());
            let followed = timeout(SOON, followed).await;
            followed
                .unwrap_or_else(|_| panic!("round {round}, {transport:?}: what was missed comes"))
                .unwrap();
            assert_eq!(follower.seen, kept, "round {round}, {transport:?}");
            assert_eq!(follower.losses, 0, "round {round}, {transport:?}");
        }
        if round == rounds {
            return;
        }
        let publishers = [(); 3].map(|()| tokio::spawn(publish_until_gone(address, ids.clone())));
        let following = followers
            .into_iter()
            .map(|(transport, mut follower)| {
                tokio::spawn(async move {
                    let followed = follower.follow(transport, address, |_| false).await;
                    followed.expect_err("it ends with the server");
                    (transport, follower)
                })
            })
            .collect::<Vec<_>>();
        sleep(Duration::from_millis(random.random_range(500..1500))).await;
        let code = match ending {
            Ending::Kill => {
                server.kill();
                None
            }
            Ending::Terminate => {
                server.terminate();
                Some(0)
            }
        };
        assert_eq!(server.exit(Duration::from_secs(20)).await, code);
        let before = accepted.len();
        for publisher in publishers {
            accepted.extend(publisher.await.unwrap());
        }
        assert!(accepted.len() > before, "round {round}: nothing accepted");
        followers = Vec::new();
        for follower in following {
            followers.push(follower.await.unwrap());
        }
        let live = followers.iter().filter(|(_, f)| f.seen.len() > kept.len());
        assert!(live.count() >= 3, "round {round}: hardly any came live");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_accepted_survives_being_killed_again_and_again() {
    let whole = Box::pin(assert_nothing_accepted_is_lost(Ending::Kill, 5));
    timeout(WHOLE, whole).await.expect("in time");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_accepted_survives_an_end_in_order() {
    let whole = Box::pin(assert_nothing_accepted_is_lost(Ending::Terminate, 2));
    timeout(WHOLE, whole).await.expect("in time");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_has_one_server() {
    let folder = TempDir::new().unwrap();
    let first = launch(folder.path()).start().await;
    first.publish(&urgent_comments(THREAD, 1..=3)).await;
    let mut second = launch(folder.path()).refusal().await;
    assert_eq!(second.exit(SOON).await, Some(2));
    let said = second.stderr();
    assert_eq!(said.trim_end().lines().count(), 1, "one sentence: {said}");
    assert!(said.contains(&*folder.path().to_string_lossy()), "{said}");
    first.publish(&urgent_comments(THREAD, 4..=4)).await;
    assert_eq!(history(&first).await, [1, 2, 3, 4]);
    first.assert_healthy().await;
}
