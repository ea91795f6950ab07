use proptest::prelude::*;

use super::*;

/// What a packet is made of, owned.
#[derive(Clone, Debug)]
struct Parts {
    kind: u8,
    namespace: String,
    ack: Option<u32>,
    name: String,
    arguments: Vec<String>,
    data: Option<String>,
}

fn parts() -> impl Strategy<Value = Parts> {
    let json = prop_oneof![
        Just("null".to_owned()),
        any::<i64>().prop_map(|number| number.to_string()),
        ".{0,9}".prop_map(|text| serde_json::to_string(&text).unwrap()),
        Just(r#"{"a": [1, {"b":"c"}]}"#.to_owned()),
    ];
    let namespace = prop_oneof![Just("/".to_owned()), "/[a-z0-9?=/]{1,8}"];
    let name = ".{0,12}".prop_filter("not a reserved name", |name| {
        !RESERVED.contains(&name.as_str())
    });
    let data = prop::option::of("[a-z]{0,5}".prop_map(|text| format!(r#"{{"t":"{text}"}}"#)));
    (
        0u8..5,
        namespace,
        prop::option::of(0..=MAX_ACK),
        name,
        prop::collection::vec(json, 0..4),
        data,
    )
        .prop_map(|(kind, namespace, ack, name, arguments, data)| Parts {
            kind,
            namespace,
            ack,
            name,
            arguments,
            data,
        })
}

fn raw(text: &str) -> &RawValue {
    serde_json::from_str(text).unwrap()
}

fn build(parts: &Parts) -> Packet<'_> {
    let namespace = parts.namespace.as_str();
    let arguments = parts.arguments.iter().map(|text| raw(text)).collect();
    match parts.kind {
        0 => Packet::Connect {
            namespace,
            data: parts.data.as_deref().map(raw),
        },
        1 => Packet::Disconnect { namespace },
        2 => Packet::Event {
            namespace,
            ack: parts.ack,
            name: (&*parts.name).into(),
            arguments,
        },
        3 => Packet::Ack {
            namespace,
            id: parts.ack.unwrap_or_default(),
            arguments,
        },
        _ => Packet::ConnectError {
            namespace,
            data: raw(parts.data.as_deref().unwrap_or(r#""no""#)),
        },
    }
}

fn encoded(packet: &Packet<'_>) -> String {
    let mut out = Vec::new();
    packet.encode_to(&mut out);
    String::from_utf8(out).unwrap()
}

#[test]
fn packets_are_written_as_the_protocol_shows() {
    for text in [
        "0",
        r#"0{"token":"123"}"#,
        r#"0/admin,{"sid":"oSO0OpakMV_3jnilAAAA"}"#,
        "1",
        "1/admin,",
        r#"2["foo"]"#,
        r#"2/admin,["bar"]"#,
        r#"212["foo",{"a":1},null]"#,
        r#"2/admin,456["project:delete",123]"#,
        "3456[]",
        "3/admin,0[1]",
        r#"4{"message":"Not authorized"}"#,
        r#"4/admin,"no""#,
    ] {
        assert_eq!(encoded(&Packet::decode(text).unwrap()), text);
    }
    // The reference parser takes a namespace without the comma that should follow.
    let packet = Packet::decode("1/admin").unwrap();
    assert_eq!(encoded(&packet), "1/admin,");
}

#[test]
fn what_is_no_packet_is_named() {
    for (text, error) in [
        ("", PacketError::Empty),
        ("7", PacketError::Type('7')),
        ("x", PacketError::Type('x')),
        (
            r#"51-["a",{"_placeholder":true,"num":0}]"#,
            PacketError::Binary,
        ),
        ("61-1[]", PacketError::Binary),
        ("0[]", PacketError::Data("an object")),
        ("0{", PacketError::Data("an object")),
        ("0{}x", PacketError::Data("an object")),
        ("01{}", PacketError::UnexpectedAck),
        ("1{}", PacketError::Data("empty")),
        ("17", PacketError::UnexpectedAck),
        ("2", PacketError::Data("an array")),
        ("2{}", PacketError::Data("an array")),
        (r#"2["a""#, PacketError::Data("an array")),
        (r#"2["a",]"#, PacketError::Data("an array")),
        (r#"2["a"]]"#, PacketError::Data("an array")),
        (r#"21073741823["a"]"#, PacketError::AckId),
        (r#"299999999999["a"]"#, PacketError::AckId),
        (r#"207["a"]"#, PacketError::AckId),
        (r#"2-1["a"]"#, PacketError::Data("an array")),
        ("2[]", PacketError::Name),
        ("2[1]", PacketError::Name),
        ("2[null]", PacketError::Name),
        (r#"2["disconnect"]"#, PacketError::Reserved),
        (r#"2["connect_error",1]"#, PacketError::Reserved),
        ("3[]", PacketError::MissingAck),
        ("37", PacketError::Data("an array")),
        ("4", PacketError::Data("an object or a string")),
        ("4[]", PacketError::Data("an object or a string")),
        ("48{}", PacketError::UnexpectedAck),
    ] {
        let refused = Packet::decode(text).unwrap_err();
        assert_eq!(refused, error, "{text:?}");
        assert!(!refused.to_string().is_empty());
    }
}

#[test]
fn the_highest_ack_id_is_taken() {
    let text = format!(r#"2{MAX_ACK}["a"]"#);
    assert!(matches!(
        Packet::decode(&text),
        Ok(Packet::Event {
            ack: Some(MAX_ACK),
            ..
        })
    ));
}

proptest! {
    #[test]
    fn packets_come_back_as_they_went(parts in parts()) {
        let text = encoded(&build(&parts));
        let decoded = Packet::decode(&text).unwrap();
        prop_assert_eq!(encoded(&decoded), text.clone());
        prop_assert_eq!(format!("{decoded:?}"), format!("{:?}", build(&parts)), "{}", text);
    }

    #[test]
    fn no_text_makes_it_panic(text in ".{0,60}") {
        let _ = Packet::decode(&text);
    }

    #[test]
    fn no_text_that_looks_like_one_makes_it_panic(
        text in r#"[0-7](/[a-z]{0,3},?)?[0-9]{0,11}[\[{"]?.{0,20}[\]}"]?"#,
    ) {
        let _ = Packet::decode(&text);
    }
}
