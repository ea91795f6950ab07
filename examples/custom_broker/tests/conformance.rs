//! The proof: what the kit of fanfare asks of every broker, against a real server.

use std::time::Duration;

use fanfare::BoxFuture;
use fanfare::testing::broker::{Plan, Server, check_all, check_outage};
use fanfare_example_custom_broker::RedisStreams;
use fanfare_test_servers::Redis;
use tokio::sync::Mutex;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_streams_keep_what_a_broker_promises() {
    let redis = Redis::start().await;
    let url = redis.url();
    let attach = async |cluster: &str| RedisStreams::new(&url, cluster).expect("a URL of Redis");
    check_all(attach, &Plan::default()).await;
}

struct Crashing(Mutex<Redis>);

impl Server for Crashing {
    fn kill(&self) -> BoxFuture<'_, ()> {
        Box::pin(async { self.0.lock().await.kill().await })
    }

    fn start(&self) -> BoxFuture<'_, ()> {
        Box::pin(async { self.0.lock().await.start_again().await })
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn and_keep_it_through_a_crash_of_the_server() {
    let redis = Redis::start().await;
    let url = redis.url();
    let attach = async |cluster: &str| RedisStreams::new(&url, cluster).expect("a URL of Redis");
    let server = Crashing(Mutex::new(redis));
    check_outage(attach, &server, Duration::from_secs(3), &Plan::default()).await;
}
