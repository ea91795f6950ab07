//! Cursors, what clients recover, and receipts.

use super::*;
use crate::codec::{Codec, Messages, Reply, Request};
use crate::error::Error;

/// Every publication is a line: its cursor, its number.
#[derive(Clone, Copy, Debug)]
pub(super) struct Numbered {
    pub(super) pongs: bool,
}

impl Codec for Numbered {
    fn name(&self) -> &'static str {
        if self.pongs {
            "numbered-pong"
        } else {
            "numbered"
        }
    }

    fn publications(
        &self,
        channel: &Channel,
        publications: &[Arc<Publication>],
        messages: &mut Messages<'_>,
    ) {
        for publication in publications {
            messages.write_cursor(channel, publication.position());
            let payload = publication.event().payload();
            messages.current().push(b' ');
            messages.current().extend_from_slice(payload);
            messages.end_message();
        }
    }

    fn reply(&self, _id: u32, _reply: Result<&Reply, &Error>, _messages: &mut Messages<'_>) {}

    fn notice(&self, notice: &Notice, messages: &mut Messages<'_>) {
        if let Notice::Dropped { channel, count } = notice {
            let text = format!("dropped {channel} {count}");
            messages.current().extend_from_slice(text.as_bytes());
            messages.end_message();
        }
    }

    fn has_cursor(&self) -> bool {
        true
    }

    fn expects_pong(&self) -> bool {
        self.pongs
    }

    fn ping(&self, _messages: &mut Messages<'_>) {}

    fn moved_on(&self, cursor: &Cursor, messages: &mut Messages<'_>) {
        let text = format!("at {cursor}");
        messages.current().extend_from_slice(text.as_bytes());
        messages.end_message();
    }

    fn decode(&self, _message: &[u8]) -> Result<Vec<Request>, Disconnect> {
        Err(Disconnect::BAD_REQUEST)
    }
}

pub(super) fn form(index: usize, codec: impl Codec, framing: impl Framing) -> Arc<WireForm> {
    let form = WireForm::new(index, Arc::new(codec), Arc::new(framing), 1 << 16);
    Arc::new(form)
}

pub(super) fn numbered() -> Outbox {
    Outbox::new(form(1, Numbered { pongs: true }, ZeroEnded), BUDGET)
}

pub(super) fn channel(name: &str) -> Channel {
    Channel::new(name).unwrap()
}

pub(super) fn at(offset: u64) -> Position {
    Position {
        epoch: Epoch::new(1),
        offset,
    }
}

/// Publications of any channel, with positions.
pub(super) fn flush_of(name: &str, offsets: impl IntoIterator<Item = u64>) -> Arc<Flush> {
    let publications = offsets.into_iter().map(|offset| {
        let event = Event::new(channel(name), "e", offset.to_string()).unwrap();
        Arc::new(Publication::new(event, Some(at(offset))))
    });
    Arc::new(Flush::new(channel(name), publications.collect()))
}

pub(super) fn texts(bytes: &[u8]) -> Vec<String> {
    bytes
        .split(|byte| matches!(byte, 0 | b'\n'))
        .filter(|text| !text.is_empty())
        .map(|text| String::from_utf8(text.to_vec()).unwrap())
        .collect()
}

/// What a task that writes by itself gets until nothing waits.
pub(super) fn taken(outbox: &Outbox) -> Vec<u8> {
    let mut all = Vec::new();
    let mut batch = Batch::default();
    while poll(|context| outbox.poll_batch(context, &mut batch)) == Poll::Ready(Ok(())) {
        all.extend_from_slice(&batch.copy_to_bytes(batch.remaining()));
    }
    all
}

pub(super) fn cursor(positions: &[(&str, u64)]) -> String {
    let positions = positions
        .iter()
        .map(|(name, offset)| (channel(name), at(*offset)));
    Cursor::from_iter(positions).to_string()
}

#[test]
fn what_a_client_recovers_does_not_use_up_its_budget() {
    let large = |offset| {
        let payload = format!("\"{}\"", "x".repeat(1 << 20));
        let event = Event::new(channel("thread.1"), "e", payload).unwrap();
        Arc::new(Publication::new(event, Some(at(offset))))
    };
    for lent in [false, true] {
        let (outbox, socket) = (numbered(), Socket::default());
        outbox.set_position(&channel("thread.1"), at(0));
        if lent {
            outbox.lend(Box::new(socket.clone()));
            socket.make_room(10);
        }
        let publications = (1..=4).map(large).collect();
        outbox.push_recovered(Arc::new(Flush::new(channel("thread.1"), publications)));
        let pushed = outbox.push_flush(&flush_of("thread.1", [5]));
        assert!(!pushed.overflowed);
        outbox.write();
        assert!(!outbox.push_flush(&flush_of("thread.1", [6])).overflowed);
        let bytes = if lent {
            assert!(outbox.bytes() > 4 << 20, "half of it is on its way");
            socket.make_room(8 << 20);
            assert!(matches!(outbox.write_on(), Written::All(_)));
            std::mem::take(&mut *socket.0.taken.lock())
        } else {
            taken(&outbox)
        };
        assert_eq!(texts(&bytes).len(), 6);
        assert_eq!(outbox.bytes(), 0);
        // The budget is whole again.
        let fits = |at: &u64| !outbox.push_flush(&flush_of("thread.1", [*at])).overflowed;
        let live = flush_of("thread.1", [1_000]).frame(&outbox.form()).len();
        assert_eq!((1_000..).take_while(fits).count(), BUDGET / live);
    }
}

#[test]
fn the_budget_counts_flushes_and_no_replies() {
    let outbox = outbox();
    for number in 0..1_000 {
        outbox.push_control(control(number));
    }
    let frame = at_least_once(1_000).frame(&outbox.form()).len();
    let fits = |number: &u64| !outbox.push_flush(&at_least_once(*number)).overflowed;
    assert_eq!((1_000..).take_while(fits).count(), BUDGET / frame);
}

#[test]
fn with_one_channel_the_shared_frame_is_written_as_it_is() {
    let outbox = numbered();
    outbox.set_position(&channel("thread.1"), at(0));
    let flush = flush_of("thread.1", [1, 2]);
    let shared = flush.frame(&outbox.form()).clone();
    outbox.push_flush(&flush);
    let mut batch = Batch::default();
    assert!(poll(|context| outbox.poll_batch(context, &mut batch)).is_ready());
    assert_eq!(batch.chunk().as_ptr(), shared.as_ptr());
    assert_eq!(
        outbox.cursor().unwrap().to_string(),
        cursor(&[("thread.1", 2)])
    );
}

#[test]
fn fan_out_writes_a_cursor_over_all_channels() {
    let (outbox, socket) = (numbered(), Socket::default());
    outbox.lend(Box::new(socket.clone()));
    for name in ["thread.1", "thread.2"] {
        outbox.set_position(&channel(name), at(0));
    }
    socket.make_room(100);
    let mut expected = Vec::new();
    for offset in 1..=20 {
        for (name, other) in [("thread.1", offset - 1), ("thread.2", offset)] {
            outbox.push_flush(&flush_of(name, [offset]));
            let positions = match name {
                "thread.1" => [("thread.1", offset), ("thread.2", other)],
                _ => [("thread.1", other), ("thread.2", offset)],
            };
            expected.push(format!("{} {offset}", cursor(&positions)));
        }
        outbox.write();
        socket.make_room(37);
        outbox.write_on();
    }
    socket.make_room(100_000);
    assert!(matches!(outbox.write_on(), Written::All(_)));
    assert_eq!(texts(&socket.0.taken.lock()), expected);
    assert_eq!(outbox.bytes(), 0);
}

fn with_own_channel(pongs: bool) -> Outbox {
    let outbox = Outbox::new(form(1, Numbered { pongs }, ZeroEnded), BUDGET);
    outbox.set_position(&channel("user.1"), at(0));
    outbox.follow_own(&channel("user.1"), at(0));
    outbox
}

#[test]
fn a_pong_proves_nothing_that_was_held_behind_its_ping() {
    let outbox = with_own_channel(true);
    outbox.push_flush(&flush_of("user.1", [1]));
    assert_eq!(outbox.pinged(), None);
    assert_eq!(outbox.ponged(), Some((channel("user.1"), at(1))));
    assert_eq!(outbox.ponged(), None, "it proves once");
    outbox.hold();
    outbox.push_flush(&flush_of("user.1", [2]));
    outbox.pinged();
    outbox.release(None);
    assert_eq!(outbox.ponged(), None);
    outbox.pinged();
    assert_eq!(outbox.ponged(), Some((channel("user.1"), at(2))));
}

#[test]
fn without_pongs_the_ping_after_the_last_write_proves_it() {
    let outbox = with_own_channel(false);
    let mut batch = Batch::default();
    outbox.push_flush(&flush_of("user.1", [1]));
    assert_eq!(
        (outbox.pinged(), outbox.pinged()),
        (None, None),
        "it has not left"
    );
    assert!(poll(|context| outbox.poll_batch(context, &mut batch)).is_ready());
    assert_eq!(
        (outbox.pinged(), outbox.pinged()),
        (None, None),
        "it is being written"
    );
    assert!(poll(|context| outbox.poll_batch(context, &mut batch)).is_pending());
    assert_eq!(outbox.pinged(), None);
    assert_eq!(outbox.pinged(), Some((channel("user.1"), at(1))));
}

#[test]
fn a_poll_is_not_answered_with_what_has_no_position() {
    let outbox = numbered();
    outbox.set_position(&channel("thread.1"), at(0));
    outbox.answer_poll();
    let event = Event::new(channel("thread.1"), "e", "1").unwrap();
    let ephemeral = Arc::new(Publication::new(event, None));
    let alone = Flush::new(channel("thread.1"), Box::new([ephemeral.clone()]));
    assert_eq!(outbox.push_flush(&Arc::new(alone)), Pushed::default());
    assert_eq!(taken(&outbox), b"");
    let publications = flush_of("thread.1", [1]).publications().to_vec();
    let both = [vec![ephemeral], publications].concat();
    outbox.push_flush(&Arc::new(Flush::new(channel("thread.1"), both.into())));
    assert_eq!(
        texts(&taken(&outbox)),
        [format!("{} 1", cursor(&[("thread.1", 1)]))]
    );
}
