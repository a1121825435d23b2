//! [`Desk`]: what a replica's events are for its user. It applies what is
//! decided to the service, keeps answers until they are asked for, and holds
//! the states that other replicas fetch. It never asks anything of a memory.

use std::collections::VecDeque;

use bytes::Bytes;
use skein_machine::{Call, Frozen, GroupId, MessageId, Reply, Service, Shares, Stamp, Timestamp};
use skein_order::mu::{Command, Event, Refusal, Role};

use super::MuError;
use super::host::User;

/// What became of a request, by its number.
type Answer = (u64, Result<Reply, MuError>);

/// A service and what is said about it.
pub(super) struct Desk {
    service: Box<dyn Service>,
    /// No partition tells another anything: there is one.
    shares: Shares,
    /// The slot that is being applied, and how many requests of it have been.
    index: u64,
    nth: u32,
    /// In the order in which they came: mostly that of the requests.
    answers: VecDeque<Answer>,
    /// Nobody waits any more for the answers to these.
    forgotten: Vec<u64>,
    role: Role,
    /// The states that others fetch.
    held: Vec<Option<Held>>,
}

/// A state on its way to another replica, as it was when that began.
struct Held {
    frozen: Box<dyn Frozen>,
    /// A piece of it that was longer than what is told at once.
    rest: Bytes,
}

impl Held {
    /// The next piece, so long at most; nothing at the end.
    fn next(&mut self, most: usize) -> Option<Bytes> {
        while self.rest.is_empty() {
            self.rest = self.frozen.next(most)?;
        }
        Some(self.rest.split_to(most.min(self.rest.len())))
    }
}

impl Desk {
    pub(super) fn new(service: Box<dyn Service>, replicas: usize) -> Desk {
        Desk {
            service,
            shares: Shares::none(),
            index: u64::MAX,
            nth: 0,
            answers: VecDeque::new(),
            forgotten: Vec::new(),
            role: Role::Following(None),
            held: (0..replicas).map(|_| None).collect(),
        }
    }

    pub(super) fn role(&self) -> Role {
        self.role
    }

    pub(super) fn service(&self) -> &dyn Service {
        &*self.service
    }

    /// How many answers nobody has taken.
    pub(super) fn unread(&self) -> usize {
        self.answers.len()
    }

    /// Takes the next answer.
    pub(super) fn next(&mut self) -> Option<Answer> {
        self.answers.pop_front()
    }

    /// Takes the answer to one request, if it is there.
    #[inline]
    pub(super) fn take(&mut self, token: u64) -> Option<Result<Reply, MuError>> {
        if self.answers.back()?.0 == token {
            return self.answers.pop_back().map(|(_, answer)| answer);
        }
        let nth = self.answers.iter().position(|(other, _)| *other == token)?;
        self.answers.remove(nth).map(|(_, answer)| answer)
    }

    /// Nobody waits for this answer any more.
    pub(super) fn forget(&mut self, token: u64) {
        self.forgotten.push(token);
    }

    fn apply(&mut self, index: u64, request: &Bytes) -> Reply {
        self.nth = if index == self.index { self.nth + 1 } else { 0 };
        self.index = index;
        // A slot is a moment: there is no other time in a log.
        let stamp = Stamp { timestamp: Timestamp(index + 1), id: MessageId::new(1, index + 1, 0b1) };
        let group = GroupId::new(0).expect("there is a first group");
        self.service.apply(&Call { stamp, nth: self.nth, group, command: request }, &self.shares)
    }

    fn answer(&mut self, token: u64, answer: Result<Reply, MuError>) {
        if let Some(nth) = self.forgotten.iter().position(|other| *other == token) {
            self.forgotten.swap_remove(nth);
            return;
        }
        self.answers.push_back((token, answer));
    }
}

impl User for Desk {
    #[inline]
    fn told(&mut self, event: Event) -> Option<Command> {
        match event {
            Event::Apply { index, request, token } => {
                let reply = self.apply(index, &request);
                if let Some(token) = token {
                    self.answer(token, Ok(reply));
                }
            }
            Event::Refused { token, why } => {
                let why = match why {
                    Refusal::NotLeader(leader) => MuError::NotLeading { leader },
                    Refusal::Busy => MuError::Busy,
                    Refusal::TooLong { longest } => unreachable!("requests were measured, and {longest} bytes fit"),
                };
                self.answer(token, Err(why));
            }
            Event::Unknown { token } => self.answer(token, Err(MuError::Unknown)),
            Event::Role(role) => self.role = role,
            Event::Snapshot { to } => {
                let held = Held { frozen: self.service.snapshot(), rest: Bytes::new() };
                self.held[usize::from(to)] = Some(held);
            }
            Event::Piece { to, most } => {
                let held = &mut self.held[usize::from(to)];
                let piece = held.as_mut().and_then(|held| held.next(most));
                let is_last = piece.is_none();
                if is_last {
                    *held = None;
                }
                return Some(Command::Piece { to, bytes: piece.unwrap_or_default(), is_last });
            }
            Event::Install { state } => {
                let restored = self.service.restore(state);
                restored.unwrap_or_else(|why| panic!("a replica of another service told its state: {why}"));
            }
            // It may come yet: whoever had the state may be started again.
            Event::Stuck => {}
        }
        None
    }
}
