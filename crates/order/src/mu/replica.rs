//! [`Replica`]: a processor of Mu. It grants its own memory to whoever asks, it
//! leads when it is the one to do so, and otherwise it applies what it finds in
//! its own memory. What it knows of others it reads in theirs.
//!
//! In this file it comes to life, keeps time, and hands outcomes on. How it
//! leads is in [`lead`](super::lead), how it follows in
//! [`follow`](super::follow), and how a state gets from one to another in
//! [`fetch`](super::fetch).

use alloc::boxed::Box;
use alloc::collections::VecDeque;

use bytes::Bytes;
use skein_machine::{Out, ProcessId, Random};

use super::fetch::{Fetch, Tale};
use super::lead::Lead;
use super::memory::{Asked, Home, Survey};
use super::options::{MAX_WINDOW, Options};
use super::owner::Owner;
use super::process::{Command, Event, Mu, Refusal, Role, Timer};
use super::request::{Pool, REQUEST_HEAD, Recent, Tag};
use super::shape::MAX_REPLICAS;
use super::trust::{Trust, UNSEEN_TICKS};
use super::verb::{Message, Outcome, Verb};
use crate::Planted;

/// One processor.
#[derive(Debug)]
pub struct Replica {
    pub(super) options: Options,
    pub(super) planted: Planted,
    pub(super) me: u8,
    pub(super) random: Random,
    /// What memories said while it woke: until then it does not know which life this is.
    waking: Option<Waking>,
    pub(super) life: u64,
    beat: u64,
    /// The last request that it made, or that a memory knows of one of its lives.
    last_request: u64,
    pub(super) trust: Trust,
    pub(super) owner: Option<Owner>,
    /// Below this index, all is applied.
    pub(super) applied: u64,
    /// What its memory says of that.
    told_applied: u64,
    /// Below this index its memory has every decided slot that it has not given up: what it applied may have come from
    /// elsewhere.
    pub(super) sound: u64,
    pub(super) recent: Recent,
    /// What its user proposed and has not heard of, by rising number.
    pub(super) pending: VecDeque<Option<Pending>>,
    /// The number of the first of them.
    pub(super) first_sequence: u64,
    /// The numbers of those that wait for a slot, as long as it leads.
    pub(super) queue: VecDeque<u64>,
    /// Which requests were placed where; only a planted bug looks at it.
    pub(super) placed: VecDeque<(u64, u64)>,
    pub(super) pool: Pool,
    pub(super) lead: Option<Box<Lead>>,
    /// The highest number under which it has written.
    pub(super) last_proposal: u32,
    /// What it asked of each memory and has not been told: it does not ask again, for a memory may be slow.
    open: [Open; MAX_REPLICAS],
    pub(super) fetch: Fetch,
    /// What it tells each of the others of its state.
    pub(super) tales: [Tale; MAX_REPLICAS],
    /// Ticks since the own memory has answered.
    silent_ticks: u32,
    is_retired: bool,
    told_role: Option<Role>,
}

/// Something proposed.
#[derive(Clone, Debug)]
pub(super) struct Pending {
    pub(super) token: u64,
    pub(super) request: Bytes,
    /// It was written somewhere, so nobody knows what will become of it.
    pub(super) was_placed: bool,
}

/// Questions to a memory that have not been answered.
#[derive(Clone, Copy, Debug, Default)]
struct Open {
    look: bool,
    asked: bool,
    slots: bool,
    fetch: bool,
}

/// What is known before a life has a number.
#[derive(Debug, Default)]
struct Waking {
    seen: u8,
    /// The highest number of a life of this replica that any memory knows.
    highest: u64,
    /// What the own memory has granted.
    survey: Option<Survey>,
    /// It knows of no life.
    is_new: bool,
    /// The life has a number, and the own memory was told.
    is_told: bool,
}

/// How many bits of a request count within a life.
const ASKS_BITS: u32 = 32;

