//! Whatever is to be written as EDN: what is JSON becomes one line of it, in which a reader of this
//! target's own finds the same, and everything else is refused.

#![no_main]

use fanfare_transports::edn::from_json;
use libfuzzer_sys::fuzz_target;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

fuzz_target!(|data: &[u8]| {
    let written = from_json(data, Some("a/b"));
    let is_json = serde_json::from_slice::<&RawValue>(data).is_ok();
    assert_eq!(written.is_ok(), is_json);
    let Ok(edn) = written else { return };
    let edn = String::from_utf8(edn).expect("EDN is text");
    assert!(!edn.contains(['\n', '\r']));
    // Half a surrogate pair and numbers beyond a float are JSON, but no value of this library, nor
    // is what lies too deep.
    let Ok(value) = serde_json::from_slice::<Value>(data) else {
        return;
    };
    let mut reader = Reader(&edn);
    assert_eq!(reader.value(), value, "{edn}");
    assert_eq!(reader.0, "");
});

/// Reads what the writer may write, and nothing else.
struct Reader<'a>(&'a str);

impl Reader<'_> {
    fn value(&mut self) -> Value {
        if self.takes("{") {
            return Value::Object(self.map());
        }
        if self.takes("[") {
            let mut list = Vec::new();
            while !self.takes("]") {
                assert!(list.is_empty() || self.takes(" "));
                list.push(self.value());
            }
            return Value::Array(list);
        }
        if self.0.starts_with([':', '"']) {
            return Value::String(self.name());
        }
        let end = self.0.find([' ', ']', '}']).unwrap_or(self.0.len());
        let (word, rest) = self.0.split_at(end);
        self.0 = rest;
        match word {
            "nil" => Value::Null,
            "true" => Value::Bool(true),
            "false" => Value::Bool(false),
            number => {
                let number = number.strip_suffix('N').unwrap_or(number);
                serde_json::from_str(number).expect("a number")
            }
        }
    }

    fn map(&mut self) -> Map<String, Value> {
        let mut map = Map::new();
        while !self.takes("}") {
            assert!(map.is_empty() || self.takes(" "));
            let key = self.name();
            assert!(self.takes(" "));
            let value = self.value();
            assert_eq!(map.insert(key, value), None, "no key stands twice");
        }
        map
    }

    /// A string, or a keyword as one.
    fn name(&mut self) -> String {
        if self.takes(":") {
            let end = self.0.find([' ', '}', ']']).unwrap_or(self.0.len());
            let (name, rest) = self.0.split_at(end);
            self.0 = rest;
            return name.to_owned();
        }
        assert!(self.takes("\""));
        let mut text = String::new();
        loop {
            let mut characters = self.0.chars();
            let character = characters.next().expect("the string ends");
            self.0 = characters.as_str();
            match character {
                '"' => return text,
                '\\' => {
                    let escape = characters.next().expect("an escape");
                    self.0 = characters.as_str();
                    text.push(match escape {
                        'n' => '\n',
                        'r' => '\r',
                        't' => '\t',
                        'u' => {
                            let (digits, rest) = self.0.split_at(4);
                            self.0 = rest;
                            let unit = u32::from_str_radix(digits, 16).expect("digits");
                            char::from_u32(unit).expect("no half of a pair")
                        }
                        '"' | '\\' => escape,
                        other => panic!("{other:?}"),
                    });
                }
                character => {
                    assert!(character >= ' ');
                    text.push(character);
                }
            }
        }
    }

    fn takes(&mut self, text: &str) -> bool {
        let rest = self.0.strip_prefix(text);
        self.0 = rest.unwrap_or(self.0);
        rest.is_some()
    }
}
