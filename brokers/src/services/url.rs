//! Which engine a URL means.

use std::sync::Arc;

use fanfare::{BrokerError, BrokerErrorKind};

use super::engine::Engine;

/// Connects to the server that a URL names.
///
/// | URL | engine | feature |
/// |---|---|---|
/// | `amqp://user:password@host:5672/%2f`, `amqps://…` | RabbitMQ | `rabbitmq` |
/// | `nats://host:4222`, `nats+jetstream://host:4222`, `tls://…` | NATS JetStream | `nats` |
/// | `kafka://host:9092` | Kafka | `kafka` |
///
/// RabbitMQ's exchanges and queues are those of the gamification document
/// (`rabbitmq::Topology::gamification`), or with `?exchange=NAME` behind the URL those of another
/// exchange (`rabbitmq::Topology::new`); `?queues=quorum` asks for quorum queues.
///
/// # Errors
/// [`Rejected`](BrokerErrorKind::Rejected) where the URL names no engine that was compiled in, else
/// what the engine's own way of connecting says.
pub async fn engine_from_url(url: &str) -> Result<Arc<dyn Engine>, BrokerError> {
    let scheme = url.split_once("://").map(|(scheme, _)| scheme);
    match scheme {
        #[cfg(feature = "rabbitmq")]
        Some("amqp" | "amqps") => Ok(Arc::new(super::rabbitmq::RabbitMq::from_url(url).await?)),
        #[cfg(not(feature = "rabbitmq"))]
        Some("amqp" | "amqps") => Err(left_out("rabbitmq")),
        #[cfg(feature = "nats")]
        Some("nats" | "nats+jetstream" | "tls") => {
            Ok(Arc::new(super::nats::Nats::connect(url).await?))
        }
        #[cfg(not(feature = "nats"))]
        Some("nats" | "nats+jetstream" | "tls") => Err(left_out("nats")),
        #[cfg(feature = "kafka")]
        Some("kafka") => Ok(Arc::new(super::kafka::Kafka::connect(url).await?)),
        #[cfg(not(feature = "kafka"))]
        Some("kafka") => Err(left_out("kafka")),
        Some(_) | None => Err(refused(
            "a broker's URL begins with amqp://, nats://, nats+jetstream:// or kafka://",
        )),
    }
}

#[allow(dead_code, reason = "with every engine compiled in, none is left out")]
fn left_out(engine: &str) -> BrokerError {
    refused(format!(
        "this program was compiled without the engine {engine}"
    ))
}

fn refused(sentence: impl Into<String>) -> BrokerError {
    BrokerError::new(BrokerErrorKind::Rejected, sentence.into())
}
