//! Exactly once and in order over event streams and polls, however often the connection is cut, and
//! from one transport to the next.

#![allow(clippy::unwrap_used, reason = "what a test cannot unwrap, it fails by")]

use std::collections::BTreeMap;
use std::time::Duration;

use fanfare_tests::mechamap::{comment, comment_id, idle_comment, urgent_comment};
use fanfare_tests::{Client, EventStream, Poller, Position, Proxy, Request, Server, Token, poll};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::Value;
use tokio::time::{MissedTickBehavior, interval, timeout};

/// Windows so short that some cuts fall into one and some between two, and history for everything.
const CONFIG: &str = "
    linger = { medium = 0.1, low = 0.3 }
    limits = { connections_per_user = 1000 }
    history = { events = 10000 }
";
const WHOLE: Duration = Duration::from_secs(90);

/// What is published: comments 1 to `events`, in turn to each of the threads, at `rate` a second.
#[derive(Clone, Copy, Debug)]
struct Load {
    threads: u64,
    events: u64,
    rate: u64,
}

impl Load {
    async fn publish(self, server: &Server) {
        const BATCHES_PER_SECOND: u64 = 125;
        let batch = self.rate / BATCHES_PER_SECOND;
        let mut tick = interval(Duration::from_secs(1) / BATCHES_PER_SECOND as u32);
        tick.set_missed_tick_behavior(MissedTickBehavior::Burst);
        for first in (1..=self.events).step_by(batch as usize) {
            tick.tick().await;
            let comments = (first..first + batch).map(|id| {
                let thread = 1 + id % self.threads;
                match id % 5 {
                    0 | 1 => urgent_comment(thread, id),
                    2 | 3 => comment(thread, id),
                    _ => idle_comment(thread, id),
                }
            });
            server
                .publish(&Value::from(comments.collect::<Vec<_>>()))
                .await;
        }
    }

    fn channels(self) -> Vec<String> {
        (1..=self.threads)
            .map(|thread| format!("thread.{thread}"))
            .collect()
    }

    fn query(self) -> String {
        let channels = self.channels();
        channels
            .iter()
            .map(|channel| format!("&channel={channel}"))
            .collect()
    }
}

/// What a client has seen, across all its connections.
struct Seen {
    load: Load,
    /// The ids of each thread's comments, as they came.
    ids: BTreeMap<String, Vec<u64>>,
    count: u64,
}

impl Seen {
    fn of(load: Load) -> Self {
        Self {
            load,
            ids: BTreeMap::new(),
            count: 0,
        }
    }

    fn take(&mut self, envelope: &Value) {
        let channel = format!("thread.{}", envelope["data"]["thread"]["id"]);
        self.ids
            .entry(channel)
            .or_default()
            .push(comment_id(envelope));
        self.count += 1;
    }

    fn has_all(&self) -> bool {
        self.count >= self.load.events
    }

    fn assert_each_once_in_order(&self) {
        for thread in 1..=self.load.threads {
            let expected = (1..=self.load.events).filter(|id| 1 + id % self.load.threads == thread);
            let expected = expected.collect::<Vec<_>>();
            let seen = &self.ids[&format!("thread.{thread}")];
            let wrong = seen
                .iter()
                .zip(&expected)
                .position(|(seen, wanted)| seen != wanted);
            assert_eq!(wrong, None, "thread {thread}: {seen:?}");
            assert_eq!(seen.len(), expected.len(), "thread {thread}");
        }
    }
}

/// How many bytes pass before a cut: from the middle of the head to some hundred events later, each
/// scale as often.
fn until_cut(random: &mut StdRng) -> u64 {
    let scale = 1 << random.random_range(6..18);
    random.random_range(0..scale)
}

