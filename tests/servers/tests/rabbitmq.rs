//! RabbitMQ by its own protocol, through a kill.
#![allow(
    clippy::unwrap_used,
    reason = "a test ends where something unexpected comes"
)]

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use fanfare_test_servers::RabbitMq;

const METHOD: u8 = 1;
const HEADER: u8 = 2;
const BODY: u8 = 3;
const END: u8 = 0xCE;

const DURABLE: u8 = 2;
const PASSIVE: u8 = 1;

/// A connection of AMQP 0-9-1 with one open channel.
struct Client {
    stream: TcpStream,
}

impl Client {
    fn connect(server: &RabbitMq) -> Self {
        let mut client = Self {
            stream: TcpStream::connect(address(server)).unwrap(),
        };
        client
            .stream
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        client.stream.write_all(b"AMQP\0\0\x09\x01").unwrap();
        client.expect([10, 10]);
        let login = [
            &[0; 4][..],
            &short("PLAIN"),
            &long("\0guest\0guest"),
            &short("en_US"),
        ];
        client.method(0, [10, 11], &login.concat());
        client.expect([10, 30]);
        client.method(0, [10, 31], &[0, 1, 0, 2, 0, 0, 0, 0]);
        client.method(0, [10, 40], &[&short("/")[..], &[0, 0]].concat());
        client.expect([10, 41]);
        client.method(1, [20, 10], &[0]);
        client.expect([20, 11]);
        client
    }

    /// Declares a queue, and returns how many messages it holds.
    fn declare(&mut self, queue: &str, bits: u8) -> u32 {
        let arguments = [&[0, 0][..], &short(queue), &[bits], &[0; 4]].concat();
        self.method(1, [50, 10], &arguments);
        let answer = self.expect([50, 11]);
        let count = &answer[1 + queue.len()..][..4];
        u32::from_be_bytes(count.try_into().unwrap())
    }

    /// Publishes a persistent message to a queue, and waits for the confirm.
    fn publish(&mut self, queue: &str, body: &[u8]) {
        self.method(1, [85, 10], &[0]);
        self.expect([85, 11]);
        self.method(1, [60, 40], &[&[0, 0, 0][..], &short(queue), &[0]].concat());
        let length = u64::try_from(body.len()).unwrap().to_be_bytes();
        let delivery_mode_2 = [0x10, 0, 2];
        self.frame(
            HEADER,
            1,
            &[&[0, 60, 0, 0][..], &length, &delivery_mode_2].concat(),
        );
        self.frame(BODY, 1, body);
        self.expect([60, 80]);
    }

    fn method(&mut self, channel: u8, [class, method]: [u8; 2], arguments: &[u8]) {
        self.frame(
            METHOD,
            channel,
            &[&[0, class, 0, method], arguments].concat(),
        );
    }

    fn frame(&mut self, kind: u8, channel: u8, payload: &[u8]) {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        let frame = [&[kind, 0, channel][..], &length, payload, &[END]].concat();
        self.stream.write_all(&frame).unwrap();
    }

    /// The arguments of the method that has to come next.
    fn expect(&mut self, [class, method]: [u8; 2]) -> Vec<u8> {
        let mut header = [0; 7];
        self.stream.read_exact(&mut header).unwrap();
        let length = u32::from_be_bytes(header[3..].try_into().unwrap());
        let mut payload = vec![0; length as usize + 1];
        self.stream.read_exact(&mut payload).unwrap();
        assert_eq!(payload.pop(), Some(END));
        assert_eq!(header[0], METHOD);
        assert_eq!(payload[..4], [0, class, 0, method]);
        payload.split_off(4)
    }
}

fn address(server: &RabbitMq) -> String {
    let url = server.url();
    let address = url.strip_prefix("amqp://guest:guest@").unwrap();
    address.strip_suffix("/%2f").unwrap().to_owned()
}

fn short(text: &str) -> Vec<u8> {
    [&[u8::try_from(text.len()).unwrap()], text.as_bytes()].concat()
}

fn long(text: &str) -> Vec<u8> {
    [&[0, 0, 0], &short(text)[..]].concat()
}

#[tokio::test]
async fn a_confirmed_message_is_there_after_a_kill_on_the_same_port() {
    let mut rabbitmq = RabbitMq::start().await;
    let url = rabbitmq.url();
    let mut client = Client::connect(&rabbitmq);
    assert_eq!(client.declare("kept", DURABLE), 0);
    client.publish("kept", b"x");

    rabbitmq.kill().await;
    let refused = TcpStream::connect(address(&rabbitmq)).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    rabbitmq.start_again().await;

    assert_eq!(rabbitmq.url(), url);
    assert_eq!(Client::connect(&rabbitmq).declare("kept", PASSIVE), 1);
}

#[tokio::test]
async fn two_nodes_side_by_side_know_nothing_of_each_other() {
    let (one, other) = tokio::join!(RabbitMq::start(), RabbitMq::start());
    let mut client = Client::connect(&one);
    client.declare("here", DURABLE);
    client.publish("here", b"x");
    assert_eq!(client.declare("here", PASSIVE), 1);
    assert_eq!(Client::connect(&other).declare("here", DURABLE), 0);
}
