//! [`Plan`]: which partitions a request concerns, and how it is carried out
//! there. It follows from the request, the placement and the limits alone, never
//! from what is stored: every node that knows the configuration makes the same.

use skein_machine::{GroupId, GroupSet};

use super::commands::ranges::Query;
use super::commands::{backups, scans, sort};
use super::execute::check;
use super::failure::Failure;
use super::limits::Limits;
use super::placement::Placement;
use super::request::{Args, Body, Request, Transaction};
use super::table::{Command, Spread, flags};

/// How a request is carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// One partition does all of it.
    Single,
    /// Each does its part, and the answers are joined.
    Split,
    /// The same, after each told the others whether it may happen at all.
    Judged,
    /// Each tells the others the values of its keys, does all of it, and keeps
    /// what became of its own. All answer the same.
    Values,
}

/// Where and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The partitions, at least one.
    pub groups: GroupSet,
    /// How.
    pub way: Way,
}

/// Where one command of a request goes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Step {
    /// What is known of it; `None` if it fails wherever it is run.
    pub(super) command: Option<&'static Command>,
    /// Its partitions; none if any will do.
    pub(super) groups: GroupSet,
    way: Way,
}

/// The partition that runs what any could run.
pub(super) fn home(groups: GroupSet, placement: &Placement) -> GroupId {
    groups.iter().next().unwrap_or_else(|| placement.nth(0).expect("some group holds keys"))
}

/// Where one command goes. Errors are of commands that would be wrong to run anywhere.
pub(super) fn step(args: &[&[u8]], placement: &Placement, limits: &Limits) -> Result<Step, Failure> {
    let anywhere = Step { command: None, groups: GroupSet::EMPTY, way: Way::Single };
    let Ok(command) = check(args) else { return Ok(anywhere) };
    let step = |groups: GroupSet, way| {
        let way = if groups.len() > 1 { way } else { Way::Single };
        Ok(Step { command: Some(command), groups, way })
    };
    let alone = placement.everything().len() == 1;
    match command.spread {
        Spread::AllSum | Spread::AllSums | Spread::AllOk | Spread::AllKeys | Spread::AllOne => {
            return step(placement.everything(), Way::Split);
        }
        Spread::Range => {
            return match Query::parse(args) {
                Ok(query) => step(placement.touching(query.start, query.end), Way::Split),
                Err(_) => Ok(anywhere),
            };
        }
        Spread::Cursor => {
            let Ok(place) = scans::partition_of(args[1]) else { return Ok(anywhere) };
            let group = placement.nth(place).ok_or(Failure::of("ERR invalid cursor"))?;
            return step([group].into_iter().collect(), Way::Single);
        }
        Spread::Backup => {
            let group = backups::partition_of(args).and_then(|place| placement.nth(place));
            let group = group.ok_or(Failure::of("ERR there is no such partition"))?;
            return step([group].into_iter().collect(), Way::Single);
        }
        Spread::Values | Spread::Sum | Spread::Positions | Spread::Pairs => {}
    }
    if !alone && matches!(command.name, "sort" | "sort_ro") && sort::follows_patterns(args) {
        return Err(Failure::of(
            "ERR BY and GET patterns of SORT are not supported where keys lie in several partitions",
        ));
    }
    let groups = if alone && !command.specs.is_empty() {
        placement.everything()
    } else {
        let places = command.key_places(args);
        places.iter().map(|place| placement.group_of(args[*place])).collect()
    };
    match command.spread {
        Spread::Sum | Spread::Positions => step(groups, Way::Split),
        // A partition that is full refuses its pairs, so the others must know.
        Spread::Pairs if args.len().is_multiple_of(2) => Ok(anywhere),
        Spread::Pairs => step(groups, if limits.max_memory > 0 { Way::Judged } else { Way::Split }),
        _ => step(groups, Way::Values),
    }
}

impl Plan {
    /// Where a request goes, and how.
    pub fn of(request: &Request<'_>, placement: &Placement, limits: &Limits) -> Result<Plan, Failure> {
        let mut plan = match &request.body {
            Body::Command(args) => {
                let step = step(args, placement, limits)?;
                Plan { groups: step.groups, way: step.way }
            }
            Body::Transaction(transaction) => Plan::of_transaction(transaction, placement, limits)?,
        };
        if plan.groups.is_empty() {
            plan.groups.insert(home(GroupSet::EMPTY, placement));
        }
        Ok(plan)
    }

    fn of_transaction(transaction: &Transaction<'_>, placement: &Placement, limits: &Limits) -> Result<Plan, Failure> {
        let mut groups: GroupSet = transaction.watched.iter().map(|(key, _)| placement.group_of(key)).collect();
        let (mut values, mut whole, mut grows) = (false, None, false);
        for args in &transaction.commands {
            let step = step(args, placement, limits)?;
            groups = groups.or(step.groups);
            values |= step.way == Way::Values;
            if let Some(command) = step.command {
                grows |= command.has(flags::DENYOOM);
                let on_keys =
                    matches!(command.spread, Spread::Values | Spread::Sum | Spread::Positions | Spread::Pairs);
                whole = whole.or((!on_keys).then_some(command));
            }
        }
        let way = if groups.len() <= 1 {
            Way::Single
        } else if values {
            if let Some(command) = whole {
                let name = command.name.as_bytes();
                return Err(Failure::with(&[
                    b"ERR '",
                    name,
                    b"' reads more than it names and cannot be in a transaction that moves values between partitions",
                ]));
            }
            Way::Values
        } else if !transaction.watched.is_empty() || (grows && limits.max_memory > 0) {
            Way::Judged
        } else {
            Way::Split
        };
        Ok(Plan { groups, way })
    }
}

