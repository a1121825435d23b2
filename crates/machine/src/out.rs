//! What a machine wants done: one ordered list of effects, filled by a step
//! and emptied by the host.
//!
//! The order carries meaning. What is sent or emitted waits until every record
//! persisted before it is durable; only [`Out::send_early`] and
//! [`Out::emit_early`] do not wait. So a message to oneself is how a machine
//! learns that something is durable. Timers are armed at once. Nothing here
//! performs anything.

use core::fmt;
use core::time::Duration;

use alloc::boxed::Box;
use alloc::vec::{Drain, Vec};

use crate::{Chronicle, Machine, ProcessId, Recipients};

/// One thing for the host to do.
pub enum Effect<M: Machine> {
    /// Append a record to the log.
    Persist(M::Record),
    /// Append a record that replaces all earlier ones once it is durable.
    Checkpoint(M::Record),
    /// Replace all records so far by this one, which says nothing that they do
    /// not say together. It takes its time and nothing waits for it: until it
    /// is durable, and if that never happens, the earlier ones count.
    Compact(M::Record),
    /// Send a message once everything persisted before it is durable.
    Send(Recipients, M::Message),
    /// Send a message now: it promises nothing that could be lost.
    SendEarly(Recipients, M::Message),
    /// Fire a timer after this long, in place of an equal one.
    Arm(M::Timer, Duration),
    /// Take an equal timer back.
    Disarm(M::Timer),
    /// Tell whoever uses the machine, once everything persisted before is durable.
    Emit(M::Event),
    /// Tell whoever uses the machine as soon as it has heard all that was emitted before: it is true whatever becomes
    /// of this machine and its records.
    EmitEarly(M::Event),
}

impl<M: Machine> Effect<M> {
    /// Whether it is for whoever uses the machine: he hears everything in the order in which it was emitted.
    pub fn tells(&self) -> bool {
        matches!(self, Effect::Emit(_) | Effect::EmitEarly(_))
    }
}

/// The effects of a step, in order.
pub struct Out<M: Machine> {
    effects: Vec<Effect<M>>,
    /// What is noted for those who want to see inside, where somebody does.
    chronicle: Option<Box<Chronicle>>,
}

impl<M: Machine> Out<M> {
    /// Nothing to do yet.
    pub fn new() -> Out<M> {
        Out { effects: Vec::new(), chronicle: None }
    }

    /// The same, with somebody who takes notes.
    #[must_use]
    pub fn with_chronicle(self, chronicle: Chronicle) -> Out<M> {
        Out { chronicle: Some(Box::new(chronicle)), ..self }
    }

    /// Where a machine notes how messages get on. Nothing that it does may depend on it.
    pub fn chronicle(&mut self) -> Option<&mut Chronicle> {
        self.chronicle.as_deref_mut()
    }

    /// Lends whoever takes notes to a machine inside this one, or takes him back.
    pub fn swap_chronicle<N: Machine>(&mut self, other: &mut Out<N>) {
        core::mem::swap(&mut self.chronicle, &mut other.chronicle);
    }

    /// See [`Effect::Persist`].
    pub fn persist(&mut self, record: M::Record) {
        self.effects.push(Effect::Persist(record));
    }

    /// See [`Effect::Checkpoint`].
    pub fn checkpoint(&mut self, record: M::Record) {
        self.effects.push(Effect::Checkpoint(record));
    }

    /// See [`Effect::Compact`].
    pub fn compact(&mut self, record: M::Record) {
        self.effects.push(Effect::Compact(record));
    }

    /// See [`Effect::Send`]. Sending to oneself is allowed and takes no network.
    pub fn send(&mut self, to: ProcessId, message: M::Message) {
        self.effects.push(Effect::Send(to.into(), message));
    }

    /// See [`Effect::SendEarly`].
    pub fn send_early(&mut self, to: ProcessId, message: M::Message) {
        self.effects.push(Effect::SendEarly(to.into(), message));
    }

