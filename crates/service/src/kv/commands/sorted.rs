//! Sorted sets: members and their scores, ranks, and taking from either end.

use alloc::vec::Vec;

use crate::kv::execute::Context;
use crate::kv::failure::Failure;
use crate::kv::value::Sorted;

use super::hashes::random_count;
use super::lists::{counted_keys, not_negative, trailing_count};
use super::sets::random_ranks;

type Outcome = Result<(), Failure>;

/// What may stand before the scores of ZADD.
#[derive(Clone, Copy, Default)]
struct Options {
    only_new: bool,
    only_old: bool,
    greater: bool,
    less: bool,
    changed: bool,
    add: bool,
}

impl Options {
    /// The options, and the place of the first score.
    fn parse(context: &Context<'_>) -> Result<(Options, usize), Failure> {
        let mut options = Options::default();
        let mut place = 2;
        while place < context.args.len() {
            let flag = if context.is(place, "NX") {
                &mut options.only_new
            } else if context.is(place, "XX") {
                &mut options.only_old
            } else if context.is(place, "GT") {
                &mut options.greater
            } else if context.is(place, "LT") {
                &mut options.less
            } else if context.is(place, "CH") {
                &mut options.changed
            } else if context.is(place, "INCR") {
                &mut options.add
            } else {
                break;
            };
            *flag = true;
            place += 1;
        }
        let elements = context.args.len() - place;
        if elements == 0 || elements % 2 == 1 {
            return Err(Failure::SYNTAX);
        }
        if options.only_new && options.only_old {
            return Err(Failure::of("ERR XX and NX options at the same time are not compatible"));
        }
        if (options.greater && options.less) || (options.only_new && (options.greater || options.less)) {
            return Err(Failure::of("ERR GT, LT, and/or NX options at the same time are not compatible"));
        }
        if options.add && elements > 2 {
            return Err(Failure::of("ERR INCR option supports a single increment-element pair"));
        }
        Ok((options, place))
    }

    /// The score that a member gets, if it gets one.
    fn apply(self, old: Option<f64>, given: f64) -> Result<Option<f64>, Failure> {
        let Some(old) = old else { return Ok((!self.only_old).then_some(given)) };
        if self.only_new {
            return Ok(None);
        }
        let new = if self.add { old + given } else { given };
        if new.is_nan() {
            return Err(Failure::of("ERR resulting score is not a number (NaN)"));
        }
        Ok((!(self.greater && new <= old || self.less && new >= old)).then_some(new))
    }
}

/// Where scores are kept there is one zero: Redis packs whole ones as integers.
pub(super) fn one_zero(score: f64) -> f64 {
    score + 0.0
}

pub(crate) fn zadd(context: &mut Context<'_>) -> Outcome {
    let (options, first) = Options::parse(context)?;
    add(context, options, first)
}

pub(crate) fn zincrby(context: &mut Context<'_>) -> Outcome {
    // Redis reads the options of ZADD here too, and then has too few words left.
    let (options, first) = Options::parse(context)?;
    add(context, Options { add: true, ..options }, first)
}

fn add(context: &mut Context<'_>, options: Options, first: usize) -> Outcome {
    let args = context.args;
    let scores: Vec<f64> =
        (first..args.len()).step_by(2).map(|place| context.double(place)).collect::<Result<_, _>>()?;
    let have = context.store.read::<Sorted>(args[1])?;
    if options.add {
        let new = options.apply(have.and_then(|sorted| sorted.score(args[first + 1])), scores[0])?;
        match new {
            None => context.answer.null(),
            Some(new) => {
                context.store.write::<Sorted, _>(args[1], |sorted| {
                    let old = sorted.score(args[first + 1]);
                    if old != Some(new) {
                        sorted.set(args[first + 1], one_zero(new));
                    }
                    ((), old != Some(new))
                })?;
                context.answer.double(new);
            }
        }
        return Ok(());
    }
    let (added, updated) = if have.is_none() && options.only_old {
        (0, 0)
    } else {
        context.store.write::<Sorted, _>(args[1], |sorted| {
            let (mut added, mut updated) = (0, 0);
            for (pair, given) in args[first..].chunks(2).zip(&scores) {
                let old = sorted.score(pair[1]);
                // Only adding to a score can make one that is no number.
                if let Ok(Some(new)) = options.apply(old, *given)
                    && old != Some(new)
                {
                    sorted.set(pair[1], one_zero(new));
                    added += usize::from(old.is_none());
                    updated += usize::from(old.is_some());
                }
            }
            ((added, updated), added + updated > 0)
        })?
    };
    context.answer.count(if options.changed { added + updated } else { added });
    Ok(())
}

pub(crate) fn zcard(context: &mut Context<'_>) -> Outcome {
    let length = context.store.read::<Sorted>(context.args[1])?.map_or(0, Sorted::len);
    context.answer.count(length);
    Ok(())
}

pub(crate) fn zscore(context: &mut Context<'_>) -> Outcome {
    let score = context.store.read::<Sorted>(context.args[1])?.and_then(|sorted| sorted.score(context.args[2]));
    match score {
        Some(score) => context.answer.double(score),
        None => context.answer.null(),
    }
    Ok(())
}

