//! The whole way: from `POST /publish` through Kafka to the services, and what those say back to the
//! user's screen.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use fanfare_examples::aiw3::consumers::{ANALYTICS_GROUP, AUDIT_GROUP, NOTIFICATIONS_GROUP};
use fanfare_examples::aiw3::topics::{ANALYTICS, NOTIFICATIONS, OPERATIONS};
use fanfare_examples::tokens::token;
use fanfare_test_servers::Kafka as Server;
use http::Request;
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::{sleep, timeout};

use super::program::{IN_TIME, Program, ids, trail, until};
use super::{FIXTURES, dead_letters, engine, records};

const SECRET: &str = "the round trip's secret";
/// What a server puts before the ids of the records that it writes.
const OWN: &str = "fanfare:";
/// Longer than a medium event may wait.
const QUIET: Duration = Duration::from_secs(3);

/// The architecture document's events, and two of the guide's: one that only services keep a record of
/// beside the user's clients, and one of which users are told.
fn envelopes() -> Vec<Value> {
    let envelopes = FIXTURES
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    let envelopes = envelopes.filter(|envelope| {
        let of_guide = ["maintenance_scheduled", "badge_earned"];
        envelope.get("eventId").is_some()
            || of_guide.iter().any(|name| envelope["eventType"] == **name)
    });
    let envelopes = envelopes.map(|mut envelope| {
        for object in ["", "/data"] {
            let object = envelope.pointer_mut(object).unwrap();
            object["internalId"] = json!("row 5");
            object["systemMetadata"] = json!({"host": "nft-1", "internalId": 7});
        }
        envelope
    });
    envelopes.collect()
}

/// What clients may see of an envelope.
fn shown(envelope: &Value) -> Value {
    let mut shown = envelope.clone();
    for object in ["", "/data"] {
        let object = shown.pointer_mut(object).unwrap().as_object_mut().unwrap();
        object.retain(|name, _| name != "internalId" && name != "systemMetadata");
    }
    shown
}

fn id(envelope: &Value) -> String {
    let id = envelope.get("messageId").or(envelope.get("eventId"));
    id.unwrap().as_str().unwrap().to_owned()
}

/// An event stream.
struct Stream {
    body: Incoming,
    bytes: Vec<u8>,
}

impl Stream {
    async fn open(address: &str) -> Self {
        let token = token(SECRET, "12345", &[]).unwrap();
        let client = Client::builder(TokioExecutor::new()).build_http::<Empty<Bytes>>();
        let request = Request::get(format!("{address}/sse?channel=user.12345"))
            .header("authorization", format!("Bearer {token}"))
            .body(Empty::new())
            .unwrap();
        let response = client.request(request).await.unwrap();
        assert_eq!(response.status(), 200);
        Self {
            body: response.into_body(),
            bytes: Vec::new(),
        }
    }

    /// The next message; none where nothing comes for so long.
    async fn message(&mut self, within: Duration) -> Option<Value> {
        loop {
            while let Some(end) = self.bytes.windows(2).position(|two| two == b"\n\n") {
                let block = self.bytes.drain(..end + 2).collect();
                let block = String::from_utf8(block).unwrap();
                let data = block.lines().find_map(|line| line.strip_prefix("data: "));
                if let Some(data) = data {
                    return Some(serde_json::from_str(data).unwrap());
                }
            }
            let frame = timeout(within, self.body.frame()).await.ok()?;
            let data = frame.expect("no end").unwrap().into_data().unwrap();
            self.bytes.extend_from_slice(&data);
        }
    }
}

