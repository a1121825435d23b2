//! Ranges of sorted sets, by rank, by score or by name: telling, counting,
//! storing and removing them.

use core::cmp::Ordering;

use alloc::vec::Vec;

use crate::kv::blob::Blob;
use crate::kv::execute::Context;
use crate::kv::failure::Failure;
use crate::kv::number;
use crate::kv::store::NEVER;
use crate::kv::value::{Kind, Score, Sorted, Value};

use super::lists::places;

type Outcome = Result<(), Failure>;

/// What a range is given by.
#[derive(Clone, Copy, PartialEq, Eq)]
enum By {
    Rank,
    Score,
    Name,
}

/// A range that is read from arguments.
enum Range<'a> {
    Rank(i64, i64),
    Score { low: f64, low_in: bool, high: f64, high_in: bool },
    Name { low: Edge<'a>, high: Edge<'a> },
}

/// Where a range of names begins or ends.
#[derive(Clone, Copy)]
enum Edge<'a> {
    First,
    Last,
    At(&'a [u8]),
    Beside(&'a [u8]),
}

impl<'a> Edge<'a> {
    fn parse(text: &'a [u8]) -> Option<Edge<'a>> {
        match text {
            b"-" => Some(Edge::First),
            b"+" => Some(Edge::Last),
            [b'[', name @ ..] => Some(Edge::At(name)),
            [b'(', name @ ..] => Some(Edge::Beside(name)),
            _ => None,
        }
    }

    /// Whether a name lies before a range that begins here.
    fn is_above(self, name: &[u8]) -> bool {
        match self {
            Edge::First => false,
            Edge::Last => true,
            Edge::At(edge) => name < edge,
            Edge::Beside(edge) => name <= edge,
        }
    }

    /// Whether a name lies before the end of a range that ends here.
    fn is_not_below(self, name: &[u8]) -> bool {
        match self {
            Edge::First => false,
            Edge::Last => true,
            Edge::At(edge) => name <= edge,
            Edge::Beside(edge) => name < edge,
        }
    }
}

/// A score at the edge of a range, and whether it belongs to it.
fn score_edge(text: &[u8]) -> Option<(f64, bool)> {
    let (text, within) = match text {
        [b'(', rest @ ..] => (rest, false),
        text => (text, true),
    };
    // An edge is read more leniently than a score: what is out of range is infinite.
    number::lenient_double(text).map(|value| (value, within))
}

impl<'a> Range<'a> {
    fn parse(by: By, low: &'a [u8], high: &'a [u8]) -> Result<Range<'a>, Failure> {
        match by {
            By::Rank => match (number::integer(low), number::integer(high)) {
                (Some(low), Some(high)) => Ok(Range::Rank(low, high)),
                _ => Err(Failure::NOT_INTEGER),
            },
            By::Score => match (score_edge(low), score_edge(high)) {
                (Some((low, low_in)), Some((high, high_in))) => Ok(Range::Score { low, low_in, high, high_in }),
                _ => Err(Failure::of("ERR min or max is not a float")),
            },
            By::Name => match (Edge::parse(low), Edge::parse(high)) {
                (Some(low), Some(high)) => Ok(Range::Name { low, high }),
                _ => Err(Failure::of("ERR min or max not valid string range item")),
            },
        }
    }

    /// The first rank in the range, and the first behind it.
    fn ranks(&self, sorted: &Sorted) -> (usize, usize) {
        let first = |before: &dyn Fn(&(Score, Blob)) -> bool| {
            let found = sorted.ranking().rank(|have| if before(have) { Ordering::Less } else { Ordering::Greater });
            found.unwrap_or_else(|rank| rank)
        };
        let (low, high) = match *self {
            Range::Rank(start, stop) => places(start, stop, sorted.len()),
            Range::Score { low, low_in, high, high_in } => (
                first(&|(score, _)| if low_in { score.0 < low } else { score.0 <= low }),
                first(&|(score, _)| if high_in { score.0 <= high } else { score.0 < high }),
            ),
            Range::Name { low, high } => {
                (first_name(sorted, &|name| low.is_above(name)), first_name(sorted, &|name| high.is_not_below(name)))
            }
        };
        (low, high.max(low))
    }
}

/// The first rank whose name does not lie before an edge. Where scores differ,
/// names are in no order, and Redis promises nothing; but replicas must agree,
/// so this halves ranks and never asks how the tree is laid out.
fn first_name(sorted: &Sorted, before: &dyn Fn(&[u8]) -> bool) -> usize {
    let (mut low, mut high) = (0, sorted.len());
    while low < high {
        let middle = low + (high - low) / 2;
        let ((_, name), ()) = sorted.ranking().nth(middle).expect("it is below the length");
        if before(name.bytes()) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    low
}

/// What a command of the family of ZRANGE asks for.
struct Query<'a> {
    range: Range<'a>,
    reverse: bool,
    scores: bool,
    limit: Option<(i64, i64)>,
}

impl<'a> Query<'a> {
    /// `by` and `reverse` are given by the command's name, or else by its options.
    fn parse(
        context: &Context<'a>,
        first: usize,
        by: Option<By>,
        reverse: Option<bool>,
        storing: bool,
    ) -> Result<Query<'a>, Failure> {
        let (mut low, mut high) = (context.args[first], context.args[first + 1]);
        let (mut chosen, mut reversed) = (by, reverse);
        let (mut scores, mut limit) = (false, None);
        let mut place = first + 2;
        while place < context.args.len() {
            let left = context.args.len() - place - 1;
            if !storing && context.is(place, "WITHSCORES") {
                scores = true;
            } else if context.is(place, "LIMIT") && left >= 2 {
                limit = Some((context.integer(place + 1)?, context.integer(place + 2)?));
                place += 2;
            } else if reversed.is_none() && context.is(place, "REV") {
                reversed = Some(true);
            } else if chosen.is_none() && context.is(place, "BYLEX") {
                chosen = Some(By::Name);
            } else if chosen.is_none() && context.is(place, "BYSCORE") {
                chosen = Some(By::Score);
            } else {
                return Err(Failure::SYNTAX);
            }
            place += 1;
        }
        let by = chosen.unwrap_or(By::Rank);
        let reverse = reversed.unwrap_or(false);
        if limit.is_some() && by == By::Rank {
            return Err(Failure::of(
                "ERR syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX",
            ));
        }
        if scores && by == By::Name {
            return Err(Failure::of("ERR syntax error, WITHSCORES not supported in combination with BYLEX"));
        }
        if reverse && by != By::Rank {
            core::mem::swap(&mut low, &mut high);
        }
        Ok(Query { range: Range::parse(by, low, high)?, reverse, scores, limit })
    }

    /// What it asks for, in the order in which it is told.
    fn find<'s>(&self, sorted: &'s Sorted) -> Vec<(&'s Blob, f64)> {
        let (mut low, mut high) = match self.range {
            Range::Rank(start, stop) if self.reverse => {
                let (low, high) = places(start, stop, sorted.len());
                (sorted.len() - high, sorted.len() - low)
            }
            _ => self.range.ranks(sorted),
        };
        if matches!(self.range, Range::Rank(..)) && high - low == 0 {
            return Vec::new();
        }
        if let Some((offset, count)) = self.limit {
            let Ok(offset) = usize::try_from(offset) else { return Vec::new() };
            let left = (high - low).saturating_sub(offset);
            let count = usize::try_from(count).map_or(left, |count| count.min(left));
            if self.reverse {
                high -= offset.min(high - low);
                low = high - count;
            } else {
                low += offset.min(high - low);
                high = low + count;
            }
        }
        let slice = sorted.ranking().slice(low, high).map(|((score, name), ())| (name, score.0));
        if self.reverse { slice.rev().collect() } else { slice.collect() }
    }
}