/// Whether a request changes nothing: only then may it be read.
pub fn only_reads(request: &Request<'_>) -> bool {
    let reads = |args: &Args<'_>| check(args).map_or(true, |command| command.only_reads(args));
    match &request.body {
        Body::Command(args) => reads(args),
        Body::Transaction(transaction) => transaction.watched.is_empty() && transaction.commands.iter().all(reads),
    }
}

/// The arguments of a command that concern one of its partitions: all of them,
/// unless each partition does its own keys.
pub(super) fn own_part<'a>(command: &Command, args: &[&'a [u8]], group: GroupId, placement: &Placement) -> Args<'a> {
    let width = match command.spread {
        Spread::Sum | Spread::Positions => 1,
        Spread::Pairs => 2,
        _ => return args.iter().copied().collect(),
    };
    let own = args[1..].chunks(width).filter(|item| placement.group_of(item[0]) == group).flatten();
    core::iter::once(&args[0]).chain(own).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kv::placement::{Division, Rule};
    use crate::kv::request::Protocol;
    use alloc::string::ToString;
    use alloc::vec::Vec;

    fn placement() -> Placement {
        let rule = |prefix: &str, group| Rule {
            prefix: prefix.as_bytes().to_vec(),
            division: Division::Group(GroupId::new(group).unwrap()),
        };
        Placement::new([rule("a", 0), rule("b", 1), rule("c", 2)].to_vec(), GroupSet::first(3)).unwrap()
    }

    fn args(line: &str) -> Args<'_> {
        line.split(' ').map(str::as_bytes).collect()
    }

    fn plan_of(request: &Request<'_>, max_memory: u64) -> Result<(alloc::string::String, Way), Failure> {
        let limits = Limits { max_memory, ..Limits::default() };
        Plan::of(request, &placement(), &limits).map(|plan| (plan.groups.to_string(), plan.way))
    }

    #[test]
    fn commands_go_where_their_keys_are() {
        let cases = [
            ("GET a", "g0", Way::Single),
            ("MGET a b", "g0+g1", Way::Split),
            ("MSET a 1 c 2", "g0+g2", Way::Split),
            ("MSETNX a 1 c 2", "g0+g2", Way::Values),
            ("RENAME a b", "g0+g1", Way::Values),
            ("RENAME a1 a2", "g0", Way::Single),
            ("DBSIZE", "g0+g1+g2", Way::Split),
            ("SCAN 2", "g2", Way::Single),
            ("SKEIN.RANGE a1 a2", "g0", Way::Single),
            ("SKEIN.RANGE a1 b2", "g0+g1+g2", Way::Split),
            ("GET", "g0", Way::Single),
            ("NONSENSE b", "g0", Way::Single),
        ];
        for (line, groups, way) in cases {
            let request = Request::command(Protocol::Two, &args(line));
            assert_eq!(plan_of(&request, 0), Ok((groups.to_string(), way)), "{line}");
        }
        let full = Request::command(Protocol::Two, &args("MSET a 1 c 2"));
        assert_eq!(plan_of(&full, 1), Ok(("g0+g2".to_string(), Way::Judged)));
        let sort = Request::command(Protocol::Two, &args("SORT a BY w_*"));
        assert!(plan_of(&sort, 0).is_err());
    }

    #[test]
    fn transactions_go_where_all_their_keys_are() {
        let transaction = |watched: &[&'static str], lines: &[&'static str]| Request {
            protocol: Protocol::Two,
            body: Body::Transaction(Transaction {
                watched: watched.iter().map(|key| (key.as_bytes(), 1)).collect(),
                commands: lines.iter().map(|line| args(line)).collect::<Vec<_>>(),
            }),
        };
        let of = |watched: &[&'static str], lines: &[&'static str]| plan_of(&transaction(watched, lines), 0);
        assert_eq!(of(&["a"], &["GET a", "SET a2 1"]), Ok(("g0".to_string(), Way::Single)));
        assert_eq!(of(&[], &["SET a 1", "MSET a 1 b 2"]), Ok(("g0+g1".to_string(), Way::Split)));
        assert_eq!(of(&["c"], &["SET a 1"]), Ok(("g0+g2".to_string(), Way::Judged)));
        assert_eq!(of(&[], &["RENAME a b", "GET c"]), Ok(("g0+g1+g2".to_string(), Way::Values)));
        assert!(of(&[], &["RENAME a b", "DBSIZE"]).is_err());
        assert_eq!(of(&[], &[]), Ok(("g0".to_string(), Way::Single)));
    }
}
