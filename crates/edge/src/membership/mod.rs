//! [`Membership`]: who is there, found out without asking anybody in
//! particular. The protocol is SWIM (Das, Gupta and Motivala) with suspicion,
//! and the crate `foca` plays it: each member probes a few others in each period,
//! asks some to try in its place when one does not answer, suspects it when they
//! fail too, and tells others in the datagrams that it sends anyway. Whoever is
//! suspected says that it lives, under a higher incarnation; whoever does not is
//! declared dead.
//!
//! What stands around that here: getting in through addresses of which nobody
//! knows whose they are, and names that are taken (`door.rs`), exchanging all that
//! is known now and then (`exchange.rs`), telling the suspected at once
//! (`errands.rs`), leaving politely (`leaving.rs`), and events (`roster.rs`).
//!
//! It keeps nothing on a disk. A member that starts again is in a new life, whose
//! number its host supplies. It reads no clock but to note since when things are.

mod dice;
mod door;
mod errands;
mod exchange;
mod identity;
mod leaving;
mod pace;
mod packet;
mod roster;
mod timer;
mod wire;

use core::net::SocketAddr;

use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use skein_machine::wire::Nothing;
use skein_machine::{Machine, Out, ProcessId, Random, Time};

use crate::{Book, Member, Mutant, Planted};
use dice::Dice;
use errands::{Doubts, Errands};
use leaving::Leaving;
use packet::{Packet, Packets, Words};
use roster::Roster;
use timer::Tick;

pub use identity::Identity;
pub use pace::Pace;
pub use roster::{Listed, Standing};
pub use timer::Timer;
pub use wire::Message;

/// Members that can be known at once, the dead of the last hour among them. A fleet of 3,200, with room.
pub const MAX_MEMBERS: usize = 4_096;

/// Addresses to come in through. More than a few are already more than enough.
pub const MAX_SEEDS: usize = 64;

/// What fits a packet of the common size, with room for the headers and seals around it.
pub const MAX_DATAGRAM: usize = 1_400;

/// What a member begins with.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Who it is, in which life.
    pub me: Member,
    /// Where it may come in. One's own address counts for nothing here, so that all can have the same list; whoever
    /// has no other founds a fleet, and so does whoever hears nothing of any of them for some ten seconds.
    pub seeds: Vec<SocketAddr>,
    /// How its fleet behaves.
    pub pace: Pace,
    /// The rule that is broken, if any.
    pub planted: Planted,
}

/// What the user of a member may ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Say goodbye and go. [`Event::Gone`] says that it is done.
    Leave,
}

/// What a member tells its user. After [`Event::Refused`] nobody is known any more until [`Event::Joined`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// It is in: others have let it in, or it has begun alone.
    Joined,
    /// It is not let in, or not any more, and goes on asking.
    Refused(Refusal),
    /// A member is there.
    Up(Member),
    /// A member does not answer. It counts as being there for a while.
    Suspect(Member),
    /// It answered after all.
    Trusted(Member),
    /// A member died, or nobody reaches it, or its next life has begun.
    Down(Member),
    /// A member left and said so.
    Left(Member),
    /// Others had declared this member dead and it has come back, in the life in which it was.
    Renewed,
    /// It has left.
    Gone,
}

/// Why somebody is not let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Its name belongs to another member that lives, or belonged to one in a later life.
    Taken {
        /// That one.
        holder: Member,
    },
    /// The fleet has as many members as there can be.
    Full,
}

/// One member of a fleet.
pub struct Membership {
    settings: Settings,
    book: Book,
    /// Who it is now. The life is that of the settings; only rebirths are counted here.
    me: Identity,
    random: Random,
    phase: Phase,
    /// What is played with others. Nothing while it is outside.
    swim: Option<Swim>,
    /// Counts how often that began.
    beginning: u32,
    roster: Roster,
    /// Sentences that wait to be carried out.
    condemning: BTreeSet<Tick>,
    doubts: Doubts,
    /// Somebody has let it in, in this life.
    is_welcome: bool,
    /// How often it has asked since nobody answered.
    asked: u32,
    /// Why it was not let in when it last asked.
    refused: Option<Refusal>,
    counts: Counts,
}

