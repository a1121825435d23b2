//! [`Clients`]: the outside of a replicated service. Each client asks for one
//! thing, at any moment; what it was told, and who had been answered before it
//! asked, is what the judge of linearizability reads when all is over.
//!
//! Whoever asks for two things, one after the other, is two clients of which the
//! second happens to wait for the first. It would name what it has seen as a
//! floor, too; nobody here does, so that nothing but the replicas keeps order.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use bytes::Bytes;
use skein_machine::wire::to_bytes;
use skein_machine::{Ask, Command, Freshness, GroupId, Reply, Serving, Timestamp, Told, Up};

use super::outside::{Outside, Story, tell};
use super::wish::{Kind, Wish};
use super::{MomentKind, Peek};
use crate::SECOND;
use crate::check::linear::{self, Element, Fate, Key, Operation};
use crate::check::{LIVENESS, Violation};
use crate::clients::{Heard, Tongue, Way};
use crate::lists::{Deed, ListsTongue};

/// One workload.
pub(super) struct Clients<'a, M> {
    groups: usize,
    wishes: &'a [Wish],
    deeds: Vec<Deed>,
    /// Which earlier ones are the same: they go first, for nobody can tell them apart.
    twins: Vec<u64>,
    peek: Peek<'a, M>,
}

/// What was asked and answered.
#[derive(Clone)]
pub(super) struct Memory {
    clients: Vec<Client>,
    /// Who asked and who was answered, in order. What matters of it is hashed with the clients.
    log: Vec<Event>,
}

#[derive(Clone, Hash)]
struct Client {
    is_asked: bool,
    /// Who was answered before it asked, one bit each.
    answered_before: u64,
    answer: Option<Arc<Answer>>,
}

/// What somebody was told, as far as a judge can see a difference.
#[derive(Hash)]
enum Answer {
    Replies(Vec<(GroupId, Vec<Reply>)>),
    TurnedAway(&'static str),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Event {
    Asked(u8),
    Answered(u8),
}

impl Hash for Memory {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let Memory { clients, log: _ } = self;
        clients.hash(state);
    }
}

impl<'a, M> Clients<'a, M> {
    pub(super) fn new(groups: usize, wishes: &'a [Wish], peek: Peek<'a, M>) -> Clients<'a, M> {
        let twins = |nth: usize| {
            let earlier = wishes[..nth].iter().enumerate().filter(|(_, wish)| **wish == wishes[nth]);
            earlier.fold(0, |bits, (other, _)| bits | 1 << other)
        };
        Clients {
            groups,
            wishes,
            deeds: wishes.iter().enumerate().map(|(nth, wish)| deed(nth, wish)).collect(),
            twins: (0..wishes.len()).map(twins).collect(),
            peek,
        }
    }

    fn way(&self, nth: usize) -> Way {
        if self.wishes[nth].kind == Kind::Read { Way::Read } else { Way::Order }
    }

    fn who(&self, nth: usize) -> String {
        format!("c{nth} {}", self.wishes[nth])
    }

    /// Who said what is carried by a message: the client whose command stands in it.
    fn carried(&self, payload: &Bytes) -> Option<usize> {
        let is_in = |deed: &Deed| {
            let bytes = to_bytes(deed);
            payload.windows(bytes.len()).any(|window| *window == bytes)
        };
        self.deeds.iter().position(is_in)
    }

    /// The lists as they are by now, each where it lives.
    fn lists(&self, machines: &[Option<&M>]) -> Vec<(Key, Vec<Element>)> {
        let mut lists: Vec<(Key, Vec<Element>)> =
            machines.iter().flatten().flat_map(|machine| (self.peek)(machine)).collect();
        // What is missing there is missing, and not unseen.
        let unheard = (0..self.groups as Key).filter(|key| lists.iter().all(|(other, _)| other != key));
        let unheard: Vec<Key> = unheard.collect();
        lists.extend(unheard.into_iter().map(|key| (key, Vec::new())));
        lists
    }

    /// What a client asked for and was told, and what is wrong with that as it stands. Between any two questions or
    /// answers lies a second, for whoever reads it.
    fn operation(&self, nth: usize, memory: &Memory, tongue: &mut ListsTongue) -> (Operation, Vec<Violation>) {
        let when = |wanted: Event| memory.log.iter().position(|event| *event == wanted).map(|at| at as u64 * SECOND);
        let deed = &self.deeds[nth];
        let mut operation = Operation {
            who: self.who(nth),
            asked: when(Event::Asked(nth as u8)).expect("it is judged when all have asked"),
            answered: when(Event::Answered(nth as u8)),
            fate: Fate::Unknown,
            appends: deed.appends(),
            saw: Vec::new(),
        };
        let replies = match memory.clients[nth].answer.as_deref() {
            None => return (operation, Vec::new()),
            Some(Answer::TurnedAway(why)) => {
                let detail = format!("{operation} was turned away: {why}");
                return (operation, vec![Violation::new(LIVENESS, detail)]);
            }
            Some(Answer::Replies(replies)) => replies,
        };
        let groups = self.wishes[nth].groups;
        let is_complete = replies.iter().map(|(group, _)| *group).eq(groups.iter());
        if !is_complete || replies.iter().any(|(_, all)| all.len() != 1) {
            let detail = format!("{operation} was not answered once by each of {groups}");
            return (operation, vec![Violation::new(linear::LINEARIZABLE, detail)]);
        }
        let replies: Vec<(GroupId, Reply)> = replies.iter().map(|(group, all)| (*group, all[0].clone())).collect();
        let heard =
            Heard { client: nth, operation: nth, way: self.way(nth), timestamp: Timestamp::ZERO, replies: &replies };
        let meaning = tongue.understand(deed, heard);
        let odd = |what: String| Violation::new(linear::LINEARIZABLE, format!("{}: {what}", self.who(nth)));
        let found = meaning.oddities.into_iter().map(odd).collect();
        (operation.fate, operation.saw) = (meaning.fate, meaning.saw);
        (operation, found)
    }
}

