use fanfare::codec::{Command, Connect, Request};
use proptest::prelude::*;

use super::*;

fn decode(message: &str) -> Result<Vec<Request>, Disconnect> {
    SocketIo::default().decode(message.as_bytes())
}

fn command(message: &str) -> (Answer, Command) {
    let mut requests = decode(message).unwrap();
    assert_eq!(requests.len(), 1, "{message}");
    let Request { id, command } = requests.remove(0);
    (Answer::from_id(id), command)
}

fn connect(codec: SocketIo, message: &str) -> (Answer, Connect) {
    let request = codec.decode(message.as_bytes()).unwrap().remove(0);
    match request.command {
        Command::Connect(connect) => (Answer::from_id(request.id), connect),
        other => panic!("{other:?}"),
    }
}

fn refusal(message: &str) -> (Answer, Error) {
    match command(message) {
        (answer, Command::Invalid(error)) => (answer, error),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_token_comes_with_or_without_the_word_before_it() {
    for (data, token) in [
        ("", None),
        ("{}", None),
        (r#"{"token":null}"#, None),
        (r#"{"token":""}"#, None),
        (r#"{"token":"a.b.c"}"#, Some("a.b.c")),
        (r#"{"token":"Bearer a.b.c"}"#, Some("a.b.c")),
        (r#"{"token":"bearer  a.b.c"}"#, Some("a.b.c")),
        (r#"{"token":"Bearer "}"#, None),
        (r#"{"token":7}"#, Some("7")),
    ] {
        let (answer, connect) = connect(SocketIo::default(), &format!("40{data}"));
        assert_eq!(answer, Answer::Connect(None));
        assert_eq!(connect.token.as_deref(), token, "{data}");
    }
}

#[test]
fn a_cursor_is_resumed_from_only_where_that_was_asked_for() {
    let cursor = "ad838cf400000000000000ab12";
    let message = format!(r#"40{{"pid":"p7","offset":"{cursor}"}}"#);
    let (answer, plain) = connect(SocketIo::default(), &message);
    assert_eq!((answer, plain.resume), (Answer::Connect(None), None));
    let recovering = SocketIo::default().recovering();
    let (answer, resuming) = connect(recovering, &message);
    assert_eq!(answer, Answer::Connect(Some(7)));
    assert_eq!(resuming.resume, Some(cursor.parse().unwrap()));
    let (answer, resuming) = connect(recovering, r#"40{"pid":"p7","offset":"x"}"#);
    assert_eq!(answer, Answer::Connect(Some(7)));
    assert_eq!(resuming.resume, None);
}

#[test]
fn events_are_commands() {
    let (answer, join) = command(r#"420["join_channel","thread.1"]"#);
    assert_eq!(answer, Answer::Join(Some(0)));
    assert!(matches!(join, Command::Subscribe(subscribe) if subscribe.channel == "thread.1"));
    let (answer, join) = command(r#"42["join_channel",{"channel":"thread.1","more":1}]"#);
    assert_eq!(answer, Answer::Join(None));
    assert!(matches!(join, Command::Subscribe(subscribe) if subscribe.channel == "thread.1"));
    let (answer, leave) = command(r#"4212["leave_channel","thread.1"]"#);
    assert_eq!(answer, Answer::Event(Some(12)));
    assert!(matches!(leave, Command::Unsubscribe { channel } if channel == "thread.1"));
    let (_, publish) = command(r#"42["publish",{"event":"e","data":{"a": 1}}]"#);
    assert!(
        matches!(publish, Command::Publish { channel, data } if channel.is_empty() && data.get() == r#"{"event":"e","data":{"a": 1}}"#)
    );
    let (_, history) = command(
        r#"42["history",{"channel":"c","limit":3,"since":{"epoch":"e","offset":9},"reverse":true}]"#,
    );
    assert!(
        matches!(history, Command::History { limit: Some(3), since: Some(since), reverse: true, .. } if since.offset == 9)
    );
    let (_, history) = command(r#"42["history","c"]"#);
    assert!(matches!(
        history,
        Command::History {
            limit: None,
            since: None,
            reverse: false,
            ..
        }
    ));
    let (_, refresh) = command(r#"42["refresh","Bearer t"]"#);
    assert!(matches!(refresh, Command::Refresh { token } if token == "t"));
    assert!(matches!(
        command(r#"42["presence","c"]"#).1,
        Command::Presence { .. }
    ));
    assert!(matches!(command(r#"42["ping"]"#).1, Command::Ping));
    assert!(matches!(command("3").1, Command::Pong));
}

#[test]
fn events_that_make_no_sense_are_refused_with_a_sentence() {
    for (message, kind, sentence) in [
        (r#"421["shout"]"#, ErrorKind::MethodNotFound, "shout"),
        (
            r#"421["join_channel"]"#,
            ErrorKind::BadRequest,
            "one argument, not 0",
        ),
        (
            r#"421["join_channel",1]"#,
            ErrorKind::BadRequest,
            "a channel's name",
        ),
        (
            r#"421["leave_channel","a","b"]"#,
            ErrorKind::BadRequest,
            "one argument, not 2",
        ),
        (
            r#"421["history",{"channel":"a","limit":-1}]"#,
            ErrorKind::BadRequest,
            "limit",
        ),
        (
            r#"421["history",{"limit":1}]"#,
            ErrorKind::BadRequest,
            "channel",
        ),
        (r#"421["refresh",{}]"#, ErrorKind::BadRequest, "token"),
        (r#"421["publish"]"#, ErrorKind::BadRequest, "one argument"),
    ] {
        let (answer, error) = refusal(message);
        assert_eq!(answer, Answer::Unknown(Some(1)), "{message}");
        assert_eq!(error.kind(), kind, "{message}");
        assert!(error.message().contains(sentence), "{message}: {error}");
    }
}

#[test]
fn what_breaks_the_protocol_ends_the_connection() {
    for message in [
        "",
        "7",
        "0{}",
        "2",
        "2probe",
        "5",
        "6",
        "4",
        "49",
        "42[]",
        "42{",
        "42[\"connect\"]",
        "451-[\"a\"]",
        "42/ns,[\"a\"]",
        "41/ns,",
        "44{}",
        "40[]",
        "bAQID",
    ] {
        assert_eq!(
            decode(message).unwrap_err(),
            Disconnect::BAD_REQUEST,
            "{message}"
        );
    }
    for message in ["1", "41"] {
        let end = decode(message).unwrap_err();
        assert_eq!(end, Disconnect::CONNECTION_CLOSED, "{message}");
    }
    // An ack that nobody asked for is ignored.
    assert!(decode("430[1]").unwrap().is_empty());
}

#[test]
fn the_data_alone_is_taken_out_as_it_lies_there() {
    let codec = SocketIo::new(Arguments::Data);
    let envelope = br#"{"event":"e","data":{"b" : [1, 2]},"channel":"c"}"#;
    assert_eq!(codec.argument(envelope), br#"{"b" : [1, 2]}"#);
    assert_eq!(codec.argument(b"[1]"), b"[1]");
    assert_eq!(SocketIo::default().argument(envelope), envelope);
}

#[test]
fn every_variant_has_a_name_of_its_own() {
    let mut names = [Arguments::Envelope, Arguments::Data]
        .map(SocketIo::new)
        .map(|codec| [codec.name(), codec.recovering().name()])
        .concat();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), 4);
}

proptest! {
    #[test]
    fn answers_come_back_as_they_went(kind in 0u8..4, number in prop::option::of(0..=MAX_ACK)) {
        let answer = match kind {
            0 => Answer::Connect(number),
            1 => Answer::Event(number),
            2 => Answer::Join(number),
            _ => Answer::Unknown(number),
        };
        prop_assert_eq!(Answer::from_id(answer.id()), answer);
    }

    #[test]
    fn no_message_makes_it_panic(message in prop::collection::vec(any::<u8>(), 0..60)) {
        let _ = SocketIo::default().decode(&message);
    }
}
