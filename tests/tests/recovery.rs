//! What a client gets that comes back.

use fanfare_tests::client::offsets;
use fanfare_tests::mechamap::{comment, comment_id, message, urgent_comments};
use fanfare_tests::{Client, IN_TIME, Position, Proxy, SOON, Server, Token};
use serde_json::json;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_missed_during_a_cut_comes_back_once_in_order_in_the_subscribe_reply() {
    let server = Server::mechamap().await;
    let proxy = Proxy::to(server.address()).await;
    let client = Client::to(proxy.address()).open().await;
    client.introduce(&Token::of(7).sign()).await.unwrap();
    let joined = client.subscribe("thread.1").await.unwrap();
    server.publish(&urgent_comments(1, 1..=3)).await;
    assert_eq!(offsets(&client.pushes(3, SOON).await), [1, 2, 3]);
    proxy.cut();
    assert_eq!(client.end(SOON).await.code, None);
    server.publish(&urgent_comments(1, 4..=9)).await;
    let again = Client::to(proxy.address()).open().await;
    again.introduce(&Token::of(7).sign()).await.unwrap();
    let recovered = again
        .recover(
            "thread.1",
            &Position {
                epoch: joined.epoch.clone(),
                offset: 3,
            },
        )
        .await
        .unwrap();
    assert!(
        recovered.was_recovering && recovered.recovered,
        "{recovered:?}"
    );
    assert_eq!(recovered.epoch, joined.epoch);
    assert_eq!(recovered.offsets(), [4, 5, 6, 7, 8, 9]);
    let ids = recovered
        .publications
        .iter()
        .map(|publication| comment_id(&publication.json()));
    assert_eq!(ids.collect::<Vec<_>>(), [4, 5, 6, 7, 8, 9]);
    server.publish(&urgent_comments(1, 10..=11)).await;
    assert_eq!(offsets(&again.pushes(2, SOON).await), [10, 11]);
    again.settle().await;
    assert_eq!(again.pushed().len(), 2, "nothing comes a second time");
    assert_eq!(
        server
            .metric("fanfare_recovered_total{result=\"recovered\"}")
            .await,
        1.0
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_missed_nothing_recovers_nothing() {
    let server = Server::mechamap().await;
    server.publish(&urgent_comments(1, 1..=3)).await;
    let client = Client::connect(&server, &Token::of(7)).await;
    let joined = client.subscribe("thread.1").await.unwrap();
    assert_eq!(
        (
            joined.offset,
            joined.was_recovering,
            joined.publications.len()
        ),
        (3, false, 0)
    );
    client.unsubscribe("thread.1").await.unwrap();
    let recovered = client
        .recover("thread.1", &joined.position())
        .await
        .unwrap();
    assert!(
        recovered.was_recovering && recovered.recovered,
        "{recovered:?}"
    );
    assert_eq!((recovered.offset, recovered.publications.len()), (3, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn server_side_subscriptions_recover_in_the_connect_reply() {
    let server = Server::mechamap().await;
    let token = Token::of(7).channels(&["user.7"]).sign();
    let path = "/ws?channel=thread.1&channel=thread.2";
    let client = Client::to(server.address()).path(path).open().await;
    let connected = client.introduce(&token).await.unwrap();
    assert!(
        connected
            .subs
            .values()
            .all(|joined| joined.offset == 0 && !joined.was_recovering)
    );
    server.publish(&urgent_comments(1, 1..=2)).await;
    server.publish(&message(7, 3)).await;
    client.pushes(3, SOON).await;
    drop(client);
    server.publish(&urgent_comments(1, 4..=6)).await;
    server.publish(&message(7, 7)).await;
    let again = Client::to(server.address()).path(path).open().await;
    let subs = json!({
        "thread.1": { "recover": true, "epoch": connected.subs["thread.1"].epoch, "offset": 2 },
        "user.7": { "recover": true, "epoch": connected.subs["user.7"].epoch, "offset": 1 },
    });
    let connected = again
        .connect_with(json!({ "token": token, "subs": subs }))
        .await
        .unwrap();
    let thread = &connected.subs["thread.1"];
    assert!(thread.was_recovering && thread.recovered, "{thread:?}");
    assert_eq!(thread.offsets(), [3, 4, 5]);
    let user = &connected.subs["user.7"];
    assert!(user.was_recovering && user.recovered, "{user:?}");
    assert_eq!(user.offsets(), [2]);
    let fresh = &connected.subs["thread.2"];
    assert!(
        !fresh.was_recovering && fresh.publications.is_empty(),
        "{fresh:?}"
    );
    server.publish(&urgent_comments(1, 8..=8)).await;
    assert_eq!(offsets(&again.pushes(1, SOON).await), [6]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_position_that_history_no_longer_covers_is_not_recovered_and_answered_with_the_newest() {
    let server = Server::configured("history = { events = 5 }").await;
    let client = Client::connect(&server, &Token::of(7)).await;
    let joined = client.subscribe("thread.1").await.unwrap();
    client.unsubscribe("thread.1").await.unwrap();
    server.publish(&urgent_comments(1, 1..=10)).await;
    let at = |offset| Position {
        epoch: joined.epoch.clone(),
        offset,
    };
    for lost in [0, 1, 4] {
        let answer = client.recover("thread.1", &at(lost)).await.unwrap();
        assert!(answer.was_recovering && !answer.recovered, "{answer:?}");
        assert_eq!(
            (answer.offset, answer.publications.len(), &answer.epoch),
            (10, 0, &joined.epoch),
            "from {lost}"
        );
        client.unsubscribe("thread.1").await.unwrap();
    }
    let answer = client.recover("thread.1", &at(5)).await.unwrap();
    assert!(answer.recovered, "{answer:?}");
    assert_eq!(answer.offsets(), [6, 7, 8, 9, 10]);
    assert_eq!(
        server
            .metric("fanfare_recovered_total{result=\"not_recovered\"}")
            .await,
        3.0
    );
    server.publish(&urgent_comments(1, 11..=11)).await;
    assert_eq!(offsets(&client.pushes(1, SOON).await), [11]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_foreign_epoch_is_not_recovered_and_answered_with_the_channels_own() {
    let server = Server::mechamap().await;
    server.publish(&urgent_comments(1, 1..=5)).await;
    let client = Client::connect(&server, &Token::of(7)).await;
    let own = client.subscribe("thread.1").await.unwrap().epoch;
    client.unsubscribe("thread.1").await.unwrap();
    for (epoch, offset) in [
        ("0123456789abcdef", 3),
        ("0123456789abcdef", 5),
        ("nonsense", 0),
        (&own, 6),
        (&own, u64::MAX),
    ] {
        let position = Position {
            epoch: epoch.to_owned(),
            offset,
        };
        let answer = client.recover("thread.1", &position).await.unwrap();
        assert!(
            answer.was_recovering && !answer.recovered,
            "{position:?}: {answer:?}"
        );
        assert_eq!(
            (answer.offset, answer.publications.len(), &answer.epoch),
            (5, 0, &own),
            "{position:?}"
        );
        client.unsubscribe("thread.1").await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_forgot_everything_does_not_claim_to_recover() {
    let position = {
        let mut server = Server::mechamap().await;
        server.publish(&urgent_comments(1, 1..=5)).await;
        let client = Client::connect(&server, &Token::of(7)).await;
        let position = client.subscribe("thread.1").await.unwrap().position();
        server.kill();
        assert_eq!(server.exit(SOON).await, None, "killed");
        position
    };
    let server = Server::mechamap().await;
    server.publish(&urgent_comments(1, 1..=5)).await;
    let client = Client::connect(&server, &Token::of(7)).await;
    let answer = client.recover("thread.1", &position).await.unwrap();
    assert!(answer.was_recovering && !answer.recovered, "{answer:?}");
    assert_ne!(answer.epoch, position.epoch);
    assert_eq!((answer.offset, answer.publications.len()), (5, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_joins_while_events_wait_gets_each_of_them_once() {
    let server = Server::mechamap().await;
    let first = Client::connect(&server, &Token::of(1)).await;
    let joined = first.subscribe("thread.1").await.unwrap();
    server.publish(&urgent_comments(1, 1..=2)).await;
    first.pushes(2, SOON).await;
    for id in 3..=5 {
        server.publish(&comment(1, id)).await;
    }
    let newcomer = Client::connect(&server, &Token::of(2)).await;
    let reply = newcomer.subscribe("thread.1").await.unwrap();
    assert_eq!(
        (reply.offset, reply.publications.len()),
        (2, 0),
        "up to what was shown to anyone"
    );
    let returning = Client::connect(&server, &Token::of(3)).await;
    let reply = returning
        .recover("thread.1", &joined.position())
        .await
        .unwrap();
    assert!(reply.recovered, "{reply:?}");
    assert_eq!(reply.offsets(), [1, 2]);
    let by_query = Client::to(server.address())
        .path("/ws?channel=thread.1")
        .open()
        .await;
    let subs = json!({ "thread.1": { "recover": true, "epoch": joined.epoch, "offset": 1 } });
    let token = Token::of(4).sign();
    let reply = by_query
        .connect_with(json!({ "token": token, "subs": subs }))
        .await
        .unwrap();
    assert_eq!(reply.subs["thread.1"].offsets(), [2]);
    for client in [&newcomer, &returning, &by_query] {
        assert_eq!(offsets(&client.pushes(3, IN_TIME).await), [3, 4, 5]);
        client.settle().await;
        assert_eq!(client.pushed().len(), 3);
    }
    let late = Client::connect(&server, &Token::of(5)).await;
    let reply = late.recover("thread.1", &joined.position()).await.unwrap();
    assert_eq!(reply.offsets(), [1, 2, 3, 4, 5]);
    late.settle().await;
    assert_eq!(late.pushed().len(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_comes_back_after_everyone_had_left_recovers_what_was_published_meanwhile() {
    let server = Server::mechamap().await;
    let client = Client::connect(&server, &Token::of(7)).await;
    let joined = client.subscribe("thread.1").await.unwrap();
    for id in 1..=3 {
        server.publish(&comment(1, id)).await;
    }
    // These still wait for their flush when the only subscriber leaves.
    client.close().await;
    server.publish(&urgent_comments(1, 4..=5)).await;
    let again = Client::connect(&server, &Token::of(7)).await;
    let reply = again.recover("thread.1", &joined.position()).await.unwrap();
    assert!(reply.recovered, "{reply:?}");
    let mut arrived = reply.offsets();
    arrived.extend(offsets(&again.pushes(5 - arrived.len(), IN_TIME).await));
    again.settle().await;
    assert_eq!(
        (arrived, again.pushed().len() + reply.publications.len()),
        (vec![1, 2, 3, 4, 5], 5)
    );
}
