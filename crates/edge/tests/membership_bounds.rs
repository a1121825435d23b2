//! What a member makes of more than there can be, and of what no member says:
//! it drops it, counts it, and changes nothing else.

use std::time::Duration;

use skein_edge::membership::{Event, Listed, MAX_MEMBERS, Membership, Message, Pace, Settings, Timer};
use skein_edge::{Book, Member, Name, Planted};
use skein_machine::wire::{VERSION, Writer, from_bytes};
use skein_machine::{Effect, Machine, Out, ProcessId, Time, Wire};

fn member(process: u16) -> Member {
    let name = |text: &str| Name::new(text).unwrap();
    Member::new(name(&format!("m{process}")), name("here"), Book::ruled_address(ProcessId(process)))
}

fn machine(process: u16, seeds: &[u16]) -> Membership {
    let seeds = seeds.iter().map(|seed| Book::ruled_address(ProcessId(*seed))).collect();
    let settings = Settings { me: member(process), seeds, pace: Pace::of(64), planted: Planted::NONE };
    Membership::new(settings, Book::of_rule())
}

/// What a member in this life says first.
fn hello(member: &Member) -> Message {
    hello_of(member, false)
}

fn hello_of(member: &Member, is_inside: bool) -> Message {
    message(1, |writer| {
        writer.flag(is_inside);
        member.encode(writer);
        writer.u32(0);
    })
}

/// The fourth kind of message is a list of all that is known.
fn exchange(members: impl ExactSizeIterator<Item = Member>) -> Message {
    exchange_of(ALIVE, members)
}

const ALIVE: u8 = 0;
const DOWN: u8 = 2;

fn exchange_of(state: u8, members: impl ExactSizeIterator<Item = Member>) -> Message {
    message(4, |writer| {
        writer.flag(false);
        writer.u32(members.len() as u32);
        for member in members {
            member.encode(writer);
            writer.u32(0);
            writer.u16(0);
            writer.u8(state);
        }
    })
}

fn ping(from: &Member, to: &Member) -> Message {
    let mut packet = Vec::new();
    let mut writer = Writer::new(&mut packet, VERSION);
    from.encode(&mut writer);
    writer.u32(0);
    writer.u16(0);
    to.encode(&mut writer);
    writer.u32(0);
    [0, 7, 0, 0].into_iter().for_each(|byte| writer.u8(byte));
    message(0, |writer| writer.bytes(&packet))
}

