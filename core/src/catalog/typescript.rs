//! A platform's messages as TypeScript declarations.

use std::collections::BTreeSet;
use std::fmt::Write;

use serde_json::{Map, Value};

use super::envelope::Occurrence;
use super::schema::{Described, DescribedEvent};
use super::{Catalog, Envelope};

/// Where an object stands no deeper than this, its members stand on lines of their own.
const INDENT: &str = "  ";

impl Catalog {
    /// A TypeScript declaration file (`.d.ts`) of this event set: a type for each event's data, `Events`
    /// from names to them, `Envelope<N>`, `AnyEnvelope` to tell apart by name, the channels, and what
    /// clients may publish. Optional is what publishers may leave out for good.
    ///
    /// Cost: made anew at each call.
    #[must_use]
    pub fn typescript(&self, title: &str) -> String {
        let described = Described::new(self, "/definitions");
        let mut file = format!(
            "// The events of {title}, generated from the types that check them. Do not edit.\n"
        );
        for (name, schema) in &described.definitions {
            file.push('\n');
            declare(&mut file, name, schema);
        }
        file.push_str("\nexport type Priority = \"high\" | \"medium\" | \"low\";\n");
        self.declare_channels(&mut file);
        let mut titles = Vec::new();
        for part in std::iter::once(self).chain(self.other.iter().map(|other| &*other.catalog)) {
            let of_part =
                |event: &&DescribedEvent<'_>| std::ptr::eq(event.envelope, &part.envelope);
            let events = described.events.iter().filter(of_part).collect::<Vec<_>>();
            declare_envelope(&mut file, &part.envelope, &events, &described);
            titles.push(part.envelope.title());
        }
        let any = titles.iter().map(|title| {
            let events = events_of(title);
            format!("{{ [N in keyof {events}]: {title}<N> }}[keyof {events}]")
        });
        let any = any.collect::<Vec<_>>().join("\n  | ");
        let _ = write!(
            file,
            "\n/** Whatever arrives; its event's name tells which it is. */\nexport type AnyEnvelope =\n  | {any};\n"
        );
        declare_publications(&mut file, &described);
        file
    }

    fn declare_channels(&self, file: &mut String) {
        let parts = std::iter::once(self).chain(self.other.iter().map(|other| &*other.catalog));
        let patterns = parts.flat_map(|part| &part.channels).map(|pattern| {
            let segments = pattern.as_str().split('.').map(|segment| {
                if segment.starts_with('{') {
                    "${string}"
                } else {
                    segment
                }
            });
            format!("`{}`", segments.collect::<Vec<_>>().join("."))
        });
        let patterns = patterns.collect::<BTreeSet<_>>();
        if !patterns.is_empty() {
            file.push_str("\nexport type Channel =");
            for pattern in patterns {
                let _ = write!(file, "\n  | {pattern}");
            }
            file.push_str(";\n");
        }
    }
}

/// The map from the names of an envelope's events to their data.
fn events_of(title: &str) -> String {
    match title {
        "Envelope" => "Events".to_owned(),
        title => format!("{title}Events"),
    }
}

