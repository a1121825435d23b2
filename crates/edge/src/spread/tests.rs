//! What goes wrong only when words come at the worst moment: a few spreads, and
//! a hand that decides which of their words arrives when.

use alloc::format;
use alloc::vec::Vec;
use core::net::{Ipv4Addr, SocketAddr};
use core::time::Duration;

use bytes::Bytes;
use skein_machine::wire::{self, VERSION};
use skein_machine::{ProcessId, Time};

use super::{Event, Settings, Spread, Tempo, Tick, Way, Word};
use crate::dots::{Actor, Dots, LAST_LIFE};
use crate::map::{Cut, Map};
use crate::{Member, MemberId, Name, Planted};

const NOW: Time = Time::ZERO;

/// What a spread wanted said: all words, whoever they are for.
#[derive(Default)]
struct Said(Vec<Word>);

impl Way for Said {
    fn send(&mut self, _: SocketAddr, word: Word) {
        self.0.push(word);
    }

    fn answer(&mut self, _: ProcessId, word: Word) {
        self.0.push(word);
    }

    fn arm(&mut self, _: Tick, _: Duration) {}

    fn tell(&mut self, _: Event) {}
}

fn member(name: &str) -> Member {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
    Member::new(Name::new(name).unwrap(), Name::new("here").unwrap(), address)
}

/// One that has begun, alone.
fn ready(name: &str) -> Spread {
    ready_with(name, Planted::NONE)
}

fn ready_with(name: &str, planted: Planted) -> Spread {
    let settings = Settings { me: member(name), gateways: Vec::new(), tempo: Tempo::default(), planted };
    let mut spread = Spread::new(settings);
    spread.start(1, &mut Said::default());
    spread.on_tick(NOW, Tick::Compare, &mut Said::default());
    assert!(spread.is_ready());
    spread
}

#[test]
fn it_is_known_how_far_a_change_has_got() {
    let [mut a, mut b] = ["a", "b"].map(ready);
    let reached = |spread: &Spread, arrival: u64| spread.agreed().filter(|at| *at >= arrival).count();
    a.put(b"k", Bytes::from_static(b"v"), &mut Said::default()).unwrap();
    let arrival = a.map().arrivals();
    let word = comparison(&mut b, &a);
    assert!(!hear(&mut a, word).is_empty() && reached(&a, arrival) == 0, "the other has not seen the same");
    let missing = a.map.beyond(b.map.actor(), b.map.seen(), usize::MAX);
    missing.into_iter().for_each(|delta| drop(hear(&mut b, Word::News { delta, is_from_afar: false })));
    let missing = b.map.beyond(a.map.actor(), a.map.seen(), usize::MAX);
    missing.into_iter().for_each(|delta| drop(hear(&mut a, Word::News { delta, is_from_afar: false })));
    let word = comparison(&mut b, &a);
    assert!(hear(&mut a, word).is_empty() && reached(&a, arrival) == 1);
    a.put(b"k", Bytes::from_static(b"w"), &mut Said::default()).unwrap();
    assert_eq!((reached(&a, arrival), reached(&a, a.map().arrivals())), (1, 0), "but not what came after it");
}

#[test]
fn nobody_is_a_gateway_to_itself() {
    let me = member("a");
    let gateways = alloc::vec![me.address];
    let mut spread = Spread::new(Settings { me, gateways, tempo: Tempo::default(), planted: Planted::NONE });
    let mut said = Said::default();
    spread.start(1, &mut said);
    spread.on_tick(NOW, Tick::Compare, &mut said);
    assert!(spread.is_ready() && said.0.is_empty(), "{:?}", said.0);
}

/// What it says to this word.
fn hear(spread: &mut Spread, word: Word) -> Vec<Word> {
    let mut said = Said::default();
    spread.on_word(NOW, ProcessId(0), word, &mut said);
    said.0
}

