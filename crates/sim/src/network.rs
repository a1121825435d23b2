//! Links between processes. A link keeps order and loses nothing until it
//! breaks; then it loses a suffix of what was on the way in each direction,
//! and whatever is sent until it stands again. A cut holds messages back, one
//! way or both; a slow link delays them; a thin one makes them queue.
//!
//! Where [datagrams](crate::Datagrams) are let, small messages need no link:
//! each has a way and a fate of its own, and a cut loses them. A link is made
//! when it is first used, so that a fleet of thousands has a network too.

use std::collections::VecDeque;

use bytes::Bytes;
use skein_machine::Random;

use crate::{Datagrams, Latency, Nanos, SECOND};

/// All links of a world. Processes are numbered from 0 here.
#[derive(Debug)]
pub struct Network {
    processes: usize,
    latency: Latency,
    /// Where the link from one process to another lies in the list, counted from 1: most pairs of a large fleet
    /// never have one, and memory that nobody looks at costs nothing.
    places: Vec<u32>,
    links: Vec<Link>,
    /// Pairs between which nothing arrives, a bit for each direction.
    cuts: Vec<u64>,
    /// What becomes of small messages, where they travel alone.
    datagrams: Option<Datagrams>,
}

/// One direction between two processes.
#[derive(Debug)]
struct Link {
    from: u16,
    to: u16,
    on_the_way: VecDeque<Traveller>,
    /// Nothing may arrive before this: order is kept.
    newest_arrival: Nanos,
    /// The wire is busy until then.
    busy_until: Nanos,
    /// The pair has no connection: what is sent is lost.
    is_broken: bool,
    /// Whether an arrival is planned.
    is_awaited: bool,
    slowdown: f64,
    bytes_per_second: Option<u64>,
}

/// A message on its way.
#[derive(Debug)]
struct Traveller {
    /// When its last byte is on the wire.
    departs: Nanos,
    /// How long the way takes from there.
    takes: Nanos,
    arrives: Nanos,
    bytes: Bytes,
}

/// One direction between two processes, as a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LinkId(u32);

impl Network {
    pub(crate) fn new(latency: Latency) -> Network {
        let processes = latency.processes();
        let pairs = processes * processes;
        let (places, cuts) = (vec![0; pairs], vec![0; pairs.div_ceil(64)]);
        Network { processes, latency, places, links: Vec::new(), cuts, datagrams: None }
    }

    /// The link from one process to another, made if it is the first time that somebody asks.
    pub(crate) fn link(&mut self, from: usize, to: usize) -> LinkId {
        if let Some(link) = self.link_that_is(from, to) {
            return link;
        }
        self.links.push(Link::new(from as u16, to as u16));
        self.places[from * self.processes + to] = self.links.len() as u32;
        LinkId(self.links.len() as u32 - 1)
    }

    /// The link from one process to another, if anybody ever asked for it.
    pub(crate) fn link_that_is(&self, from: usize, to: usize) -> Option<LinkId> {
        self.places[from * self.processes + to].checked_sub(1).map(LinkId)
    }

    /// The ends of all links that are, in order.
    pub(crate) fn pairs(&self) -> Vec<(usize, usize)> {
        let mut pairs: Vec<_> = self.links.iter().map(|link| (usize::from(link.from), usize::from(link.to))).collect();
        pairs.sort_unstable();
        pairs
    }

    /// The two ends of a link.
    pub(crate) fn ends(&self, link: LinkId) -> (usize, usize) {
        let link = &self.links[link.0 as usize];
        (usize::from(link.from), usize::from(link.to))
    }

    /// From now on small messages travel alone.
    pub(crate) fn let_datagrams(&mut self, datagrams: Datagrams) {
        self.datagrams = Some(datagrams);
    }

    /// What becomes of small messages, where they travel alone.
    pub(crate) fn datagrams(&mut self) -> Option<&mut Datagrams> {
        self.datagrams.as_mut()
    }

    /// Whether a message of this length travels alone.
    pub(crate) fn is_datagram(&self, length: usize) -> bool {
        self.datagrams.is_some_and(|datagrams| length <= datagrams.at_most)
    }

    /// When a message that travels alone arrives, unless it is lost.
    pub(crate) fn cast(&mut self, from: usize, to: usize, now: Nanos, random: &mut Random) -> Option<Nanos> {
        let delay = self.latency.draw(from, to, random);
        let loss = self.datagrams.map_or(0.0, |datagrams| datagrams.loss);
        if self.is_cut_off(from, to) || (loss > 0.0 && random.chance(loss)) {
            return None;
        }
        let slowdown = self.link_that_is(from, to).map_or(1.0, |link| self.links[link.0 as usize].slowdown);
        Some(now + (delay as f64 * slowdown) as Nanos)
    }

