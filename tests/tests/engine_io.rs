//! The transports under Socket.IO: handshakes, polls, upgrades, ends.

#![allow(clippy::unwrap_used, reason = "a suite, not a library")]

use std::time::Duration;

use fanfare_tests::mechamap::{comment_id, idle_comment, urgent_comment};
use fanfare_tests::raw::{BINARY, TEXT, frame};
use fanfare_tests::socket_io::{
    CARRIERS, Carrier, Poller, SEPARATOR, SocketIo, open_websocket, read_event, split,
};
use fanfare_tests::{RawSocket, SOON, Server, Token, until};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, timeout};

const POLLING: &str = "/socket.io/?EIO=4&transport=polling";
const WEBSOCKET: &str = "/socket.io/?EIO=4&transport=websocket";

/// A session that polls, of a user who is connected and has joined a thread.
async fn joined(server: &Server, user: u64, thread: u64) -> Poller {
    let poller = Poller::open(server, "").await;
    let token = Token::of(user).sign();
    poller
        .send(&format!(
            "40{}{SEPARATOR}420[\"join_channel\",\"thread.{thread}\"]",
            json!({ "token": token })
        ))
        .await;
    let mut packets = Vec::new();
    while packets.len() < 2 {
        packets.extend(poller.packets().await);
    }
    assert!(packets[0].starts_with("40{"), "{packets:?}");
    assert_eq!(packets[1], r#"430[{"success":true}]"#);
    poller
}

/// Probes a WebSocket for a session that polls.
async fn probed(server: &Server, poller: &Poller) -> RawSocket {
    let mut socket = RawSocket::connect(server.address()).await;
    socket
        .upgrade(&format!("{WEBSOCKET}&sid={}", poller.sid()))
        .await;
    socket.send_text("2probe").await;
    assert_eq!(socket.text().await, "3probe");
    socket
}

fn comment_ids(packets: &[String]) -> Vec<u64> {
    let events = packets.iter().filter(|packet| packet.starts_with("42"));
    events
        .map(|packet| comment_id(&read_event(packet).1[0]))
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_handshake_is_refused_as_engine_io_does() {
    let server = Server::mechamap().await;
    let refusals = [
        ("", 0, "Transport unknown"),
        ("?EIO=4", 0, "Transport unknown"),
        ("?EIO=4&transport=abc", 0, "Transport unknown"),
        ("?EIO=4&transport=polling&sid=abc", 1, "Session ID unknown"),
        ("?EIO=4&transport=websocket", 3, "Bad request"),
        ("?transport=polling", 5, "Unsupported protocol version"),
        (
            "?EIO=3&transport=polling",
            5,
            "Unsupported protocol version",
        ),
        (
            "?EIO=abc&transport=polling",
            5,
            "Unsupported protocol version",
        ),
    ];
    for (query, code, message) in refusals {
        let answer = server.http().get(&format!("/socket.io/{query}"), &[]).await;
        assert_eq!(answer.status, 400, "{query}: {answer:?}");
        assert_eq!(
            answer.json(),
            json!({"code": code, "message": message}),
            "{query}"
        );
    }
    let answer = server.http().post(POLLING, &[], "40").await;
    assert_eq!(answer.status, 400);
    assert_eq!(answer.json()["code"], 2, "{answer:?}");
    let answer = server.http().handshake(POLLING, &[]).await;
    assert_eq!(answer.json()["code"], 3, "{answer:?}");
    let unknown = format!("{WEBSOCKET}&sid=abc");
    let answer = server.http().handshake(&unknown, &[]).await;
    assert_eq!(answer.json()["code"], 1, "{answer:?}");
    let foreign = [("origin", "https://elsewhere.example")];
    let answer = server.http().get(POLLING, &foreign).await;
    answer.assert_refusal(403, "FORBIDDEN");
    assert_eq!(answer.json()["code"], 4, "{answer:?}");
    let answer = server.http().handshake(WEBSOCKET, &foreign).await;
    assert_eq!(answer.status, 403);
    let answer = server
        .http()
        .get(&format!("{POLLING}&channel=a%20b"), &[])
        .await;
    answer.assert_refusal(400, "INVALID_REQUEST");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_handshake_says_what_the_server_was_configured_with() {
    let toml = "heartbeat = { ping = 20, pong = 7 }\nlimits = { message = 5000 }";
    let server = Server::configured(toml).await;
    let poller = Poller::open(&server, "&t=xyz&b64=1").await;
    assert_eq!(
        poller.open,
        json!({
            "sid": poller.sid(), "upgrades": ["websocket"],
            "pingInterval": 20_000, "pingTimeout": 7_000, "maxPayload": 5000,
        })
    );
    assert!(
        poller.sid().len() >= 22,
        "128 bits take 22 characters and more"
    );
    let mut socket = RawSocket::connect(server.address()).await;
    socket.upgrade(WEBSOCKET).await;
    let open = socket.text().await;
    let open = serde_json::from_str::<Value>(&open[1..]).unwrap();
    assert_eq!(open["upgrades"], json!([]));
    assert_eq!(open["pingInterval"], 20_000);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_packet_ends_the_session() {
    let server = Server::mechamap().await;
    let offences = [
        "",
        "abc",
        "7",
        "0{}",
        "2",
        "2probe",
        "5",
        "6",
        "1x",
        "4",
        "49",
        "bAQID",
        "42[]",
        "42{",
        r#"42["a""#,
        r#"42["disconnect"]"#,
        r#"451-["a",{"_placeholder":true,"num":0}]"#,
        r#"461-1[{"_placeholder":true,"num":0}]"#,
        "40[]",
        r#"44{"message":"no"}"#,
        "\u{1e}",
    ];
    for offence in offences {
        let poller = joined(&server, 7, 1).await;
        let answer = poller.post(offence).await;
        assert_eq!(answer.status, 400, "{offence:?}: {answer:?}");
        poller.assert_gone().await;

        let mut client = SocketIo::connect(&server, Carrier::WebSocket, &Token::of(8)).await;
        client.send(offence).await;
        assert_eq!(client.close_code().await, Some(3501), "{offence:?}");
    }
    server.assert_healthy().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn binary_is_refused() {
    let server = Server::mechamap().await;
    let poller = joined(&server, 7, 1).await;
    let headers = [("content-type", "application/octet-stream")];
    let answer = server.http().post(poller.path(), &headers, "4").await;
    assert_eq!(answer.status, 400, "{answer:?}");
    poller.assert_gone().await;
    let poller = Poller::open(&server, "").await;
    let answer = server
        .http()
        .post(poller.path(), &[], vec![b'4', 0xff])
        .await;
    assert_eq!(answer.status, 400, "{answer:?}");
    poller.assert_gone().await;
    let mut socket = open_websocket(&server, "").await;
    socket.send(&frame(BINARY, b"\x01\x02")).await;
    assert_eq!(socket.close_code().await, Some(3501));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_larger_than_allowed_ends_the_session() {
    let server = Server::configured("limits = { message = 2000 }").await;
    let poller = joined(&server, 7, 1).await;
    let largest = format!(r#"42["x","{}"]"#, "a".repeat(2000 - 10));
    assert_eq!(largest.len(), 2000);
    poller.send(&largest).await;
    let answer = poller.post(&format!("{largest} ")).await;
    answer.assert_refusal(413, "PAYLOAD_TOO_LARGE");
    poller.assert_gone().await;
    let mut client = SocketIo::connect(&server, Carrier::WebSocket, &Token::of(7)).await;
    client.send(&largest).await;
    assert_eq!(client.event().await.0, "error", "it is no event of ours");
    client.send(&format!("{largest} ")).await;
    assert_eq!(client.close_code().await, Some(1009));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn overlapping_requests_end_the_session() {
    let server = Server::mechamap().await;
    let poller = joined(&server, 7, 1).await;
    let waiting = tokio::spawn({
        let poller = poller.clone();
        async move { poller.poll().await }
    });
    sleep(Duration::from_millis(200)).await;
    let overlapping = poller.poll().await;
    assert_eq!(overlapping.status, 400, "{overlapping:?}");
    assert_eq!(split(&waiting.await.unwrap()), ["1"]);
    poller.assert_gone().await;

    let poller = joined(&server, 7, 1).await;
    let mut half = RawSocket::connect(server.address()).await;
    let head = format!(
        "POST {} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n42[",
        poller.path()
    );
    half.send(head.as_bytes()).await;
    sleep(Duration::from_millis(200)).await;
    let answer = poller.post("3").await;
    assert_eq!(answer.status, 400, "{answer:?}");
    poller.assert_gone().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_clients_close_packet_ends_its_poll_and_the_session() {
    let server = Server::mechamap().await;
    let poller = joined(&server, 7, 1).await;
    let waiting = tokio::spawn({
        let poller = poller.clone();
        async move { poller.poll().await }
    });
    sleep(Duration::from_millis(200)).await;
    poller.send("1").await;
    assert_eq!(split(&waiting.await.unwrap()), ["6"]);
    poller.assert_gone().await;
    until("the count of connections", SOON, async || {
        (server
            .metric(r#"fanfare_connections{transport="socket_io"}"#)
            .await
            == 0.0)
            .then_some(())
    })
    .await;
    let mut client = SocketIo::connect(&server, Carrier::WebSocket, &Token::of(7)).await;
    client.send("1").await;
    client.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ping_without_an_answer_ends_the_session() {
    let server = Server::configured("heartbeat = { ping = 2, pong = 1 }").await;
    // Nobody polls.
    let silent = joined(&server, 6, 1).await;
    let poller = joined(&server, 7, 1).await;
    assert_eq!(poller.packets().await, ["2"]);
    let begun = Instant::now();
    assert_eq!(poller.packets().await, ["1"]);
    assert!(begun.elapsed() < Duration::from_secs(4));
    poller.assert_gone().await;
    let token = json!({"token": Token::of(8).sign()});
    let mut socket = open_websocket(&server, "").await;
    socket.send_text(&format!("40{token}")).await;
    assert!(socket.text().await.starts_with("40"));
    assert_eq!(socket.text().await, "2");
    assert_eq!(socket.close_code().await, Some(3012));
    sleep(Duration::from_secs(1)).await;
    silent.assert_gone().await;
    assert_eq!(
        server
            .metric(r#"fanfare_connections{transport="socket_io"}"#)
            .await,
        0.0
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answered_pings_keep_the_session() {
    let server = Server::configured("heartbeat = { ping = 2, pong = 1 }").await;
    let mut clients = Vec::new();
    for carrier in CARRIERS {
        let mut client = SocketIo::connect(&server, carrier, &Token::of(7)).await;
        client.join("thread.1").await;
        clients.push(client);
    }
    let publishing = async {
        sleep(Duration::from_secs(7)).await;
        server.publish(&urgent_comment(1, 1)).await;
    };
    let [first, second] = &mut clients[..] else {
        unreachable!()
    };
    let ((), (first, _), (second, _)) = tokio::join!(publishing, first.event(), second.event());
    assert_eq!(first, "forum.comment.created");
    assert_eq!(second, first);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_enters_no_namespace_ends() {
    let server = Server::configured("limits = { handshake = 1 }").await;
    let poller = Poller::open(&server, "").await;
    let mut socket = open_websocket(&server, "").await;
    assert_eq!(socket.close_code().await, Some(3502));
    sleep(Duration::from_millis(1500)).await;
    poller.assert_gone().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn packets_of_one_body_are_answered_in_order() {
    let server = Server::mechamap().await;
    let poller = joined(&server, 7, 1).await;
    let calls = (1..=50)
        .map(|id| format!(r#"42{id}["history","thread.1"]"#))
        .collect::<Vec<_>>()
        .join(&SEPARATOR.to_string());
    poller.send(&calls).await;
    let mut packets = Vec::new();
    while packets.len() < 50 {
        packets.extend(poller.packets().await);
    }
    for (id, packet) in (1..).zip(&packets) {
        assert!(
            packet.starts_with(&format!("43{id}[{{\"success\":true")),
            "{packet}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_poll_whose_client_goes_away_takes_nothing_along() {
    let server = Server::mechamap().await;
    let poller = joined(&server, 7, 1).await;
    for id in 1..=6 {
        let mut leaving = RawSocket::connect(server.address()).await;
        let request = format!("GET {} HTTP/1.1\r\nHost: localhost\r\n\r\n", poller.path());
        leaving.send(request.as_bytes()).await;
        sleep(Duration::from_millis(200)).await;
        drop(leaving);
        // The server has seen by then that it is gone.
        sleep(Duration::from_millis(500)).await;
        server.publish(&urgent_comment(1, id)).await;
        assert_eq!(comment_ids(&poller.packets().await), [id]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_moves_from_polling_to_a_websocket() {
    let server = Server::mechamap().await;
    let poller = joined(&server, 7, 1).await;
    let waiting = tokio::spawn({
        let poller = poller.clone();
        async move { poller.poll().await }
    });
    sleep(Duration::from_millis(100)).await;
    let mut socket = probed(&server, &poller).await;
    assert_eq!(
        split(&waiting.await.unwrap()),
        ["6"],
        "the poll ends so that the client can move"
    );
    // What comes while nobody polls goes to the WebSocket.
    server.publish(&urgent_comment(1, 1)).await;
    socket.send_text("5").await;
    assert_eq!(comment_ids(&[socket.text().await]), [1]);
    server.publish(&urgent_comment(1, 2)).await;
    assert_eq!(comment_ids(&[socket.text().await]), [2]);
    socket.send_text(r#"429["ping"]"#).await;
    assert_eq!(socket.text().await, r#"42["pong"]"#);
    assert_eq!(socket.text().await, r#"439[{"success":true}]"#);
    // The session is no longer one that polls.
    poller.assert_gone().await;
    let answer = server
        .http()
        .handshake(&format!("{WEBSOCKET}&sid={}", poller.sid()), &[])
        .await;
    assert_eq!(answer.json()["code"], 1, "{answer:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_packet_right_behind_the_clients_word_is_not_lost() {
    let server = Server::mechamap().await;
    let poller = joined(&server, 7, 1).await;
    let mut socket = probed(&server, &poller).await;
    let both = [frame(TEXT, b"5"), frame(TEXT, br#"421["health"]"#)].concat();
    socket.send(&both).await;
    assert!(
        socket
            .text()
            .await
            .starts_with(r#"431[{"status":"healthy""#)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_probe_that_fails_leaves_polling_as_it_is() {
    let server = Server::mechamap().await;
    let poller = joined(&server, 7, 1).await;
    for (id, offence) in (1..).zip(["", "2", "4", "5", "40", "x", "probe"]) {
        let mut socket = RawSocket::connect(server.address()).await;
        socket
            .upgrade(&format!("{WEBSOCKET}&sid={}", poller.sid()))
            .await;
        socket.send_text(offence).await;
        assert_eq!(socket.close_code().await, Some(1000), "{offence:?}");
        server.publish(&urgent_comment(1, id)).await;
        assert_eq!(comment_ids(&poller.packets().await), [id], "{offence:?}");
    }
    // One that breaks WebSocket's own rules, one that goes away, and one that changes its mind.
    let mut socket = RawSocket::connect(server.address()).await;
    socket
        .upgrade(&format!("{WEBSOCKET}&sid={}", poller.sid()))
        .await;
    socket.send(&[TEXT, 0x01, b'2']).await;
    assert_eq!(socket.close_code().await, Some(1002));
    drop(probed(&server, &poller).await);
    let mut first = until("another probe", SOON, async || {
        let mut socket = RawSocket::connect(server.address()).await;
        socket
            .upgrade(&format!("{WEBSOCKET}&sid={}", poller.sid()))
            .await;
        socket.send_text("2probe").await;
        let frame = socket.frame().await?;
        (frame.payload == b"3probe").then_some(socket)
    })
    .await;
    // Only one at a time.
    let mut second = RawSocket::connect(server.address()).await;
    second
        .upgrade(&format!("{WEBSOCKET}&sid={}", poller.sid()))
        .await;
    assert_eq!(second.close_code().await, Some(1000));
    first.send_text("6").await;
    assert_eq!(first.close_code().await, Some(1000));
    server.publish(&urgent_comment(1, 100)).await;
    let mut ids = Vec::new();
    while ids.is_empty() {
        ids = comment_ids(&poller.packets().await);
    }
    assert_eq!(ids, [100]);
}

/// Publishes comments to a thread until told to stop, and gives how many.
async fn publish_until(server: &Server, thread: u64, stop: impl Future<Output = ()>) -> u64 {
    let mut stop = std::pin::pin!(stop);
    let mut id = 0;
    loop {
        let envelopes = (id + 1..=id + 3)
            .map(|id| urgent_comment(thread, id))
            .collect::<Value>();
        server.publish(&envelopes).await;
        id += 3;
        // About 600 a second, so that a client on a busy machine does not fall behind.
        if timeout(Duration::from_millis(5), &mut stop).await.is_ok() {
            return id;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_event_is_lost_doubled_or_reordered_by_an_upgrade() {
    let server = Server::configured("limits = { connections_per_user = 1000 }").await;
    for thread in 1..=10 {
        let poller = joined(&server, 7, thread).await;
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let moving = async {
            let mut ids = Vec::new();
            for _ in 0..5 {
                ids.extend(comment_ids(&poller.packets().await));
            }
            // As the official client does: probe while it polls on, end the poll, say the word.
            let polling = poller.packets();
            let (mut socket, packets) = tokio::join!(probed(&server, &poller), polling);
            ids.extend(comment_ids(&packets));
            if thread % 2 == 0 {
                ids.extend(comment_ids(&poller.packets().await));
            }
            sleep(Duration::from_millis(thread * 3)).await;
            socket.send_text("5").await;
            for _ in 0..50 {
                ids.extend(comment_ids(&[socket.text().await]));
            }
            stop.send(()).unwrap();
            (ids, socket)
        };
        let stop = async {
            let _ = stopped.await;
        };
        let (count, (mut ids, mut socket)) =
            tokio::join!(publish_until(&server, thread, stop), moving);
        while ids.len() < usize::try_from(count).unwrap() {
            let packet = socket.text().await;
            ids.extend(comment_ids(&[packet]));
        }
        assert_eq!(ids, (1..=count).collect::<Vec<_>>(), "thread {thread}");
        // And nothing comes behind them but what is asked for.
        socket
            .send_text(r#"4277["leave_channel","thread.1"]"#)
            .await;
        assert_eq!(socket.text().await, r#"4377[{"success":true}]"#);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_goes_down_delivers_what_waits_and_sends_no_disconnect_packet() {
    let mut server = Server::mechamap().await;
    let poller = joined(&server, 7, 1).await;
    let mut client = SocketIo::connect(&server, Carrier::WebSocket, &Token::of(8)).await;
    client.join("thread.1").await;
    server.publish(&idle_comment(1, 1)).await;
    server.terminate();
    let mut packets = Vec::new();
    while packets.last().is_none_or(|last| last != "1") {
        packets.extend(poller.packets().await);
    }
    assert_eq!(comment_ids(&packets), [1]);
    assert!(
        !packets.iter().any(|packet| packet.starts_with("41")),
        "{packets:?}"
    );
    assert_eq!(comment_id(&client.event().await.1[0]), 1);
    assert_eq!(client.close_code().await, Some(3001));
    assert_eq!(server.exit(SOON).await, Some(0), "{}", server.stderr());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_goes_down_takes_in_nobody() {
    let server = Server::configured("drain = { batch = 1, pause = 2 }").await;
    let staying = joined(&server, 7, 1).await;
    let _also_staying = joined(&server, 8, 1).await;
    server.terminate();
    until("the refusal", SOON, async || {
        let answer = server.http().get(POLLING, &[]).await;
        (answer.status == 503).then(|| answer.assert_refusal(503, "UNAVAILABLE"))
    })
    .await;
    // Whoever is there is served to the end.
    let mut packets = Vec::new();
    while packets.last().is_none_or(|last| last != "1") {
        packets.extend(staying.packets().await);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_does_not_poll_is_given_up_when_its_outbox_is_full() {
    let toml = "limits = { connections_per_user = 1000 }\nbuffers = { flush = 65536, outbox = 131072, pending = 65536 }";
    let server = Server::configured(toml).await;
    let poller = joined(&server, 7, 1).await;
    let mut comment = urgent_comment(1, 1);
    comment["data"]["comment"]["content"] = "a".repeat(20_000).into();
    for _ in 0..20 {
        server.publish(&comment).await;
    }
    poller.assert_gone().await;
    assert_eq!(server.metric("fanfare_slow_disconnects_total").await, 1.0);
}