/// What a wish is in the words of the lists. There is one list in each partition, and each client has an element.
fn deed(nth: usize, wish: &Wish) -> Deed {
    let keys = wish.groups.iter().map(|group| group.index() as Key);
    let element = nth as Element;
    match wish.kind {
        Kind::Append => Deed::Append(keys.map(|key| (key, element)).collect()),
        Kind::Look | Kind::Read => Deed::Look(keys.collect()),
        Kind::Gather => {
            let to = wish.entry.index() as Key;
            Deed::Gather { from: keys.filter(|key| *key != to).collect(), to: (to, element) }
        }
    }
}

impl<M: Serving> Outside<M> for Clients<'_, M> {
    type Memory = Memory;

    fn begin(&self) -> Memory {
        let client = Client { is_asked: false, answered_before: 0, answer: None };
        Memory { clients: vec![client; self.wishes.len()], log: Vec::new() }
    }

    /// The moment matters: nobody asks before anything happened unless that is its turn.
    fn asked_at_first(&self) -> Vec<u8> {
        Vec::new()
    }

    fn may_be_asked(&self, memory: &Memory) -> Vec<u8> {
        let asked = bits(memory, |client| client.is_asked);
        let is_next = |nth: &u8| asked >> nth & 1 == 0 && self.twins[usize::from(*nth)] & !asked == 0;
        (0..self.wishes.len() as u8).filter(is_next).collect()
    }

    fn is_all_asked(&self, memory: &Memory) -> bool {
        memory.clients.iter().all(|client| client.is_asked)
    }

    fn is_all_answered(&self, memory: &Memory) -> bool {
        memory.clients.iter().all(|client| client.answer.is_some())
    }

    fn ask(&self, nth: u8, memory: &mut Memory, story: &mut Story) -> (u8, Ask) {
        let place = usize::from(nth);
        let wish = &self.wishes[place];
        let answered_before = bits(memory, |client| client.answer.is_some());
        memory.clients[place] = Client { is_asked: true, answered_before, answer: None };
        memory.log.push(Event::Asked(nth));
        let (entry, token) = (wish.entry_process(), u64::from(nth));
        tell(story, MomentKind::Ask(wish.groups), entry, || format!("is asked by {}", self.who(place)));
        let command = to_bytes(&self.deeds[place]);
        let ask = match self.way(place) {
            Way::Read | Way::Recall => Ask::Read { token, freshness: Freshness::Linearizable, queries: vec![command] },
            Way::Order => Ask::Calls {
                token,
                groups: wish.groups,
                floor: Timestamp::ZERO,
                commands: vec![Command { name: None, command }],
            },
        };
        (entry.0 as u8, ask)
    }

    fn hear(&self, place: u8, _: u32, told: Told, memory: &mut Memory, story: &mut Story) {
        let process = skein_machine::ProcessId(u16::from(place));
        let (token, answer) = match told {
            Told::Answers { token, replies, .. } => (token, Answer::Replies(replies)),
            Told::Read { token, replies, .. } => {
                let group = GroupId::new(usize::from(place)).expect("each group has one replica");
                (token, Answer::Replies(vec![(group, replies)]))
            }
            Told::Failed { token, why, .. } => (token, Answer::TurnedAway(why)),
            Told::Up(Up::Deliver(delivery)) => {
                let group = GroupId::new(usize::from(place)).expect("each group has one replica");
                let kind = MomentKind::Deliver(delivery.message.id, group);
                tell(story, kind, process, || match self.carried(&delivery.message.payload) {
                    Some(nth) => format!("delivers {delivery:?}: c{nth}"),
                    None => format!("delivers {delivery:?}"),
                });
                return;
            }
            Told::Up(_) => return,
        };
        let nth = token as u8;
        let client = &mut memory.clients[usize::from(nth)];
        assert!(client.answer.is_none(), "{} is answered twice", self.who(usize::from(nth)));
        client.answer = Some(Arc::new(answer));
        memory.log.push(Event::Answered(nth));
        tell(story, MomentKind::Answer, process, || {
            let (operation, _) = self.operation(usize::from(nth), memory, &mut ListsTongue::new(self.groups));
            match operation.saw.is_empty() {
                true => format!("answers {}", self.who(usize::from(nth))),
                false => format!("answers {}: it sees {:?}", self.who(usize::from(nth)), operation.saw),
            }
        });
    }

    fn begins_to_live(&self, _: u8, _: &mut Memory) {}

    fn seen(&self, _: &Memory) -> usize {
        0 // all of it is judged at the end
    }

    /// Nobody asks any more, all who look have seen, and everything stands in all lists where it belongs.
    fn is_decided(&self, memory: &Memory, machines: &[Option<&M>]) -> bool {
        let looks = |nth: usize| self.wishes[nth].kind != Kind::Append;
        if (0..self.wishes.len()).any(|nth| looks(nth) && memory.clients[nth].answer.is_none()) {
            return false;
        }
        let lists = self.lists(machines);
        let stands =
            |(key, element): (Key, Element)| lists.iter().any(|(other, list)| *other == key && list.contains(&element));
        self.deeds.iter().all(|deed| deed.appends().into_iter().all(stands))
    }

    fn judge(&self, memory: &Memory, machines: &[Option<&M>], is_over: bool) -> Vec<Violation> {
        let mut tongue = ListsTongue::new(self.groups);
        let judged = (0..self.wishes.len()).map(|nth| self.operation(nth, memory, &mut tongue));
        let (mut operations, found): (Vec<Operation>, Vec<Vec<Violation>>) = judged.unzip();
        let mut found: Vec<Violation> = found.into_iter().flatten().collect();
        if is_over {
            let unanswered = operations.iter().filter(|operation| operation.answered.is_none());
            found.extend(unanswered.map(|operation| Violation::new(LIVENESS, format!("{operation} has no answer"))));
        }
        operations.push(Operation {
            who: "the last look at everything".to_owned(),
            asked: memory.log.len() as u64 * SECOND,
            answered: None,
            fate: Fate::Done,
            appends: Vec::new(),
            saw: self.lists(machines),
        });
        found.extend(linear::check(&operations));
        found
    }
}

fn bits(memory: &Memory, is_one: impl Fn(&Client) -> bool) -> u64 {
    memory.clients.iter().enumerate().filter(|(_, client)| is_one(client)).fold(0, |bits, (nth, _)| bits | 1 << nth)
}
