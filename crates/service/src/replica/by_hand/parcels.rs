//! By hand: commands that travel together, and those that go by a name.

use super::super::answers::TOO_LONG;
use super::*;

#[test]
fn answers_to_what_is_asked_at_once_have_a_bound() {
    let is_refused = |reply: &Reply| reply.0 == TOO_LONG.as_bytes();
    let mut stage = Stage::new();
    let queries = ["L", "L", "a", "L"].map(|query| Bytes::from_static(query.as_bytes())).to_vec();
    let effects = stage.asks(Ask::Read { token: 1, freshness: Freshness::Causal(Timestamp::ZERO), queries });
    let told = effects.iter().find_map(|effect| match effect {
        Effect::Emit(Told::Read { replies, .. }) | Effect::EmitEarly(Told::Read { replies, .. }) => Some(replies),
        _ => None,
    });
    assert_eq!(told.unwrap().iter().map(is_refused).collect::<Vec<_>>(), [false, false, true, true]);

    stage.delivers(3, &[OWN], &[b"L", b"a", b"L", b"b", b"c"]);
    assert_eq!(stage.replica.service().0, b"LaL", "what is refused is not done");
    stage.delivers(4, &[OWN], &[b"d"]);
    assert_eq!(stage.replica.service().0, b"LaLd", "the next parcel has room of its own");
    // Here others do their part of the last one, whatever this partition thinks of its answers.
    stage.delivers(5, &[OWN, OTHER], &[b"L", b"L", b"e"]);
    assert_eq!(stage.replica.service().0, b"LaLdLLe");
}

/// Commands that go by a name concern two partitions, neither of which needs anything of the other.
#[test]
fn what_has_a_name_is_done_by_all_or_by_none() {
    let groups = [OWN, OTHER];
    let named = |stage: &mut Stage, timestamp, groups: &[GroupId], number, command: &'static [u8]| {
        let command = Command { name: Some((77, number)), command: Bytes::from_static(command) };
        stage.delivers_all(timestamp, groups, vec![command])
    };
    // Here a later one was done; there nobody knows, and hears it.
    let mut stage = Stage::new();
    named(&mut stage, 5, &[OWN], 9, b"a");
    let effects = named(&mut stage, 7, &groups, 3, b"b");
    let tells =
        |effect: &Effect<_>| matches!(effect, Effect::Send(_, Message::Share(_, OWN, share)) if share.was_applied);
    assert!(effects.iter().any(tells), "{effects:?}");
    stage.share(7, &groups, 0, Vec::new());
    assert_eq!(
        (stage.replica.service().0.as_slice(), stage.replica.applied),
        (b"a".as_slice(), Some(stamp(7, &groups)))
    );

    // Nobody knows here. It waits for what is said there, and does it if it was not done there either.
    for was_applied in [false, true] {
        let mut stage = Stage::new();
        named(&mut stage, 7, &groups, 3, b"b");
        assert_eq!(stage.replica.applied, None, "nobody there has spoken");
        let turn = Turn { stamp: stamp(7, &groups), nth: 0 };
        stage.hears(THERE, Message::Share(turn, OTHER, Share { was_applied, bytes: Bytes::new() }));
        assert_eq!(stage.replica.service().0.is_empty(), was_applied);
        assert_eq!(stage.replica.applied, Some(stamp(7, &groups)));
    }

    // Without a name there is nothing to wait for.
    let mut stage = Stage::new();
    stage.delivers(7, &groups, &[b"b"]);
    assert_eq!(stage.replica.service().0, b"b");
}