    /// Puts a message on its way, and answers when to look for it, unless that is planned or pointless.
    pub(crate) fn send(&mut self, id: LinkId, bytes: Bytes, now: Nanos, random: &mut Random) -> Option<Nanos> {
        let (from, to) = self.ends(id);
        let delay = self.latency.draw(from, to, random);
        let is_cut = self.is_cut_off(from, to);
        let link = &mut self.links[id.0 as usize];
        if link.is_broken {
            return None;
        }
        let takes = (delay as f64 * link.slowdown) as Nanos;
        link.depart(Traveller { departs: now, takes, arrives: now, bytes }, now);
        link.await_front(is_cut)
    }

    /// Takes the message that has arrived. `None` when the link is cut meanwhile.
    pub(crate) fn take(&mut self, link: LinkId, now: Nanos) -> Option<Bytes> {
        let (from, to) = self.ends(link);
        let is_cut = self.is_cut_off(from, to);
        let link = &mut self.links[link.0 as usize];
        link.is_awaited = false;
        match link.on_the_way.front() {
            Some(front) if front.arrives <= now && !is_cut => link.on_the_way.pop_front().map(|front| front.bytes),
            _ => None,
        }
    }

    /// When to look for the next message of a link, unless that is planned already.
    pub(crate) fn next_arrival(&mut self, link: LinkId, now: Nanos) -> Option<Nanos> {
        let (from, to) = self.ends(link);
        let is_cut = self.is_cut_off(from, to);
        self.links[link.0 as usize].await_front(is_cut).map(|arrives| arrives.max(now))
    }

    /// The receiver does not listen now; somebody will ask for the next arrival when it does.
    pub(crate) fn stop_awaiting(&mut self, link: LinkId) {
        self.links[link.0 as usize].is_awaited = false;
    }

    pub(crate) fn set_cut(&mut self, from: usize, to: usize, is_cut: bool) {
        let (word, bit) = self.cut_bit(from, to);
        if is_cut {
            self.cuts[word] |= bit;
        } else {
            self.cuts[word] &= !bit;
        }
    }

    /// Whether nothing arrives from one process at another.
    pub(crate) fn is_cut_off(&self, from: usize, to: usize) -> bool {
        let (word, bit) = self.cut_bit(from, to);
        self.cuts[word] & bit != 0
    }

    fn cut_bit(&self, from: usize, to: usize) -> (usize, u64) {
        let pair = from * self.processes + to;
        (pair / 64, 1 << (pair % 64))
    }

    pub(crate) fn set_slowdown(&mut self, from: usize, to: usize, slowdown: f64) {
        let link = self.link(from, to);
        self.links[link.0 as usize].slowdown = slowdown;
    }

    /// What queues before the wire goes on at the new rate; somebody must look for arrivals again.
    pub(crate) fn set_bandwidth(&mut self, from: usize, to: usize, bytes_per_second: Option<u64>, now: Nanos) {
        let link = self.link(from, to);
        self.links[link.0 as usize].set_bandwidth(bytes_per_second, now);
    }

    /// Changes how long messages of a link take; what is on its way is not overtaken.
    pub(crate) fn set_delay(&mut self, from: usize, to: usize, delay: Nanos) {
        self.latency.set(from, to, delay);
    }

    pub(crate) fn is_cut(&self, a: usize, b: usize) -> bool {
        self.is_cut_off(a, b) || self.is_cut_off(b, a)
    }

    pub(crate) fn is_broken(&self, a: usize, b: usize) -> bool {
        self.link_that_is(a, b).is_some_and(|link| self.links[link.0 as usize].is_broken)
    }

    /// Whether two processes have a connection that can break. Where small messages need none, those that never
    /// said anything large to each other have none.
    pub(crate) fn has_connection(&self, a: usize, b: usize) -> bool {
        let is_used = || self.link_that_is(a, b).or(self.link_that_is(b, a)).is_some();
        !self.is_broken(a, b) && (self.datagrams.is_none() || is_used())
    }

    /// Breaks the connection of a pair. In each direction a random prefix of
    /// what is on the way still arrives.
    pub(crate) fn break_pair(&mut self, a: usize, b: usize, random: &mut Random) {
        for link in [self.link(a, b), self.link(b, a)] {
            let link = &mut self.links[link.0 as usize];
            link.is_broken = true;
            let kept = random.below(link.on_the_way.len() as u64 + 1) as usize;
            link.on_the_way.truncate(kept);
        }
    }

    /// Everything on the way to a process is lost: nobody is there to take it.
    pub(crate) fn lose_everything_to(&mut self, process: usize) {
        for from in 0..self.processes {
            if let Some(link) = self.link_that_is(from, process) {
                self.links[link.0 as usize].on_the_way.clear();
            }
        }
    }

    /// Connects a broken pair again. What was on the old connection is gone.
    pub(crate) fn connect(&mut self, a: usize, b: usize, now: Nanos) {
        for link in [self.link(a, b), self.link(b, a)] {
            let link = &mut self.links[link.0 as usize];
            // An arrival of the old connection may still be planned; it will find nothing.
            (link.is_broken, link.is_awaited) = (false, false);
            link.on_the_way.clear();
            (link.newest_arrival, link.busy_until) = (now, now);
        }
    }

    /// Heals what was cut, slowed or thinned.
    pub(crate) fn calm(&mut self, now: Nanos) {
        self.cuts.fill(0);
        for link in &mut self.links {
            link.slowdown = 1.0;
            link.set_bandwidth(None, now);
        }
    }