type Swim = foca::Foca<Identity, Packets, Dice, foca::NoCustomBroadcast>;

#[derive(Debug)]
enum Phase {
    /// Outside, and asking.
    Asking,
    Inside,
    Leaving(Leaving),
    Gone,
}

/// What somebody who watches may want to know.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    /// Packets and members for which there was no room.
    crowded: u64,
    /// Packets that no member of this fleet would send.
    strange: u64,
    /// Messages to addresses for which there was no handle.
    unreachable: u64,
    /// How often somebody was told that it is suspected.
    doubts: u64,
    /// How often this one was declared dead and came back.
    rebirths: u64,
    /// Newcomers that were not let in.
    turned_away: u64,
}

impl Membership {
    /// A member that has not begun.
    pub fn new(settings: Settings, book: Book) -> Membership {
        let Settings { me, seeds, planted, .. } = &settings;
        assert!(seeds.len() <= MAX_SEEDS, "{} has {} seeds, and {MAX_SEEDS} are the most", me.name, seeds.len());
        let life = if planted.is(Mutant::MembershipGoesBack) { 1 } else { me.life };
        let me = Identity::new(me.clone().living(life), 0);
        Membership {
            settings,
            book,
            me,
            random: Random::new(0),
            phase: Phase::Asking,
            swim: None,
            beginning: 0,
            roster: Roster::default(),
            condemning: BTreeSet::new(),
            doubts: Doubts::new(),
            is_welcome: false,
            asked: 0,
            refused: None,
            counts: Counts::default(),
        }
    }

    /// Who it is.
    pub fn me(&self) -> &Member {
        &self.me.member
    }

    /// Whether it belongs to a fleet.
    pub fn is_inside(&self) -> bool {
        matches!(self.phase, Phase::Inside)
    }

    /// All others of whom it knows, the dead of the last hour among them.
    pub fn others(&self) -> impl Iterator<Item = &Listed> {
        self.roster.iter()
    }

    /// All members that live, and itself among them, while it is inside.
    pub fn living(&self) -> impl Iterator<Item = &Member> {
        let me = self.is_inside().then_some(self.me());
        me.into_iter().chain(self.roster.living().map(Listed::member))
    }

    /// Which handle stands for which address.
    pub fn book(&mut self) -> &mut Book {
        &mut self.book
    }

