//! [`Asker`]: asks the agent something for a client. It goes from the face's
//! thread to the agent's and back, and once more where something is done piece
//! by piece, so that the agent has its turns in between.

use bytes::Bytes;
use skein_edge::agent::{self, Agent, Command};
use skein_edge::map::Refused;
use skein_edge::spread::{self, Unchanged};
use skein_runtime::datagrams::{Handle, Unheard};
use skein_runtime::streams::{Caller, StreamId};
use skein_service::kv::{Answer, Failure, Protocol};

use super::face::Call;
use super::reads::{self, Search};
use super::wish::Read;

/// The longest answer to KEYS.
const MOST_KEYS_BYTES: usize = 32 << 20;

/// See above.
#[derive(Clone)]
pub(super) struct Asker {
    pub(super) agent: Handle<Agent>,
    /// The face, which is told the answer.
    pub(super) face: Caller<Call>,
    pub(super) stream: StreamId,
    pub(super) protocol: Protocol,
}

impl Asker {
    /// Reads all of these at one moment.
    pub(super) fn read(self, reads: Vec<Read>) -> Result<(), Unheard> {
        let agent = self.agent.clone();
        agent.look(move |agent, _| self.tell(reads::answer(agent, &reads, self.protocol)))
    }

    /// Looks for keys.
    pub(super) fn search(self, mut search: Search) -> Result<(), Unheard> {
        let agent = self.agent.clone();
        agent.look(move |agent, _| {
            let is_done = search.go_on(agent.spread().map());
            if search.bytes() > MOST_KEYS_BYTES {
                self.fail(&Failure::of("ERR too many keys match: ask for fewer by a longer pattern"));
            } else if is_done {
                self.tell(search.into_answer(self.protocol));
            } else {
                let teller = self.clone();
                teller.unless(self.search(search));
            }
        })
    }

    /// Sets a value.
    pub(super) fn set(self, key: Bytes, value: Bytes) -> Result<(), Unheard> {
        let agent = self.agent.clone();
        agent.command(Command::Put { key, value }, move |_, _, events| match refused(events) {
            Some(failure) => self.fail(&failure),
            None => self.tell(b"+OK\r\n".to_vec()),
        })
    }

    /// Removes one key after the other, of which there is one at least, and tells how many there were.
    pub(super) fn remove(self, mut keys: Vec<Bytes>, removed: usize) -> Result<(), Unheard> {
        let agent = self.agent.clone();
        let key = keys.pop().expect("there is a key to remove");
        agent.command(Command::Remove { key }, move |_, _, events| {
            if let Some(failure) = refused(events) {
                return self.fail(&failure);
            }
            let was_there = events.iter().any(|event| matches!(event, agent::Event::Map(spread::Event::Changed(_))));
            let removed = removed + usize::from(was_there);
            if keys.is_empty() {
                let mut answer = Answer::new(self.protocol);
                answer.count(removed);
                return self.tell(answer.into_bytes());
            }
            let teller = self.clone();
            teller.unless(self.remove(keys, removed));
        })
    }

    /// Whoever is gone hears nothing.
    fn tell(&self, answer: Vec<u8>) {
        let _ = self.face.call(Call::Answer(self.stream, answer));
    }

    fn fail(&self, failure: &Failure) {
        let mut answer = Answer::new(self.protocol);
        answer.failure(failure);
        self.tell(answer.into_bytes());
    }

    /// Tells that the agent does not hear, if so.
    fn unless(&self, asked: Result<(), Unheard>) {
        if let Err(unheard) = asked {
            self.fail(&of_unheard(unheard));
        }
    }
}

/// Why a change was not made, if it was not.
fn refused(events: &[agent::Event]) -> Option<Failure> {
    events.iter().find_map(|event| {
        let agent::Event::Unchanged(_, why) = event else { return None };
        Some(Failure::of(match why {
            Unchanged::NotReady => "TRYAGAIN this agent does not know yet what the others know",
            Unchanged::Reserved => {
                "ERR keys that begin with @ are the fleet's own: it writes them, and you may read them"
            }
            Unchanged::Map(Refused::Key { .. } | Refused::Name) => "ERR a key has at most 1024 bytes",
            Unchanged::Map(Refused::Value { .. }) => "ERR a value has at most 65536 bytes",
            Unchanged::Map(Refused::Full) => "OOM the map has no room for more keys",
        }))
    })
}

/// What a client is told whom the agent does not hear.
pub(super) fn of_unheard(unheard: Unheard) -> Failure {
    match unheard {
        Unheard::Busy => Failure::of("TRYAGAIN the agent has more to do than it can"),
        Unheard::Stopped => Failure::of("ERR the agent has stopped"),
    }
}
