//! Several nodes as one, over a bus within the process: what does not need a server to be shown.

#![allow(clippy::unwrap_used, reason = "a suite, not a library")]

mod bus;
mod common;

use std::time::Duration;

use bus::Bus;
use common::{Client, builder, channel, event};
use fanfare::codec::Since;
use fanfare::config::{ChannelPolicy, PresencePolicy};
use fanfare::{Config, Disconnect, ErrorKind, Guarantee, Node, Priority};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, timeout};

/// Signs of life, and some time for what they set off.
const MOMENT: Duration = Duration::from_millis(1_500);

fn config() -> Config {
    let mut config = Config::default();
    config.heartbeat.ping = Duration::from_secs(24 * 60 * 60);
    let policy = ChannelPolicy {
        presence: Some(PresencePolicy::default()),
        ..ChannelPolicy::default()
    };
    config.channels.insert("thread".to_owned(), policy);
    config
}

async fn start(bus: &Bus) -> Node {
    builder(config())
        .broker(bus.attach("a"))
        .start()
        .await
        .unwrap()
}

async fn three(bus: &Bus) -> [Node; 3] {
    let nodes = [start(bus).await, start(bus).await, start(bus).await];
    sleep(MOMENT).await;
    assert_eq!(nodes.each_ref().map(Node::nodes), [3; 3]);
    nodes
}

async fn publish(node: &Node, number: u64) {
    let event = event("thread.1", number).with_priority(Priority::High);
    node.publish(event).await.unwrap();
}

/// The numbers of the next publications, and the last offset.
async fn read(client: &mut Client, count: usize) -> (Vec<u64>, u64) {
    let mut numbers = Vec::new();
    let mut offset = 0;
    while numbers.len() < count {
        let message = timeout(Duration::from_secs(5), client.message()).await;
        for line in message.expect("a publication").unwrap() {
            if let Some(publication) = line.pointer("/push/pub") {
                numbers.push(publication["data"].as_u64().unwrap());
                offset = publication["offset"].as_u64().unwrap();
            }
        }
    }
    (numbers, offset)
}

fn publications(subscribed: &Value) -> Vec<u64> {
    let publications = subscribed["publications"].as_array();
    let publications = publications.into_iter().flatten();
    publications.map(|p| p["data"].as_u64().unwrap()).collect()
}

async fn recover(client: &mut Client, epoch: &Value, offset: u64) -> Value {
    let fields = json!({"channel": "thread.1", "recover": true, "epoch": epoch, "offset": offset});
    client.command(json!({ "subscribe": fields })).await["subscribe"].clone()
}

#[tokio::test(start_paused = true)]
async fn all_nodes_show_the_same_events_at_the_same_positions() {
    let bus = Bus::default();
    let nodes = three(&bus).await;
    let mut clients = Vec::new();
    let mut epochs = Vec::new();
    for node in &nodes {
        let mut client = Client::connected(node, "1").await;
        epochs.push(client.subscribe("thread.1").await["epoch"].clone());
        clients.push(client);
    }
    assert!(epochs.windows(2).all(|pair| pair[0] == pair[1]));
    for number in 0..30 {
        publish(&nodes[usize::try_from(number % 3).unwrap()], number).await;
        // Other channels stand in the same log, so that offsets have holes.
        nodes[0].publish(event("thread.2", number)).await.unwrap();
    }
    let mut ends = Vec::new();
    for client in &mut clients {
        let (numbers, offset) = read(client, 30).await;
        assert_eq!(numbers, (0..30).collect::<Vec<_>>());
        ends.push(offset);
    }
    assert_eq!(ends, [59; 3]);
}

