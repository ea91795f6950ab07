//! Redis.

use std::fs;
use std::time::Duration;

use tokio::sync::OnceCell;

use crate::installed::packaged;
use crate::lease::Lease;
use crate::probe::answers;
use crate::process::Program;
use crate::server::{Broker, Server};

const CLIENTS: u16 = 0;

const BINARY: &str = "/usr/bin/redis-server";

/// How Redis is run: with an append-only file and without snapshots.
///
/// It has written a change (`write(2)`) before it answers, and syncs every second (`appendfsync`, as it
/// comes): what was answered survives a kill, not all of it a power cut.
#[derive(Debug)]
pub struct RedisServer(());

impl Broker for RedisServer {
    const NAME: &'static str = "redis";
    const WITHIN: Duration = Duration::from_secs(20);

    fn prepare(lease: &Lease) -> Result<Self, String> {
        packaged(BINARY)?;
        fs::create_dir(lease.folder().join("data"))
            .map_err(|error| format!("Redis' folder cannot be created: {error}"))?;
        Ok(Self(()))
    }

    fn programs(&self, lease: &Lease) -> Vec<Program> {
        let port = lease.address(CLIENTS).port().to_string();
        let program = Program::new(Self::NAME, BINARY, lease.folder())
            .arguments(["--bind", "127.0.0.1", "--port", &port, "--dir", "data"])
            .arguments(["--appendonly", "yes", "--save", ""]);
        vec![program]
    }

    /// Whether it answers a ping, which it does when its data is loaded.
    fn is_ready(&self, lease: &Lease) -> bool {
        answers(lease.address(CLIENTS), b"PING\r\n", b"+PONG\r\n")
    }

    fn url(&self, lease: &Lease) -> String {
        format!("redis://{}", lease.address(CLIENTS))
    }

    fn shared_server() -> &'static OnceCell<Server<Self>> {
        static SHARED: OnceCell<Server<RedisServer>> = OnceCell::const_new();
        &SHARED
    }
}
