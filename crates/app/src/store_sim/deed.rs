//! [`Deed`]: what a client of the store asks for as one, a command or a
//! transaction: as the bytes of a request, in words, and what the answer means.

use bytes::Bytes;
use skein_service::kv::{Args, Body, Protocol, Request, Transaction};
use skein_sim::check::linear::{Element, Fate, Key};
use skein_sim::clients::Meaning;

use super::names::Names;
use super::step::{At, Bound, Next, Step};
use crate::redis::{Command, Reply};

/// See above.
#[derive(Clone, Debug)]
pub(crate) struct Deed {
    pub(super) steps: Vec<Step>,
    pub(super) is_transaction: bool,
    /// Keys as they were seen before, and must still be if this happens.
    pub(super) bound: Vec<Bound>,
    /// What is seen is to be bound: the keys with the versions that they had before it.
    pub(super) binds: Vec<(Key, u64)>,
}

impl Deed {
    /// One command.
    pub(super) fn one(step: Step) -> Deed {
        Deed { steps: vec![step], is_transaction: false, bound: Vec::new(), binds: Vec::new() }
    }

    /// These, between MULTI and EXEC.
    pub(super) fn transaction(steps: Vec<Step>) -> Deed {
        Deed { steps, is_transaction: true, bound: Vec::new(), binds: Vec::new() }
    }

    pub(super) fn appends(&self) -> Vec<(Key, Element)> {
        self.steps.iter().flat_map(Step::appends).collect()
    }

    /// As the face of a node would encode it.
    pub(super) fn bytes(&self, names: &Names) -> Bytes {
        let commands: Vec<Command> = self.steps.iter().map(|step| step.command(names)).collect();
        if !self.is_transaction {
            return Request { protocol: Protocol::Two, body: Body::Command(args(&commands[0])) }.encode();
        }
        let watched: Vec<(String, u64)> =
            self.bound.iter().map(|bound| (names.name_of(bound.key), bound.version)).collect();
        let transaction = Transaction {
            watched: watched.iter().map(|(name, version)| (name.as_bytes(), *version)).collect(),
            commands: commands.iter().map(args).collect(),
        };
        Request { protocol: Protocol::Two, body: Body::Transaction(transaction) }.encode()
    }

    pub(super) fn words(&self, names: &Names) -> String {
        let commands: Vec<String> = self.steps.iter().map(|step| step.command(names).join(" ")).collect();
        if !self.is_transaction {
            return commands.concat();
        }
        let watched: Vec<String> =
            self.bound.iter().map(|bound| format!(" {}@{}", names.name_of(bound.key), bound.version)).collect();
        let watch = if watched.is_empty() { String::new() } else { format!("WATCH{}; ", watched.concat()) };
        format!("{watch}MULTI; {}; EXEC", commands.join("; "))
    }

    /// What the reply that a client would read means, and what it makes possible.
    pub(super) fn understand(&self, names: &Names, reply: &Reply, at: At) -> (Meaning, Vec<Next>) {
        let mut meaning = Meaning::done();
        let replies = match reply {
            _ if !self.is_transaction => std::slice::from_ref(reply),
            // Something that it watched has changed.
            Reply::Array(None) if !self.bound.is_empty() => {
                meaning.fate = Fate::Never;
                return (meaning, Vec::new());
            }
            Reply::Array(Some(replies)) if replies.len() == self.steps.len() => &replies[..],
            _ => return (strange(reply), Vec::new()),
        };
        meaning.saw.extend(self.bound.iter().map(|bound| (bound.key, bound.list.clone())));
        let mut next = Vec::new();
        for (step, reply) in self.steps.iter().zip(replies) {
            match step.understand(names, reply, at, &mut meaning) {
                Some(more) => next.extend(more),
                None => return (strange(reply), Vec::new()),
            }
        }
        if !self.binds.is_empty() {
            let bound = |((key, version), (_, list)): (&(Key, u64), &(Key, Vec<Element>))| Bound {
                key: *key,
                version: *version,
                list: list.clone(),
            };
            next.push(Next::Change(self.binds.iter().zip(&meaning.saw).map(bound).collect()));
        }
        (meaning, next)
    }
}

fn args(command: &Command) -> Args<'_> {
    command.iter().map(String::as_bytes).collect()
}

fn strange(reply: &Reply) -> Meaning {
    Meaning { fate: Fate::Unknown, oddities: vec![format!("is answered {reply:?}")], ..Meaning::done() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use skein_machine::Timestamp;

    const AT: At = At { timestamp: Timestamp(0), operation: 0, walks: 0, is_recalled: false };

    fn bulk(text: &str) -> Reply {
        Reply::Bulk(Some(text.as_bytes().to_vec()))
    }

    #[test]
    fn a_transaction_is_said_and_understood() {
        let names = Names::new(2);
        let bound = vec![Bound { key: 0, version: 4, list: vec![7] }];
        let deed = Deed { bound, ..Deed::transaction(vec![Step::See(1), Step::Append(0, 9)]) };
        let words = "WATCH list:0000:0@4; MULTI; LRANGE list:0000:1 0 -1; RPUSH list:0000:0 9; EXEC";
        assert_eq!((deed.words(&names), deed.appends()), (words.to_owned(), vec![(0, 9)]));
        let bytes = deed.bytes(&names);
        let Body::Transaction(said) = Request::decode(&bytes).unwrap().body else { panic!("{bytes:?}") };
        assert_eq!((said.watched, said.commands.len()), (vec![(b"list:0000:0".as_slice(), 4)], 2));
        let list = Reply::Array(Some(vec![bulk("3")]));
        let (done, _) = deed.understand(&names, &Reply::Array(Some(vec![list, Reply::Integer(2)])), AT);
        assert_eq!((done.fate, done.saw, done.places), (Fate::Done, vec![(0, vec![7]), (1, vec![3])], vec![(0, 9, 2)]));
        assert_eq!(deed.understand(&names, &Reply::Array(None), AT).0.fate, Fate::Never);
        let unbound = Deed { bound: Vec::new(), ..deed.clone() };
        assert_eq!(unbound.understand(&names, &Reply::Array(None), AT).0.oddities.len(), 1);
        assert_eq!(deed.understand(&names, &Reply::Array(Some(Vec::new())), AT).0.oddities.len(), 1);
        let error = Reply::Array(Some(vec![bulk("3"), Reply::Error("ERR no".to_owned())]));
        assert_eq!(deed.understand(&names, &error, AT).0.fate, Fate::Unknown);
    }

    #[test]
    fn what_is_seen_can_be_bound() {
        let names = Names::new(2);
        let deed = Deed { binds: vec![(5, 3)], ..Deed::one(Step::See(5)) };
        let (_, next) = deed.understand(&names, &bulk("00000002"), AT);
        let [Next::Change(bound)] = &next[..] else { panic!("{next:?}") };
        assert_eq!((bound[0].version, &bound[0].list[..]), (3, &[2][..]));
    }
}
