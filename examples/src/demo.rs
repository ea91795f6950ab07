//! A stream of events as a platform's backend might publish them.

mod scene;

use std::time::Duration;

use fanfare::Node;
use rand::SeedableRng;
use rand::rngs::StdRng;
use serde_json::Value;
use tokio::time::{MissedTickBehavior, interval};
use tracing::warn;

use crate::platform::Platform;

pub(crate) use scene::Scene;

/// The most often that a stream publishes; more events a second go out several at a time.
const TICK: Duration = Duration::from_millis(10);

/// Publishes `rate` events a second of the platform's life until the node goes down. The same events
/// every time.
pub async fn run<P: Platform>(node: Node, rate: f64) {
    let mut life = P::life(StdRng::seed_from_u64(1));
    let mut tick = interval(TICK.max(Duration::from_secs_f64(1.0 / rate)));
    tick.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let per_tick = rate * tick.period().as_secs_f64();
    let mut owed = 0.0;
    while !node.is_draining() {
        tick.tick().await;
        owed += per_tick;
        while owed >= 1.0 {
            owed -= 1.0;
            let Some(envelope) = life.next() else {
                return;
            };
            if let Err(problem) = publish(&node, &envelope).await {
                warn!(problem, "demo");
            }
        }
    }
}

/// Publishes an envelope as if it had come over the server API.
pub(crate) async fn publish(node: &Node, envelope: &Value) -> Result<(), String> {
    let Some(catalog) = node.catalog() else {
        return Ok(());
    };
    let admitted = catalog
        .read_from_server(envelope.to_string().as_bytes(), &node.config().limits)
        .map_err(|error| format!("{error} in {envelope}"))?;
    let events = admitted
        .into_iter()
        .flat_map(|admitted| admitted.events)
        .collect();
    match node.publish_all(events).await {
        Ok(_) => Ok(()),
        Err(error) if node.is_draining() => {
            drop(error);
            Ok(())
        }
        Err(error) => Err(error.to_string()),
    }
}
