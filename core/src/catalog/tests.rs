use garde::Validate;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::*;
use crate::auth::Identity;

#[derive(Deserialize, JsonSchema, Validate)]
struct Comment {
    #[garde(dive)]
    thread: Thread,
    #[garde(length(min = 1))]
    content: String,
    #[serde(deserialize_with = "nullable")]
    #[garde(inner(range(min = 1)))]
    parent_id: Option<u64>,
    #[garde(inner(length(min = 1)))]
    #[serde(default)]
    tags: Vec<String>,
}

#[derive(Deserialize, JsonSchema, Validate)]
struct Thread {
    #[garde(range(min = 1))]
    id: u64,
}

impl TypedEvent for Comment {
    const NAME: &'static str = "comment";
    const PRIORITY: Priority = Priority::Medium;
    const CHANNELS: &'static [&'static str] = &["thread.{id}"];

    fn channel_id(&self, _envelope: &EnvelopeFields<'_>) -> Option<String> {
        Some(self.thread.id.to_string())
    }

    fn conflation_key(&self) -> Option<String> {
        Some(self.content.clone())
    }
}

#[derive(Deserialize, JsonSchema, Validate)]
struct Typing {
    #[garde(range(min = 1))]
    user: u64,
}

impl TypedEvent for Typing {
    const NAME: &'static str = "typing";
    const PRIORITY: Priority = Priority::High;
    const CHANNELS: &'static [&'static str] = &["thread.{id}"];
    const FROM_CLIENTS: bool = true;

    fn author(&self) -> Option<String> {
        Some(self.user.to_string())
    }
}

#[derive(Deserialize, JsonSchema, Validate)]
struct Anything(#[garde(skip)] serde_json::Map<String, Value>);

impl TypedEvent for Anything {
    const NAME: &'static str = "anything";
    const PRIORITY: Priority = Priority::Low;
    const CHANNELS: &'static [&'static str] = &[];

    fn conflation_key(&self) -> Option<String> {
        self.0.get("key").map(Value::to_string)
    }
}

fn catalog() -> Catalog {
    let number = |json: &str| {
        json.parse::<u64>()
            .map(|_| ())
            .map_err(|_| "is not a number".to_owned())
    };
    let envelope = Envelope::new("event", "data", "channel", "priority")
        .id("id")
        .user("user_id")
        .optional("user_id", number)
        .filled("id", |_| Ok(()), |fill| format!("\"{}\"", fill.id))
        .filled("source", |_| Ok(()), |_| "\"test\"".to_owned());
    let is_number = |id: &str| id.parse::<u64>().is_ok();
    Catalog::new(envelope, &["thread.{id}", "user.{id}", "global"], is_number)
        .with::<Comment>()
        .with::<Typing>()
        .with::<Anything>()
}

fn read(body: &str) -> Result<Vec<Admitted>, Error> {
    catalog().read_from_server(body.as_bytes(), &Limits::default())
}

fn problems(body: &Value) -> Vec<(String, String)> {
    let error = read(&body.to_string()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidEvent, "{error}");
    error
        .problems()
        .iter()
        .map(|p| (p.path.clone(), p.problem.clone()))
        .collect()
}

fn paths(body: &Value) -> Vec<String> {
    problems(body).into_iter().map(|(path, _)| path).collect()
}

fn comment() -> Value {
    json!({"event": "comment", "data": {"thread": {"id": 4}, "content": "x", "parent_id": null}})
}

#[test]
fn what_was_sent_stays_and_the_rest_stands_behind_it() {
    let sent = "{ \"data\": {\"thread\": {\"id\": 4, \"extra\": 1.50},\n \"content\": \"a b\", \"parent_id\": null},\t\"event\":\"comment\" }";
    let [admitted] = &read(sent).unwrap()[..] else {
        panic!("one event")
    };
    let expected = format!(
        "{{\"data\":{{\"thread\":{{\"id\":4,\"extra\":1.50}},\"content\":\"a b\",\"parent_id\":null}},\"event\":\"comment\",\
         \"channel\":\"thread.4\",\"priority\":\"medium\",\"id\":\"{}\",\"source\":\"test\"}}",
        admitted.id
    );
    assert_eq!(admitted.event.payload(), &expected);
    assert_eq!(admitted.event.channel().as_str(), "thread.4");
    assert_eq!(admitted.event.name(), "comment");
    assert_eq!(
        admitted.event.conflation_key().map(|key| &**key),
        Some("comment|a b")
    );
}

#[test]
fn explicit_values_win() {
    let mut body = comment();
    body["channel"] = "thread.4".into();
    body["priority"] = "high".into();
    body["id"] = "mine".into();
    body["source"] = "me".into();
    let [admitted] = &read(&body.to_string()).unwrap()[..] else {
        panic!("one event")
    };
    assert_eq!(admitted.event.payload(), &body.to_string());
    assert_eq!(admitted.event.priority(), Priority::High);
    assert_eq!(admitted.id, "mine");
}

