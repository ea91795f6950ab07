//! Three servers on one broker, each of which can be killed and come back.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use fanfare_tests::server::{Launch, Memory};
use fanfare_tests::{SOON, Server, until};
use serde_json::Value;
use tempfile::TempDir;

/// How many there are.
pub(crate) const NODES: usize = 3;
/// How long the nodes may take to agree on something, on a machine that is busy.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// Clients here share two cores with everything else, and may be slow to answer a ping. History is for those who are a minute behind; and
/// what was kept for the broker comes to them at once, 5,000 events of about 600 bytes, with what is
/// published meanwhile: an outbox takes all of it.
const CONFIG: &str = "
    limits = { connections_per_user = 10000 }
    history = { events = 100000, bytes = 67108864 }
    buffers = { outbox = 16777216 }
    heartbeat = { ping = 25, pong = 24 }
";

/// The nodes. Each has an address and a folder for what must survive it.
#[derive(Debug)]
pub(crate) struct Nodes {
    url: String,
    folder: TempDir,
    servers: Vec<Server>,
}

impl Nodes {
    /// Starts them on the broker with this URL, and waits until each knows of all.
    pub(crate) async fn start(url: &str) -> Self {
        let mut nodes = Self {
            url: url.to_owned(),
            folder: TempDir::new().unwrap(),
            servers: Vec::new(),
        };
        // Hosts of its own: while a node is down nobody else may take its port.
        let [a, b] = rand::random::<[u8; 2]>();
        for number in 0..NODES {
            let host = Ipv4Addr::new(127, a.max(1), b, 1 + number as u8);
            let server = nodes.launch(number).listen(SocketAddr::from((host, 0)));
            nodes.servers.push(server.start().await);
        }
        nodes.know_of(NODES).await;
        nodes
    }

    fn launch(&self, number: usize) -> Launch {
        let folder = self.folder.path().join(number.to_string());
        Launch::mechamap()
            .config(CONFIG)
            .argument("--broker")
            .argument(&self.url)
            .argument("--history")
            .argument(format!("file:{}", folder.display()))
    }

    /// Kills one, and waits until the others have noticed.
    pub(crate) async fn kill(&mut self, number: usize) {
        let server = &mut self.servers[number];
        server.kill();
        assert_eq!(server.exit(SOON).await, None);
        for other in (0..NODES).filter(|other| *other != number) {
            self.knows_of(other, NODES - 1).await;
        }
    }

    /// Starts one that was killed where it was and with what it had, and waits until all know of it.
    pub(crate) async fn start_again(&mut self, number: usize) {
        let address = self.servers[number].address();
        self.servers[number] = self.launch(number).listen(address).start().await;
        self.know_of(NODES).await;
    }

    pub(crate) async fn know_of(&self, count: usize) {
        for number in 0..self.servers.len() {
            self.knows_of(number, count).await;
        }
    }

    async fn knows_of(&self, number: usize, count: usize) {
        let what = format!("node {number} knows of {count} nodes");
        until(&what, PATIENCE, async || {
            (self.health(number).await["broker"]["nodes"] == count).then_some(())
        })
        .await;
    }

    /// Waits until the broker has all that was kept for it.
    pub(crate) async fn settle(&self) {
        for number in 0..NODES {
            let what = format!("node {number} has sent what it kept");
            until(&what, PATIENCE, async || {
                let is_well = self.health(number).await["status"] == "healthy";
                (is_well && self.spilled(number).await == 0.0).then_some(())
            })
            .await;
        }
    }

    pub(crate) async fn health(&self, number: usize) -> Value {
        self.servers[number].http().get("/health", &[]).await.json()
    }

    /// How many events a node has on disk because the broker is away.
    pub(crate) async fn spilled(&self, number: usize) -> f64 {
        self.servers[number].metric("fanfare_spilled_events").await
    }

    /// A user's connections that are meant to last, by their ids, with their transports. Every node is
    /// asked for its own: while the broker is away none can ask another.
    pub(crate) async fn lasting_connections(&self, user: u64) -> BTreeMap<String, String> {
        let path = format!("/users/{user}/connections");
        let mut lasting = BTreeMap::new();
        for server in &self.servers {
            let answer = server.ask(&path).await.json();
            for connection in answer["connections"].as_array().unwrap() {
                let field = |name: &str| connection[name].as_str().unwrap().to_owned();
                if field("transport") != "long_poll" {
                    lasting.insert(field("client"), field("transport"));
                }
            }
        }
        lasting
    }

    /// Publishes on the first node.
    pub(crate) async fn publish(&self, envelope: &Value) {
        self.servers[0].publish(envelope).await;
    }

    pub(crate) fn memory(&self) -> Vec<Option<Memory>> {
        self.servers.iter().map(Server::memory).collect()
    }

    pub(crate) fn addresses(&self) -> [SocketAddr; NODES] {
        [0, 1, 2].map(|number| self.servers[number].address())
    }
}
