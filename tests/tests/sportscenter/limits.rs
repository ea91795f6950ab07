//! How much, how fast, and who is told of it.

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_fourth_connection_of_a_user_is_refused() {
    let server = server("").await;
    let token = token("7", &[]);
    let mut clients = Vec::new();
    for _ in 0..3 {
        clients.push(Client::connect(&server, &token).await);
    }
    let fourth = Client::to(server.address()).open().await;
    assert_eq!(
        fourth.introduce(&token.sign()).await.unwrap_err().code,
        3504
    );
    let bearer = format!("Bearer {}", token.sign());
    let answer = server
        .http()
        .get("/poll", &[("authorization", &bearer)])
        .await;
    answer.assert_refusal(429, "CONNECTION_LIMIT");
    answer.assert_retry_after();
    // How to come back: the document's backoff.
    let backoff = json!({"initial": 1_000, "max": 30_000, "multiplier": 1.5});
    assert_eq!(answer.json()["error"]["details"]["backoff"], backoff);
    let mut socket_io = SocketIo::open(&server, CARRIERS[0], "").await;
    let refused = socket_io.introduce(&json!({"token": token.sign()})).await;
    let refused = refused.strip_prefix("44").unwrap();
    let refused = serde_json::from_str::<Value>(refused).unwrap();
    assert_eq!(refused["data"]["code"], "CONNECTION_LIMIT");
    assert_eq!(refused["data"]["details"]["backoff"], backoff);
    let other = self::token("9", &[]);
    let request = Request::get(server.address(), "/sse").token(&other);
    let stream = EventStream::open(request).await;
    let retry = stream.retry.unwrap();
    assert!((1_000..=1_500).contains(&retry), "{retry}");
    Client::connect(&server, &self::token("8", &[])).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_publishes_ten_times_a_second_and_a_user_sixty_times_a_minute() {
    async fn codes(client: &Client, count: usize) -> Vec<u32> {
        let data = serde_json::from_str::<Value>(sample("community:activity")).unwrap();
        let mut ids = Vec::new();
        for _ in 0..count {
            let fields = json!({"channel": "community", "data": data});
            ids.push(client.send("publish", &fields));
        }
        let mut codes = Vec::new();
        for id in ids {
            codes.push(client.reply(id).await.unwrap_err().code);
        }
        codes
    }
    let own = server("").await;
    let client = Client::connect(&own, &token("7", &[])).await;
    let codes_of_session = codes(&client, 40).await;
    assert_eq!(
        codes_of_session[..10],
        [103; 10],
        "clients may publish nothing"
    );
    assert!(
        codes_of_session[10..].contains(&111),
        "{codes_of_session:?}"
    );
    let fast = "limits = { events_per_session = { events = 1000, per = 1 } }";
    let fast = server(fast).await;
    let client = Client::connect(&fast, &token("7", &[])).await;
    let mut codes_of_user = codes(&client, 50).await;
    let other = Client::connect(&fast, &token("7", &[])).await;
    codes_of_user.extend(codes(&other, 30).await);
    assert_eq!(codes_of_user[..60], [103; 60]);
    assert!(codes_of_user[60..].contains(&111), "{codes_of_user:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_medium_event_waits_up_to_a_second_and_a_high_one_not_at_all() {
    let server = server("").await;
    let client = Client::connect(&server, &token("7", &["coach"])).await;
    let begin = Instant::now();
    publish(&server, sample("metric:recorded")).await;
    publish(&server, sample("session:status")).await;
    let pushes = client.pushes(2, IN_TIME).await;
    assert_eq!(pushes[0].channel, "session");
    assert_eq!(pushes[1].channel, "metric");
    let waited = pushes[1].at - begin;
    assert!(waited > Duration::from_millis(700), "{waited:?}");
    let urgent = pushes[0].at - begin;
    assert!(urgent < waited, "{urgent:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_events_do_not_wait_for_more() {
    let server = server("").await;
    let client = Client::connect(&server, &token("7", &[])).await;
    let activity = serde_json::from_str::<Value>(sample("community:activity")).unwrap();
    let batch = |count| Value::from(vec![activity.clone(); count]);
    let begin = Instant::now();
    server.publish(&batch(99)).await;
    let late = client.pushes(99, IN_TIME).await;
    assert!(late[0].at - begin > Duration::from_millis(700));
    let begin = Instant::now();
    server.publish(&batch(100)).await;
    let pushes = client.pushes(199, IN_TIME).await;
    let waited = pushes[198].at - begin;
    assert!(waited < Duration::from_millis(600), "{waited:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_is_told_of_its_limits() {
    let config = "
        linger = { medium = 0.05 }
        limits = { connections_per_user = 3, events_per_session = { events = 100, per = 1 } }
    ";
    let server = server(config).await;
    let token = token(USER, &[]);
    let client = Client::connect(&server, &token).await;
    let other = Client::connect(&server, &self::token("7", ALL_ROLES)).await;
    let data = serde_json::from_str::<Value>(sample("community:activity")).unwrap();
    for _ in 0..75 {
        let _ = client.publish("community", &data).await;
    }
    let pushes = client.pushes(3, IN_TIME).await;
    let mut said = pushes
        .iter()
        .map(|push| {
            assert_eq!(push.channel, format!("user.{USER}"));
            push.json()["event"].as_str().unwrap().to_owned()
        })
        .collect::<Vec<_>>();
    said.sort();
    let expected = [
        "ratelimit/limit-warning",
        "ratelimit/message-quota",
        "ratelimit/violation",
    ];
    assert_eq!(said, expected);
    let quota = pushes
        .iter()
        .map(fanfare_tests::Push::json)
        .find(|event| event["event"] == "ratelimit/message-quota")
        .unwrap();
    assert_eq!(quota["data"]["quota"]["messages-sent"], 48);
    assert_eq!(quota["data"]["quota"]["messages-limit"], 60);
    let _second = Client::connect(&server, &token).await;
    let _third = Client::connect(&server, &token).await;
    for _ in 0..3 {
        let fourth = Client::to(server.address()).open().await;
        fourth.introduce(&token.sign()).await.unwrap_err();
    }
    let pushes = client.pushes(4, IN_TIME).await;
    let refused = pushes[3].json();
    assert_eq!(refused["event"], "ratelimit/connection-limit");
    assert_eq!(refused["data"]["max-connections"], 3);
    sleep(Duration::from_millis(500)).await;
    assert_eq!(client.pushed().len(), 4, "each is said once");
    assert_eq!(other.pushed().len(), 0, "to nobody else");
}