async fn publish(address: &str, envelopes: &[Value]) {
    let client = Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>();
    let body = serde_json::to_vec(envelopes).unwrap();
    let request = Request::post(format!("{address}/publish"))
        .header("authorization", "Bearer k")
        .body(Full::from(body))
        .unwrap();
    let response = client.request(request).await.unwrap();
    let status = response.status();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(status, 200, "{body:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_published_is_counted_kept_and_told_once_each() {
    let kafka = Server::start().await;
    let folder = TempDir::new().unwrap();
    let audit = folder.path().join("audit.jsonl");
    let arguments = ["--listen", "127.0.0.1:0", "--api-key", "k"];
    let url = kafka.url();
    let more = ["--jwt-secret", SECRET, "--topics", &url];
    let program = env!("CARGO_BIN_EXE_aiw3");
    let mut server = Program::start(program, &[&arguments[..], &more].concat());
    let address = server.line("listening on ").await;
    let to_server = ["--server", &*address, "--api-key", "k"];
    let mut consumers = Program::consumers(&url, &audit, &to_server).await;
    let mut stream = Stream::open(&address).await;
    let welcome = stream.message(IN_TIME).await.unwrap();
    assert_eq!(welcome["type"], "connection_established");

    let envelopes = envelopes();
    assert_eq!(envelopes.len(), 10);
    publish(&address, &envelopes).await;
    let of_topic = |topic: &str| {
        let envelopes = envelopes.iter().filter(move |envelope| {
            let records = records(&envelope.to_string());
            records.iter().any(|record| record.topic == topic)
        });
        envelopes.collect::<Vec<_>>()
    };
    let (analyzed, notified, kept) = (
        of_topic(ANALYTICS),
        of_topic(NOTIFICATIONS),
        of_topic(OPERATIONS),
    );
    assert_eq!((analyzed.len(), notified.len(), kept.len()), (5, 2, 5));

    // The user's screen: what is for users, and what the services say of it.
    let of_others = [
        "nft_minted",
        "nft_burned",
        "nft_unlock_failed",
        "volume_milestone_reached",
    ];
    let for_user = envelopes
        .iter()
        .filter(|envelope| !of_others.iter().any(|name| envelope["eventType"] == **name));
    let mut expected = for_user
        .map(|envelope| (id(envelope), shown(envelope)))
        .collect::<BTreeMap<_, _>>();
    let mut told = notified
        .iter()
        .map(|envelope| (format!("notification_{OWN}{}", id(envelope)), *envelope))
        .collect::<BTreeMap<_, _>>();
    let told_ids = told.keys().cloned().collect::<Vec<_>>();
    while !expected.is_empty() || !told.is_empty() {
        let message = stream.message(IN_TIME).await.expect("more messages");
        let text = message.to_string();
        assert!(
            !text.contains("internalId") && !text.contains("systemMetadata"),
            "{text}"
        );
        if let Some(of) = told.remove(&id(&message)) {
            assert_eq!(message["eventType"], "chat_message");
            assert_eq!(message["userId"], 12345);
            assert_eq!(message["data"]["title"], "Badge Earned!");
            assert_eq!(message["data"]["data"], shown(of)["data"]);
        } else {
            let expected = expected.remove(&id(&message));
            assert_eq!(Some(&message), expected.as_ref(), "nothing else, and once");
        }
    }

    // The services: each record once, as it was published. Notifications are operations as well.
    let mut expected = kept
        .iter()
        .map(|envelope| format!("{OWN}{}", id(envelope)))
        .chain(told_ids.iter().map(|id| format!("{OWN}{id}")))
        .collect::<Vec<_>>();
    expected.sort();
    until("every operation", async || {
        (trail(&audit).len() >= expected.len()).then_some(())
    })
    .await;
    until("every event", async || {
        let counts = consumers.said("analytics").pop()?;
        let counted = counts["users"]["12345"].as_u64();
        (counted >= Some(analyzed.len() as u64)).then_some(())
    })
    .await;
    assert_eq!(stream.message(QUIET).await, None, "each once");
    sleep(QUIET).await;
    assert_eq!(consumers.stop().await, Some(0));
    let trail = trail(&audit);
    let mut found = ids(&trail);
    found.sort();
    assert_eq!(found, expected);
    for envelope in &kept {
        let own = format!("{OWN}{}", id(envelope));
        let line = trail.iter().find(|line| line["id"] == *own).unwrap();
        assert_eq!(line["event"], **envelope, "with what is internal");
    }
    let names = analyzed.iter().map(|envelope| &envelope["eventType"]);
    let names = names.map(|name| name.as_str().unwrap());
    let counts = names.map(|name| (name, 1)).collect::<BTreeMap<_, _>>();
    assert_eq!(counts.len(), analyzed.len());
    let users = json!({"12345": analyzed.len()});
    assert_eq!(
        consumers.said("analytics").pop().unwrap(),
        json!({"events": counts, "users": users})
    );
    assert_eq!(consumers.said("notification"), [] as [Value; 0]);

    let engine = engine(&url).await;
    for (topic, group) in [
        (ANALYTICS, ANALYTICS_GROUP),
        (NOTIFICATIONS, NOTIFICATIONS_GROUP),
        (OPERATIONS, AUDIT_GROUP),
    ] {
        assert_eq!(dead_letters(&*engine, topic, group).await, [], "{group}");
    }
    engine.shutdown().await;
    assert_eq!(server.stop().await, Some(0));
}
