//! How a state gets from one replica to another. Whoever finds that the next
//! slot is gone asks another replica, by a word in that one's memory, for its
//! state; the other puts it there piece by piece, each when the one before has
//! been taken. Until it has the state it does not count as well.
//!
//! A want names the transfer and the piece, so that neither an answer to an
//! earlier want nor a life that has ended is taken for an answer. The first
//! piece is Mu's own: how far the state goes, and which requests came last.

use alloc::vec::Vec;

use bytes::{Buf, BufMut, Bytes};
use skein_machine::Out;

use super::memory::{Asked, Piece};
use super::process::{Event, Mu};
use super::replica::Replica;
use super::request::Recent;
use super::verb::Verb;

/// How many bits of a want number the piece: so many of the longest pieces are more than a memory holds.
const PIECE_BITS: u32 = 24;

/// Ticks without a piece after which another replica is asked.
const PATIENCE_TICKS: u32 = 40;

/// Ticks without a slot, while others go on, after which it takes itself to be behind.
const BEHIND_TICKS: u32 = 24;

/// Ticks for which nobody had a state to tell: by then whoever lives has been looked at often.
const STUCK_TICKS: u32 = 400;

/// The longest state that is taken from another: what a process can hold twice for a moment.
pub const MAX_STATE: usize = 1 << 32;

/// What a replica fetches, if anything.
#[derive(Clone, Debug, Default)]
pub(super) struct Fetch {
    is_behind: bool,
    /// It is behind only in that others went on without it: nothing is known to be missing.
    lags: bool,
    from: Option<u8>,
    /// Counts the transfers of this life.
    transfers: u64,
    /// The piece that it waits for.
    want: u64,
    about: Option<Bytes>,
    pieces: Vec<u8>,
    ticks: u32,
    /// Others have gone on for so many ticks, and it has not.
    lag_ticks: u32,
    lag_applied: u64,
    stuck_ticks: u32,
}

/// What a replica tells another.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tale {
    /// The last piece that was asked for: `None` until this life has looked.
    want: Option<u64>,
    /// This life has begun to tell it, and may go on.
    is_ours: bool,
    /// Its user was asked for it.
    waits: bool,
}

impl Fetch {
    pub(super) fn is_behind(&self) -> bool {
        self.is_behind
    }

    /// The log goes on from where it is.
    pub(super) fn catch_up(&mut self) {
        if self.is_behind {
            (self.is_behind, self.from, self.about) = (false, None, None);
            self.pieces.clear();
        }
    }
}

impl Replica {
    /// It lacks what nobody writes to it any more.
    pub(super) fn fall_behind(&mut self, out: &mut Out<Mu>) {
        self.fetch.lags = false;
        if !self.fetch.is_behind {
            self.fetch.is_behind = true;
            self.fetch.stuck_ticks = 0;
            self.ask_for_state(out);
            self.consider(out);
        }
    }

    /// Asks whoever is furthest.
    fn ask_for_state(&mut self, out: &mut Out<Mu>) {
        let is_further = |nth: &u8| {
            *nth != self.me && self.trust.is_trusted(*nth) && self.trust.peer(*nth).home.applied > self.applied
        };
        // The one that was asked before comes last: it may have died with the others none the wiser.
        let before = self.fetch.from;
        let best = self
            .replicas()
            .filter(is_further)
            .max_by_key(|nth| (Some(*nth) != before, self.trust.peer(*nth).home.applied));
        let fetch = &mut self.fetch;
        (fetch.from, fetch.ticks, fetch.about) = (best, 0, None);
        fetch.pieces.clear();
        fetch.transfers += 1;
        // Lives are told apart by the middle of the want.
        fetch.want = ((self.life & 0xf_ffff) << 20 | fetch.transfers & 0xf_ffff) << PIECE_BITS;
        if let Some(from) = best {
            let want = fetch.want;
            self.ask(from, Verb::Want { want }, out);
        }
    }

    /// Looks whether the piece is there.
    pub(super) fn look_for_pieces(&mut self, out: &mut Out<Mu>) {
        if let Some(from) = self.fetch.from.filter(|_| self.fetch.is_behind) {
            self.ask_for_piece(from, out);
        }
    }

