//! Whatever a client says, reading it does not panic, what is read can be said and read again, and
//! a session answers every command once, in order, with a line of JSON.

#![no_main]

use std::collections::BTreeMap;
use std::io::{self, IoSlice};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use bytes::BytesMut;
use fanfare::codec::centrifuge::Centrifuge;
use fanfare::codec::{Command, Request, Since};
use fanfare::config::Rate;
use fanfare::{
    AuthError, Authenticator, BoxFuture, Channel, Codec, Config, DirectWrite, Disconnect, Event,
    Framing, Handshake, Identity, Node, Opening, Priority, Session,
};
use fanfare_examples::mechamap::MechaMap;
use fanfare_examples::platform::Platform;
use libfuzzer_sys::fuzz_target;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use tokio::runtime::{Builder, Runtime};
use tokio::task::yield_now;

/// One node for all runs. A session leaves nothing behind there: what clients may publish is
/// ephemeral.
static STAGE: LazyLock<(Runtime, Node)> = LazyLock::new(|| {
    let runtime = Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime starts");
    let node = runtime.block_on(node());
    (runtime, node)
});

const GREETING: &[u8] = br#"{"id":1,"connect":{}}{"id":2,"subscribe":{"channel":"thread.2"}}"#;

fuzz_target!(|data: &[u8]| {
    let requests = Centrifuge.decode(data);
    if let Ok(requests) = &requests {
        let said = say(requests);
        let again = Centrifuge
            .decode(said.as_bytes())
            .expect("what was read can be said");
        assert_eq!(say(&again), said);
    }
    let ids = requests.map(|requests| {
        requests
            .iter()
            .map(|request| request.id)
            .collect::<Vec<_>>()
    });
    let (runtime, node) = &*STAGE;
    runtime.block_on(converse(node, data, &ids));
});

async fn node() -> Node {
    let mut config = Config::default();
    config.limits.events_per_user = None;
    config.limits.events_per_channel = None;
    config.limits.events_per_node = None;
    config.limits.events_per_session = Some(Rate {
        events: 2,
        per: Duration::from_secs(1),
    });
    let node = Node::builder()
        .config(config)
        .catalog(MechaMap::catalog())
        .authorizer(MechaMap::authorizer())
        .authenticator(ByName)
        .start()
        .await
        .expect("the numbers fit each other");
    for id in 1..=3 {
        let channel = Channel::new("thread.1").expect("the name is a channel name");
        let event = Event::new(channel, "forum.comment.created", format!("{{\"id\":{id}}}"));
        let event = event
            .expect("the payload is JSON")
            .with_priority(Priority::High);
        node.publish(event).await.expect("the node takes events");
    }
    node
}

async fn converse(node: &Node, message: &[u8], ids: &Result<Vec<u32>, Disconnect>) {
    for greeting in [None, Some(GREETING)] {
        let (mut session, wire) = open(node);
        if let Some(greeting) = greeting {
            Box::pin(session.receive(greeting))
                .await
                .expect("the greeting is in order");
            assert_eq!(check(&wire.take()), [1, 2]);
        }
        let outcome = Box::pin(session.receive(message)).await;
        // Fan-out gets its turn, and whatever it pushes is looked at as well.
        for _ in 0..4 {
            yield_now().await;
        }
        let answered = check(&wire.take());
        match ids {
            Err(disconnect) => {
                assert_eq!(outcome.as_ref(), Err(disconnect));
                assert!(answered.is_empty());
            }
            Ok(ids) => {
                let expected = ids
                    .iter()
                    .copied()
                    .filter(|&id| id != 0)
                    .collect::<Vec<_>>();
                assert!(
                    expected.starts_with(&answered),
                    "{expected:?} are answered by {answered:?}"
                );
                assert!(
                    outcome.is_err() || expected == answered,
                    "{expected:?} are answered by {answered:?}"
                );
            }
        }
    }
}

/// Looks at every line, and says which commands were answered.
fn check(wire: &str) -> Vec<u32> {
    let mut answered = Vec::new();
    for line in wire.lines() {
        let members = serde_json::from_str::<BTreeMap<String, &RawValue>>(line);
        let members = members.unwrap_or_else(|error| panic!("{error}: {line}"));
        let names = members.keys().map(String::as_str).collect::<Vec<_>>();
        match names[..] {
            ["push"] => {}
            ["connect" | "error" | "history", "id"]
            | [
                "id",
                "ping" | "publish" | "refresh" | "subscribe" | "unsubscribe",
            ] => {
                answered
                    .push(serde_json::from_str(members["id"].get()).expect("an id is a number"));
            }
            _ => panic!("{line}"),
        }
    }
    answered
}

