//! What the tests of brokers have in common.

#![allow(dead_code, reason = "each test binary takes what it needs")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use fanfare::broker::Broker;
use fanfare::testing::broker::{Recorder, Server};
use fanfare::{BoxFuture, Channel, Event};
use fanfare_test_servers::Nats;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Mutex, watch};

pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) fn event(number: u64) -> Event {
    let channel = Channel::new("thread.1").unwrap();
    Event::new(channel, "e", number.to_string()).unwrap()
}

pub(crate) fn numbers(recorder: &Recorder) -> Vec<u64> {
    let payload = |event: &Event| std::str::from_utf8(event.payload()).unwrap().parse();
    let seen = recorder.of("thread.1");
    seen.iter()
        .map(|seen| payload(&seen.event).unwrap())
        .collect()
}

pub(crate) async fn until(what: &str, mut holds: impl FnMut() -> bool) -> Duration {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < PATIENCE, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    began.elapsed()
}

pub(crate) async fn started<B: Broker>(broker: B) -> (B, Arc<Recorder>) {
    let recorder = Recorder::new();
    broker.start(recorder.ingress()).await.unwrap();
    (broker, recorder)
}

pub(crate) fn sentence(error: &dyn std::error::Error) -> String {
    let source = error.source().map(ToString::to_string);
    format!("{error}: {}", source.unwrap_or_default())
}

/// A server for the kit.
pub(crate) struct Outage(Mutex<Nats>);

impl Outage {
    pub(crate) fn of(server: Nats) -> Self {
        Self(Mutex::new(server))
    }
}

impl Server for Outage {
    fn kill(&self) -> BoxFuture<'_, ()> {
        Box::pin(async { self.0.lock().await.kill().await })
    }

    fn start(&self) -> BoxFuture<'_, ()> {
        Box::pin(async { self.0.lock().await.start_again().await })
    }
}

/// A way to a server that can be closed.
pub(crate) struct Gate {
    pub(crate) port: u16,
    open: watch::Sender<bool>,
    connections: watch::Sender<u64>,
}

impl Gate {
    pub(crate) async fn to(server: &str) -> Self {
        let server = server.trim_start_matches("nats://").to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let open = watch::Sender::new(true);
        let connections = watch::Sender::new(0);
        let (gate, generation) = (open.subscribe(), connections.subscribe());
        tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                let (mut gate, server) = (gate.clone(), server.clone());
                let mut generation = generation.clone();
                let mine = *generation.borrow();
                tokio::spawn(async move {
                    if !*gate.borrow() {
                        return;
                    }
                    let mut far = TcpStream::connect(server).await.unwrap();
                    tokio::select! {
                        _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
                        _ = gate.wait_for(|open| !open) => {}
                        _ = generation.wait_for(|now| *now != mine) => {}
                    }
                });
            }
        });
        Self {
            port,
            open,
            connections,
        }
    }

    pub(crate) fn close(&self) {
        self.open.send_replace(false);
    }

    pub(crate) fn open(&self) {
        self.open.send_replace(true);
    }

    /// Ends the connections that there are.
    pub(crate) fn blink(&self) {
        self.connections.send_modify(|generation| *generation += 1);
    }
}