/// One compares with the other: its first word.
fn comparison(one: &mut Spread, other: &Spread) -> Word {
    let mut said = Said::default();
    one.meet(NOW, [other.settings.me.clone()], &mut said);
    said.0.clear();
    one.on_tick(NOW, Tick::Compare, &mut said);
    said.0.into_iter().find(|word| matches!(word, Word::Compare { .. })).unwrap()
}

/// They compare, and say all they have to say.
fn compare(one: &mut Spread, other: &mut Spread) {
    let mut words = Vec::from([comparison(one, other)]);
    let mut is_for_other = true;
    while !words.is_empty() {
        let to = if is_for_other { &mut *other } else { &mut *one };
        words = words.into_iter().flat_map(|word| hear(to, word)).collect();
        is_for_other = !is_for_other;
    }
}

/// So many others have written something, and everybody knows.
fn tell_of_others(spreads: &mut [&mut Spread], count: u64) {
    for nth in 0..count {
        let id = MemberId(nth << 58);
        let mut map = Map::new(Actor { member: id, life: 1 });
        let dot = map.put(format!("other-{nth}").as_bytes(), Bytes::new()).unwrap();
        for delta in map.news(&dot.into(), usize::MAX) {
            spreads
                .iter_mut()
                .for_each(|spread| drop(hear(spread, Word::News { delta: delta.clone(), is_from_afar: false })));
        }
    }
}

/// A name in this half of all drawers.
fn name_in(half: u64, taken: &str) -> alloc::string::String {
    let names = (0..).map(|nth| format!("m{nth}"));
    names.into_iter().find(|name| name != taken && member(name).id().0 >> 63 == half).unwrap()
}

#[test]
fn what_came_in_since_two_compared_is_told_along() {
    let (low, high) = (name_in(0, ""), name_in(1, ""));
    let (mut a, mut b, mut d) = (ready(&name_in(0, &low)), ready(&low), ready(&high));
    tell_of_others(&mut [&mut a, &mut b, &mut d], 40);
    for _ in 0..2 {
        compare(&mut a, &mut b);
        compare(&mut b, &mut d);
        compare(&mut d, &mut a);
    }
    assert!(a.map() == b.map() && b.map() == d.map());

    d.put(b"k", Bytes::from_static(b"first"), &mut Said::default()).unwrap();
    compare(&mut d, &mut b);
    // The two differ in one drawer, and while the question is on its way something in another replaces what is there.
    let word = comparison(&mut b, &a);
    let [question] = <[Word; 1]>::try_from(hear(&mut a, word)).unwrap();
    b.put(b"k", Bytes::from_static(b"second"), &mut Said::default()).unwrap();
    hear(&mut b, question).into_iter().for_each(|word| drop(hear(&mut a, word)));
    // That was its last word.
    drop(b);
    compare(&mut a, &mut d);
    compare(&mut d, &mut a);
    assert_eq!(a.map().get(b"k"), d.map().get(b"k"), "what was replaced by a change that is lost is taken for seen");
    assert!(a.map() == d.map());
}

#[test]
fn a_question_that_overtakes_the_answer_is_not_asked_for_ever() {
    let (mut a, mut b) = (ready("a"), ready("b"));
    let word = comparison(&mut a, &b);
    let mut words = hear(&mut b, word);
    let mut questions = 0;
    for nth in 0..20 {
        let to = if nth % 2 == 0 { &mut a } else { &mut b };
        // Answers are large, and still on their way.
        words.retain(|word| matches!(word, Word::Ask(_)));
        questions += words.len();
        words = words.into_iter().flat_map(|word| hear(to, word)).collect();
    }
    assert_eq!(questions, 2, "one asks, and is asked in return");
}

