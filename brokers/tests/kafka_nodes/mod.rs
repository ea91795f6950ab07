//! Nodes and administrators of a Kafka, and another way into it.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fanfare::broker::{Broker, Covered};
use fanfare::testing::broker::{Recorder, Seen};
use fanfare::{Channel, Event, Stamp};
use fanfare_brokers::fan_out::kafka::Kafka;
use fanfare_test_servers::Kafka as KafkaServer;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::sleep;

pub(crate) fn broker(url: &str, cluster: &str) -> Kafka {
    Kafka::from_url(&format!("{url}?cluster={cluster}")).unwrap()
}

/// How long anything may take that must happen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A broker of a node, with a recorder in place of the node.
pub(crate) struct Node {
    pub(crate) broker: Kafka,
    pub(crate) seen: Arc<Recorder>,
}

impl Node {
    pub(crate) async fn start(url: &str, cluster: &str) -> Self {
        Self::attach(broker(url, cluster)).await
    }

    pub(crate) async fn attach(broker: Kafka) -> Self {
        let seen = Recorder::new();
        if let Err(error) = broker.start(seen.ingress()).await {
            panic!("{error:?}");
        }
        Self { broker, seen }
    }

    /// Publishes numbers, all at a time.
    pub(crate) async fn send(&self, channel: &str, numbers: RangeInclusive<u64>) {
        // What was sent before was confirmed.
        let settled = numbers.start() - 1;
        let sent = |number| after(settled, channel, number);
        let publishing = numbers.map(|number| self.broker.publish(sent(number)));
        for publishing in publishing.collect::<Vec<_>>() {
            publishing.await.unwrap();
        }
    }

    /// These numbers have come, once and in order, and no others.
    pub(crate) async fn saw(&self, channel: &str, numbers: RangeInclusive<u64>) {
        let expected = numbers.collect::<Vec<_>>();
        let until = Instant::now() + PATIENCE;
        loop {
            let seen = self.numbers(channel);
            if seen == expected {
                return;
            }
            assert!(Instant::now() < until, "{seen:?}");
            sleep(Duration::from_millis(10)).await;
        }
    }

    pub(crate) fn numbers(&self, channel: &str) -> Vec<u64> {
        let seen = self.seen.of(channel);
        let payload = |seen: &Seen| std::str::from_utf8(seen.event.payload()).unwrap().parse();
        seen.iter().map(|seen| payload(seen).unwrap()).collect()
    }

    pub(crate) fn offsets(&self, channel: &str) -> Vec<u64> {
        let seen = self.seen.of(channel);
        seen.iter()
            .map(|seen| seen.position.unwrap().offset)
            .collect()
    }

    pub(crate) fn covered(&self, channel: &str) -> Covered {
        self.broker
            .covered(&Channel::new(channel).unwrap())
            .unwrap()
    }

    pub(crate) async fn up(&self) {
        self.until("up", || self.broker.is_up()).await;
    }

    pub(crate) async fn down(&self) {
        self.until("down", || !self.broker.is_up()).await;
    }

    pub(crate) async fn until(&self, what: &str, reached: impl Fn() -> bool) {
        let until = Instant::now() + PATIENCE;
        while !reached() {
            assert!(Instant::now() < until, "not {what}: {:?}", self.broker);
            sleep(Duration::from_millis(10)).await;
        }
    }
}

/// An event of a run, as a node sends it before it knows of any that is written.
pub(crate) fn event(channel: &str, number: u64) -> Event {
    after(0, channel, number)
}

/// An event of a run, as a node would send it once it knows that those up to `settled` are written.
fn after(settled: u64, channel: &str, number: u64) -> Event {
    let channel = Channel::new(channel).unwrap();
    let origin = channel
        .as_str()
        .bytes()
        .fold(0, |sum, byte| sum * 31 + u64::from(byte));
    let event = Event::new(channel, "tested", number.to_string()).unwrap();
    event.stamped(Stamp {
        origin,
        number,
        settled,
    })
}

