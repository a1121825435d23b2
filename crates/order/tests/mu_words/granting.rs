//! What is made known of a grant, and a place that is used again.

use loom::sync::Arc;
use loom::thread::spawn;
use skein_order::mu::memory::{Grant, Piece};

use crate::modelled::{Lacking, explore, fails, holds};
use crate::stage::{FIRST, SECOND, granted, memory, read, slot};

/// A leader writes, its grant ends, and the next leader, who has looked, reads its copy.
fn successor(owner: Lacking, next: Lacking) -> Result<usize, String> {
    explore(move || {
        let words = granted(&[(0, 3)]);
        let theirs = Arc::clone(&words);
        let deposed = spawn(move || {
            let view = theirs.view();
            let log = memory(&view);
            log.write(0, &slot(0, 5));
            log.fence();
            log.stood(0, 1)
        });
        let theirs = Arc::clone(&words);
        let next = spawn(move || {
            let view = theirs.without(next);
            let log = memory(&view);
            let home = log.look(1);
            if home.grant.generation < 2 {
                assert!(home.served < SECOND.request, "it was answered, and sees no grant");
                return None;
            }
            assert_eq!(home.grant, SECOND, "half of what is known of it");
            Some(read(&log, &SECOND, 0))
        });
        let view = words.without(owner);
        let owner = memory(&view);
        owner.revoke(0);
        owner.copy(Some(0), &SECOND);
        owner.publish(&SECOND);
        let stood = deposed.join().unwrap();
        if let Some(found) = next.join().unwrap() {
            let found = found.expect("one of the two is in the copy");
            assert!(found == slot(0, 3) || found == slot(0, 5), "half of a value: {found:?}");
            assert!(!stood || found.proposal == 5, "it stood, and the next leader does not see it");
        }
    })
}

#[test]
fn the_next_leader_sees_what_stood_before() {
    holds(successor(Lacking::Nothing, Lacking::Nothing));
}

#[test]
fn a_grant_is_made_known_behind_its_copy_and_before_its_answer() {
    // The owner's copy has three fences. Then the one before the grant is made known, and the one before the answer.
    fails(successor(Lacking::Release(3), Lacking::Nothing), "one of the two is in the copy");
    fails(successor(Lacking::Release(4), Lacking::Nothing), "it was answered, and sees no grant");
    // The next leader's one behind the word that names the grant.
    fails(successor(Lacking::Nothing, Lacking::Acquire(2)), "half of what is known of it");
}

/// A deposed leader writes late, into the place that it was granted first, and then asks again. The owner uses the
/// place again, once it may.
fn reuse(waits: bool, deposed: Lacking) -> Result<usize, String> {
    explore(move || {
        let words = granted(&[(0, 3)]);
        {
            let view = words.view();
            let owner = memory(&view);
            owner.revoke(0);
            owner.copy(Some(0), &SECOND);
            owner.publish(&SECOND);
            owner.write(1, &slot(0, 5));
        }
        let theirs = Arc::clone(&words);
        let deposed = spawn(move || {
            let view = theirs.without(deposed);
            let log = memory(&view);
            // Nobody waits for what came of it, so no fence comes with it.
            log.write(0, &slot(0, 4));
            log.ask(0, 2);
        });
        let view = words.view();
        let owner = memory(&view);
        let asked = owner.asked();
        if asked.requests[0] == 2 || !waits {
            let third = Grant { generation: 3, place: 0, to: 0, request: 2 };
            owner.revoke(1);
            owner.copy(Some(1), &third);
            owner.publish(&third);
            deposed.join().unwrap();
            assert_eq!(read(&owner, &third, 0), Ok(slot(0, 5)), "a late write is in the copy");
        } else {
            deposed.join().unwrap();
            assert_eq!(read(&owner, &SECOND, 0), Ok(slot(0, 5)), "a late write is in the copy");
        }
    })
}

#[test]
fn a_place_is_used_again_when_nobody_writes_there_any_more() {
    holds(reuse(true, Lacking::Nothing));
    fails(reuse(false, Lacking::Nothing), "a late write is in the copy");
    // The fence behind the late write, before it asks again.
    fails(reuse(true, Lacking::Release(3)), "a late write is in the copy");
}

/// A follower reads a slot and says that it has applied it; the leader uses the slot again as soon as it has heard.
fn applied(waits: bool) -> Result<usize, String> {
    explore(move || {
        let words = granted(&[(0, 3)]);
        let theirs = Arc::clone(&words);
        let follower = spawn(move || {
            let view = theirs.view();
            let log = memory(&view);
            assert_eq!(read(&log, &FIRST, 0), Ok(slot(0, 3)), "it was used again too early");
            log.apply(1);
        });
        let view = words.view();
        let leader = memory(&view);
        if leader.look(0).applied == 1 || !waits {
            leader.write(0, &slot(1, 3));
        }
        follower.join().unwrap();
    })
}

#[test]
fn a_slot_is_used_again_when_it_was_applied() {
    holds(applied(true));
    fails(applied(false), "it was used again too early");
}

/// A replica tells another one piece of its state after the other.
fn piece(teller: Lacking, reader: Lacking) -> Result<usize, String> {
    explore(move || {
        let words = granted(&[]);
        let theirs = Arc::clone(&words);
        let pieces = |want: u64| Piece { want, is_last: want == 2, bytes: slot(want, want as u32).value };
        let teller = spawn(move || {
            let view = theirs.without(teller);
            let log = memory(&view);
            log.tell(1, &pieces(1));
            log.tell(1, &pieces(2));
        });
        let view = words.without(reader);
        let told = memory(&view).piece(1);
        assert!(told.want == 0 || told == pieces(told.want), "half of a piece: {told:?}");
        teller.join().unwrap();
    })
}

#[test]
fn a_piece_is_told_as_a_whole() {
    holds(piece(Lacking::Nothing, Lacking::Nothing));
    // Of the second piece: behind the word without a name, and before the one with it; and of the first, too.
    for nth in [1, 2, 3] {
        fails(piece(Lacking::Release(nth), Lacking::Nothing), "half of a piece");
    }
    for nth in [0, 1] {
        fails(piece(Lacking::Nothing, Lacking::Acquire(nth)), "half of a piece");
    }
}
