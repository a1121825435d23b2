//! Partitions with two replicas each, on one thread: every command is ordered,
//! and replicas that answer or tell differently end the test.

use std::sync::Arc;

use bytes::Bytes;
use skein_machine::{Call, GroupId, GroupSet, MessageId, Reply, Router, Service, Shares, Stamp, Timestamp};
use skein_service::kv::{Kv, KvRouter, Limits, Placement, Protocol, Request, Way};

pub(crate) fn group(number: usize) -> GroupId {
    GroupId::new(number).unwrap()
}

/// Partitions with two replicas each, and what stands between them and a client.
pub(crate) struct Bus {
    pub(crate) router: KvRouter,
    pub(crate) replicas: Vec<[Kv; 2]>,
}

impl Bus {
    pub(crate) fn new(placement: Placement, limits: Limits) -> Bus {
        let placement = Arc::new(placement);
        let replicas = (placement.everything().iter())
            .map(|group| [(); 2].map(|()| Kv::new(group, placement.clone(), limits)))
            .collect();
        Bus { router: KvRouter::new(placement, limits), replicas }
    }

    /// Orders a request everywhere, and applies it where it belongs.
    pub(crate) fn ask(&mut self, request: &Request<'_>, timestamp: u64, sequence: u64) -> Option<Bytes> {
        self.ask_in_a_row(std::slice::from_ref(request), timestamp, sequence).map(|mut replies| replies.remove(0))
    }

    /// Orders requests in one message to every partition that one of them concerns, as what is pipelined travels.
    pub(crate) fn ask_in_a_row(
        &mut self,
        requests: &[Request<'_>],
        timestamp: u64,
        sequence: u64,
    ) -> Option<Vec<Bytes>> {
        let commands: Vec<Bytes> = requests.iter().map(Request::encode).collect();
        let mut groups = GroupSet::EMPTY;
        for command in &commands {
            groups = groups.or(self.router.groups(command).ok()?);
        }
        let stamp = Stamp { timestamp: Timestamp(timestamp), id: MessageId::new(7, sequence, groups.bits()) };
        let row = requests.iter().zip(&commands).enumerate();
        Some(row.map(|(nth, (request, command))| self.apply(request, command, stamp, nth as u32)).collect())
    }

    fn apply(&mut self, request: &Request<'_>, command: &Bytes, stamp: Stamp, nth: u32) -> Bytes {
        let groups = stamp.id.destinations;
        let call = |group| Call { stamp, nth, group, command };
        let told: Vec<(GroupId, Option<Bytes>)> = groups
            .iter()
            .map(|group| {
                let [one, other] = self.replicas[group.index()].each_ref().map(|replica| replica.share(&call(group)));
                assert_eq!(one, other, "replicas of {group} tell different things");
                (group, one)
            })
            .collect();
        let telling = !matches!(self.router.plan(request).unwrap().way, Way::Single | Way::Split);
        assert!(told.iter().all(|(_, share)| share.is_some() == telling), "who tells follows from the request");
        let parts: Vec<(GroupId, Reply)> = groups
            .iter()
            .map(|group| {
                let mut shares = Shares::none();
                for (from, share) in told.iter().filter(|(from, _)| *from != group) {
                    if let Some(share) = share {
                        shares.insert(*from, share.clone());
                    }
                }
                let [one, other] =
                    self.replicas[group.index()].each_mut().map(|replica| replica.apply(&call(group), &shares));
                assert_eq!(one, other, "replicas of {group} answer differently");
                (group, one)
            })
            .collect();
        self.router.join(request, &parts).0
    }

    /// Applies a request at one partition, whether or not it belongs there.
    pub(crate) fn apply_at(&mut self, group: GroupId, request: &Request<'_>, timestamp: u64, sequence: u64) -> Bytes {
        let command = request.encode();
        let id = MessageId::new(7, sequence, [group].into_iter().collect::<GroupSet>().bits());
        let call = Call { stamp: Stamp { timestamp: Timestamp(timestamp), id }, nth: 0, group, command: &command };
        let [one, other] = self.replicas[group.index()].each_mut().map(|replica| replica.apply(&call, &Shares::none()));
        assert_eq!(one, other, "replicas of {group} answer differently");
        one.0
    }

    /// The second replica of a partition starts from what the first wrote.
    pub(crate) fn restart(&mut self, place: usize, about: usize) {
        let bytes = written(&self.replicas[place][0], about);
        self.replicas[place][1].restore(bytes).unwrap();
    }

    pub(crate) fn check(&self) {
        for replicas in &self.replicas {
            assert_eq!(written(&replicas[0], 1 << 20), written(&replicas[1], 100), "replicas hold different things");
        }
    }
}

fn written(kv: &Kv, about: usize) -> Bytes {
    let mut frozen = kv.snapshot();
    let mut bytes = Vec::new();
    while let Some(piece) = frozen.next(about) {
        bytes.extend_from_slice(&piece);
    }
    Bytes::from(bytes)
}

pub(crate) fn ask(bus: &mut Bus, sequence: u64, line: &str) -> String {
    let args: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
    let request = Request::command(Protocol::Two, &args);
    let reply = bus.ask(&request, sequence * 1_000_000, sequence).expect("it can be routed");
    String::from_utf8_lossy(&reply).into_owned()
}
