//! [`Roster`]: the others as their user sees them, and what became of them
//! since somebody last looked. The gossip beneath tells who came and went, but not
//! who is suspected, nor who left politely; so it is compared with this list after
//! everything that happens to it.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use skein_machine::Time;

use super::Event;
use super::identity::{Identity, LEFT, Update};
use crate::{Member, MemberId};

/// How a member is, as far as is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Standing {
    /// It lives.
    Alive,
    /// Somebody did not reach it. It counts as living until the suspicion has lasted.
    Suspect,
    /// It died, or nobody reaches it.
    Down,
    /// It left and said so.
    Left,
}

impl Standing {
    /// Whether work can be given to it.
    pub fn is_living(self) -> bool {
        matches!(self, Standing::Alive | Standing::Suspect)
    }

    fn of(state: foca::State, incarnation: u16) -> Standing {
        match state {
            foca::State::Alive => Standing::Alive,
            foca::State::Suspect => Standing::Suspect,
            foca::State::Down if incarnation == LEFT => Standing::Left,
            foca::State::Down => Standing::Down,
        }
    }
}

/// One of the others, and how it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    pub(super) identity: Identity,
    pub(super) incarnation: u16,
    pub(super) standing: Standing,
    pub(super) since: Time,
}

impl Listed {
    /// Who it is.
    pub fn member(&self) -> &Member {
        &self.identity.member
    }

    /// How it is.
    pub fn standing(&self) -> Standing {
        self.standing
    }

    /// Since when, by the clock of whoever keeps the list.
    pub fn since(&self) -> Time {
        self.since
    }
}

/// The others, by name.
#[derive(Clone, Debug, Default)]
pub(super) struct Roster {
    others: BTreeMap<MemberId, Listed>,
}

