use proptest::prelude::*;

use super::*;

fn edn(json: &str) -> String {
    String::from_utf8(from_json(json.as_bytes(), None).unwrap()).unwrap()
}

#[test]
fn what_json_has_edn_has() {
    for (json, expected) in [
        ("null", "nil"),
        (" true ", "true"),
        ("false", "false"),
        ("0", "0"),
        ("-0", "-0"),
        ("12.50", "12.50"),
        ("1e5", "1e5"),
        ("-1.5E+3", "-1.5E+3"),
        ("[]", "[]"),
        ("{}", "{}"),
        ("[1, [2 ,3],{}]", "[1 [2 3] {}]"),
        (r#"{"a":1,"b-c":[true,null]}"#, "{:a 1 :b-c [true nil]}"),
        (r#"{"a b":1,"":2,"9":3}"#, r#"{"a b" 1 "" 2 "9" 3}"#),
        (r#"{"a":{"b":{"c":{}}}}"#, "{:a {:b {:c {}}}}"),
    ] {
        assert_eq!(edn(json), expected);
    }
}

#[test]
fn an_integer_beyond_64_bits_says_so() {
    assert_eq!(edn("9223372036854775807"), "9223372036854775807");
    assert_eq!(edn("9223372036854775808"), "9223372036854775808N");
    assert_eq!(edn("-9223372036854775808"), "-9223372036854775808");
    assert_eq!(edn("-9223372036854775809"), "-9223372036854775809N");
    assert_eq!(edn("92233720368547758080.0"), "92233720368547758080.0");
}

#[test]
fn strings_keep_their_text_in_one_line() {
    for (json, expected) in [
        (r#""a\"b\\c\/d""#, r#""a\"b\\c/d""#),
        (r#""\n\r\t""#, r#""\n\r\t""#),
        (r#""\b\f\u0000\u001f""#, r#""\u0008\u000c\u0000\u001f""#),
        (r#""\u00e4\u0022\u005c""#, r#""ä\"\\""#),
        (r#""\ud83d\ude00 😀""#, r#""😀 😀""#),
        (r#""\ud83d""#, r#""\ud83d""#),
        (r#""\ud83d\ud83d\ude00""#, r#""\ud83d😀""#),
        (r#""\ude00x""#, r#""\ude00x""#),
        (r#""\ud83d\n""#, r#""\ud83d\n""#),
        (r#"{"\ud800":1}"#, r#"{"\ud800" 1}"#),
    ] {
        assert_eq!(edn(json), expected);
    }
}

#[test]
fn the_last_of_keys_that_repeat_stays() {
    assert_eq!(edn(r#"{"a":1,"a":2}"#), "{:a 2}");
    assert_eq!(
        edn(r#"{"a":[1,2],"b":{"c":1,"c":2},"\u0061":3,"b":4,"d":5}"#),
        "{:a 3 :b 4 :d 5}"
    );
    assert_eq!(edn(r#"[{"x y":1,"x y":{"z":1}}]"#), r#"[{"x y" {:z 1}}]"#);
}

#[test]
fn the_events_name_is_a_keyword_in_the_envelope_only() {
    let json = r#"{"event":"a/b","data":{"event":"a/b"},"list":["a/b"],"other":"x"}"#;
    let edn = |event| String::from_utf8(from_json(json.as_bytes(), event).unwrap()).unwrap();
    assert_eq!(
        edn(Some("a/b")),
        r#"{:event :a/b :data {:event "a/b"} :list ["a/b"] :other "x"}"#
    );
    assert!(edn(Some("a")).starts_with(r#"{:event "a/b""#));
    let json = br#"{"event":"no keyword"}"#;
    let edn = from_json(json, Some("no keyword")).unwrap();
    assert_eq!(edn, br#"{:event "no keyword"}"#);
    assert_eq!(from_json(br#""a""#, Some("a")).unwrap(), br#""a""#);
}

#[test]
fn what_is_not_json_is_refused_where_it_ends_to_be() {
    for (json, at) in [
        ("", 0),
        ("nul", 0),
        ("1 2", 2),
        ("01", 1),
        ("-", 1),
        ("1.", 2),
        ("1e+", 3),
        ("[1,]", 3),
        ("[1", 2),
        ("{\"a\"}", 4),
        ("{\"a\":}", 5),
        ("{\"a\":1,}", 7),
        ("{a:1}", 1),
        ("\"a", 2),
        ("\"\n\"", 1),
        ("\"\\x\"", 2),
        ("\"\\u12g4\"", 2),
        ("]", 0),
        ("[}", 1),
    ] {
        assert_eq!(
            from_json(json.as_bytes(), None),
            Err(NotJson { at }),
            "{json:?}"
        );
    }
    assert_eq!(from_json(b"\"\xff\"", None), Err(NotJson { at: 1 }));
}

#[test]
fn depth_takes_no_stack() {
    let deep = [vec![b'['; 100_000], vec![b']'; 100_000]].concat();
    assert_eq!(from_json(&deep, None).unwrap(), deep);
}

fn json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(serde_json::Value::from),
        any::<i64>().prop_map(serde_json::Value::from),
        any::<u64>().prop_map(serde_json::Value::from),
        any::<f64>().prop_map(serde_json::Value::from),
        ".*".prop_map(serde_json::Value::from),
    ];
    leaf.prop_recursive(4, 64, 8, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(serde_json::Value::from),
            prop::collection::hash_map("[a-z/:0-9 -]{0,6}|.*", inner, 0..6)
                .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn it_takes_what_serde_takes(text in r#"[-\[\]{}",:0-9eE.tru\\ul d8a\n]{0,12}"#) {
        let taken = serde_json::from_str::<Box<serde_json::value::RawValue>>(&text);
        prop_assert_eq!(from_json(text.as_bytes(), None).is_ok(), taken.is_ok(), "{}", text);
    }

    #[test]
    fn one_line_of_what_can_be_read_again(value in json()) {
        let text = serde_json::to_string_pretty(&value).unwrap();
        let edn = String::from_utf8(from_json(text.as_bytes(), None).unwrap()).unwrap();
        prop_assert!(!edn.contains(['\n', '\r']));
        let compact = from_json(serde_json::to_string(&value).unwrap().as_bytes(), None).unwrap();
        prop_assert_eq!(edn.as_bytes(), compact);
    }
}
