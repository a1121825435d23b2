//! A replica of the group g0, `p1`, notes what it sees; p0 leads g0, p3 leads g1.

use alloc::vec;

use super::*;
use crate::chronicle::story::{Wait, Want};

fn chronicle() -> Chronicle {
    Chronicle::new(ProcessId(1), Arc::new(Cluster::regular(2, 3, 0).unwrap()))
}

fn group(number: usize) -> GroupId {
    GroupId::new(number).unwrap()
}

fn at(chronicle: &mut Chronicle, millis: u64) {
    chronicle.set_now(moment(millis));
}

fn moment(millis: u64) -> Time {
    Time::ZERO.after(Duration::from_millis(1_000_000 + millis))
}

fn place(group_number: usize, index: u64, timestamp: u64) -> Place {
    Place { group: group(group_number), round: 0, index, timestamp: Timestamp(timestamp) }
}

fn deliver(chronicle: &mut Chronicle, id: MessageId, timestamp: u64, own: Place, others: &[Place]) {
    let stamp = Stamp { timestamp: Timestamp(timestamp), id };
    chronicle.delivered(stamp, None, own, others.iter().copied());
}

/// One message to g0, delivered in a turn of its own, this long after it was proposed.
fn deliver_alone(chronicle: &mut Chronicle, number: u64, from: u64, millis: u64) {
    at(chronicle, from);
    chronicle.proposed(group(0), ProcessId(0), 0, number, Timestamp(number));
    at(chronicle, from + millis);
    deliver(chronicle, MessageId::new(1, number, 0b1), number, place(0, number, number), &[]);
    chronicle.end_turn();
}

const FIRST: MessageId = MessageId::new(7, 1, 0b11);
const SECOND: MessageId = MessageId::new(8, 1, 0b1);

/// The first message waits ten milliseconds for g1, and the second one for the first.
fn convoy() -> Chronicle {
    let mut chronicle = chronicle();
    at(&mut chronicle, 10);
    chronicle.asks(FIRST);
    chronicle.proposed(group(0), ProcessId(0), 0, 1, Timestamp(5));
    at(&mut chronicle, 12);
    chronicle.proposed(group(0), ProcessId(0), 0, 2, Timestamp(6));
    at(&mut chronicle, 13);
    [0, 1].into_iter().for_each(|process| chronicle.holds(ProcessId(process), 0, 2, Timestamp(6)));
    at(&mut chronicle, 20);
    chronicle.proposed(group(1), ProcessId(3), 0, 1, Timestamp(9));
    at(&mut chronicle, 21);
    chronicle.holds(ProcessId(3), 0, 1, Timestamp::ZERO);
    at(&mut chronicle, 22);
    chronicle.holds(ProcessId(4), 0, 1, Timestamp::ZERO);
    chronicle.holds(ProcessId(0), 0, 2, Timestamp(9));
    at(&mut chronicle, 23);
    chronicle.holds(ProcessId(2), 0, 2, Timestamp(9));
    at(&mut chronicle, 24);
    deliver(&mut chronicle, SECOND, 6, place(0, 2, 6), &[]);
    deliver(&mut chronicle, FIRST, 9, place(0, 1, 5), &[place(1, 1, 9)]);
    chronicle.end_turn();
    chronicle
}

#[test]
fn a_story_tells_who_was_waited_for() {
    let chronicle = convoy();
    let story = chronicle.story(FIRST.session, 1, None).unwrap();
    assert_eq!(
        (story.id, story.at, story.heard(), story.asked),
        (FIRST, ProcessId(1), Some(moment(10)), Some(moment(10)))
    );
    assert_eq!((story.delivered, story.took()), (Some(moment(24)), Duration::from_millis(14)));
    let chapters: Vec<_> =
        story.chapters.iter().map(|chapter| (chapter.group, chapter.proposed, chapter.decided)).collect();
    let expected = [
        (group(0), Some((moment(10), ProcessId(0))), Some((moment(13), ProcessId(1)))),
        (group(1), Some((moment(20), ProcessId(3))), Some((moment(22), ProcessId(4)))),
    ];
    assert_eq!(chapters, expected);
    assert_eq!(story.chapters[1].held[2], (ProcessId(5), None), "p5 has not spoken");
    assert_eq!(story.primary_clock, Some((moment(22), ProcessId(0))));
    assert_eq!(story.clocks, Some((moment(23), ProcessId(2))));
    let millis = Duration::from_millis;
    let waits = Waits { proposals: millis(10), majorities: millis(2), clocks: millis(1), turn: millis(1) };
    assert_eq!((story.waits, waits.sum()), (waits, story.took()));
    assert_eq!(story.longest(), (Wait::Proposal(group(1)), millis(10)));
}

