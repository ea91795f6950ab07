//! A node with a sink, its HTTP side, and the clients that listen to it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use fanfare::auth::jwt::JwtKey;
use fanfare::history::disk::Disk;
use fanfare::{Channel, Config, Event, ForServices, Node, NodeBuilder, Priority, Record};
use fanfare_brokers::services::{Engine, engine_from_url};
use fanfare_tests::server::JWT_SECRET;
use fanfare_tests::{EventStream, Http, Request, Token, until};
use fanfare_transports::{Server, Service};
use serde_json::Value;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

pub(crate) const ORDERS: &str = "orders.created";
pub(crate) const AUDIT: &str = "audit.all";
/// Events go to them in turn, by their ids.
pub(crate) const CHANNELS: u64 = 5;

pub(crate) fn channel(id: u64) -> Channel {
    Channel::new(&format!("shop.{}", id % CHANNELS)).unwrap()
}

pub(crate) fn event(id: u64) -> Event {
    let event = Event::new(channel(id), "order", format!(r#"{{"id":{id}}}"#)).unwrap();
    event.with_priority(Priority::High)
}

pub(crate) fn services(id: u64, topics: &'static [&'static str]) -> ForServices {
    ForServices {
        id: id.to_string(),
        topics,
        payload: None,
        only: false,
    }
}

pub(crate) async fn connect(url: &str) -> Arc<dyn Engine> {
    Box::pin(engine_from_url(url)).await.unwrap()
}

/// Records of each key are in the order of their ids.
pub(crate) fn assert_in_order(records: &[Record]) {
    let mut keys = BTreeMap::<&str, Vec<u64>>::new();
    for record in records {
        let ids = keys.entry(&record.key).or_default();
        ids.push(record.id.parse().unwrap());
    }
    for (key, ids) in keys {
        let wrong = ids.windows(2).find(|pair| pair[0] >= pair[1]);
        assert_eq!(wrong, None, "of {key}");
    }
}

pub(crate) struct Site {
    pub(crate) node: Node,
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<()>,
}

impl Site {
    /// A node whose history is in a folder, if there is one, and in memory otherwise.
    pub(crate) async fn start(
        engine: Arc<dyn Engine>,
        folder: Option<&Path>,
        change: impl FnOnce(&mut Config),
    ) -> Self {
        Self::build(Node::builder().sink(engine), folder, change).await
    }

    pub(crate) async fn without_sink() -> Self {
        Self::build(Node::builder(), None, |_| {}).await
    }

    pub(crate) async fn build(
        mut node: NodeBuilder,
        folder: Option<&Path>,
        change: impl FnOnce(&mut Config),
    ) -> Self {
        let mut config = Config::default();
        change(&mut config);
        if let Some(folder) = folder {
            let folder = folder.to_owned();
            let disk = tokio::task::spawn_blocking(move || Disk::open(folder));
            node = node.history(disk.await.unwrap().unwrap());
        }
        let key = JwtKey::Hs256(JWT_SECRET.as_bytes());
        let node = node.config(config).jwt(key).unwrap();
        let node = Box::pin(node.start()).await.unwrap();
        let service = Service::builder(node.clone()).build();
        let server = Server::bind(([127, 0, 0, 1], 0).into(), service).await;
        let server = server.unwrap();
        let address = server.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let serving = tokio::spawn(server.serve(async {
            let _ = stopped.await;
        }));
        Self {
            node,
            address,
            stop,
            serving,
        }
    }

    /// Ends in order, as on SIGTERM.
    pub(crate) async fn end(self) {
        self.stop.send(()).unwrap();
        self.serving.await.unwrap();
    }

    pub(crate) async fn health(&self) -> Value {
        Http::new(self.address).get("/health", &[]).await.json()
    }

    pub(crate) async fn status(&self, path: &str) -> u16 {
        let answer = Http::new(self.address).get(path, &[]).await;
        answer.status.as_u16()
    }

    /// A client of all channels.
    pub(crate) async fn listen(&self) -> Client {
        let channels = (0..CHANNELS).map(|id| format!("channel={}", channel(id)));
        let path = format!("/sse?{}", channels.collect::<Vec<_>>().join("&"));
        let mut stream =
            EventStream::open(Request::get(self.address, &path).token(&Token::of(7))).await;
        let seen = Arc::<Mutex<Vec<(u64, Instant)>>>::default();
        let arrivals = seen.clone();
        let reading = tokio::spawn(async move {
            while let Ok(Some(event)) = stream.event().await {
                let id = event.json()["id"].as_u64().unwrap();
                arrivals.lock().unwrap().push((id, Instant::now()));
            }
        });
        Client { seen, reading }
    }
}

/// A client over SSE, and what came to it.
pub(crate) struct Client {
    seen: Arc<Mutex<Vec<(u64, Instant)>>>,
    reading: JoinHandle<()>,
}

impl Client {
    /// What came, by id: once, and in the order of its channel.
    pub(crate) fn arrivals(&self) -> BTreeMap<u64, Instant> {
        let seen = self.seen.lock().unwrap();
        for of in 0..CHANNELS {
            let ids = seen.iter().map(|(id, _)| *id);
            let ids = ids.filter(|id| id % CHANNELS == of).collect::<Vec<_>>();
            let wrong = ids.windows(2).find(|pair| pair[0] >= pair[1]);
            assert_eq!(wrong, None, "of channel {of}");
        }
        seen.iter().copied().collect()
    }

    /// What came, once all of these have.
    pub(crate) async fn until_all(&self, expected: Vec<u64>, within: Duration) -> Vec<u64> {
        until("clients have it all", within, async || {
            let arrivals = self.arrivals();
            let all = expected.iter().all(|id| arrivals.contains_key(id));
            all.then(|| arrivals.into_keys().collect())
        })
        .await
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.reading.abort();
    }
}