fn tell(context: &mut Context<'_>, by: Option<By>, reverse: Option<bool>) -> Outcome {
    let query = Query::parse(context, 2, by, reverse, false)?;
    let Some(sorted) = context.store.read::<Sorted>(context.args[1])? else {
        context.answer.array(0);
        return Ok(());
    };
    let found = query.find(sorted);
    let nested = query.scores && context.answer.is_three();
    context.answer.array(if query.scores && !nested { 2 * found.len() } else { found.len() });
    for (name, score) in found {
        if nested {
            context.answer.array(2);
        }
        context.answer.bulk(name.bytes());
        if query.scores {
            context.answer.double(score);
        }
    }
    Ok(())
}

pub(crate) fn zrange(context: &mut Context<'_>) -> Outcome {
    tell(context, None, None)
}

pub(crate) fn zrevrange(context: &mut Context<'_>) -> Outcome {
    tell(context, Some(By::Rank), Some(true))
}

pub(crate) fn zrangebyscore(context: &mut Context<'_>) -> Outcome {
    tell(context, Some(By::Score), Some(false))
}

pub(crate) fn zrevrangebyscore(context: &mut Context<'_>) -> Outcome {
    tell(context, Some(By::Score), Some(true))
}

pub(crate) fn zrangebylex(context: &mut Context<'_>) -> Outcome {
    tell(context, Some(By::Name), Some(false))
}

