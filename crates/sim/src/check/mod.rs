//! The judges. Each reads a whole [`History`] and answers what it breaks; none
//! knows a protocol. A judge is worth something only because it has failed: the
//! tests beside each show it a history that breaks its property, and a planted
//! bug in a real protocol does the same (`skein sim mutants`).

mod agreement;
mod converge;
mod cycle;
mod done;
mod expiry;
mod genuine;
mod integrity;
pub mod linear;
mod order;
mod read_point;
mod realtime;
mod safe_time;
mod session;
mod steps;

pub use converge::converge;
pub(crate) use read_point::{READ_POINT, ReadPoint};
pub use realtime::RealTime;
pub(crate) use safe_time::SAFE_TIME;
pub use steps::{Calm, StepBound};

use std::fmt;

use skein_machine::Conflicts;

use crate::{History, Nanos};

/// A property that does not hold, with the evidence in a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The property's name.
    pub property: &'static str,
    /// What was seen.
    pub detail: String,
}

/// What a run claims, beyond the properties that every multicast has.
#[derive(Clone, Copy, Debug)]
pub struct Claims {
    /// Only messages that conflict have one order; `None`: all have.
    pub conflicts: Option<Conflicts>,
    /// Only senders and destinations talk, and stop this long after a message is delivered everywhere.
    pub genuine: Option<Nanos>,
    /// Which real-time order holds.
    pub real_time: Option<RealTime>,
    /// Nothing takes more steps than this.
    pub steps: Option<StepBound>,
    /// Everything that can be delivered must have been: the run has ended in calm.
    pub is_over: bool,
}

impl Claims {
    /// The classic properties, of a run that has ended.
    pub const CLASSIC: Claims = Claims { conflicts: None, genuine: None, real_time: None, steps: None, is_over: true };
}

/// Everything that is wrong with a history. At most a few findings a property:
/// one broken rule tends to break a thousand messages.
pub fn judge(history: &History, claims: &Claims) -> Vec<Violation> {
    let is_partial = claims.conflicts.is_some();
    assert!(history.conflicts().is_some() == is_partial, "a history is judged by the relation it was written with");
    assert!(!is_partial || claims.real_time.is_none(), "a real-time order is an order of all messages");
    let mut found = history.oddities().to_vec();
    found.extend(integrity::check(history));
    found.extend(order::prefix(history));
    found.extend(order::global(history));
    found.extend(session::check(history));
    found.extend(expiry::check(history));
    found.extend(safe_time::check(history));
    found.extend(read_point::check(history));
    found.extend(done::check(history));
    if let Some(grace) = claims.genuine {
        found.extend(genuine::check(history, grace));
    }
    if let Some(kind) = claims.real_time {
        found.extend(realtime::check(history, kind, claims.is_over));
    }
    if let Some(bound) = claims.steps {
        found.extend(steps::check(history, bound));
    }
    if claims.is_over {
        found.extend(agreement::check(history));
    }
    limit(found)
}

/// The property whose breach means that a run got stuck rather than that it went wrong.
pub const LIVENESS: &str = "liveness";

fn limit(found: Vec<Violation>) -> Vec<Violation> {
    const SHOWN: usize = 3;
    let mut kept: Vec<Violation> = Vec::new();
    for violation in found {
        if kept.iter().filter(|other| other.property == violation.property).count() < SHOWN {
            kept.push(violation);
        }
    }
    kept
}

impl Violation {
    pub(crate) fn new(property: &'static str, detail: String) -> Violation {
        Violation { property, detail }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.property, self.detail)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pen::Pen;

    #[test]
    fn a_good_history_passes_every_judge() {
        let mut pen = Pen::new(2, 2);
        pen.cast(1, 1, 0b11);
        for process in 0..4 {
            pen.deliver(process, 1, 1, 7);
        }
        let step = crate::MILLISECOND;
        let claims = Claims {
            conflicts: None,
            genuine: Some(0),
            real_time: Some(RealTime::Deliveries),
            steps: Some(StepBound { delay: step, collision_free: 4, worst: 4, calm: Calm::DeliveredAnywhere }),
            is_over: true,
        };
        assert_eq!(judge(&pen.history, &claims), []);
    }

