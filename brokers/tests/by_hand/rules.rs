//! Rules that hold on every engine, beyond those of the public kit.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use fanfare_brokers::services::{Consumer, Engine, HandlerError, RetryPolicy, Work};
use tokio::time::timeout;

use super::{LONG, failure, group, next, nothing, record, until};

/// One that always fails is tried at once and after 1, 2 and 4 s, is a dead letter then, and is worked
/// off after the bug is fixed and it is replayed. Others go on meanwhile.
pub(crate) async fn poison(engine: Arc<dyn Engine>, topic: &str) {
    let subscription = group(topic, "billing", 20);
    let attempts = Arc::new(Mutex::new(Vec::new()));
    let worked = Arc::new(Mutex::new(BTreeSet::new()));
    let fixed = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let handler = {
        let (attempts, worked, fixed) = (attempts.clone(), worked.clone(), fixed.clone());
        move |work: Work| {
            let (attempts, worked, fixed) = (attempts.clone(), worked.clone(), fixed.clone());
            async move {
                if work.record.id == "poison" && !fixed.load(std::sync::atomic::Ordering::SeqCst) {
                    attempts
                        .lock()
                        .unwrap()
                        .push((Instant::now(), work.attempt));
                    return Err(HandlerError::retryable(format!(
                        "no luck, {}.",
                        work.attempt
                    )));
                }
                worked
                    .lock()
                    .unwrap()
                    .insert((work.record.id.clone(), work.attempt));
                Ok(())
            }
        }
    };
    let running = Consumer::new(Arc::clone(&engine), subscription.clone(), handler)
        .concurrency(2)
        .retry(RetryPolicy::attempts(4, Duration::from_secs(1)))
        .start()
        .await
        .unwrap();
    engine.publish(record(topic, "", "poison")).await.unwrap();
    for n in 0..10 {
        engine
            .publish(record(topic, "", format!("good-{n}")))
            .await
            .unwrap();
    }
    let mut letters = engine.dead_letters(&subscription).await.unwrap();
    until(LONG, "the others", || worked.lock().unwrap().len() == 10).await;
    assert!(
        attempts.lock().unwrap().len() < 3,
        "the others waited for retries"
    );
    let dead = timeout(LONG, async {
        loop {
            let dead = letters.list(10).await.unwrap();
            if !dead.is_empty() {
                return dead;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    });
    let dead = dead.await.expect("no dead letter");
    let (times, numbers): (Vec<Instant>, Vec<u32>) =
        attempts.lock().unwrap().iter().copied().unzip();
    assert_eq!(numbers, [1, 2, 3, 4]);
    for (pair, wanted) in times.windows(2).zip([1.0, 2.0, 4.0]) {
        let pause = (pair[1] - pair[0]).as_secs_f64();
        println!("retry after {pause:.3} s");
        assert!(
            pause >= wanted - 0.05 && pause < wanted + 1.0,
            "{pause} s, not {wanted} s"
        );
    }
    assert_eq!(dead.len(), 1);
    assert_eq!(dead[0].record, record(topic, "", "poison"));
    let reasons: Vec<&str> = dead[0].failures.iter().map(|f| f.reason.as_str()).collect();
    assert_eq!(reasons.len(), 4, "{reasons:?}");
    for (reason, n) in reasons.iter().zip(1..) {
        assert!(reason.contains(&format!("no luck, {n}.")), "{reason}");
    }
    assert!(dead[0].failures.is_sorted_by_key(|failure| failure.at));
    assert_eq!(
        letters.list(10).await.unwrap(),
        dead,
        "a list takes nothing away"
    );

    fixed.store(true, std::sync::atomic::Ordering::SeqCst);
    assert_eq!(letters.replay(10).await.unwrap(), 1);
    until(LONG, "the replay", || {
        worked.lock().unwrap().contains(&("poison".to_owned(), 1))
    })
    .await;
    assert_eq!(letters.list(10).await.unwrap(), []);
    assert_eq!(letters.replay(10).await.unwrap(), 0);
    timeout(LONG, running.stop()).await.unwrap();
}

/// A retry outlives the source that asked for it, with its history and its due time.
pub(crate) async fn retry_outlives_the_source(engine: &dyn Engine, topic: &str) {
    let subscription = group(topic, "mail", 1);
    let mut source = engine.open(&subscription).await.unwrap();
    engine.publish(record(topic, "k", "one")).await.unwrap();
    engine.publish(record(topic, "k", "two")).await.unwrap();
    let one = next(&mut *source).await;
    let begun = Instant::now();
    let why = failure("the mail server said: \"later\"\r\nbye, ümlaut");
    one.settle
        .retry(Duration::from_secs(3), why.clone())
        .await
        .unwrap();
    let two = next(&mut *source).await;
    assert_eq!(
        two.record.id, "two",
        "a retry with a prefetch of 1 blocks the others"
    );
    two.settle.done().await.unwrap();
    drop(source);

    let mut source = engine.open(&subscription).await.unwrap();
    let again = next(&mut *source).await;
    let waited = begun.elapsed();
    println!("retry after {waited:?} across sources");
    assert_eq!(again.record, record(topic, "k", "one"));
    assert!(waited >= Duration::from_millis(2_900), "after {waited:?}");
    assert_eq!(again.failures.len(), 1);
    assert_eq!(again.failures[0].reason, why.reason);
    let at = |time: SystemTime| {
        time.duration_since(SystemTime::UNIX_EPOCH)
            .unwrap()
            .as_millis()
    };
    assert_eq!(at(again.failures[0].at), at(why.at));
    again
        .settle
        .retry(Duration::ZERO, failure("second"))
        .await
        .unwrap();
    let again = next(&mut *source).await;
    assert_eq!(again.failures.len(), 2);
    again.settle.done().await.unwrap();
    nothing(&mut *source, Duration::from_millis(1_500)).await;
}

/// What was settled never comes back, in whatever order it was, and what was not does.
pub(crate) async fn out_of_order(engine: &dyn Engine, topic: &str) {
    let subscription = group(topic, "audit", 100);
    for n in 0..20 {
        engine
            .publish(record(topic, "same", format!("r{n}")))
            .await
            .unwrap();
    }
    let mut source = engine.open(&subscription).await.unwrap();
    let mut held = Vec::new();
    for n in 0..20 {
        let delivery = next(&mut *source).await;
        assert_eq!(delivery.record.id, format!("r{n}"), "the order of one key");
        held.push(delivery);
    }
    let mut kept = Vec::new();
    for (n, delivery) in held.into_iter().enumerate().rev() {
        if n % 5 == 0 {
            kept.push(delivery);
        } else {
            delivery.settle.done().await.unwrap();
        }
    }
    drop(source);
    drop(kept);
    let mut source = engine.open(&subscription).await.unwrap();
    let mut left = BTreeSet::new();
    for _ in 0..4 {
        let delivery = next(&mut *source).await;
        left.insert(delivery.record.id.clone());
        delivery.settle.done().await.unwrap();
    }
    let wanted = ["r0", "r10", "r15", "r5"].map(str::to_owned);
    assert_eq!(left, BTreeSet::from(wanted));
    nothing(&mut *source, Duration::from_secs(1)).await;
    assert_eq!(source.lag().await, Some(0));
}

/// One event may go to several topics under one id, and an id may come twice.
pub(crate) async fn one_id_in_two_topics(engine: &dyn Engine, topics: [&str; 2]) {
    for topic in topics {
        engine.publish(record(topic, "u", "nft_1")).await.unwrap();
    }
    for topic in topics {
        let mut source = engine.open(&group(topic, "g", 5)).await.unwrap();
        let delivery = next(&mut *source).await;
        assert_eq!(delivery.record, record(topic, "u", "nft_1"));
        delivery.settle.done().await.unwrap();
    }
}
