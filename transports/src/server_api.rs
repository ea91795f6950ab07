//! What a backend asks and tells a node, besides publishing.
//!
//! Everything here is about this node alone: its channels, its history, its connections.

mod disconnect;
mod history;

use std::borrow::Cow;

use bytes::Bytes;
use fanfare::{Channel, Error, ErrorKind, Member, Node};
use http::{Method, Request, Response, StatusCode};
use percent_encoding::percent_decode_str;
use serde::Serialize;

use crate::Body;
use crate::refusal::json;

/// A path of the server API. Its segments are as they came, not decoded yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Endpoint<'a> {
    /// `/channels`
    Channels,
    /// `/channels/{channel}/history`
    History(&'a str),
    /// `/channels/{channel}/presence`
    Presence(&'a str),
    /// `/users/{id}/connections`
    Connections(&'a str),
    /// `/users/{id}/disconnect`
    Disconnect(&'a str),
}

#[derive(Serialize)]
struct Channels {
    channels: Vec<Subscribed>,
}

#[derive(Serialize)]
struct Subscribed {
    channel: Channel,
    subscribers: usize,
}

#[derive(Serialize)]
struct Presence {
    clients: Vec<Member>,
    users: usize,
}

#[derive(Serialize)]
struct Connections {
    connections: Vec<Connection>,
}

#[derive(Serialize)]
struct Connection {
    client: String,
    transport: String,
    connected_at: String,
    channels: Vec<Channel>,
}

impl<'a> Endpoint<'a> {
    /// What is at a path; none where nothing is.
    pub(crate) fn at(path: &'a str) -> Option<Self> {
        let mut segments = path.strip_prefix('/')?.split('/');
        let segments = [(); 4].map(|()| segments.next());
        match segments {
            [Some("channels"), None, ..] => Some(Self::Channels),
            [Some("channels"), Some(channel), Some("history"), None] => {
                Some(Self::History(channel))
            }
            [Some("channels"), Some(channel), Some("presence"), None] => {
                Some(Self::Presence(channel))
            }
            [Some("users"), Some(user), Some("connections"), None] => Some(Self::Connections(user)),
            [Some("users"), Some(user), Some("disconnect"), None] => Some(Self::Disconnect(user)),
            _ => None,
        }
    }

    /// The method that it is for.
    pub(crate) const fn method(self) -> Method {
        match self {
            Self::Channels | Self::History(_) | Self::Presence(_) | Self::Connections(_) => {
                Method::GET
            }
            Self::Disconnect(_) => Method::POST,
        }
    }

    /// Answers a request of one who brought the key.
    pub(crate) async fn answer<B>(
        self,
        node: &Node,
        request: Request<B>,
    ) -> Result<Response<Body>, Error>
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        match self {
            Self::Channels => Ok(json(StatusCode::OK, &channels(node).await)),
            Self::History(name) => {
                let (parts, _) = request.into_parts();
                history::history(node, &channel(name)?, &parts).await
            }
            Self::Presence(name) => Ok(json(StatusCode::OK, &presence(node, &channel(name)?)?)),
            Self::Connections(id) => {
                let connections = connections(node, &user(id)?).await;
                Ok(json(StatusCode::OK, &connections))
            }
            Self::Disconnect(id) => {
                disconnect::disconnect(node, &user(id)?, request.into_body()).await
            }
        }
    }
}

async fn channels(node: &Node) -> Channels {
    let mut channels = node.channels().await;
    channels.sort_unstable();
    let channels = channels.into_iter();
    Channels {
        channels: channels
            .map(|(channel, subscribers)| Subscribed {
                channel,
                subscribers,
            })
            .collect(),
    }
}

fn presence(node: &Node, channel: &Channel) -> Result<Presence, Error> {
    let mut clients = node.presence(channel)?;
    clients.sort_by(|a, b| (&a.user, &a.client).cmp(&(&b.user, &b.client)));
    let (_, users) = node.presence_stats(channel)?;
    Ok(Presence { clients, users })
}

async fn connections(node: &Node, user: &str) -> Connections {
    let mut connections = node.connections_of(user).await;
    connections.sort_by(|a, b| (a.connected_at, &a.client).cmp(&(b.connected_at, &b.client)));
    let connections = connections.into_iter().map(|mut connection| {
        connection.channels.sort_unstable();
        Connection {
            client: connection.client,
            transport: connection.transport,
            // A clock that stands outside the years that RFC 3339 can write says nothing.
            connected_at: jiff::Timestamp::try_from(connection.connected_at)
                .map_or_else(|_| String::new(), |at| format!("{at:.3}")),
            channels: connection.channels,
        }
    });
    Connections {
        connections: connections.collect(),
    }
}

fn channel(segment: &str) -> Result<Channel, Error> {
    Channel::new(&decode(segment)?).map_err(|error| bad_request(error.to_string()))
}

fn user(segment: &str) -> Result<Cow<'_, str>, Error> {
    let user = decode(segment)?;
    if Channel::is_segment(&user) {
        Ok(user)
    } else {
        Err(bad_request("a user id is of A-Z a-z 0-9 _ - : only"))
    }
}

fn decode(segment: &str) -> Result<Cow<'_, str>, Error> {
    percent_decode_str(segment)
        .decode_utf8()
        .map_err(|_| bad_request("the path is not UTF-8"))
}

fn bad_request(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::BadRequest, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_an_endpoint_or_nothing() {
        for (path, endpoint) in [
            ("/channels", Some(Endpoint::Channels)),
            ("/channels/a.1/history", Some(Endpoint::History("a.1"))),
            ("/channels/a.1/presence", Some(Endpoint::Presence("a.1"))),
            ("/channels//history", Some(Endpoint::History(""))),
            ("/users/7/connections", Some(Endpoint::Connections("7"))),
            ("/users/7/disconnect", Some(Endpoint::Disconnect("7"))),
            ("/channels/", None),
            ("/channels/a.1", None),
            ("/channels/a.1/histories", None),
            ("/channels/a.1/history/", None),
            ("/channels/a.1/history/x", None),
            ("/users", None),
            ("/users/7", None),
            ("channels", None),
            ("", None),
        ] {
            assert_eq!(Endpoint::at(path), endpoint, "{path}");
        }
    }

    #[test]
    fn a_channel_may_be_percent_encoded() {
        assert_eq!(channel("thread.1%3a2").unwrap().as_str(), "thread.1:2");
        for bad in ["", "%", "%2F", "a%2Fb", "%ff", "a..b", "a b", "a+b", "a%2"] {
            let error = channel(bad).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::BadRequest, "{bad}");
        }
    }

    #[test]
    fn a_user_id_is_one_segment() {
        assert_eq!(user("u%3A7").unwrap(), "u:7");
        for bad in ["", "a.b", "%ff", "a%2eb", "a b"] {
            assert_eq!(
                user(bad).unwrap_err().kind(),
                ErrorKind::BadRequest,
                "{bad}"
            );
        }
    }
}
