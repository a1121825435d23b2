//! [`Host`]: one machine on one thread, with its socket, its connections and
//! its timers. A turn takes everything that is ready, ends the machine's turn,
//! and then says what it wants said.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bytes::Bytes;
use skein_machine::wire::{self, Nothing, VERSION, Version, Writer};
use skein_machine::{Effect, Machine, Out, ProcessId, Recipients, Time, Wire};
use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::mpsc;

use super::ground::{Ground, Security, cannot};
use super::handle::{Call, Handle, Orders};
use super::seal::{Seal, draw};
use super::streams::{self, Said, Streams};
use crate::alarms::Alarms;

/// The longest that goes by a datagram.
const MOST_DATAGRAM: usize = 1_400;

/// Of each kind of what is ready, so much is taken in one turn: the others have theirs before the rest.
const A_TURN: usize = 256;

/// What members say over connections and the machine has not taken. Whoever says more waits.
const MOST_SAID: usize = 64;

/// A longer buffer is not kept for the next who has something to say.
const MOST_SPARE: usize = 1 << 20;

/// A machine that waits for nothing is looked at all the same.
const LONG: Duration = Duration::from_secs(3_600);

/// Which process is at which address, as a machine has it. Only what was said under a name can be answered.
pub trait Addresses<M>: Send + 'static {
    /// By which name whoever is at this address is known from now on, if there is room for more.
    fn name(machine: &mut M, address: SocketAddr) -> Option<ProcessId>;
    /// Where that is.
    fn address(machine: &mut M, process: ProcessId) -> Option<SocketAddr>;
}

/// Where a host listens. It is open before the machine begins, so that this can say where it is reached.
#[derive(Debug)]
pub struct Socket {
    datagrams: Option<std::net::UdpSocket>,
    streams: std::net::TcpListener,
    address: SocketAddr,
    security: Security,
}

impl Socket {
    /// Opens it. Port 0 is any that is free.
    pub fn open(address: SocketAddr, security: &Security) -> Result<Socket, String> {
        // Of a free port it shows only later whether it is free for connections, too.
        let tries = if address.port() == 0 { 16 } else { 1 };
        let mut failed = String::new();
        for _ in 0..tries {
            match Socket::try_open(address, security) {
                Ok(socket) => return Ok(socket),
                Err(error) => failed = error,
            }
        }
        Err(failed)
    }

