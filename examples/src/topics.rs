//! The server of the service topics that a URL names.

#[cfg(feature = "brokers")]
use std::error::Error;
#[cfg(feature = "brokers")]
use std::sync::Arc;

#[cfg(feature = "brokers")]
use fanfare::BrokerError;
use fanfare::NodeBuilder;

#[cfg(feature = "brokers")]
use crate::ingest::Own;
use crate::platform::Platform;

/// Gives a node the sink that `--topics` names: the URL of a server, or `none`. Without the flag, it is
/// the server of `--broker` where that is of the kind that the platform's documents have for topics.
///
/// # Errors
/// A sentence that says what is wrong with the URL, or that the server is away.
#[cfg(feature = "brokers")]
pub(crate) async fn attach<P: Platform>(
    node: NodeBuilder,
    topics: Option<&str>,
    broker: &str,
) -> Result<NodeBuilder, String> {
    let of_broker = || P::TOPICS.and_then(|scheme| without_cluster(broker, scheme));
    let url = match topics {
        Some("none") => None,
        Some(url) => Some(url.to_owned()),
        None => of_broker(),
    };
    let Some(url) = url else { return Ok(node) };
    let engine = Box::pin(P::engine(&url)).await;
    let engine = engine.map_err(|error| format!("--topics: {}", reason(&error)))?;
    Ok(node.sink(Arc::new(Own(engine))))
}

/// Of a build without brokers, none can be had.
#[cfg(not(feature = "brokers"))]
#[allow(
    clippy::extra_unused_type_parameters,
    reason = "called like the one that connects"
)]
pub(crate) async fn attach<P: Platform>(
    node: NodeBuilder,
    topics: Option<&str>,
    _broker: &str,
) -> Result<NodeBuilder, String> {
    match topics {
        None | Some("none") => Ok(node),
        Some(_) => Err("--topics: this server was built without the feature `brokers`".to_owned()),
    }
}

/// The broker's URL without what only the broker between nodes understands; none where it is of
/// another kind than `scheme`.
#[cfg(feature = "brokers")]
fn without_cluster(url: &str, scheme: &str) -> Option<String> {
    let rest = url.strip_prefix(scheme)?;
    if !rest.starts_with("://") {
        return None;
    }
    Some(server(url))
}

/// What an error came from, in one line. Its own words say only whose fault it was, and of a URL that is
/// none they would say that a broker refused it.
#[cfg(feature = "brokers")]
pub(crate) fn reason(error: &BrokerError) -> String {
    let cause = error.source().map(ToString::to_string);
    let reason = cause.unwrap_or_else(|| error.to_string());
    reason.replace('\n', " ")
}

/// A broker's URL without what only the broker between nodes understands.
#[cfg(feature = "brokers")]
pub(crate) fn server(url: &str) -> String {
    let server = url.split_once('?').map_or(url, |(server, _)| server);
    server.to_owned()
}

#[cfg(all(test, feature = "brokers"))]
mod tests {
    use super::*;

    #[test]
    fn the_brokers_server_is_used_for_topics_where_it_is_of_their_kind() {
        let kafka = without_cluster("kafka://a:1,b:2?cluster=x&partitions=3", "kafka");
        assert_eq!(kafka.as_deref(), Some("kafka://a:1,b:2"));
        let amqp = without_cluster("amqp://u:p@a:1/%2f", "amqp");
        assert_eq!(amqp.as_deref(), Some("amqp://u:p@a:1/%2f"));
        assert_eq!(without_cluster("amqps://a:1", "amqp"), None);
        assert_eq!(without_cluster("memory:", "amqp"), None);
    }
}
