//! What the types say of a platform's messages, as JSON Schema.

use std::collections::BTreeMap;

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value, json};

use super::envelope::Occurrence;
use super::typed::EventType;
use super::{Catalog, ChannelPattern, Envelope};
use crate::event::Priority;

/// A message that one side sends and that is no event: an answer, a sign of life, a welcome. It is part of
/// a platform's documents, and cannot be published.
pub trait ControlMessage: JsonSchema + 'static {
    /// Its name on the wire.
    const NAME: &'static str;
    /// Whether clients send it; otherwise the server does.
    const FROM_CLIENTS: bool = false;
}

/// A [`ControlMessage`] without its type.
pub(super) struct Control {
    pub(super) name: &'static str,
    pub(super) from_clients: bool,
    pub(super) schema: fn(&mut SchemaGenerator) -> Value,
}

/// The schema of a type, and of what it is made of among the generator's definitions.
pub(super) fn schema_of<T: JsonSchema>(generator: &mut SchemaGenerator) -> Value {
    generator.subschema_for::<T>().to_value()
}

/// Whose view of an envelope is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum View {
    /// What a publisher sends, who may leave out what the server fills in.
    Publisher,
    /// What arrives, with nothing left out.
    Subscriber,
}

/// Everything that a platform's documents are made of. References lead to `definitions`.
pub(super) struct Described<'a> {
    pub(super) events: Vec<DescribedEvent<'a>>,
    pub(super) controls: Vec<(&'a Control, Value)>,
    /// The fields of each envelope beside event and data, with its name.
    pub(super) definitions: Map<String, Value>,
}

pub(super) struct DescribedEvent<'a> {
    pub(super) name: &'static str,
    pub(super) event: &'a EventType,
    pub(super) envelope: &'a Envelope,
    /// Every form that its channel may have.
    pub(super) channels: &'a [ChannelPattern],
    /// The schema of its data.
    pub(super) data: Value,
    /// The schemas of the envelope's other fields.
    fields: Vec<(&'static str, Occurrence, Value)>,
}

impl<'a> Described<'a> {
    /// Describes a catalog; references begin with `#` and `path`.
    pub(super) fn new(catalog: &'a Catalog, path: &'static str) -> Self {
        let settings = SchemaSettings::draft07().with(|settings| {
            settings.definitions_path = path.into();
            settings.meta_schema = None;
        });
        let mut generator = settings.into_generator();
        let mut events = Vec::new();
        let parts = std::iter::once(catalog).chain(catalog.other.iter().map(|o| &*o.catalog));
        for part in parts.clone() {
            for (&name, event) in &part.events {
                events.push(DescribedEvent {
                    name,
                    event,
                    envelope: &part.envelope,
                    channels: part.patterns(event),
                    data: (event.schema)(&mut generator),
                    fields: part.envelope.schemas(event.family, &mut generator),
                });
            }
        }
        let controls = parts.flat_map(|part| &part.controls);
        let controls = controls.map(|control| (control, (control.schema)(&mut generator)));
        let controls = controls.collect();
        let definitions = generator.take_definitions(true);
        Self {
            events,
            controls,
            definitions,
        }
    }

    /// What the type of a schema says of itself.
    pub(super) fn description(&self, schema: &Value) -> Option<String> {
        let own = schema.get("description").and_then(Value::as_str);
        let text = own.or_else(|| {
            let (_, name) = schema.get("$ref")?.as_str()?.rsplit_once('/')?;
            self.definitions.get(name)?.get("description")?.as_str()
        });
        text.map(str::to_owned)
    }
}

impl DescribedEvent<'_> {
    /// The schema of an envelope with this event.
    pub(super) fn schema(&self, view: View) -> Value {
        let mut properties = Map::new();
        let mut required = vec![self.envelope.event_field(), self.envelope.data_field()];
        properties.insert(
            self.envelope.event_field().to_owned(),
            json!({ "const": self.name }),
        );
        properties.insert(self.envelope.data_field().to_owned(), self.data.clone());
        for (name, occurrence, schema) in &self.fields {
            let is_required = match occurrence {
                Occurrence::Always => true,
                Occurrence::Filled => view == View::Subscriber,
                Occurrence::Sometimes => false,
            };
            if is_required {
                required.push(name);
            }
            properties.insert((*name).to_owned(), schema.clone());
        }
        json!({
            "type": "object",
            "properties": properties,
            "required": required,
            "additionalProperties": false,
        })
    }

    /// The fields of its envelope beside event and data.
    pub(super) fn fields(&self) -> &[(&'static str, Occurrence, Value)] {
        &self.fields
    }
}

impl Catalog {
    /// A JSON Schema (draft 7) that the envelopes of this event set match as publishers send them. What
    /// the types check beyond JSON Schema, and which channel goes with which data, it does not say.
    ///
    /// Cost: made anew at each call.
    #[must_use]
    pub fn json_schema(&self, title: &str) -> String {
        let described = Described::new(self, "/definitions");
        let mut definitions = described.definitions.clone();
        let mut names = BTreeMap::<String, usize>::new();
        let mut any = Vec::new();
        for event in &described.events {
            // The same event in another envelope has another number.
            let count = names.entry(event.name.to_owned()).or_default();
            *count += 1;
            let name = match *count {
                1 => event.name.to_owned(),
                count => format!("{}#{count}", event.name),
            };
            let mut schema = event.schema(View::Publisher);
            if let Some(description) = described.description(&event.data) {
                schema["description"] = description.into();
            }
            any.push(json!({ "$ref": format!("#/definitions/{}", escaped(&name)) }));
            definitions.insert(name, schema);
        }
        let document = json!({
            "$schema": "http://json-schema.org/draft-07/schema#",
            "title": title,
            "oneOf": any,
            "definitions": definitions,
        });
        format!("{document:#}\n")
    }
}

/// A name within a reference: JSON Pointer (RFC 6901) in a URI fragment (RFC 3986, section 3.5).
fn escaped(name: &str) -> String {
    let name = name.replace('~', "~0").replace('/', "~1");
    name.replace('#', "%23")
}

/// The schema of a priority.
pub(super) fn priorities() -> Value {
    json!({ "enum": Priority::ALL.map(Priority::as_str) })
}
