//! Values that match a JSON Schema, and what is wrong with them once they are changed.

use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::string::string_regex;
use serde_json::{Map, Value, json};

/// Any value that matches a schema of a document.
pub(crate) fn valid(schema: &Value, document: &Value) -> BoxedStrategy<Value> {
    let schema = resolved(schema, document);
    if let Some(value) = schema.get("const") {
        return Just(value.clone()).boxed();
    }
    if let Some(values) = schema.get("enum").and_then(Value::as_array) {
        return select(values.clone()).boxed();
    }
    for key in ["oneOf", "anyOf"] {
        if let Some(schemas) = schema.get(key).and_then(Value::as_array) {
            let any = schemas.iter().map(|one| {
                let beside = beside(schema, key);
                merged(
                    valid(one, document),
                    beside.map(|beside| valid(&beside, document)),
                )
            });
            return proptest::strategy::Union::new(any).boxed();
        }
    }
    if let Some(schemas) = schema.get("allOf").and_then(Value::as_array) {
        let mut all = beside(schema, "allOf").map(|beside| valid(&beside, document));
        for one in schemas {
            all = Some(merged(valid(one, document), all));
        }
        return all.unwrap_or_else(|| Just(Value::Null).boxed());
    }
    match schema.get("type") {
        Some(Value::String(kind)) => of_kind(kind, schema, document),
        Some(Value::Array(kinds)) => {
            let kinds = kinds.iter().filter_map(Value::as_str);
            let kinds = kinds.map(|kind| of_kind(kind, schema, document));
            proptest::strategy::Union::new(kinds).boxed()
        }
        _ if schema.get("properties").is_some() => of_kind("object", schema, document),
        _ => anything(),
    }
}

fn resolved<'a>(schema: &'a Value, document: &'a Value) -> &'a Value {
    let reference = schema.get("$ref").and_then(Value::as_str);
    reference.map_or(schema, |reference| {
        let pointer = reference.trim_start_matches('#').replace("%23", "#");
        let found = document.pointer(&pointer);
        resolved(found.unwrap_or_else(|| panic!("no {reference}")), document)
    })
}

/// What a schema says beside one of its keys, where that is a schema.
fn beside(schema: &Value, key: &str) -> Option<Value> {
    let mut beside = schema.as_object()?.clone();
    beside.remove(key);
    let constrains = ["type", "properties", "enum", "const", "oneOf", "anyOf"];
    let constrains = constrains.iter().any(|key| beside.contains_key(*key));
    constrains.then(|| beside.into())
}

/// The members of both, where both are objects.
fn merged(one: BoxedStrategy<Value>, other: Option<BoxedStrategy<Value>>) -> BoxedStrategy<Value> {
    let Some(other) = other else { return one };
    let both = (other, one).prop_map(|(other, one)| match (other, one) {
        (Value::Object(mut all), Value::Object(more)) => {
            all.extend(more);
            all.into()
        }
        (_, one) => one,
    });
    both.boxed()
}

fn of_kind(kind: &str, schema: &Value, document: &Value) -> BoxedStrategy<Value> {
    match kind {
        "null" => Just(Value::Null).boxed(),
        "boolean" => any::<bool>().prop_map(Value::from).boxed(),
        "integer" => {
            let (least, most) = (
                bound(schema, "minimum", 0.0),
                bound(schema, "maximum", 1e15),
            );
            let (least, most) = (least as i64, most.min(1e15) as i64);
            prop_oneof![Just(least), Just(most), least..=most]
                .prop_map(Value::from)
                .boxed()
        }
        "number" => number(schema),
        "string" => string(schema),
        "array" => {
            let least = bound(schema, "minItems", 0.0) as usize;
            let most = bound(schema, "maxItems", least as f64 + 3.0) as usize;
            let items = schema
                .get("items")
                .map_or_else(anything, |items| valid(items, document));
            prop::collection::vec(items, least..=most.min(least + 3))
                .prop_map(Value::from)
                .boxed()
        }
        _ => object(schema, document),
    }
}

fn number(schema: &Value) -> BoxedStrategy<Value> {
    let (least, most) = (bound(schema, "minimum", 0.0), bound(schema, "maximum", 1e9));
    let step = schema.get("multipleOf").and_then(Value::as_f64);
    let hundredths = (least * 100.0).ceil() as i64..=(most * 100.0).floor() as i64;
    match step {
        Some(step) if step != 0.01 => {
            let steps = (least / step).ceil() as i64..=(most / step).floor() as i64;
            steps.prop_map(move |n| json!(n as f64 * step)).boxed()
        }
        _ => prop_oneof![
            Just(*hundredths.start()),
            Just(*hundredths.end()),
            hundredths
        ]
        .prop_map(|n| json!(n as f64 / 100.0))
        .boxed(),
    }
}

