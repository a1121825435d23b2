//! A run in pieces that can be taken apart: what was taken, what clients noted,
//! and how the engine ended.

use std::ops::Range;

use bytes::Bytes;
use skein_exchange::audit::{Evidence, Fault, Verdict, judge};
use skein_exchange::engine::Engine;
use skein_exchange::flow::Flow;
use skein_exchange::journal::Record;
use skein_exchange::words::{
    Action, Answer, COMMAND_BYTES, Client, Command, Fill, Instrument, Outcome, Price, Quantity, Request, Side,
};
use skein_machine::Service;

#[derive(Clone, Debug)]
pub(crate) enum Noted {
    Asked(Request),
    Told(Answer),
}

pub(crate) struct Run {
    engine: Engine,
    /// Commands and answers, by place.
    pub(crate) tape: Vec<([u8; COMMAND_BYTES], Vec<u8>)>,
    pub(crate) journal: Vec<Noted>,
    pub(crate) state: Option<Bytes>,
    /// Each client keeps a journal of its own, so that nobody knows who was told before whom.
    pub(crate) is_apart: bool,
}

impl Run {
    pub(crate) const COMMANDS: u64 = 600;

    pub(crate) fn empty() -> Run {
        Run { engine: Engine::new(), tape: Vec::new(), journal: Vec::new(), state: None, is_apart: false }
    }

    /// A short run of six clients on two instruments, in which all is right.
    pub(crate) fn new() -> Run {
        let mut run = Run::empty();
        let mut flow = Flow::new(3, Client(0), 6, 2);
        for _ in 0..Run::COMMANDS {
            let client = flow.somebody().unwrap();
            let answer = run.take(flow.next(client));
            assert!(flow.hear(&answer));
        }
        run
    }

    fn take(&mut self, request: Request) -> Answer {
        let told = self.engine.command(&request.encode());
        let answer = Answer::decode(&told).unwrap();
        self.tape.push((request.encode(), told.to_vec()));
        self.journal.push(Noted::Asked(request));
        self.journal.push(Noted::Told(answer.clone()));
        self.state = Some(self.engine.snapshot().next(usize::MAX).unwrap());
        answer
    }

    /// The first command of a client, on instrument 0.
    pub(crate) fn place(&mut self, client: u16, side: Side, price: Price, quantity: Quantity) {
        let action = Action::Place { instrument: Instrument(0), side, price, quantity };
        self.take(Request { client: Client(client), sequence: 1, action });
    }

    pub(crate) fn judge(&self) -> Result<Verdict, Fault> {
        let tape = self.tape_bytes(0..self.tape.len());
        let journals = if self.is_apart {
            (0..6).map(|client| self.journal_of(|noted| noted.client() == Client(client))).collect()
        } else {
            vec![self.journal_bytes()]
        };
        let journals = journals.iter().map(Vec::as_slice).collect();
        judge(&Evidence { tapes: vec![&tape], journals, states: self.state.iter().cloned().collect() })
    }

    pub(crate) fn tape_bytes(&self, range: Range<usize>) -> Vec<u8> {
        self.tape_from(range.start as u64 + 1, range)
    }