pub(crate) fn zmscore(context: &mut Context<'_>) -> Outcome {
    let sorted = context.store.read::<Sorted>(context.args[1])?;
    let members = &context.args[2..];
    context.answer.array(members.len());
    for member in members {
        match sorted.and_then(|sorted| sorted.score(member)) {
            Some(score) => context.answer.double(score),
            None => context.answer.null(),
        }
    }
    Ok(())
}

pub(crate) fn zrank(context: &mut Context<'_>) -> Outcome {
    rank(context, false)
}

pub(crate) fn zrevrank(context: &mut Context<'_>) -> Outcome {
    rank(context, true)
}

fn rank(context: &mut Context<'_>, from_end: bool) -> Outcome {
    let found = context
        .store
        .read::<Sorted>(context.args[1])?
        .and_then(|sorted| Some((sorted.rank(context.args[2])?, sorted.len())));
    match found {
        Some((rank, length)) => context.answer.count(if from_end { length - 1 - rank } else { rank }),
        None => context.answer.null(),
    }
    Ok(())
}

pub(crate) fn zrem(context: &mut Context<'_>) -> Outcome {
    let args = context.args;
    let removed = context.store.edit::<Sorted, _>(args[1], |sorted| {
        let removed = args[2..].iter().filter(|member| sorted.remove(member).is_some()).count();
        (removed, removed > 0)
    })?;
    context.answer.count(removed.unwrap_or(0));
    Ok(())
}

pub(crate) fn zpopmin(context: &mut Context<'_>) -> Outcome {
    pop(context, false)
}

pub(crate) fn zpopmax(context: &mut Context<'_>) -> Outcome {
    pop(context, true)
}

type Scored = Vec<(Vec<u8>, f64)>;

fn take(context: &mut Context<'_>, key: &[u8], largest: bool, count: usize) -> Result<Option<Scored>, Failure> {
    context.store.edit::<Sorted, _>(key, |sorted| {
        let mut taken = Vec::new();
        while taken.len() < count && !sorted.is_empty() {
            let rank = if largest { sorted.len() - 1 } else { 0 };
            let ((score, member), ()) = sorted.ranking().nth(rank).expect("it is not empty");
            let (score, member) = (score.0, member.bytes().to_vec());
            sorted.remove(&member);
            taken.push((member, score));
        }
        let changed = !taken.is_empty();
        (taken, changed)
    })
}

fn write_scored(context: &mut Context<'_>, taken: &Scored, nested: bool) {
    context.answer.array(if nested { taken.len() } else { 2 * taken.len() });
    for (member, score) in taken {
        if nested {
            context.answer.array(2);
        }
        context.answer.bulk(member);
        context.answer.double(*score);
    }
}

fn pop(context: &mut Context<'_>, largest: bool) -> Outcome {
    let args = context.args;
    if args.len() > 3 {
        return Err(Failure::SYNTAX);
    }
    let count = if args.len() == 3 { not_negative(context, 2)? } else { 1 };
    let taken = take(context, args[1], largest, count)?.unwrap_or_default();
    let nested = args.len() == 3 && context.answer.is_three();
    write_scored(context, &taken, nested);
    Ok(())
}

pub(crate) fn zmpop(context: &mut Context<'_>) -> Outcome {
    let args = context.args;
    let (_, behind) = counted_keys(context, 1)?;
    let largest = if context.is(behind, "MAX") {
        true
    } else if context.is(behind, "MIN") {
        false
    } else {
        return Err(Failure::SYNTAX);
    };
    let count = trailing_count(context, behind + 1)?;
    for key in &args[2..behind] {
        if let Some(taken) = take(context, key, largest, count)? {
            context.answer.array(2);
            context.answer.bulk(key);
            write_scored(context, &taken, true);
            return Ok(());
        }
    }
    context.answer.null_array();
    Ok(())
}

pub(crate) fn zrandmember(context: &mut Context<'_>) -> Outcome {
    let args = context.args;
    if args.len() == 2 {
        let chosen = match context.store.read::<Sorted>(args[1])? {
            Some(sorted) => sorted.ranking().nth(context.random.below(sorted.len() as u64) as usize),
            None => None,
        };
        context.answer.bulk_or_null(chosen.map(|((_, member), ())| member.bytes()));
        return Ok(());
    }
    let count = random_count(context)?;
    let with_scores = args.len() == 4 && context.is(3, "WITHSCORES");
    if args.len() > 4 || (args.len() == 4 && !with_scores) {
        return Err(Failure::SYNTAX);
    }
    if with_scores && !(i64::MIN / 2..=i64::MAX / 2).contains(&count) {
        return Err(Failure::OUT_OF_RANGE);
    }
    let Some(sorted) = context.store.read::<Sorted>(args[1])? else {
        context.answer.array(0);
        return Ok(());
    };
    let ranks = random_ranks(context.random, count, sorted.len())?;
    let nested = with_scores && context.answer.is_three();
    context.answer.array(if with_scores && !nested { 2 * ranks.len() } else { ranks.len() });
    for rank in ranks {
        let ((score, member), ()) = sorted.ranking().nth(rank).expect("it is below");
        if nested {
            context.answer.array(2);
        }
        context.answer.bulk(member.bytes());
        if with_scores {
            context.answer.double(score.0);
        }
    }
    Ok(())
}
