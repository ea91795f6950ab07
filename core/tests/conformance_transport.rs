//! The transport kit passes a plain transport, and catches those that break a promise.

#![allow(clippy::unwrap_used, reason = "a suite, not a library")]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use fanfare::codec::{Connect, Messages, Notice, Reply, Request};
use fanfare::testing::transport::{
    Capabilities, Client, Connecting, End, Plan, Received, check_all,
};
use fanfare::{
    Batch, Channel, Codec, Cursor, Disconnect, Error, Framing, Handshake, Node, Opening, Outbound,
    Publication, Session, Transport,
};
use tokio::sync::{Mutex, mpsc};

/// What a transport does that it must not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Fault {
    None,
    Doubles,
    Loses,
    LosesAtACut,
    IgnoresTheCursor,
    ClearsTheCursor,
    Mangles,
    Reorders,
    IsLate,
    HoldsTheTailBack,
    QueuesWithoutBound,
    LetsOneHoldOthersUp,
    SaysNoGoodbye,
    EndsAtOnce,
    KeepsSessions,
    DropsEphemeral,
    MisnamesTheChannel,
}

const ALL: [Fault; 17] = [
    Fault::None,
    Fault::Doubles,
    Fault::Loses,
    Fault::LosesAtACut,
    Fault::IgnoresTheCursor,
    Fault::ClearsTheCursor,
    Fault::Mangles,
    Fault::Reorders,
    Fault::IsLate,
    Fault::HoldsTheTailBack,
    Fault::QueuesWithoutBound,
    Fault::LetsOneHoldOthersUp,
    Fault::SaysNoGoodbye,
    Fault::EndsAtOnce,
    Fault::KeepsSessions,
    Fault::DropsEphemeral,
    Fault::MisnamesTheChannel,
];

/// A line for each event: cursor, channel, payload. One with the cursor alone at the start.
#[derive(Debug)]
struct Lines;

impl Codec for Lines {
    fn name(&self) -> &'static str {
        "lines"
    }

    fn publications(
        &self,
        channel: &Channel,
        publications: &[Arc<Publication>],
        messages: &mut Messages<'_>,
    ) {
        for publication in publications {
            if publication.position().is_some() {
                messages.write_cursor(channel, publication.position());
            }
            let line = messages.current();
            line.extend_from_slice(format!("\t{channel}\t").as_bytes());
            line.extend_from_slice(publication.event().payload());
            line.push(b'\n');
        }
    }

    fn reply(&self, _id: u32, reply: Result<&Reply, &Error>, messages: &mut Messages<'_>) {
        if let Ok(Reply::Connected(connected)) = reply {
            let subscriptions = connected.subscriptions.iter();
            let cursor = subscriptions.map(|s| (s.channel.clone(), s.position));
            let line = format!("{}\n", Cursor::from_iter(cursor));
            messages.current().extend_from_slice(line.as_bytes());
        }
    }

    fn notice(&self, _notice: &Notice, _messages: &mut Messages<'_>) {}

    fn has_cursor(&self) -> bool {
        true
    }

    fn expects_pong(&self) -> bool {
        false
    }

    fn ping(&self, _messages: &mut Messages<'_>) {}

    fn decode(&self, _message: &[u8]) -> Result<Vec<Request>, Disconnect> {
        Err(Disconnect::BAD_REQUEST)
    }
}

impl Framing for Lines {
    fn name(&self) -> &'static str {
        "lines"
    }

    fn frame(&self, message: &[u8], out: &mut BytesMut) {
        out.extend_from_slice(message);
    }
}

/// A bounded queue of batches.
struct Queue {
    sender: mpsc::Sender<Bytes>,
    beyond: Option<mpsc::UnboundedSender<Bytes>>,
    fault: Fault,
    resumes: bool,
    turn: Arc<Mutex<()>>,
}

const GOODBYE: &[u8] = b"goodbye\n";

impl Transport for Queue {
    async fn serve(self, session: Session) -> Disconnect {
        let outbound = session.outbound();
        let disconnect = self.write(&outbound).await;
        if !outbound.is_cut() && self.fault != Fault::SaysNoGoodbye {
            let goodbye = Bytes::from_static(GOODBYE);
            match &self.beyond {
                Some(beyond) => _ = beyond.send(goodbye),
                None => _ = self.sender.send(goodbye).await,
            }
        }
        if self.fault == Fault::KeepsSessions {
            std::future::pending::<()>().await;
        }
        disconnect
    }
}