    pub(crate) fn tape_from(&self, first: u64, range: Range<usize>) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (place, (command, answer)) in (first..).zip(&self.tape[range]) {
            Record::Took { place, command, answer }.append(&mut bytes);
        }
        bytes
    }

    pub(crate) fn journal_bytes(&self) -> Vec<u8> {
        self.journal_of(|_| true)
    }

    fn journal_of(&self, wanted: impl Fn(&Noted) -> bool) -> Vec<u8> {
        let mut bytes = Vec::new();
        for noted in self.journal.iter().filter(|noted| wanted(noted)) {
            match noted {
                Noted::Asked(request) => Record::Asked(&request.encode()).append(&mut bytes),
                Noted::Told(answer) => Record::Told(&encoded(answer)).append(&mut bytes),
            }
        }
        bytes
    }

    pub(crate) fn request(&self, place: usize) -> Request {
        let Ok(Command::Request(request)) = Command::decode(&self.tape[place].0) else { panic!() };
        request
    }

    pub(crate) fn outcome(&self, place: usize) -> Kind {
        Kind(Answer::decode(&self.tape[place].1).unwrap().outcome)
    }

    pub(crate) fn find(&self, wanted: impl Fn(&Run, usize) -> bool) -> usize {
        (0..self.tape.len()).find(|place| wanted(self, *place)).expect("there is such a place")
    }

    pub(crate) fn find_back(&self, wanted: impl Fn(&Run, usize) -> bool) -> usize {
        (0..self.tape.len()).rev().find(|place| wanted(self, *place)).expect("there is such a place")
    }

    pub(crate) fn is_last_of_client(&self, place: usize) -> bool {
        let client = self.request(place).client;
        (place + 1..self.tape.len()).all(|later| self.request(later).client != client)
    }

    /// The place of an order that traded, and where its client noted that.
    pub(crate) fn find_trade(&self) -> (usize, usize) {
        let place = self.find(|run, place| run.outcome(place).fills() == 1);
        (place, 2 * place + 1)
    }

    /// Two places in a row that hold new orders which trade with nobody.
    pub(crate) fn find_two(&self, wanted: impl Fn(&Request, &Request) -> bool) -> (usize, usize) {
        let is_quiet = |run: &Run, place| run.outcome(place).is_accepted() && run.outcome(place).fills() == 0;
        let one = self.find(|run, place| {
            let next = place + 1;
            next < run.tape.len()
                && is_quiet(run, place)
                && is_quiet(run, next)
                && wanted(&run.request(place), &run.request(next))
        });
        (one, one + 1)
    }

    /// Another answer, wherever it was noted.
    pub(crate) fn change_answer(&mut self, place: usize, change: impl FnOnce(&mut Answer)) {
        let mut answer = Answer::decode(&self.tape[place].1).unwrap();
        change(&mut answer);
        self.tape[place].1 = encoded(&answer);
        self.journal[2 * place + 1] = Noted::Told(answer);
    }

    pub(crate) fn change(&mut self, place: usize, change: impl FnOnce(&mut Outcome)) {
        self.change_answer(place, |answer| change(&mut answer.outcome));
    }

    pub(crate) fn change_fill(&mut self, place: usize, change: impl FnOnce(&mut Vec<Fill>)) {
        self.change(place, |outcome| {
            let Outcome::Accepted { fills, .. } = outcome else { panic!("{outcome:?}") };
            change(fills);
        });
    }

    /// One trade told as two of half the size.
    pub(crate) fn plant_split_trade(&mut self) {
        let place = self.find(|run, place| match &run.outcome(place).0 {
            Outcome::Accepted { fills, .. } => fills.len() == 1 && fills[0].quantity % 2 == 0,
            _ => false,
        });
        self.change_fill(place, |fills| {
            fills[0].quantity /= 2;
            fills.push(fills[0]);
        });
    }

    /// The same history, and an order of it is gone from its book.
    pub(crate) fn state_without_an_order(&self) -> Bytes {
        let state = self.state.clone().unwrap();
        // The last thing in a snapshot is the worst offer of the last book, and before it stands how many there are.
        let orders = self.engine.orders(Instrument(1), Side::Sell).count();
        let begins = state.len() - 18 * orders - 4;
        let mut bytes = state.to_vec();
        assert_eq!(bytes[begins..begins + 4], (orders as u32).to_le_bytes());
        bytes[begins..begins + 4].copy_from_slice(&(orders as u32 - 1).to_le_bytes());
        bytes.truncate(state.len() - 18);
        Bytes::from(bytes)
    }

    /// The same history and books, and the client that spoke last would be told something else if it asked again.
    pub(crate) fn state_with_another_last_answer(&self) -> Bytes {
        let (_, answer) = self.tape.last().unwrap();
        let state = self.state.clone().unwrap();
        let at = state.windows(answer.len()).position(|window| window == answer).expect("the last answer is kept");
        let mut bytes = state.to_vec();
        // The lower byte of what rests, or was cancelled.
        bytes[at + 24] ^= 1;
        Bytes::from(bytes)
    }
}

impl Noted {
    fn client(&self) -> Client {
        match self {
            Noted::Asked(request) => request.client,
            Noted::Told(answer) => answer.client,
        }
    }
}

pub(crate) struct Kind(Outcome);

impl Kind {
    pub(crate) fn is_accepted(&self) -> bool {
        matches!(self.0, Outcome::Accepted { .. })
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        matches!(self.0, Outcome::Cancelled { .. })
    }

    pub(crate) fn fills(&self) -> usize {
        match &self.0 {
            Outcome::Accepted { fills, .. } => fills.len(),
            _ => 0,
        }
    }
}

fn encoded(answer: &Answer) -> Vec<u8> {
    let mut bytes = Vec::new();
    answer.encode(&mut bytes);
    bytes
}
