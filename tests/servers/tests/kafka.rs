//! Kafka by its own protocol, through a kill.
#![allow(
    clippy::unwrap_used,
    reason = "a test ends where something unexpected comes"
)]

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use fanfare_test_servers::Kafka;

const PRODUCE: i16 = 0;
const LIST_OFFSETS: i16 = 2;
const CREATE_TOPICS: i16 = 19;

/// A connection of Kafka's protocol.
struct Client {
    stream: TcpStream,
}

impl Client {
    fn connect(server: &Kafka) -> Self {
        let stream = TcpStream::connect(address(server)).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        Self { stream }
    }

    /// Creates a topic with one partition.
    fn create(&mut self, topic: &str) {
        let counts = [&1_i32.to_be_bytes()[..], &1_i16.to_be_bytes(), &[0; 8]].concat();
        let timeout = 10_000_i32.to_be_bytes();
        let request = [&one()[..], &text(topic), &counts, &timeout].concat();
        let answer = self.ask(CREATE_TOPICS, 0, &request);
        assert_eq!(answer, [&one()[..], &text(topic), &[0, 0]].concat());
    }

    /// Produces a record to a topic's first partition, and returns its offset.
    fn produce(&mut self, topic: &str, value: &[u8]) -> i64 {
        let message = [&[0, 0][..], &(-1_i32).to_be_bytes(), &bytes(value)].concat();
        let message = [&crc32(&message).to_be_bytes()[..], &message].concat();
        let set = [&[0; 8][..], &bytes(&message)].concat();
        let settings = [&1_i16.to_be_bytes()[..], &10_000_i32.to_be_bytes()].concat();
        let request = [&settings[..], &partition(topic), &bytes(&set)].concat();
        let answer = self.ask_leader(PRODUCE, 0, topic, &request);
        i64::from_be_bytes(answer[..8].try_into().unwrap())
    }

    /// The offset that the next record of a topic's first partition will get.
    fn end(&mut self, topic: &str) -> i64 {
        let (client, latest) = ((-1_i32).to_be_bytes(), (-1_i64).to_be_bytes());
        let request = [&client[..], &partition(topic), &latest].concat();
        let answer = self.ask_leader(LIST_OFFSETS, 1, topic, &request);
        i64::from_be_bytes(answer[8..].try_into().unwrap())
    }

    /// Asks about a topic's first partition until the broker leads it, and returns what follows the code of
    /// the error, which is none.
    fn ask_leader(&mut self, api: i16, version: i16, topic: &str, request: &[u8]) -> Vec<u8> {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let answer = self.ask(api, version, request);
            let rest = answer.strip_prefix(&partition(topic)[..]).unwrap();
            match i16::from_be_bytes(rest[..2].try_into().unwrap()) {
                0 => return rest[2..].to_vec(),
                // Unknown topic, no leader, not the leader: not yet.
                3 | 5 | 6 if Instant::now() < deadline => thread::sleep(Duration::from_millis(20)),
                error => panic!("{topic}: error {error}"),
            }
        }
    }

    fn ask(&mut self, api: i16, version: i16, request: &[u8]) -> Vec<u8> {
        let correlation = 7_i32.to_be_bytes();
        let kind = [api.to_be_bytes(), version.to_be_bytes()].concat();
        let request = [&kind[..], &correlation, &text("test"), request].concat();
        self.stream.write_all(&bytes(&request)).unwrap();
        let mut length = [0; 4];
        self.stream.read_exact(&mut length).unwrap();
        let mut answer = vec![0; u32::from_be_bytes(length) as usize];
        self.stream.read_exact(&mut answer).unwrap();
        answer.strip_prefix(&correlation).unwrap().to_vec()
    }
}

fn address(server: &Kafka) -> String {
    server.url().strip_prefix("kafka://").unwrap().to_owned()
}

/// The length of an array of one.
fn one() -> [u8; 4] {
    1_i32.to_be_bytes()
}

/// One topic with its first partition.
fn partition(topic: &str) -> Vec<u8> {
    [&one()[..], &text(topic), &one(), &[0; 4]].concat()
}

fn text(text: &str) -> Vec<u8> {
    let length = i16::try_from(text.len()).unwrap().to_be_bytes();
    [&length[..], text.as_bytes()].concat()
}

fn bytes(bytes: &[u8]) -> Vec<u8> {
    let length = i32::try_from(bytes.len()).unwrap().to_be_bytes();
    [&length[..], bytes].concat()
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ (0xEDB8_8320 & (crc & 1).wrapping_neg())
        })
    })
}

#[tokio::test]
async fn an_acknowledged_record_is_there_after_a_kill_on_the_same_port() {
    let mut kafka = Kafka::start().await;
    let url = kafka.url();
    let mut client = Client::connect(&kafka);
    client.create("kept");
    assert_eq!(client.produce("kept", b"one"), 0);
    assert_eq!(client.produce("kept", b"two"), 1);

    kafka.kill().await;
    let refused = TcpStream::connect(address(&kafka)).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    kafka.start_again().await;

    assert_eq!(kafka.url(), url);
    let mut client = Client::connect(&kafka);
    assert_eq!(client.end("kept"), 2);
    assert_eq!(client.produce("kept", b"three"), 2);
}

#[tokio::test]
async fn two_brokers_side_by_side_know_nothing_of_each_other() {
    let (one, other) = tokio::join!(Kafka::start(), Kafka::start());
    for server in [one, other] {
        let mut client = Client::connect(&server);
        client.create("here");
        assert_eq!(client.produce("here", b"x"), 0);
    }
}