pub(crate) fn zrevrangebylex(context: &mut Context<'_>) -> Outcome {
    tell(context, Some(By::Name), Some(true))
}

pub(crate) fn zrangestore(context: &mut Context<'_>) -> Outcome {
    let query = Query::parse(context, 3, None, None, true)?;
    let mut result = Sorted::default();
    if let Some(sorted) = context.store.read::<Sorted>(context.args[2])? {
        for (name, score) in query.find(sorted) {
            result.set(name.bytes(), score);
        }
    }
    store(context, context.args[1], result);
    Ok(())
}

/// Stores a result, or nothing where it is empty, and answers how much it is.
pub(super) fn store(context: &mut Context<'_>, key: &[u8], mut result: Sorted) {
    let length = result.len();
    // What is stored knows one zero: Redis keeps packed scores as integers.
    let (low, high) = Range::Score { low: 0.0, low_in: true, high: 0.0, high_in: true }.ranks(&result);
    let zeros: Vec<Blob> = result.ranking().slice(low, high).map(|((_, name), ())| name.clone()).collect();
    for name in zeros {
        result.set(name.bytes(), 0.0);
    }
    if length == 0 {
        context.store.remove(key);
    } else {
        let mut value = Sorted::empty();
        *Sorted::of_mut(&mut value).expect("it is one") = result;
        let value: Value = value;
        context.store.put(key, value, NEVER);
    }
    context.answer.count(length);
}

fn count(context: &mut Context<'_>, by: By) -> Outcome {
    let range = Range::parse(by, context.args[2], context.args[3])?;
    let (low, high) = context.store.read::<Sorted>(context.args[1])?.map_or((0, 0), |sorted| range.ranks(sorted));
    context.answer.count(high - low);
    Ok(())
}

pub(crate) fn zcount(context: &mut Context<'_>) -> Outcome {
    count(context, By::Score)
}

pub(crate) fn zlexcount(context: &mut Context<'_>) -> Outcome {
    count(context, By::Name)
}

fn remove(context: &mut Context<'_>, by: By) -> Outcome {
    let range = Range::parse(by, context.args[2], context.args[3])?;
    let removed = context.store.edit::<Sorted, _>(context.args[1], |sorted| {
        let (low, high) = range.ranks(sorted);
        let names: Vec<Blob> = sorted.ranking().slice(low, high).map(|((_, name), ())| name.clone()).collect();
        for name in &names {
            sorted.remove(name.bytes());
        }
        (names.len(), !names.is_empty())
    })?;
    context.answer.count(removed.unwrap_or(0));
    Ok(())
}

pub(crate) fn zremrangebyrank(context: &mut Context<'_>) -> Outcome {
    remove(context, By::Rank)
}

pub(crate) fn zremrangebyscore(context: &mut Context<'_>) -> Outcome {
    remove(context, By::Score)
}

pub(crate) fn zremrangebylex(context: &mut Context<'_>) -> Outcome {
    remove(context, By::Name)
}
