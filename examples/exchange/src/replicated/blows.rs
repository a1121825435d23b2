//! When which replica is struck: every so often, by the clock or by how much
//! was answered; mostly the leader, and now and then another, by the seed.
//!
//! It decides; who strikes is the stage. Nobody is struck before all are well
//! again after the last blow, for what is promised is that any minority may
//! die.

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, Instant};

use skein_machine::Random;

/// One blow in so many goes to any of the replicas.
const ANYBODY: u64 = 4;

/// A replica that was killed needs some milliseconds to come back, so more often makes no difference.
const SHORTEST: Duration = Duration::from_millis(10);

/// A run is not longer.
const LONGEST: Duration = Duration::from_secs(86_400);

/// How often something happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Every {
    /// After so long.
    Time(Duration),
    /// After so many answers.
    Answers(u64),
}

impl FromStr for Every {
    type Err = String;

    fn from_str(text: &str) -> Result<Every, String> {
        let nonsense = || format!("{text:?} is neither a time (2s, 500ms) nor a number of answers (20000)");
        let digits = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = text.split_at(digits);
        let number: u64 = number.parse().map_err(|_| nonsense())?;
        let time = match unit {
            "" if number > 0 => return Ok(Every::Answers(number)),
            "" => return Err("after no answer at all is too often".to_owned()),
            "s" => Duration::from_secs(number),
            "ms" => Duration::from_millis(number),
            _ => return Err(nonsense()),
        };
        if (SHORTEST..=LONGEST).contains(&time) {
            Ok(Every::Time(time))
        } else {
            Err(format!("every {time:?} cannot be: take {SHORTEST:?} to {LONGEST:?}"))
        }
    }
}

impl fmt::Display for Every {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Every::Time(time) => write!(f, "{time:?}"),
            Every::Answers(answers) => write!(f, "{answers}"),
        }
    }
}

/// What happens to a replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Blow {
    /// `kill -9`, and it is started again.
    Kill,
    /// It stands still for a while.
    Stop,
}

/// Blows of one kind.
#[derive(Debug)]
struct Row {
    blow: Blow,
    every: Every,
    next_at: Instant,
    next_answers: u64,
}

/// All blows of a run.
#[derive(Debug)]
pub(super) struct Blows {
    rows: Vec<Row>,
    chance: Random,
}

impl Blows {
    pub(super) fn new(kill: Option<Every>, stop: Option<Every>, seed: u64, now: Instant) -> Blows {
        let row = |blow, every: Option<Every>| {
            every.map(|every| {
                let mut row = Row { blow, every, next_at: now, next_answers: 0 };
                row.go_on(now);
                row
            })
        };
        let rows = [row(Blow::Kill, kill), row(Blow::Stop, stop)].into_iter().flatten().collect();
        Blows { rows, chance: Random::new(seed).fork(2) }
    }

    /// The blow that is due, if one is. It must fall.
    pub(super) fn due(&mut self, now: Instant, answered: u64) -> Option<Blow> {
        let row = self.rows.iter_mut().find(|row| match row.every {
            Every::Time(_) => now >= row.next_at,
            Every::Answers(_) => answered >= row.next_answers,
        })?;
        row.go_on(now);
        Some(row.blow)
    }

    /// Whom it strikes.
    pub(super) fn victim(&mut self, leader: usize, replicas: usize) -> usize {
        if self.chance.below(ANYBODY) == 0 { self.chance.below(replicas as u64) as usize } else { leader }
    }

    /// How many answers there may be before a blow has fallen that is due before: so those that go by answers fall all,
    /// and while there is work, however slow they are: the last of so many orders is answered after the last of them.
    pub(super) fn allowed(&self, orders: u64) -> u64 {
        let allowed = self.rows.iter().filter_map(|row| match row.every {
            Every::Time(_) => None,
            Every::Answers(_) if row.next_answers >= orders => None,
            Every::Answers(answers) => Some(row.next_answers.saturating_add(answers - 1).min(orders - 1)),
        });
        allowed.min().unwrap_or(u64::MAX)
    }
}

impl Row {
    fn go_on(&mut self, now: Instant) {
        match self.every {
            Every::Time(time) => self.next_at = now + time,
            Every::Answers(answers) => self.next_answers = self.next_answers.saturating_add(answers),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_often_is_a_time_or_a_number() {
        let of = |text: &str| text.parse::<Every>();
        assert_eq!(of("2s"), Ok(Every::Time(Duration::from_secs(2))));
        assert_eq!(of("500ms"), Ok(Every::Time(Duration::from_millis(500))));
        assert_eq!(of("20000"), Ok(Every::Answers(20_000)));
        for text in ["", "s", "2h", "-1s", "0", "2.5s", "9ms", "0s", "86401s", "99999999999999999999"] {
            assert!(of(text).unwrap_err().contains(' '), "{text}");
        }
    }

    #[test]
    fn a_blow_falls_when_it_is_due_and_once() {
        let begin = Instant::now();
        let second = Duration::from_secs(1);
        let mut blows = Blows::new(Some(Every::Answers(100)), Some(Every::Time(second)), 1, begin);
        assert_eq!(blows.due(begin, 99), None);
        // Until the first one has fallen no more are answered than until the second is due.
        assert_eq!(blows.allowed(1000), 199);
        assert_eq!((blows.due(begin, 100), blows.due(begin, 100)), (Some(Blow::Kill), None));
        assert_eq!(blows.allowed(1000), 299);
        assert_eq!([blows.allowed(201), blows.allowed(200)], [200, u64::MAX], "the last order waits for the last blow");
        let later = begin + second;
        assert_eq!((blows.due(later, 100), blows.due(later, 100)), (Some(Blow::Stop), None));
        assert_eq!(Blows::new(None, None, 1, begin).allowed(1000), u64::MAX);
    }

    #[test]
    fn mostly_the_leader_is_struck_and_never_nobody() {
        let mut blows = Blows::new(None, None, 1, Instant::now());
        let mut struck = [0; 3];
        (0..1000).for_each(|_| struck[blows.victim(1, 3)] += 1);
        assert!(struck[1] > 700 && struck[0] > 20 && struck[2] > 20, "{struck:?}");
    }
}