fn string(schema: &Value) -> BoxedStrategy<Value> {
    let pattern = schema.get("pattern").and_then(Value::as_str);
    let format = schema.get("format").and_then(Value::as_str);
    let texts = match (pattern, format) {
        (Some(pattern), _) => {
            let pattern = pattern.trim_start_matches('^').trim_end_matches('$');
            string_regex(pattern).unwrap().boxed()
        }
        (None, Some("date-time")) => {
            let text = "20[0-9]{2}-(0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8])T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\\.[0-9]{1,6})?(Z|[+-]0[0-9]:[0-5][0-9])";
            string_regex(text).unwrap().boxed()
        }
        (None, Some("date")) => {
            let text = "20[0-9]{2}-(0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8])";
            string_regex(text).unwrap().boxed()
        }
        (None, Some("uuid")) => {
            let text = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}";
            string_regex(text).unwrap().boxed()
        }
        (None, Some("uri" | "url")) => string_regex("https://[a-z]{1,10}\\.example/[a-z0-9]{0,10}")
            .unwrap()
            .boxed(),
        (None, _) => {
            let least = bound(schema, "minLength", 0.0) as usize;
            let most = bound(schema, "maxLength", least as f64 + 20.0) as usize;
            let text = format!("\\PC{{{least},{}}}", most.min(least + 20));
            string_regex(&text).unwrap().boxed()
        }
    };
    texts.prop_map(Value::from).boxed()
}

fn object(schema: &Value, document: &Value) -> BoxedStrategy<Value> {
    let required = schema.get("required").and_then(Value::as_array);
    let is_required = |name: &str| required.is_some_and(|names| names.iter().any(|n| n == name));
    let none = Map::new();
    let properties = schema.get("properties").and_then(Value::as_object);
    let members = properties.unwrap_or(&none).iter().map(|(name, property)| {
        let value = valid(property, document);
        let value = match is_required(name) || required.is_none() {
            true => value.prop_map(Some).boxed(),
            false => prop::option::of(value).boxed(),
        };
        let name = name.clone();
        value.prop_map(move |value| value.map(|value| (name.clone(), value)))
    });
    let members = members.collect::<Vec<_>>();
    let free = match schema.get("additionalProperties") {
        Some(values @ Value::Object(_)) if properties.is_none() => {
            prop::collection::vec(("[a-z]{1,8}", valid(values, document)), 0..3).boxed()
        }
        // What is not described may be anything, below data.
        None | Some(Value::Bool(true)) => {
            prop::collection::vec(("x_[a-z]{1,8}", anything()), 0..2).boxed()
        }
        _ => Just(Vec::new()).boxed(),
    };
    (members, free)
        .prop_map(|(members, free)| {
            let members = members.into_iter().flatten().chain(free);
            members.collect::<Map<_, _>>().into()
        })
        .boxed()
}

fn anything() -> BoxedStrategy<Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        "\\PC{0,12}".prop_map(Value::from),
        Just(json!([1, "two", null])),
        Just(json!({ "nested": { "deep": true } })),
    ]
    .boxed()
}

fn bound(schema: &Value, key: &str, otherwise: f64) -> f64 {
    let exclusive = match key {
        "minimum" => schema.get("exclusiveMinimum").map(|n| (n, 0.01)),
        "maximum" => schema.get("exclusiveMaximum").map(|n| (n, -0.01)),
        _ => None,
    };
    let exclusive = exclusive.and_then(|(n, step)| Some(n.as_f64()? + step));
    let inclusive = schema.get(key).and_then(Value::as_f64);
    inclusive.or(exclusive).unwrap_or(otherwise)
}

/// A change that makes a valid value invalid, and where.
#[derive(Clone, Debug)]
pub(crate) struct Wrong {
    /// The path that a refusal names.
    pub(crate) path: String,
    pub(crate) value: Value,
}

/// Picks one of the ways to make a value invalid.
pub(crate) fn wrong(value: &Value, schema: &Value, document: &Value, which: &Index) -> Wrong {
    let mut changes = Vec::new();
    changes_of(value, schema, document, &mut Vec::new(), &mut changes);
    let (steps, change) = which.get(&changes);
    let mut changed = value.clone();
    apply(&mut changed, steps, change);
    Wrong {
        path: path(steps),
        value: changed,
    }
}

#[derive(Clone, Debug)]
enum Step {
    Name(String),
    Index(usize),
}