    /// A piece of the state of another.
    pub(super) fn on_piece(&mut self, memory: u8, piece: Piece, out: &mut Out<Mu>) {
        let fetch = &mut self.fetch;
        if !fetch.is_behind || fetch.from != Some(memory) || piece.want != fetch.want {
            return;
        }
        fetch.ticks = 0;
        match fetch.about {
            None => fetch.about = Some(piece.bytes),
            Some(_) => fetch.pieces.extend_from_slice(&piece.bytes),
        }
        if fetch.pieces.len() > MAX_STATE {
            return self.ask_for_state(out);
        }
        if !piece.is_last {
            fetch.want += 1;
            let want = fetch.want;
            return self.ask(memory, Verb::Want { want }, out);
        }
        let about = fetch.about.take().filter(|about| about.len() >= 8);
        let state = core::mem::take(&mut fetch.pieces);
        let Some(mut about) = about else { return self.ask_for_state(out) };
        let applied = about.get_u64_le();
        if applied <= self.applied {
            return self.ask_for_state(out);
        }
        self.applied = applied;
        self.recent = Recent::decode(about);
        let fetch = &mut self.fetch;
        (fetch.is_behind, fetch.from) = (false, None);
        out.emit(Event::Install { state: Bytes::from(state) });
        self.tell_applied(out);
    }

    /// Time passes for one who is behind, or who may be.
    pub(super) fn tick_fetch(&mut self, out: &mut Out<Mu>) {
        // What the dead have applied nobody can be told, and whoever leads next will go on from what is in the log.
        let living = self.others().filter(|nth| self.trust.is_trusted(*nth));
        let furthest = living.map(|nth| self.trust.peer(nth).home.applied).max().unwrap_or(0);
        let applied = self.applied;
        let fetch = &mut self.fetch;
        if fetch.is_behind && fetch.lags && furthest <= applied {
            // Nobody is further any more. If all waited for each other, nobody would lead.
            fetch.catch_up();
        }
        if fetch.is_behind {
            fetch.ticks += 1;
            fetch.stuck_ticks = if fetch.from.is_some() { 0 } else { fetch.stuck_ticks + 1 };
            if fetch.stuck_ticks == STUCK_TICKS {
                out.emit(Event::Stuck);
            }
            if fetch.from.is_none() || fetch.ticks > PATIENCE_TICKS {
                self.ask_for_state(out);
            }
            return;
        }
        let lags = self.lead.is_none() && furthest > self.applied && fetch.lag_applied == self.applied;
        fetch.lag_ticks = if lags { fetch.lag_ticks + 1 } else { 0 };
        fetch.lag_applied = self.applied;
        if fetch.lag_ticks > BEHIND_TICKS {
            fetch.lag_ticks = 0;
            self.fall_behind(out);
            self.fetch.lags = true;
        }
    }

    /// Others want to be told pieces of this state.
    pub(super) fn on_wants(&mut self, asked: &Asked, out: &mut Out<Mu>) {
        for to in self.others() {
            let want = asked.wants[usize::from(to)];
            let tale = &mut self.tales[usize::from(to)];
            let Some(before) = tale.want else {
                // What stands there already may have been answered by a former life: whoever asked may have the beginning of
                // one state, and must not be told the end of another.
                tale.want = Some(want);
                continue;
            };
            if want == before || want == 0 || tale.waits || self.fetch.is_behind {
                continue;
            }
            let is_first = want & ((1 << PIECE_BITS) - 1) == 0;
            if is_first {
                *tale = Tale { want: Some(want), is_ours: true, waits: false };
                let mut about = Vec::new();
                about.put_u64_le(self.applied);
                self.recent.encode(&mut about);
                out.emit(Event::Snapshot { to });
                let piece = Piece { want, is_last: false, bytes: Bytes::from(about) };
                self.ask(self.me, Verb::Tell { replica: to, piece }, out);
            } else if want == before + 1 && tale.is_ours {
                *tale = Tale { want: Some(want), is_ours: true, waits: true };
                out.emit(Event::Piece { to, most: self.options.shape.piece_bytes });
            }
            // Anything else goes on with what a former life has begun: whoever asks will begin anew.
        }
    }

    /// The user hands over a piece.
    pub(super) fn tell_piece(&mut self, to: u8, bytes: Bytes, is_last: bool, out: &mut Out<Mu>) {
        let most = self.options.shape.piece_bytes;
        assert!(bytes.len() <= most, "a piece of {} bytes, where {most} fit", bytes.len());
        let Some(tale) = self.tales.get_mut(usize::from(to)).filter(|tale| tale.waits) else { return };
        tale.waits = false;
        let Some(want) = tale.want else { return };
        let piece = Piece { want, is_last, bytes };
        self.ask(self.me, Verb::Tell { replica: to, piece }, out);
    }
}
