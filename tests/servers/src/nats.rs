//! NATS with JetStream.

use std::path::PathBuf;
use std::time::Duration;

use tokio::sync::OnceCell;

use crate::installed::installed;
use crate::lease::Lease;
use crate::probe::answers;
use crate::process::Program;
use crate::server::{Broker, Server};

const CLIENTS: u16 = 0;
const MONITORING: u16 = 1;

/// How NATS is run: `nats-server` with JetStream, everything else as it comes.
///
/// It has written a message (`write(2)`) before it acknowledges it, and syncs every two minutes
/// (`sync_interval`, the default): acknowledged messages survive a kill, not all of them a power cut.
#[derive(Debug)]
pub struct NatsServer {
    binary: PathBuf,
}

impl Broker for NatsServer {
    const NAME: &'static str = "nats";
    const WITHIN: Duration = Duration::from_secs(20);

    fn prepare(_: &Lease) -> Result<Self, String> {
        let binary = installed("bin/nats-server")?;
        Ok(Self { binary })
    }

    fn programs(&self, lease: &Lease) -> Vec<Program> {
        let port = |index| lease.address(index).port().to_string();
        let program = Program::new(Self::NAME, &self.binary, lease.folder())
            .arguments(["--addr", "127.0.0.1", "--port", &port(CLIENTS)])
            .arguments([
                "--http_port",
                &port(MONITORING),
                "--jetstream",
                "--store_dir",
            ])
            .argument(lease.folder().join("data"));
        vec![program]
    }

    /// What NATS itself says about it, which includes JetStream and the streams it has recovered.
    fn is_ready(&self, lease: &Lease) -> bool {
        let request = b"GET /healthz HTTP/1.0\r\n\r\n";
        answers(lease.address(MONITORING), request, b"HTTP/1.0 200")
    }

    fn url(&self, lease: &Lease) -> String {
        format!("nats://{}", lease.address(CLIENTS))
    }

    fn shared_server() -> &'static OnceCell<Server<Self>> {
        static SHARED: OnceCell<Server<NatsServer>> = OnceCell::const_new();
        &SHARED
    }
}
