//! Events for those who are there.

use tokio::time::timeout;

use super::ledger::{Ledger, Published, channel};
use super::proving::{Proving, config, is_quiet, next};
use super::{Client, Plan};
use crate::event::{Guarantee, Priority};
use crate::testing::promise;

/// Ephemeral events arrive live, where the transport delivers them at all; they do not come back
/// to a client that resumes, and do not move the place from where it does.
///
/// # Panics
/// With the promise that the transport breaks.
pub async fn check_ephemeral<C: Client>(plan: &Plan) {
    let proving = Proving::<C>::with(config(), plan).await;
    let channels = [channel(0)];
    let can = C::capabilities();
    let mut published = Published::default();
    let mut ledger = Ledger::of(&channels, plan.seed);
    let mut client = proving.connect(&channels, None).await;
    let start = client.resume();
    let urgent = |published: &mut Published| {
        let event = published.event(&channels[0], 0);
        event.with_priority(Priority::High)
    };
    let fleeting = || {
        let event = Published::uncounted(&channels[0]).with_priority(Priority::High);
        event.with_guarantee(Guarantee::Ephemeral)
    };
    for _ in 0..3 {
        proving.publish(fleeting()).await;
        if can.ephemeral {
            take_fleeting(&mut client, &ledger, plan).await;
        }
        proving.publish(urgent(&mut published)).await;
        ledger.take(&next(&mut client, plan.patience).await);
    }
    proving.publish(fleeting()).await;
    if can.ephemeral {
        take_fleeting(&mut client, &ledger, plan).await;
    }
    is_quiet(&mut client, &mut ledger).await;
    if !can.resume {
        return;
    }
    let here = client.resume();
    drop(client);
    // Nobody is there.
    proving.publish(fleeting()).await;
    proving.publish_and_flush(urgent(&mut published)).await;
    let fresh = Ledger::of(&channels, plan.seed);
    for (resume, mut ledger, missed) in [(here, ledger, 1), (start, fresh, 4)] {
        let mut client = proving.connect(&channels, resume.as_ref()).await;
        for _ in 0..missed {
            ledger.take(&next(&mut client, plan.patience).await);
        }
        is_quiet(&mut client, &mut ledger).await;
    }
}

async fn take_fleeting<C: Client>(client: &mut C, ledger: &Ledger, plan: &Plan) {
    match timeout(plan.patience, client.next()).await {
        Ok(Ok(received)) => ledger.take_uncounted(&received),
        Ok(Err(_)) | Err(_) => promise!(
            false,
            "an ephemeral event arrives with those who are there, in its place",
            "none within {:?}",
            plan.patience
        ),
    }
}