    /// Sends the same message to each of these processes.
    pub fn send_all(&mut self, to: impl IntoIterator<Item = ProcessId>, message: M::Message)
    where
        M::Message: Clone,
    {
        self.push_for_all(to, message, Effect::Send);
    }

    /// The same early.
    pub fn send_early_to_all(&mut self, to: impl IntoIterator<Item = ProcessId>, message: M::Message)
    where
        M::Message: Clone,
    {
        self.push_for_all(to, message, Effect::SendEarly);
    }

    /// One effect for as many as one can have.
    fn push_for_all(
        &mut self,
        to: impl IntoIterator<Item = ProcessId>,
        message: M::Message,
        send: fn(Recipients, M::Message) -> Effect<M>,
    ) where
        M::Message: Clone,
    {
        let mut left = to.into_iter().peekable();
        while left.peek().is_some() {
            let recipients = Recipients::take(&mut left);
            if left.peek().is_none() {
                self.effects.push(send(recipients, message));
                return;
            }
            self.effects.push(send(recipients, message.clone()));
        }
    }

    /// See [`Effect::Arm`].
    pub fn arm(&mut self, timer: M::Timer, after: Duration) {
        self.effects.push(Effect::Arm(timer, after));
    }

    /// See [`Effect::Disarm`].
    pub fn disarm(&mut self, timer: M::Timer) {
        self.effects.push(Effect::Disarm(timer));
    }

    /// See [`Effect::Emit`].
    pub fn emit(&mut self, event: M::Event) {
        self.effects.push(Effect::Emit(event));
    }

    /// See [`Effect::EmitEarly`].
    pub fn emit_early(&mut self, event: M::Event) {
        self.effects.push(Effect::EmitEarly(event));
    }

    /// The one or the other, as whoever it comes from would.
    pub fn emit_as(&mut self, is_early: bool, event: M::Event) {
        self.effects.push(if is_early { Effect::EmitEarly(event) } else { Effect::Emit(event) });
    }

    /// Adds an effect that was taken from elsewhere.
    pub fn push(&mut self, effect: Effect<M>) {
        self.effects.push(effect);
    }

    /// Takes all effects out, in order.
    pub fn drain(&mut self) -> Drain<'_, Effect<M>> {
        self.effects.drain(..)
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.effects.is_empty()
    }
}

impl<M: Machine> Default for Out<M> {
    fn default() -> Out<M> {
        Out::new()
    }
}

impl<M: Machine> fmt::Debug for Effect<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Effect::Persist(record) => write!(f, "persist {record:?}"),
            Effect::Checkpoint(record) => write!(f, "checkpoint {record:?}"),
            Effect::Compact(record) => write!(f, "compact to {record:?}"),
            Effect::Send(to, message) => write_each(f, to, |f, process| write!(f, "send {process} {message:?}")),
            Effect::SendEarly(to, message) => {
                write_each(f, to, |f, process| write!(f, "send early {process} {message:?}"))
            }
            Effect::Arm(timer, after) => write!(f, "arm {timer:?} in {after:?}"),
            Effect::Disarm(timer) => write!(f, "disarm {timer:?}"),
            Effect::Emit(event) => write!(f, "emit {event:?}"),
            Effect::EmitEarly(event) => write!(f, "emit early {event:?}"),
        }
    }
}

/// For a reader, what is said to several is said to each.
fn write_each(
    f: &mut fmt::Formatter<'_>,
    to: &Recipients,
    write: impl Fn(&mut fmt::Formatter<'_>, ProcessId) -> fmt::Result,
) -> fmt::Result {
    for (nth, process) in to.iter().enumerate() {
        f.write_str(if nth == 0 { "" } else { ", " })?;
        write(f, process)?;
    }
    Ok(())
}

impl<M: Machine> fmt::Debug for Out<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.effects).finish()
    }
}