#[test]
fn a_last_word_about_what_is_long_left_behind_is_too_late() {
    let mut a = ready("a");
    let lives = |count: u64| (0..count).map(|nth| (MemberId(nth), 1)).collect();
    let large = a.map.next_cut(&a.map.report().unwrap(), &lives(2)).unwrap();
    hear(&mut a, Word::Adopt { cut: large.clone(), refuses: None });
    // One of the two leaves, and what was said to the other once more comes then.
    a.put(b"k", Bytes::new(), &mut Said::default()).unwrap();
    let small = a.map.next_cut(&a.map.report().unwrap(), &lives(1)).unwrap();
    hear(&mut a, Word::Adopt { cut: small, refuses: None });
    hear(&mut a, Word::Adopt { cut: large, refuses: Some(Cut::none().id()) });
    assert_eq!(a.counts.anew, 0);
    assert!(a.map().get(b"k").is_some());
}

#[test]
fn who_is_being_told_everything_waits_for_it() {
    let (mut a, b) = (ready("a"), member("b"));
    for nth in 0..20 {
        a.put(format!("key-{nth}").as_bytes(), Bytes::new(), &mut Said::default()).unwrap();
    }
    let settings = Settings { me: b, ..a.settings.clone() };
    let mut b = Spread::new(settings);
    b.meet(NOW, [a.settings.me.clone()], &mut Said::default());
    let asks = |b: &mut Spread| {
        let mut said = Said::default();
        b.on_tick(NOW, Tick::Compare, &mut said);
        said.0.iter().any(|word| matches!(word, Word::Ask(_)))
    };
    assert!(asks(&mut b) && asks(&mut b), "nobody answers");
    let parts = a.map.beyond(b.map.actor(), &Dots::new(), 200);
    for delta in &parts[..parts.len() - 1] {
        hear(&mut b, Word::News { delta: delta.clone(), is_from_afar: true });
        assert!(!asks(&mut b), "it is being told");
    }
    assert!(asks(&mut b), "nothing more comes");
    hear(&mut b, Word::News { delta: parts[parts.len() - 1].clone(), is_from_afar: true });
    assert!(b.is_ready());
}

/// A cut of so many members, of which this one has not seen everything.
fn cut_of(members: u64, nth: u64) -> Cut {
    let mut other = Map::new(Actor { member: MemberId(nth), life: 1 });
    other.put(b"elsewhere", Bytes::new()).unwrap();
    let lives = (0..members).map(|nth| (MemberId(nth), 1)).collect();
    other.next_cut(&other.report().unwrap(), &lives).unwrap()
}

#[test]
fn whoever_leaves_is_not_called_back() {
    let mut a = ready("a");
    a.put(b"k", Bytes::new(), &mut Said::default()).unwrap();
    a.leave(&mut Said::default());
    let said = hear(&mut a, Word::Adopt { cut: cut_of(9, 5), refuses: None });
    assert!(said.is_empty() && a.counts.anew == 0, "it asks to be told everything: {said:?}");
    let whole = ready("b").map.beyond(a.map.actor(), &Dots::new(), usize::MAX).remove(0);
    hear(&mut a, Word::News { delta: whole, is_from_afar: true });
    assert!(!a.is_ready());
}

#[test]
fn a_beginner_gives_up_a_side_that_is_gone() {
    let (mut a, other) = (ready("a"), member("b"));
    let mut b = Spread::new(Settings { me: other, ..a.settings.clone() });
    b.meet(NOW, [a.settings.me.clone()], &mut Said::default());
    // It hears of a large side, of which nobody is left to tell it more.
    hear(&mut b, Word::Adopt { cut: cut_of(9, 5), refuses: None });
    let mut asked = 0;
    while !b.is_ready() {
        asked += 1;
        assert!(asked < 100, "it waits for ever");
        let mut said = Said::default();
        b.on_tick(NOW, Tick::Compare, &mut said);
        let answers: Vec<Word> = said.0.into_iter().flat_map(|word| hear(&mut a, word)).collect();
        answers.into_iter().for_each(|word| drop(hear(&mut b, word)));
    }
    assert!(b.map().cut() == a.map().cut());
}

