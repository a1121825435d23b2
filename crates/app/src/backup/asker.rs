//! [`Asker`]: asks a store until it is answered, through whichever node is
//! there. What it asks may be asked twice: because that changes nothing, or
//! because the command has a name by which the store knows it again.

use std::time::{Duration, Instant};

use super::{Words, words};
use crate::cli::Mistake;
use crate::cli::kv::Store;
use crate::redis::{Connection, Reply};

/// How long one node is waited for: longer than it lets a client wait.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long all of them are: longer than it takes to start a node again, and less than a backup is kept by the store.
const LONGEST_OUTAGE: Duration = Duration::from_secs(180);

/// Between two attempts.
const PAUSE: Duration = Duration::from_millis(200);

/// See above.
pub(super) struct Asker<'a> {
    store: &'a Store,
    redis: Option<Connection>,
    /// How many nodes were given up, so that the next one is asked.
    passed: usize,
    /// A session of the store, and the number of its last command.
    session: Option<(u64, u64)>,
}

/// What the replies to a few commands mean.
pub(super) enum Outcome {
    Done(Vec<Reply>),
    /// Nobody knows, or nothing was done: it is to be asked again.
    Again(String),
    Refused(String),
}

impl<'a> Asker<'a> {
    /// For commands that change nothing when they are asked again.
    pub(super) fn new(store: &'a Store) -> Result<Asker<'a>, Mistake> {
        // What is wrong from the beginning, such as a password, gets no better by waiting.
        Ok(Asker { store, redis: Some(store.connect()?), passed: 0, session: None })
    }

    /// For commands that must not be done twice, one after the other.
    pub(super) fn named(store: &'a Store) -> Result<Asker<'a>, Mistake> {
        let session = crate::draw().map_err(Mistake)? >> 2;
        Ok(Asker { session: Some((session, 0)), ..Asker::new(store)? })
    }

    /// One command, and its answer.
    pub(super) fn ask(&mut self, command: &[&[u8]]) -> Result<Reply, Mistake> {
        let commands = [words(command)];
        self.say(&commands);
        Ok(self.hear(&commands)?.pop().expect("one command has one answer"))
    }

    /// Says a command once, to whoever listens now.
    pub(super) fn mention(&mut self, command: &[&[u8]]) {
        self.attempt(&[words(command)]);
        let _ = self.listen(1);
    }

    /// Says commands of which at most one concerns keys, or those of one transaction. Whether they arrive is for
    /// [`Asker::hear`], which must be next and is told the same.
    pub(super) fn say(&mut self, commands: &[Words]) {
        if let Some((_, number)) = &mut self.session {
            *number += 1;
        }
        self.attempt(commands);
    }

    /// The answers to what was said. Asks again, also elsewhere, while that may help.
    pub(super) fn hear(&mut self, commands: &[Words]) -> Result<Vec<Reply>, Mistake> {
        let begin = Instant::now();
        loop {
            let why = match self.listen(commands.len()) {
                Outcome::Done(replies) => return Ok(replies),
                Outcome::Refused(why) => return Err(Mistake(why)),
                Outcome::Again(why) => why,
            };
            if begin.elapsed() > LONGEST_OUTAGE {
                let seconds = LONGEST_OUTAGE.as_secs();
                return Err(Mistake(format!("no node has answered for {seconds} s ({why}): see `skein status`")));
            }
            self.redis = None;
            self.passed += 1;
            std::thread::sleep(PAUSE);
            self.attempt(commands);
        }
    }

    /// A connection that fails is none; that is found out when somebody listens.
    fn attempt(&mut self, commands: &[Words]) {
        if self.redis.is_none() {
            self.redis = self.store.connect_beyond(self.passed).ok();
        }
        let Some(redis) = &mut self.redis else { return };
        let name = self.session.map(|(session, number)| {
            words(&[b"SKEIN.SESSION", session.to_string().as_bytes(), number.to_string().as_bytes()])
        });
        let said = name.map_or(Ok(()), |name| redis.say(&[name])).and_then(|()| redis.say(commands));
        if said.is_err() {
            self.redis = None;
        }
    }

    fn listen(&mut self, count: usize) -> Outcome {
        let Some(redis) = &mut self.redis else { return Outcome::Again("no connection".to_owned()) };
        let until = Instant::now() + PATIENCE;
        let all = count + usize::from(self.session.is_some());
        let mut replies = Vec::with_capacity(all);
        for _ in 0..all {
            match redis.hear(until) {
                Ok(reply) => replies.push(reply),
                Err(error) => return Outcome::Again(error.to_string()),
            }
        }
        let understood = understand(replies);
        match understood {
            Outcome::Done(mut replies) => Outcome::Done(replies.split_off(all - count)),
            other => other,
        }
    }
}

/// What is not done is said before what was only queued for it.
fn understand(replies: Vec<Reply>) -> Outcome {
    let is_of = |why: &str, words: &[&str]| words.iter().any(|word| why.starts_with(word));
    let mut refused = None;
    for reply in &replies {
        let inner = match reply {
            Reply::Array(Some(inner)) => &inner[..],
            _ => &[],
        };
        for reply in std::iter::once(reply).chain(inner) {
            let Reply::Error(why) = reply else { continue };
            if is_of(why, &["TRYAGAIN ", "UNCERTAIN ", "LOADING "]) {
                return Outcome::Again(why.clone());
            }
            refused.get_or_insert_with(|| why.clone());
        }
    }
    refused.map_or(Outcome::Done(replies), Outcome::Refused)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_replies_mean() {
        let error = |why: &str| Reply::Error(why.to_owned());
        let ok = || Reply::Simple("OK".to_owned());
        let of = |replies: &[Reply]| match understand(replies.to_vec()) {
            Outcome::Done(replies) => format!("done {}", replies.len()),
            Outcome::Again(why) => format!("again {why}"),
            Outcome::Refused(why) => format!("refused {why}"),
        };
        assert_eq!(of(&[ok(), Reply::Integer(3)]), "done 2");
        assert_eq!(of(&[ok(), error("UNCERTAIN x")]), "again UNCERTAIN x");
        let first = [error("NOPERM x"), error("EXECABORT y")];
        assert_eq!(of(&first), "refused NOPERM x", "the first says why");
        let inner = Reply::Array(Some(vec![ok(), error("WRONGTYPE z")]));
        assert_eq!(of(&[ok(), inner]), "refused WRONGTYPE z");
    }
}
