//! The auditor: judges a run of the exchange by what was written down.
//!
//! It is given [journals](crate::journal) of clients, tapes of replicas and, if
//! there are, snapshots of how replicas ended. It holds
//!
//! * replicas against each other: at one place all took the same command and
//!   gave the same answer, and no place is missing;
//! * the log against itself: each client's commands stand in it exactly once
//!   and in the client's order; no id is given twice, no trade takes what is not
//!   there, and what was ordered is what was filled, cancelled and is open;
//! * the log against the rules: a plain [model](crate::model) that takes the
//!   same commands gives the same answers, trade by trade;
//! * clients against the log: whatever a client was told is in the log, as it
//!   was told; nothing is in it that nobody asked; and who asked when somebody
//!   in the same journal had been told already comes after that one;
//! * the end against the log: a snapshot holds exactly the orders that are open,
//!   and tells of the same history.
//!
//! Everything is read once and in order, so millions of commands take seconds.
//! It will never guess: what it cannot read, or was not given, is a fault.

mod fault;
mod ledger;
mod tape;

use bytes::Bytes;
use skein_machine::Service;

pub use self::fault::Fault;
use self::ledger::Ledger;
pub use self::ledger::Sums;
use self::tape::Entry;
use crate::engine::{Engine, History};
use crate::journal::{Record, records};
use crate::model::Model;
use crate::words::{Answer, Client, Command, Instrument, MAX_CLIENTS, MAX_INSTRUMENTS, OrderId, Request, Side};

/// What a run has left behind.
#[derive(Clone, Debug, Default)]
pub struct Evidence<'a> {
    /// What replicas took, in pieces of any number and order.
    pub tapes: Vec<&'a [u8]>,
    /// What clients asked and were told. Each client is in one of them, and records of one journal stand in the order
    /// in which things happened.
    pub journals: Vec<&'a [u8]>,
    /// Snapshots of replicas that had taken everything.
    pub states: Vec<Bytes>,
}

/// What was judged, and found to hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// What happened.
    pub history: History,
    /// How much of what was ordered went where, in lots.
    pub sums: Sums,
    /// Orders that are open at the end, and lots of them.
    pub open: (usize, u128),
    /// Commands that clients asked.
    pub asked: u64,
    /// Answers that clients heard.
    pub told: u64,
    /// Snapshots that were compared.
    pub states: usize,
}

/// Judges a run. The first thing that does not hold is the error.
pub fn judge(evidence: &Evidence<'_>) -> Result<Verdict, Fault> {
    let entries = tape::merge(&evidence.tapes)?;
    let log = Log::replay(&entries)?;
    let (asked, told) = log.hear(&evidence.journals)?;
    for (state, snapshot) in evidence.states.iter().enumerate() {
        log.compare(snapshot).map_err(|why| Fault::State { state, why })?;
    }
    let open: Vec<_> = log.ledger.open_orders().map(|(.., quantity)| u128::from(quantity)).collect();
    let lots = open.iter().sum();
    let sums = log.ledger.sums;
    assert_eq!(sums.ordered, sums.filled + sums.cancelled + lots, "the ledger let something come from nothing");
    let (history, states) = (log.ledger.history, evidence.states.len());
    Ok(Verdict { history, sums, open: (open.len(), lots), asked, told, states })
}

/// The log, once it has been found to keep the rules.
struct Log<'a> {
    entries: &'a [Entry<'a>],
    /// Where each command of each client stands: the first at index 0.
    places: Vec<Vec<u64>>,
    ledger: Ledger,
}