    fn try_open(address: SocketAddr, security: &Security) -> Result<Socket, String> {
        let failed = |what: &'static str| move |error| cannot(what, address, &error);
        let streams = std::net::TcpListener::bind(address).map_err(failed("listen at"))?;
        streams.set_nonblocking(true).map_err(failed("listen at"))?;
        let address = streams.local_addr().map_err(failed("listen at"))?;
        let mut datagrams = None;
        if let Security::Keys(_) = security {
            let socket = std::net::UdpSocket::bind(address).map_err(failed("take datagrams at"))?;
            socket.set_nonblocking(true).map_err(failed("take datagrams at"))?;
            datagrams = Some(socket);
        }
        Ok(Socket { datagrams, streams, address, security: security.clone() })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

/// A host that runs, until it is stopped and joined.
#[derive(Debug)]
pub struct Host {
    thread: JoinHandle<()>,
}

impl Host {
    /// Runs a machine that others reach at `me`. `observe` hears all that it tells, on its thread: let it be quick.
    pub fn start<M, A>(
        name: &str,
        socket: Socket,
        me: SocketAddr,
        machine: M,
        observe: impl FnMut(&M, Time, M::Event) + Send + 'static,
    ) -> Result<(Handle<M>, Host), String>
    where
        M: Machine<Record = Nothing, Command: Send, Timer: Send> + Send + 'static,
        A: Addresses<M>,
    {
        let no_thread = |error| format!("there is no thread for {name}: {error}");
        let ground = Arc::new(Ground::new(me, socket.security.clone()));
        let seal = seal_of(&socket.security)?;
        let (handle, orders) = Handle::new(ground.clone());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(no_thread)?;
        let seed = draw()?;
        let live = move || {
            runtime.block_on(async move {
                let (tell, said) = mpsc::channel(MOST_SAID);
                let listener = TcpListener::from_std(socket.streams).expect("a listener is a listener");
                tokio::spawn(streams::listen(ground.clone(), listener, tell));
                let datagrams = socket.datagrams;
                let datagrams = datagrams.map(|socket| UdpSocket::from_std(socket).expect("a socket is a socket"));
                let streams = Streams::new(ground.clone());
                let (began, alarms, out) = (Instant::now(), Alarms::new(), Out::new());
                let (sealed, spoken) = (Vec::new(), Vec::new());
                let mut life: Life<M, A, _> = Life {
                    machine,
                    observe,
                    ground,
                    seal,
                    datagrams,
                    streams,
                    began,
                    alarms,
                    out,
                    told: Vec::new(),
                    sealed,
                    spoken,
                    addresses: std::marker::PhantomData,
                };
                life.live(seed, orders, said).await;
            });
        };
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(live).map_err(no_thread)?;
        Ok((handle, Host { thread }))
    }

    /// Whether its life has ended.
    pub fn has_stopped(&self) -> bool {
        self.thread.is_finished()
    }

    /// Waits until its life has ended. False if that was a bug.
    pub fn join(self) -> bool {
        self.thread.join().is_ok()
    }
}

fn seal_of(security: &Security) -> Result<Option<Seal>, String> {
    match security {
        Security::Keys(keys) => Seal::new(keys.clone()).map(Some),
        Security::Certificates(..) => Ok(None),
    }
}

/// The life of a machine at a host.
struct Life<M: Machine, A, O> {
    machine: M,
    observe: O,
    ground: Arc<Ground>,
    /// Where members share a key.
    seal: Option<Seal>,
    datagrams: Option<UdpSocket>,
    streams: Streams,
    began: Instant,
    alarms: Alarms<M::Timer>,
    out: Out<M>,
    /// What it told in this turn.
    told: Vec<M::Event>,
    /// What is being said, as bytes, before it is sealed and after.
    spoken: Vec<u8>,
    sealed: Vec<u8>,
    addresses: std::marker::PhantomData<A>,
}

impl<M, A, O> Life<M, A, O>
where
    M: Machine<Record = Nothing>,
    A: Addresses<M>,
    O: FnMut(&M, Time, M::Event),
{
    async fn live(&mut self, seed: u64, mut orders: Orders<M>, mut said: mpsc::Receiver<Said>) {
        let mut room = vec![0; 1 << 16];
        if let Some(datagrams) = &self.datagrams {
            // Until the system has said that it takes any, all that is said would be lost. What is wrong with it shows
            // when it is used.
            let _ = datagrams.writable().await;
        }
        let now = self.now();
        self.machine.start(now, seed, &mut self.out);
        self.end_turn();
        loop {
            let next = self.alarms.next().unwrap_or_else(|| Instant::now() + LONG);
            tokio::select! {
                () = orders.stop.notified() => return,
                call = orders.calls.recv() => match call {
                    Some(call) => self.on_call(call),
                    None => return,
                },
                said = said.recv() => match said {
                    Some(said) => self.on_said(said),
                    None => return,
                },
                () = readable(self.datagrams.as_ref()) => {}
                () = tokio::time::sleep_until(next.into()) => {}
            }
            // And whatever else is there.
            for _ in 0..A_TURN {
                let Ok(call) = orders.calls.try_recv() else { break };
                self.on_call(call);
            }
            for _ in 0..A_TURN {
                let Ok(said) = said.try_recv() else { break };
                self.on_said(said);
            }
            for _ in 0..A_TURN {
                let Some(datagrams) = &self.datagrams else { break };
                match datagrams.try_recv_from(&mut room) {
                    Ok((length, from)) => self.on_datagram(from, &mut room[..length]),
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    // Something that was sent before came back, which says nothing about what comes next.
                    Err(_) => self.ground.meters.unsent.add(1),
                }
            }
            let due = Instant::now();
            for _ in 0..A_TURN {
                let Some(timer) = self.alarms.fire(due) else { break };
                let now = self.now();
                self.machine.on_timer(now, timer, &mut self.out);
                // What it armed may be due already, and what it disarmed is not any more.
                self.perform();
            }
            self.end_turn();
        }
    }

    fn now(&self) -> Time {
        Time::from_nanos(u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX))
    }

    fn on_call(&mut self, call: Call<M>) {
        match call {
            Call::Look(look) => look(&self.machine, self.now()),
            Call::Command(command, then) => {
                let now = self.now();
                self.perform();
                let before = self.told.len();
                self.machine.on_command(now, command, &mut self.out);
                self.perform();
                then(&self.machine, now, &self.told[before..]);
            }
            Call::Secure(security) => match seal_of(&security) {
                Ok(seal) if seal.is_some() == self.seal.is_some() => {
                    self.seal = seal;
                    self.ground.secure(security);
                }
                // Where keys were, certificates are not to be had without another socket.
                _ => tracing::error!("how members know each other cannot be changed while one runs"),
            },
            Call::BeDeafTo(others) => self.ground.be_deaf_to(others),
        }
    }

    fn on_datagram(&mut self, from: SocketAddr, sealed: &mut [u8]) {
        let Some(seal) = &mut self.seal else { return };
        self.ground.meters.datagrams_in.add(1);
        self.ground.meters.bytes_in.add(sealed.len());
        if self.ground.is_deaf_to(from) {
            return;
        }
        match seal.open(sealed) {
            Some((version, said)) => self.hear(from, version, said),
            None => self.ground.refuse(from, &"what it says does not verify"),
        }
    }

    fn on_said(&mut self, (from, version, said): Said) {
        if !self.ground.is_deaf_to(from) {
            self.hear(from, version, said);
        }
    }

    fn hear(&mut self, from: SocketAddr, version: Version, said: Bytes) {
        let message = match wire::from_bytes::<M::Message>(said, version) {
            Ok(message) => message,
            Err(error) => {
                self.ground.meters.garbled.add(1);
                tracing::debug!(%from, %error, "a member says what makes no sense");
                return;
            }
        };
        let Some(from) = A::name(&mut self.machine, from) else {
            return self.ground.meters.foreign.add(1);
        };
        let now = self.now();
        self.machine.on_message(now, from, message, &mut self.out);
    }

    /// The machine's turn is over: what it wants is done.
    fn end_turn(&mut self) {
        let now = self.now();
        self.machine.finish(now, &mut self.out);
        self.perform();
        self.told.drain(..).for_each(|event| (self.observe)(&self.machine, now, event));
        if cfg!(debug_assertions) {
            self.machine.check();
        }
    }

    fn perform(&mut self) {
        let mut out = std::mem::take(&mut self.out);
        for effect in out.drain() {
            match effect {
                Effect::Send(to, message) | Effect::SendEarly(to, message) => {
                    self.say(to, &message);
                }
                Effect::Arm(timer, after) => self.alarms.arm(Instant::now(), timer, after),
                Effect::Disarm(timer) => self.alarms.disarm(&timer),
                Effect::Emit(event) | Effect::EmitEarly(event) => self.told.push(event),
                Effect::Persist(record) | Effect::Checkpoint(record) | Effect::Compact(record) => match record {},
            }
        }
        self.out = out;
    }

    fn say(&mut self, recipients: Recipients, message: &M::Message) {
        self.spoken.clear();
        message.encode(&mut Writer::new(&mut self.spoken, VERSION));
        for process in recipients.iter() {
            if let Some(to) = A::address(&mut self.machine, process).filter(|to| !self.ground.is_deaf_to(*to)) {
                self.say_to(to);
            }
        }
        if self.spoken.capacity() > MOST_SPARE {
            self.spoken = Vec::new();
        }
    }

    fn say_to(&mut self, to: SocketAddr) {
        match (&mut self.seal, &self.datagrams) {
            (Some(seal), Some(datagrams)) if self.spoken.len() <= MOST_DATAGRAM => {
                seal.seal(&self.spoken, &mut self.sealed);
                let meters = &self.ground.meters;
                match datagrams.try_send_to(&self.sealed, to) {
                    Ok(sent) => {
                        meters.datagrams_out.add(1);
                        meters.bytes_out.add(sent);
                    }
                    Err(_) => meters.unsent.add(1),
                }
            }
            _ => self.streams.say(to, Bytes::copy_from_slice(&self.spoken)),
        }
    }
}

async fn readable(datagrams: Option<&UdpSocket>) {
    match datagrams {
        // What is wrong with it shows when it is read.
        Some(datagrams) => drop(datagrams.readable().await),
        None => std::future::pending().await,
    }
}
