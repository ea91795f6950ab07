//! Nodes over a network that loses messages, breaks and has nodes come.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};

use fanfare::Stamp;
use proptest::prelude::*;
use rand::rngs::SmallRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};

use super::*;

const STEP: Duration = Duration::from_millis(20);
const CHANNELS: [&str; 4] = ["a.1", "b.2", "c.3", "d.4"];
const WINDOW: usize = 6;

#[derive(Clone, Debug)]
enum Action {
    /// A node has so many events more for a channel.
    Publish(usize, usize, u8),
    /// Time passes, in steps.
    Pass(u8),
    /// A node loses its link for so many steps.
    Cut(usize, u8),
    /// All lose it: the server is away.
    Outage(u8),
    /// One more node.
    Join,
    /// A node is gone for ever, without a goodbye.
    Die(usize),
}

fn actions() -> impl Strategy<Value = Vec<Action>> {
    let action = prop_oneof![
        8 => (0..3usize, 0..CHANNELS.len(), 1..12u8).prop_map(|(node, channel, count)| Action::Publish(node, channel, count)),
        6 => (1..25u8).prop_map(Action::Pass),
        // Shorter than what makes others believe that it is gone.
        2 => (0..3usize, 1..60u8).prop_map(|(node, steps)| Action::Cut(node, steps)),
        1 => (1..250u8).prop_map(Action::Outage),
        1 => Just(Action::Join),
    ];
    prop::collection::vec(action, 1..40)
}

/// Where messages keep their order: from a node to another by one subject, a channel's or its own,
/// or the subject of all.
type Path = (usize, usize, Option<Channel>, bool);

struct World {
    now: Instant,
    steps: u64,
    nodes: Vec<Node>,
    network: BTreeMap<Path, VecDeque<Bytes>>,
    lost_in_a_row: HashMap<Path, u32>,
    loss: f64,
    random: SmallRng,
    /// Whether a node has died, so that events may be lost.
    mourns: bool,
}

struct Node {
    relay: Relay,
    /// The step at which its link comes back, or came back.
    cut_until: u64,
    up: bool,
    listens: HashSet<Channel>,
    seen: Vec<Event>,
    subscribed: bool,
    /// Its runs of events, by lane.
    runs: BTreeMap<usize, Sender>,
}