#[test]
fn problems_name_their_path() {
    let with = |pointer: &str, value: Value| {
        let mut body = comment();
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        body.pointer_mut(parent).unwrap()[name] = value;
        body
    };
    let cases = [
        (json!({"data": {}}), "event"),
        (json!({"event": "comment"}), "data"),
        (json!({"event": "unknown", "data": {}}), "event"),
        (with("/event", json!(1)), "event"),
        (with("/prority", json!("high")), "prority"),
        (with("/priority", json!("urgent")), "priority"),
        (with("/user_id", json!("x")), "user_id"),
        (with("/channel", json!("thread.5")), "channel"),
        (with("/channel", json!("user.4")), "channel"),
        (with("/channel", json!("thread..4")), "channel"),
        (with("/channel", Value::Null), "channel"),
        (with("/data/content", json!("")), "data.content"),
        (with("/data/content", json!(1)), "data.content"),
        (with("/data/thread/id", json!(0)), "data.thread.id"),
        (with("/data/thread/id", json!(-1)), "data.thread.id"),
        (with("/data/thread", json!({})), "data.thread.id"),
        (with("/data/parent_id", json!(0)), "data.parent_id"),
        (with("/data/tags", json!(["a", ""])), "data.tags[1]"),
        (with("/data/tags", json!(["a", 1])), "data.tags[1]"),
        (with("/data", json!([])), "data"),
        (
            json!({"event": "comment", "data": {"thread": {"id": 4}, "content": "x"}}),
            "data.parent_id",
        ),
        (json!({"event": "typing", "data": {"user": 1}}), "channel"),
        (json!({"event": "anything", "data": {}}), "channel"),
        (
            json!({"event": "anything", "data": {}, "channel": "room.1"}),
            "channel",
        ),
        (
            json!({"event": "anything", "data": 1, "channel": "global"}),
            "data",
        ),
    ];
    for (body, path) in cases {
        assert_eq!(paths(&body), [path], "{body}");
    }
}

#[test]
fn every_problem_of_a_batch_is_named() {
    let body = json!([comment(), {"event": "nope", "data": {}}, {"event": "comment", "data": {}}]);
    assert_eq!(paths(&body), ["[1].event", "[2].data.thread"]);
}

#[test]
fn names_that_stand_twice_are_refused() {
    let error = read(r#"{"event":"comment","event":"comment","data":{}}"#).unwrap_err();
    assert_eq!(error.problems()[0], Problem::new("event", "stands twice"));
}

#[test]
fn json_that_is_no_envelope_is_a_bad_request() {
    let too_many = Value::from(vec![comment(); 1_001]).to_string();
    for body in [
        "", "nope", "null", "1", "\"x\"", "[]", "[[]]", "[1]", "{} {}", &too_many,
    ] {
        let kind = read(body).map(|_| ()).unwrap_err().kind();
        assert_eq!(kind, ErrorKind::BadRequest, "{:.20}", body);
    }
    let mut large = comment();
    large["data"]["content"] = "x".repeat(64 << 10).into();
    assert_eq!(
        read(&large.to_string()).map(|_| ()).unwrap_err().kind(),
        ErrorKind::TooLarge
    );
}

fn from_client(user: &str, channel: Option<&str>, data: &Value) -> Result<Event, ErrorKind> {
    let identity = Identity::new(user).unwrap();
    let channel = channel.map(|name| Channel::new(name).unwrap());
    let raw = serde_json::value::to_raw_value(data).unwrap();
    catalog()
        .read_from_client(&identity, channel.as_ref(), &raw)
        .map_err(|error| error.kind())
}

#[test]
fn clients_speak_for_themselves_and_only_what_they_may() {
    let typing = json!({"event": "typing", "data": {"user": 7}});
    let event = from_client("7", Some("thread.4"), &typing).unwrap();
    let payload = serde_json::from_slice::<Value>(event.payload()).unwrap();
    assert_eq!(payload["user_id"], 7);
    assert_eq!(payload["channel"], "thread.4");
    assert_eq!(
        from_client("8", Some("thread.4"), &typing).unwrap_err(),
        ErrorKind::PermissionDenied
    );
    assert_eq!(
        from_client("7", Some("thread.4"), &comment()).unwrap_err(),
        ErrorKind::PermissionDenied
    );
    let elsewhere = json!({"event": "typing", "channel": "thread.5", "data": {"user": 7}});
    assert!(from_client("7", None, &elsewhere).is_ok());
    for (channel, data) in [
        (Some("thread.4"), elsewhere),
        (None, typing),
        (
            Some("user.4"),
            json!({"event": "typing", "data": {"user": 7}}),
        ),
        (Some("thread.4"), json!({"event": "unknown", "data": {}})),
        (
            Some("thread.4"),
            json!({"event": "typing", "data": {"user": 7}, "priority": "low"}),
        ),
        (Some("thread.4"), json!({"event": "typing"})),
        (Some("thread.4"), json!("typing")),
    ] {
        assert_eq!(
            from_client("7", channel, &data).unwrap_err(),
            ErrorKind::InvalidEvent,
            "{data}"
        );
    }
}
