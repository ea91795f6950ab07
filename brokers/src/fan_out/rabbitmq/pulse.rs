//! Whether the server is there, and how far this node is behind.

use std::pin::pin;
use std::sync::atomic::Ordering;
use std::time::Duration;

use lapin::options::ExchangeDeclareOptions;
use lapin::types::FieldTable;
use lapin::{Channel, ExchangeKind};
use tokio::time::{sleep, timeout};

use super::connection::{Failure, Session, name};
use super::reader::newest;
use super::stream::{Names, Shared, lock};

/// Between a question and the next.
pub(super) const PAUSE: Duration = Duration::from_millis(500);
/// After this much silence the server counts as away.
pub(super) const ANSWER: Duration = Duration::from_millis(1_500);
/// And after this much more the connection is given up.
const PATIENCE: Duration = Duration::from_secs(4);
/// How many questions about the server there are to one about the log.
const ROUNDS: u32 = 10;

/// Asks the server for something small again and again: a server that was stopped, or is cut off,
/// closes nothing. Heartbeats would notice too, but later, and say nothing of a server that lives and
/// does no work.
pub(super) async fn pulse(
    session: &Session,
    names: &Names,
    log: &str,
    shared: &Shared,
) -> Result<std::convert::Infallible, Failure> {
    let channel = session.channel().await?;
    for round in 1_u32.. {
        sleep(PAUSE).await;
        ask(&channel, names, shared).await?;
        shared.answers.store(session.is_open(), Ordering::Release);
        if round % ROUNDS == 0
            && let Some(newest) = newest(session, log).await?
        {
            let read = lock(&shared.read).as_ref().map_or(0, |read| read.to);
            let lag = (newest + 1).saturating_sub(read);
            #[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
            metrics::gauge!("fanfare_broker_lag").set(lag as f64);
        }
    }
    Err(Failure::away("the connection was open for too long"))
}

async fn ask(channel: &Channel, names: &Names, shared: &Shared) -> Result<(), Failure> {
    let mut asked = pin!(question(channel, &names.live, ExchangeKind::Fanout));
    let answered = match timeout(ANSWER, &mut asked).await {
        Ok(answered) => answered,
        Err(_) => {
            shared.answers.store(false, Ordering::Release);
            let late = timeout(PATIENCE, asked).await;
            late.map_err(|_| Failure::away("the server does not answer"))?
        }
    };
    answered.map_err(|error| Failure::of("asking for an exchange failed", &error))
}

/// Asks for an exchange that is there.
pub(super) async fn question(
    channel: &Channel,
    exchange: &str,
    kind: ExchangeKind,
) -> lapin::Result<()> {
    let passive = ExchangeDeclareOptions {
        passive: true,
        ..ExchangeDeclareOptions::default()
    };
    let asked = channel.exchange_declare(name(exchange), kind, passive, FieldTable::default());
    asked.await
}
