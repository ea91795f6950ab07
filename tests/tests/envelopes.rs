//! What becomes of an envelope between its publisher and its subscribers.

use fanfare_tests::mechamap::{comment, typing, urgent_comment};
use fanfare_tests::{Client, IN_TIME, Push, Server, Token};
use serde_json::{Value, json};

async fn arrived(client: &Client) -> Push {
    client.pushes(1, IN_TIME).await.remove(0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_complete_envelope_arrives_byte_for_byte_without_insignificant_whitespace() {
    let server = Server::mechamap().await;
    let client = Client::subscribed(&server, &Token::of(7), "forum.3").await;
    let sent = concat!(
        "{ \"priority\" : \"high\",\n  \"channel\":\"forum.3\", \"user_id\": 123,\t\"event\": \"forum.thread.view_count_updated\",\r\n",
        " \"timestamp\": \"2025-07-17T10:30:00.120+07:00\", \"data\": { \"z\": 1.50, \"a\" : [ 1e3, -0, \"x  y\" ],",
        " \"text\": \"\\u00e9 \\/ \\\" \\\\ \\n \u{e9} \u{1f600} {a: b}\" , \"empty\": {}, \"big\": 123456789012345678901234567890 },",
        " \"metadata\": {\"version\":\"1.0\", \"source\":\"laravel_api\",\"request_id\":\"r-1\"} }\n",
    );
    let expected = concat!(
        "{\"priority\":\"high\",\"channel\":\"forum.3\",\"user_id\":123,\"event\":\"forum.thread.view_count_updated\",",
        "\"timestamp\":\"2025-07-17T10:30:00.120+07:00\",\"data\":{\"z\":1.50,\"a\":[1e3,-0,\"x  y\"],",
        "\"text\":\"\\u00e9 \\/ \\\" \\\\ \\n \u{e9} \u{1f600} {a: b}\",\"empty\":{},\"big\":123456789012345678901234567890},",
        "\"metadata\":{\"version\":\"1.0\",\"source\":\"laravel_api\",\"request_id\":\"r-1\"}}",
    );
    let answer = server.post(sent).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(arrived(&client).await.publication.data.get(), expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_left_out_is_written_behind_what_was_sent() {
    let server = Server::mechamap().await;
    let client = Client::subscribed(&server, &Token::of(7), "thread.456").await;
    let sent = urgent_comment(456, 1).to_string();
    server.post(sent.clone()).await;
    let push = arrived(&client).await;
    let arrived = push.publication.data.get();
    let added = arrived
        .strip_prefix(sent.strip_suffix('}').unwrap())
        .unwrap_or_else(|| panic!("{arrived}"));
    let added =
        serde_json::from_str::<Value>(&format!("{{{}", added.strip_prefix(',').unwrap())).unwrap();
    let names = added
        .as_object()
        .unwrap()
        .keys()
        .cloned()
        .collect::<Vec<_>>();
    assert_eq!(names, ["channel", "metadata", "timestamp"]);
    assert_eq!(added["channel"], "thread.456");
    let timestamp = added["timestamp"].as_str().unwrap();
    assert!(
        timestamp.starts_with("20") && timestamp.contains('T') && timestamp.ends_with('Z'),
        "{timestamp}"
    );
    for (field, value) in added["metadata"].as_object().unwrap() {
        assert!(
            ["version", "source", "request_id"].contains(&&**field) && value.is_string(),
            "{added}"
        );
    }
    assert_eq!(added["metadata"].as_object().unwrap().len(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_priority_is_filled_in_where_it_was_left_out() {
    let server = Server::configured("linger = { medium = 0.1, low = 0.1 }").await;
    let client = Client::subscribed(&server, &Token::of(7), "thread.456").await;
    server.publish(&comment(456, 1)).await;
    assert_eq!(arrived(&client).await.json()["priority"], "medium");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_id_is_added_to_an_envelope_that_has_none() {
    let server = Server::mechamap().await;
    let client = Client::subscribed(&server, &Token::of(7), "thread.456").await;
    server.publish(&urgent_comment(456, 1)).await;
    let envelope = arrived(&client).await.json();
    assert!(
        envelope.get("id").is_none() && envelope.get("event_id").is_none(),
        "{envelope}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unknown_fields_inside_data_are_passed_on() {
    let server = Server::mechamap().await;
    let client = Client::subscribed(&server, &Token::of(7), "thread.456").await;
    let mut envelope = urgent_comment(456, 1);
    envelope["data"]["mood"] = json!({ "value": "good" });
    envelope["data"]["comment"]["user"]["badges"] = json!([1, 2]);
    server.publish(&envelope).await;
    assert_eq!(arrived(&client).await.json()["data"], envelope["data"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_event_of_a_request_is_answered_with_an_id_of_its_own_its_channel_and_its_offset() {
    let server = Server::mechamap().await;
    let batch = json!([comment(1, 1), comment(2, 2), comment(1, 3), comment(1, 4)]);
    let results = server.publish(&batch).await;
    let places = results.iter().map(|published| {
        (
            published.channel.as_deref().unwrap(),
            published.offset.unwrap(),
        )
    });
    assert_eq!(
        places.collect::<Vec<_>>(),
        [
            ("thread.1", 1),
            ("thread.2", 1),
            ("thread.1", 2),
            ("thread.1", 3)
        ]
    );
    let mut ids = results
        .into_iter()
        .map(|published| published.id)
        .collect::<Vec<_>>();
    assert!(ids.iter().all(|id| !id.is_empty()));
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 4);
    let results = server.publish(&comment(1, 5)).await;
    assert_eq!(results[0].offset, Some(4));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_client_publishes_travels_in_an_envelope_that_names_its_user() {
    let server = Server::mechamap().await;
    let client = Client::subscribed(&server, &Token::of(7), "thread.456").await;
    let writer = Client::to(server.address()).open().await;
    let connected = writer.introduce(&Token::of(8).sign()).await.unwrap();
    writer.publish("thread.456", &typing(8)).await.unwrap();
    let push = arrived(&client).await;
    let envelope = push.json();
    assert_eq!(envelope["event"], "forum.typing.started");
    assert_eq!(envelope["channel"], "thread.456");
    assert_eq!(envelope["priority"], "high");
    assert_eq!(envelope["user_id"], 8);
    assert_eq!(envelope["data"], typing(8)["data"]);
    assert!(
        envelope["timestamp"].is_string() && envelope["metadata"].is_object(),
        "{envelope}"
    );
    let info = push.publication.info.unwrap();
    assert_eq!((info.user, info.client), ("8".to_owned(), connected.client));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_data_says_which_channel_is_meant() {
    let server = Server::mechamap().await;
    let notification = json!({
        "event": "notification.sent",
        "user_id": 7,
        "data": {
            "notification": {
                "id": 1, "type": "t", "title": "t", "message": "m", "icon": "i", "action_url": "/",
                "created_at": "2025-07-17T10:30:00Z",
            },
            "unread_count": 1,
        },
    });
    let stock = json!({
        "event": "marketplace.stock.updated",
        "data": { "product_id": 9, "old_stock": 1, "new_stock": 0, "is_low_stock": true, "low_stock_threshold": 5 },
    });
    let conversation = fanfare_tests::mechamap::typing_in_conversation(1, 5);
    let results = server
        .publish(&json!([comment(4, 1), notification, stock, conversation]))
        .await;
    let channels = results
        .iter()
        .map(|published| published.channel.as_deref().unwrap())
        .collect::<Vec<_>>();
    assert_eq!(
        channels,
        ["thread.4", "user.7", "product.9", "conversation.5"]
    );
}