#[test]
fn a_convoy_has_a_head() {
    // In the order of stamps the second goes first; let it be as if it had not.
    let mut chronicle = convoy();
    at(&mut chronicle, 30);
    chronicle.proposed(group(0), ProcessId(0), 0, 3, Timestamp(10));
    chronicle.proposed(group(0), ProcessId(0), 0, 4, Timestamp(11));
    [0, 1].into_iter().for_each(|process| chronicle.holds(ProcessId(process), 0, 4, Timestamp(12)));
    at(&mut chronicle, 40);
    chronicle.proposed(group(1), ProcessId(3), 0, 2, Timestamp(8));
    [3, 4].into_iter().for_each(|process| chronicle.holds(ProcessId(process), 0, 2, Timestamp::ZERO));
    let (head, behind) = (MessageId::new(7, 2, 0b11), MessageId::new(8, 2, 0b1));
    deliver(&mut chronicle, head, 10, place(0, 3, 10), &[place(1, 2, 8)]);
    deliver(&mut chronicle, behind, 11, place(0, 4, 11), &[]);
    chronicle.end_turn();
    let story = chronicle.story(behind.session, 2, None).unwrap();
    assert_eq!((story.behind, story.waits.turn), (Some(head), Duration::from_millis(10)));
    assert_eq!(story.longest(), (Wait::Turn(head), Duration::from_millis(10)));
    assert_eq!(chronicle.story(head.session, 2, None).unwrap().behind, None);
}

#[test]
fn what_is_on_its_way_waits_for_something() {
    let mut chronicle = chronicle();
    at(&mut chronicle, 1);
    chronicle.proposed(group(0), ProcessId(0), 0, 1, Timestamp(5));
    chronicle.epoch(0, ProcessId(0));
    at(&mut chronicle, 4);
    chronicle.epoch(1, ProcessId(2));
    let wants = vec![Want::Proposal(group(1))];
    let outlook =
        Outlook { id: FIRST, sender: None, places: vec![place(0, 1, 5)], timestamp: None, wants: wants.clone() };
    let story = chronicle.story(FIRST.session, 1, Some(outlook)).unwrap();
    assert_eq!((story.delivered, story.wants.clone(), story.took()), (None, wants, Duration::from_millis(3)));
    assert_eq!(story.epochs, [EpochChange { when: moment(4), round: 1, leader: ProcessId(2) }]);
    assert_eq!((chronicle.counts().epoch_changes, chronicle.story(FIRST.session, 2, None)), (1, None));
}

/// What is said of an epoch that was overtaken, or again, is no step; what is said twice in a turn is one.
#[test]
fn only_progress_is_noted() {
    let mut chronicle = chronicle();
    at(&mut chronicle, 1);
    chronicle.holds(ProcessId(0), 1, 5, Timestamp(3));
    chronicle.holds(ProcessId(0), 1, 6, Timestamp(3));
    at(&mut chronicle, 2);
    chronicle.holds(ProcessId(0), 1, 6, Timestamp(3));
    chronicle.holds(ProcessId(0), 0, 9, Timestamp(9));
    chronicle.holds(ProcessId(0), 1, 4, Timestamp(2));
    let trail = &chronicle.held[0];
    assert_eq!((trail.next(), trail.last().map(|step| (step.round, step.index))), (1, Some((1, 6))));
    chronicle.holds(ProcessId(0), 2, 1, Timestamp::ZERO);
    let last = chronicle.held[0].last().map(|step| (step.round, step.index, step.clock));
    assert_eq!(last, Some((2, 1, Timestamp(3))), "a clock does not fall with an epoch");
}

