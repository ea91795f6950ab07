//! A node of a relay, without its link: messages, commands and the time in, outputs out.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use fanfare::{Channel, Event, Guarantee};
use tokio::time::Instant;

use super::members::{HELLO, Members};
use super::message::{Message, NodeId, Term, Verdict};
use super::owner::Owner;
use super::reader::{Heard, Reader};

/// How long an owner may take to answer.
const ANSWER: Duration = Duration::from_millis(1_500);
/// How often an owner is asked where a channel stands.
const ASKS: Duration = Duration::from_millis(300);
/// Channels in one message.
const CHANNELS: usize = 200;
/// How often what is old is forgotten.
const EXPIRES: Duration = Duration::from_secs(60);

/// A call of the broker that waits for an answer.
pub(super) type Ticket = u64;

/// What a node wants done.
#[derive(Debug)]
pub(super) enum Output {
    /// To one node.
    Send(NodeId, Bytes),
    /// To all that listen to a channel.
    Cast(Channel, Bytes),
    /// To all nodes, this one too.
    CastAll(Bytes),
    /// From now on hear what is cast to a channel.
    Listen(Channel),
    /// No longer.
    Forget(Channel),
    /// Hand it to the ingress.
    Deliver(Event),
    /// A call of `publish` is done.
    Published(Ticket, Result<(), Refusal>),
    /// A call of `subscribe` is done.
    Subscribed(Ticket),
    /// Events that did not come were given up.
    GaveUp(Channel, u64),
    /// These bytes are no event, or no message.
    Garbled,
}

/// Why an event was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The link is down, or this node has just come.
    Away,
    /// Nobody numbers the lane, for the moment.
    NoOwner,
    /// The owner did not answer, and may have taken it.
    NoAnswer,
    /// The lane has another owner now.
    Moved,
    /// Others have to come first, which did not arrive.
    Early,
    /// The owner could not read it.
    Garbled,
}

/// A node of a relay.
#[derive(Debug)]
pub(super) struct Relay {
    me: NodeId,
    members: Members,
    owner: Owner,
    readers: HashMap<Channel, Reader>,
    /// Channels whose owner has not said where they stand, and when it was asked.
    asking: HashMap<Channel, Option<Instant>>,
    /// Who waits for that, and for how many channels more.
    subscribing: HashMap<Ticket, HashSet<Channel>>,
    holes: HashSet<Channel>,
    requests: BTreeMap<u64, Requested>,
    next_request: u64,
    answers: HashMap<NodeId, Vec<(u64, Verdict)>>,
    /// What this node has said to itself.
    own: VecDeque<Message>,
    outputs: VecDeque<Output>,
    hello: Instant,
    expire: Instant,
    was_settled: bool,
}

#[derive(Debug)]
struct Requested {
    ticket: Ticket,
    owner: NodeId,
    until: Instant,
}

impl Relay {
    pub(super) fn new(me: NodeId, now: Instant) -> Self {
        Self {
            me,
            members: Members::new(me, now),
            owner: Owner::default(),
            readers: HashMap::new(),
            asking: HashMap::new(),
            subscribing: HashMap::new(),
            holes: HashSet::new(),
            requests: BTreeMap::new(),
            next_request: 1,
            answers: HashMap::new(),
            own: VecDeque::new(),
            outputs: VecDeque::new(),
            hello: now,
            expire: now + EXPIRES,
            was_settled: false,
        }
    }

    /// Whether events can be published.
    pub(super) fn is_ready(&self, now: Instant) -> bool {
        self.members.settled(now) && self.members.all_taken()
    }

    /// The next thing to do.
    pub(super) fn output(&mut self) -> Option<Output> {
        if self.outputs.is_empty() {
            // As many as have gathered, in one message. Also those to this node itself go by the
            // link: what comes back behind a broadcast proves that the broadcast was sent.
            let answers = self.answers.drain();
            let sent =
                answers.map(|(to, answers)| Output::Send(to, Message::Answers(answers).encode()));
            self.outputs.extend(sent);
        }
        self.outputs.pop_front()
    }

