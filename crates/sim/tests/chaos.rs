//! Everything that can happen to processes, links and disks, at random and all
//! at once, against the promises that a host makes to a machine.

#[allow(dead_code)] // puppets can do more than is asked of them here
mod puppet;

use std::collections::{BTreeMap, BTreeSet};

use puppet::{Do, Saw, Stage};
use skein_machine::{Boot, ProcessId, Random};
use skein_sim::{DiskHabits, MILLISECOND, Nanos, SECOND};

const PUPPETS: u16 = 3;

/// What was asked of the puppets, and what they have seen so far. Words are
/// numbered over the whole run.
#[derive(Default)]
struct Judge {
    words: u64,
    /// What each was asked to send to each, in order.
    sent: BTreeMap<(u16, u16), Vec<u64>>,
    /// The newest word that each has heard of each.
    newest: BTreeMap<(u16, u16), u64>,
    /// Who may miss something of whom before the next word: the link is new.
    may_skip: BTreeSet<(u16, u16)>,
    /// The words of each that somebody has heard: they are on its disk.
    durable: BTreeMap<u16, BTreeSet<u64>>,
    /// The words of each up to this one were on a disk that was lost.
    lost: BTreeMap<u16, u64>,
    heard: usize,
}

impl Judge {
    /// A puppet that is up persists a word and then sends it.
    fn ask(&mut self, stage: &mut Stage, from: u16, to: u16) {
        if stage.world.is_up(ProcessId(from)) {
            self.words += 1;
            stage.ask(from, &[Do::Persist(self.words), Do::Send(to, self.words)]);
            self.sent.entry((from, to)).or_default().push(self.words);
        }
    }

    fn play(&mut self, stage: &mut Stage, span: Nanos) {
        stage.play(span);
        for (puppet, saw) in stage.seen_by_all() {
            match saw {
                Saw::Heard(from, word) => self.hear(from, puppet, word),
                Saw::Reconnect(from) => _ = self.may_skip.insert((from, puppet)),
                Saw::Start(boot, records) => self.start(puppet, boot, &records),
                Saw::Stop => {}
                other => panic!("nothing else was asked for: {other:?}"),
            }
        }
    }

    /// Words come in the order sent and never twice, and none is missing on one connection.
    fn hear(&mut self, from: u16, to: u16, word: u64) {
        let sent = &self.sent[&(from, to)];
        let place = sent.binary_search(&word).expect("what is heard was sent");
        let expected = place.checked_sub(1).map(|place| sent[place]);
        let before = self.newest.insert((from, to), word);
        assert!(before < Some(word), "p{to} heard {word} of p{from} after {before:?}");
        let may_skip = self.may_skip.remove(&(from, to));
        assert!(before == expected || may_skip, "p{to} heard {word} of p{from} right after {before:?}");
        self.durable.entry(from).or_default().insert(word);
        self.heard += 1;
    }

    /// A life begins with everything that earlier ones have shown to be durable, or with nothing.
    fn start(&mut self, puppet: u16, boot: Boot, records: &[u64]) {
        self.may_skip.extend((0..PUPPETS).map(|other| (other, puppet)));
        if let Boot::Amnesiac { .. } = boot {
            assert_eq!(records, [0; 0], "p{puppet} is served a log that was lost");
            self.lost.insert(puppet, self.words);
        }
        assert!(records.is_sorted(), "the log of p{puppet} is out of order: {records:?}");
        let lost = self.lost.get(&puppet).copied().unwrap_or(0);
        for word in self.durable.get(&puppet).into_iter().flatten().filter(|word| **word > lost) {
            assert!(records.binary_search(word).is_ok(), "p{puppet} showed {word} and lost it: {records:?}");
        }
    }
}

fn strike(stage: &mut Stage, random: &mut Random) {
    let victim = random.below(u64::from(PUPPETS)) as u16;
    let (a, b) = (ProcessId(victim), ProcessId((victim + random.between(1, 2) as u16) % PUPPETS));
    match random.below(24) {
        0 if stage.world.is_up(a) => stage.crash(victim),
        1 | 2 if !stage.world.is_up(a) => stage.restart(victim),
        3 if !stage.world.is_up(a) && random.chance(0.2) => stage.world.lose_disk(a),
        4 if !stage.world.is_up(a) && random.chance(0.2) => _ = stage.world.rot_disk(a),
        5 | 6 => stage.world.break_link(a, b),
        7 => stage.world.set_cut(a, b, true),
        8 | 9 => stage.world.set_cut(a, b, false),
        10 => stage.world.pause(a),
        11 | 12 => stage.world.resume(a),
        13 => stage.world.set_bandwidth(a, b, Some(random.between(50, 5_000))),
        14 | 15 => stage.world.set_bandwidth(a, b, None),
        16 => stage.world.set_slowdown(a, b, random.between(1, 50) as f64),
        17 => stage.world.fail_next_sync(a),
        18 if random.chance(0.3) => stage.world.set_disk_full(a, true),
        18 | 19 => stage.world.set_disk_full(a, false),
        20 => {
            let habits = DiskHabits { fastest_sync: 0, slowest_sync: random.between(1, 50) * MILLISECOND };
            stage.world.set_disk_habits(a, habits);
        }
        _ => {}
    }
}

/// The end of everything: whoever is not up starts, whatever is broken stands again.
fn calm(stage: &mut Stage, judge: &mut Judge) {
    stage.world.calm_network();
    for process in (0..PUPPETS).map(ProcessId) {
        stage.world.set_disk_full(process, false);
        stage.world.spare_next_sync(process);
        stage.world.set_disk_habits(process, DiskHabits::GOOD);
        stage.world.resume(process);
        if !stage.world.is_up(process) {
            stage.world.restart(process);
        }
    }
    judge.play(stage, SECOND);
}

#[test]
fn the_promises_hold_whatever_happens() {
    let mut heard = 0;
    for seed in 0..400 {
        println!("seed {seed}");
        let mut random = Random::new(seed);
        let mut stage = Stage::new(PUPPETS, seed);
        let mut judge = Judge::default();
        for _ in 0..1_000 {
            let from = random.below(u64::from(PUPPETS)) as u16;
            judge.ask(&mut stage, from, (from + random.between(1, 2) as u16) % PUPPETS);
            judge.play(&mut stage, random.below(10 * MILLISECOND));
            if random.chance(0.04) {
                strike(&mut stage, &mut random);
            }
        }
        calm(&mut stage, &mut judge);
        heard += judge.heard;
        judge.heard = 0;
        for from in 0..PUPPETS {
            judge.ask(&mut stage, from, (from + 1) % PUPPETS);
            judge.ask(&mut stage, from, (from + 2) % PUPPETS);
        }
        judge.play(&mut stage, SECOND);
        assert_eq!(judge.heard, 6, "all links stand again in the end");
    }
    assert!(heard > 50_000, "{heard} words are too few to prove anything");
}
