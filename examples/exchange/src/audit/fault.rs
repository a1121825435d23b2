//! What can be wrong with an exchange, in sentences that say where.

use std::fmt;

use crate::journal::Broken;
use crate::words::{Client, OrderId};

/// The first thing that does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // each variant says in its sentence what its fields are
pub enum Fault {
    /// The evidence itself.
    BrokenTape {
        tape: usize,
        broken: Broken,
    },
    BrokenJournal {
        journal: usize,
        broken: Broken,
    },
    NoCommand {
        place: u64,
    },
    NoAnswer {
        place: u64,
    },
    ForeignRecord {
        tape: usize,
    },
    TookInJournal {
        journal: usize,
    },
    NoPlace {
        tape: usize,
    },

    /// Between replicas.
    Missing {
        place: u64,
        after: usize,
    },
    Disagree {
        place: u64,
    },
    State {
        state: usize,
        why: String,
    },

    /// Within the log.
    OutOfTurn {
        place: u64,
        client: Client,
        sequence: u64,
        expected: u64,
    },
    OrderTwice {
        place: u64,
        order: OrderId,
    },
    OrderLeftOut {
        place: u64,
        order: OrderId,
        expected: u64,
    },
    NotOpen {
        place: u64,
        order: OrderId,
        open: u64,
        wanted: u64,
    },
    DoesNotAddUp {
        place: u64,
        order: OrderId,
        ordered: u64,
        told: u64,
    },
    Rules {
        place: u64,
        told: String,
        expected: String,
    },

    /// Between clients and the log.
    AskedOutOfTurn {
        journal: usize,
        client: Client,
        sequence: u64,
        expected: u64,
    },
    ToldUnasked {
        journal: usize,
        client: Client,
        sequence: u64,
    },
    NoWord {
        journal: usize,
    },
    Lost {
        client: Client,
        sequence: u64,
    },
    ToldOtherwise {
        client: Client,
        sequence: u64,
        place: u64,
        told: String,
        taken: String,
    },
    AskedOtherwise {
        client: Client,
        sequence: u64,
        place: u64,
    },
    Invented {
        client: Client,
        sequence: u64,
        place: u64,
    },
    Overtaken {
        client: Client,
        sequence: u64,
        place: u64,
        told: u64,
    },
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::BrokenTape { tape, broken } => write!(f, "tape {tape} cannot be read: {broken}"),
            Fault::BrokenJournal { journal, broken } => write!(f, "journal {journal} cannot be read: {broken}"),
            Fault::NoCommand { place } => write!(f, "what was taken at place {place} is no command of a client"),
            Fault::NoAnswer { place } => write!(f, "the answer given at place {place} is none"),
            Fault::ForeignRecord { tape } => {
                write!(f, "tape {tape} says what a client saw: tapes and journals must be given apart")
            }
            Fault::TookInJournal { journal } => {
                write!(f, "journal {journal} says what a replica saw: tapes and journals must be given apart")
            }
            Fault::NoPlace { tape } => write!(f, "tape {tape} has something at place 0: places begin at 1"),
            Fault::Missing { place, after } => write!(
                f,
                "no tape knows what was taken at place {place}, and {after} later records exist: a command is lost, \
                 or a tape was not given"
            ),
            Fault::Disagree { place } => {
                write!(f, "two replicas took different commands at place {place}, or answered differently")
            }
            Fault::State { state, why } => write!(f, "state {state} does not follow from the log: {why}"),
            Fault::OutOfTurn { place, client, sequence, expected } => write!(
                f,
                "at place {place} command {sequence} of {client} was taken, where {expected} was its next: one was \
                 lost, doubled or moved"
            ),
            Fault::OrderTwice { place, order } => write!(f, "at place {place} {order} was accepted a second time"),
            Fault::OrderLeftOut { place, order, expected } => {
                write!(f, "at place {place} {order} was accepted, where number {expected} was the next")
            }
            Fault::NotOpen { place, order, open, wanted } => write!(
                f,
                "at place {place} {wanted} lots of {order} were traded or cancelled, of which {open} were open"
            ),
            Fault::DoesNotAddUp { place, order, ordered, told } => write!(
                f,
                "at place {place} {order} wanted {ordered} lots, and its trades, its rest and what was dropped are \
                 {told}"
            ),
            Fault::Rules { place, told, expected } => {
                write!(f, "at place {place} the rules want {expected}, and the engine did {told}")
            }
            Fault::AskedOutOfTurn { journal, client, sequence, expected } => write!(
                f,
                "journal {journal} has {client} ask command {sequence}, and its next was {expected}, once it had been \
                 told of all before: its load is wrong"
            ),
            Fault::ToldUnasked { journal, client, sequence } => write!(
                f,
                "journal {journal} has {client} hear of command {sequence}, for which it does not wait: its load is \
                 wrong"
            ),
            Fault::NoWord { journal } => {
                write!(f, "journal {journal} has a client say no command, or hear no answer: its load is wrong")
            }
            Fault::Lost { client, sequence } => {
                write!(f, "{client} was told of command {sequence}, and no replica took it: it is lost")
            }
            Fault::ToldOtherwise { client, sequence, place, told, taken } => {
                write!(f, "{client} was told of command {sequence} {told}, and at place {place} it was {taken}")
            }
            Fault::AskedOtherwise { client, sequence, place } => {
                write!(f, "at place {place} command {sequence} of {client} is another than it asked")
            }
            Fault::Invented { client, sequence, place } => {
                write!(f, "at place {place} command {sequence} of {client} was taken, and nobody asked it")
            }
            Fault::Overtaken { client, sequence, place, told } => write!(
                f,
                "{client} asked command {sequence} when somebody had been told of place {told}, and it was taken \
                 before, at place {place}"
            ),
        }
    }
}

impl std::error::Error for Fault {}