    pub(super) fn link_up(&mut self, now: Instant) {
        self.members.link_up(now);
        self.was_settled = false;
        let listened = self.readers.keys().cloned().map(Output::Listen);
        self.outputs.extend(listened);
        self.say_hello(true, now);
    }

    pub(super) fn link_down(&mut self) {
        self.members.link_down();
        self.was_settled = false;
        for (_, requested) in std::mem::take(&mut self.requests) {
            let refused = Output::Published(requested.ticket, Err(Refusal::NoAnswer));
            self.outputs.push_back(refused);
        }
        self.answers.clear();
    }

    /// Sends an event to the owner of its lane, or, if it is live only, to all that listen.
    pub(super) fn publish(&mut self, ticket: Ticket, event: &Event, now: Instant) {
        let lives_in_order =
            event.guarantee() != Guarantee::Ephemeral && !event.channel().is_of_nodes();
        let done = |answer| Output::Published(ticket, answer);
        if !self.members.settled(now) {
            return self.outputs.push_back(done(Err(Refusal::Away)));
        }
        let frame = event.encode();
        if !lives_in_order {
            let message = Message::Live { frame }.encode();
            self.outputs.push_back(if event.channel().is_of_nodes() {
                Output::CastAll(message)
            } else {
                Output::Cast(event.channel().clone(), message)
            });
            return self.outputs.push_back(done(Ok(())));
        }
        let Some(term) = self.members.term(event.channel().lane()) else {
            return self.outputs.push_back(done(Err(Refusal::NoOwner)));
        };
        let id = self.next_request;
        self.next_request += 1;
        let requested = Requested {
            ticket,
            owner: term.owner,
            until: now + ANSWER,
        };
        self.requests.insert(id, requested);
        let from = self.me;
        self.send(term.owner, Message::Request { from, id, frame });
        self.hear_self(now);
    }

    pub(super) fn subscribe(&mut self, ticket: Ticket, channels: Vec<Channel>, now: Instant) {
        let mut waits = HashSet::new();
        for channel in channels {
            // What all nodes hear needs no subscription.
            if channel.is_of_nodes() {
                continue;
            }
            if !self.readers.contains_key(&channel) {
                self.readers.insert(channel.clone(), Reader::default());
                self.outputs.push_back(Output::Listen(channel.clone()));
                self.asking.insert(channel.clone(), None);
            }
            if self.asking.contains_key(&channel) {
                waits.insert(channel);
            }
        }
        if waits.is_empty() {
            self.outputs.push_back(Output::Subscribed(ticket));
        } else {
            self.subscribing.insert(ticket, waits);
            self.ask(now);
            self.hear_self(now);
        }
    }

    pub(super) fn unsubscribe(&mut self, channels: Vec<Channel>) {
        for channel in channels {
            if self.readers.remove(&channel).is_some() {
                self.holes.remove(&channel);
                self.stands(&channel);
                self.outputs.push_back(Output::Forget(channel));
            }
        }
    }

    /// Says goodbye, with nothing to follow.
    pub(super) fn end(&mut self) {
        let node = self.me;
        let goodbye = Message::Goodbye { node }.encode();
        self.outputs.push_back(Output::CastAll(goodbye));
    }

    /// The server knows of nobody by that name: what was asked of it will not be answered.
    pub(super) fn unreachable(&mut self, node: NodeId) {
        self.refuse_requests(node, Refusal::NoAnswer);
    }

    pub(super) fn receive(&mut self, bytes: Bytes, now: Instant) {
        match Message::decode(bytes) {
            Some(message) => self.hear(message, now),
            None => self.outputs.push_back(Output::Garbled),
        }
        self.hear_self(now);
    }