impl Replica {
    /// A processor that has not begun.
    pub fn new(options: Options, planted: Planted) -> Replica {
        let (me, replicas) = (options.me, options.shape.replicas);
        assert!(usize::from(me) < replicas, "replica {me} of {replicas}: they are counted from 0");
        let window = options.window;
        assert!((1..=MAX_WINDOW).contains(&window), "a window of {window} slots: take 1 to {MAX_WINDOW}");
        Replica {
            planted,
            me,
            random: Random::new(0),
            waking: Some(Waking::default()),
            life: 0,
            beat: 0,
            last_request: 0,
            trust: Trust::new(me, replicas),
            owner: None,
            applied: 0,
            told_applied: 0,
            sound: 0,
            recent: Recent::default(),
            pending: VecDeque::new(),
            first_sequence: 1,
            queue: VecDeque::new(),
            placed: VecDeque::new(),
            pool: Pool::new(),
            lead: None,
            last_proposal: 0,
            open: [Open::default(); MAX_REPLICAS],
            fetch: Fetch::default(),
            tales: core::array::from_fn(|_| Tale::default()),
            silent_ticks: 0,
            is_retired: false,
            told_role: None,
            options,
        }
    }

    /// Begins to live.
    pub fn start(&mut self, seed: u64, out: &mut Out<Mu>) {
        self.random = Random::new(seed);
        self.look_around(out);
        out.arm(Timer::Tick, self.options.pace.tick);
    }

    /// Its user asks for something.
    #[inline]
    pub fn on_command(&mut self, command: Command, out: &mut Out<Mu>) {
        match command {
            Command::Propose { token, request } => self.propose(token, request, out),
            Command::Died(replica) => {
                self.trust.died(replica);
                self.consider(out);
            }
            Command::Piece { to, bytes, is_last } => self.tell_piece(to, bytes, is_last, out),
            Command::Retire => self.is_retired = true,
        }
    }

    /// A memory has done something.
    #[inline]
    pub fn on_outcome(&mut self, memory: u8, outcome: Outcome, out: &mut Out<Mu>) {
        let open = &mut self.open[usize::from(memory)];
        match &outcome {
            Outcome::Home(_) => open.look = false,
            Outcome::Asked(_) => open.asked = false,
            Outcome::Slots(_) => open.slots = false,
            Outcome::Piece(_) => open.fetch = false,
            _ => {}
        }
        match outcome {
            Outcome::Wrote { generation, index, stood } => self.on_wrote(memory, generation, index, stood, out),
            Outcome::Home(home) => self.on_home(memory, home, out),
            Outcome::Asked(asked) => {
                self.silent_ticks = 0;
                self.on_asked(&asked, out);
            }
            Outcome::Slots(stretch) => self.on_slots(memory, *stretch, out),
            Outcome::Progress { generation, progress } => self.on_progress(memory, generation, progress, out),
            Outcome::Raised { generation, proposal, stood } => self.on_raised(memory, generation, proposal, stood, out),
            Outcome::Healed { generation, stood } => self.on_healed(memory, generation, stood, out),
            Outcome::Piece(piece) => self.on_piece(memory, *piece, out),
            Outcome::Lives { life } => {
                if life == self.life {
                    self.wake_up(out);
                }
            }
            Outcome::Survey(survey) => {
                if let Some(owner) = &mut self.owner {
                    owner.look_again(&survey);
                } else if let Some(waking) = &mut self.waking {
                    waking.survey = Some(*survey);
                    self.begin_life(out);
                } else {
                    self.owner = Some(Owner::new(self.options.shape, self.planted, *survey));
                }
            }
            Outcome::Published { generation } => self.on_published(generation, out),
        }
    }

    /// A timer came due.
    pub fn on_timer(&mut self, timer: Timer, out: &mut Out<Mu>) {
        match timer {
            Timer::Tick => self.tick(out),
            Timer::Look => self.look(out),
            Timer::Flush => self.flush_if_idle(out),
            Timer::Bid => self.consider(out),
            Timer::Step(_) | Timer::Say(_) => panic!("a processor has no {timer:?}"),
        }
    }

    /// The link to a memory broke: of what was asked of it, some may not have happened.
    pub fn on_reconnect(&mut self, memory: u8, out: &mut Out<Mu>) {
        self.open[usize::from(memory)] = Open::default();
        if memory == self.me && self.waking.is_some() {
            // What it was told may have been told by a memory that is lost since.
            self.waking = Some(Waking::default());
            return self.look_around(out);
        }
        if memory == self.me {
            // What it has granted, told and noted there may have got lost, and all else with it.
            self.owner = None;
            self.sound = 0;
            self.told_applied = u64::MAX;
            self.ask(self.me, Verb::Live { life: self.life }, out);
            self.ask(self.me, Verb::Survey, out);
        }
        self.renew(memory, out);
    }