/// A node's run of events to one lane: many at a time, and from the first that failed once more.
#[derive(Default)]
struct Sender {
    origin: u64,
    events: Vec<Channel>,
    settled: usize,
    next: usize,
    under_way: VecDeque<(Ticket, Option<bool>)>,
    failed: bool,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut world = Self {
            now: Instant::now(),
            steps: 1,
            nodes: Vec::new(),
            network: BTreeMap::new(),
            lost_in_a_row: HashMap::new(),
            loss: 0.0,
            random: SmallRng::seed_from_u64(seed),
            mourns: false,
        };
        for _ in 0..3 {
            world.join();
        }
        while !world
            .nodes
            .iter()
            .all(|node| node.relay.is_ready(world.now))
        {
            world.step();
        }
        for at in 0..3 {
            world.subscribe(at);
        }
        while !world.nodes.iter().all(|node| node.subscribed) {
            world.step();
            assert!(world.steps < 1_000, "nobody has subscribed");
        }
        world
    }

    fn join(&mut self) {
        let me = self.nodes.len() as NodeId;
        let mut relay = Relay::new(me, self.now);
        relay.link_up(self.now);
        self.nodes.push(Node {
            relay,
            cut_until: 0,
            up: true,
            listens: HashSet::new(),
            seen: Vec::new(),
            subscribed: false,
            runs: BTreeMap::new(),
        });
        self.carry_out(self.nodes.len() - 1);
    }

    fn subscribe(&mut self, at: usize) {
        let channels = CHANNELS.map(|name| Channel::new(name).unwrap());
        self.nodes[at]
            .relay
            .subscribe(u64::MAX, channels.to_vec(), self.now);
        self.carry_out(at);
    }

    fn act(&mut self, action: &Action) {
        match *action {
            Action::Publish(at, channel, count) => {
                let channel = Channel::new(CHANNELS[channel]).unwrap();
                let lane = channel.lane();
                let sender = self.nodes[at].runs.entry(lane).or_default();
                sender.origin = (at * 100 + lane) as u64;
                sender.events.extend((0..count).map(|_| channel.clone()));
            }
            Action::Pass(steps) => (0..steps).for_each(|_| self.step()),
            // One that flaps is away for longer than it is given.
            Action::Cut(at, _) if self.nodes[at].cut_until.saturating_add(150) > self.steps => {}
            Action::Cut(at, steps) => self.cut(at, steps),
            Action::Outage(steps) => {
                for at in 0..self.nodes.len() {
                    let later = self.random.random_range(0..20);
                    self.cut(at, steps.saturating_add(later));
                }
            }
            // Not while those who were there before are on their way back.
            Action::Join if self.nodes.len() < 5 && self.all_settled() => {
                self.join();
                // Its subscriptions wait until it takes part.
                self.subscribe(self.nodes.len() - 1);
            }
            Action::Join => {}
            // The last two stay.
            Action::Die(at) if self.living().count() > 2 && self.nodes[at].lives() => {
                self.mourns = true;
                self.cut(at, 0);
                self.nodes[at].cut_until = u64::MAX;
            }
            Action::Die(_) => {}
        }
    }

    fn cut(&mut self, at: usize, steps: u8) {
        let node = &mut self.nodes[at];
        if node.up {
            node.up = false;
            node.relay.link_down();
        }
        node.cut_until = node.cut_until.max(self.steps + u64::from(steps));
        node.listens.clear();
        self.network.retain(|(_, to, ..), _| *to != at);
        self.carry_out(at);
    }

    fn step(&mut self) {
        self.now += STEP;
        self.steps += 1;
        for at in 0..self.nodes.len() {
            let node = &mut self.nodes[at];
            if !node.up && node.cut_until <= self.steps {
                node.up = true;
                node.relay.link_up(self.now);
            }
            if self.steps % 5 == at as u64 % 5 {
                node.relay.tick(self.now);
            }
            self.carry_out(at);
            self.send(at);
        }
        // Most of what is under way arrives, in any order between paths.
        for _ in 0..2 {
            let mut paths = self.network.keys().cloned().collect::<Vec<_>>();
            paths.shuffle(&mut self.random);
            for path in paths {
                self.arrive(&path);
            }
        }
    }

    fn arrive(&mut self, path: &Path) {
        for _ in 0..self.random.random_range(0..8) {
            let Some(queue) = self.network.get_mut(path) else {
                return;
            };
            let Some(message) = queue.pop_front() else {
                self.network.remove(path);
                return;
            };
            let lost = self.lost_in_a_row.entry(path.clone()).or_default();
            // The hellos are spared: too many lost in a row are the end of an owner.
            if !path.3 && *lost < 3 && self.random.random_bool(self.loss) {
                *lost += 1;
                continue;
            }
            *lost = 0;
            self.nodes[path.1].relay.receive(message, self.now);
            self.carry_out(path.1);
        }
    }

    /// Does what a node wants done.
    fn carry_out(&mut self, at: usize) {
        while let Some(output) = self.nodes[at].relay.output() {
            let up = self.nodes[at].up;
            match output {
                Output::Send(to, message) if up => {
                    self.put((at, to as usize, None, false), message);
                }
                Output::Cast(channel, message) if up => {
                    for to in 0..self.nodes.len() {
                        if self.nodes[to].listens.contains(&channel) {
                            self.put((at, to, Some(channel.clone()), false), message.clone());
                        }
                    }
                }
                Output::CastAll(message) if up => {
                    for to in 0..self.nodes.len() {
                        self.put((at, to, None, true), message.clone());
                    }
                }
                Output::Send(..) | Output::Cast(..) | Output::CastAll(_) => {}
                Output::Listen(channel) if up => {
                    self.nodes[at].listens.insert(channel);
                }
                Output::Listen(_) => {}
                Output::Forget(channel) => {
                    self.nodes[at].listens.remove(&channel);
                }
                Output::Deliver(event) => self.nodes[at].seen.push(event),
                Output::Published(ticket, answer) => {
                    for sender in self.nodes[at].runs.values_mut() {
                        sender.answered(ticket, answer.is_ok());
                    }
                }
                Output::Subscribed(_) => self.nodes[at].subscribed = true,
                Output::GaveUp(..) if self.mourns => {}
                Output::GaveUp(channel, holes) => panic!("{at} gave up {holes} in {channel}"),
                Output::Garbled => panic!("{at} cannot read a message"),
            }
        }
    }

    fn put(&mut self, path: Path, message: Bytes) {
        if self.nodes[path.1].up {
            self.network.entry(path).or_default().push_back(message);
        }
    }

    /// Sends what a node's runs have to send.
    fn send(&mut self, at: usize) {
        let lanes = self.nodes[at].runs.keys().copied().collect::<Vec<_>>();
        for lane in lanes {
            loop {
                let node = &mut self.nodes[at];
                let sender = node.runs.get_mut(&lane).unwrap();
                let Some((ticket, event)) = sender.next() else {
                    break;
                };
                node.relay.publish(ticket, &event, self.now);
                self.carry_out(at);
            }
        }
    }

    fn all_settled(&self) -> bool {
        self.living()
            .all(|node| node.relay.members.settled(self.now))
    }

    fn living(&self) -> impl Iterator<Item = &Node> {
        self.nodes.iter().filter(|node| node.lives())
    }

    fn idle(&self) -> bool {
        let senders = self.living().flat_map(|node| node.runs.values());
        senders
            .into_iter()
            .all(|sender| sender.settled == sender.events.len())
    }
}

impl Node {
    fn lives(&self) -> bool {
        self.cut_until != u64::MAX
    }
}

