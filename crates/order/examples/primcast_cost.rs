//! What PrimCast costs a processor: replicas wired together in memory, through
//! their real encodings, with many messages in every turn. It reads no clock
//! and draws no lots, so that a count of instructions is the same every time:
//!
//! ```console
//! $ cargo build --release --example primcast_cost
//! $ valgrind --tool=callgrind target/release/examples/primcast_cost 2 2 20000
//! ```
//!
//! The arguments: how many groups of three, how many destinations each message
//! has, and how many messages; 2, 2 and 2000 without any. What it counts are the protocol and the
//! encodings; sockets and disks are not here.

use std::env;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes};
use skein_machine::wire::{self, VERSION, Writer};
use skein_machine::{
    Boot, Chronicle, Cluster, Down, Effect, GroupId, GroupSet, Machine, MessageId, Multicast, Out, ProcessId,
    Recipients, SessionId, Time, Timestamp, Up, Wire,
};
use skein_order::Planted;
use skein_order::primcast::{ClockKind, Message, PrimCast, Settings, Timer};

/// Messages that each group's first replica is asked for in one turn.
const TOGETHER: usize = 16;

/// What a turn takes, as far as what is noted of messages goes.
const TURN: Duration = Duration::from_micros(20);

/// Rounds between two ticks: a tenth of a second holds a few thousand messages.
const TICK: usize = 256;

struct Process {
    me: ProcessId,
    machine: PrimCast,
    /// What arrived, by who sent it: messages with their lengths, as a stream has them.
    inbox: Vec<(ProcessId, Bytes)>,
    /// What it says to each process in this turn.
    outbox: Vec<Vec<u8>>,
    /// One message of it.
    said: Vec<u8>,
    to_itself: Vec<Message>,
    commands: Vec<Down>,
    out: Out<PrimCast>,
    delivered: u64,
    now: Time,
}

fn main() {
    let numbers: Vec<usize> = env::args().skip(1).map(|word| word.parse().expect("three numbers")).collect();
    let [groups, destinations, messages] = match numbers[..] {
        [] => [2, 2, 2000],
        [groups, destinations, messages] => [groups, destinations, messages],
        _ => panic!("three numbers: groups, destinations of a message, messages"),
    };
    let cluster = Arc::new(Cluster::regular(groups, 3, 0).expect("so many groups may be"));
    let mut processes: Vec<Process> = cluster.processes().map(|me| Process::new(me, &cluster)).collect();
    processes.iter_mut().zip(1..).for_each(|(process, seed)| process.start(seed));

    let payload = Bytes::from_static(&[b'x'; 16]);
    let (mut sent, mut expected) = (0, 0);
    let mut rounds = 0;
    while sent < messages {
        for group in 0..groups {
            let home = cluster.members(GroupId::new(group).expect("there are few groups"))[0];
            for nth in 0..TOGETHER {
                // The own group and those that follow, another one each time.
                let others = (0..destinations).map(|far| if far == 0 { 0 } else { 1 + (sent + far) % (groups - 1) });
                let places = others.map(|far| GroupId::new((group + far) % groups).expect("there are few groups"));
                let message = Multicast {
                    id: MessageId {
                        session: SessionId((group * TOGETHER + nth) as u64 * 0x9e37_79b9 + 1),
                        sequence: rounds as u64 + 1,
                        destinations: places.collect::<GroupSet>(),
                    },
                    floor: Timestamp::ZERO,
                    expiry: Timestamp::MAX,
                    payload: payload.clone(),
                };
                expected += 3 * message.id.destinations.len() as u64;
                processes[home.0 as usize].commands.push(Down::Multicast(message));
                sent += 1;
            }
        }
        rounds += 1;
        run(&mut processes);
        if rounds % TICK == 0 {
            processes.iter_mut().for_each(Process::tick);
            run(&mut processes);
        }
    }
    let delivered = processes.iter().map(|process| process.delivered).sum::<u64>();
    assert_eq!(delivered, expected, "everything is delivered everywhere");
    println!("{sent} messages in {rounds} rounds, {delivered} deliveries");
}