    /// The turn is over.
    #[inline]
    pub fn finish(&mut self, out: &mut Out<Mu>) {
        self.arm_flush(out);
        let role = self.role();
        if self.told_role != Some(role) {
            self.told_role = Some(role);
            out.emit(Event::Role(role));
        }
    }

    // Coming to life.

    /// Asks all memories what they know of this replica's lives.
    fn look_around(&mut self, out: &mut Out<Mu>) {
        for memory in self.replicas() {
            self.look_at(memory, out);
        }
        self.ask(self.me, Verb::Survey, out);
    }

    /// Which life this is must be above every life before, whoever remembers them.
    fn wake(&mut self, memory: u8, home: Home, out: &mut Out<Mu>) {
        let Some(waking) = &mut self.waking else { return };
        waking.seen |= 1 << memory;
        waking.highest = waking.highest.max(home.asked >> ASKS_BITS);
        if memory == self.me {
            waking.highest = waking.highest.max(home.life);
            waking.is_new = home.life == 0;
        }
        self.begin_life(out);
    }

    /// Which life this is.
    fn begin_life(&mut self, out: &mut Out<Mu>) {
        let Some(waking) = &mut self.waking else { return };
        let Some(survey) = &waking.survey else { return };
        let seen = waking.seen.count_ones() as usize;
        if waking.is_told || waking.seen & 1 << self.me == 0 || seen < self.options.shape.majority() {
            return;
        }
        waking.is_told = true;
        self.life = waking.highest + 1;
        if waking.is_new && !survey.is_whole {
            // A memory that was lost may have known of later lives than those that could be asked.
            self.life += self.random.below(1 << 16);
        }
        self.last_request = self.life << ASKS_BITS;
        self.ask(self.me, Verb::Live { life: self.life }, out);
    }

    /// The own memory knows of this life. What it says of one that was thought of before its link broke wakes nobody: the
    /// life gets another number.
    fn wake_up(&mut self, out: &mut Out<Mu>) {
        let waking = self.waking.take_if(|waking| waking.is_told);
        let Some(survey) = waking.and_then(|waking| waking.survey) else { return };
        self.owner = Some(Owner::new(self.options.shape, self.planted, survey));
        self.consider(out);
        out.arm(Timer::Look, self.options.pace.look);
    }

    // Keeping time.

    fn tick(&mut self, out: &mut Out<Mu>) {
        out.arm(Timer::Tick, self.options.pace.tick);
        if let Some(waking) = &self.waking {
            if waking.is_told {
                self.ask(self.me, Verb::Live { life: self.life }, out);
            } else {
                self.look_around(out);
            }
            return;
        }
        if self.owner.as_ref().is_some_and(|owner| !owner.is_whole()) {
            self.ask(self.me, Verb::Survey, out);
        }
        self.silent_ticks = self.silent_ticks.saturating_add(1);
        if self.is_well() {
            // Whoever is stuck shows it by standing still: the same loop that replicates counts.
            self.beat += 1;
            self.ask(self.me, Verb::Beat { beat: self.beat }, out);
        }
        self.tell_applied(out);
        self.trust.tick();
        for memory in self.others() {
            self.look_at(memory, out);
        }
        self.tick_fetch(out);
        self.tick_lead(out);
        self.consider(out);
    }

    /// Looks at its own memory: at what others ask, and at what a leader has written.
    fn look(&mut self, out: &mut Out<Mu>) {
        let leads = self.lead.as_ref().is_some_and(|lead| lead.is_leading());
        out.arm(Timer::Look, if leads { self.options.pace.glance } else { self.options.pace.look });
        let open = &mut self.open[usize::from(self.me)].asked;
        if !core::mem::replace(open, true) {
            self.ask(self.me, Verb::Asked, out);
        }
        self.look_for_grants(out);
        self.look_for_pieces(out);
        if leads {
            // Whoever leads next, or comes later, need not look at all that is behind this.
            self.flush(out);
        }
        if self.lead.is_none() {
            self.look_for_slots(out);
        }
    }

