//! Flushes of which nothing is for the client.

use super::cursors::{at, channel, cursor, flush_of, numbered, taken, texts};
use super::*;

/// One up to `offset` that is hidden.
fn hidden(name: &str, offset: u64) -> Arc<Flush> {
    Arc::new(flush_of(name, [offset]).with(Box::default()))
}

fn waiting(outbox: &Outbox) -> usize {
    let state = outbox.state.lock();
    state.queue.len() + state.held.len()
}

fn stands_at(outbox: &Outbox) -> String {
    outbox.cursor().unwrap().to_string()
}

fn in_two_channels() -> Outbox {
    let outbox = numbered();
    outbox.set_position(&channel("thread.1"), at(0));
    outbox.set_position(&channel("thread.2"), at(0));
    outbox
}

#[test]
fn where_nothing_waits_the_cursor_moves_at_once() {
    let outbox = in_two_channels();
    assert_eq!(outbox.push_flush(&hidden("thread.1", 5)), Pushed::default());
    assert_eq!(waiting(&outbox), 0);
    assert_eq!(
        stands_at(&outbox),
        cursor(&[("thread.1", 5), ("thread.2", 0)])
    );
    assert_eq!(taken(&outbox), b"");
}

#[test]
fn behind_what_waits_they_take_one_place_for_each_channel() {
    let outbox = in_two_channels();
    outbox.push_flush(&flush_of("thread.1", [1]));
    for offset in 2..1_000 {
        outbox.push_flush(&hidden("thread.1", offset));
        outbox.push_flush(&hidden("thread.2", offset));
    }
    assert_eq!(waiting(&outbox), 3);
    let before = cursor(&[("thread.1", 0), ("thread.2", 0)]);
    assert_eq!(stands_at(&outbox), before, "nothing has left");
    outbox.push_flush(&flush_of("thread.2", [1_000]));
    outbox.push_flush(&hidden("thread.2", 1_001));
    let first = cursor(&[("thread.1", 1), ("thread.2", 0)]);
    let second = cursor(&[("thread.1", 999), ("thread.2", 1_000)]);
    let expected = [format!("{first} 1"), format!("{second} 1000")];
    assert_eq!(texts(&taken(&outbox)), expected);
    let end = cursor(&[("thread.1", 999), ("thread.2", 1_001)]);
    assert_eq!(stands_at(&outbox), end);
    assert_eq!((waiting(&outbox), outbox.bytes()), (0, 0));
}

#[test]
fn they_wait_for_a_reply_like_any_other() {
    let outbox = in_two_channels();
    outbox.hold();
    outbox.push_flush(&hidden("thread.1", 7));
    assert_eq!(
        stands_at(&outbox),
        cursor(&[("thread.1", 0), ("thread.2", 0)])
    );
    outbox.release(None);
    assert_eq!(taken(&outbox), b"");
    assert_eq!(
        stands_at(&outbox),
        cursor(&[("thread.1", 7), ("thread.2", 0)])
    );
}

#[test]
fn on_a_lent_socket_they_move_the_cursor_without_a_write() {
    let (outbox, socket) = (in_two_channels(), Socket::default());
    outbox.lend(Box::new(socket.clone()));
    outbox.push_flush(&flush_of("thread.1", [1]));
    outbox.push_flush(&hidden("thread.2", 3));
    outbox.write();
    socket.make_room(10_000);
    let Written::All(written) = outbox.write_on() else {
        panic!("there is room")
    };
    assert!(written > 0);
    let end = cursor(&[("thread.1", 1), ("thread.2", 3)]);
    assert_eq!((stands_at(&outbox), waiting(&outbox)), (end, 0));
}

#[test]
fn relief_leaves_them_where_they_are() {
    let outbox = in_two_channels();
    outbox.push_flush(&flush_of("thread.1", [1]));
    outbox.push_flush(&hidden("thread.1", 2));
    let many = (3..400).map(|offset| {
        let event = Event::new(channel("thread.2"), "e", offset.to_string()).unwrap();
        let event = event.with_guarantee(Guarantee::BestEffort);
        Arc::new(Publication::new(event, Some(at(offset))))
    });
    let many = Arc::new(Flush::new(channel("thread.2"), many.collect()));
    let pushed = outbox.push_flush(&many);
    assert!(pushed.dropped > 0 && !pushed.overflowed);
    taken(&outbox);
    let position = outbox.cursor().unwrap().position(&channel("thread.1"));
    assert_eq!(position, Some(at(2)));
}

#[test]
fn a_client_is_told_with_the_ping_where_it_stands() {
    let outbox = numbered();
    outbox.set_position(&channel("thread.1"), at(0));
    let told = |outbox: &Outbox| {
        outbox.push_ping();
        texts(&taken(outbox))
    };
    assert_eq!(told(&outbox), [""; 0], "it knows");
    outbox.push_flush(&hidden("thread.1", 5));
    let fifth = format!("at {}", cursor(&[("thread.1", 5)]));
    assert_eq!(told(&outbox), [fifth]);
    assert_eq!(told(&outbox), [""; 0], "it was told");
    // The last event of a flush tells it, unless hidden ones stand behind it.
    outbox.push_flush(&hidden("thread.1", 6));
    outbox.push_flush(&flush_of("thread.1", [7]));
    taken(&outbox);
    assert_eq!(told(&outbox), [""; 0]);
    let both = flush_of("thread.1", [8, 9]);
    let first = both.publications()[..1].to_vec();
    outbox.push_flush(&Arc::new(both.with(first.into())));
    taken(&outbox);
    let ninth = format!("at {}", cursor(&[("thread.1", 9)]));
    assert_eq!(told(&outbox), [ninth]);
}
