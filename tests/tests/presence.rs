//! Who is there: lists, announcements, and the moment in which a lost connection may come back.

#![allow(clippy::unwrap_used, reason = "what a test cannot unwrap, it fails by")]

use std::time::{Duration, Instant};

use fanfare_tests::mechamap::urgent_comment;
use fanfare_tests::{Carrier, Client, Engine, EventStream, Request, SOON, Server, Token, until};
use serde_json::{Value, json};

const CHANNEL: &str = "thread.1";
const GRACE: Duration = Duration::from_secs(4);
const CONFIG: &str = "channels = { thread = { presence = { grace = 4 } } }";
/// How much earlier or later than asked for something may be found to be due.
const ABOUT: Duration = Duration::from_millis(1500);

async fn stream(server: &Server, user: u64) -> EventStream {
    let request = Request::get(server.address(), &format!("/sse?channel={CHANNEL}"));
    EventStream::open(request.token(&Token::of(user))).await
}

async fn socket_io(server: &Server, carrier: Carrier, user: u64) -> Engine {
    let mut engine = Engine::open(server.address(), carrier, "").await.unwrap();
    let auth = json!({ "token": Token::of(user).sign() });
    assert!(engine.introduce(&auth).await.unwrap()["sid"].is_string());
    let argument = json!({ "channel": CHANNEL, "follow": true });
    let joined = engine.call("join_channel", &argument).await.unwrap();
    assert_eq!(joined["success"], true, "{joined}");
    engine
}

/// A subscriber that is told who joins and leaves.
async fn watcher(server: &Server, user: u64) -> Client {
    let client = Client::connect(server, &Token::of(user)).await;
    let fields = json!({ "channel": CHANNEL, "join_leave": true });
    client.command("subscribe", fields).await.unwrap();
    client
}

/// What a watcher has been told, as `join 2` or `leave 2`.
fn notices(messages: &[fanfare_tests::client::Message]) -> Vec<String> {
    let lines = messages.iter().flat_map(|message| message.text.lines());
    let mut notices = Vec::new();
    for line in lines {
        let push = &serde_json::from_str::<Value>(line).unwrap()["push"];
        for what in ["join", "leave"] {
            if push[what].is_object() {
                assert_eq!(push["channel"], CHANNEL);
                let info = &push[what]["info"];
                assert!(info["client"].as_str().is_some_and(|id| !id.is_empty()));
                notices.push(format!("{what} {}", info["user"].as_str().unwrap()));
            }
        }
    }
    notices
}

/// Waits until a watcher has been told this, and nothing else.
async fn assert_told(watcher: &Client, wanted: &[&str]) {
    let what = format!("{wanted:?}");
    let told = watcher.wait(&what, SOON, |record| {
        let told = notices(&record.messages);
        (told.len() >= wanted.len()).then_some(told)
    });
    assert_eq!(told.await, wanted);
}