impl<'a> Log<'a> {
    /// Takes every command again, in order.
    fn replay(entries: &'a [Entry<'a>]) -> Result<Log<'a>, Fault> {
        let mut places: Vec<Vec<u64>> = vec![Vec::new(); usize::from(MAX_CLIENTS)];
        let mut ledger = Ledger::new();
        let mut model = Model::default();
        for (place, entry) in (1u64..).zip(entries) {
            let Ok(Command::Request(request)) = Command::decode(entry.command) else {
                return Err(Fault::NoCommand { place });
            };
            let Request { client, sequence, .. } = request;
            let answer = Answer::decode(entry.answer).map_err(|_| Fault::NoAnswer { place })?;
            let own = places.get_mut(usize::from(client.0)).ok_or(Fault::NoCommand { place })?;
            let expected = own.len() as u64 + 1;
            if sequence != expected {
                return Err(Fault::OutOfTurn { place, client, sequence, expected });
            }
            own.push(place);
            if (answer.client, answer.sequence) != (client, sequence) {
                return Err(Fault::NoAnswer { place });
            }
            ledger.enter(place, &request, &answer.outcome)?;
            let expected = model.take(&request);
            if answer.outcome != expected {
                let (told, expected) = (format!("{:?}", answer.outcome), format!("{expected:?}"));
                return Err(Fault::Rules { place, told, expected });
            }
        }
        Ok(Log { entries, places, ledger })
    }

    /// Goes through what clients asked and were told; how much that was.
    fn hear(&self, journals: &[&[u8]]) -> Result<(u64, u64), Fault> {
        let mut heard = vec![Heard::default(); usize::from(MAX_CLIENTS)];
        for (journal, bytes) in journals.iter().enumerate() {
            // The newest place of which anybody in this journal has been told.
            let mut newest = 0;
            for record in records(bytes) {
                match record.map_err(|broken| Fault::BrokenJournal { journal, broken })? {
                    Record::Asked(command) => self.on_asked(journal, command, newest, &mut heard)?,
                    Record::Told(answer) => newest = self.on_told(journal, answer, &mut heard)?.max(newest),
                    Record::Took { .. } => return Err(Fault::TookInJournal { journal }),
                }
            }
        }
        for ((client, heard), places) in (0..).map(Client).zip(&heard).zip(&self.places) {
            if let Some(place) = places.get(heard.asked as usize) {
                return Err(Fault::Invented { client, sequence: heard.asked + 1, place: *place });
            }
        }
        let asked = heard.iter().map(|heard| heard.asked).sum();
        Ok((asked, heard.iter().map(|heard| heard.told).sum()))
    }

    /// A client asks something new.
    fn on_asked(&self, journal: usize, command: &[u8], newest: u64, heard: &mut [Heard]) -> Result<(), Fault> {
        let request = match Command::decode(command) {
            Ok(Command::Request(request)) if request.client.0 < MAX_CLIENTS => request,
            _ => return Err(Fault::NoWord { journal }),
        };
        let Request { client, sequence, .. } = request;
        let heard = &mut heard[usize::from(client.0)];
        let expected = heard.asked + 1;
        // Whoever was not told of its last command does not know whether to ask another.
        if sequence != expected || heard.told != heard.asked {
            return Err(Fault::AskedOutOfTurn { journal, client, sequence, expected });
        }
        heard.asked = sequence;
        let Some(place) = self.place(client, sequence) else { return Ok(()) };
        if self.entry(place).command != command {
            return Err(Fault::AskedOtherwise { client, sequence, place });
        }
        if place <= newest {
            return Err(Fault::Overtaken { client, sequence, place, told: newest });
        }
        Ok(())
    }

    /// A client is told what became of what it asked last. The place of that.
    fn on_told(&self, journal: usize, told: &[u8], heard: &mut [Heard]) -> Result<u64, Fault> {
        let answer = Answer::decode(told).map_err(|_| Fault::NoWord { journal })?;
        let Answer { client, sequence, .. } = answer;
        let heard = heard.get_mut(usize::from(client.0)).ok_or(Fault::NoWord { journal })?;
        if sequence != heard.asked || sequence != heard.told + 1 {
            return Err(Fault::ToldUnasked { journal, client, sequence });
        }
        heard.told = sequence;
        let place = self.place(client, sequence).ok_or(Fault::Lost { client, sequence })?;
        let taken = self.entry(place).answer;
        if taken != told {
            let taken =
                Answer::decode(taken).map_or_else(|why| why.to_string(), |taken| format!("{:?}", taken.outcome));
            let told = format!("{:?}", answer.outcome);
            return Err(Fault::ToldOtherwise { client, sequence, place, told, taken });
        }
        Ok(place)
    }

    fn place(&self, client: Client, sequence: u64) -> Option<u64> {
        self.places[usize::from(client.0)].get(usize::try_from(sequence - 1).ok()?).copied()
    }

    fn entry(&self, place: u64) -> &Entry<'a> {
        &self.entries[(place - 1) as usize]
    }

    /// Holds a snapshot from the end against the log.
    fn compare(&self, snapshot: &Bytes) -> Result<(), String> {
        let mut engine = Engine::new();
        engine.restore(snapshot.clone())?;
        if engine.history() != &self.ledger.history {
            let (log, own) = (&self.ledger.history, engine.history());
            return Err(format!("the log tells of {log:?}, it of {own:?}"));
        }
        let mut open: Vec<_> = (0..MAX_INSTRUMENTS)
            .map(Instrument)
            .flat_map(|instrument| {
                let sides = [Side::Buy, Side::Sell].into_iter();
                let orders = sides.flat_map(|side| engine.orders(instrument, side));
                let line = |order: crate::book::Order| {
                    (OrderId::new(instrument, order.number), order.client, order.side, order.price, order.quantity)
                };
                orders.map(line).collect::<Vec<_>>()
            })
            .collect();
        open.sort_by_key(|(id, ..)| *id);
        if !open.iter().copied().eq(self.ledger.open_orders()) {
            return Err("other orders are open in it".to_owned());
        }
        // Whoever asks again must be told the same: the last answer to each client is a part of the state.
        for (client, places) in (0..).map(Client).zip(&self.places) {
            let Some(last) = places.last() else { continue };
            let Entry { command, answer } = *self.entry(*last);
            if engine.command(command) != answer {
                return Err(format!("{client} would not be told again what it was told last"));
            }
        }
        Ok(())
    }
}

/// How far a client is in its journal.
#[derive(Clone, Copy, Debug, Default)]
struct Heard {
    asked: u64,
    told: u64,
}
