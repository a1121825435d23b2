//! Sorted sets, and sets whose members all score 1, combined: their union,
//! intersection and difference.

use alloc::vec::Vec;

use crate::kv::execute::Context;
use crate::kv::failure::Failure;
use crate::kv::number;
use crate::kv::value::{Set, Sorted, Value};

use super::sorted::one_zero;
use super::sorted_ranges::store;

type Outcome = Result<(), Failure>;

#[derive(Clone, Copy, PartialEq, Eq)]
enum How {
    All,
    Any,
    First,
}

#[derive(Clone, Copy)]
enum Aggregate {
    Sum,
    Least,
    Most,
}

impl Aggregate {
    fn of(self, one: f64, other: f64) -> f64 {
        match self {
            // The two infinities together are nothing, as Redis has it.
            Aggregate::Sum if (one + other).is_nan() => 0.0,
            Aggregate::Sum => one + other,
            // What is no number is not less and not more than anything.
            Aggregate::Least if other < one => other,
            Aggregate::Most if other > one => other,
            Aggregate::Least | Aggregate::Most => one,
        }
    }
}

/// One of the sets that are combined.
#[derive(Clone, Copy)]
enum Source<'a> {
    Nothing,
    Set(&'a Set),
    Sorted(&'a Sorted),
}

impl<'a> Source<'a> {
    /// What a key holds, if it can be combined.
    fn of(value: Option<&'a Value>) -> Option<Source<'a>> {
        match value {
            None => Some(Source::Nothing),
            Some(Value::Set(set)) => Some(Source::Set(set)),
            Some(Value::Sorted(sorted)) => Some(Source::Sorted(sorted)),
            Some(_) => None,
        }
    }

    fn len(self) -> usize {
        match self {
            Source::Nothing => 0,
            Source::Set(set) => set.len(),
            Source::Sorted(sorted) => sorted.len(),
        }
    }

    fn score(self, member: &[u8]) -> Option<f64> {
        match self {
            Source::Nothing => None,
            Source::Set(set) => set.contains(member).then_some(1.0),
            Source::Sorted(sorted) => sorted.score(member),
        }
    }

    fn members(self) -> Vec<(&'a [u8], f64)> {
        match self {
            Source::Nothing => Vec::new(),
            Source::Set(set) => set.members().iter().map(|(member, ())| (member.bytes(), 1.0)).collect(),
            Source::Sorted(sorted) => sorted.members().iter().map(|(member, score)| (member.bytes(), *score)).collect(),
        }
    }
}

/// What a command of this family asks for.
struct Query<'a> {
    keys: &'a [&'a [u8]],
    weights: Option<Vec<f64>>,
    aggregate: Aggregate,
    scores: bool,
    limit: usize,
}

/// What may stand behind the keys.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Told,
    Stored,
    Counted,
}

