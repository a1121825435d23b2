//! [`Form`]: what a client of the lists asks for at once, how it is said to a
//! store, and what the replies mean. It says nothing to anybody by itself.

use skein_sim::check::linear::{Element, Key};

use super::clients::name_of;
use crate::list_words::{append, length, list, look, words};
use crate::redis::{Command, Reply};

/// Why nothing was done, in the words of this file.
pub(super) const CHANGED: &str = "what it watched has changed";

/// What is asked for as one: a command, or a transaction.
#[derive(Clone, Debug)]
pub(super) struct Form {
    pub(super) what: &'static str,
    pub(super) reads: Vec<Key>,
    pub(super) appends: Vec<(Key, Element)>,
    pub(super) is_transaction: bool,
    /// Lists as they were seen before, and must still be if this happens.
    pub(super) is_bound_to: Vec<(Key, Vec<Element>)>,
}

/// What an answer means.
#[derive(Debug)]
pub(super) enum Outcome {
    Done(Vec<(Key, Vec<Element>)>, Vec<(Key, Element, u64)>),
    Never(String),
    Unknown(String),
    Strange(String),
}

impl Form {
    pub(super) fn look(key: Key) -> Form {
        let (reads, appends, is_bound_to) = (vec![key], Vec::new(), Vec::new());
        Form { what: "LRANGE", reads, appends, is_transaction: false, is_bound_to }
    }

    pub(super) fn append(key: Key, element: Element) -> Form {
        let (reads, appends, is_bound_to) = (Vec::new(), vec![(key, element)], Vec::new());
        Form { what: "RPUSH", reads, appends, is_transaction: false, is_bound_to }
    }

    pub(super) fn transaction(reads: Vec<Key>, appends: Vec<(Key, Element)>) -> Form {
        Form { what: "EXEC", reads, appends, is_transaction: true, is_bound_to: Vec::new() }
    }

    pub(super) fn commands(&self) -> Vec<Command> {
        let mut commands: Vec<Command> = self.reads.iter().map(|key| look(&name_of(*key))).collect();
        commands.extend(self.appends.iter().map(|(key, element)| append(&name_of(*key), *element)));
        if self.is_transaction {
            commands.insert(0, words(&["MULTI"]));
            commands.push(words(&["EXEC"]));
        }
        commands
    }

    /// What the replies to these commands mean, as far as they came.
    pub(super) fn understand(&self, replies: &[Reply]) -> Outcome {
        let count = self.reads.len() + self.appends.len();
        let (replies, last) = match (self.is_transaction, replies) {
            (false, [only]) => (std::slice::from_ref(only), only),
            (true, [first, queued @ .., exec]) if queued.len() == count => {
                let is_queued = queued.iter().all(|reply| *reply == Reply::Simple("QUEUED".to_owned()));
                if *first != Reply::Simple("OK".to_owned()) || !is_queued {
                    return Outcome::Strange(format!("MULTI is answered {first:?} {queued:?}"));
                }
                match exec {
                    Reply::Array(Some(replies)) => (&replies[..], exec),
                    _ => (&[][..], exec),
                }
            }
            _ => return Outcome::Unknown(String::new()),
        };
        match last {
            Reply::Error(why) if why.starts_with("UNCERTAIN ") => return Outcome::Unknown(why.clone()),
            Reply::Error(why) if why.starts_with("TRYAGAIN ") => return Outcome::Never(why.clone()),
            // Something that it watched has changed.
            Reply::Array(None) if self.is_transaction && !self.is_bound_to.is_empty() => {
                return Outcome::Never(CHANGED.to_owned());
            }
            _ if replies.len() != count => return Outcome::Strange(format!("{} is answered {last:?}", self.what)),
            _ => {}
        }
        let (lists, lengths) = replies.split_at(self.reads.len());
        let mut saw = self.is_bound_to.clone();
        for (key, reply) in self.reads.iter().zip(lists) {
            match list(reply) {
                Some(list) => saw.push((*key, list)),
                None => return Outcome::Strange(format!("LRANGE {} is answered {reply:?}", name_of(*key))),
            }
        }
        let mut grown = Vec::new();
        for ((key, element), reply) in self.appends.iter().zip(lengths) {
            match length(reply) {
                Some(length) => grown.push((*key, *element, length)),
                None => return Outcome::Strange(format!("RPUSH {} is answered {reply:?}", name_of(*key))),
            }
        }
        Outcome::Done(saw, grown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn simple(word: &str) -> Reply {
        Reply::Simple(word.to_owned())
    }

    fn numbers(numbers: &[u64]) -> Reply {
        Reply::Array(Some(numbers.iter().map(|number| Reply::Bulk(Some(number.to_string().into_bytes()))).collect()))
    }

    #[test]
    fn a_transaction_is_understood() {
        let form = Form::transaction(vec![3], vec![(4, 9)]);
        let said: Vec<String> = form.commands().iter().map(|command| command.join(" ")).collect();
        assert_eq!(said, ["MULTI", "LRANGE list:3 0 -1", "RPUSH list:4 9", "EXEC"]);
        let replies = |exec| [simple("OK"), simple("QUEUED"), simple("QUEUED"), exec];
        let done = form.understand(&replies(Reply::Array(Some(vec![numbers(&[7, 8]), Reply::Integer(1)]))));
        let Outcome::Done(saw, lengths) = done else { panic!("{done:?}") };
        assert_eq!((saw, lengths), (vec![(3, vec![7, 8])], vec![(4, 9, 1)]));
        let error = |word: &str| Reply::Error(format!("{word} no answer"));
        assert!(matches!(form.understand(&replies(error("UNCERTAIN"))), Outcome::Unknown(_)));
        assert!(matches!(form.understand(&replies(error("TRYAGAIN"))), Outcome::Never(_)));
        assert!(matches!(form.understand(&replies(error("ERR"))), Outcome::Strange(_)));
        assert!(matches!(form.understand(&replies(Reply::Array(None))), Outcome::Strange(_)), "nothing was watched");
        assert!(matches!(form.understand(&[simple("OK"), simple("QUEUED")]), Outcome::Unknown(_)));
        let bound = Form { is_bound_to: vec![(3, vec![7])], ..form };
        assert!(matches!(bound.understand(&replies(Reply::Array(None))), Outcome::Never(_)));
    }

    #[test]
    fn one_command_is_understood() {
        let look = Form::look(3).understand(&[numbers(&[])]);
        assert!(matches!(&look, Outcome::Done(saw, _) if *saw == [(3, vec![])]), "{look:?}");
        let append = Form::append(3, 9).understand(&[Reply::Integer(5)]);
        assert!(matches!(&append, Outcome::Done(_, lengths) if *lengths == [(3, 9, 5)]), "{append:?}");
        assert!(matches!(Form::append(3, 9).understand(&[]), Outcome::Unknown(_)));
        assert!(matches!(Form::append(3, 9).understand(&[numbers(&[1])]), Outcome::Strange(_)));
    }
}