#[tokio::test(start_paused = true)]
async fn a_position_of_one_node_resumes_on_another() {
    let bus = Bus::default();
    let nodes = three(&bus).await;
    let mut client = Client::connected(&nodes[0], "1").await;
    let epoch = client.subscribe("thread.1").await["epoch"].clone();
    for number in 0..10 {
        publish(&nodes[1], number).await;
        nodes[2].publish(event("thread.2", number)).await.unwrap();
    }
    let (_, offset) = read(&mut client, 4).await;
    drop(client);
    let late = start(&bus).await;
    let mut resumed = Vec::new();
    for node in [&nodes[1], &nodes[2], &late] {
        let mut client = Client::connected(node, "1").await;
        let subscribed = recover(&mut client, &epoch, offset).await;
        assert_eq!(subscribed["recovered"], true, "{subscribed}");
        let missed = publications(&subscribed);
        assert_eq!(missed.last(), Some(&9));
        assert_eq!(
            missed.len(),
            usize::try_from(10 - offset.div_ceil(2)).unwrap()
        );
        resumed.push(client);
        let since = Since {
            epoch: epoch.as_str().unwrap().to_owned(),
            offset,
        };
        let name = channel("thread.1");
        let history = node.history(&name, Some(&since), 100, false);
        let (page, _) = Box::pin(history).await.unwrap();
        assert_eq!(page.len(), missed.len());
    }
    publish(&nodes[0], 10).await;
    for client in &mut resumed {
        assert_eq!(read(client, 1).await.0, [10]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_that_is_behind_catches_up_before_it_answers() {
    let bus = Bus::default();
    let ahead = start(&bus).await;
    let link = bus.attach("a");
    let behind = link.behind.clone();
    let node = builder(config()).broker(link).start().await.unwrap();
    let mut client = Client::connected(&ahead, "1").await;
    let epoch = client.subscribe("thread.1").await["epoch"].clone();
    publish(&ahead, 0).await;
    behind.send_replace(true);
    publish(&ahead, 1).await;
    let (_, offset) = read(&mut client, 2).await;
    let release = async {
        sleep(Duration::from_secs(1)).await;
        behind.send_replace(false);
    };
    let resuming = async {
        let mut client = Client::connected(&node, "2").await;
        let begun = Instant::now();
        let subscribed = recover(&mut client, &epoch, offset).await;
        assert!(begun.elapsed() >= Duration::from_secs(1));
        assert_eq!(subscribed["recovered"], true, "{subscribed}");
        assert_eq!(publications(&subscribed), [0; 0]);
        client
    };
    let (mut client, ()) = tokio::join!(Box::pin(resuming), release);
    publish(&ahead, 2).await;
    assert_eq!(
        read(&mut client, 1).await.0,
        [2],
        "and nothing a second time"
    );
    // What waits here for its flush and was shown there is not shown here again, either.
    let medium = event("thread.1", 3).with_priority(Priority::Medium);
    ahead.publish(medium).await.unwrap();
    let mut other = Client::connected(&node, "3").await;
    let subscribed = recover(&mut other, &epoch, offset + 2).await;
    assert_eq!(
        (&subscribed["recovered"], publications(&subscribed)),
        (&json!(true), vec![])
    );
    publish(&ahead, 4).await;
    assert_eq!(read(&mut other, 1).await.0, [4]);
    // A position that no node has given out is refused for now, not believed.
    let mut liar = Client::connected(&node, "4").await;
    let fields = json!({"channel": "thread.1", "recover": true, "epoch": epoch, "offset": 99});
    let refused = liar.command(json!({ "subscribe": fields })).await;
    assert!(
        refused["error"]["temporary"].as_bool().unwrap_or(false),
        "{refused}"
    );
}

#[tokio::test(start_paused = true)]
async fn what_a_late_node_has_not_read_is_honestly_not_recovered() {
    let bus = Bus::default();
    let first = start(&bus).await;
    let mut client = Client::connected(&first, "1").await;
    let epoch = client.subscribe("thread.1").await["epoch"].clone();
    for number in 0..10 {
        publish(&first, number).await;
    }
    read(&mut client, 10).await;
    let late = builder(config())
        .broker(bus.attach_back("a", 4))
        .start()
        .await
        .unwrap();
    for (offset, recovered) in [(5, false), (6, true), (9, true)] {
        let mut client = Client::connected(&late, "1").await;
        let subscribed = recover(&mut client, &epoch, offset).await;
        assert_eq!(
            subscribed["recovered"].as_bool().unwrap_or(false),
            recovered,
            "{offset}"
        );
        let missed = if recovered { 10 - offset } else { 0 };
        assert_eq!(publications(&subscribed).len() as u64, missed);
    }
    let (newest, _) = late
        .history(&channel("thread.1"), None, 2, true)
        .await
        .unwrap();
    let offsets = newest.iter().map(|p| p.position().unwrap().offset);
    assert_eq!(offsets.collect::<Vec<_>>(), [10, 9]);
}

fn present(node: &Node) -> Vec<String> {
    let members = node.presence(&channel("thread.1")).unwrap();
    let mut users = members
        .iter()
        .map(|m| m.user.to_string())
        .collect::<Vec<_>>();
    users.sort();
    users
}

async fn told(client: &mut Client) -> Vec<String> {
    let mut told = Vec::new();
    while let Ok(message) = timeout(Duration::from_millis(100), client.message()).await {
        for line in message.unwrap() {
            for (what, sign) in [("join", '+'), ("leave", '-')] {
                if let Some(user) = line.pointer(&format!("/push/{what}/info/user")) {
                    told.push(format!("{sign}{}", user.as_str().unwrap()));
                }
            }
        }
    }
    told
}

#[tokio::test(start_paused = true)]
async fn presence_is_that_of_all_nodes() {
    let bus = Bus::default();
    let [a, b, c] = three(&bus).await;
    let mut follower = Client::connected(&a, "1").await;
    let subscribe = json!({"channel": "thread.1", "join_leave": true});
    follower.command(json!({ "subscribe": subscribe })).await;
    told(&mut follower).await;
    let mut second = Client::connected(&b, "2").await;
    second.subscribe("thread.1").await;
    assert_eq!(told(&mut follower).await, ["+2"]);
    assert_eq!(
        [present(&a), present(&b), present(&c)],
        [(); 3].map(|()| vec!["1", "2"])
    );
    // A node that comes later learns of all.
    let late = start(&bus).await;
    sleep(MOMENT).await;
    assert_eq!(present(&late), ["1", "2"]);
    // Moving to another node is neither leave nor join.
    let mut moved = Client::connected(&c, "2").await;
    drop(second);
    // Two nodes' words have no order among each other: the way to the other node takes longer.
    sleep(MOMENT).await;
    moved.subscribe("thread.1").await;
    sleep(Duration::from_secs(15)).await;
    assert_eq!(told(&mut follower).await, [""; 0]);
    // A node that is gone without a word takes its clients with it, after their grace.
    let mut third = Client::connected(&b, "3").await;
    third.subscribe("thread.1").await;
    assert_eq!(told(&mut follower).await, ["+3"]);
    drop((third, b));
    sleep(Duration::from_secs(20)).await;
    assert_eq!(told(&mut follower).await, ["-3"]);
    assert_eq!(
        [present(&a), present(&late)],
        [(); 2].map(|()| vec!["1", "2"])
    );
    assert_eq!(a.nodes(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_user_has_so_many_connections_on_all_nodes() {
    let bus = Bus::default();
    let [a, b, c] = three(&bus).await;
    let mut held = Vec::new();
    for node in [&a, &a, &b, &b, &c] {
        held.push(Client::connected(node, "1").await);
    }
    sleep(Duration::from_millis(100)).await;
    for node in [&a, &b, &c] {
        let mut sixth = Client::open(node);
        let connect = br#"{"id":1,"connect":{"token":"1"}}"#;
        let refused = Box::pin(sixth.session.receive(connect)).await;
        assert_eq!(refused.unwrap_err(), Disconnect::CONNECTION_LIMIT);
        let refused = node.has_room_for("1").await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::LimitExceeded);
        assert_eq!(node.connections_of("1").await.len(), 5);
    }
    // Those of a node that has just ended do not keep its user out.
    held.drain(2..4);
    drop(b);
    let begun = Instant::now();
    held.push(Client::connected(&a, "1").await);
    assert!(
        begun.elapsed() <= Duration::from_secs(2),
        "{:?}",
        begun.elapsed()
    );
    let ended = c
        .disconnect_user("1", &Disconnect::FORCE_NO_RECONNECT)
        .await;
    assert_eq!(ended, 4);
    for client in &mut held {
        let end = loop {
            if let Err(end) = client.message().await {
                break end;
            }
        };
        assert_eq!(end, Disconnect::FORCE_NO_RECONNECT);
    }
}

#[tokio::test(start_paused = true)]
async fn two_nodes_that_both_let_in_the_last_agree_on_who_goes() {
    let bus = Bus::default();
    let [a, b, _c] = three(&bus).await;
    let mut held = Vec::new();
    for _ in 0..4 {
        held.push(Client::connected(&a, "1").await);
    }
    sleep(Duration::from_millis(100)).await;
    // Neither has heard of the other's.
    let (mine, yours) = tokio::join!(
        Box::pin(Client::connected(&a, "1")),
        Box::pin(Client::connected(&b, "1"))
    );
    held.extend([mine, yours]);
    sleep(Duration::from_millis(100)).await;
    let mut ended = 0;
    for client in &mut held {
        if let Ok(end) = timeout(Duration::from_millis(100), client.message()).await {
            assert_eq!(end.unwrap_err(), Disconnect::CONNECTION_LIMIT);
            ended += 1;
        }
    }
    assert_eq!(ended, 1);
}

#[tokio::test(start_paused = true)]
async fn channels_are_counted_over_all_nodes() {
    let bus = Bus::default();
    let [a, b, c] = three(&bus).await;
    let mut held = Vec::new();
    for (node, names) in [(&a, &["thread.1"][..]), (&b, &["thread.1", "thread.2"])] {
        let mut client = Client::connected(node, "1").await;
        for name in names {
            client.subscribe(name).await;
        }
        held.push(client);
    }
    let mut channels = c.channels().await;
    channels.sort();
    assert_eq!(
        channels,
        [(channel("thread.1"), 2), (channel("thread.2"), 1)]
    );
    drop(a);
    held.remove(0);
    let begun = Instant::now();
    assert_eq!(c.channels().await.len(), 2);
    assert!(begun.elapsed() <= Duration::from_secs(2));
}

#[tokio::test(start_paused = true)]
async fn while_the_broker_is_away_clients_stay_and_publishers_are_told() {
    let bus = Bus::default();
    let [a, b, c] = three(&bus).await;
    let mut client = Client::connected(&a, "1").await;
    client.subscribe("thread.1").await;
    bus.set_down("a", true);
    let refused = a.publish(event("thread.1", 0)).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unavailable);
    assert!(refused.retry_delay().is_some());
    assert!(!a.broker_is_up());
    // What is live only reaches at least those who are here.
    let typing = event("thread.1", 1).with_guarantee(Guarantee::Ephemeral);
    a.publish(typing.with_priority(Priority::High))
        .await
        .unwrap();
    let message = client.message().await.unwrap();
    assert_eq!(message[0]["push"]["pub"]["data"], 1);
    sleep(Duration::from_secs(30)).await;
    assert_eq!(
        [a.nodes(), b.nodes(), c.nodes()],
        [3; 3],
        "nobody was heard, nobody is gone"
    );
    bus.set_down("a", false);
    sleep(Duration::from_secs(1)).await;
    assert!(a.broker_is_up());
    publish(&a, 2).await;
    // The refused one was under way, and may have come.
    let (numbers, _) = read(&mut client, 1).await;
    assert!(numbers == [2] || numbers == [0], "{numbers:?}");
}