impl Roster {
    pub(super) fn get(&self, id: MemberId) -> Option<&Listed> {
        self.others.get(&id)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Listed> {
        self.others.values()
    }

    pub(super) fn living(&self) -> impl Iterator<Item = &Listed> {
        self.iter().filter(|listed| listed.standing.is_living())
    }

    pub(super) fn len(&self) -> usize {
        self.others.len()
    }

    pub(super) fn clear(&mut self) {
        self.others.clear();
    }

    /// Whether this very thing is known already.
    pub(super) fn knows(&self, update: &Update) -> bool {
        self.get(update.identity.id).is_some_and(|listed| {
            let standing = Standing::of(update.state, update.incarnation);
            (listed.incarnation, listed.standing) == (update.incarnation, standing)
                && listed.identity == update.identity
        })
    }

    /// Makes the list what the gossip says of others than `me`, and tells what that changes.
    pub(super) fn follow<'a, Said: Iterator<Item = &'a foca::Member<Identity>>>(
        &mut self,
        now: Time,
        me: MemberId,
        said: impl Fn() -> Said,
        mut tell: impl FnMut(Event),
    ) {
        let mut count = 0;
        for member in said().filter(|member| member.id().id != me) {
            count += 1;
            self.hear(now, member, &mut tell);
        }
        if count < self.others.len() {
            // Some of the dead were forgotten.
            let mut kept: Vec<MemberId> = said().map(|member| member.id().id).collect();
            kept.sort_unstable();
            self.others.retain(|id, _| kept.binary_search(id).is_ok());
        }
    }

    fn hear(&mut self, now: Time, member: &foca::Member<Identity>, tell: &mut impl FnMut(Event)) {
        let (identity, incarnation) = (member.id(), member.incarnation());
        let standing = Standing::of(member.state(), incarnation);
        let known = self.others.get_mut(&identity.id);
        let mut before = None;
        if let Some(known) = known {
            known.incarnation = incarnation;
            if known.identity == *identity && known.standing == standing {
                return;
            }
            if known.identity.member == identity.member {
                before = Some(known.standing);
            } else if known.standing.is_living() {
                // Its next life is here before anybody noticed that the last one had ended.
                tell(Event::Down(known.member().clone()));
            }
        }
        let whom = || Member::clone(&identity.member);
        let was_living = before.is_some_and(Standing::is_living);
        match (was_living, standing) {
            (false, Standing::Alive) => tell(Event::Up(whom())),
            (false, Standing::Suspect) => {
                tell(Event::Up(whom()));
                tell(Event::Suspect(whom()));
            }
            (true, Standing::Alive) if before == Some(Standing::Suspect) => tell(Event::Trusted(whom())),
            (true, Standing::Suspect) if before == Some(Standing::Alive) => tell(Event::Suspect(whom())),
            (true, Standing::Down) => tell(Event::Down(whom())),
            (true, Standing::Left) => tell(Event::Left(whom())),
            // Reborn before its death was known here, or dead before anybody here knew of it.
            (true, Standing::Alive | Standing::Suspect) | (false, Standing::Down | Standing::Left) => {}
        }
        let is_same = before == Some(standing);
        let since = self.others.get(&identity.id).filter(|_| is_same).map_or(now, |known| known.since);
        self.others.insert(identity.id, Listed { identity: identity.clone(), incarnation, standing, since });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Name;
    use alloc::format;
    use alloc::string::String;
    use foca::State;

    const ME: MemberId = MemberId(0);

    fn identity(life: u64, rebirth: u32) -> Identity {
        let name = |text| Name::new(text).unwrap();
        Identity::new(Member::new(name("a"), name("b"), "10.0.0.1:7".parse().unwrap()).living(life), rebirth)
    }

    /// Each step is all that the gossip says then, a second after the last.
    fn told(steps: &[&[foca::Member<Identity>]]) -> (Roster, Vec<String>) {
        let (mut roster, mut told) = (Roster::default(), Vec::new());
        for (second, said) in steps.iter().enumerate() {
            let now = Time::from_nanos(1_000_000_000 * second as u64);
            roster.follow(now, ME, || said.iter(), |event| told.push(format!("{event:?}")));
        }
        (roster, told)
    }

    #[test]
    fn every_turn_is_told_once() {
        let say = |life, incarnation, state| foca::Member::new(identity(life, 0), incarnation, state);
        let (roster, told) = told(&[
            &[say(1, 0, State::Alive)],
            &[say(1, 0, State::Alive)],
            &[say(1, 0, State::Suspect)],
            &[say(1, 1, State::Alive)],
            &[say(1, 2, State::Alive)],
            &[say(2, 0, State::Alive)],
            &[say(2, 0, State::Down)],
            &[say(3, 0, State::Suspect)],
            &[say(3, LEFT, State::Down)],
        ]);
        assert_eq!(
            told,
            [
                "Up(a.1@10.0.0.1:7)",
                "Suspect(a.1@10.0.0.1:7)",
                "Trusted(a.1@10.0.0.1:7)",
                "Down(a.1@10.0.0.1:7)",
                "Up(a.2@10.0.0.1:7)",
                "Down(a.2@10.0.0.1:7)",
                "Up(a.3@10.0.0.1:7)",
                "Suspect(a.3@10.0.0.1:7)",
                "Left(a.3@10.0.0.1:7)",
            ]
        );
        let listed = roster.iter().next().unwrap();
        assert_eq!((listed.standing(), listed.since().as_nanos()), (Standing::Left, 8_000_000_000));
    }

    #[test]
    fn a_rebirth_is_news_only_to_those_who_knew_of_the_death() {
        let say = |rebirth, state| foca::Member::new(identity(1, rebirth), 0, state);
        let (roster, told) = told(&[
            &[say(0, State::Alive)],
            &[say(1, State::Alive)],
            &[say(1, State::Down)],
            &[say(2, State::Alive)],
            &[],
        ]);
        assert_eq!(told, ["Up(a.1@10.0.0.1:7)", "Down(a.1@10.0.0.1:7)", "Up(a.1@10.0.0.1:7)"]);
        assert_eq!(roster.len(), 0, "and what is forgotten is gone");
    }
}