    /// Whether others may count on it: awake, with a memory that answers and has lost nothing, and not so far
    /// behind that it could not lead.
    pub fn is_well(&self) -> bool {
        let is_whole = self.owner.as_ref().is_some_and(Owner::is_whole);
        let is_near = self.silent_ticks < UNSEEN_TICKS;
        self.waking.is_none() && is_whole && is_near && !self.fetch.is_behind() && !self.is_retired
    }

    /// Begins to lead, if it is the one to.
    pub(super) fn consider(&mut self, out: &mut Out<Mu>) {
        self.trust.set_well(self.is_well());
        let is_mine = self.trust.leader() == Some(self.me);
        if is_mine && self.lead.is_none() && self.waking.is_none() {
            self.bid(out);
        }
        if !is_mine && !self.lead.as_ref().is_some_and(|lead| lead.is_leading()) {
            self.lead = None;
            self.lose_all(out);
        }
    }

    /// What it is, for its user.
    fn role(&self) -> Role {
        match (&self.lead, self.trust.leader()) {
            (Some(lead), _) if lead.is_leading() => Role::Leading,
            (_, Some(other)) if other != self.me => Role::Following(Some(other)),
            _ => Role::Following(None),
        }
    }

    // What is asked of it.

    fn on_home(&mut self, memory: u8, home: Home, out: &mut Out<Mu>) {
        if self.waking.is_some() {
            return self.wake(memory, home, out);
        }
        self.last_request = self.last_request.max(home.asked).max(home.served);
        self.trust.saw(memory, home);
        self.on_grant(memory, home, out);
    }

    fn on_asked(&mut self, asked: &Asked, out: &mut Out<Mu>) {
        let Some(owner) = &mut self.owner else { return };
        for verb in owner.answer(asked) {
            self.ask(self.me, verb, out);
        }
        self.on_wants(asked, out);
    }

    fn on_published(&mut self, generation: u64, out: &mut Out<Mu>) {
        let Some(owner) = &mut self.owner else { return };
        owner.published(generation);
        if owner.grant().is_some_and(|grant| grant.to != self.me) && self.lead.is_some() {
            self.abort(out);
        }
    }

    // What its user proposes.

    #[inline]
    fn propose(&mut self, token: u64, request: Bytes, out: &mut Out<Mu>) {
        let longest = self.options.shape.value_bytes - REQUEST_HEAD;
        let refusal = if request.len() > longest {
            Some(Refusal::TooLong { longest })
        } else if self.lead.is_none() && self.trust.leader() != Some(self.me) {
            Some(Refusal::NotLeader(self.trust.leader()))
        } else if self.pending.len() >= self.options.queue {
            Some(Refusal::Busy)
        } else {
            None
        };
        if let Some(why) = refusal {
            out.emit(Event::Refused { token, why });
            return;
        }
        let sequence = self.first_sequence + self.pending.len() as u64;
        self.pending.push_back(Some(Pending { token, request, was_placed: false }));
        if self.leads() {
            self.queue.push_back(sequence);
            self.place(out);
        }
    }

    /// Who proposed this, if it was the user of this life.
    #[inline]
    pub(super) fn answer(&mut self, tag: Tag) -> Option<u64> {
        let nth = tag.after(self.me, self.life, self.first_sequence)?;
        let token = self.pending.get_mut(nth)?.take()?.token;
        while let Some(None) = self.pending.front() {
            self.pending.pop_front();
            self.first_sequence += 1;
        }
        Some(token)
    }

    /// Somebody else leads: what was proposed here may happen or not, and what was not even written will not.
    fn lose_all(&mut self, out: &mut Out<Mu>) {
        self.queue.clear();
        self.first_sequence += self.pending.len() as u64;
        for Pending { token, was_placed, .. } in self.pending.drain(..).flatten() {
            if was_placed {
                out.emit(Event::Unknown { token });
            } else {
                out.emit(Event::Refused { token, why: Refusal::NotLeader(self.trust.leader()) });
            }
        }
    }

    // What everything else here needs.

