//! Brokers by the kit: the one in memory passes, faulty ones are caught.

#![allow(clippy::unwrap_used, reason = "a suite, not a library")]

mod bus;

use fanfare::broker::memory::Memory;
use fanfare::testing::broker::{Plan, check_all};

fn alone() -> Plan {
    Plan {
        nodes: 1,
        ..Plan::default()
    }
}

#[tokio::test]
async fn memory() {
    check_all(async |_: &str| Memory::default(), &alone()).await;
}

#[tokio::test]
async fn a_log_within_the_process() {
    let bus = bus::Bus::default();
    check_all(async |cluster: &str| bus.attach(cluster), &Plan::default()).await;
}