#[derive(Clone, Debug)]
enum Change {
    Remove,
    Replace(Value),
}

fn changes_of(
    value: &Value,
    schema: &Value,
    document: &Value,
    at: &mut Vec<Step>,
    changes: &mut Vec<(Vec<Step>, Change)>,
) {
    let schema = resolved(schema, document);
    let mut replace = |value: Value| changes.push((at.clone(), Change::Replace(value)));
    if let Some(schemas) = schema.get("allOf").and_then(Value::as_array) {
        for one in schemas {
            changes_of(value, one, document, at, changes);
        }
        return;
    }
    if schema.get("oneOf").is_some() || schema.get("anyOf").is_some() {
        return;
    }
    if let Some(known) = schema.get("const") {
        // The name of an event leads to the schema; another is another event, or none.
        if at.len() != 1 || !known.is_string() {
            replace(json!("something else"));
        }
        return;
    }
    if schema.get("enum").is_some() {
        replace(json!("something else"));
        return;
    }
    let kinds = match schema.get("type") {
        Some(Value::String(kind)) => vec![kind.as_str()],
        Some(Value::Array(kinds)) => kinds.iter().filter_map(Value::as_str).collect(),
        _ => return,
    };
    for (kind, other) in [
        ("string", json!(true)),
        ("boolean", json!("true")),
        ("integer", json!("1")),
        ("integer", json!(1.5)),
        ("number", json!([1])),
        ("array", json!({ "0": 1 })),
        ("object", json!("an object")),
    ] {
        if kinds.contains(&kind) && !at.is_empty() {
            replace(other);
        }
    }
    if !kinds.contains(&"null") && !at.is_empty() {
        replace(Value::Null);
    }
    if let Some(least) = schema.get("minimum").and_then(Value::as_f64) {
        replace(json!(least as i64 - 1));
    }
    if let Some(most) = schema
        .get("maximum")
        .and_then(Value::as_f64)
        .filter(|most| *most < 1e15)
    {
        replace(json!(most as i64 + 1));
    }
    if schema.get("minLength").is_some_and(|least| *least != 0) {
        replace(json!(""));
    }
    if let Some(most) = schema.get("maxLength").and_then(Value::as_u64) {
        replace(json!("x".repeat(most as usize + 1)));
    }
    if schema.get("pattern").is_some() {
        replace(json!("!"));
    }
    match schema.get("format").and_then(Value::as_str) {
        Some("date-time") => replace(json!("yesterday")),
        Some("date") => replace(json!("2025-02-30")),
        Some("uuid") => replace(json!("not-a-uuid")),
        Some("uri" | "url") => replace(json!("no url")),
        _ => {}
    }
    inside(value, schema, document, at, changes);
}

/// The changes of what a value holds.
fn inside(
    value: &Value,
    schema: &Value,
    document: &Value,
    at: &mut Vec<Step>,
    changes: &mut Vec<(Vec<Step>, Change)>,
) {
    if let (Some(members), Some(properties)) = (
        value.as_object(),
        schema.get("properties").and_then(Value::as_object),
    ) {
        let required = schema.get("required").and_then(Value::as_array);
        for (name, member) in members {
            let Some(property) = properties.get(name) else {
                continue;
            };
            at.push(Step::Name(name.clone()));
            if required.is_some_and(|names| names.iter().any(|n| n == name)) {
                changes.push((at.clone(), Change::Remove));
            }
            changes_of(member, property, document, at, changes);
            at.pop();
        }
    }
    if let (Some(items), Some(schema)) = (value.as_array(), schema.get("items")) {
        for (index, item) in items.iter().enumerate() {
            at.push(Step::Index(index));
            changes_of(item, schema, document, at, changes);
            at.pop();
        }
    }
}

fn apply(value: &mut Value, steps: &[Step], change: &Change) {
    match (steps, change) {
        ([], Change::Replace(new)) => *value = new.clone(),
        ([], Change::Remove) => unreachable!("the whole is not removed"),
        ([Step::Name(name)], Change::Remove) => {
            value.as_object_mut().unwrap().remove(name);
        }
        ([Step::Name(name), rest @ ..], change) => apply(&mut value[name], rest, change),
        ([Step::Index(index), rest @ ..], change) => apply(&mut value[*index], rest, change),
    }
}

fn path(steps: &[Step]) -> String {
    let mut path = String::new();
    for step in steps {
        match step {
            Step::Name(name) if path.is_empty() => path.push_str(name),
            Step::Name(name) => path.push_str(&format!(".{name}")),
            Step::Index(index) => path.push_str(&format!("[{index}]")),
        }
    }
    path
}