/// The requests as a client would write them.
fn say(requests: &[Request]) -> String {
    let lines = requests.iter().map(|Request { id, command }| {
        let (name, arguments) = match command {
            Command::Connect(connect) => {
                let subs = connect
                    .positions
                    .iter()
                    .map(|(channel, since)| (channel, position(since)));
                let subs = subs.collect::<BTreeMap<_, _>>();
                (
                    "connect",
                    json!({"token": connect.token.clone().unwrap_or_default(), "subs": subs}),
                )
            }
            Command::Subscribe(subscribe) => {
                let mut arguments = subscribe
                    .recover
                    .as_ref()
                    .map_or_else(|| json!({}), position);
                arguments["channel"] = subscribe.channel.clone().into();
                ("subscribe", arguments)
            }
            Command::Unsubscribe { channel } => ("unsubscribe", json!({"channel": channel})),
            Command::Publish { channel, data } => {
                let channel = Value::from(channel.clone());
                // As text: the data's numbers may be larger than any that a value can hold.
                return format!(r#"{{"id":{id},"publish":{{"channel":{channel},"data":{data}}}}}"#);
            }
            Command::History {
                channel,
                limit,
                since,
                reverse,
            } => {
                let limit = limit.map_or(-1, |limit| limit as i64);
                let since = since.as_ref().map(position);
                (
                    "history",
                    json!({"channel": channel, "limit": limit, "since": since, "reverse": reverse}),
                )
            }
            Command::Presence { channel } => ("presence", json!({"channel": channel})),
            Command::PresenceStats { channel } => ("presence_stats", json!({"channel": channel})),
            Command::Refresh { token } => ("refresh", json!({"token": token})),
            Command::Ping => ("ping", json!({})),
            Command::Pong => return "{}".to_owned(),
            Command::Unsupported => ("rpc", json!({})),
            other => panic!("{other:?}"),
        };
        format!(r#"{{"id":{id},"{name}":{arguments}}}"#)
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn position(since: &Since) -> Value {
    json!({"recover": true, "epoch": since.epoch, "offset": since.offset})
}

fn open(node: &Node) -> (Session, Wire) {
    let wire = Wire::default();
    let session = node.open(Opening {
        transport: "websocket",
        codec: Arc::new(Centrifuge),
        framing: Arc::new(Lines),
        handshake: Handshake::default(),
        identity: None,
        channels: Vec::new(),
        own_channel: false,
        session: None,
    });
    let session = session.expect("the node has room");
    session.outbound().lend(wire.clone());
    (session, wire)
}

/// What was written to a client.
#[derive(Clone, Default)]
struct Wire(Arc<Mutex<Vec<u8>>>);

impl Wire {
    fn take(&self) -> String {
        let bytes = std::mem::take(&mut *self.0.lock().expect("nothing panics that holds it"));
        String::from_utf8(bytes).expect("lines are UTF-8")
    }
}

impl DirectWrite for Wire {
    fn try_write(&self, frames: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut wire = self.0.lock().expect("nothing panics that holds it");
        frames
            .iter()
            .for_each(|frame| wire.extend_from_slice(frame));
        Ok(frames.iter().map(|frame| frame.len()).sum())
    }
}

/// Each message with a line end behind it.
#[derive(Debug)]
struct Lines;

impl Framing for Lines {
    fn name(&self) -> &'static str {
        "lines"
    }

    fn frame(&self, message: &[u8], out: &mut BytesMut) {
        out.extend_from_slice(message);
        out.extend_from_slice(b"\n");
    }
}

/// Believes every name, and who brings none is user 1. Everyone is in one conversation.
#[derive(Debug)]
struct ByName;

impl Authenticator for ByName {
    fn authenticate<'a>(
        &'a self,
        token: Option<&'a str>,
        _handshake: &'a Handshake,
    ) -> BoxFuture<'a, Result<Identity, AuthError>> {
        let result = match token.unwrap_or("1") {
            "expired" => Err(AuthError::Expired),
            "busy" => Err(AuthError::Unavailable("busy".into())),
            name => Identity::new(name).map(|mut identity| {
                identity.channels.extend(Channel::new("conversation.1"));
                identity
            }),
        };
        Box::pin(std::future::ready(result))
    }
}
