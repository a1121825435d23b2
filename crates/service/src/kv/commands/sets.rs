//! Sets, one at a time or two.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use skein_machine::Random;

use crate::kv::blob::Member;
use crate::kv::execute::Context;
use crate::kv::failure::Failure;
use crate::kv::tree::Tree;
use crate::kv::value::Set;

use super::hashes::random_count;
use super::lists::not_negative;

type Outcome = Result<(), Failure>;

/// The most elements that one command draws with repetition: more than anybody
/// reads, and a reply that still fits into memory.
const MAX_DRAWS: u64 = 1 << 20;

pub(crate) fn sadd(context: &mut Context<'_>) -> Outcome {
    let args = context.args;
    let added = context.store.write::<Set, _>(args[1], |set| {
        let added = args[2..].iter().filter(|member| set.insert(member)).count();
        (added, added > 0)
    })?;
    context.answer.count(added);
    Ok(())
}

pub(crate) fn srem(context: &mut Context<'_>) -> Outcome {
    let args = context.args;
    let removed = context.store.edit::<Set, _>(args[1], |set| {
        let removed = args[2..].iter().filter(|member| set.remove(member)).count();
        (removed, removed > 0)
    })?;
    context.answer.count(removed.unwrap_or(0));
    Ok(())
}

pub(crate) fn scard(context: &mut Context<'_>) -> Outcome {
    let length = context.store.read::<Set>(context.args[1])?.map_or(0, Set::len);
    context.answer.count(length);
    Ok(())
}

pub(crate) fn sismember(context: &mut Context<'_>) -> Outcome {
    let there = context.store.read::<Set>(context.args[1])?.is_some_and(|set| set.contains(context.args[2]));
    context.answer.flag(there);
    Ok(())
}

pub(crate) fn smismember(context: &mut Context<'_>) -> Outcome {
    let set = context.store.read::<Set>(context.args[1])?;
    let members = &context.args[2..];
    context.answer.array(members.len());
    for member in members {
        context.answer.flag(set.is_some_and(|set| set.contains(member)));
    }
    Ok(())
}

pub(crate) fn smembers(context: &mut Context<'_>) -> Outcome {
    let set = context.store.read::<Set>(context.args[1])?;
    context.answer.set(set.map_or(0, Set::len));
    for (member, ()) in set.map(Set::members).into_iter().flat_map(Tree::iter) {
        context.answer.bulk(member.bytes());
    }
    Ok(())
}

pub(crate) fn smove(context: &mut Context<'_>) -> Outcome {
    let (from, to, member) = (context.args[1], context.args[2], context.args[3]);
    let there = match context.store.read::<Set>(from)? {
        None => {
            context.answer.flag(false);
            return Ok(());
        }
        Some(set) => set.contains(member),
    };
    context.store.read::<Set>(to)?;
    if there && from != to {
        context.store.edit::<Set, _>(from, |set| (set.remove(member), true))?;
        context.store.write::<Set, _>(to, |set| (set.insert(member), true))?;
    }
    context.answer.flag(there);
    Ok(())
}

pub(crate) fn spop(context: &mut Context<'_>) -> Outcome {
    let args = context.args;
    if args.len() > 3 {
        return Err(Failure::SYNTAX);
    }
    let count = if args.len() == 3 { Some(not_negative(context, 2)?) } else { None };
    let Some(set) = context.store.read::<Set>(args[1])? else {
        match count {
            Some(_) => context.answer.set(0),
            None => context.answer.null(),
        }
        return Ok(());
    };
    let wanted = count.unwrap_or(1).min(set.len());
    let chosen: Vec<Member> = random_ranks(context.random, wanted as i64, set.len())?
        .into_iter()
        .filter_map(|rank| set.members().nth(rank))
        .map(|(member, ())| member.clone())
        .collect();
    if !chosen.is_empty() {
        context.store.edit::<Set, _>(args[1], |set| {
            for member in &chosen {
                set.remove(member.bytes());
            }
            ((), true)
        })?;
    }
    match count {
        None => context.answer.bulk(chosen[0].bytes()),
        Some(_) => {
            context.answer.set(chosen.len());
            for member in chosen {
                context.answer.bulk(member.bytes());
            }
        }
    }
    Ok(())
}

pub(crate) fn srandmember(context: &mut Context<'_>) -> Outcome {
    let args = context.args;
    if args.len() > 3 {
        return Err(Failure::SYNTAX);
    }
    let count = if args.len() == 3 { Some(random_count(context)?) } else { None };
    let Some(set) = context.store.read::<Set>(args[1])? else {
        match count {
            Some(_) => context.answer.array(0),
            None => context.answer.null(),
        }
        return Ok(());
    };
    let ranks = random_ranks(context.random, count.unwrap_or(1), set.len())?;
    if count.is_some() {
        context.answer.array(ranks.len());
    }
    for rank in ranks {
        let (member, ()) = set.members().nth(rank).expect("it is below");
        context.answer.bulk(member.bytes());
    }
    Ok(())
}

/// So many different ranks below `length`, or all of them in order; if the
/// count is negative, that many which may repeat.
pub(super) fn random_ranks(random: &mut Random, count: i64, length: usize) -> Result<Vec<usize>, Failure> {
    let wanted = count.unsigned_abs();
    if count < 0 {
        if wanted > MAX_DRAWS {
            return Err(Failure::OUT_OF_RANGE);
        }
        return Ok((0..wanted).map(|_| random.below(length as u64) as usize).collect());
    }
    if wanted >= length as u64 {
        return Ok((0..length).collect());
    }
    // Floyd's way: every choice is equally likely, and nothing is drawn twice.
    let mut chosen = BTreeSet::new();
    for high in length - wanted as usize..length {
        let rank = random.below(high as u64 + 1) as usize;
        if !chosen.insert(rank) {
            chosen.insert(high);
        }
    }
    Ok(chosen.into_iter().collect())
}