fn message(tag: u8, write: impl FnOnce(&mut Writer<'_>)) -> Message {
    let mut bytes = vec![tag];
    write(&mut Writer::new(&mut bytes, VERSION));
    from_bytes(bytes.into(), VERSION).unwrap()
}

fn gauge(machine: &Membership, name: &str) -> u64 {
    let mut found = None;
    machine.gauges(&mut |gauge, value| found = found.or((gauge == name).then_some(value)));
    found.unwrap_or_else(|| panic!("there is no gauge {name}"))
}

/// What it says, and what it tells.
fn said(out: &mut Out<Membership>) -> (Vec<(ProcessId, Message)>, Vec<Event>) {
    let (mut said, mut told) = (Vec::new(), Vec::new());
    for effect in out.drain() {
        match effect {
            Effect::Send(to, message) => said.extend(to.iter().map(|to| (to, message.clone()))),
            Effect::Emit(event) | Effect::EmitEarly(event) => told.push(event),
            _ => {}
        }
    }
    (said, told)
}

fn started(process: u16, seeds: &[u16]) -> (Membership, Out<Membership>) {
    let (mut machine, mut out) = (machine(process, seeds), Out::new());
    machine.start(Time::ZERO, 1, &mut out);
    (machine, out)
}

#[test]
fn a_fleet_has_a_largest_size() {
    let (mut machine, mut out) = started(0, &[]);
    machine.on_message(Time::ZERO, ProcessId(1), exchange((1..=MAX_MEMBERS as u16).map(member)), &mut out);
    machine.check();
    assert_eq!((machine.others().count(), gauge(&machine, "members_crowded")), (MAX_MEMBERS, 0));
    out.drain();
    let late = MAX_MEMBERS as u16 + 1;
    machine.on_message(Time::ZERO, ProcessId(1), exchange([member(late)].into_iter()), &mut out);
    assert_eq!((machine.others().count(), gauge(&machine, "members_crowded")), (MAX_MEMBERS, 1));
    machine.on_message(Time::ZERO, ProcessId(late), hello(&member(late)), &mut out);
    let (said, told) = said(&mut out);
    assert_eq!(told, []);
    let (to, answer) = &said[0];
    assert_eq!((*to, format!("{answer:?}")), (ProcessId(late), "Refused { why: Full }".into()));
    assert_eq!(gauge(&machine, "members_turned_away"), 1);
    machine.check();
}

/// Lists in which the dead are passed on to those who have forgotten them would never forget anybody.
#[test]
fn the_death_of_a_stranger_is_no_news() {
    let (mut machine, mut out) = started(0, &[]);
    machine.on_message(Time::ZERO, ProcessId(1), exchange([member(1)].into_iter()), &mut out);
    machine.on_message(Time::ZERO, ProcessId(1), exchange_of(DOWN, [2, 1].map(member).into_iter()), &mut out);
    let known: Vec<&Member> = machine.others().map(Listed::member).collect();
    assert_eq!(known, [&member(1)]);
    assert_eq!(said(&mut out).1[1..], [Event::Up(member(1)), Event::Down(member(1))]);
}

#[test]
fn nobody_comes_back_in_an_earlier_life() {
    let (mut machine, mut out) = started(0, &[]);
    let (now, then) = (member(1).living(7), member(1).living(6));
    machine.on_message(Time::ZERO, ProcessId(1), hello(&now), &mut out);
    out.drain();
    machine.on_message(Time::ZERO, ProcessId(1), hello(&then), &mut out);
    let (said, told) = said(&mut out);
    assert_eq!((told, machine.living().cloned().collect::<Vec<_>>()), (vec![], vec![member(0), now]));
    assert!(matches!(&said[..], [(ProcessId(1), Message::Refused { .. })]), "{said:?}");
}

/// Whatever is said to one that has not come in, it changes nothing.
#[test]
fn who_is_outside_believes_nothing() {
    let (mut machine, mut out) = started(1, &[0]);
    out.drain();
    machine.on_message(Time::ZERO, ProcessId(0), exchange([member(0)].into_iter()), &mut out);
    machine.check();
    assert_eq!((machine.is_inside(), machine.living().count(), out.is_empty()), (false, 0, true));
}

#[test]
fn it_asks_until_it_is_let_in() {
    let (mut machine, mut out) = started(1, &[0, 1]);
    for _ in 0..3 {
        let asked =
            out.drain().filter(|effect| matches!(effect, Effect::Send(to, _) if to.as_slice() == [ProcessId(0)]));
        assert_eq!(asked.count(), 1, "at others than itself");
        machine.on_timer(Time::ZERO, Timer::Ask, &mut out);
    }
}

/// A fleet that looks for its seeds may have somebody of the same name: it is asked, and not believed.
#[test]
fn nobody_comes_in_because_a_fleet_says_hello() {
    let (mut machine, mut out) = started(1, &[0, 2]);
    out.drain();
    machine.on_message(Time::ZERO, ProcessId(2), hello_of(&member(2), true), &mut out);
    let (heard, told) = said(&mut out);
    assert!(matches!(&heard[..], [(ProcessId(2), Message::Hello { is_inside: false, .. })]), "{heard:?}");
    assert!(told.is_empty() && !machine.is_inside());
    // Two who both ask have nobody else to ask.
    machine.on_message(Time::ZERO, ProcessId(2), hello_of(&member(2), false), &mut out);
    let (heard, told) = said(&mut out);
    assert!(heard.iter().any(|(to, said)| *to == ProcessId(2) && matches!(said, Message::Welcome { .. })));
    assert_eq!(told, [Event::Joined, Event::Up(member(2))]);
}

/// It is there, after all, and only has to be known again.
#[test]
fn who_probes_a_former_life_is_greeted() {
    let settings = Settings { me: member(0).living(2), seeds: vec![], pace: Pace::of(64), planted: Planted::NONE };
    let (mut machine, mut out) = (Membership::new(settings, Book::of_rule()), Out::new());
    machine.start(Time::ZERO, 1, &mut out);
    out.drain();
    machine.on_message(Time::ZERO, ProcessId(1), ping(&member(1), &member(0).living(1)), &mut out);
    let (heard, told) = said(&mut out);
    assert!(matches!(&heard[..], [(ProcessId(1), Message::Hello { .. })]), "{heard:?}");
    assert_eq!((told, machine.others().count()), (vec![], 0));
    machine.on_message(Time::ZERO, ProcessId(1), ping(&member(1), machine.me()), &mut out);
    let (heard, told) = said(&mut out);
    assert_eq!(told, [Event::Up(member(1))]);
    assert!(format!("{heard:?}").contains("Ack(7)"), "{heard:?}");
}

/// Eight bytes tell whether a list is worth sending.
#[test]
fn lists_are_exchanged_where_they_differ() {
    let ([mut one, mut other], mut out) = ([machine(0, &[]), machine(1, &[])], Out::new());
    for (machine, peer) in [(&mut one, 1), (&mut other, 0)] {
        machine.start(Time::ZERO, 1, &mut out);
        machine.on_message(Time::ZERO, ProcessId(peer), exchange([member(peer)].into_iter()), &mut out);
    }
    let mut asked = |from: &mut Membership, whom: &mut Membership| {
        out.drain();
        from.on_timer(Time::ZERO, Timer::Exchange, &mut out);
        let (said_by_one, _) = said(&mut out);
        let [(ProcessId(1), digest @ Message::Digest { .. })] = &said_by_one[..] else { panic!("{said_by_one:?}") };
        whom.on_message(Time::ZERO, ProcessId(0), digest.clone(), &mut out);
        said(&mut out).0
    };
    assert_eq!(asked(&mut one, &mut other).len(), 0, "both see both");
    let mut ignored = Out::new();
    other.on_message(Time::ZERO, ProcessId(2), exchange([member(2)].into_iter()), &mut ignored);
    let answer = asked(&mut one, &mut other);
    assert!(matches!(&answer[..], [(ProcessId(0), Message::Exchange { is_question: true, .. })]), "{answer:?}");
    one.on_message(Time::ZERO, ProcessId(1), answer[0].1.clone(), &mut ignored);
    assert_eq!(one.living().count(), 3);
}

/// A host that fires a timer late, twice or never armed does no harm.
#[test]
fn stale_timers_find_nothing_to_do() {
    let (mut machine, mut out) = started(0, &[]);
    out.drain();
    for timer in [Timer::Goodbye, Timer::Doubt, Timer::Ask] {
        machine.on_timer(Time::ZERO.after(Duration::from_secs(1)), timer, &mut out);
    }
    machine.check();
    assert!(out.is_empty(), "{out:?}");
}
