//! Handing what is published to the client library.

use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use lapin::options::BasicPublishOptions;
use lapin::types::ShortString;
use lapin::{BasicProperties, Channel, PublisherConfirm};

/// How long the server may take to confirm; then the connection is given up.
pub(super) const CONFIRM: Duration = Duration::from_secs(8);

/// What was handed to the client library, and is written in the order in which it was.
pub(super) struct Publication {
    first: Option<lapin::Result<PublisherConfirm>>,
    publishing: Publishing,
}

type Publishing = Pin<Box<dyn Future<Output = lapin::Result<PublisherConfirm>> + Send>>;

impl Publication {
    /// `to` is an exchange and a routing key.
    pub(super) async fn hand_over(
        channel: &Channel,
        to: (ShortString, ShortString),
        options: BasicPublishOptions,
        properties: BasicProperties,
        body: Bytes,
    ) -> Self {
        let channel = channel.clone();
        let mut publishing: Publishing = Box::pin(async move {
            let (exchange, routing_key) = to;
            let published =
                channel.basic_publish(exchange, routing_key, options, &body, properties);
            published.await
        });
        // The frame joins those to be written when the future is polled for the first time, so that is
        // done here, in order.
        let first = std::future::poll_fn(|context| {
            Poll::Ready(match publishing.as_mut().poll(context) {
                Poll::Ready(published) => Some(published),
                Poll::Pending => None,
            })
        });
        Self {
            first: first.await,
            publishing,
        }
    }

    /// What the server says to it, or a promise of that.
    pub(super) async fn written(self) -> lapin::Result<PublisherConfirm> {
        match self.first {
            Some(published) => published,
            None => self.publishing.await,
        }
    }
}
