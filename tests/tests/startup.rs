//! Flags, configuration files, and what a server says when it starts or refuses to.

use std::net::TcpListener;
use std::time::Duration;

use fanfare_test_servers::{Kafka, RabbitMq};
use fanfare_tests::mechamap::{comment_id, typing, urgent_comment};
use fanfare_tests::server::{API_KEY, JWT_SECRET};
use fanfare_tests::{Client, Http, IN_TIME, Launch, Push, Server, Token};
use serde_json::Value;

/// Checks that a server refuses to start: exit code 2 and one sentence on standard error.
async fn assert_refused(launch: Launch, mentions: &str) {
    let mut server = launch.refusal().await;
    let code = server.exit(IN_TIME).await;
    let (stdout, stderr) = (server.stdout(), server.stderr());
    assert_eq!(code, Some(2), "{stderr}");
    assert!(
        stderr.contains(mentions),
        "{mentions:?} is not mentioned in {stderr:?}"
    );
    assert_eq!(stderr.lines().count(), 1, "one sentence, not {stderr:?}");
    assert!(!stdout.contains("listening"), "{stdout}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_flag_is_refused_in_one_sentence_with_exit_code_2() {
    for (arguments, mentions) in [
        (&["--no-such-flag"][..], "--no-such-flag"),
        (&["surplus"], "surplus"),
        (&["--listen", "nowhere"], "--listen"),
        (&["--listen"], "--listen"),
        (&["--demo", "-1"], "--demo"),
        (&["--demo", "many"], "--demo"),
        (&["--topics", "smtp://127.0.0.1:25"], "--topics"),
        (&["--topics", "amqp://127.0.0.1:1"], "--topics"),
        (&["--topics", "nats://127.0.0.1:1"], "--topics"),
        (&["--replay", "/nowhere.jsonl"], "--replay"),
        (&["--replay", "/"], "--replay"),
        (&["--speed", "0", "--replay", "/"], "--speed"),
        (&["--speed", "2"], "--replay"),
    ] {
        let launch = arguments.iter().fold(Launch::bare(), Launch::argument);
        assert_refused(launch, mentions).await;
    }
}

/// Also where a server answers: what its client library would log is said once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_topics_of_services_are_refused_in_one_sentence_with_exit_code_2() {
    let (kafka, rabbit) = tokio::join!(Kafka::start(), RabbitMq::start());
    let (kafka, rabbit) = (kafka.url(), rabbit.url());
    let nobody = rabbit.replace("guest:guest", "guest:wrong");
    let nowhere = rabbit.replace("%2f", "nowhere");
    let queue = format!("{rabbit}?queue=quorum");
    for (arguments, mentions) in [
        (
            &["--topics", ""][..],
            "--topics: a broker's URL begins with",
        ),
        (&["--topics", "memory:"], "a broker's URL begins with"),
        (&["--topics", "kafka://:9092"], "kafka://host:port"),
        (
            &["--topics", "kafka://127.0.0.1:99999"],
            "kafka://host:port",
        ),
        (
            &["--topics", "kafka://127.0.0.1:1?x=1"],
            "kafka://host:port",
        ),
        (
            &["--topics", "kafka://u:p@127.0.0.1:1"],
            "no user and password",
        ),
        (&["--topics", "kafka://127.0.0.1:1"], "Kafka at 127.0.0.1:1"),
        (&["--topics", "nats://127.0.0.1:1?x=1"], "nats://host:port"),
        (&["--topics", "amqp://127.0.0.1:1?exchange="], "has a name"),
        (&["--topics", &queue], "\"queue=quorum\" means nothing"),
        (&["--topics", &nobody], "Login was refused"),
        (&["--topics", &nowhere], "vhost nowhere not found"),
        (&["--ingest", ""], "TOPIC=GROUP"),
        (&["--ingest", "=group"], "TOPIC=GROUP"),
        (&["--ingest", "a\nb"], "control characters"),
        (&["--ingest", "a"], "--ingest needs a server"),
        (&["--ingest", "a", "--topics", "none"], "--ingest needs"),
        (
            &["--topics", &kafka, "--ingest", "a b"],
            "\"a b\" cannot be a topic in Kafka",
        ),
        (
            &["--topics", &kafka, "--ingest", "a=b=c"],
            "\"b=c\" cannot be a group in Kafka",
        ),
    ] {
        let launch = Launch::of("aiw3");
        let launch = arguments.iter().fold(launch, Launch::argument);
        assert_refused(launch, mentions).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_configuration_file_is_refused_in_one_sentence_with_exit_code_2() {
    for (toml, mentions) in [
        ("nonsense = 1", "nonsense"),
        ("[limits]\nconnections_per_usr = 3", "connections_per_usr"),
        (
            "[limits]\nconnections_per_user = \"three\"",
            "connections_per_user",
        ),
        (
            "[limits]\nconnections_per_user = -1",
            "connections_per_user",
        ),
        ("[channels.thread]\nlinger = 1", "linger"),
        ("[limits", "limits"),
        ("linger = { medium = -1 }", "medium"),
        ("[broker]\ndurable = true", "broker.durable"),
        ("[broker]\nfast = true", "fast"),
    ] {
        assert_refused(Launch::mechamap().config(toml), mentions).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_contradiction_in_a_configuration_is_refused_with_the_settings_name() {
    for (toml, mentions) in [
        ("heartbeat = { ping = 5, pong = 5 }", "heartbeat.pong"),
        ("buffers = { flush = 1024 }", "buffers.flush"),
        ("buffers = { outbox = 300000 }", "buffers.outbox"),
        (
            "limits = { connections_per_user = 0 }",
            "limits.connections_per_user",
        ),
        (
            "limits = { events_per_user = { events = 0, per = 60 } }",
            "limits.events_per_user",
        ),
        (
            "limits = { events_per_user = { events = 2000000000, per = 1 } }",
            "limits.events_per_user",
        ),
        ("drain = { batch = 0 }", "drain.batch"),
    ] {
        assert_refused(Launch::mechamap().config(toml), mentions).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_configuration_file_that_is_not_there_is_refused() {
    let launch = Launch::mechamap()
        .argument("--config")
        .argument("/no/such/file.toml");
    assert_refused(launch, "/no/such/file.toml").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_in_use_is_refused() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    assert_refused(
        Launch::bare().argument("--listen").argument(&address),
        &address,
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_line_says_where_the_server_listens() {
    let server = Server::mechamap().await;
    let stdout = server.stdout();
    let lines = stdout
        .lines()
        .filter(|line| line.contains("listening"))
        .collect::<Vec<_>>();
    assert_eq!(lines, [format!("listening on http://{}", server.address())]);
    assert_ne!(server.address().port(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn flags_may_stand_in_the_environment() {
    let launch = Launch::bare()
        .environment("FANFARE_LISTEN", "127.0.0.1:0")
        .environment("FANFARE_JWT_SECRET", JWT_SECRET)
        .environment("FANFARE_API_KEY", API_KEY);
    let server = launch.start().await;
    let client = Client::connect(&server, &Token::of(7)).await;
    client.subscribe("thread.1").await.unwrap();
    server.publish(&urgent_comment(1, 1)).await;
    client.pushes(1, IN_TIME).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_secret_and_a_key_random_ones_are_printed_with_a_token_that_works() {
    let server = Launch::bare()
        .argument("--listen")
        .argument("127.0.0.1:0")
        .start()
        .await;
    let stdout = server.stdout();
    let words = stdout.split_whitespace().collect::<Vec<_>>();
    let token = words
        .iter()
        .find(|word| word.starts_with("eyJ") && word.matches('.').count() == 2)
        .expect("a token");
    let client = Client::to(server.address()).open().await;
    client
        .introduce(token)
        .await
        .expect("the demo token is good");
    client.subscribe("thread.1").await.unwrap();
    let key = stdout
        .lines()
        .find_map(|line| line.strip_prefix("api key: "))
        .expect("an API key");
    let bearer = format!("Bearer {key}");
    let headers = [("authorization", &*bearer)];
    let answer = server
        .http()
        .post("/publish", &headers, urgent_comment(1, 1).to_string())
        .await;
    assert_eq!(answer.status, 200, "{answer:?}");
    client.pushes(1, IN_TIME).await;
    let secret = stdout
        .lines()
        .find_map(|line| line.strip_prefix("jwt secret: "))
        .expect("a secret");
    let another = Client::to(server.address()).open().await;
    another
        .introduce(&Token::of(8).sign_with(secret))
        .await
        .expect("tokens of the printed secret are good");
    let other = Launch::bare()
        .argument("--listen")
        .argument("127.0.0.1:0")
        .start()
        .await;
    assert!(
        !other.stdout().contains(secret) && !other.stdout().contains(key),
        "every start has its own"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn given_credentials_are_not_printed() {
    let server = Server::mechamap().await;
    let output = server.stdout() + &server.stderr();
    assert!(
        !output.contains(JWT_SECRET) && !output.contains(API_KEY),
        "{output}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_demo_publishes_the_platforms_events_at_its_rate() {
    let server = Launch::mechamap()
        .argument("--demo")
        .argument("200")
        .start()
        .await;
    let published = async || server.metric("fanfare_events_published_total").await;
    let begun = tokio::time::Instant::now();
    let before = published().await;
    fanfare_tests::until("some events", IN_TIME, async || {
        (published().await >= before + 300.0).then_some(())
    })
    .await;
    let took = begun.elapsed();
    assert!(
        (Duration::from_millis(1000)..Duration::from_secs(4)).contains(&took),
        "300 events took {took:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn numbers_of_the_configuration_file_hold() {
    let server = Server::configured(
        "
        heartbeat = { ping = 7, pong = 3 }
        [limits]
        connections_per_user = 1
        subscriptions = 2
        events_per_user = { events = 1, per = 3600 }
        ",
    )
    .await;
    let client = Client::to(server.address()).open().await;
    assert_eq!(
        client.introduce(&Token::of(7).sign()).await.unwrap().ping,
        7
    );
    let second = Client::to(server.address()).open().await;
    assert_eq!(
        second
            .introduce(&Token::of(7).sign())
            .await
            .unwrap_err()
            .code,
        3504
    );
    client.subscribe("thread.1").await.unwrap();
    client.subscribe("thread.2").await.unwrap();
    assert_eq!(client.subscribe("thread.3").await.unwrap_err().code, 106);
    client.publish("thread.1", &typing(7)).await.unwrap();
    assert_eq!(
        client
            .publish("thread.1", &typing(7))
            .await
            .unwrap_err()
            .code,
        111
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_is_served_without_reference_to_other_hosts() {
    let server = Server::mechamap().await;
    let answer = Http::new(server.address()).get("/", &[]).await;
    assert_eq!(answer.status, 200);
    assert!(
        answer
            .header("content-type")
            .is_some_and(|kind| kind.starts_with("text/html")),
        "{answer:?}"
    );
    let page = String::from_utf8(answer.body.to_vec()).unwrap();
    for reference in [
        "src=\"http",
        "href=\"http",
        "src='http",
        "href='http",
        "url(http",
        "import(\"http",
        "from \"http",
    ] {
        assert!(!page.contains(reference), "{reference}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn health_says_how_the_server_is() {
    let server = Server::mechamap().await;
    let client = Client::connect(&server, &Token::of(7)).await;
    let health = server.http().get("/health", &[]).await;
    assert_eq!(
        (health.status.as_u16(), health.header("content-type")),
        (200, Some("application/json"))
    );
    let health = health.json();
    assert_eq!(health["status"], "healthy");
    assert!(
        health["timestamp"]
            .as_str()
            .is_some_and(|time| time.ends_with('Z')),
        "{health}"
    );
    assert!(
        health["metrics"]["memory"]
            .as_u64()
            .is_some_and(|bytes| bytes > 1 << 20),
        "{health}"
    );
    assert!(health["metrics"]["cpu"].is_number(), "{health}");
    assert_eq!(health["metrics"]["connections"], 1);
    assert!(
        health["broker"]
            .as_object()
            .is_some_and(|broker| !broker.is_empty()),
        "{health}"
    );
    client.close().await;
    fanfare_tests::until("nobody is connected", IN_TIME, async || {
        let health: Value = server.http().get("/health", &[]).await.json();
        (health["metrics"]["connections"] == 0).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_recorded_is_published_again() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("events.jsonl");
    let line = |id: u64, second: u64| {
        let mut envelope = urgent_comment(1, id);
        envelope["timestamp"] = format!("2025-07-17T10:30:{second:02}Z").into();
        envelope.to_string()
    };
    std::fs::write(
        &file,
        [line(1, 0), "nonsense".to_owned(), line(2, 40)].join("\n"),
    )
    .unwrap();
    let launch = Launch::mechamap().argument("--replay");
    let launch = launch.argument(file.display().to_string());
    let server = launch.argument("--speed").argument("8").start().await;
    let client = Client::subscribed(&server, &Token::of(7), "thread.1").await;
    let id = |push: &Push| comment_id(&push.publication.json());
    // The first may have been published before there was a client.
    let before = usize::from(id(&client.pushes(1, IN_TIME).await[0]) == 1);
    assert_eq!(id(&client.pushes(before + 1, IN_TIME).await[before]), 2);
    server.assert_healthy().await;
}
