//! Every interleaving of fan-out, the connection's task and whoever ends the connection.
//! `RUSTFLAGS="--cfg loom" cargo test -p fanfare --release --lib loom`

#![cfg(loom)]

use std::io::{self, IoSlice};
use std::task::Wake;

use bytes::Buf;
use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::thread;

use super::*;
use crate::codec::centrifuge::Centrifuge;
use crate::framing::Framing;

#[derive(Debug)]
struct Plain;

impl Framing for Plain {
    fn name(&self) -> &'static str {
        "plain"
    }

    fn frame(&self, message: &[u8], out: &mut bytes::BytesMut) {
        out.extend_from_slice(message);
    }
}

/// A thread that is woken, as a task would be.
struct Parked(loom::sync::Mutex<bool>, loom::sync::Condvar);

impl Wake for Parked {
    fn wake(self: Arc<Self>) {
        *self.0.lock().unwrap() = true;
        self.1.notify_one();
    }
}

fn block_on<T>(mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>) -> T {
    let parked = Arc::new(Parked(
        loom::sync::Mutex::new(false),
        loom::sync::Condvar::new(),
    ));
    let waker = Waker::from(parked.clone());
    let mut context = Context::from_waker(&waker);
    loop {
        if let Poll::Ready(value) = poll(&mut context) {
            return value;
        }
        let mut woken = parked.0.lock().unwrap();
        while !*woken {
            woken = parked.1.wait(woken).unwrap();
        }
        *woken = false;
    }
}

fn outbox() -> Outbox {
    Outbox::new(
        Arc::new(WireForm::new(
            0,
            Arc::new(Centrifuge),
            Arc::new(Plain),
            1 << 16,
        )),
        1 << 16,
    )
}

/// Full on the first write, then with room for everything.
struct FullOnce {
    calls: AtomicUsize,
    taken: Arc<AtomicUsize>,
}

impl DirectWrite for FullOnce {
    fn try_write(&self, frames: &[IoSlice<'_>]) -> io::Result<usize> {
        if self.calls.fetch_add(1, Ordering::SeqCst) == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let count = frames.iter().map(|frame| frame.len()).sum();
        self.taken.fetch_add(count, Ordering::SeqCst);
        Ok(count)
    }
}

#[test]
fn a_stalled_socket_is_never_forgotten() {
    loom::model(|| {
        let outbox = loom::sync::Arc::new(outbox());
        let taken = Arc::new(AtomicUsize::new(0));
        outbox.lend(Box::new(FullOnce {
            calls: AtomicUsize::new(0),
            taken: taken.clone(),
        }));
        let pushing = {
            let outbox = outbox.clone();
            thread::spawn(move || {
                for _ in 0..2 {
                    outbox.push_control(Bytes::from_static(b"abc"));
                    outbox.write();
                }
                outbox.close(Disconnect::SHUTDOWN);
            })
        };
        loop {
            match block_on(|context| outbox.poll_attention(context)) {
                Attention::Stalled => {
                    outbox.write_on();
                }
                Attention::Closing(_) => {
                    while outbox.write_on() == Written::Part(0) {}
                    break;
                }
            }
        }
        pushing.join().unwrap();
        assert_eq!(taken.load(Ordering::SeqCst), 6);
        assert_eq!(outbox.bytes(), 0);
    });
}

#[test]
fn a_task_that_writes_by_itself_gets_everything_and_then_the_end() {
    loom::model(|| {
        let outbox = loom::sync::Arc::new(outbox());
        let pushing = {
            let outbox = outbox.clone();
            thread::spawn(move || {
                outbox.push_control(Bytes::from_static(b"abc"));
                outbox.write();
                outbox.hold();
                outbox.release(Some(Bytes::from_static(b"de")));
                outbox.write();
                outbox.close(Disconnect::SHUTDOWN);
            })
        };
        let mut taken = Vec::new();
        let end = loop {
            let mut batch = Batch::default();
            match block_on(|context| outbox.poll_batch(context, &mut batch)) {
                Ok(()) => {
                    let count = batch.remaining();
                    taken.extend_from_slice(&batch.copy_to_bytes(count));
                }
                Err(disconnect) => break disconnect,
            }
        };
        pushing.join().unwrap();
        assert_eq!(end, Disconnect::SHUTDOWN);
        assert_eq!(taken, b"abcde");
    });
}
