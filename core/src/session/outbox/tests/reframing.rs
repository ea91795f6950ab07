//! A connection that moves to another kind of socket.

use super::cursors::{Numbered, at, channel, cursor, flush_of, form, numbered, taken, texts};
use super::*;

/// A message ends with a line end.
#[derive(Debug)]
struct LineEnded;

impl Framing for LineEnded {
    fn name(&self) -> &'static str {
        "line-ended"
    }

    fn frame(&self, message: &[u8], out: &mut BytesMut) {
        // Longer than the other framing, and of another length for each message.
        out.extend_from_slice(b"> ");
        out.extend_from_slice(message);
        out.extend_from_slice(b"\n");
    }
}

#[test]
fn a_new_framing_holds_for_everything_that_waits() {
    let outbox = outbox();
    outbox.push_control(control(1));
    outbox.push_flush(&at_least_once(1));
    outbox.hold();
    outbox.push_flush(&at_least_once(2));
    let in_lines = form(2, Centrifuge, LineEnded);
    outbox.reframe(in_lines.clone(), |frame| {
        let mut framed = BytesMut::new();
        LineEnded.frame(frame.strip_suffix(b"\0").unwrap(), &mut framed);
        framed.freeze()
    });
    outbox.release(None);
    outbox.push_flush(&at_least_once(3));
    let before = outbox.bytes();
    let taken = taken(&outbox);
    assert_eq!(taken.len(), before);
    let unframed = String::from_utf8(taken).unwrap();
    assert!(unframed.lines().all(|line| line.starts_with("> ")) && !unframed.contains('\0'));
    let unframed = unframed.replace("> ", "");
    let lines = lines(unframed.as_bytes());
    assert_eq!(
        (controls(&lines), numbers(&lines)),
        (vec![1], vec![1, 2, 3])
    );
    assert_eq!(outbox.bytes(), 0);
    let frame = at_least_once(1_000).frame(&in_lines).len();
    let fits = |number: &u64| !outbox.push_flush(&at_least_once(*number)).overflowed;
    assert_eq!((1_000..).take_while(fits).count(), BUDGET / frame);
}

#[test]
fn what_is_half_on_the_wire_keeps_its_framing() {
    for written in [1, 30] {
        let (outbox, socket) = (outbox(), Socket::default());
        outbox.lend(Box::new(socket.clone()));
        socket.make_room(written);
        outbox.push_flush(&at_least_once(1));
        outbox.push_control(control(1));
        outbox.push_flush(&at_least_once(2));
        outbox.write();
        // Shorter by far than what is written already.
        outbox.reframe(form(2, Centrifuge, LineEnded), |_| {
            Bytes::from_static(b"c\n")
        });
        socket.make_room(10_000);
        assert!(matches!(outbox.write_on(), Written::All(_)));
        let bytes = std::mem::take(&mut *socket.0.taken.lock());
        let end = bytes.iter().position(|byte| *byte == 0).unwrap();
        assert_eq!(numbers(&lines(&bytes[..end])), [1]);
        let rest = String::from_utf8(bytes[end + 1..].to_vec()).unwrap();
        let rest = rest.strip_prefix("c\n> ").unwrap();
        assert_eq!(numbers(&lines(rest.as_bytes())), [2]);
        assert_eq!(outbox.bytes(), 0);
    }
}

#[test]
fn a_new_framing_leaves_cursors_as_they_were_written() {
    let (outbox, socket) = (numbered(), Socket::default());
    outbox.lend(Box::new(socket.clone()));
    for name in ["thread.1", "thread.2"] {
        outbox.set_position(&channel(name), at(0));
    }
    for offset in 1..=3 {
        outbox.push_flush(&flush_of("thread.1", [offset]));
    }
    outbox.push_recovered(flush_of("thread.2", [1]));
    // Their cursors are written, but the socket takes only the first of them.
    socket.make_room(70);
    outbox.write();
    let to_lines = |frame: &[u8]| {
        let mut framed = BytesMut::new();
        LineEnded.frame(frame.strip_suffix(b"\0").unwrap(), &mut framed);
        framed.freeze()
    };
    outbox.reframe(form(3, Numbered { pongs: true }, LineEnded), to_lines);
    outbox.push_flush(&flush_of("thread.1", [4]));
    socket.make_room(10_000);
    assert!(matches!(outbox.write_on(), Written::All(_)));
    let texts = texts(&socket.0.taken.lock());
    let texts = texts.iter().map(|text| text.trim_start_matches("> "));
    let expected = [(1, 0, 1), (2, 0, 2), (3, 0, 3), (3, 1, 1), (4, 1, 4)];
    let expected = expected.map(|(one, two, number)| {
        format!(
            "{} {number}",
            cursor(&[("thread.1", one), ("thread.2", two)])
        )
    });
    assert_eq!(texts.collect::<Vec<_>>(), expected);
}