#[test]
fn the_newest_messages_are_remembered_and_the_slowest_longer() {
    let mut chronicle = chronicle();
    deliver_alone(&mut chronicle, 1, 0, 500);
    for number in 2..MESSAGES as u64 + 50 {
        deliver_alone(&mut chronicle, number, 500 + 20 * number, 1);
    }
    let (oldest, remembered) = chronicle.remembers();
    assert_eq!((oldest, remembered), (Some(moment(500 + 20 * 50 + 1)), MESSAGES as u64));
    assert_eq!(chronicle.story(SessionId(1), 49, None), None, "the oldest are forgotten,");
    assert!(chronicle.story(SessionId(1), 50, None).is_some());
    let slow = chronicle.story(SessionId(1), 1, None).expect("but for the slowest");
    assert_eq!((slow.took(), chronicle.slow()[0].id), (Duration::from_millis(500), slow.id));
    assert_eq!(chronicle.counts().deliveries, MESSAGES as u64 + 49);
}

#[test]
fn so_many_slow_ones_are_kept_for_so_long() {
    let mut chronicle = chronicle();
    let period = PERIOD.as_millis() as u64;
    for number in 1..=2 * SLOWEST as u64 {
        deliver_alone(&mut chronicle, number, 200 * number, number);
    }
    let took = |chronicle: &mut Chronicle| -> Vec<u64> {
        chronicle.slow().iter().map(|story| story.took().as_millis() as u64).collect()
    };
    let slowest: Vec<u64> = (SLOWEST as u64 + 1..=2 * SLOWEST as u64).rev().collect();
    assert_eq!(took(&mut chronicle), slowest);
    deliver_alone(&mut chronicle, 1000, period + 10_000, 7);
    assert_eq!(took(&mut chronicle).len(), SLOWEST + 1, "those of the period before are kept for another one");
    at(&mut chronicle, 2 * period + 20_000);
    assert_eq!(took(&mut chronicle), [7]);
    at(&mut chronicle, 5 * period);
    assert_eq!(took(&mut chronicle), []);
}

/// Of a burst only the slowest is weighed: what it costs does not grow with the load.
#[test]
fn a_burst_is_weighed_once() {
    let mut chronicle = chronicle();
    deliver_alone(&mut chronicle, 1, 0, 1);
    for number in 2..100 {
        deliver_alone(&mut chronicle, number, 2, 3);
    }
    assert_eq!(chronicle.counts().looks, 1);
    assert_eq!(chronicle.slow().len(), 2, "whoever asks gets the last one too");
    assert_eq!(chronicle.counts().looks, 2);
}

/// A place that was reached before the oldest step that is kept was reached nobody knows when.
#[test]
fn steps_are_forgotten_and_nothing_is_made_up() {
    let mut chronicle = chronicle();
    for step in 1..=STEPS as u64 + 5 {
        at(&mut chronicle, step);
        chronicle.holds(ProcessId(3), 0, step, Timestamp(step));
        chronicle.asks(MessageId::new(3, step, 0b1));
        chronicle.epoch(step as u32, ProcessId(0));
    }
    let reached = |index| first_that(&chronicle.held[3], |step| step.index >= index).map(|step| step.when);
    assert_eq!([reached(5), reached(6), reached(7)], [None, None, Some(moment(7))]);
    assert_eq!(chronicle.held[3].first(), 5);
    assert_eq!(chronicle.asked.next() - chronicle.asked.first(), ASKED as u64);
    assert_eq!(chronicle.epochs.next() - chronicle.epochs.first(), EPOCHS as u64);
    assert_eq!(chronicle.counts().multicasts, STEPS as u64 + 5);
}

/// Places in other logs are kept in a ring of their own. What it has lost is missing, and not somebody else's.
#[test]
fn places_are_forgotten_first_where_messages_go_to_many_groups() {
    let mut chronicle = chronicle();
    let others = [place(1, 1, 9); 5];
    for number in 1..=MESSAGES as u64 {
        deliver(&mut chronicle, MessageId::new(1, number, 0b11), number, place(0, number, 1), &others);
    }
    assert_eq!(chronicle.places.next() - chronicle.places.first(), PLACES as u64);
    let first = chronicle.told.get(0).unwrap();
    assert_eq!(chronicle.places_of(first).count(), 1);
    let last = chronicle.told.last().unwrap();
    assert_eq!(chronicle.places_of(last).count(), 6);
}