    /// Plays on, where that changes nothing that is known of others.
    fn play_blindly(
        &mut self,
        out: &mut Out<Self>,
        act: impl FnOnce(&mut Swim, &mut Errands<'_>) -> Result<(), foca::Error>,
    ) {
        let Some(swim) = &mut self.swim else { return };
        let mut errands = Errands {
            me: &self.me,
            pace: &self.settings.pace,
            beginning: self.beginning,
            book: &mut self.book,
            condemning: &mut self.condemning,
            doubts: &mut self.doubts,
            counts: &mut self.counts,
            out,
        };
        if act(swim, &mut errands).is_err() {
            // What was heard makes no sense. It is dropped, and nothing else changes.
            self.counts.strange += 1;
        }
        if *swim.identity() != self.me {
            self.me = swim.identity().clone();
        }
    }

    /// The same, and looks what came of it for others.
    fn play(
        &mut self,
        now: Time,
        out: &mut Out<Self>,
        act: impl FnOnce(&mut Swim, &mut Errands<'_>) -> Result<(), foca::Error>,
    ) {
        self.play_blindly(out, act);
        let Some(swim) = &self.swim else { return };
        self.roster.follow(now, self.me.id, || swim.iter_membership_state(), |event| out.emit(event));
    }

    /// Says something to a member.
    fn say(&mut self, whom: &Identity, message: Message, out: &mut Out<Self>) {
        errands::say(&mut self.book, &mut self.counts, &self.me, whom, message, out);
    }

    fn on_packet(&mut self, now: Time, from: ProcessId, packet: Packet, out: &mut Out<Self>) {
        let (bytes, Words { header, updates }) = packet.open();
        if !self.is_inside() {
            if matches!(self.phase, Phase::Asking) {
                // Somebody remembers an earlier life. Whoever that is can let this one in.
                self.knock(from, out);
            }
            return;
        }
        if self.roster.len() + updates.len() + 1 > MAX_MEMBERS {
            let known = |identity: &Identity| self.roster.get(identity.id).is_some();
            let said = updates.iter().map(|update| &update.identity);
            let new = said.chain([&header.src]).filter(|identity| !known(identity)).count();
            if self.roster.len() + new > MAX_MEMBERS {
                self.counts.crowded += 1;
                return;
            }
        }
        if header.src.is_namesake_of(&self.me) && self.me.beats(&header.src) {
            self.turn_away(from, out);
            return;
        }
        let said = updates.iter().filter(|update| update.is_active()).map(|update| &update.identity);
        if let Some(holder) = said.chain([&header.src]).find(|identity| self.is_beaten_by(identity)) {
            self.withdraw(holder.member.copied(), out);
            return;
        }
        let is_for_an_earlier_life = header.dst.id == self.me.id && header.dst.member != self.me.member;
        if is_for_an_earlier_life && header.message != foca::Message::Announce {
            if self.roster.get(header.src.id).is_none_or(|listed| !listed.standing.is_living()) {
                self.knock(from, out);
            }
            return;
        }
        let is_known_to_live = self.roster.get(header.src.id).is_some_and(|listed| {
            let known = (&listed.identity, listed.incarnation, listed.standing);
            known == (&header.src, header.src_incarnation, Standing::Alive)
        });
        if is_known_to_live && updates.is_empty() {
            self.play_blindly(out, |swim, errands| swim.handle_data(&bytes, errands));
        } else {
            self.play(now, out, |swim, errands| swim.handle_data(&bytes, errands));
        }
    }

    /// Somebody takes this one for dead soon.
    fn on_doubt(&mut self, now: Time, by: &Identity, whom: &Identity, incarnation: u16, out: &mut Out<Self>) {
        if !self.is_inside() || whom.id != self.me.id {
            return; // weather: it was somebody else's address once
        }
        let is_me = *whom == self.me;
        let by = by.copied();
        self.play(now, out, |swim, mut errands| {
            if is_me {
                let suspected = foca::Member::new(whom.clone(), incarnation, foca::State::Suspect);
                swim.apply_many([suspected].into_iter(), true, &mut errands)?;
            }
            // Whatever it says, it says with the incarnation in which it lives now.
            swim.announce(by, errands)
        });
    }

    /// Whether a sentence is void, because who was suspected has said since then that it lives. The gossip would not
    /// carry it out either, but would tell the member that it had, and that one would have to be reborn.
    fn is_acquitted(&self, tick: &Tick) -> bool {
        let Tick::Condemn { whom, incarnation, .. } = tick else { return false };
        !self.is_suspected(whom, *incarnation)
    }

    fn is_suspected(&self, whom: &Identity, incarnation: u16) -> bool {
        self.roster.get(whom.id).is_some_and(|listed| {
            let known = (&listed.identity, listed.incarnation, listed.standing);
            known == (whom, incarnation, Standing::Suspect)
        })
    }

    /// Tells those who are still suspected once more.
    fn doubt_again(&mut self, out: &mut Out<Self>) {
        let mut doubts = core::mem::take(&mut self.doubts);
        doubts.retain(|_, (whom, incarnation)| self.is_suspected(whom, *incarnation));
        self.doubts = doubts;
        if self.doubts.is_empty() {
            return;
        }
        let doubts: Vec<_> = self.doubts.values().cloned().collect();
        self.play_blindly(out, |_, errands| {
            doubts.iter().for_each(|(whom, incarnation)| errands.doubt(whom, *incarnation));
            Ok(())
        });
        out.arm(Timer::Doubt, self.settings.pace.doubt());
    }
}

impl Machine for Membership {
    type Command = Command;
    type Message = Message;
    type Timer = Timer;
    type Record = Nothing;
    type Event = Event;

    fn restore(&mut self, record: Nothing) {
        match record {}
    }

    fn start(&mut self, _: Time, seed: u64, out: &mut Out<Self>) {
        self.random = Random::new(seed);
        let here = self.me.member.address;
        self.settings.seeds.retain(|seed| *seed != here);
        if self.settings.seeds.is_empty() {
            self.come_in(out);
        }
        self.ask(out);
    }

    fn on_command(&mut self, _: Time, command: Command, out: &mut Out<Self>) {
        match command {
            Command::Leave => self.leave(out),
        }
    }

    fn on_message(&mut self, now: Time, from: ProcessId, message: Message, out: &mut Out<Self>) {
        match message {
            Message::Packet(packet) => self.on_packet(now, from, packet, out),
            Message::Hello { me, is_inside } => self.on_hello(now, from, &me, is_inside, out),
            Message::Welcome { state } => self.on_welcome(now, from, state, out),
            Message::Refused { why } => self.on_refused(why, out),
            Message::Exchange { state, is_question } => self.on_exchange(now, from, state, is_question, out),
            Message::Doubt { by, whom, incarnation } => self.on_doubt(now, &by, &whom, incarnation, out),
            Message::Goodbye { me } => self.on_goodbye(now, from, &me, out),
            Message::Farewell => self.on_farewell(out),
            Message::Digest { digest } => self.on_digest(from, digest, out),
        }
    }

    fn on_timer(&mut self, now: Time, timer: Timer, out: &mut Out<Self>) {
        match timer {
            Timer::Ask => self.ask(out),
            Timer::Exchange => self.exchange(out),
            Timer::Doubt => self.doubt_again(out),
            Timer::Goodbye => self.say_goodbye(out),
            Timer::Swim(beginning, tick) if beginning == self.beginning && self.is_inside() => {
                self.condemning.remove(&tick);
                if self.is_acquitted(&tick) {
                    return;
                }
                let changes_nothing = matches!(tick, Tick::Gossip(_) | Tick::Indirect { .. } | Tick::Call(_));
                let act = |swim: &mut Swim, errands: &mut Errands<'_>| swim.handle_timer(tick.into(), errands);
                if changes_nothing {
                    self.play_blindly(out, act);
                } else {
                    self.play(now, out, act);
                }
            }
            Timer::Swim(..) => {}
        }
    }

    fn check(&self) {
        let plays = matches!(self.phase, Phase::Inside | Phase::Leaving(_));
        assert!(self.swim.is_some() == plays, "{:?} plays while it is {:?}", self.me, self.phase);
        assert!(self.roster.len() <= MAX_MEMBERS, "{:?} knows {} others", self.me, self.roster.len());
        assert!(self.roster.get(self.me.id).is_none(), "{:?} is among the others", self.me);
        let Some(swim) = &self.swim else {
            assert!(self.roster.len() == 0, "{:?} knows others while it is outside", self.me);
            return;
        };
        assert!(*swim.identity() == self.me, "{:?} plays as {:?}", self.me, swim.identity());
        let living = self.roster.living().count();
        let active = swim.iter_members().filter(|member| member.id().id != self.me.id).count();
        assert!(living == active, "{:?} lists {living} who live where the gossip has {active}", self.me);
    }

    fn gauges(&self, tell: &mut dyn FnMut(&'static str, u64)) {
        let count = |standing| self.roster.iter().filter(|listed| listed.standing == standing).count() as u64;
        tell("members_alive", count(Standing::Alive) + u64::from(self.is_inside()));
        tell("members_suspect", count(Standing::Suspect));
        tell("members_down", count(Standing::Down));
        tell("members_left", count(Standing::Left));
        tell("members_crowded", self.counts.crowded);
        tell("members_strange", self.counts.strange);
        tell("members_unreachable", self.counts.unreachable);
        tell("members_doubts", self.counts.doubts);
        tell("members_rebirths", self.counts.rebirths);
        tell("members_turned_away", self.counts.turned_away);
        tell("members_handles", self.book.len() as u64);
    }
}
