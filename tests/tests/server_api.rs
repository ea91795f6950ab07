//! What `POST /publish` accepts, and how it refuses the rest.

use fanfare_tests::mechamap::{comment, every_event, message, urgent_comment, with};
use fanfare_tests::server::API_KEY;
use fanfare_tests::{Answer, Client, Server, Token};
use serde_json::{Value, json};

async fn post(server: &Server, body: &Value) -> Answer {
    server.post(body.to_string()).await
}

/// Checks that an envelope is refused as invalid at exactly these paths, each with a reason.
async fn assert_invalid(server: &Server, body: &Value, paths: &[&str]) {
    let answer = post(server, body).await;
    answer.assert_refusal(422, "INVALID_EVENT");
    assert_eq!(
        answer.problem_paths(),
        paths,
        "{body} was answered {answer:?}"
    );
    for problem in answer.json()["error"]["details"]
        .as_array()
        .expect("a list")
    {
        assert!(
            problem["problem"]
                .as_str()
                .is_some_and(|text| !text.is_empty()),
            "{problem}"
        );
        assert_eq!(
            problem.as_object().map(|fields| fields.len()),
            Some(2),
            "{problem}"
        );
    }
}

/// A complete envelope whose text is exactly `bytes` long.
fn comment_of(bytes: usize) -> Value {
    let mut envelope = with(urgent_comment(1, 1), "channel", "thread.1");
    envelope["timestamp"] = "2025-07-17T10:30:00Z".into();
    envelope["metadata"] = json!({});
    envelope["data"]["comment"]["content"] = "".into();
    let padding = bytes - envelope.to_string().len();
    envelope["data"]["comment"]["content"] = "x".repeat(padding).into();
    envelope
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_key_is_needed() {
    let server = Server::mechamap().await;
    let body = comment(1, 1).to_string();
    let user = Token::of(7).role("admin").sign();
    let wrong = [
        None,
        Some("Bearer ".to_owned()),
        Some("Bearer wrong".to_owned()),
        Some(format!("Bearer {API_KEY}x")),
        Some(format!("Bearer {}", &API_KEY[1..])),
        Some(format!("Basic {API_KEY}")),
        Some(API_KEY.to_owned()),
        Some(format!("Bearer {user}")),
    ];
    for authorization in wrong {
        let headers = authorization
            .as_deref()
            .map(|value| ("authorization", value));
        let answer = server
            .http()
            .post("/publish", headers.as_slice(), body.clone())
            .await;
        answer.assert_refusal(401, "AUTH_FAILED");
    }
    let answer = server
        .http()
        .post(&format!("/publish?token={API_KEY}"), &[], body)
        .await;
    answer.assert_refusal(401, "AUTH_FAILED");
    assert_eq!(
        server.publish(&comment(1, 1)).await[0].offset,
        Some(1),
        "nothing was published before"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unknown_event_is_refused_by_path() {
    let server = Server::mechamap().await;
    for name in [
        "forum.comment.deleted",
        "",
        "Forum.comment.created",
        ":forum.comment.created",
        "session:status",
    ] {
        assert_invalid(&server, &json!({ "event": name, "data": {} }), &["event"]).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_object_without_an_event_name_is_an_invalid_event() {
    let server = Server::mechamap().await;
    let mut envelope = comment(1, 1);
    envelope.as_object_mut().unwrap().remove("event");
    assert_invalid(&server, &envelope, &["event"]).await;
    assert_invalid(&server, &with(comment(1, 1), "event", 7), &["event"]).await;
    let answer = post(&server, &json!({})).await;
    answer.assert_refusal(422, "INVALID_EVENT");
    assert!(
        answer.problem_paths().contains(&"event".to_owned()),
        "{answer:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_field_is_named_by_its_own_path() {
    let server = Server::mechamap().await;
    for (parent, field, path) in [
        ("/data/comment", "content", "data.comment.content"),
        ("/data/comment", "parent_id", "data.comment.parent_id"),
        (
            "/data/comment/user",
            "username",
            "data.comment.user.username",
        ),
        ("/data", "thread", "data.thread"),
        ("/data/thread", "id", "data.thread.id"),
        ("", "data", "data"),
    ] {
        let mut envelope = comment(1, 1);
        envelope
            .pointer_mut(parent)
            .unwrap()
            .as_object_mut()
            .unwrap()
            .remove(field)
            .unwrap();
        assert_invalid(&server, &envelope, &[path]).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_field_of_the_wrong_type_is_named_by_its_path() {
    let server = Server::mechamap().await;
    for (place, value, path) in [
        ("/data/comment/id", json!("789"), "data.comment.id"),
        ("/data/comment/id", json!(0), "data.comment.id"),
        ("/data/comment/id", json!(-1), "data.comment.id"),
        ("/data/comment/id", json!(1.5), "data.comment.id"),
        ("/data/comment/id", json!(null), "data.comment.id"),
        (
            "/data/comment/parent_id",
            json!("x"),
            "data.comment.parent_id",
        ),
        (
            "/data/comment/content",
            json!(["text"]),
            "data.comment.content",
        ),
        (
            "/data/comment/created_at",
            json!("yesterday"),
            "data.comment.created_at",
        ),
        (
            "/data/comment/created_at",
            json!("2025-02-30T10:30:00Z"),
            "data.comment.created_at",
        ),
        ("/data/comment/user", json!("John"), "data.comment.user"),
        (
            "/data/thread/reply_count",
            json!(true),
            "data.thread.reply_count",
        ),
        ("/data", json!([]), "data"),
        ("/data", json!(null), "data"),
        ("/data", json!("text"), "data"),
    ] {
        let mut envelope = comment(1, 1);
        *envelope.pointer_mut(place).unwrap() = value;
        assert_invalid(&server, &envelope, &[path]).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_field_that_the_envelope_does_not_have_is_refused_by_path() {
    let server = Server::mechamap().await;
    for field in ["prority", "Event", "id", "userId", "extra"] {
        assert_invalid(&server, &with(comment(1, 1), field, "high"), &[field]).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn explicit_envelope_fields_are_checked() {
    let server = Server::mechamap().await;
    for (field, value) in [
        ("priority", json!("urgent")),
        ("priority", json!(1)),
        ("priority", json!(null)),
        ("timestamp", json!("yesterday")),
        ("timestamp", json!(1_752_748_200)),
        ("user_id", json!("123")),
        ("user_id", json!(0)),
        ("user_id", json!("a.b")),
        ("metadata", json!("1.0")),
    ] {
        assert_invalid(&server, &with(comment(1, 1), field, value), &[field]).await;
    }
    let envelope = with(comment(1, 1), "metadata", json!({ "version": 1 }));
    assert_invalid(&server, &envelope, &["metadata.version"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_explicit_channel_has_to_fit_the_event_and_the_id_in_its_data() {
    let server = Server::mechamap().await;
    for channel in [
        "thread.2",
        "forum.1",
        "user.1",
        "thread",
        "thread.1.x",
        "thread.x",
        "thread..1",
        "",
        "room.1",
    ] {
        assert_invalid(
            &server,
            &with(comment(1, 1), "channel", channel),
            &["channel"],
        )
        .await;
    }
    assert_invalid(&server, &with(comment(1, 1), "channel", 1), &["channel"]).await;
    assert_invalid(
        &server,
        &with(message(1, 1), "channel", "thread.1"),
        &["channel"],
    )
    .await;
    for channel in ["user.0", "user.a", "user.1.orders", "user.1.x"] {
        assert_invalid(
            &server,
            &with(message(1, 1), "channel", channel),
            &["channel"],
        )
        .await;
    }
    let results = server
        .publish(&with(message(1, 1), "channel", "user.1.messages"))
        .await;
    assert_eq!(results[0].channel.as_deref(), Some("user.1.messages"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_whose_data_does_not_say_the_channel_needs_an_explicit_one() {
    let server = Server::mechamap().await;
    for (envelope, ..) in every_event(7) {
        let Some(_) = envelope.get("channel") else {
            continue;
        };
        let mut without = envelope.clone();
        without.as_object_mut().unwrap().remove("channel");
        assert_invalid(&server, &without, &["channel"]).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn problems_of_a_batch_are_named_with_the_place_in_the_batch() {
    let server = Server::mechamap().await;
    let mut first = comment(1, 1);
    first["data"]["comment"]
        .as_object_mut()
        .unwrap()
        .remove("content");
    let second = with(comment(1, 2), "prority", "high");
    let batch =
        json!([comment(1, 3), first, comment(1, 4), second, { "event": "nope", "data": {} }]);
    assert_invalid(
        &server,
        &batch,
        &["[1].data.comment.content", "[3].prority", "[4].event"],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_batch_with_one_bad_envelope_nothing_is_published() {
    let server = Server::mechamap().await;
    let client = Client::connect(&server, &Token::of(7)).await;
    client.subscribe("thread.1").await.unwrap();
    let bad = json!([urgent_comment(1, 1), urgent_comment(1, 2), { "event": "nope", "data": {} }]);
    post(&server, &bad)
        .await
        .assert_refusal(422, "INVALID_EVENT");
    let large = json!([urgent_comment(1, 1), comment_of((64 << 10) + 1)]);
    post(&server, &large)
        .await
        .assert_refusal(413, "PAYLOAD_TOO_LARGE");
    post(&server, &json!([urgent_comment(1, 1), null]))
        .await
        .assert_refusal(400, "INVALID_REQUEST");
    client.settle().await;
    assert_eq!(client.pushed().len(), 0);
    assert_eq!(
        server.publish(&urgent_comment(1, 3)).await[0].offset,
        Some(1)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_is_no_envelope_is_400() {
    let server = Server::mechamap().await;
    let bodies = [
        "null", "7", "\"text\"", "true", "[]", "[[]]", "[null]", "[1]", "", "{", "nonsense",
        "{} {}", "\u{0}",
    ];
    for body in bodies {
        let answer = server.post(body).await;
        assert_eq!(answer.status, 400, "{body:?} was answered {answer:?}");
        answer.assert_refusal(400, "INVALID_REQUEST");
    }
    let nested = json!([[comment(1, 1)]]);
    post(&server, &nested)
        .await
        .assert_refusal(400, "INVALID_REQUEST");
    server
        .post(&b"{\"event\":\"\xff\"}"[..])
        .await
        .assert_refusal(400, "INVALID_REQUEST");
    server.assert_healthy().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_has_at_most_a_thousand_envelopes() {
    let server = Server::mechamap().await;
    let thousand = (1..=1000).map(|id| comment(1, id)).collect::<Vec<_>>();
    let more = [&thousand[..], &[comment(1, 1001)]].concat();
    post(&server, &Value::from(more))
        .await
        .assert_refusal(400, "INVALID_REQUEST");
    let results = server.publish(&Value::from(thousand)).await;
    assert_eq!(results.last().unwrap().offset, Some(1000));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_envelope_has_at_most_64_kibibytes() {
    let server = Server::mechamap().await;
    let client = Client::connect(&server, &Token::of(7)).await;
    client.subscribe("thread.1").await.unwrap();
    let most = comment_of(64 << 10);
    post(&server, &comment_of((64 << 10) + 1))
        .await
        .assert_refusal(413, "PAYLOAD_TOO_LARGE");
    server.publish(&most).await;
    let pushes = client.pushes(1, fanfare_tests::SOON).await;
    assert_eq!(pushes[0].json(), most);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_has_at_most_16_mebibytes() {
    const MOST: usize = 16 << 20;
    let server = Server::mechamap().await;
    let envelope = comment_of((64 << 10) - 1).to_string();
    let mut body = format!("[{}", vec![&*envelope; 255].join(","));
    assert!(body.len() < MOST);
    body.push_str(&" ".repeat(MOST - 1 - body.len()));
    body.push(']');
    assert_eq!(body.len(), MOST);
    assert_eq!(server.post(body.clone()).await.status, 200);
    for more in [1, 100_000, MOST] {
        let answer = server.post(format!("{body}{}", " ".repeat(more))).await;
        answer.assert_refusal(413, "PAYLOAD_TOO_LARGE");
    }
    server.assert_healthy().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_size_limits_are_those_of_the_configuration() {
    let server = Server::configured("limits = { envelope = 2048, body = 4096, batch = 2 }").await;
    assert_eq!(post(&server, &comment_of(2048)).await.status, 200);
    post(&server, &comment_of(2049))
        .await
        .assert_refusal(413, "PAYLOAD_TOO_LARGE");
    let three = json!([comment(1, 1), comment(1, 2), comment(1, 3)]);
    post(&server, &three)
        .await
        .assert_refusal(400, "INVALID_REQUEST");
    server
        .post(" ".repeat(4097))
        .await
        .assert_refusal(413, "PAYLOAD_TOO_LARGE");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_server_api_is_not_limited_as_clients_are() {
    let server = Server::mechamap().await;
    for batch in 0..3 {
        let envelopes = (1..=1000)
            .map(|id| with(message(7, batch * 1000 + id), "user_id", 7))
            .collect::<Vec<_>>();
        server.publish(&Value::from(envelopes)).await;
    }
    for id in 1..=150 {
        server.publish(&message(7, id)).await;
    }
}
