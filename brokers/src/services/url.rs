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
        Some("amqp" | "amqps") => rabbitmq(url).await,
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

#[cfg(feature = "rabbitmq")]
async fn rabbitmq(url: &str) -> Result<Arc<dyn Engine>, BrokerError> {
    use super::rabbitmq::{Durability, RabbitMq, Topology};

    let (server, query) = url.split_once('?').unwrap_or((url, ""));
    let (mut topology, mut durability) = (Topology::gamification(), Durability::Classic);
    let mut others = Vec::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        match pair.split_once('=') {
            Some(("exchange", name)) if !name.is_empty() && name != topology.exchange => {
                topology = Topology::new(name);
            }
            Some(("exchange", _)) => {}
            Some(("queues", "classic")) => durability = Durability::Classic,
            Some(("queues", "quorum")) => durability = Durability::Quorum,
            Some(("queues", _)) => return Err(refused("queues are classic or quorum")),
            _ => others.push(pair),
        }
    }
    let query = if others.is_empty() { "" } else { "?" };
    let server = format!("{server}{query}{}", others.join("&"));
    let engine = RabbitMq::connect(&server, topology.durability(durability)).await?;
    Ok(Arc::new(engine))
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
