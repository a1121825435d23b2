//! A storm: members die, start again, leave, stand still and are parted, at
//! random; and in the calm after it all must see what is true, and go on seeing it.

use skein_machine::{ProcessId, Random};
use skein_sim::check::Violation;
use skein_sim::{MILLISECOND, Nanos, SECOND};

use super::{Fleet, Plan};

/// What parted finds together within a few calls of the dead, each of which may come to nothing.
const CALM: Nanos = 120 * SECOND;

/// Whoever still changes his mind later than this has not seen the truth, but passed by it.
const AFTERWARDS: Nanos = 60 * SECOND;

/// Lets a fleet go through a storm of this length. Answers how long it took in the calm after it until all saw what
/// was true, or what was wrong in the end.
pub(crate) fn storm(plan: Plan, span: Nanos) -> Result<Nanos, Vec<Violation>> {
    let mut random = Random::new(plan.seed ^ 0x5707);
    let members: Vec<ProcessId> = (0..plan.members).map(ProcessId).collect();
    let loss = plan.loss;
    let mut fleet = Fleet::new(plan);
    fleet.start_all();
    let end = fleet.world().now() + span;
    let mut sides: Vec<Vec<ProcessId>> = Vec::new();
    while fleet.world().now() < end {
        let whom = *random.pick(&members);
        match random.below(10) {
            0..=2 if fleet.world().is_up(whom) => fleet.kill(whom),
            0..=4 if !fleet.world().is_up(whom) => fleet.start(whom),
            5 if fleet.member(whom).is_some() => fleet.leave(whom),
            6 => fleet.world().pause(whom),
            7 => fleet.world().resume(whom),
            8 => {
                let side: Vec<_> = members.iter().copied().filter(|_| random.chance(0.5)).collect();
                fleet.part(&side, true);
                sides.push(side);
            }
            9 => sides.drain(..).for_each(|side| fleet.part(&side, false)),
            _ => {}
        }
        fleet.world().set_loss(if random.chance(0.2) { 0.3 } else { loss });
        fleet.run(random.between(MILLISECOND, 2 * SECOND));
    }
    fleet.world().calm_network();
    fleet.world().set_loss(loss);
    for whom in members {
        fleet.world().resume(whom);
        if fleet.member(whom).is_none() && fleet.world().is_up(whom) {
            fleet.kill(whom);
        }
        if !fleet.world().is_up(whom) {
            fleet.start(whom);
        }
    }
    let took = fleet.settle(CALM)?;
    fleet.run(AFTERWARDS);
    let violations = fleet.judge();
    if violations.is_empty() { Ok(took) } else { Err(violations) }
}