impl Queue {
    async fn write(&self, outbound: &Outbound) -> Disconnect {
        let mut batch = Batch::default();
        let mut held_back = Vec::new();
        for number in 1u64.. {
            tokio::select! {
                () = self.sender.closed() => return Disconnect::CONNECTION_CLOSED,
                next = outbound.next_batch(&mut batch) => if let Err(disconnect) = next {
                    return disconnect;
                },
            }
            if self.fault == Fault::EndsAtOnce
                && let Ok(disconnect) =
                    tokio::time::timeout(Duration::from_millis(30), outbound.closing()).await
            {
                return disconnect;
            }
            let text = batch.copy_to_bytes(batch.remaining());
            let mut lines = text.split_inclusive(|b| *b == b'\n').map(<[u8]>::to_vec);
            let mut lines = held_back.drain(..).chain(&mut lines).collect::<Vec<_>>();
            match self.fault {
                // Often, because a busy machine makes few batches of many events.
                Fault::Doubles if number % 4 == 2 => lines.extend_from_within(..),
                Fault::Loses if number % 4 == 2 => lines.clear(),
                Fault::LosesAtACut if self.resumes && number == 1 => {
                    lines.truncate(1);
                }
                Fault::Reorders if number > 1 => lines.reverse(),
                Fault::HoldsTheTailBack if lines.len() > 4 => held_back = lines.split_off(2),
                Fault::IsLate if number > 1 => {
                    tokio::time::sleep(Duration::from_millis(900)).await;
                }
                _ => {}
            }
            let text = lines.concat();
            if let Some(beyond) = &self.beyond {
                let _ = beyond.send(text.into());
                continue;
            }
            let sending = async {
                let _turn = match self.fault {
                    Fault::LetsOneHoldOthersUp => Some(self.turn.lock().await),
                    _ => None,
                };
                let _ = self.sender.send(text.into()).await;
            };
            let mut sending = std::pin::pin!(sending);
            tokio::select! {
                () = &mut sending => {}
                disconnect = outbound.closing() => {
                    if outbound.is_cut() {
                        return disconnect;
                    }
                    sending.await;
                }
            }
        }
        unreachable!("numbers do not end")
    }
}

/// The other end of the queue.
struct Reader<const FAULT: u8> {
    batches: mpsc::Receiver<Bytes>,
    beyond: Option<mpsc::UnboundedReceiver<Bytes>>,
    unread: Bytes,
    cursor: String,
}

impl<const FAULT: u8> Reader<FAULT> {
    const FAULT: Fault = ALL[FAULT as usize];

    async fn line(&mut self) -> Result<String, End> {
        while self.unread.is_empty() {
            let batch = match &mut self.beyond {
                Some(beyond) => tokio::select! {
                    biased;
                    batch = beyond.recv() => batch,
                    batch = self.batches.recv() => batch,
                },
                None => self.batches.recv().await,
            };
            self.unread = batch.ok_or(End::Lost)?;
        }
        if self.unread == GOODBYE {
            return Err(End::Told);
        }
        let end = self.unread.iter().position(|b| *b == b'\n').unwrap();
        let line = self.unread.split_to(end);
        self.unread.advance(1);
        Ok(String::from_utf8(line.to_vec()).unwrap())
    }
}

impl<const FAULT: u8> Client for Reader<FAULT> {
    type Server = (Node, Arc<Mutex<()>>);
    type Resume = String;

    async fn serve(node: Node) -> Self::Server {
        (node, Arc::default())
    }

    async fn connect(
        (node, turn): &Self::Server,
        connecting: Connecting<'_, String>,
    ) -> Result<Self, End> {
        let token = Some(connecting.token.to_owned());
        let opening = Opening {
            transport: "queue",
            codec: Arc::new(Lines),
            framing: Arc::new(Lines),
            handshake: Handshake {
                token,
                ..Handshake::default()
            },
            identity: None,
            channels: connecting.channels.to_vec(),
            own_channel: false,
            session: None,
        };
        let mut session = node.open(opening).map_err(|_| End::Told)?;
        let resume = connecting
            .resume
            .filter(|_| Self::FAULT != Fault::IgnoresTheCursor);
        let connect = Connect {
            resume: resume.map(|cursor| cursor.parse().unwrap()),
            ..Connect::default()
        };
        session.connect(connect).await.map_err(|_| End::Told)?;
        let (sender, batches) = mpsc::channel(8);
        let (beyond, unbounded) = match Self::FAULT {
            Fault::QueuesWithoutBound => Some(mpsc::unbounded_channel()).unzip(),
            _ => (None, None),
        };
        let queue = Queue {
            sender,
            beyond,
            fault: Self::FAULT,
            resumes: resume.is_some(),
            turn: turn.clone(),
        };
        tokio::spawn(queue.serve(session));
        let mut reader = Self {
            batches,
            beyond: unbounded,
            unread: Bytes::new(),
            cursor: String::new(),
        };
        reader.cursor = reader.line().await?;
        Ok(reader)
    }

