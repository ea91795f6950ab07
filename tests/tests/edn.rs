//! EDN for those who name it in `Accept`.

#![allow(clippy::unwrap_used, reason = "what a test cannot unwrap, it fails by")]

use fanfare_tests::mechamap::{urgent_comment, urgent_comments};
use fanfare_tests::{EventStream, Request, Response, Server, Token};
use serde_json::json;

const TEXT: &str = "a \"quoted\" line\nand \\ a tab\t, näher \u{1F600} \u{1}";
/// The same as it stands in EDN.
const EDN_TEXT: &str = r#"a \"quoted\" line\nand \\ a tab\t, näher 😀 \u0001"#;

async fn poll(server: &Server, query: &str, accept: &str) -> Response {
    let request = Request::get(server.address(), &format!("/poll?wait=0&{query}"));
    let request = request.token(&Token::of(7)).header("Accept", accept);
    let response = request.send().await.unwrap();
    assert_eq!(response.status, 200);
    let vary = response.headers.get_all("vary").iter();
    assert!(vary.into_iter().any(|value| value == "Accept"));
    response
}

async fn since(server: &Server) -> String {
    let history = server.ask("/channels/thread.1/history").await.json();
    format!(
        "channel=thread.1&since={}:0",
        history["positions"]["thread.1"]["epoch"].as_str().unwrap()
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_poll_is_answered_in_edn_envelope_and_all() {
    let server = Server::mechamap().await;
    let mut envelope = urgent_comment(1, 9);
    envelope["data"]["comment"]["content"] = json!(TEXT);
    envelope["data"]["comment"]["some key"] = json!({ "kebab-case": [1.5e300, -0, true, null] });
    envelope["data"]["comment"]["big"] = json!(u64::MAX);
    server.publish(&envelope).await;
    let mut response = poll(&server, &since(&server).await, "application/edn").await;
    assert_eq!(response.header("content-type"), Some("application/edn"));
    let body = response.rest().await.unwrap();
    let edn = str::from_utf8(&body).unwrap();
    let (head, tail) = edn
        .split_once(r#" :events [{:channel "thread.1" :offset 1 :data {"#)
        .unwrap();
    assert!(
        head.starts_with(r#"{:cursor ""#) && head.ends_with('"'),
        "{edn}"
    );
    let (data, tail) = tail
        .split_once(r#"}}] :positions {"thread.1" {:epoch ""#)
        .unwrap();
    assert!(tail.ends_with(" :offset 1}}}"), "{edn}");
    for part in [
        ":event :forum.comment.created",
        r#":priority "high""#,
        ":id 9 ",
        &format!(r#":content "{EDN_TEXT}""#),
        ":parent_id nil",
        r#""some key" {:kebab-case [1.5e+300 0 true nil]}"#,
        ":big 18446744073709551615N",
        r#":created_at "2025-07-17T10:30:00Z""#,
    ] {
        assert!(data.contains(part), "{part} in {data}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_without_events_is_edn_too() {
    let server = Server::mechamap().await;
    let mut response = poll(
        &server,
        "channel=thread.1&channel=thread.2",
        "application/edn",
    )
    .await;
    let body = response.rest().await.unwrap();
    let edn = str::from_utf8(&body).unwrap();
    let (_, rest) = edn.split_once(" :events [] :positions {").unwrap();
    assert_eq!(rest.matches(":epoch").count(), 2, "{edn}");
    let lost = "channel=thread.1&since=00000000000000ab:5";
    let mut response = poll(&server, lost, "application/edn").await;
    let body = response.rest().await.unwrap();
    assert!(body.ends_with(b" :recovered false}"), "{body:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_weights_of_accept_decide() {
    let server = Server::mechamap().await;
    for (accept, kind) in [
        ("application/edn", "application/edn"),
        (
            "application/edn;q=0.5, application/json;q=0.4",
            "application/edn",
        ),
        (
            "application/edn;q=0.4, application/json;q=0.5",
            "application/json",
        ),
        ("application/edn;q=0", "application/json"),
        ("*/*", "application/json"),
        ("text/html", "application/json"),
    ] {
        let response = poll(&server, "channel=thread.1", accept).await;
        assert_eq!(response.header("content-type"), Some(kind), "{accept}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_stream_carries_edn_as_data() {
    let server = Server::mechamap().await;
    let request = |accept| {
        let request = Request::get(server.address(), "/sse?channel=thread.1").token(&Token::of(7));
        request.header("Accept", accept)
    };
    let mut json = EventStream::open(request("text/event-stream")).await;
    let mut edn = EventStream::open(request("application/edn")).await;
    server.publish(&urgent_comments(1, 1..=3)).await;
    for id in 1..=3 {
        let (json, edn) = (
            json.event().await.unwrap().unwrap(),
            edn.event().await.unwrap().unwrap(),
        );
        assert_eq!(json.id, edn.id, "the cursor is one in both");
        assert_eq!(json.json()["data"]["comment"]["id"], id);
        let data = edn.data.unwrap();
        assert!(
            data.starts_with('{') && data.contains(":event :forum.comment.created"),
            "{data}"
        );
        assert!(data.contains(&format!(":id {id} ")), "{data}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_server_says_by_itself_is_edn_too() {
    let server = Server::mechamap().await;
    let path = "/sse?channel=thread.1&since=00000000000000ab:5";
    let request = Request::get(server.address(), path).token(&Token::of(7));
    let request = request.header("Accept", "application/edn");
    let mut stream = EventStream::try_open(request).await.unwrap();
    let lost = stream.event().await.unwrap().unwrap();
    assert_eq!(lost.event.as_deref(), Some("unrecovered"));
    assert_eq!(lost.data.as_deref(), Some(r#"{:channels ["thread.1"]}"#));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_stays_json() {
    let server = Server::mechamap().await;
    let headers = [("accept", "application/edn")];
    let answer = server.http().get("/poll?channel=thread.1", &headers).await;
    answer.assert_refusal(401, "AUTH_FAILED");
}