fn declare_envelope(
    file: &mut String,
    envelope: &Envelope,
    events: &[&DescribedEvent<'_>],
    described: &Described<'_>,
) {
    let title = envelope.title();
    let map = events_of(title);
    let _ = write!(file, "\nexport interface {map} {{\n");
    for event in events {
        if !matches!(event.data.get("$ref"), Some(Value::String(_))) {
            comment(file, INDENT, described.description(&event.data).as_deref());
        }
        let data = type_of(&event.data, 1);
        let _ = writeln!(file, "{INDENT}{}: {data};", member(event.name));
    }
    file.push_str("}\n");
    let _ = write!(
        file,
        "\nexport interface {title}<N extends keyof {map} = keyof {map}> {{\n\
         {INDENT}{}: N;\n{INDENT}{}: {map}[N];\n",
        member(envelope.event_field()),
        member(envelope.data_field())
    );
    if let Some(first) = events.first() {
        for (name, occurrence, schema) in first.fields() {
            let optional = match occurrence {
                Occurrence::Always | Occurrence::Filled => "",
                Occurrence::Sometimes => "?",
            };
            // What is each event's own is any of theirs here.
            let own = events.iter().filter_map(|event| {
                let (_, _, schema) = event.fields().iter().find(|(known, ..)| known == name)?;
                Some(type_of(schema, 1))
            });
            let types = own.collect::<BTreeSet<_>>();
            let types = match types.len() {
                0 | 1 => type_of(schema, 1),
                _ => types.into_iter().collect::<Vec<_>>().join(" | "),
            };
            let _ = writeln!(file, "{INDENT}{}{optional}: {types};", member(name));
        }
    }
    file.push_str("}\n");
}

fn declare_publications(file: &mut String, described: &Described<'_>) {
    let events = described.events.iter();
    let events = events
        .filter(|event| event.event.from_clients)
        .collect::<Vec<_>>();
    if events.is_empty() {
        return;
    }
    file.push_str("\n/** What clients may publish. */\nexport interface ClientEvents {\n");
    for event in events {
        let data = type_of(&event.data, 1);
        let _ = writeln!(file, "{INDENT}{}: {data};", member(event.name));
    }
    let _ = write!(
        file,
        "}}\n\nexport interface Publication<N extends keyof ClientEvents = keyof ClientEvents> {{\n\
         {INDENT}event: N;\n{INDENT}channel?: string;\n{INDENT}data: ClientEvents[N];\n}}\n"
    );
}

/// A definition as an interface, or where it is no object with members as a type.
fn declare(file: &mut String, name: &str, schema: &Value) {
    comment(file, "", schema.get("description").and_then(Value::as_str));
    let is_interface = schema.get("type").is_some_and(|kind| kind == "object")
        && schema.get("properties").is_some()
        && !["anyOf", "oneOf", "allOf", "$ref"]
            .iter()
            .any(|key| schema.get(key).is_some());
    let definition = type_of(schema, 0);
    let _ = if is_interface {
        writeln!(file, "export interface {name} {definition}")
    } else {
        writeln!(file, "export type {name} = {definition};")
    };
}

fn comment(file: &mut String, indent: &str, text: Option<&str>) {
    let Some(text) = text else { return };
    let text = text.replace("*/", "* /");
    match text.contains('\n') {
        false => {
            let _ = writeln!(file, "{indent}/** {text} */");
        }
        true => {
            let _ = writeln!(file, "{indent}/**");
            for line in text.lines() {
                let _ = writeln!(file, "{}", format!("{indent} * {line}").trim_end());
            }
            let _ = writeln!(file, "{indent} */");
        }
    }
}

/// A schema as a type; `depth` is how far its members are indented.
fn type_of(schema: &Value, depth: usize) -> String {
    let Some(schema) = schema.as_object() else {
        return match schema.as_bool() {
            Some(false) => "never".to_owned(),
            _ => "unknown".to_owned(),
        };
    };
    if let Some(name) = schema.get("$ref").and_then(Value::as_str) {
        return name.rsplit('/').next().unwrap_or(name).to_owned();
    }
    if let Some(value) = schema.get("const") {
        return value.to_string();
    }
    if let Some(values) = schema.get("enum").and_then(Value::as_array) {
        return union(values.iter().map(Value::to_string));
    }
    for (key, join) in [("anyOf", " | "), ("oneOf", " | "), ("allOf", " & ")] {
        if let Some(schemas) = schema.get(key).and_then(Value::as_array) {
            let mut types = Vec::new();
            // What holds for all of them stands beside them.
            if schema.contains_key("properties") {
                types.push(object(schema, depth));
            }
            let alternatives = schemas.iter().map(|schema| type_of(schema, depth));
            match join {
                " | " => types.push(union(alternatives)),
                _ => types.extend(alternatives),
            }
            let types = types.iter().map(|kind| match kind.contains(" | ") {
                true if types.len() > 1 => format!("({kind})"),
                _ => kind.clone(),
            });
            return types.collect::<Vec<_>>().join(" & ");
        }
    }
    match schema.get("type") {
        Some(Value::String(kind)) => of_kind(kind, schema, depth),
        Some(Value::Array(kinds)) => {
            let kinds = kinds.iter().filter_map(Value::as_str);
            union(kinds.map(|kind| of_kind(kind, schema, depth)))
        }
        _ if schema.contains_key("properties") => object(schema, depth),
        _ => "unknown".to_owned(),
    }
}

fn of_kind(kind: &str, schema: &Map<String, Value>, depth: usize) -> String {
    match kind {
        "string" => "string".to_owned(),
        "integer" | "number" => "number".to_owned(),
        "boolean" => "boolean".to_owned(),
        "null" => "null".to_owned(),
        "array" => match schema.get("items") {
            Some(Value::Array(items)) => {
                let items = items.iter().map(|item| type_of(item, depth));
                format!("[{}]", items.collect::<Vec<_>>().join(", "))
            }
            Some(items) => format!("Array<{}>", type_of(items, depth)),
            None => "Array<unknown>".to_owned(),
        },
        "object" => object(schema, depth),
        _ => "unknown".to_owned(),
    }
}

fn object(schema: &Map<String, Value>, depth: usize) -> String {
    let properties = schema.get("properties").and_then(Value::as_object);
    let required = schema.get("required").and_then(Value::as_array);
    let is_required = |name: &str| required.is_some_and(|names| names.iter().any(|n| n == name));
    let Some(properties) = properties.filter(|properties| !properties.is_empty()) else {
        return match schema.get("additionalProperties") {
            Some(Value::Bool(false)) => "Record<string, never>".to_owned(),
            Some(values @ Value::Object(_)) => {
                format!("Record<string, {}>", type_of(values, depth))
            }
            _ => "Record<string, unknown>".to_owned(),
        };
    };
    let indent = INDENT.repeat(depth + 1);
    let mut text = "{\n".to_owned();
    for (name, property) in properties {
        let description = property.get("description").and_then(Value::as_str);
        comment(&mut text, &indent, description);
        let optional = if is_required(name) { "" } else { "?" };
        let kind = type_of(property, depth + 1);
        let _ = writeln!(text, "{indent}{}{optional}: {kind};", member(name));
    }
    text.push_str(&INDENT.repeat(depth));
    text.push('}');
    text
}

/// Alternatives, each once.
fn union(types: impl Iterator<Item = String>) -> String {
    let mut distinct = Vec::new();
    for kind in types {
        if !distinct.contains(&kind) {
            distinct.push(kind);
        }
    }
    match distinct.is_empty() {
        true => "never".to_owned(),
        false => distinct.join(" | "),
    }
}

/// A member's name, quoted where it is no identifier.
fn member(name: &str) -> String {
    let mut letters = name.chars();
    let begins = |c: char| c.is_ascii_alphabetic() || c == '_' || c == '$';
    let goes_on = |c: char| begins(c) || c.is_ascii_digit();
    match letters.next().is_some_and(begins) && letters.all(goes_on) {
        true => name.to_owned(),
        false => serde_json::to_string(name).expect("strings serialize"),
    }
}