impl<'a> Query<'a> {
    fn parse(context: &Context<'a>, place: usize, how: How, form: Form) -> Result<Query<'a>, Failure> {
        let args = context.args;
        let count = context.integer(place)?;
        if count < 1 {
            let name = context.name.as_bytes();
            return Err(Failure::with(&[b"ERR at least 1 input key is needed for '", name, b"' command"]));
        }
        if count > (args.len() - place - 1) as i64 {
            return Err(Failure::SYNTAX);
        }
        let behind = place + 1 + count as usize;
        let keys = &args[place + 1..behind];
        let mut query = Query { keys, weights: None, aggregate: Aggregate::Sum, scores: false, limit: 0 };
        // Redis looks at the keys before it looks at what stands behind them.
        if keys.iter().any(|key| Source::of(context.store.get(key)).is_none()) {
            return Err(Failure::WRONG_TYPE);
        }
        let mut place = behind;
        while place < args.len() {
            let left = args.len() - place - 1;
            let plain = how != How::First && form != Form::Counted;
            if plain && left >= keys.len() && context.is(place, "WEIGHTS") {
                let weights = args[place + 1..place + 1 + keys.len()].iter();
                let weights: Option<Vec<f64>> = weights.map(|weight| number::double(weight)).collect();
                query.weights = Some(weights.ok_or(Failure::of("ERR weight value is not a float"))?);
                place += keys.len();
            } else if plain && left >= 1 && context.is(place, "AGGREGATE") {
                place += 1;
                query.aggregate = if context.is(place, "SUM") {
                    Aggregate::Sum
                } else if context.is(place, "MIN") {
                    Aggregate::Least
                } else if context.is(place, "MAX") {
                    Aggregate::Most
                } else {
                    return Err(Failure::SYNTAX);
                };
            } else if form == Form::Told && context.is(place, "WITHSCORES") {
                query.scores = true;
            } else if form == Form::Counted && left >= 1 && context.is(place, "LIMIT") {
                place += 1;
                let limit = number::integer(args[place]).and_then(|limit| usize::try_from(limit).ok());
                query.limit = limit.ok_or(Failure::of("ERR LIMIT can't be negative"))?;
            } else {
                return Err(Failure::SYNTAX);
            }
            place += 1;
        }
        Ok(query)
    }

    fn combine(&self, context: &Context<'_>, how: How) -> Result<Sorted, Failure> {
        let mut sources = Vec::new();
        for (place, key) in self.keys.iter().enumerate() {
            let source = Source::of(context.store.get(key)).ok_or(Failure::WRONG_TYPE)?;
            sources.push((source, self.weights.as_ref().map_or(1.0, |weights| weights[place])));
        }
        let weighed = |score: f64, weight: f64| if (score * weight).is_nan() { 0.0 } else { score * weight };
        let mut result = Sorted::default();
        if how == How::First {
            for (member, score) in sources[0].0.members() {
                if sources[1..].iter().all(|(source, _)| source.score(member).is_none()) {
                    result.set(member, score);
                }
            }
            return Ok(result);
        }
        // Sums of fractions depend on their order: the smallest comes first, as in Redis.
        sources.sort_by_key(|(source, _)| source.len());
        let eager = if how == How::All { 1 } else { sources.len() };
        for (source, weight) in &sources[..eager] {
            for (member, score) in source.members() {
                let score = weighed(score, *weight);
                if how == How::Any {
                    let score = result.score(member).map_or(score, |have| self.aggregate.of(have, score));
                    result.set(member, score);
                    continue;
                }
                let rest = sources[1..].iter().try_fold(score, |have, (source, weight)| {
                    source.score(member).map(|score| self.aggregate.of(have, score * weight))
                });
                if let Some(score) = rest {
                    result.set(member, score);
                }
            }
        }
        Ok(result)
    }
}

fn tell(context: &mut Context<'_>, how: How) -> Outcome {
    let query = Query::parse(context, 1, how, Form::Told)?;
    let result = query.combine(context, how)?;
    let nested = query.scores && context.answer.is_three();
    context.answer.array(if query.scores && !nested { 2 * result.len() } else { result.len() });
    for ((score, member), ()) in result.ranking().iter() {
        if nested {
            context.answer.array(2);
        }
        context.answer.bulk(member.bytes());
        if query.scores {
            context.answer.double(score.0);
        }
    }
    Ok(())
}

fn keep(context: &mut Context<'_>, how: How) -> Outcome {
    let query = Query::parse(context, 2, how, Form::Stored)?;
    let mut result = query.combine(context, how)?;
    // A weight below zero makes another zero, which is told and not kept.
    let is_other = |score: f64| score == 0.0 && score.is_sign_negative();
    let zeros: Vec<_> = result.members().iter().filter(|(_, score)| is_other(**score)).collect();
    let zeros: Vec<Vec<u8>> = zeros.into_iter().map(|(member, _)| member.bytes().to_vec()).collect();
    for member in zeros {
        result.set(&member, one_zero(-0.0));
    }
    store(context, context.args[1], result);
    Ok(())
}

pub(crate) fn zunion(context: &mut Context<'_>) -> Outcome {
    tell(context, How::Any)
}

pub(crate) fn zinter(context: &mut Context<'_>) -> Outcome {
    tell(context, How::All)
}

pub(crate) fn zdiff(context: &mut Context<'_>) -> Outcome {
    tell(context, How::First)
}

pub(crate) fn zunionstore(context: &mut Context<'_>) -> Outcome {
    keep(context, How::Any)
}

pub(crate) fn zinterstore(context: &mut Context<'_>) -> Outcome {
    keep(context, How::All)
}

pub(crate) fn zdiffstore(context: &mut Context<'_>) -> Outcome {
    keep(context, How::First)
}

pub(crate) fn zintercard(context: &mut Context<'_>) -> Outcome {
    let query = Query::parse(context, 1, How::All, Form::Counted)?;
    let total = query.combine(context, How::All)?.len();
    context.answer.count(if query.limit == 0 { total } else { total.min(query.limit) });
    Ok(())
}
