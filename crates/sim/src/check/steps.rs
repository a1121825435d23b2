//! Step bounds: in a world where every message takes the same time and nothing
//! else takes any, how many message delays pass from a multicast to its last
//! delivery, with and without conflicts.

use super::Violation;
use crate::history::Cast;
use crate::{History, Nanos};

const STEPS: &str = "step bound";

/// When a message is no conflict any more for those that are multicast later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Calm {
    /// As soon as it is delivered anywhere (thesis 4.1.2).
    DeliveredAnywhere,
    /// When it is delivered everywhere.
    DeliveredEverywhere,
    /// Never, whatever its destinations are: only what is alone is without conflicts.
    Alone,
}

/// What a protocol promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StepBound {
    /// How long every message takes.
    pub delay: Nanos,
    /// Steps when no conflicting message is under way.
    pub collision_free: u64,
    /// Steps whatever else is under way.
    pub worst: u64,
    /// When one is under way no more.
    pub calm: Calm,
}

pub(super) fn check(history: &History, bound: StepBound) -> Vec<Violation> {
    let finished = history.finished();
    let over = |cast: &Cast| match bound.calm {
        Calm::DeliveredAnywhere => first_delivery(history, cast),
        Calm::DeliveredEverywhere => finished.get(&cast.message.id).copied(),
        Calm::Alone => None,
    };
    // What is never delivered is under way for ever.
    let spans: Vec<(&Cast, Nanos)> =
        history.casts().values().map(|cast| (cast, over(cast).unwrap_or(Nanos::MAX))).collect();
    let mut found = Vec::new();
    for (cast, end) in &spans {
        let Some(last) = finished.get(&cast.message.id) else { continue };
        let steps = (last - cast.at).div_ceil(bound.delay);
        let collides = spans.iter().any(|(other, other_end)| {
            let shared = other.message.id.destinations.and(cast.message.id.destinations);
            let commute = history.conflicts().is_some_and(|those| !those.between(&other.message, &cast.message));
            let meets = !shared.is_empty() && !commute || bound.calm == Calm::Alone;
            other.message.id != cast.message.id && meets && other.at < *end && cast.at < *other_end
        });
        let allowed = if collides { bound.worst } else { bound.collision_free };
        if steps > allowed {
            let kind = if collides { "with conflicts" } else { "without conflicts" };
            let detail = format!("{} took {steps} steps {kind}, more than {allowed}", cast.message.id);
            found.push(Violation::new(STEPS, detail));
        }
    }
    found
}

fn first_delivery(history: &History, cast: &Cast) -> Option<Nanos> {
    let at = |process| history.deliveries(process).find(|entry| entry.id == cast.message.id).map(|entry| entry.at);
    history.replicas().filter_map(at).min()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MILLISECOND;
    use crate::pen::Pen;
    use skein_machine::ProcessId;

    fn bound(collision_free: u64, worst: u64) -> StepBound {
        StepBound { delay: MILLISECOND, collision_free, worst, calm: Calm::DeliveredAnywhere }
    }

    #[test]
    fn catches_one_step_too_many() {
        let mut pen = Pen::new(1, 3);
        pen.cast(1, 1, 1).deliver(0, 1, 1, 5).deliver(1, 1, 1, 5).deliver(2, 1, 1, 5);
        assert!(check(&pen.history, bound(3, 5)).is_empty());
        assert_eq!(check(&pen.history, bound(2, 5)).len(), 1);
    }

    #[test]
    fn a_conflict_earns_the_larger_bound() {
        let mut pen = Pen::new(1, 1);
        pen.cast(1, 1, 1).cast(2, 1, 1).deliver(0, 1, 1, 5).deliver(0, 2, 1, 6);
        assert!(check(&pen.history, bound(1, 2)).is_empty());
        assert_eq!(check(&pen.history, bound(1, 1)).len(), 2);
    }

    /// Only the messages that share a destination, and only while neither is delivered anywhere (thesis 4.1.2).
    #[test]
    fn what_is_no_conflict_earns_nothing() {
        let found = |pen: &Pen| check(&pen.history, bound(1, 9)).len();
        let mut pen = Pen::new(2, 1);
        pen.cast(1, 1, 0b01).cast(2, 1, 0b10).deliver(0, 1, 1, 5).deliver(1, 2, 1, 5);
        assert_eq!(found(&pen), 2, "they share no group");
        let mut pen = Pen::new(1, 2);
        pen.cast(1, 1, 1).deliver(0, 1, 1, 5).cast(2, 1, 1).deliver(1, 1, 1, 5);
        pen.deliver(0, 2, 1, 6).deliver(1, 2, 1, 6);
        assert_eq!(found(&pen), 2, "one was delivered somewhere before the other began");
        let mut pen = Pen::new(1, 1);
        pen.cast(1, 1, 1).deliver(0, 1, 1, 5);
        let message = pen.message(2, 1, 1);
        pen.history.multicast(2 * MILLISECOND, ProcessId(0), &message);
        pen.deliver(0, 2, 1, 6);
        assert_eq!(check(&pen.history, bound(0, 9)).len(), 2, "delivered at the moment when the other began");
    }

    #[test]
    fn how_long_a_message_is_a_conflict_is_part_of_the_promise() {
        let mut pen = Pen::new(2, 1);
        pen.cast(1, 1, 0b11).deliver(0, 1, 1, 5).cast(2, 1, 0b10).deliver(1, 1, 1, 5).deliver(1, 2, 1, 6);
        let found = |calm| check(&pen.history, StepBound { calm, ..bound(1, 9) }).len();
        assert_eq!(found(Calm::DeliveredAnywhere), 2, "the first was delivered somewhere when the second began");
        assert_eq!(found(Calm::DeliveredEverywhere), 0, "and not everywhere");
        let mut pen = Pen::new(2, 1);
        pen.cast(1, 1, 0b01).deliver(0, 1, 1, 5).cast(2, 1, 0b10).deliver(1, 2, 1, 5);
        let found = |calm| check(&pen.history, StepBound { calm, ..bound(0, 9) }).len();
        assert_eq!(found(Calm::DeliveredEverywhere), 2, "they share no group");
        assert_eq!(found(Calm::Alone), 0, "neither is alone");
        let mut pen = Pen::new(1, 1);
        pen.cast(1, 1, 1).deliver(0, 1, 1, 5);
        assert_eq!(check(&pen.history, StepBound { calm: Calm::Alone, ..bound(0, 9) }).len(), 1, "this one is");
    }

    #[test]
    fn a_conflict_may_be_with_a_message_that_is_never_delivered() {
        let mut pen = Pen::new(1, 1);
        pen.cast(1, 1, 1).cast(2, 1, 1).deliver(0, 1, 1, 5);
        assert!(check(&pen.history, bound(1, 2)).is_empty());
    }

    #[test]
    fn what_commutes_earns_nothing() {
        let found = |letters: [char; 2]| {
            let mut pen = Pen::commuting(1, 1);
            pen.say(1, 1, letters[0]).say(2, 1, letters[1]).deliver(0, 1, 1, 5).deliver(0, 2, 1, 6);
            check(&pen.history, bound(1, 2)).len()
        };
        assert_eq!((found(['a', 'e']), found(['a', 'b']), found(['a', 'a'])), (0, 2, 2));
    }
}
