//! When keys end: setting it, asking for it, taking it back.

use crate::kv::execute::Context;
use crate::kv::failure::Failure;
use crate::kv::store::NEVER;

type Outcome = Result<(), Failure>;

pub(crate) fn expire(context: &mut Context<'_>) -> Outcome {
    set_deadline(context, 1000, true)
}

pub(crate) fn pexpire(context: &mut Context<'_>) -> Outcome {
    set_deadline(context, 1, true)
}

pub(crate) fn expireat(context: &mut Context<'_>) -> Outcome {
    set_deadline(context, 1000, false)
}

pub(crate) fn pexpireat(context: &mut Context<'_>) -> Outcome {
    set_deadline(context, 1, false)
}

/// Under which condition a deadline is set.
#[derive(Default)]
struct Condition {
    none: bool,
    some: bool,
    later: bool,
    earlier: bool,
}

impl Condition {
    fn parse(context: &Context<'_>) -> Result<Condition, Failure> {
        let mut condition = Condition::default();
        for place in 3..context.args.len() {
            let flag = if context.is(place, "NX") {
                &mut condition.none
            } else if context.is(place, "XX") {
                &mut condition.some
            } else if context.is(place, "GT") {
                &mut condition.later
            } else if context.is(place, "LT") {
                &mut condition.earlier
            } else {
                return Err(Failure::with(&[b"ERR Unsupported option ", context.args[place]]));
            };
            *flag = true;
        }
        if condition.none && (condition.some || condition.later || condition.earlier) {
            return Err(Failure::of("ERR NX and XX, GT or LT options at the same time are not compatible"));
        }
        if condition.later && condition.earlier {
            return Err(Failure::of("ERR GT and LT options at the same time are not compatible"));
        }
        Ok(condition)
    }

    fn holds(&self, current_ms: u64, moment_ms: i64) -> bool {
        let current = (current_ms != NEVER).then_some(current_ms as i64);
        !(self.none && current.is_some()
            || self.some && current.is_none()
            || self.later && current.is_none_or(|current| moment_ms <= current)
            || self.earlier && current.is_some_and(|current| moment_ms >= current))
    }
}

fn set_deadline(context: &mut Context<'_>, unit_ms: i64, from_now: bool) -> Outcome {
    let key = context.args[1];
    let condition = Condition::parse(context)?;
    let amount = context.integer(2)?;
    let now_ms = context.store.now_ms() as i64;
    let base_ms = if from_now { now_ms } else { 0 };
    let moment_ms = amount
        .checked_mul(unit_ms)
        .and_then(|moment| moment.checked_add(base_ms))
        .ok_or_else(|| Failure::expire_time(context.name))?;
    let Some(entry) = context.store.entry(key) else {
        context.answer.flag(false);
        return Ok(());
    };
    let holds = condition.holds(entry.deadline_ms, moment_ms);
    if holds && moment_ms <= now_ms {
        context.store.remove(key);
    } else if holds {
        context.store.set_deadline(key, moment_ms as u64);
    }
    context.answer.flag(holds);
    Ok(())
}

pub(crate) fn ttl(context: &mut Context<'_>) -> Outcome {
    tell(context, 1000, true)
}

pub(crate) fn pttl(context: &mut Context<'_>) -> Outcome {
    tell(context, 1, true)
}

pub(crate) fn expiretime(context: &mut Context<'_>) -> Outcome {
    tell(context, 1000, false)
}

pub(crate) fn pexpiretime(context: &mut Context<'_>) -> Outcome {
    tell(context, 1, false)
}

fn tell(context: &mut Context<'_>, unit_ms: u64, from_now: bool) -> Outcome {
    let now_ms = if from_now { context.store.now_ms() } else { 0 };
    context.answer.integer(match context.store.entry(context.args[1]) {
        None => -2,
        Some(entry) if entry.deadline_ms == NEVER => -1,
        Some(entry) => ((entry.deadline_ms - now_ms + unit_ms / 2) / unit_ms) as i64,
    });
    Ok(())
}

pub(crate) fn persist(context: &mut Context<'_>) -> Outcome {
    let key = context.args[1];
    let had = context.store.entry(key).is_some_and(|entry| entry.deadline_ms != NEVER);
    if had {
        context.store.set_deadline(key, NEVER);
    }
    context.answer.flag(had);
    Ok(())
}
