//! Waiting for what a test cannot be told about.

use std::time::Duration;

use tokio::time::{Instant, sleep};

/// How long the server may take over what it has no reason to put off.
pub const SOON: Duration = Duration::from_secs(10);
/// Longer than an event of any priority may wait.
pub const IN_TIME: Duration = Duration::from_secs(15);
/// Between two looks.
const POLL: Duration = Duration::from_millis(10);

/// Looks again and again until `look` finds something.
///
/// # Panics
/// With `what` was waited for, where it did not happen `within` that time.
pub async fn until<T>(what: &str, within: Duration, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + within;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < deadline, "{what}: not within {within:?}");
        sleep(POLL).await;
    }
}
