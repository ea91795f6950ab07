//! RabbitMQ.

use std::fs;
use std::time::Duration;

use tokio::sync::OnceCell;

use crate::installed::packaged;
use crate::lease::Lease;
use crate::probe::answers;
use crate::process::Program;
use crate::server::{Broker, Server};

const CLIENTS: u16 = 0;
const DISTRIBUTION: u16 = 1;

/// Debian's wrapper in `/usr/sbin` runs servers as one certain user, this does not.
const BINARY: &str = "/usr/lib/rabbitmq/bin/rabbitmq-server";

/// How RabbitMQ is run: one node without plugins, and without epmd, the port mapper that all nodes of
/// a machine would share and that outlives them.
///
/// It confirms a persistent message in a durable queue after `fsync`, one in a quorum queue as well,
/// and one in a stream after `write(2)`. All of them survive a kill. Messages that are not persistent
/// do not, nor do queues that are not durable.
#[derive(Debug)]
pub struct RabbitMqServer(());

impl Broker for RabbitMqServer {
    const NAME: &'static str = "rabbitmq";
    const WITHIN: Duration = Duration::from_secs(90);

    fn prepare(lease: &Lease) -> Result<Self, String> {
        packaged(BINARY)?;
        let files = [
            ("rabbitmq.conf", ""),
            ("enabled_plugins", "[]."),
            ("environment", ""),
        ];
        for (name, text) in files {
            fs::write(lease.folder().join(name), text)
                .map_err(|error| format!("{name} cannot be written: {error}"))?;
        }
        Ok(Self(()))
    }

    fn programs(&self, lease: &Lease) -> Vec<Program> {
        let port = |index| lease.address(index).port().to_string();
        // Named and clustered by these arguments, a node neither starts epmd nor asks it. Few and
        // patient schedulers, because tests of many brokers share the processors.
        let erlang = format!(
            "-noinput -sname rabbit@localhost -start_epmd false -erl_epmd_port {} \
             -kernel inet_dist_use_interface {{127,0,0,1}} +S 2:2 +sbwt none",
            port(DISTRIBUTION)
        );
        let program = Program::new(Self::NAME, BINARY, lease.folder())
            // The script becomes the server instead of waiting for it.
            .environment("RABBITMQ_ALLOW_INPUT", "1")
            .environment("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", erlang)
            .environment("RABBITMQ_NODENAME", "rabbit@localhost")
            .environment("RABBITMQ_NODE_IP_ADDRESS", "127.0.0.1")
            .environment("RABBITMQ_NODE_PORT", port(CLIENTS))
            .environment("RABBITMQ_DIST_PORT", port(DISTRIBUTION))
            .environment("RABBITMQ_LOGS", "-");
        // HOME is where Erlang makes and keeps the node's cookie.
        let paths = [
            ("HOME", ""),
            ("RABBITMQ_MNESIA_BASE", "data"),
            ("RABBITMQ_LOG_BASE", "log"),
            ("RABBITMQ_PID_FILE", "pid"),
            ("RABBITMQ_CONFIG_FILE", "rabbitmq.conf"),
            ("RABBITMQ_ENABLED_PLUGINS_FILE", "enabled_plugins"),
            ("RABBITMQ_CONF_ENV_FILE", "environment"),
        ];
        let program = paths.iter().fold(program, |program, (name, path)| {
            program.environment(name, lease.folder().join(path))
        });
        vec![program]
    }

    /// Whether it greets a client. RabbitMQ listens when everything else has started.
    fn is_ready(&self, lease: &Lease) -> bool {
        // A method frame on channel 0, where a server that is not ready says nothing.
        answers(lease.address(CLIENTS), b"AMQP\0\0\x09\x01", b"\x01\0\0")
    }

    fn url(&self, lease: &Lease) -> String {
        format!("amqp://guest:guest@{}/%2f", lease.address(CLIENTS))
    }

    fn shared_server() -> &'static OnceCell<Server<Self>> {
        static SHARED: OnceCell<Server<RabbitMqServer>> = OnceCell::const_new();
        &SHARED
    }
}