/// Turns, until nobody has anything to say.
fn run(processes: &mut [Process]) {
    while processes.iter().any(Process::is_busy) {
        for me in 0..processes.len() {
            processes[me].turn();
            for to in 0..processes.len() {
                let said = &mut processes[me].outbox[to];
                if !said.is_empty() {
                    let bytes = Bytes::copy_from_slice(said);
                    said.clear();
                    processes[to].inbox.push((ProcessId(me as u16), bytes));
                }
            }
        }
    }
}

impl Process {
    fn new(me: ProcessId, cluster: &Arc<Cluster>) -> Process {
        let settings = Settings { clock: ClockKind::Logical, keeps_records: false, ..Settings::DEFAULT };
        Process {
            me,
            machine: PrimCast::new(me, cluster.clone(), Boot::First, settings, Planted::NONE),
            inbox: Vec::new(),
            outbox: cluster.processes().map(|_| Vec::new()).collect(),
            said: Vec::new(),
            to_itself: Vec::new(),
            commands: Vec::new(),
            out: Out::new().with_chronicle(Chronicle::new(me, cluster.clone())),
            delivered: 0,
            now: Time::ZERO,
        }
    }

    fn is_busy(&self) -> bool {
        !self.inbox.is_empty() || !self.to_itself.is_empty() || !self.commands.is_empty()
    }

    fn start(&mut self, seed: u64) {
        let mut out = std::mem::take(&mut self.out);
        self.machine.start(Time::ZERO, seed, &mut out);
        self.perform(out);
    }

    fn tick(&mut self) {
        let mut out = std::mem::take(&mut self.out);
        self.machine.on_timer(Time::ZERO, Timer::Tick, &mut out);
        self.machine.on_timer(Time::ZERO, Timer::Look, &mut out);
        self.machine.finish(Time::ZERO, &mut out);
        self.perform(out);
    }

    fn turn(&mut self) {
        let mut out = std::mem::take(&mut self.out);
        self.now = self.now.after(TURN);
        let chronicle = out.chronicle().expect("there is one, as on a node");
        chronicle.end_turn();
        chronicle.set_now(self.now);
        for command in self.commands.drain(..) {
            self.machine.on_command(Time::ZERO, command, &mut out);
        }
        for message in self.to_itself.drain(..) {
            self.machine.on_message(Time::ZERO, self.me, message, &mut out);
        }
        for (from, mut bytes) in self.inbox.drain(..) {
            while !bytes.is_empty() {
                let length = bytes.get_u32_le();
                let message = wire::from_bytes(bytes.split_to(length as usize), VERSION).expect("it was encoded");
                self.machine.on_message(Time::ZERO, from, message, &mut out);
            }
        }
        self.machine.finish(Time::ZERO, &mut out);
        self.perform(out);
    }

    /// A disk that is as fast as memory.
    fn perform(&mut self, mut out: Out<PrimCast>) {
        for effect in out.drain() {
            match effect {
                Effect::Send(to, message) | Effect::SendEarly(to, message) => self.say(to, message),
                Effect::EmitEarly(Up::Deliver(_)) => self.delivered += 1,
                Effect::EmitEarly(Up::WantCheckpoint) => {
                    self.commands.push(Down::Checkpointed { position: self.delivered, bytes: Bytes::new() });
                }
                Effect::Emit(_)
                | Effect::EmitEarly(_)
                | Effect::Persist(_)
                | Effect::Checkpoint(_)
                | Effect::Compact(_)
                | Effect::Arm(..)
                | Effect::Disarm(_) => {}
            }
        }
        self.out = out;
    }

    /// Encoded once, however many hear it.
    fn say(&mut self, to: Recipients, message: Message) {
        self.said.clear();
        self.said.extend_from_slice(&[0; 4]);
        message.encode(&mut Writer::new(&mut self.said, VERSION));
        let length = (self.said.len() - 4) as u32;
        self.said[..4].copy_from_slice(&length.to_le_bytes());
        for process in to.iter().filter(|process| *process != self.me) {
            self.outbox[process.0 as usize].extend_from_slice(&self.said);
        }
        if to.iter().any(|process| process == self.me) {
            self.to_itself.push(message);
        }
    }
}
