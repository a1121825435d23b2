//! How streams are written to: once at the end of a turn, those that were
//! spoken to. Whoever does not take what it is told is cut off here, and
//! whoever was told the last is taken leave of.

use mio::Registry;

use super::StreamId;
use super::desk::Desk;
use super::stream::Phase;

/// So much written to one stream is given to its socket before the turn ends, so that long answers to many do not
/// stand in memory together.
pub(super) const EARLY: usize = 256 << 10;

impl Desk {
    /// What was being written is all there.
    pub(super) fn settle_up(&mut self) {
        let Some((slot, before)) = self.handed.take() else { return };
        let Some(stream) = self.slots.get(slot) else { return };
        let told = stream.said.len().saturating_sub(before);
        stream.longest = stream.longest.max(told);
        self.tally.told += told as u64;
        if stream.said.len() >= EARLY {
            return self.flush_one(slot);
        }
        self.sum_up(slot);
        self.bound(slot);
    }

    fn flush_one(&mut self, slot: u32) {
        let Some(stream) = self.slots.get(slot).filter(|stream| !stream.is_doomed) else { return };
        if let Err(error) = stream.flush(self.now, &mut self.spares) {
            return self.doom(slot, &error.to_string());
        }
        let has_room_again = stream.waits_for_room && stream.backlog() <= self.settings.most_backlog / 2;
        if has_room_again {
            (stream.waits_for_room, stream.is_resumed) = (false, true);
            stream.begun = stream.begun.map(|_| (self.now, 0));
        }
        let (takes_more, is_done) = (stream.takes_more(), stream.phase == Phase::Leaves && stream.backlog() == 0);
        if takes_more {
            self.touch(slot);
        }
        if is_done {
            self.leaving.push(slot);
        }
        if has_room_again {
            self.queue(slot);
        }
        self.sum_up(slot);
        self.bound(slot);
    }

    /// Cuts off whoever does not take what it is told.
    fn bound(&mut self, slot: u32) {
        let Some(stream) = self.slots.get(slot) else { return };
        let backlog = stream.backlog();
        if backlog.saturating_sub(stream.longest) > self.settings.most_backlog {
            self.doom(slot, &format!("it does not take what it is told: {backlog} bytes wait"));
        }
        while self.sums.backlog > self.settings.most_backlog_all {
            let heaviest = self.slots.iter().filter(|stream| !stream.is_doomed).max_by_key(|stream| stream.backlog());
            let Some((slot, most)) = heaviest.map(|stream| (stream.id.slot, stream.backlog())) else { break };
            let why = format!("{} bytes wait for all clients, and {most} of them for this one", self.sums.backlog);
            self.doom(slot, &why);
        }
    }

    /// Writes once to everybody who was spoken to, and takes leave of those who go. Names those of whom the protocol
    /// has to hear that they are gone.
    pub(super) fn flush(&mut self, registry: &Registry, gone: &mut Vec<StreamId>) {
        self.settle_up();
        let touched = std::mem::take(&mut self.touched);
        for slot in &touched {
            if let Some(stream) = self.slots.get(*slot) {
                stream.is_touched = false;
                self.flush_one(*slot);
            }
        }
        // Those that take more are there again.
        let again = std::mem::replace(&mut self.touched, touched);
        self.touched.clear();
        self.touched.extend(again);
        let mut leaving = std::mem::take(&mut self.leaving);
        for slot in leaving.drain(..) {
            let now = self.now;
            let Some(stream) = self.slots.get(slot).filter(|stream| !stream.is_doomed) else { continue };
            gone.push(stream.id);
            self.known -= 1;
            stream.hang_up(now);
            if stream.is_ended {
                self.doom(slot, "all is said");
            } else {
                self.queue(slot);
                self.watch(slot);
            }
        }
        self.leaving = leaving;
        let mut doomed = std::mem::take(&mut self.doomed);
        for slot in doomed.drain(..) {
            let Some(mut stream) = self.slots.remove(slot) else { continue };
            let _ = registry.deregister(&mut stream.socket);
            if stream.is_known() {
                self.known -= 1;
                gone.push(stream.id);
            }
        }
        self.doomed = doomed;
    }
}
