//! What a replica writes down of itself while it lives: [`Taped`] is an engine
//! that notes every command it takes on a [`Tape`], a file that outlives the
//! process.
//!
//! What is in the buffer when the process is killed is lost. It is little, and
//! other replicas have it: nobody is struck before all are well.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;
use skein_machine::{Call, Frozen, Reply, Service, Shares, Timestamp};

use super::gate::Gate;
use crate::engine::Engine;
use crate::journal::Record;

/// Some 200 commands are written at once: the system is called seldom, and a kill loses little.
const BUFFER: usize = 1 << 14;

/// One life of one replica.
#[derive(Debug)]
pub(super) struct Tape {
    file: File,
    buffer: Vec<u8>,
}

impl Tape {
    /// A new file. Whoever has the tape shares it with the engine, on one thread.
    pub(super) fn create(path: &Path) -> io::Result<Arc<Mutex<Tape>>> {
        let tape = Tape { file: File::create_new(path)?, buffer: Vec::with_capacity(2 * BUFFER) };
        Ok(Arc::new(Mutex::new(tape)))
    }

    fn note(&mut self, record: &Record<'_>) {
        record.append(&mut self.buffer);
        if self.buffer.len() >= BUFFER {
            self.flush();
        }
    }

    /// Writes what is in the buffer.
    pub(super) fn flush(&mut self) {
        let written = self.file.write_all(&self.buffer);
        written.unwrap_or_else(|error| panic!("cannot write the tape: {error}; ask for fewer orders"));
        self.buffer.clear();
    }

    pub(super) fn is_empty(&self) -> bool {
        self.buffer.is_empty()
    }
}

/// The tape, which nobody else has at this moment.
#[inline]
pub(super) fn held(tape: &Mutex<Tape>) -> MutexGuard<'_, Tape> {
    tape.lock().expect("whoever panics with a tape in hand ends the process")
}

/// An engine that notes what it does, and says at its gate how far it is.
#[derive(Debug)]
pub(super) struct Taped {
    engine: Engine,
    tape: Arc<Mutex<Tape>>,
    gate: Gate,
}

impl Taped {
    pub(super) fn new(tape: Arc<Mutex<Tape>>, gate: Gate) -> Taped {
        let taped = Taped { engine: Engine::new(), tape, gate };
        taped.tell();
        taped
    }

    fn tell(&self) {
        let history = self.engine.history();
        self.gate.tell_taken(history.taken, history.digest.value());
    }
}

impl Service for Taped {
    fn share(&self, call: &Call<'_>) -> Option<Bytes> {
        self.engine.share(call)
    }

    fn apply(&mut self, call: &Call<'_>, shares: &Shares) -> Reply {
        let before = self.engine.history().taken;
        let reply = self.engine.apply(call, shares);
        let place = self.engine.history().taken;
        if place > before {
            held(&self.tape).note(&Record::Took { place, command: call.command, answer: &reply.0 });
            self.tell();
        }
        reply
    }

    fn read(&self, now: Timestamp, query: &Bytes) -> Reply {
        self.engine.read(now, query)
    }

    fn refuse(&self, command: &Bytes, why: &str) -> Reply {
        self.engine.refuse(command, why)
    }

    fn snapshot(&self) -> Box<dyn Frozen> {
        self.engine.snapshot()
    }

    fn restore(&mut self, snapshot: Bytes) -> Result<(), String> {
        self.engine.restore(snapshot)?;
        self.tell();
        Ok(())
    }

    fn gauges(&self, tell: &mut dyn FnMut(&'static str, u64)) {
        self.engine.gauges(tell);
    }
}
