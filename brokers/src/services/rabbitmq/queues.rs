//! How the server's queues are.

use fanfare::{BrokerError, BrokerErrorKind};
use lapin::options::QueueDeclareOptions;
use lapin::types::FieldTable;

use super::connection::Live;
use super::error::{answer, short};

/// How a queue is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct QueueState {
    /// Its name.
    pub name: String,
    /// Messages that wait. Those that a consumer has in hand are not among them.
    pub messages: u64,
    /// Consumers that read it, of this program and of others.
    pub consumers: u64,
}

/// Asks for queues one after the other. Those that there are not are left out.
pub(super) async fn states(live: &Live, names: &[&str]) -> Result<Vec<QueueState>, BrokerError> {
    let mut channel = live.channel().await?;
    let mut states = Vec::with_capacity(names.len());
    for name in names {
        let passive = QueueDeclareOptions::default().passive();
        let declared = channel.queue_declare(short(name)?, passive, FieldTable::default());
        match answer(&format!("ask for queue {name}"), declared).await {
            Ok(queue) => states.push(QueueState {
                name: (*name).to_owned(),
                messages: u64::from(queue.message_count()),
                consumers: u64::from(queue.consumer_count()),
            }),
            // The server has closed the channel.
            Err(error) if error.kind() == BrokerErrorKind::Rejected => {
                channel = live.channel().await?;
            }
            Err(error) => return Err(error),
        }
    }
    answer("close a channel", channel.close(200, "OK".into())).await?;
    Ok(states)
}
