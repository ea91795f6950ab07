use garde::Validate;
use jiff::SignedDuration;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::Instant;

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
    #[garde(skip)]
    #[serde(default)]
    until: Option<Timestamp>,
}

impl TypedEvent for Typing {
    const NAME: &'static str = "typing";
    const PRIORITY: Priority = Priority::High;
    const CHANNELS: &'static [&'static str] = &["thread.{id}"];
    const FROM_CLIENTS: bool = true;

    fn expires_at(&self) -> Option<SystemTime> {
        self.until.as_ref().map(Timestamp::system_time)
    }

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
    let envelope = Envelope::new("event", "data")
        .channel("channel")
        .priority("priority")
        .id("id")
        .user("user_id")
        .optional::<u64>("user_id")
        .filled::<String>("id", |fill| format!("\"{}\"", fill.id))
        .filled::<String>("source", |_| "\"test\"".to_owned());
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
    assert_eq!(admitted.events[0].payload(), &expected);
    assert_eq!(admitted.events[0].channel().as_str(), "thread.4");
    assert_eq!(admitted.events[0].name(), "comment");
    assert_eq!(
        admitted.events[0].conflation_key().map(|key| &**key),
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
    assert_eq!(admitted.events[0].payload(), &body.to_string());
    assert_eq!(admitted.events[0].priority(), Priority::High);
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

#[test]
fn an_event_expires_when_its_data_says_so() {
    let left = |until: Value| {
        let data = json!({"event": "typing", "data": {"user": 7, "until": until}});
        let event = from_client("7", Some("thread.4"), &data).unwrap();
        event.expires_at().map(|at| at - Instant::now())
    };
    let soon = format!(
        "{}",
        jiff::Timestamp::now() + SignedDuration::from_secs(100)
    );
    let left_till_then = left(soon.into()).unwrap().as_secs();
    assert!((98..=100).contains(&left_till_then), "{left_till_then}");
    assert_eq!(left(Value::Null), None);
    // What was over when it was published is told all the same.
    assert_eq!(left("2025-07-17T10:31:00Z".into()), None);
}

/// A platform whose events come in two envelopes, and whose fields have other names than the types'.
mod two_envelopes {
    use super::*;

    #[derive(Deserialize, JsonSchema, Validate)]
    #[serde(rename_all = "camelCase")]
    struct Unlocked {
        #[garde(range(min = 1, max = 10))]
        nft_level: u8,
        #[garde(dive)]
        #[serde(default)]
        next_steps: Vec<Step>,
        #[garde(length(min = 1))]
        r#type: String,
    }

    #[derive(Deserialize, JsonSchema, Validate)]
    #[serde(rename_all = "kebab-case")]
    struct Step {
        #[garde(range(min = 0.0))]
        still_missing: f64,
    }

    impl TypedEvent for Unlocked {
        const NAME: &'static str = "unlocked";
        const FAMILY: &'static str = "nft";
        const PRIORITY: Priority = Priority::High;
        const CHANNELS: &'static [&'static str] = &["user.{userId}"];
        const TOPICS: &'static [&'static str] = &["user-topic", "analytics-topic"];

        fn channel_id(&self, envelope: &EnvelopeFields<'_>) -> Option<String> {
            envelope.json("userId").map(str::to_owned)
        }
    }

    #[derive(Deserialize, JsonSchema, Validate)]
    struct OldUnlocked {
        #[garde(skip)]
        from: Option<u64>,
        #[garde(skip)]
        to: Option<u64>,
    }

    impl TypedEvent for OldUnlocked {
        const NAME: &'static str = "unlocked";
        const FAMILY: &'static str = "nft";
        const PRIORITY: Priority = Priority::Low;
        const CHANNELS: &'static [&'static str] = &["user.{userId}", "admin"];
        const ROLES: &'static [&'static str] = &["coach"];
        const TOPICS: &'static [&'static str] = &["old-topic"];

        fn channels(&self, _envelope: &EnvelopeFields<'_>) -> Vec<String> {
            let ids = self.from.into_iter().chain(self.to);
            ids.map(|id| format!("user.{id}")).collect()
        }

        fn is_for_services_only(&self, _envelope: &EnvelopeFields<'_>) -> bool {
            self.to == Some(0)
        }
    }

    fn catalog() -> Catalog {
        let is_number = |id: &str| id.parse::<u64>().is_ok();
        let channels = ["user.{id}", "admin"];
        let new = Envelope::new("eventType", "data")
            .takes_channel("channel")
            .priority("priority")
            .family("category")
            .internal(&["internalId"])
            .required::<u64>("userId");
        let old = Envelope::new("eventType", "data")
            .takes_priority("priority")
            .id("eventId")
            .filled::<String>("eventId", |fill| format!("\"{}\"", fill.id));
        let old = Catalog::new(old, &channels, is_number).with::<OldUnlocked>();
        Catalog::new(new, &channels, is_number)
            .with::<Unlocked>()
            .or(old, |fields| {
                fields.json("source").is_some() || fields.json("eventId").is_some()
            })
    }

    fn read(body: &Value) -> Result<Admitted, Vec<String>> {
        let read = catalog().read_from_server(body.to_string().as_bytes(), &Limits::default());
        read.map(|mut admitted| admitted.remove(0))
            .map_err(|error| {
                let problems = error.problems().iter();
                problems.map(|problem| problem.path.clone()).collect()
            })
    }

    fn payload(bytes: &Bytes) -> Value {
        serde_json::from_slice(bytes).unwrap()
    }

    #[test]
    fn each_envelope_has_events_of_its_own() {
        let data = json!({"nftLevel": 2, "type": "tier"});
        let new = json!({"eventType": "unlocked", "userId": 7, "data": data});
        let admitted = read(&new).unwrap();
        let [event] = &admitted.events[..] else {
            panic!("one channel")
        };
        assert_eq!(event.channel().as_str(), "user.7");
        let mut expected = new;
        expected["priority"] = "high".into();
        expected["category"] = "nft".into();
        assert_eq!(payload(event.payload()), expected);
        let services = event.services().unwrap();
        assert_eq!(services.topics, ["user-topic", "analytics-topic"]);
        assert_eq!((services.only, &services.payload), (false, &None));

        let old = json!({"eventType": "unlocked", "eventId": "e1", "data": {"from": 1, "to": 2}});
        let admitted = read(&old).unwrap();
        assert_eq!(admitted.id, "e1");
        let channels = admitted.events.iter().map(|event| event.channel().as_str());
        assert_eq!(channels.collect::<Vec<_>>(), ["user.1", "user.2"]);
        for event in &admitted.events {
            assert_eq!(payload(event.payload()), old);
        }
        assert!(admitted.events[1].services().is_none(), "read once");
        assert_eq!(catalog().names().collect::<Vec<_>>(), ["unlocked"]);
        let roles = catalog().roles().collect::<Vec<_>>();
        assert_eq!(roles, [("unlocked", &["coach"][..])]);
    }

    #[test]
    fn the_retry_rule_is_that_of_the_event_in_its_envelope() {
        let retries = |envelope: &[u8]| catalog().retry(envelope).map(|retry| retry.retries);
        let new = json!({"eventType": "unlocked", "userId": 7}).to_string();
        assert_eq!(retries(new.as_bytes()), Some(5));
        let old = json!({"data": null, "eventId": "e", "eventType": "unlocked"}).to_string();
        assert_eq!(retries(old.as_bytes()), Some(1));
        let escaped = br#" { "event\u0054ype": "unlocke\u0064", "priority": "low" } "#;
        assert_eq!(
            retries(escaped),
            Some(5),
            "of the event, whatever its priority"
        );
        for none in [
            &b""[..],
            b"unlocked",
            b"\"unlocked\"",
            b"[]",
            b"{}",
            b"{\"eventType\":7}",
            b"{\"eventType\":\"locked\"}",
            b"{\"eventType\":\"unlocked\"",
            b"{\"eventType\":\"unlocked\"} {}",
            b"{\"eventType\":\"unlocked\",\"\xff\":1}",
        ] {
            let shown = String::from_utf8_lossy(none);
            assert_eq!(retries(none), None, "{shown}");
        }
    }

    #[test]
    fn members_that_were_left_out_stand_behind_those_that_were_sent() {
        let envelope = Envelope::new("eventType", "data")
            .required::<u64>("userId")
            .internal(&["internalId"])
            .completed::<BTreeMap<String, Value>>(
                "metadata",
                &[
                    ("source", |_| "\"test\"".to_owned()),
                    ("id", |fill| format!("\"{}\"", fill.id)),
                ],
            );
        let catalog = Catalog::new(envelope, &["user.{id}", "admin"], |_| true).with::<Unlocked>();
        let read = |metadata: &str| {
            let body = format!(
                "{{\"eventType\":\"unlocked\", {metadata}\"userId\":7, \"data\":{{\"nftLevel\":2, \"type\":\"tier\"}}}}"
            );
            let read = catalog.read_from_server(body.as_bytes(), &Limits::default());
            read.map(|mut admitted| admitted.remove(0))
        };
        let rest = r#""userId":7,"data":{"nftLevel":2,"type":"tier"}"#;
        for (sent, kept, names) in [
            ("{}", "{", &["source", "id"][..]),
            (
                r#"{ "a": { "b": {} } }"#,
                r#"{"a":{"b":{}},"#,
                &["source", "id"],
            ),
            (r#"{ "id": "x\u0064" }"#, r#"{"id":"x\u0064","#, &["source"]),
            (
                r#"{"source":1, "id":null}"#,
                r#"{"source":1,"id":null"#,
                &[],
            ),
        ] {
            for internal in ["", r#""internalId":1, "#] {
                let admitted = read(&format!("\"metadata\": {sent}, {internal}")).unwrap();
                let filled = names.iter().map(|name| match *name {
                    "id" => format!("\"id\":\"{}\"", admitted.id),
                    _ => r#""source":"test""#.to_owned(),
                });
                let filled = filled.collect::<Vec<_>>().join(",");
                let expected =
                    format!(r#"{{"eventType":"unlocked","metadata":{kept}{filled}}},{rest}}}"#);
                assert_eq!(admitted.events[0].payload(), &expected, "{sent}");
            }
        }
        let admitted = read("").unwrap();
        let expected = format!(
            r#"{{"eventType":"unlocked",{rest},"metadata":{{"source":"test","id":"{}"}}}}"#,
            admitted.id
        );
        assert_eq!(admitted.events[0].payload(), &expected);
        for wrong in ["null", "[]", "1", "\"x\""] {
            let error = read(&format!("\"metadata\": {wrong}, ")).unwrap_err();
            assert_eq!(error.problems()[0].path, "metadata", "{wrong}");
        }
    }

    #[test]
    fn what_stands_in_the_field_of_the_family_is_the_events_own() {
        let mut body = json!({"eventType": "unlocked", "userId": 7, "category": "badge",
            "data": {"nftLevel": 2, "type": "tier"}});
        assert_eq!(read(&body).unwrap_err(), ["category"]);
        body["category"] = json!(1);
        assert_eq!(read(&body).unwrap_err(), ["category"]);
        body["category"] = "nft".into();
        read(&body).unwrap();
    }

    #[test]
    fn paths_are_those_of_the_json() {
        let body = |data: Value| json!({"eventType": "unlocked", "userId": 7, "data": data});
        let cases = [
            (json!({"nftLevel": 11, "type": "x"}), "data.nftLevel"),
            (json!({"nftLevel": 1, "type": ""}), "data.type"),
            (json!({"type": "x"}), "data.nftLevel"),
            (
                json!({"nftLevel": 1, "type": "x", "nextSteps": [{"still-missing": 0}, {"still-missing": -1}]}),
                "data.nextSteps[1].still-missing",
            ),
            (
                json!({"nftLevel": 1, "type": "x", "nextSteps": [{}]}),
                "data.nextSteps[0].still-missing",
            ),
        ];
        for (data, path) in cases {
            assert_eq!(read(&body(data)).unwrap_err(), [path]);
        }
        let nobody = json!({"eventType": "unlocked", "data": {"nftLevel": 1, "type": "x"}});
        assert_eq!(read(&nobody).unwrap_err(), ["userId"]);
    }

    #[test]
    fn what_is_internal_stays_with_services() {
        let sent = json!({"eventType": "unlocked", "userId": 7, "internalId": "a", "priority": "low",
            "category": "nft", "data": {"nftLevel": 2, "internalId": {"b": 1}, "type": "tier"}});
        let admitted = read(&sent).unwrap();
        let event = &admitted.events[0];
        let mut shown = sent.clone();
        shown.as_object_mut().unwrap().remove("internalId");
        shown["data"].as_object_mut().unwrap().remove("internalId");
        assert_eq!(payload(event.payload()), shown);
        let kept = event.services().unwrap().payload.as_ref().unwrap();
        assert_eq!(payload(kept), sent);
    }

    #[test]
    fn an_explicit_channel_is_one_of_those_that_the_data_names() {
        let mut body = json!({"eventType": "unlocked", "userId": 7, "channel": "user.8",
            "data": {"nftLevel": 2, "type": "tier"}});
        assert_eq!(read(&body).unwrap_err(), ["channel"]);
        body["channel"] = "admin".into();
        assert_eq!(read(&body).unwrap_err(), ["channel"]);
        body["channel"] = "user.7".into();
        read(&body).unwrap();
    }

    #[test]
    fn what_only_services_read_needs_no_channel() {
        let body = json!({"eventType": "unlocked", "eventId": "e", "data": {"to": 0}});
        let admitted = read(&body).unwrap();
        assert!(admitted.events[0].is_for_services_only());
        let body = json!({"eventType": "unlocked", "eventId": "e", "data": {}});
        let admitted = read(&body).unwrap();
        assert_eq!(
            admitted.events[0].channel().as_str(),
            "admin",
            "needs no id"
        );
    }
}