    /// To be called some ten times a second.
    pub(super) fn tick(&mut self, now: Instant) {
        while let Some(first) = self.requests.first_entry()
            && first.get().until <= now
        {
            let refused = Output::Published(first.remove().ticket, Err(Refusal::NoAnswer));
            self.outputs.push_back(refused);
        }
        let taken = self.members.tick(now);
        for lane in &taken {
            if let Some(term) = self.members.term(*lane) {
                self.owner.begin(*lane, term);
            }
        }
        if self.hello <= now || !taken.is_empty() {
            self.say_hello(false, now);
        }
        let settled = self.members.settled(now);
        if settled && !self.was_settled {
            // Whatever came while the link was down is missing.
            for (channel, reader) in &mut self.readers {
                reader.link_up(now);
                self.asking.insert(channel.clone(), None);
            }
        }
        self.was_settled = settled;
        if settled {
            self.ask(now);
            self.repair(now);
            for (channel, term, number) in self.owner.announce(now) {
                let newest = Message::Newest(vec![(channel.clone(), term, number)]);
                self.outputs
                    .push_back(Output::Cast(channel, newest.encode()));
            }
        }
        if self.expire <= now {
            self.expire = now + EXPIRES;
            self.owner.expire(now);
        }
        self.hear_self(now);
    }

    fn say_hello(&mut self, asks: bool, now: Instant) {
        let hello = Message::Hello {
            node: self.me,
            asks,
            lanes: self.members.mine(),
        };
        self.outputs.push_back(Output::CastAll(hello.encode()));
        self.hello = now + HELLO;
    }

    fn send(&mut self, to: NodeId, message: Message) {
        if to == self.me {
            self.own.push_back(message);
        } else {
            self.outputs.push_back(Output::Send(to, message.encode()));
        }
    }

    fn hear_self(&mut self, now: Instant) {
        while let Some(message) = self.own.pop_front() {
            self.hear(message, now);
        }
    }

    fn hear(&mut self, message: Message, now: Instant) {
        match message {
            Message::Hello { node, asks, lanes } => {
                for lane in self.members.heard(node, &lanes, now) {
                    self.owner.end(lane);
                }
                if asks && node != self.me {
                    self.say_hello(false, now);
                }
            }
            Message::Goodbye { node } if node != self.me => {
                self.members.gone(node);
                self.refuse_requests(node, Refusal::Moved);
            }
            Message::Goodbye { .. } => {}
            Message::Request { from, id, frame } => {
                // Before it has heard who is there it does not know whether it is the owner still.
                let (verdict, taken) = if self.members.settled(now) {
                    self.owner.take(frame, now)
                } else {
                    (Verdict::NotMine, None)
                };
                if let Some((channel, numbered)) = taken {
                    let event = Message::Event(numbered).encode();
                    self.outputs.push_back(Output::Cast(channel, event));
                }
                self.answers.entry(from).or_default().push((id, verdict));
            }
            Message::Answers(answers) => {
                for (id, verdict) in answers {
                    if let Some(requested) = self.requests.remove(&id) {
                        let answer = answered(verdict);
                        self.outputs
                            .push_back(Output::Published(requested.ticket, answer));
                    }
                }
            }
            Message::Event(numbered) => match Event::decode(numbered.frame.clone()) {
                Ok(event) => {
                    let channel = event.channel().clone();
                    self.read(&channel, |reader| reader.event(&numbered, event, now));
                }
                Err(_) => self.outputs.push_back(Output::Garbled),
            },
            Message::Newest(channels) => {
                for (channel, term, number) in channels {
                    self.read(&channel, |reader| reader.newest(term, number, now));
                    if self.members.term(channel.lane()) == Some(term) {
                        self.stands(&channel);
                    }
                }
            }
            Message::Ask { from, channels } => {
                let newest = |channel: Channel| {
                    let (term, number) = self.owner.newest(&channel)?;
                    Some((channel, term, number))
                };
                let newest = channels.into_iter().filter_map(newest).collect::<Vec<_>>();
                if !newest.is_empty() {
                    self.send(from, Message::Newest(newest));
                }
            }
            Message::Want {
                from,
                channel,
                term,
                after,
                upto,
            } => {
                let repair = self.owner.repair(&channel, term, after, upto);
                if let Some(upto) = repair.lost {
                    let lost = Message::Lost {
                        channel,
                        term,
                        upto,
                    };
                    self.send(from, lost);
                }
                for event in repair.events {
                    self.send(from, Message::Event(event));
                }
            }
            Message::Lost {
                channel,
                term,
                upto,
            } => self.read(&channel, |reader| reader.lost(term, upto, now)),
            Message::Live { frame } => match Event::decode(frame) {
                Ok(event) => self.outputs.push_back(Output::Deliver(event)),
                Err(_) => self.outputs.push_back(Output::Garbled),
            },
        }
    }