/// The users whom the server API lists, with as many entries as each has connections.
async fn present(server: &Server) -> (Vec<String>, u64) {
    let path = format!("/channels/{CHANNEL}/presence");
    let answer = server.ask(&path).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let presence = answer.json();
    let clients = presence["clients"].as_array().unwrap();
    let mut users = clients
        .iter()
        .map(|client| {
            assert!(client["client"].as_str().is_some_and(|id| !id.is_empty()));
            client["user"].as_str().unwrap().to_owned()
        })
        .collect::<Vec<_>>();
    users.sort();
    (users, presence["users"].as_u64().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everyone_is_listed_alike_whatever_they_ask_and_come_over() {
    let server = Server::configured(CONFIG).await;
    let first = Client::subscribed(&server, &Token::of(1), CHANNEL).await;
    let _again = Client::subscribed(&server, &Token::of(1), CHANNEL).await;
    let _stream = stream(&server, 2).await;
    let mut socket_io = [
        socket_io(&server, Carrier::WebSocket, 3).await,
        socket_io(&server, Carrier::Polling, 4).await,
    ];
    let _elsewhere = Client::subscribed(&server, &Token::of(5), "thread.2").await;

    let users = ["1", "1", "2", "3", "4"].map(str::to_owned).to_vec();
    assert_eq!(present(&server).await, (users.clone(), 4));

    let fields = json!({ "channel": CHANNEL });
    let reply = first.command("presence", fields.clone()).await.unwrap();
    let reply = serde_json::from_str::<Value>(reply.get()).unwrap();
    let clients = reply["presence"].as_object().unwrap();
    assert!(clients.iter().all(|(id, info)| info["client"] == **id));
    let listed = clients.values().map(|info| info["user"].as_str().unwrap());
    let mut listed = listed.collect::<Vec<_>>();
    listed.sort_unstable();
    assert_eq!(listed, users);

    let reply = first.command("presence_stats", fields).await.unwrap();
    let reply = serde_json::from_str::<Value>(reply.get()).unwrap();
    assert_eq!(reply, json!({ "num_clients": 5, "num_users": 4 }));

    for client in &mut socket_io {
        let reply = client.call("presence", &json!(CHANNEL)).await.unwrap();
        assert_eq!(
            (&reply["success"], &reply["users"]),
            (&json!(true), &json!(4))
        );
        let mut listed = reply["clients"].as_array().unwrap().clone();
        listed.sort_by_key(|client| client["user"].as_str().unwrap().to_owned());
        let listed = listed.iter().map(|client| client["user"].as_str().unwrap());
        assert!(listed.eq(users.iter().map(String::as_str)), "{reply}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_no_presence_is_kept_nobody_is_listed() {
    let server = Server::mechamap().await;
    let client = Client::subscribed(&server, &Token::of(1), "product.1").await;
    for command in ["presence", "presence_stats"] {
        let refused = client.command(command, json!({ "channel": "product.1" }));
        assert_eq!(refused.await.unwrap_err().code, 108, "{command}");
    }
    let answer = server.ask("/channels/product.1/presence").await;
    assert!(answer.status.is_client_error(), "{answer:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn joins_and_leaves_are_announced_to_those_who_asked() {
    let server = Server::configured(CONFIG).await;
    let watcher = watcher(&server, 1).await;
    let unasked = Client::subscribed(&server, &Token::of(2), CHANNEL).await;
    assert_told(&watcher, &["join 1", "join 2"]).await;
    let stream = stream(&server, 3).await;
    assert_told(&watcher, &["join 1", "join 2", "join 3"]).await;
    let mut follower = socket_io(&server, Carrier::WebSocket, 4).await;
    let all = ["join 1", "join 2", "join 3", "join 4"];
    assert_told(&watcher, &all).await;
    let (name, arguments) = follower.event().await.unwrap();
    assert_eq!(name, "user:online", "of itself");
    assert_eq!(arguments[0]["user"], "4");
    assert_eq!(arguments[0]["channel"], CHANNEL);

    let left = Instant::now();
    drop(stream);
    let (name, arguments) = follower.event().await.unwrap();
    assert_eq!(
        (&*name, &arguments[0]["user"]),
        ("user:offline", &json!("3"))
    );
    assert!(left.elapsed() + ABOUT > GRACE, "after {:?}", left.elapsed());
    assert_told(&watcher, &[&all[..], &["leave 3"]].concat()).await;
    assert_eq!(present(&server).await.1, 3);

    server.publish(&urgent_comment(1, 1)).await;
    unasked.pushes(1, SOON).await;
    let told = unasked.wait("messages", SOON, |record| Some(notices(&record.messages)));
    assert!(told.await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_comes_back_within_the_grace_was_never_away() {
    let server = Server::configured(CONFIG).await;
    let watcher = watcher(&server, 1).await;
    let websocket = Client::subscribed(&server, &Token::of(2), CHANNEL).await;
    let event_stream = stream(&server, 3).await;
    let engine = socket_io(&server, Carrier::WebSocket, 4).await;
    let all = ["join 1", "join 2", "join 3", "join 4"];
    assert_told(&watcher, &all).await;

    drop((websocket, event_stream, engine));
    until("the three connections are gone", SOON, async || {
        let health = server.http().get("/health", &[]).await.json();
        (health["metrics"]["connections"] == 1).then_some(())
    })
    .await;
    assert_eq!(present(&server).await.1, 4, "they still count");
    // Over another transport each.
    let _websocket = Client::subscribed(&server, &Token::of(3), CHANNEL).await;
    let _stream = stream(&server, 4).await;
    let _engine = socket_io(&server, Carrier::WebSocket, 2).await;
    assert_eq!(
        present(&server).await,
        (["1", "2", "3", "4"].map(str::to_owned).to_vec(), 4)
    );

    tokio::time::sleep(GRACE + ABOUT).await;
    let _last = Client::subscribed(&server, &Token::of(9), CHANNEL).await;
    assert_told(&watcher, &[&all[..], &["join 9"]].concat()).await;
    assert_eq!(present(&server).await.1, 5);
}
