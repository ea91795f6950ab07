//! What ends a connection that breaks the rules, of WebSockets and of the dialect.

use std::time::Duration;

use fanfare_tests::mechamap::{urgent_comment, urgent_comments};
use fanfare_tests::raw::{BINARY, CLOSE, PING, PONG, TEXT, frame, header, unmasked_frame};
use fanfare_tests::{Client, RawSocket, SOON, Server, Token};
use serde_json::json;

/// A frame without the final bit.
const UNFINISHED_TEXT: u8 = 0x01;
const CONTINUATION: u8 = 0x00;
const LAST_CONTINUATION: u8 = 0x80;

/// Sends bytes on connections of their own, and checks the code that each ends with.
async fn assert_closed_with(code: u16, offences: &[(&str, Vec<u8>)]) {
    let server = Server::configured("limits = { connections_per_user = 1000 }").await;
    for (offence, bytes) in offences {
        let mut socket = RawSocket::authenticated(&server, &Token::of(7).sign()).await;
        socket.send(bytes).await;
        assert_eq!(socket.close_code().await, Some(code), "{offence}");
    }
    server.assert_healthy().await;
    Client::connect(&server, &Token::of(8)).await.settle().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_websocket_frame_of_a_client_is_closed_with_1002() {
    let ping = br#"{"id":2,"ping":{}}"#;
    let offences = [
        ("an unmasked message", unmasked_frame(TEXT, ping)),
        ("an unmasked ping", unmasked_frame(PING, b"")),
        ("reserved bit 1", frame(TEXT | 0x40, ping)),
        ("reserved bit 2", frame(TEXT | 0x20, ping)),
        ("reserved bit 3", frame(TEXT | 0x10, ping)),
        ("opcode 3", frame(0x83, ping)),
        ("opcode 11", frame(0x8b, ping)),
        ("a ping of 126 bytes", frame(PING, &[0; 126])),
        ("a pong of 200 bytes", frame(PONG, &[0; 200])),
        ("a fragmented ping", frame(PING & 0x7f, b"x")),
        ("a continuation of nothing", frame(LAST_CONTINUATION, ping)),
        (
            "a message inside a message",
            [frame(UNFINISHED_TEXT, b"{"), frame(TEXT, ping)].concat(),
        ),
        (
            "a length that is longer than need be",
            [&[TEXT, 0xfe, 0, 5, 0, 0, 0, 0][..], b"hello"].concat(),
        ),
        (
            "a length with the highest bit",
            [&[TEXT, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 1][..], &[0; 4]].concat(),
        ),
        ("a close frame of one byte", frame(CLOSE, &[3])),
        ("close code 0", frame(CLOSE, &0u16.to_be_bytes())),
        ("close code 999", frame(CLOSE, &999u16.to_be_bytes())),
        ("close code 1005", frame(CLOSE, &1005u16.to_be_bytes())),
        ("close code 1006", frame(CLOSE, &1006u16.to_be_bytes())),
        ("close code 1015", frame(CLOSE, &1015u16.to_be_bytes())),
        ("close code 2000", frame(CLOSE, &2000u16.to_be_bytes())),
        ("close code 5000", frame(CLOSE, &5000u16.to_be_bytes())),
    ];
    assert_closed_with(1002, &offences).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn text_that_is_not_utf8_is_closed_with_1007() {
    let offences = [
        (
            "a byte that never occurs",
            frame(TEXT, b"{\"id\":2,\"ping\":{\"\xff\":1}}"),
        ),
        ("a cut character", frame(TEXT, b"\"\xe2\x82")),
        ("a surrogate", frame(TEXT, b"\xed\xa0\x80")),
        ("an overlong form", frame(TEXT, b"\xc0\xaf")),
        (
            "a cut character in the last fragment",
            [
                frame(UNFINISHED_TEXT, b"\"\xe2"),
                frame(LAST_CONTINUATION, b"\x82"),
            ]
            .concat(),
        ),
        ("a close reason", frame(CLOSE, b"\x03\xe8\xff")),
    ];
    assert_closed_with(1007, &offences).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_over_64_kibibytes_is_closed_with_1009() {
    const MOST: usize = 64 << 10;
    let half = vec![b' '; MOST / 2];
    let offences = [
        ("one frame", frame(TEXT, &vec![b' '; MOST + 1])),
        (
            "an announcement alone",
            [header(TEXT, MOST + 1, true), vec![0; 4]].concat(),
        ),
        (
            "an announcement of the longest length",
            [header(TEXT, usize::MAX >> 1, true), vec![0; 4]].concat(),
        ),
        (
            "fragments",
            [
                frame(UNFINISHED_TEXT, &half),
                frame(CONTINUATION, &half),
                frame(LAST_CONTINUATION, b" "),
            ]
            .concat(),
        ),
    ];
    assert_closed_with(1009, &offences).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_of_64_kibibytes_is_read() {
    let server = Server::mechamap().await;
    let client = Client::connect(&server, &Token::of(7)).await;
    let command = r#"{"id":900,"ping":{}}"#;
    client.send_text(&format!(
        "{command}{}",
        " ".repeat((64 << 10) - command.len())
    ));
    client.reply(900).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_command_is_closed_with_3501() {
    let offences = [
        "",
        " ",
        "nonsense",
        "{",
        "[]",
        "7",
        "null",
        "\"text\"",
        "{\"id\":1}",
        "{\"id\":1,\"nope\":{}}",
        "{\"id\":-1,\"ping\":{}}",
        "{\"id\":\"a\",\"ping\":{}}",
        "{\"id\":1,\"subscribe\":[]}",
        "{\"id\":1,\"subscribe\":{\"channel\":7}}",
        "{\"id\":1,\"publish\":{\"channel\":\"thread.1\"}}",
        "{\"id\":1,\"ping\":{},\"refresh\":{\"token\":\"t\"}}",
        "{\"id\":1,\"ping\":{}} nonsense",
    ];
    let offences = offences.map(|text| (text, frame(TEXT, text.as_bytes())));
    assert_closed_with(3501, &offences).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_binary_message_ends_the_connection() {
    let server = Server::mechamap().await;
    let mut socket = RawSocket::authenticated(&server, &Token::of(7).sign()).await;
    socket.send(&frame(BINARY, br#"{"id":2,"ping":{}}"#)).await;
    let code = socket.close_code().await;
    assert!([Some(3501), Some(1003)].contains(&code), "{code:?}");
    server.assert_healthy().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_asked_before_an_offence_is_answered_before_the_close() {
    let server = Server::mechamap().await;
    let mut socket = RawSocket::authenticated(&server, &Token::of(7).sign()).await;
    socket.send_text("{\"id\":2,\"ping\":{}}").await;
    socket.send_text("nonsense").await;
    assert_eq!(socket.text().await, r#"{"id":2,"ping":{}}"#);
    assert_eq!(socket.close_code().await, Some(3501));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fragments_and_control_frames_in_between_are_put_together() {
    let server = Server::mechamap().await;
    let mut socket = RawSocket::authenticated(&server, &Token::of(7).sign()).await;
    socket.send(&frame(UNFINISHED_TEXT, b"{\"id\":2,")).await;
    socket.send(&frame(PING, b"there?")).await;
    socket.send(&frame(CONTINUATION, b"")).await;
    socket
        .send(&frame(LAST_CONTINUATION, b"\"ping\":{}}"))
        .await;
    let pong = socket.frame().await.unwrap();
    assert_eq!((pong.first, &pong.payload[..]), (PONG, &b"there?"[..]));
    assert_eq!(socket.text().await, r#"{"id":2,"ping":{}}"#);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_comes_byte_by_byte_is_read() {
    let server = Server::mechamap().await;
    let mut socket = RawSocket::authenticated(&server, &Token::of(7).sign()).await;
    for byte in frame(TEXT, br#"{"id":2,"ping":{}}"#) {
        socket.send(&[byte]).await;
    }
    assert_eq!(socket.text().await, r#"{"id":2,"ping":{}}"#);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_goodbye_is_answered_with_its_code() {
    let server = Server::configured("limits = { connections_per_user = 100 }").await;
    for code in [1000, 1001, 1011, 3000, 3999, 4000, 4999_u16] {
        let mut socket = RawSocket::authenticated(&server, &Token::of(7).sign()).await;
        socket
            .send(&frame(CLOSE, &[&code.to_be_bytes(), &b"bye"[..]].concat()))
            .await;
        assert_eq!(socket.close_code().await, Some(code));
    }
    let mut socket = RawSocket::authenticated(&server, &Token::of(7).sign()).await;
    socket.send(&frame(CLOSE, b"")).await;
    let goodbye = socket.frame().await.unwrap();
    assert_eq!((goodbye.first, goodbye.payload), (CLOSE, vec![]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_commands_of_one_message_are_answered_in_order() {
    let server = Server::mechamap().await;
    let client = Client::to(server.address()).open().await;
    let connect = json!({ "id": 500, "connect": { "token": Token::of(7).sign() } });
    let subscribe = json!({ "id": 501, "subscribe": { "channel": "thread.1" } });
    let refused = json!({ "id": 502, "subscribe": { "channel": "user.8" } });
    client.send_text(&format!(
        "{connect}\n{subscribe}\n{refused}\n{{\"id\":503,\"ping\":{{}}}}"
    ));
    client.reply(500).await.unwrap();
    client.reply(501).await.unwrap();
    assert_eq!(client.reply(502).await.unwrap_err().code, 103);
    client.reply(503).await.unwrap();
    let order = client.wait("the replies", SOON, |record| {
        let text = record
            .messages
            .iter()
            .map(|message| message.text.clone())
            .collect::<Vec<_>>()
            .join("\n");
        Some([500, 501, 502, 503].map(|id| text.find(&format!("{{\"id\":{id},"))))
    });
    let order = order.await;
    assert!(order.is_sorted() && order[0].is_some(), "{order:?}");
    server.publish(&urgent_comment(1, 1)).await;
    client.pushes(1, SOON).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_without_a_number_is_not_answered() {
    let server = Server::mechamap().await;
    let client = Client::connect(&server, &Token::of(7)).await;
    client.send_text(r#"{"subscribe":{"channel":"thread.1"}}"#);
    client.settle().await;
    let messages = client
        .wait("messages", SOON, |record| Some(record.messages.len()))
        .await;
    assert_eq!(messages, 2, "the replies to connect and ping");
    server.publish(&urgent_comment(1, 1)).await;
    client.pushes(1, SOON).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_subprotocol_of_the_dialect_is_granted_and_no_other() {
    let server = Server::mechamap().await;
    for (offer, granted) in [
        (Some("centrifuge-json"), Some("centrifuge-json")),
        (Some("other, centrifuge-json"), Some("centrifuge-json")),
        (Some("centrifuge-protobuf"), None),
        (None, None),
    ] {
        let headers = offer.map(|offer| ("sec-websocket-protocol", offer));
        let answer = server.http().handshake("/ws", headers.as_slice()).await;
        assert_eq!(answer.status, 101, "{answer:?}");
        assert_eq!(
            answer.header("sec-websocket-protocol"),
            granted,
            "{answer:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_does_not_answer_pings_is_closed_with_3012_and_who_does_is_not() {
    let server = Server::configured("heartbeat = { ping = 2, pong = 1 }").await;
    let silent = Client::to(server.address()).without_pongs().open().await;
    let connected = silent.introduce(&Token::of(7).sign()).await.unwrap();
    assert_eq!((connected.ping, connected.pong), (2, true));
    let lively = Client::connect(&server, &Token::of(8)).await;
    assert_eq!(silent.close_code(SOON).await, 3012);
    silent
        .wait("a ping", SOON, |record| (record.pings > 0).then_some(()))
        .await;
    lively
        .wait("three pings", Duration::from_secs(20), |record| {
            (record.pings >= 3).then_some(())
        })
        .await;
    lively.settle().await;
    server.assert_healthy().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_follows_a_close_frame() {
    let server = Server::configured("limits = { connections_per_user = 1000 }").await;
    let publishing = async {
        for round in 0.. {
            let ids = round * 50 + 1..=round * 50 + 50;
            server.publish(&urgent_comments(1, ids)).await;
        }
    };
    let closing = async {
        for _ in 0..150 {
            let mut socket = RawSocket::authenticated(&server, &Token::of(7).sign()).await;
            let subscribe = json!({ "id": 2, "subscribe": { "channel": "thread.1" } });
            socket.send_text(&subscribe.to_string()).await;
            // In the middle of what flows.
            while !socket.text().await.contains("\"pub\"") {}
            socket.send(&frame(CLOSE, &1000u16.to_be_bytes())).await;
            let mut closed = false;
            while let Some(frame) = socket.frame().await {
                assert!(!closed, "frame {:#x} after the close frame", frame.first);
                closed = frame.first == CLOSE;
            }
            assert!(closed, "a close frame is answered");
        }
    };
    tokio::select! {
        () = publishing => {}
        () = closing => {}
    }
}