    /// What each judge is there to see, as the one who asks them all hears of it.
    #[test]
    fn every_judge_is_asked() {
        let found = |pen: &Pen| -> Vec<&str> {
            let bound =
                StepBound { delay: crate::MILLISECOND, collision_free: 1, worst: 2, calm: Calm::DeliveredAnywhere };
            let real_time = Some(RealTime::Completions);
            let claims = Claims { genuine: Some(0), real_time, steps: Some(bound), ..Claims::CLASSIC };
            judge(&pen.history, &claims).iter().map(|violation| violation.property).collect()
        };
        let mut pen = Pen::new(1, 1);
        assert_eq!(found(pen.deliver(0, 1, 1, 5)), ["integrity"], "written down while it happened");
        let mut pen = Pen::new(2, 1);
        assert_eq!(found(pen.cast(1, 1, 0b01).deliver(1, 1, 1, 5)), ["integrity", "agreement"]);
        let mut pen = Pen::new(1, 1);
        pen.cast(1, 1, 1).cast(1, 2, 1).deliver(0, 1, 2, 5).deliver(0, 1, 1, 6);
        assert_eq!(found(&pen), ["sender order", "step bound"]);
        let mut pen = Pen::new(1, 1);
        assert_eq!(found(pen.cast_until(1, 1, 5).expire(0, 1, 1).deliver(0, 1, 1, 5)), ["expiry"]);
        let mut pen = Pen::new(1, 1);
        assert_eq!(found(pen.cast(1, 1, 1).done(0, 1, 1, 5).deliver(0, 1, 1, 5)), ["word of a delivery"]);
        let mut pen = Pen::new(1, 1);
        assert_eq!(found(pen.cast(1, 1, 1).safe(0, 5).deliver(0, 1, 1, 5)), ["safe time"]);
        let mut pen = Pen::new(1, 1);
        assert_eq!(found(pen.cast(1, 1, 1).deliver(0, 1, 1, 5).ask(0, 1).read(0, 1, 4)), ["read point"]);
        let mut pen = Pen::new(1, 2);
        pen.cast(1, 1, 1).cast(2, 1, 1).deliver(0, 1, 1, 5).deliver(1, 2, 1, 6);
        assert_eq!(found(&pen), ["prefix order", "agreement", "agreement"]);
        let mut pen = Pen::new(2, 1);
        assert_eq!(found(pen.send(0, 1).cast(1, 1, 1)), ["genuineness", "liveness"]);
        let mut pen = Pen::new(1, 2);
        pen.cast(1, 1, 1).deliver(0, 1, 1, 5).cast(2, 1, 1).deliver(1, 2, 1, 4);
        assert!(found(&pen).contains(&"prefix order"));
        pen.deliver(1, 1, 1, 5).deliver(0, 2, 1, 6);
        for property in ["timestamps", "prefix order", "global order", "real-time order"] {
            assert!(found(&pen).contains(&property), "{property}");
        }
    }

    /// With a relation each is still asked, but for those that order what commutes.
    #[test]
    fn a_relation_silences_no_judge() {
        let found = |pen: &Pen| -> Vec<&str> {
            let bound =
                StepBound { delay: crate::MILLISECOND, collision_free: 1, worst: 2, calm: Calm::DeliveredAnywhere };
            let conflicts = Some(crate::SOME_COMMUTE);
            let claims = Claims { conflicts, genuine: Some(0), steps: Some(bound), ..Claims::CLASSIC };
            judge(&pen.history, &claims).iter().map(|violation| violation.property).collect()
        };
        let mut pen = Pen::commuting(1, 2);
        pen.say(1, 1, 'a').deliver(0, 1, 1, 5).deliver(1, 1, 1, 5).say(2, 1, 'b').deliver(0, 2, 1, 4);
        assert_eq!(found(pen.deliver(1, 2, 1, 4)), ["step bound", "step bound"], "that is two delays");
        let mut pen = Pen::commuting(1, 1);
        assert_eq!(found(pen.deliver(0, 1, 1, 5)), ["integrity"]);
        let mut pen = Pen::commuting(1, 1);
        pen.say(1, 1, 'a').say(2, 1, 'e').deliver(0, 2, 1, 6);
        assert_eq!(found(pen.deliver(0, 1, 1, 5)), ["prefix order", "step bound"]);
        let mut pen = Pen::commuting(2, 1);
        pen.say(1, 0b11, 'e').say(2, 0b11, 'e').deliver(0, 1, 1, 5).deliver(0, 2, 1, 6);
        assert!(found(pen.deliver(1, 2, 1, 4).deliver(1, 1, 1, 5)).contains(&"global order"));
        let mut pen = Pen::commuting(2, 1);
        assert_eq!(found(pen.say(1, 0b01, 'a').deliver(1, 1, 1, 5)), ["integrity", "agreement"]);
        let mut pen = Pen::commuting(1, 1);
        pen.cast_until(1, 1, 5).expire(0, 1, 1);
        assert_eq!(found(pen.deliver(0, 1, 1, 5)), ["expiry"]);
        let mut pen = Pen::commuting(1, 1);
        assert_eq!(found(pen.say(1, 1, 'a').safe(0, 5).deliver(0, 1, 1, 5)), ["safe time"]);
        let mut pen = Pen::commuting(1, 1);
        assert_eq!(found(pen.say(1, 1, 'a').deliver(0, 1, 1, 5).ask(0, 1).read(0, 1, 4)), ["read point"]);
        let mut pen = Pen::commuting(2, 1);
        assert_eq!(found(pen.send(0, 1).say(1, 1, 'a')), ["genuineness", "liveness"]);
    }

    #[test]
    #[should_panic(expected = "by the relation it was written with")]
    fn a_history_is_not_judged_by_another_relation() {
        judge(&Pen::commuting(1, 1).history, &Claims::CLASSIC);
    }

    #[test]
    fn a_thousand_findings_are_cut_to_a_few() {
        let many = (0..1000).map(|_| Violation::new("prefix order", String::new())).collect();
        assert_eq!(limit(many).len(), 3);
    }
}
