//! [`Stage`]: a replica with a machine that does what it is told, tells all
//! that happens to it, and never decides anything.

use crate::ports;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bytes::Bytes;
use skein_machine::wire::{self, Nothing, Reader, VERSION, WireError, Writer};
use skein_machine::{Boot, ClusterId, Machine, Out, ProcessId, Time, Wire};
use skein_runtime::clock::HardwareClock;
use skein_runtime::data::Begin;
use skein_runtime::files::{Faults, Faulty, Files, Ram};
use skein_runtime::front::{ClientId, Desk, Front};
use skein_runtime::listener::{Listener, takes_up_to};
use skein_runtime::replica::{Failure, Handle, Places, Replica, Surroundings};
use skein_runtime::tls::Tls;
use skein_runtime::wal::Storage;

pub(crate) const CLUSTER: ClusterId = ClusterId(7);

/// So many clients a replica has at most.
pub(crate) const MOST_CLIENTS: usize = 40;

/// What the machine says first to a peer with which a link stands.
pub(crate) const HERE_I_AM: u64 = 1 << 40;

/// What is answered to a word: that word and this.
pub(crate) const ECHO: u64 = 1 << 41;

/// What no peer may say.
pub(crate) const FORBIDDEN: u64 = 1 << 42;

/// One thing to do.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Do {
    /// Write down so many bytes.
    Persist(usize),
    Send(u16, u64),
    SendEarly(u16, u64),
    /// Send so many bytes.
    SendLong(u16, usize),
    Tell(u64),
    TellEarly(u64),
    /// Hold up the whole replica, while it takes calls,
    Sleep(Duration),
    /// or at the end of the turn.
    SleepLater(Duration),
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Saw {
    Heard(u16, u64),
    Told(u64),
    Reconnect(u16),
    Client(ClientId),
    Asked(ClientId, Bytes),
    Gone(ClientId),
}

#[derive(Clone, Debug)]
pub(crate) struct Word {
    pub(crate) number: u64,
    pub(crate) padding: usize,
}

#[derive(Debug)]
pub(crate) struct Puppet {
    turns: Arc<AtomicU64>,
}

impl Word {
    pub(crate) fn bytes(number: u64) -> Bytes {
        wire::to_bytes(&Word { number, padding: 0 })
    }

    pub(crate) fn of(bytes: Bytes) -> Word {
        wire::from_bytes(bytes, VERSION).unwrap()
    }
}

impl Wire for Word {
    fn encode(&self, writer: &mut Writer<'_>) {
        writer.u64(self.number);
        writer.bytes(&vec![0; self.padding]);
    }

    fn decode(reader: &mut Reader) -> Result<Word, WireError> {
        Ok(Word { number: reader.u64()?, padding: reader.bytes("padding", 1 << 30)?.len() })
    }
}

impl Machine for Puppet {
    type Command = Do;
    type Message = Word;
    type Timer = Nothing;
    type Record = Word;
    type Event = Saw;

    fn restore(&mut self, _: Word) {}

    fn start(&mut self, _: Time, _: u64, _: &mut Out<Self>) {}

    fn on_command(&mut self, _: Time, act: Do, out: &mut Out<Self>) {
        match act {
            Do::Persist(padding) => out.persist(Word { number: 0, padding }),
            Do::Send(to, number) => out.send(ProcessId(to), Word { number, padding: 0 }),
            Do::SendEarly(to, number) => out.send_early(ProcessId(to), Word { number, padding: 0 }),
            Do::SendLong(to, padding) => out.send_early(ProcessId(to), Word { number: 0, padding }),
            Do::Tell(number) => out.emit(Saw::Told(number)),
            Do::TellEarly(number) => out.emit_early(Saw::Told(number)),
            Do::Sleep(span) | Do::SleepLater(span) => std::thread::sleep(span),
        }
    }

    fn may_say(&self, from: ProcessId, word: &Word) -> Result<(), String> {
        if word.number == FORBIDDEN { Err(format!("{from} says what is forbidden")) } else { Ok(()) }
    }

    fn on_message(&mut self, _: Time, from: ProcessId, word: Word, out: &mut Out<Self>) {
        assert!(word.number != FORBIDDEN, "{from} says what is forbidden");
        out.emit(Saw::Heard(from.0, word.number));
        if word.number & ECHO == 0 && word.number < HERE_I_AM {
            out.send_early(from, Word { number: word.number | ECHO, padding: 0 });
        }
    }

    fn on_timer(&mut self, _: Time, timer: Nothing, _: &mut Out<Self>) {
        match timer {}
    }

    fn on_reconnect(&mut self, _: Time, peer: ProcessId, out: &mut Out<Self>) {
        out.emit(Saw::Reconnect(peer.0));
        out.send_early(peer, Word { number: HERE_I_AM, padding: 0 });
    }

    fn finish(&mut self, _: Time, _: &mut Out<Self>) {
        self.turns.fetch_add(1, Relaxed);
    }

    fn check(&self) {}
}

/// Writes down what happens, and answers clients: what they say comes back. A request that begins with a number of
/// bytes behind an `!` is answered by so many, an `x` is no request.
#[derive(Clone, Default)]
struct Clerk {
    seen: Arc<Mutex<Vec<Saw>>>,
}

impl Clerk {
    fn saw(&self, saw: Saw) {
        self.seen.lock().unwrap().push(saw);
    }
}

impl Front<Puppet> for Clerk {
    type Call = Vec<Do>;

    fn on_event(&mut self, event: Saw, _: &mut Desk<Puppet>) {
        self.saw(event);
    }

    fn on_call(&mut self, script: Vec<Do>, desk: &mut Desk<Puppet>) {
        for act in script {
            match act {
                Do::Sleep(span) => std::thread::sleep(span),
                act => desk.command(act),
            }
        }
    }

