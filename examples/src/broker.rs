//! The broker that a URL names.

use fanfare::NodeBuilder;
#[cfg(feature = "brokers")]
use fanfare_brokers::fan_out::{
    jetstream::JetStream, kafka::Kafka, nats::Nats, rabbitmq::RabbitMq,
};

#[cfg(feature = "brokers")]
use crate::serve::causes;

/// Gives a node the broker that `url` names; none where that is `memory:`.
///
/// # Errors
/// A sentence that says what is wrong with the URL.
#[cfg(feature = "brokers")]
pub(crate) fn attach(node: NodeBuilder, url: &str) -> Result<NodeBuilder, String> {
    let wrong = |error: &dyn std::error::Error| format!("--broker: {}", causes(error));
    match url.split_once(':').map(|(scheme, _)| scheme) {
        Some("memory") if url == "memory:" => Ok(node),
        Some("nats") => {
            let broker = Nats::from_url(url).map_err(|error| wrong(&error))?;
            Ok(node.broker(broker))
        }
        Some("nats+jetstream") => {
            let broker = JetStream::from_url(url).map_err(|error| wrong(&error))?;
            Ok(node.broker(broker))
        }
        Some("amqp" | "amqps") => {
            let broker = RabbitMq::from_url(url).map_err(|error| wrong(&error))?;
            Ok(node.broker(broker))
        }
        Some("kafka") => {
            let broker = Kafka::from_url(url).map_err(|error| wrong(&error))?;
            Ok(node.broker(broker))
        }
        _ => Err(
            "--broker is `memory:`, `nats://HOST:PORT`, `nats+jetstream://HOST:PORT`, \
             `amqp://USER:PASSWORD@HOST:PORT/VHOST` or `kafka://HOST:PORT`"
                .to_owned(),
        ),
    }
}

/// Of a build without brokers, only `memory:` can be had.
#[cfg(not(feature = "brokers"))]
pub(crate) fn attach(node: NodeBuilder, url: &str) -> Result<NodeBuilder, String> {
    if url == "memory:" {
        Ok(node)
    } else {
        Err("--broker: this server was built without the feature `brokers`".to_owned())
    }
}
