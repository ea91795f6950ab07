//! Redis by its own protocol, through a kill.
#![allow(
    clippy::unwrap_used,
    reason = "a test ends where something unexpected comes"
)]

use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::net::TcpStream;

use fanfare_test_servers::Redis;

fn address(server: &Redis) -> String {
    server.url().strip_prefix("redis://").unwrap().to_owned()
}

/// Sends a command, and returns the first line of the answer.
fn ask(server: &Redis, command: &str) -> String {
    let mut stream = TcpStream::connect(address(server)).unwrap();
    stream
        .write_all(format!("{command}\r\n").as_bytes())
        .unwrap();
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).unwrap();
    line.trim_end().to_owned()
}

#[tokio::test]
async fn what_was_answered_is_there_after_a_kill_on_the_same_port() {
    let mut redis = Redis::start().await;
    let url = redis.url();
    assert_eq!(ask(&redis, "INCR kept"), ":1");
    assert_eq!(ask(&redis, "INCR kept"), ":2");

    redis.kill().await;
    let refused = TcpStream::connect(address(&redis)).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    redis.start_again().await;

    assert_eq!(redis.url(), url);
    assert_eq!(ask(&redis, "INCR kept"), ":3");
}