impl Sender {
    fn next(&mut self) -> Option<(Ticket, Event)> {
        while let Some((_, Some(true))) = self.under_way.front()
            && !self.failed
        {
            self.under_way.pop_front();
            self.settled += 1;
        }
        self.failed |= matches!(self.under_way.front(), Some((_, Some(false))));
        if self.failed {
            if self.under_way.iter().all(|(_, answer)| answer.is_some()) {
                self.under_way.clear();
                self.next = self.settled;
                self.failed = false;
            }
            return None;
        }
        let channel = self.events.get(self.next)?;
        if self.under_way.len() == WINDOW {
            return None;
        }
        self.next += 1;
        let stamp = Stamp {
            origin: self.origin,
            number: self.next as u64,
            settled: self.settled as u64,
        };
        let payload = format!("[{},{}]", self.origin, self.next);
        let event = Event::new(channel.clone(), "e", payload).unwrap();
        let ticket = self.origin << 32 | self.next as u64;
        self.under_way.push_back((ticket, None));
        Some((ticket, event.stamped(stamp)))
    }

    fn answered(&mut self, ticket: Ticket, accepted: bool) {
        let waiting = self.under_way.iter_mut().find(|(sent, _)| *sent == ticket);
        if let Some((_, answer)) = waiting {
            answer.get_or_insert(accepted);
        }
    }
}

fn of(node: &Node, channel: &str) -> Vec<(u64, u64)> {
    let seen = node.seen.iter();
    let seen = seen.filter(|event| event.channel().as_str() == channel);
    let stamps = seen.filter_map(Event::stamp);
    stamps.map(|stamp| (stamp.origin, stamp.number)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn all_hear_what_was_accepted_once_and_in_one_order(
        seed in any::<u64>(),
        loss in 0.0..0.12f64,
        actions in actions(),
    ) {
        let mut world = World::new(seed);
        world.loss = loss;
        for action in &actions {
            world.act(action);
        }
        for _ in 0..3_000 {
            world.step();
            if world.idle() {
                break;
            }
        }
        prop_assert!(world.idle(), "events cannot be published");
        for _ in 0..300 {
            world.step();
        }
        prop_assert!(world.nodes.iter().all(|node| node.subscribed));
        for name in CHANNELS {
            let order = of(&world.nodes[0], name);
            let mut accepted = Vec::new();
            for sender in world.nodes.iter().flat_map(|node| node.runs.values()) {
                let numbered = (1..).zip(&sender.events);
                let numbered = numbered.filter(|(_, channel)| channel.as_str() == name);
                accepted.extend(numbered.map(|(number, _)| (sender.origin, number)));
            }
            let mut sorted = order.clone();
            sorted.sort_unstable();
            accepted.sort_unstable();
            prop_assert_eq!(&sorted, &accepted, "each arrives once in {}", name);
            for (at, node) in world.nodes.iter().enumerate().skip(1) {
                let seen = of(node, name);
                // Those who came later heard the rest of it.
                let rest = &order[order.len().saturating_sub(seen.len())..];
                prop_assert_eq!(&seen, rest, "node {} in {}", at, name);
                prop_assert!(at >= 3 || seen.len() == order.len(), "node {} in {}", at, name);
            }
            for sender in world.nodes.iter().flat_map(|node| node.runs.values()) {
                let own = order.iter().filter(|(origin, _)| *origin == sender.origin);
                prop_assert!(own.map(|(_, number)| number).is_sorted(), "a run keeps its order");
            }
        }
    }

    #[test]
    fn those_who_live_agree_again_after_deaths(
        seed in any::<u64>(),
        loss in 0.0..0.12f64,
        before in actions(),
        dies in 0..3usize,
        between in actions(),
        dies_too in 0..5usize,
        after in actions(),
    ) {
        let mut world = World::new(seed);
        world.loss = loss;
        let deaths = [(before, dies), (between, dies_too)];
        for (actions, dies) in deaths {
            for action in &actions {
                world.act(action);
            }
            world.act(&Action::Die(dies.min(world.nodes.len() - 1)));
        }
        for action in &after {
            world.act(action);
        }
        let settle = |world: &mut World| {
            for _ in 0..3_000 {
                world.step();
                if world.idle() {
                    break;
                }
            }
            // Until an outage is over, and holes that nobody can fill are given up.
            for _ in 0..700 {
                world.step();
            }
        };
        settle(&mut world);
        prop_assert!(world.idle(), "events cannot be published");
        let lives = world.nodes.iter().position(Node::lives).unwrap();
        let count = |node: &Node| CHANNELS.map(|name| of(node, name).len());
        let seen = world.nodes.iter().map(count).collect::<Vec<_>>();
        for channel in 0..CHANNELS.len() {
            world.act(&Action::Publish(lives, channel, 5));
        }
        settle(&mut world);
        for (name, at) in CHANNELS.into_iter().zip(0..) {
            for (node, seen) in world.nodes.iter().zip(&seen) {
                let all = of(node, name);
                let copies = all.iter().collect::<HashSet<_>>().len();
                prop_assert_eq!(copies, all.len(), "nothing comes twice");
                let mut last = HashMap::new();
                for (origin, number) in &all {
                    let before = last.insert(origin, number);
                    prop_assert!(before < Some(number), "a run keeps its order");
                }
                prop_assert!(!node.lives() || all.len() - seen[at] == 5, "all hear what is new");
            }
        }
    }
}
