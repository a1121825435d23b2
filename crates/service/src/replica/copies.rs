//! A replica can be copied, and known again by its hash: the search does both
//! at every step. Nobody else does, and nothing here is called by a replica.
//!
//! Each part is named, so that the compiler refuses a new one that is left out.

use core::hash::{Hash, Hasher};

use skein_machine::{Ordering, Out, Service};

use super::Replica;

impl<M: Ordering + Clone, S: Service + Clone> Clone for Replica<M, S> {
    /// A checkpoint that is being written is begun anew by the copy: the order does not ask for it twice.
    fn clone(&self) -> Replica<M, S> {
        let Replica {
            me,
            group,
            cluster,
            near,
            settings,
            planted,
            is_followed,
            is_early,
            order,
            inner: _, // empty between two steps
            service,
            position,
            told_position,
            applied,
            line,
            sessions,
            exchange,
            owes_holds,
            blocked,
            entry,
            is_hurried,
            hurry_is_armed,
            safe,
            settled,
            past,
            held,
            inquiries,
            reads,
            raised,
            wants_checkpoint,
            snapshot,
            latest,
            latest_applied,
            ahead,
            applied_bytes,
            tick_is_armed,
            is_catching_up,
        } = self;
        Replica {
            me: *me,
            group: *group,
            cluster: cluster.clone(),
            near: near.clone(),
            settings: *settings,
            planted: *planted,
            is_followed: *is_followed,
            is_early: *is_early,
            order: order.clone(),
            inner: Out::new(),
            service: service.clone(),
            position: *position,
            told_position: *told_position,
            applied: *applied,
            line: line.clone(),
            sessions: sessions.clone(),
            exchange: exchange.clone(),
            owes_holds: *owes_holds,
            blocked: *blocked,
            entry: entry.clone(),
            is_hurried: *is_hurried,
            hurry_is_armed: *hurry_is_armed,
            safe: *safe,
            settled: settled.clone(),
            past: *past,
            held: held.clone(),
            inquiries: inquiries.clone(),
            reads: reads.clone(),
            raised: *raised,
            wants_checkpoint: *wants_checkpoint || snapshot.is_some(),
            snapshot: None,
            latest: latest.clone(),
            latest_applied: *latest_applied,
            ahead: ahead.clone(),
            applied_bytes: *applied_bytes,
            tick_is_armed: *tick_is_armed,
            is_catching_up: *is_catching_up,
        }
    }
}

impl<M: Ordering + Hash, S: Service + Hash> Hash for Replica<M, S> {
    /// Of whose it is and how it was set up nothing changes, so none of that is part of it.
    fn hash<H: Hasher>(&self, state: &mut H) {
        let Replica {
            me: _,
            group: _,
            cluster: _,
            near: _,
            settings: _,
            planted: _,
            is_followed,
            is_early,
            order,
            inner: _,
            service,
            position,
            told_position,
            applied,
            line,
            sessions,
            exchange,
            owes_holds,
            blocked,
            entry,
            is_hurried,
            hurry_is_armed,
            safe,
            settled,
            past,
            held,
            inquiries,
            reads,
            raised,
            wants_checkpoint,
            snapshot,
            latest,
            latest_applied,
            ahead,
            applied_bytes,
            tick_is_armed,
            is_catching_up,
        } = self;
        order.hash(state);
        service.hash(state);
        (position, told_position, applied, line, sessions, exchange, owes_holds, blocked).hash(state);
        (entry, is_hurried, hurry_is_armed).hash(state);
        (safe, settled, past, held, inquiries, reads, raised).hash(state);
        (*wants_checkpoint || snapshot.is_some(), latest, latest_applied, ahead, applied_bytes).hash(state);
        (is_followed, is_early, tick_is_armed, is_catching_up).hash(state);
    }
}
