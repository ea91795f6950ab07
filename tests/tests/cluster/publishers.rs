//! The backends that publish.

use std::io;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

use fanfare_tests::Request;
use fanfare_tests::mechamap::urgent_comments;
use fanfare_tests::server::API_KEY;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::audience::THREAD;
use super::nodes::NODES;

/// Between two comments of a publisher: 500 a second in all.
const BETWEEN: Duration = Duration::from_millis(6);
/// Between two requests, unless the answer takes longer.
const TICK: Duration = Duration::from_millis(20);
/// How many comments one request takes at most, when a publisher has to catch up.
const MOST: u64 = 250;
/// The ids of a publisher begin with its number, from 1 on.
const EACH: u64 = 1_000_000;

/// A publisher for each node.
#[derive(Debug)]
pub(crate) struct Publishers {
    orders: watch::Sender<Order>,
    tasks: Vec<JoinHandle<Record>>,
    begun: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    /// Publish, and go back to your own node if you are elsewhere; the number makes orders differ.
    GoOn(u32),
    Stop,
}

/// What became of a publisher's comments, by their ids, in the order of publishing.
#[derive(Debug, Default)]
pub(crate) struct Record {
    pub(crate) accepted: Vec<u64>,
    /// Those that the server refused for now.
    pub(crate) refused: Vec<u64>,
    /// Those whose request broke off, with the number of the node: they may have come or not.
    pub(crate) unknown: Vec<(usize, RangeInclusive<u64>)>,
}

impl Publishers {
    pub(crate) fn begin(nodes: [SocketAddr; NODES]) -> Self {
        let (orders, _) = watch::channel(Order::GoOn(0));
        let publish = |home| tokio::spawn(publish(nodes, home, orders.subscribe()));
        Self {
            tasks: (0..NODES).map(publish).collect(),
            orders,
            begun: Instant::now(),
        }
    }

    /// Has those whose node was away publish on it again.
    pub(crate) fn go_home(&self) {
        self.orders.send_modify(|order| {
            if let Order::GoOn(number) = order {
                *number += 1;
            }
        });
    }

    /// Ends them. Returns what each of them has to tell, and how long they were at it.
    pub(crate) async fn stop(self) -> (Vec<Record>, Duration) {
        self.orders.send_replace(Order::Stop);
        let lasted = self.begun.elapsed();
        let mut records = Vec::new();
        for task in self.tasks {
            records.push(task.await.unwrap());
        }
        (records, lasted)
    }
}

/// The number of the publisher, from 0 on, that an id is of.
pub(crate) fn publisher_of(id: u64) -> usize {
    (id / EACH - 1) as usize
}

/// Publishes at the set rate, whatever a single request takes; goes to the next node where one does
/// not answer.
async fn publish(
    nodes: [SocketAddr; NODES],
    home: usize,
    mut orders: watch::Receiver<Order>,
) -> Record {
    let mut record = Record::default();
    let mut at = home;
    let first = (home as u64 + 1) * EACH;
    let mut next = first;
    let begun = Instant::now();
    let mut tick = interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        if orders.has_changed().unwrap_or(true) {
            at = home;
        }
        if *orders.borrow_and_update() == Order::Stop {
            return record;
        }
        let due = first + (begun.elapsed().as_nanos() / BETWEEN.as_nanos()) as u64;
        if due < next {
            continue;
        }
        let ids = next..=due.min(next + MOST - 1);
        match post(nodes[at], ids.clone()).await {
            Ok(200) => record.accepted.extend(ids.clone()),
            Ok(503) => record.refused.extend(ids.clone()),
            Ok(status) => panic!("{status}"),
            // It never left.
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                at = (at + 1) % NODES;
                continue;
            }
            Err(_) => {
                record.unknown.push((at, ids.clone()));
                at = (at + 1) % NODES;
            }
        }
        next = ids.end() + 1;
    }
}

/// Posts comments in one request, and gives the status.
async fn post(node: SocketAddr, ids: RangeInclusive<u64>) -> io::Result<u16> {
    let body = urgent_comments(THREAD, ids).to_string();
    let request = Request::post(node, "/publish", body);
    let request = request.header("Authorization", &format!("Bearer {API_KEY}"));
    let mut response = request.send().await?;
    let answer = response.rest().await?;
    match response.status {
        200 => {}
        503 => assert!(response.header("retry-after").is_some(), "{answer:?}"),
        status => panic!("{status}: {answer:?}"),
    }
    Ok(response.status)
}
