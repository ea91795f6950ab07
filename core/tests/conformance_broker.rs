//! Brokers by the kit: the one in memory passes, faulty ones are caught.

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
