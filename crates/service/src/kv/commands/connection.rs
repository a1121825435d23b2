//! The few commands about a connection that may stand in a transaction, where
//! the face of the client cannot answer them by itself.

use crate::kv::execute::Context;
use crate::kv::failure::Failure;

type Outcome = Result<(), Failure>;

pub(crate) fn ping(context: &mut Context<'_>) -> Outcome {
    match context.args {
        [_] => context.answer.simple("PONG"),
        [_, message] => context.answer.bulk(message),
        _ => return Err(Failure::arity(context.name)),
    }
    Ok(())
}

pub(crate) fn echo(context: &mut Context<'_>) -> Outcome {
    context.answer.bulk(context.args[1]);
    Ok(())
}

pub(crate) fn select(context: &mut Context<'_>) -> Outcome {
    if context.integer(1)? != 0 {
        return Err(Failure::of("ERR DB index is out of range"));
    }
    context.answer.ok();
    Ok(())
}

/// The ordered time of the command: as precise as it is, and never before what it follows.
pub(crate) fn time(context: &mut Context<'_>) -> Outcome {
    let now_ms = context.store.now_ms();
    context.answer.array(2);
    for part in [now_ms / 1000, now_ms % 1000 * 1000] {
        let mut text = alloc::vec::Vec::new();
        crate::kv::number::write_unsigned(&mut text, part);
        context.answer.bulk(&text);
    }
    Ok(())
}