    /// Looks how a replica is, unless that was asked already.
    pub(super) fn look_at(&mut self, memory: u8, out: &mut Out<Mu>) {
        let open = &mut self.open[usize::from(memory)].look;
        if !core::mem::replace(open, true) {
            self.ask(memory, Verb::Look, out);
        }
    }

    /// The same for the slots that it follows,
    pub(super) fn ask_for_slots(&mut self, verb: Verb, out: &mut Out<Mu>) {
        let open = &mut self.open[usize::from(self.me)].slots;
        if !core::mem::replace(open, true) {
            self.ask(self.me, verb, out);
        }
    }

    /// and for a piece of a state.
    pub(super) fn ask_for_piece(&mut self, memory: u8, out: &mut Out<Mu>) {
        let open = &mut self.open[usize::from(memory)].fetch;
        if !core::mem::replace(open, true) {
            self.ask(memory, Verb::Fetch, out);
        }
    }

    /// Tells everybody how far it has applied.
    pub(super) fn tell_applied(&mut self, out: &mut Out<Mu>) {
        if self.told_applied != self.applied {
            self.told_applied = self.applied;
            self.ask(self.me, Verb::Apply { applied: self.applied }, out);
        }
    }

    pub(super) fn replicas(&self) -> impl Iterator<Item = u8> + use<> {
        0..self.options.shape.replicas as u8
    }

    pub(super) fn others(&self) -> impl Iterator<Item = u8> + use<> {
        let me = self.me;
        self.replicas().filter(move |replica| *replica != me)
    }

    /// A number above every one that it has asked by.
    pub(super) fn next_request(&mut self) -> u64 {
        self.last_request += 1;
        self.last_request
    }

    #[inline]
    pub(super) fn ask(&self, memory: u8, verb: Verb, out: &mut Out<Mu>) {
        out.send(self.memory(memory), Message::Do(verb));
    }

    /// The process that is the memory of a replica.
    #[inline]
    pub(super) fn memory(&self, replica: u8) -> ProcessId {
        ProcessId(u16::from(replica) + self.options.shape.replicas as u16)
    }

    /// How far its service has applied the log.
    pub fn applied(&self) -> u64 {
        self.applied
    }

    /// How far a replica had applied the log when it was looked at last, if it ever was.
    pub fn applied_by(&self, replica: usize) -> Option<u64> {
        if replica == usize::from(self.me) {
            return Some(self.applied);
        }
        let is_one = replica < self.options.shape.replicas;
        is_one.then(|| self.trust.peer(replica as u8).home.applied)
    }

    /// Its options.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// Whether it leads.
    pub fn leads(&self) -> bool {
        self.lead.as_ref().is_some_and(|lead| lead.is_leading())
    }

    /// If it leads, and does not use a slot again before this replica has applied it: how far it knows that to be.
    pub fn waits_for(&self, replica: u8) -> Option<u64> {
        let lead = self.lead.as_deref().filter(|lead| lead.is_leading())?;
        let is_me = replica == self.me;
        let has_applied = if is_me { self.applied } else { self.trust.peer(replica).home.applied };
        let member = lead.members.get(usize::from(replica)).filter(|member| member.is_active)?;
        // What was jumped over there is not in its memory: it must have come by it otherwise.
        let is_kept = has_applied >= member.missing_below && (is_me || self.trust.is_trusted(replica));
        is_kept.then_some(has_applied)
    }

    /// How many requests wait for an answer.
    pub fn pending(&self) -> usize {
        self.pending.iter().flatten().count()
    }

    /// Panics unless what it holds hangs together.
    pub fn check(&self) {
        assert!(self.queue.len() <= self.pending.len(), "what waits for a slot was proposed");
        if let Some(lead) = &self.lead {
            lead.check(self.applied);
        }
    }

    /// Tells what somebody who watches wants to see.
    pub fn gauges(&self, tell: &mut dyn FnMut(&'static str, u64)) {
        tell("mu_life", self.life);
        tell("mu_applied", self.applied);
        tell("mu_pending", self.pending.len() as u64);
        tell("mu_leads", u64::from(self.leads()));
        tell("mu_behind", u64::from(self.fetch.is_behind()));
    }
}
