//! A platform's messages as an AsyncAPI document.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::schema::{Control, Described, DescribedEvent, View};
use super::typed::EventType;
use super::{Catalog, ChannelPattern};
use crate::retry::Backoff;

const SCHEMAS: &str = "/components/schemas";

impl Catalog {
    /// An [AsyncAPI 3.0](https://www.asyncapi.com/docs/reference/specification/v3.0.0) document of this
    /// event set as the server's clients see it: the channels with the messages that arrive there, what
    /// clients may publish, the topics that backend services read, and the schemas of all of it. What
    /// AsyncAPI has no word for (priority, guarantee, retries, roles) stands under `x-fanfare`.
    ///
    /// Cost: made anew at each call.
    #[must_use]
    pub fn asyncapi(&self, title: &str, version: &str) -> String {
        let described = Described::new(self, SCHEMAS);
        let mut document = Document::default();
        for event in &described.events {
            document.event(event, &described);
        }
        for (control, schema) in &described.controls {
            document.control(control, schema, &described);
        }
        let document = json!({
            "asyncapi": "3.0.0",
            "info": { "title": title, "version": version },
            "defaultContentType": "application/json",
            "channels": document.channels,
            "operations": document.operations,
            "components": {
                "messages": document.messages,
                "schemas": described.definitions,
            },
        });
        format!("{document:#}\n")
    }
}

#[derive(Default)]
struct Document {
    channels: BTreeMap<String, Value>,
    operations: BTreeMap<String, Value>,
    messages: BTreeMap<String, Value>,
}

/// Who sends, as the server sees it.
#[derive(Clone, Copy)]
enum Action {
    Send,
    Receive,
}

impl Document {
    fn event(&mut self, described: &DescribedEvent<'_>, all: &Described<'_>) {
        let DescribedEvent { event, name, .. } = *described;
        let message = json!({
            "name": name,
            "payload": described.schema(View::Subscriber),
            "x-fanfare": about(event),
        });
        let key = self.message(name, message, all.description(&described.data));
        for pattern in described.channels {
            let channel = self.channel(pattern);
            self.operation(Action::Send, &channel, &key);
        }
        for topic in event.topics {
            let channel = self.topic(topic);
            self.operation(Action::Send, &channel, &key);
        }
        if event.from_clients {
            let message = json!({
                "name": name,
                "payload": {
                    "type": "object",
                    "properties": {
                        "event": { "const": name },
                        "channel": { "type": "string" },
                        "data": described.data,
                    },
                    "required": ["event", "data"],
                    "additionalProperties": false,
                },
            });
            let summary = Some("As clients publish it.".to_owned());
            let key = self.message(&format!("{name}.from-client"), message, summary);
            for pattern in described.channels {
                let channel = self.channel(pattern);
                self.operation(Action::Receive, &channel, &key);
            }
        }
    }

    fn control(&mut self, control: &Control, schema: &Value, all: &Described<'_>) {
        let message = json!({ "name": control.name, "payload": schema });
        let key = self.message(control.name, message, all.description(schema));
        let channel = json!({
            "address": null,
            "description": "The connection itself.",
            "messages": {},
        });
        self.channels
            .entry("connection".to_owned())
            .or_insert(channel);
        let action = match control.from_clients {
            true => Action::Receive,
            false => Action::Send,
        };
        self.operation(action, "connection", &key);
    }

    /// Adds a message, and says under which key.
    fn message(&mut self, name: &str, mut message: Value, summary: Option<String>) -> String {
        if let Some(summary) = summary {
            message["description"] = summary.into();
        }
        let wanted = key(name);
        let mut key = wanted.clone();
        // Names that differ in separators alone, and the same event in another envelope.
        for number in 2.. {
            if !self.messages.contains_key(&key) {
                break;
            }
            key = format!("{wanted}-{number}");
        }
        self.messages.insert(key.clone(), message);
        key
    }

    /// The key of the channels of a form.
    fn channel(&mut self, pattern: &ChannelPattern) -> String {
        let key = key(&pattern.as_str().replace(['{', '}'], ""));
        let parameters = pattern.as_str().split('.').filter_map(|segment| {
            let name = segment.strip_prefix('{')?.strip_suffix('}')?;
            Some((name.to_owned(), json!({})))
        });
        let parameters = parameters.collect::<Map<_, _>>();
        let mut channel = json!({ "address": pattern.as_str(), "messages": {} });
        if !parameters.is_empty() {
            channel["parameters"] = parameters.into();
        }
        self.channels.entry(key.clone()).or_insert(channel);
        key
    }

    /// The key of a topic.
    fn topic(&mut self, topic: &str) -> String {
        let key = format!("topic.{}", key(topic));
        let channel = json!({
            "address": topic,
            "description": "A topic that backend services read.",
            "messages": {},
        });
        self.channels.entry(key.clone()).or_insert(channel);
        key
    }

    fn operation(&mut self, action: Action, channel: &str, message: &str) {
        let verb = match action {
            Action::Send => "send",
            Action::Receive => "receive",
        };
        let entry = self.operations.entry(format!("{verb}.{channel}"));
        let operation = entry.or_insert_with(|| {
            json!({
                "action": verb,
                "channel": { "$ref": format!("#/channels/{channel}") },
                "messages": [],
            })
        });
        let of_channel = json!({ "$ref": format!("#/channels/{channel}/messages/{message}") });
        if let Some(messages) = operation["messages"].as_array_mut() {
            messages.push(of_channel);
        }
        if let Some(channel) = self.channels.get_mut(channel) {
            let shared = json!({ "$ref": format!("#/components/messages/{message}") });
            channel["messages"][message] = shared;
        }
    }
}

/// What holds for an event beside its schema.
fn about(event: &EventType) -> Value {
    let mut about = json!({
        "family": event.family,
        "priority": event.priority.as_str(),
        "guarantee": event.guarantee,
        "retries": event.retry.retries,
        "fromClients": event.from_clients,
    });
    let pause = match event.retry.backoff {
        Backoff::None => None,
        Backoff::Linear(step) => Some(("linear", step)),
        Backoff::Exponential(first) => Some(("exponential", first)),
    };
    if let Some((backoff, first)) = pause {
        about["backoff"] = backoff.into();
        about["firstPauseSeconds"] = first.as_secs_f64().into();
    }
    if !event.roles.is_empty() {
        about["roles"] = event.roles.into();
    }
    about
}

/// A key as AsyncAPI allows them: `[a-zA-Z0-9.\-_]+`.
fn key(name: &str) -> String {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    name.chars()
        .map(|c| if allowed(c) { c } else { '.' })
        .collect()
}