    fn on_client(&mut self, client: ClientId, desk: &mut Desk<Puppet>) {
        self.saw(Saw::Client(client));
        desk.answer(client, |buffer| buffer.extend_from_slice(b"welcome"));
    }

    fn on_request(&mut self, client: ClientId, request: Bytes, desk: &mut Desk<Puppet>) -> Result<(), String> {
        match request.first() {
            Some(b'x') => return Err("that is no request".to_owned()),
            Some(b'!') => {
                let length: usize = str::from_utf8(&request[1..]).unwrap().parse().unwrap();
                desk.answer(client, |buffer| buffer.resize(buffer.len() + length, 0));
            }
            _ => desk.answer(client, |buffer| buffer.extend_from_slice(&request)),
        }
        self.saw(Saw::Asked(client, request));
        Ok(())
    }

    fn on_gone(&mut self, client: ClientId) {
        self.saw(Saw::Gone(client));
    }
}

/// What a replica stands on; a next life may use it again.
#[derive(Clone)]
pub(crate) struct Ground {
    pub(crate) me: u16,
    pub(crate) addresses: BTreeMap<ProcessId, SocketAddr>,
    pub(crate) files: Arc<dyn Files>,
    pub(crate) begin: Begin,
    pub(crate) storage: Storage,
    pub(crate) tls: Option<Tls>,
}

pub(crate) struct Stage {
    pub(crate) address: SocketAddr,
    pub(crate) handle: Handle<Vec<Do>>,
    pub(crate) listener: Option<Listener>,
    thread: Option<JoinHandle<Result<(), Failure>>>,
    clerk: Clerk,
    turns: Arc<AtomicU64>,
}

impl Ground {
    /// A process with a quick disk of its own; where the others are, whoever wants them says.
    pub(crate) fn of(me: u16) -> Ground {
        Ground {
            me,
            addresses: [(ProcessId(me), ports::free())].into(),
            files: Arc::new(Ram::default()),
            begin: Begin::Usual,
            storage: Storage::Sync,
            tls: None,
        }
    }

    /// Where nothing is said in the clear.
    pub(crate) fn with_tls(mut self, tls: Tls) -> Ground {
        self.tls = Some(tls);
        self
    }

    pub(crate) fn with_peer(mut self, peer: u16, address: SocketAddr) -> Ground {
        self.addresses.insert(ProcessId(peer), address);
        self
    }

    /// Whose every sync takes so long.
    pub(crate) fn with_slow_disk(mut self, sync_delay: Duration) -> Ground {
        self.files = Arc::new(Faulty::new(self.files, Faults { sync_delay, ..Faults::default() }));
        self
    }

    pub(crate) fn open(&self) -> Result<Stage, Failure> {
        let surroundings = Surroundings {
            cluster: CLUSTER,
            plan: 0,
            process: ProcessId(self.me),
            places: Places { addresses: self.addresses.clone(), distances: BTreeMap::new() },
            files: self.files.clone(),
            data: PathBuf::from(format!("p{}", self.me)),
            clock: HardwareClock::default(),
            storage: self.storage,
            begin: self.begin,
            tls: self.tls.clone(),
            notes: None,
            speaks: VERSION,
            is_patient: true,
            busy_poll: false,
        };
        let (clerk, turns) = (Clerk::default(), Arc::new(AtomicU64::new(0)));
        let counter = turns.clone();
        let maker = |_: Boot| Puppet { turns: counter };
        let (replica, handle) = Replica::open(surroundings, maker, clerk.clone())?;
        let address = self.addresses[&ProcessId(self.me)];
        let doors = [(ProcessId(self.me), takes_up_to(MOST_CLIENTS, handle.clone()))].into();
        let listener = Listener::open(address, CLUSTER, VERSION, doors, self.tls.clone()).unwrap();
        let thread = std::thread::spawn(move || replica.run(1));
        Ok(Stage { address, handle, listener: Some(listener), thread: Some(thread), clerk, turns })
    }

    pub(crate) fn start(&self) -> Stage {
        self.open().unwrap()
    }
}

impl Stage {
    pub(crate) fn ask(&self, script: &[Do]) {
        self.handle.call(script.to_vec()).unwrap();
    }

    /// Everything that happened since the beginning.
    pub(crate) fn seen(&self) -> Vec<Saw> {
        self.clerk.seen.lock().unwrap().clone()
    }

    pub(crate) fn count(&self, is_meant: impl Fn(&Saw) -> bool) -> usize {
        self.seen().iter().filter(|saw| is_meant(saw)).count()
    }

    pub(crate) fn wait_for(&self, what: &str, is_there: impl Fn(&[Saw]) -> bool) {
        let begin = Instant::now();
        while !is_there(&self.seen()) {
            if begin.elapsed() > Duration::from_secs(20) {
                let seen = self.seen();
                panic!("{what} never came: {:?}", &seen[seen.len().saturating_sub(20)..]);
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    pub(crate) fn turns(&self) -> u64 {
        self.turns.load(Relaxed)
    }

    /// Ends its life and answers how it ended.
    pub(crate) fn stop(mut self) -> Result<(), Failure> {
        self.handle.stop();
        self.thread.take().unwrap().join().unwrap()
    }

    /// Waits until it ends by itself.
    pub(crate) fn wait(mut self) -> Result<(), Failure> {
        self.thread.take().unwrap().join().unwrap()
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.handle.stop();
        if let Some(thread) = self.thread.take() {
            let outcome = thread.join();
            assert!(outcome.is_ok() || std::thread::panicking(), "the replica has died of a panic");
        }
    }
}