    async fn next(&mut self) -> Result<Received, End> {
        loop {
            let line = self.line().await?;
            let mut parts = line.splitn(3, '\t');
            let cursor = parts.next().unwrap();
            let channel = parts.next().unwrap().to_owned();
            let mut payload = parts.next().unwrap().to_owned();
            let ephemeral = cursor.is_empty();
            if !ephemeral || Self::FAULT == Fault::ClearsTheCursor {
                cursor.clone_into(&mut self.cursor);
            }
            match Self::FAULT {
                Fault::DropsEphemeral if ephemeral => continue,
                Fault::Mangles => payload = payload.replace("\\/", "/"),
                _ => {}
            }
            let channel = match Self::FAULT {
                Fault::MisnamesTheChannel => channel.replace('2', "1"),
                _ => channel,
            };
            return Ok(Received {
                channel: Some(channel),
                payload: payload.into(),
            });
        }
    }

    fn resume(&self) -> Option<String> {
        Some(self.cursor.clone()).filter(|cursor| !cursor.is_empty())
    }
}

fn brief() -> Plan {
    Plan {
        events: 300,
        slack: Duration::from_millis(700),
        stall: 8 << 20,
        patience: Duration::from_secs(3),
        ..Plan::default()
    }
}

/// Runs all checks on a runtime of its own, and gives the words of the failure.
fn failure<const FAULT: u8>() -> Option<String> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let plan = brief();
    let check = check_all::<Reader<FAULT>>(&plan);
    let outcome = catch_unwind(AssertUnwindSafe(|| runtime.block_on(check)));
    runtime.shutdown_background();
    let panic = outcome.err()?;
    let words = panic.downcast_ref::<String>().cloned();
    words.or_else(|| Some((*panic.downcast_ref::<&str>()?).to_owned()))
}

fn caught<const FAULT: u8>(promise: &str) {
    let fault = ALL[FAULT as usize];
    let words = failure::<FAULT>().unwrap_or_else(|| panic!("{fault:?} passed"));
    assert!(words.starts_with("broken promise: "), "{fault:?}: {words}");
    assert!(words.contains(promise), "{fault:?}: {words}");
}

#[test]
fn a_transport_that_keeps_its_promises_passes() {
    assert_eq!(failure::<{ Fault::None as u8 }>(), None);
}

#[test]
fn what_arrives_twice_or_not_or_otherwise_is_caught() {
    caught::<{ Fault::Doubles as u8 }>("an event arrives once");
    caught::<{ Fault::Loses as u8 }>("every event arrives");
    caught::<{ Fault::Reorders as u8 }>("every event arrives");
    caught::<{ Fault::Mangles as u8 }>("byte for byte");
    caught::<{ Fault::MisnamesTheChannel as u8 }>("under its own channel");
}

#[test]
fn what_arrives_late_is_caught() {
    caught::<{ Fault::IsLate as u8 }>("a flush is delivered whole, at once");
    caught::<{ Fault::HoldsTheTailBack as u8 }>("every event arrives, in time");
}

#[test]
fn what_a_cut_breaks_is_caught() {
    caught::<{ Fault::LosesAtACut as u8 }>("every event arrives");
    caught::<{ Fault::IgnoresTheCursor as u8 }>("every event arrives");
    caught::<{ Fault::ClearsTheCursor as u8 }>("every event arrives");
    caught::<{ Fault::DropsEphemeral as u8 }>("ephemeral");
    caught::<{ Fault::KeepsSessions as u8 }>("the session of a client that is gone ends");
}

#[test]
fn what_a_stall_breaks_is_caught() {
    caught::<{ Fault::QueuesWithoutBound as u8 }>("ended once more waits");
    caught::<{ Fault::LetsOneHoldOthersUp as u8 }>("holds no other up");
}

#[test]
fn what_a_drain_breaks_is_caught() {
    caught::<{ Fault::SaysNoGoodbye as u8 }>("told when its node goes down");
    caught::<{ Fault::EndsAtOnce as u8 }>("delivered before it is gone");
}

#[tokio::test]
async fn what_a_transport_cannot_do_is_left_out_and_said() {
    struct Live(Reader<{ Fault::None as u8 }>);

    impl Client for Live {
        type Server = (Node, Arc<Mutex<()>>);
        type Resume = ();

        fn capabilities() -> Capabilities {
            Capabilities {
                resume: false,
                stream: false,
                ..Capabilities::default()
            }
        }

        async fn serve(node: Node) -> Self::Server {
            Reader::<0>::serve(node).await
        }

        async fn connect(
            server: &Self::Server,
            connecting: Connecting<'_, ()>,
        ) -> Result<Self, End> {
            let connecting = Connecting {
                token: connecting.token,
                channels: connecting.channels,
                resume: None,
            };
            Reader::connect(server, connecting).await.map(Self)
        }

        async fn next(&mut self) -> Result<Received, End> {
            self.0.next().await
        }

        fn resume(&self) -> Option<()> {
            None
        }
    }

    let report = check_all::<Live>(&brief()).await;
    let left_out = report.left_out.iter().map(|(concern, _)| *concern);
    assert_eq!(left_out.collect::<Vec<_>>(), ["resuming", "stalls"]);
    assert!(!report.checked.contains(&"resuming"), "{report}");
}