async fn assert_streams_survive_cuts(load: Load, seed: u64) {
    let server = Server::configured(CONFIG).await;
    let proxy = Proxy::to(server.address()).await;
    let mut random = StdRng::seed_from_u64(seed);
    let path = format!("/sse?{}", load.query());
    let ask = |address| Request::get(address, &path).token(&Token::of(7));
    let mut last_id = EventStream::open(ask(server.address())).await.last_id;
    let mut seen = Seen::of(load);
    let (mut streams, mut resumed) = (0, 0);
    let following = async {
        while !seen.has_all() {
            proxy.cut_after(until_cut(&mut random));
            let request = ask(proxy.address()).header("Last-Event-ID", &last_id);
            let Ok(mut stream) = EventStream::try_open(request).await else {
                continue;
            };
            streams += 1;
            let before = seen.count;
            while !seen.has_all()
                && let Ok(Some(block)) = stream.block().await
            {
                if block.data.is_some() {
                    assert!(block.is_message(), "{block:?}");
                    seen.take(&block.json());
                }
            }
            if !stream.last_id.is_empty() {
                last_id = stream.last_id;
            }
            resumed += u64::from(seen.count > before);
        }
    };
    timeout(WHOLE, async {
        tokio::join!(load.publish(&server), following)
    })
    .await
    .expect("the last event arrives in the end");
    seen.assert_each_once_in_order();
    assert!(
        streams >= 20 && resumed >= 10,
        "{streams} streams, {resumed} brought events"
    );
    let lost = server
        .metric("fanfare_recovered_total{result=\"not_recovered\"}")
        .await;
    assert_eq!(lost, 0.0);
    server.assert_healthy().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_of_one_channel_gets_every_event_once_in_order_across_cuts() {
    let load = Load {
        threads: 1,
        events: 2500,
        rate: 250,
    };
    assert_streams_survive_cuts(load, 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_of_three_channels_gets_every_event_once_in_order_across_cuts() {
    let load = Load {
        threads: 3,
        events: 2500,
        rate: 250,
    };
    assert_streams_survive_cuts(load, 2).await;
}

async fn assert_polls_survive_cuts(load: Load, wait: u64, seed: u64) {
    let server = Server::configured(CONFIG).await;
    let proxy = Proxy::to(server.address()).await;
    let mut random = StdRng::seed_from_u64(seed);
    let channels = load.channels();
    let channels = channels.iter().map(String::as_str).collect::<Vec<_>>();
    let first = Poller::of(server.address(), &Token::of(7), &channels)
        .poll(0)
        .await;
    let mut poller = Poller::of(proxy.address(), &Token::of(7), &channels);
    poller.cursor = Some(first.cursor);
    let mut seen = Seen::of(load);
    let (mut answers, mut cuts) = (0, 0);
    let polling = async {
        while !seen.has_all() {
            if random.random_range(0..3) == 0 {
                proxy.cut_after(until_cut(&mut random));
            }
            let Ok(polled) = poller.try_poll(wait).await else {
                cuts += 1;
                continue;
            };
            answers += 1;
            assert!(polled.recovered);
            for event in &polled.events {
                seen.take(&event.json());
            }
        }
    };
    timeout(WHOLE, async {
        tokio::join!(load.publish(&server), polling)
    })
    .await
    .expect("the last event arrives in the end");
    seen.assert_each_once_in_order();
    assert!(answers >= 20 && cuts >= 5, "{answers} answers, {cuts} cuts");
    server.assert_healthy().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn polls_that_wait_get_every_event_once_in_order_across_cuts() {
    let load = Load {
        threads: 1,
        events: 4000,
        rate: 500,
    };
    Box::pin(assert_polls_survive_cuts(load, 25, 3)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn polls_that_do_not_wait_get_every_event_once_in_order_across_cuts() {
    let load = Load {
        threads: 1,
        events: 4000,
        rate: 500,
    };
    Box::pin(assert_polls_survive_cuts(load, 0, 4)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn polls_of_three_channels_get_every_event_once_in_order_across_cuts() {
    let load = Load {
        threads: 3,
        events: 4000,
        rate: 500,
    };
    Box::pin(assert_polls_survive_cuts(load, 25, 5)).await;
}

/// A client that goes from the WebSocket to an event stream, to polls, and back, all over again.
struct Wanderer<'a> {
    server: &'a Server,
    load: Load,
    positions: BTreeMap<String, Position>,
    seen: Seen,
    random: StdRng,
}

impl Wanderer<'_> {
    /// How many events it takes before it goes on.
    fn stay(&mut self) -> u64 {
        self.seen.count + self.random.random_range(0..150)
    }

    async fn websocket(&mut self) {
        let until = self.stay();
        let client = Client::connect(self.server, &Token::of(7)).await;
        for channel in self.load.channels() {
            let position = self.positions[&channel].clone();
            let subscribed = client.recover(&channel, &position).await.unwrap();
            assert!(subscribed.recovered, "{subscribed:?}");
            for publication in &subscribed.publications {
                self.seen.take(&publication.json());
            }
            let newest = subscribed.publications.last().and_then(|p| p.offset);
            let position = self.positions.get_mut(&channel).unwrap();
            position.offset = newest.unwrap_or(position.offset);
        }
        let mut taken = 0;
        while self.seen.count < until && !self.seen.has_all() {
            let pushes = client.pushes(taken + 1, WHOLE).await;
            for push in &pushes[taken..] {
                self.seen.take(&push.json());
                let position = self.positions.get_mut(&push.channel).unwrap();
                position.offset = push.offset().unwrap();
            }
            taken = pushes.len();
        }
    }

    async fn stream(&mut self) -> String {
        let until = self.stay();
        let positions = self.positions.iter();
        let query = positions.map(|(channel, Position { epoch, offset })| {
            format!("&channel={channel}&since={epoch}:{offset}")
        });
        let path = format!("/sse?{}", query.collect::<String>());
        let request = Request::get(self.server.address(), &path).token(&Token::of(7));
        let mut stream = EventStream::open(request).await;
        while self.seen.count < until && !self.seen.has_all() {
            self.seen.take(&stream.message().await.json());
        }
        stream.last_id
    }

    async fn polls(&mut self, last_id: &str) {
        let path = format!("/poll?wait=1{}", self.load.query());
        let request = Request::get(self.server.address(), &path).token(&Token::of(7));
        let first = poll::answer(request.header("Last-Event-ID", last_id))
            .await
            .unwrap();
        let channels = self.load.channels();
        let channels = channels.iter().map(String::as_str).collect::<Vec<_>>();
        let mut poller = Poller::of(self.server.address(), &Token::of(7), &channels);
        poller.cursor = Some(first.cursor.clone());
        let second = poller.poll(1).await;
        for polled in [&first, &second] {
            assert!(polled.recovered, "{polled:?}");
            for event in &polled.events {
                self.seen.take(&event.json());
            }
        }
        self.positions = second.positions;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn from_one_transport_to_the_next_every_event_comes_once_in_order() {
    let load = Load {
        threads: 2,
        events: 2500,
        rate: 250,
    };
    let server = Server::configured(CONFIG).await;
    let channels = load.channels();
    let channels = channels.iter().map(String::as_str).collect::<Vec<_>>();
    let start = Poller::of(server.address(), &Token::of(7), &channels)
        .poll(0)
        .await;
    let mut wanderer = Wanderer {
        server: &server,
        load,
        positions: start.positions,
        seen: Seen::of(load),
        random: StdRng::seed_from_u64(6),
    };
    let mut rounds = 0;
    let wandering = async {
        while !wanderer.seen.has_all() {
            wanderer.websocket().await;
            let last_id = wanderer.stream().await;
            wanderer.polls(&last_id).await;
            rounds += 1;
        }
    };
    timeout(WHOLE, async {
        tokio::join!(load.publish(&server), wandering)
    })
    .await
    .expect("the last event arrives in the end");
    wanderer.seen.assert_each_once_in_order();
    assert!(rounds >= 5, "{rounds} rounds");
}
