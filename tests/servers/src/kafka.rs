//! Kafka.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::sync::OnceCell;

use crate::installed::installed;
use crate::lease::Lease;
use crate::probe::ask;
use crate::process::Program;
use crate::server::{Broker, Server};

const CLIENTS: u16 = 0;
const CONTROLLER: u16 = 1;

/// How Kafka is run: Apache Kafka in KRaft mode, one node that is broker and controller, which creates
/// topics when they are asked for, with one partition where nothing else is said.
///
/// It has written a record (`write(2)`) before it acknowledges it, and leaves syncing to the kernel, as
/// it comes: acknowledged records survive a kill. After a kill the controller takes the broker for alive
/// until its session is over, and lets no other in its place; that takes 9 s as it comes, and is set to
/// 3 s here. The Java machine optimizes little (`TieredStopAtLevel=1`), which halves the time of a start and
/// says that this is no server to measure throughput with.
#[derive(Debug)]
pub struct KafkaServer {
    /// Where the installation is.
    home: PathBuf,
}

impl Broker for KafkaServer {
    const NAME: &'static str = "kafka";
    const WITHIN: Duration = Duration::from_secs(90);

    fn prepare(lease: &Lease) -> Result<Self, String> {
        // Written when everything else is there.
        let options = installed("kafka-3.9.1/java.options")?;
        let home = options.with_file_name("");
        prepare_folder(&home, lease)
            .map_err(|error| format!("Kafka's folder cannot be prepared: {error}"))?;
        Ok(Self { home })
    }

    fn programs(&self, lease: &Lease) -> Vec<Program> {
        let options = self.home.join("java.options");
        let logging = self.home.join("log4j.properties");
        let program = Program::new(Self::NAME, "java", lease.folder())
            .argument(format!("@{}", options.display()))
            .argument(format!("-Dlog4j.configuration=file:{}", logging.display()))
            .arguments(["kafka.Kafka", "server.properties"]);
        vec![program]
    }

    /// Whether its metadata has the broker. Until then clients would be told that there is none.
    fn is_ready(&self, lease: &Lease) -> bool {
        // Length, metadata of version 0, correlation 1, client "x", no topics.
        let request = b"\0\0\0\x0f\0\x03\0\0\0\0\0\x01\0\x01x\0\0\0\0";
        // Length, correlation, number of brokers.
        let mut answer = [0; 12];
        ask(lease.address(CLIENTS), request, &mut answer).is_ok() && answer[8..] == [0, 0, 0, 1]
    }

    fn url(&self, lease: &Lease) -> String {
        format!("kafka://{}", lease.address(CLIENTS))
    }

    fn shared_server() -> &'static OnceCell<Server<Self>> {
        static SHARED: OnceCell<Server<KafkaServer>> = OnceCell::const_new();
        &SHARED
    }
}

fn prepare_folder(home: &Path, lease: &Lease) -> io::Result<()> {
    let data = lease.folder().join("data");
    fs::create_dir(&data)?;
    // Formatting takes as long as starting, and there is nothing in it that may not be the same twice.
    for file in fs::read_dir(home.join("formatted"))? {
        let file = file?;
        fs::copy(file.path(), data.join(file.file_name()))?;
    }
    fs::write(lease.folder().join("server.properties"), properties(lease))
}

fn properties(lease: &Lease) -> String {
    let (clients, controller) = (lease.address(CLIENTS), lease.address(CONTROLLER));
    format!(
        "process.roles=broker,controller
node.id=1
controller.quorum.voters=1@{controller}
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://{clients},CONTROLLER://{controller}
log.dirs=data
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
group.initial.rebalance.delay.ms=0
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=1
log.cleaner.dedupe.buffer.size=4194304
"
    )
}
