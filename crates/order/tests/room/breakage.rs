//! What breaks in rooms of protocols that have a log, and must not harm any of
//! them.

use skein_sim::{DiskHabits, MILLISECOND, SECOND, Trace};

use super::{CLIENT, G, Guest, H, Room, TO_BOTH, TO_G, message};

impl<M: Guest> Room<M> {
    /// From a quiet moment on: p0 proposes m and dies before that is on its disk; of its followers only p2 has heard
    /// of m, so nobody knows m decided.
    pub(crate) fn leader_dies_after_it_has_proposed(mut self) -> Room<M> {
        self.run_until(2 * SECOND);
        self.run_to_a_quiet_moment(10);
        let m = message(1, 1, TO_BOTH, "m");
        self.world.set_trace(Trace::brief());
        let slow = DiskHabits { fastest_sync: 100 * MILLISECOND, slowest_sync: 100 * MILLISECOND };
        self.world.set_disk_habits(G[0], slow);
        self.world.set_cut(G[0], G[1], true);
        self.multicast(CLIENT, m.clone());
        self.run(2);
        self.world.crash(G[0]);
        self.run_until(self.world.now() + 5 * SECOND / 4);
        for process in [G[1], G[2], H[0], H[1], H[2]] {
            assert!(self.delivery(process, m.id).is_some(), "{process} has not delivered");
        }
        self
    }

    /// p2 comes back with an empty disk, and is taken in again within a second.
    pub(crate) fn replica_loses_its_disk(mut self) -> Room<M> {
        self.run_until(2 * SECOND);
        for sequence in 1..=6 {
            self.multicast(CLIENT, message(1, sequence, TO_G, ""));
            self.run(10);
        }
        self.run_to_a_quiet_moment(10);
        self.world.set_trace(Trace::brief());
        self.world.crash(G[2]);
        self.world.lose_disk(G[2]);
        self.world.restart(G[2]);
        self.run_until(self.world.now() + SECOND);
        assert_eq!(self.applied(G[2]), 6);
        assert!(G.iter().all(|process| self.world.remembers(*process)));
        self
    }

    /// p2 is away while nine messages are delivered, and has them a second after it has come back.
    pub(crate) fn follower_is_away_for_long(mut self) -> Room<M> {
        self.run_until(2 * SECOND);
        self.multicast(CLIENT, message(1, 1, TO_G, ""));
        self.run_until(3 * SECOND);
        self.world.crash(G[2]);
        for sequence in 2..=10 {
            self.multicast(CLIENT, message(1, sequence, TO_G, ""));
            self.run(10);
        }
        self.run_to_a_quiet_moment(10);
        self.world.set_trace(Trace::brief());
        self.world.restart(G[2]);
        self.run_until(self.world.now() + SECOND);
        assert_eq!(self.applied(G[2]), 10);
        self
    }

    /// p4 has lost its disk, and its group, while the other group delivers m and tells p4 of it. The others of p4's
    /// group hear nothing of that: when they take p4 in once more, it is the only one who knows.
    pub(crate) fn one_without_memory_is_the_only_one_who_knows(mut self) {
        self.run_until(2 * SECOND);
        self.world.crash(H[1]);
        self.world.lose_disk(H[1]);
        self.world.restart(H[1]);
        self.part_from_its_group(true);
        self.run(300);
        for g in G {
            self.world.set_cut(g, H[0], true);
            self.world.set_cut(g, H[2], true);
        }
        let m = message(1, 1, TO_BOTH, "m");
        self.multicast(CLIENT, m.clone());
        self.run(20);
        assert!(G.iter().all(|process| self.delivery(*process, m.id).is_some()));
        self.part_from_its_group(false);
        self.run_until(self.world.now() + 5 * SECOND);
        assert!(H.iter().all(|process| self.delivery(*process, m.id).is_some()), "{:?}", self.deliveries.keys());
    }

    fn part_from_its_group(&mut self, is_cut: bool) {
        for other in [H[0], H[2]] {
            self.world.set_cut(H[1], other, is_cut);
            self.world.set_cut(other, H[1], is_cut);
        }
    }
}