    fn read(&mut self, channel: &Channel, read: impl FnOnce(&mut Reader) -> Heard) {
        let Some(reader) = self.readers.get_mut(channel) else {
            return;
        };
        let heard = read(reader);
        if reader.has_hole() {
            self.holes.insert(channel.clone());
        } else {
            self.holes.remove(channel);
        }
        self.hand_over(channel, heard);
    }

    fn hand_over(&mut self, channel: &Channel, heard: Heard) {
        if heard.given_up > 0 {
            let gave_up = Output::GaveUp(channel.clone(), heard.given_up);
            self.outputs.push_back(gave_up);
        }
        self.outputs
            .extend(heard.events.into_iter().map(Output::Deliver));
    }

    /// It is known where a channel stands, or it does not matter any more.
    fn stands(&mut self, channel: &Channel) {
        if self.asking.remove(channel).is_none() {
            return;
        }
        let outputs = &mut self.outputs;
        self.subscribing.retain(|ticket, waits| {
            waits.remove(channel);
            if waits.is_empty() {
                outputs.push_back(Output::Subscribed(*ticket));
            }
            !waits.is_empty()
        });
    }

    /// Asks owners where channels stand.
    fn ask(&mut self, now: Instant) {
        if !self.members.settled(now) {
            return;
        }
        let mut by_owner: HashMap<NodeId, Vec<Channel>> = HashMap::new();
        for (channel, asked) in &mut self.asking {
            let due = asked.is_none_or(|asked| now.duration_since(asked) >= ASKS);
            if let Some(Term { owner, .. }) = self.members.term(channel.lane())
                && due
            {
                *asked = Some(now);
                by_owner.entry(owner).or_default().push(channel.clone());
            }
        }
        for (owner, channels) in by_owner {
            for channels in channels.chunks(CHANNELS) {
                let ask = Message::Ask {
                    from: self.me,
                    channels: channels.to_vec(),
                };
                self.send(owner, ask);
            }
        }
    }

    /// Asks owners for what is missing.
    fn repair(&mut self, now: Instant) {
        for channel in self.holes.iter().cloned().collect::<Vec<_>>() {
            let Some(reader) = self.readers.get_mut(&channel) else {
                continue;
            };
            let (missing, heard) = reader.tick(now);
            if !reader.has_hole() {
                self.holes.remove(&channel);
            }
            self.hand_over(&channel, heard);
            if let Some(missing) = missing {
                let want = Message::Want {
                    from: self.me,
                    channel,
                    term: missing.term,
                    after: missing.after,
                    upto: missing.upto,
                };
                self.send(missing.term.owner, want);
            }
        }
    }

    fn refuse_requests(&mut self, owner: NodeId, refusal: Refusal) {
        let outputs = &mut self.outputs;
        self.requests.retain(|_, requested| {
            if requested.owner == owner {
                outputs.push_back(Output::Published(requested.ticket, Err(refusal)));
            }
            requested.owner != owner
        });
    }
}

fn answered(verdict: Verdict) -> Result<(), Refusal> {
    match verdict {
        Verdict::Taken => Ok(()),
        Verdict::Early => Err(Refusal::Early),
        Verdict::NotMine => Err(Refusal::Moved),
        Verdict::Garbled => Err(Refusal::Garbled),
    }
}

#[cfg(test)]
mod simulation;
