//! What clients may publish.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::Catalog;
use super::sent::Sent;
use crate::auth::Identity;
use crate::channel::Channel;
use crate::error::{Error, ErrorKind, Problem};
use crate::event::Event;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FromClient<'a> {
    event: String,
    channel: Option<String>,
    #[serde(borrow)]
    data: &'a RawValue,
}

impl Catalog {
    /// Reads `{event, channel, data}` as a client publishes it; without `channel` it is `channel`
    /// that the command named. The envelope around it is the server's.
    ///
    /// # Errors
    /// [`InvalidEvent`](ErrorKind::InvalidEvent) with the problems by path;
    /// [`PermissionDenied`](ErrorKind::PermissionDenied) where clients may not publish the event,
    /// or not in that user's name.
    pub fn read_from_client(
        &self,
        identity: &Identity,
        channel: Option<&Channel>,
        published: &RawValue,
    ) -> Result<Event, Error> {
        let published =
            serde_json::from_str::<FromClient<'_>>(published.get()).map_err(|error| {
                let text = error.to_string();
                let text = text
                    .split(" at line ")
                    .next()
                    .unwrap_or_default()
                    .to_owned();
                Error::invalid_event(vec![Problem::new("data", text)])
            })?;
        let named = match (channel, &published.channel) {
            (Some(channel), Some(named)) if channel.as_str() != named => {
                let problem = Problem::new("channel", "is not the channel that is published to");
                return Err(Error::invalid_event(vec![problem]));
            }
            (channel, named) => named.as_deref().or(channel.map(Channel::as_str)),
        };
        let envelope = self.envelope_from_client(&published, named, identity);
        let draft = Sent::read(&envelope)
            .and_then(|sent| self.envelope.draft(sent))
            .map_err(Error::invalid_event)?;
        let event_type = self.event_type(&draft).map_err(Error::invalid_event)?;
        if !event_type.from_clients {
            return Err(Error::new(
                ErrorKind::PermissionDenied,
                format!("clients may not publish {}", published.event),
            ));
        }
        let reading = event_type
            .read(draft.data(), &draft.fields())
            .map_err(Error::invalid_event)?;
        if reading
            .author
            .is_some_and(|author| *author != *identity.user)
        {
            return Err(Error::new(
                ErrorKind::PermissionDenied,
                "a client may speak in its own user's name only",
            ));
        }
        let admitted = self.admit(&draft).map_err(Error::invalid_event)?;
        let mut events = admitted.events.into_iter();
        match (events.next(), events.next()) {
            (Some(event), None) => Ok(event),
            _ => Err(Error::new(
                ErrorKind::PermissionDenied,
                "clients publish to one channel at a time",
            )),
        }
    }

    fn envelope_from_client(
        &self,
        published: &FromClient<'_>,
        channel: Option<&str>,
        identity: &Identity,
    ) -> String {
        let text = |text: &str| serde_json::to_string(text).expect("strings serialize");
        let mut envelope = format!(
            "{{\"{}\":{}",
            self.envelope.event_field(),
            text(&published.event)
        );
        if let Some(channel) = channel {
            envelope.push_str(&format!(
                ",\"{}\":{}",
                self.envelope.channel_field(),
                text(channel)
            ));
        }
        if let Some((name, json)) = self.envelope.user_field(identity) {
            envelope.push_str(&format!(",\"{name}\":{json}"));
        }
        envelope.push_str(&format!(
            ",\"{}\":{}}}",
            self.envelope.data_field(),
            published.data.get()
        ));
        envelope
    }
}