    /// Messages that have not arrived.
    #[cfg(test)]
    fn on_the_way(&self) -> usize {
        self.links.iter().map(|link| link.on_the_way.len()).sum()
    }
}

impl Link {
    fn new(from: u16, to: u16) -> Link {
        Link {
            from,
            to,
            on_the_way: VecDeque::new(),
            newest_arrival: 0,
            busy_until: 0,
            is_broken: false,
            is_awaited: false,
            slowdown: 1.0,
            bytes_per_second: None,
        }
    }

    /// Puts a message behind the others before the wire, and on it as soon as that is free.
    fn depart(&mut self, mut traveller: Traveller, now: Nanos) {
        traveller.departs = match self.bytes_per_second {
            Some(rate) => {
                self.busy_until = self.busy_until.max(now) + traveller.bytes.len() as u64 * SECOND / rate;
                self.busy_until
            }
            None => now,
        };
        traveller.arrives = (traveller.departs + traveller.takes).max(self.newest_arrival);
        self.newest_arrival = traveller.arrives;
        self.on_the_way.push_back(traveller);
    }

    fn set_bandwidth(&mut self, bytes_per_second: Option<u64>, now: Nanos) {
        self.bytes_per_second = bytes_per_second;
        self.busy_until = now;
        let travelling = self.on_the_way.iter().take_while(|traveller| traveller.departs <= now).count();
        let queue = self.on_the_way.split_off(travelling);
        if queue.is_empty() {
            return;
        }
        self.newest_arrival = self.on_the_way.back().map_or(now, |last| last.arrives);
        for traveller in queue {
            self.depart(traveller, now);
        }
        // An arrival that is planned already may be too late now; it will find nothing, or the next.
        self.is_awaited = false;
    }

    /// When the front arrives, if nobody waits for it yet.
    fn await_front(&mut self, is_cut: bool) -> Option<Nanos> {
        let arrives = self.on_the_way.front()?.arrives;
        if self.is_awaited || is_cut {
            return None;
        }
        self.is_awaited = true;
        Some(arrives)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use skein_machine::ProcessId;

    fn pair(delay: Nanos) -> (Network, Random) {
        (Network::new(Latency::fixed(&[ProcessId(0), ProcessId(1)], delay)), Random::new(1))
    }

    fn word(text: &'static str) -> Bytes {
        Bytes::from_static(text.as_bytes())
    }

    #[test]
    fn a_faster_message_does_not_overtake() {
        let (mut network, mut random) = pair(10);
        let link = network.link(0, 1);
        assert_eq!(network.send(link, word("slow"), 0, &mut random), Some(10));
        network.set_delay(0, 1, 1);
        assert_eq!(network.send(link, word("fast"), 1, &mut random), None, "the first is awaited");
        assert_eq!(network.take(link, 10).unwrap(), "slow");
        assert_eq!(network.next_arrival(link, 10), Some(10));
        assert_eq!(network.take(link, 10).unwrap(), "fast");
    }

    #[test]
    fn a_cut_holds_back_and_a_break_loses_a_suffix() {
        let (mut network, mut random) = pair(10);
        let link = network.link(0, 1);
        network.send(link, word("held"), 0, &mut random);
        network.set_cut(0, 1, true);
        assert_eq!(network.take(link, 10), None);
        network.set_cut(0, 1, false);
        assert_eq!(network.next_arrival(link, 50), Some(50));

        let mut kept = std::collections::BTreeSet::new();
        for seed in 0..50 {
            let (mut network, _) = pair(10);
            let mut random = Random::new(seed);
            let link = network.link(0, 1);
            for text in ["a", "b"] {
                network.send(link, word(text), 0, &mut random);
            }
            network.break_pair(0, 1, &mut random);
            assert_eq!(network.send(link, word("void"), 1, &mut random), None);
            kept.insert(network.on_the_way());
        }
        assert_eq!(kept.into_iter().collect::<Vec<_>>(), [0, 1, 2]);
    }

    #[test]
    fn a_new_connection_begins_empty() {
        let (mut network, mut random) = pair(10);
        let link = network.link(0, 1);
        network.send(link, word("old"), 0, &mut random);
        network.break_pair(0, 1, &mut random);
        network.connect(1, 0, 5);
        assert_eq!((network.on_the_way(), network.is_broken(0, 1)), (0, false));
        network.send(link, word("new"), 5, &mut random);
        assert_eq!(network.take(link, 15).unwrap(), "new");
    }

    #[test]
    fn a_thin_wire_makes_messages_queue() {
        let (mut network, mut random) = pair(0);
        let link = network.link(0, 1);
        network.set_bandwidth(0, 1, Some(4), 0);
        assert_eq!(network.send(link, word("abcd"), 0, &mut random), Some(SECOND));
        network.send(link, word("efgh"), 0, &mut random);
        network.take(link, SECOND);
        assert_eq!(network.next_arrival(link, SECOND), Some(2 * SECOND));
    }
}
