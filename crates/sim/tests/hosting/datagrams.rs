//! What a world does with messages that travel alone: they are lost now and
//! then and where a way is cut, overtake each other, need no connection, and
//! leave alone what travels over links.

use skein_sim::{Datagrams, MILLISECOND, SECOND};

use crate::puppet::{DELAY, Do, Saw, Stage};
use crate::{P0, P1};

/// A word is eight bytes, and these are all.
const ALL: Datagrams = Datagrams { at_most: 8, loss: 0.0 };

fn stage(datagrams: Datagrams, seed: u64) -> Stage {
    let mut stage = Stage::new(2, seed);
    stage.world.let_datagrams(datagrams);
    stage
}

/// How many of a thousand words arrive.
fn arrived(stage: &mut Stage) -> usize {
    let before = stage.seen(1).len();
    for word in 0..1_000 {
        stage.ask(0, &[Do::Send(1, word)]);
    }
    stage.play(SECOND);
    stage.seen(1).len() - before
}

#[test]
fn a_few_are_lost_and_how_many_can_change() {
    let mut stage = stage(ALL.with_loss(0.05), 1);
    let some = arrived(&mut stage);
    assert!((920..980).contains(&some), "{some} of 1,000");
    stage.world.set_loss(0.0);
    assert_eq!(arrived(&mut stage), 1_000);
    stage.world.set_loss(1.0);
    assert_eq!(arrived(&mut stage), 0);
}

#[test]
fn what_is_larger_travels_over_the_link_and_is_not_lost() {
    let mut stage = stage(Datagrams { at_most: 7, loss: 1.0 }, 1);
    stage.world.set_cut(P0, P1, true);
    stage.ask(0, &[Do::Send(1, 1), Do::Send(1, 2)]);
    stage.play(SECOND);
    assert_eq!(stage.seen(1), []);
    stage.world.set_cut(P0, P1, false);
    stage.play(SECOND);
    assert_eq!(stage.seen(1), [Saw::Heard(0, 1), Saw::Heard(0, 2)]);
}

#[test]
fn one_overtakes_another() {
    let mut stage = stage(ALL, 1);
    stage.world.set_delay(P0, P1, 10 * MILLISECOND);
    stage.ask(0, &[Do::Send(1, 1)]);
    stage.world.set_delay(P0, P1, MILLISECOND);
    stage.ask(0, &[Do::Send(1, 2)]);
    stage.play(SECOND);
    assert_eq!(stage.seen(1), [Saw::Heard(0, 2), Saw::Heard(0, 1)]);
}

#[test]
fn a_cut_loses_what_is_sent_and_what_is_on_the_way() {
    let mut stage = stage(ALL, 1);
    stage.ask(0, &[Do::Send(1, 1)]);
    stage.world.set_cut_between(&[P0], &[P1], true);
    stage.ask(0, &[Do::Send(1, 2)]);
    stage.ask(1, &[Do::Send(0, 3)]);
    stage.play(SECOND);
    stage.world.set_cut_between(&[P0], &[P1], false);
    stage.ask(0, &[Do::Send(1, 4)]);
    stage.play(SECOND);
    assert_eq!((stage.seen(1), stage.seen(0)), (vec![Saw::Heard(0, 4)], vec![]));
}

/// A link that was used breaks with a death and stands again a while after the restart. Nobody waits for that here.
#[test]
fn nobody_needs_to_be_connected() {
    let mut stage = stage(ALL, 1);
    stage.ask(0, &[Do::Send(1, 1)]);
    stage.play(SECOND);
    stage.world.crash(P1);
    stage.ask(0, &[Do::Send(1, 2)]);
    stage.play(SECOND);
    stage.world.restart(P1);
    stage.ask(0, &[Do::Send(1, 3)]);
    stage.play(SECOND);
    let heard: Vec<Saw> = stage.seen(1).into_iter().filter(|saw| !matches!(saw, Saw::Start(..))).collect();
    assert_eq!(heard, [Saw::Heard(0, 1), Saw::Heard(0, 3)], "no reconnection either");
}

#[test]
fn who_stands_still_finds_as_many_as_a_buffer_holds() {
    let mut stage = stage(ALL, 1);
    stage.world.pause(P1);
    assert_eq!(arrived(&mut stage), 0);
    stage.world.resume(P1);
    stage.play(DELAY);
    assert_eq!(stage.seen(1).len(), 256);
}
