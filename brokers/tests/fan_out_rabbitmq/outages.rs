//! Servers that fall silent, and those that lose what they had confirmed.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use fanfare::{Broker, BrokerErrorKind};
use fanfare_test_servers::RabbitMq as RabbitMqServer;
use tokio::time::{Instant, sleep};

use crate::node::{Node, config, event, killable};
use crate::proxy::Proxy;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_stopped_for_a_while_is_down_meanwhile() {
    let mut server = RabbitMqServer::start().await;
    let node = Node::start(config(&server.url(), "outages")).await;
    node.publish(1).await.unwrap();
    server.pause();
    let paused = Instant::now();
    node.until_up(false).await;
    let noticed = paused.elapsed();
    assert!(noticed < Duration::from_millis(2_500), "{noticed:?}");
    let ((), published) = tokio::join!(
        async {
            sleep(Duration::from_secs(3).saturating_sub(noticed)).await;
            server.resume();
        },
        node.publish(2)
    );
    let resolved = paused.elapsed();
    assert!(resolved < Duration::from_secs(10), "{resolved:?}");
    if let Err(error) = published {
        assert_eq!(error.kind(), BrokerErrorKind::Unavailable);
    }
    node.until_up(true).await;
    node.get_through(2).await;
    node.get_through(3).await;
    node.until_taken(3).await;
    assert_eq!(node.numbers(), [1, 2, 3]);
    node.broker.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_under_way_on_a_silent_connection_fails_in_time_and_for_good() {
    let url = RabbitMqServer::shared().await.url();
    let mut config = config(&url, "silent");
    let near = Node::start(config.clone()).await;
    let proxy = Proxy::start(&config).await;
    config.port = proxy.address.port();
    let node = Node::start(config).await;
    node.publish(1).await.unwrap();
    proxy.block();
    let blocked = Instant::now();
    let under_way = [node.broker.publish(event(2)), node.broker.publish(event(3))];
    for publishing in under_way {
        let error = publishing.await.unwrap_err();
        assert_eq!(error.kind(), BrokerErrorKind::Unavailable);
    }
    let failed = blocked.elapsed();
    assert!(failed < Duration::from_secs(9), "{failed:?}");
    let refused = node.publish(2).await.unwrap_err();
    assert_eq!(refused.kind(), BrokerErrorKind::Unavailable);
    // Long after, the way is open again, and whatever stood in it may arrive.
    sleep(Duration::from_secs(1)).await;
    proxy.mend();
    node.until_up(true).await;
    node.get_through(2).await;
    for node in [&node, &near] {
        node.until_taken(2).await;
    }
    assert_eq!(near.numbers()[..2], [1, 2]);
    near.broker.shutdown().await;
    node.broker.shutdown().await;
}

fn copy(from: &Path, to: &Path) {
    let _ = std::fs::remove_dir_all(to);
    let copied = Command::new("cp").arg("-a").arg(from).arg(to).status();
    assert!(copied.unwrap().success());
}

/// As after a loss of power: the server is back with what it had some time ago, and had confirmed
/// more. Where others write first, other records stand in the place of those that are lost.
async fn lose_the_end(others_write_first: bool) {
    let mut server = killable().await;
    let mut config = config(&server.url(), "lossy");
    let other = config.clone();
    let proxy = Proxy::start(&config).await;
    config.port = proxy.address.port();
    let node = Node::start(config).await;
    for number in 1..=10 {
        node.publish(number).await.unwrap();
    }
    server.kill().await;
    let data = server.folder().join("data");
    let kept = server.folder().join("kept");
    copy(&data, &kept);
    server.start_again().await;
    for number in 11..=20 {
        node.get_through(number).await;
    }
    let before = node.last();
    proxy.cut();
    server.kill().await;
    copy(&kept, &data);
    server.start_again().await;
    if others_write_first {
        let other = Node::start(other.clone()).await;
        assert_eq!(other.numbers(), (1..=10).collect::<Vec<_>>());
        for number in 11..=40 {
            other.publish(number).await.unwrap();
        }
        assert_eq!(other.last().epoch, before.epoch);
        assert!(other.last().offset > before.offset);
        other.broker.shutdown().await;
    }
    proxy.mend();
    node.until_up(true).await;
    node.get_through(41).await;
    node.until_taken(41).await;
    assert_ne!(
        node.last().epoch,
        before.epoch,
        "no position is given twice"
    );
    assert_eq!(node.covered().epoch, node.last().epoch);
    let late = Node::start(other).await;
    assert_eq!(late.last(), node.last());
    node.broker.shutdown().await;
    late.broker.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_lost_its_end_is_replaced() {
    lose_the_end(false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_lost_its_end_and_has_another_is_replaced() {
    lose_the_end(true).await;
}