/// One of two makes a cut, and the other does not answer: the removals that the first still remembers.
fn removals_after_silence(planted: Planted) -> usize {
    let mut two = [ready_with("a", planted), ready_with("b", planted)];
    let [a, b] = &mut two;
    a.put(b"k", Bytes::new(), &mut Said::default()).unwrap();
    compare(a, b);
    compare(b, a);
    assert!(a.map() == b.map() && b.map().get(b"k").is_some());
    let [counter, silent] = if two[0].counts_for_all() { [0, 1] } else { [1, 0] };
    assert!(!two[silent].counts_for_all(), "one of them counts");
    two[counter].remove(b"k", &mut Said::default()).unwrap();
    two[counter].on_tick(NOW, Tick::Cut, &mut Said::default());
    assert_eq!(two[counter].map().removals(), 1, "not everybody has answered");
    two[counter].on_tick(NOW, Tick::Overdue, &mut Said::default());
    two[counter].map().removals()
}

#[test]
fn who_is_silent_holds_up_forgetting() {
    assert_eq!(removals_after_silence(Planted::NONE), 1);
}

#[cfg(feature = "mutants")]
#[test]
fn a_count_without_the_silent_is_caught() {
    assert_eq!(removals_after_silence(Planted::bug(crate::Mutant::SpreadCountsWithoutTheSilent)), 0);
}

/// This change of the one, and nothing else.
fn tell_one(from: &Spread, key: &[u8], to: &mut Spread) {
    let dots = from.map.values(key).map(|(dot, _)| dot).collect();
    let news = from.map.news(&dots, usize::MAX);
    news.into_iter().for_each(|delta| drop(hear(to, Word::News { delta, is_from_afar: false })));
}

#[test]
fn an_answer_to_a_former_life_is_none_to_the_next() {
    let [mut first, mut second, mut asked, mut asker] = ["first", "second", "asked", "asker"].map(ready);
    first.put(b"k", Bytes::from_static(b"one"), &mut Said::default()).unwrap();
    tell_one(&first, b"k", &mut second);
    tell_one(&first, b"k", &mut asked);
    second.put(b"k", Bytes::from_static(b"two"), &mut Said::default()).unwrap();
    tell_one(&second, b"k", &mut asked);
    tell_one(&second, b"k", &mut asker);
    // It lacks the first change, and is told that there is nothing left of it: it has the one that stands there now.
    let question = asker.question_of_all();
    let answer = hear(&mut asked, question);
    let next = asker.settings.me.clone().living(2);
    let mut next = Spread::new(Settings { me: next, ..asker.settings.clone() });
    answer.into_iter().for_each(|word| drop(hear(&mut next, word)));
    assert!(!next.is_ready(), "it was told what its former life had not seen, and takes that for everything");
    // Whoever had the second change is gone.
    drop((second, asked, asker));
    let question = next.question_of_all();
    hear(&mut first, question).into_iter().for_each(|word| drop(hear(&mut next, word)));
    assert!(next.is_ready());
    assert_eq!(next.map().get(b"k"), first.map().get(b"k"), "what replaced it is nowhere");
}

#[test]
fn whoever_begins_anew_in_its_last_life_still_says_what_can_be_read() {
    let a = ready("a");
    let last = a.settings.me.clone().living(LAST_LIFE);
    let mut a = Spread::new(Settings { me: last, ..a.settings.clone() });
    a.start(1, &mut Said::default());
    a.on_tick(NOW, Tick::Compare, &mut Said::default());
    a.put(b"k", Bytes::new(), &mut Said::default()).unwrap();
    let said = hear(&mut a, Word::Adopt { cut: cut_of(9, 5), refuses: None });
    assert_eq!((a.counts.anew, a.map().actor().life), (1, LAST_LIFE));
    assert!(said.iter().any(|word| matches!(word, Word::Ask(_))));
    for word in said {
        assert!(wire::from_bytes::<Word>(wire::to_bytes(&word), VERSION).is_ok(), "{word:?}");
    }
}