/// What administrators do.
pub(crate) struct Admin {
    client: AdminClient<DefaultClientContext>,
    producer: FutureProducer,
}

impl Admin {
    pub(crate) fn new(url: &str) -> Self {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", url.trim_start_matches("kafka://"));
        Self {
            client: config.create().unwrap(),
            producer: config.create().unwrap(),
        }
    }

    pub(crate) async fn create(&self, topic: &str, partitions: i32) {
        let topic = NewTopic::new(topic, partitions, TopicReplication::Fixed(1));
        let results = self
            .client
            .create_topics([&topic], &AdminOptions::new())
            .await;
        results.unwrap().pop().unwrap().unwrap();
    }

    pub(crate) async fn delete(&self, topic: &str) {
        let results = self
            .client
            .delete_topics(&[topic], &AdminOptions::new())
            .await;
        results.unwrap().pop().unwrap().unwrap();
    }

    /// Removes what has offsets of Kafka before this one.
    pub(crate) async fn trim(&self, topic: &str, partition: usize, before: i64) {
        let mut offsets = TopicPartitionList::new();
        let partition = i32::try_from(partition).unwrap();
        offsets
            .add_partition_offset(topic, partition, Offset::Offset(before))
            .unwrap();
        self.client
            .delete_records(&offsets, &AdminOptions::new())
            .await
            .unwrap();
    }

    pub(crate) async fn write(&self, topic: &str, partition: usize, record: &[u8]) {
        let partition = i32::try_from(partition).unwrap();
        let record = FutureRecord::<(), [u8]>::to(topic)
            .partition(partition)
            .payload(record);
        self.producer.send(record, PATIENCE).await.unwrap();
    }
}

/// One more way into a server, over a wire that can be cut.
pub(crate) struct Listener {
    outside: SocketAddr,
    cut: watch::Sender<bool>,
}

impl Listener {
    /// Starts the server again with one more listener, and whatever else is to stand in its properties.
    pub(crate) async fn add(server: &mut KafkaServer, protocol: &str, properties: &str) -> Self {
        // A server has four ports, of which Kafka takes two.
        let clients = server.url().replace("kafka://", "");
        let mut inside: SocketAddr = clients.parse().unwrap();
        inside.set_port(inside.port() + 2);
        let outside = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = outside.local_addr().unwrap();
        server.kill().await;
        let file = server.folder().join("server.properties");
        let text = std::fs::read_to_string(&file).unwrap();
        let plain = format!("PLAINTEXT://{clients}");
        let text = text.replace("\nlisteners=", &format!("\nlisteners=ADDED://{inside},"));
        let text = format!(
            "{text}advertised.listeners={plain},ADDED://{address}\n\
             listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,ADDED:{protocol}\n\
             {properties}"
        );
        std::fs::write(&file, text).unwrap();
        server.start_again().await;
        let cut = watch::Sender::new(false);
        let state = cut.subscribe();
        tokio::spawn(async move {
            while let Ok((outer, _)) = outside.accept().await {
                tokio::spawn(wire(outer, inside, state.clone()));
            }
        });
        Self {
            outside: address,
            cut,
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("kafka://{}", self.outside)
    }

    pub(crate) fn cut(&self) {
        self.cut.send_replace(true);
    }

    pub(crate) fn restore(&self) {
        self.cut.send_replace(false);
    }
}

async fn wire(mut outer: TcpStream, inside: SocketAddr, mut cut: watch::Receiver<bool>) {
    if *cut.borrow() {
        return;
    }
    let Ok(mut inner) = TcpStream::connect(inside).await else {
        return;
    };
    tokio::select! {
        _ = cut.wait_for(|cut| *cut) => {}
        _ = tokio::io::copy_bidirectional(&mut outer, &mut inner) => {}
    }
}
