//! What outlives a process that is killed, who sees it die, and who may take
//! its seat.

use std::path::Path;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use rustix::event::{PollFd, PollFlags, poll};
use skein_runtime::shm::{MemorySet, SharedWords};

use crate::stage::{Actor, Scratch, listen, plan, say};

/// Counts up through all words of replica 1, and says how far, until it is killed.
pub(crate) fn count(folder: &Path) {
    let mut set = MemorySet::open_or_create(folder, &plan()).unwrap();
    let _seat = set.take(1).unwrap();
    let words = set.memory(1).unwrap().words();
    for number in words[0].load(Relaxed) + 1.. {
        words[1 + number as usize % (words.len() - 1)].store(number, Relaxed);
        words[0].store(number, Release);
        if number % 1_000 == 0 {
            say(number);
        }
    }
}

#[test]
fn words_outlive_a_process_that_is_killed() {
    let scratch = Scratch::new();
    let mut last = 0;
    for life in 1..=5 {
        let mut actor = Actor::start("count", &scratch.set());
        let mut promised: u64 = 0;
        while promised < last + 5_000 {
            promised = actor.hear().unwrap().parse().unwrap();
        }
        actor.kill();
        let set = MemorySet::open_or_create(&scratch.set(), &plan()).unwrap();
        let memory = set.memory(1).unwrap();
        assert!(memory.watch().unwrap().is_dead() && !memory.is_blank());
        assert!(memory.is_orphan(), "the system has marked it");
        let words = memory.words();
        last = words[0].load(Acquire);
        assert!(last >= promised, "life {life}: {promised} were counted, {last} are there");
        let others = words.len() - 1;
        for back in 0..others as u64 {
            let number = last - back;
            let word = words[1 + number as usize % others].load(Relaxed);
            // It may have been killed after it had stored the next one and before it said so.
            assert!(word == number || word == last + 1, "life {life}: {word} stands where {number} should");
        }
    }
}

#[test]
fn a_thread_that_ends_in_order_leaves_no_orphan() {
    let scratch = Scratch::new();
    let mut set = MemorySet::open_or_create(&scratch.set(), &plan()).unwrap();
    let mut other = MemorySet::open_or_create(&scratch.set(), &plan()).unwrap();
    let seat = std::thread::spawn(move || other.take(1).unwrap()).join().unwrap();
    assert!(!set.memory(1).unwrap().is_orphan(), "its seat has gone to another thread");
    drop(seat);
    // Taken and given back by this one, and the other way round.
    let (one, two) = (set.take(1).unwrap(), set.take(2).unwrap());
    drop((one, two));
    let _again = set.take(1).unwrap();
    assert!((0..3).all(|nth| !set.memory(nth).unwrap().is_orphan()));
}

/// Tells what is in a word of replica 2, or stores something there, as it is told.
pub(crate) fn answer(folder: &Path) {
    let set = MemorySet::open_or_create(folder, &plan()).unwrap();
    let words = set.memory(2).unwrap().words();
    while let Some(line) = listen() {
        let (at, value) = line.split_once(' ').unwrap();
        let word = &words[at.parse::<usize>().unwrap()];
        match value {
            "?" => say(word.load(Relaxed)),
            value => {
                word.store(value.parse().unwrap(), Relaxed);
                say("done");
            }
        }
    }
}

#[test]
fn two_processes_see_what_the_other_stores() {
    let scratch = Scratch::new();
    let set = MemorySet::open_or_create(&scratch.set(), &plan()).unwrap();
    let words = set.memory(2).unwrap().words();
    let mut actor = Actor::start("answer", &scratch.set());
    let last = words.len() - 1;
    for (at, number) in [(0, 7), (last, u64::MAX), (last / 2, 1 << 63)] {
        words[at].store(number, Relaxed);
        actor.tell(&format!("{at} ?"));
        assert_eq!(actor.hear().unwrap(), number.to_string(), "word {at}");
        actor.tell(&format!("{at} {}", number - 3));
        assert_eq!(actor.hear().unwrap(), "done");
        assert_eq!(words[at].load(Relaxed), number - 3, "word {at}");
    }
}

/// Takes the seat of replica 1, and keeps it until it is told something or killed.
pub(crate) fn sit(folder: &Path) {
    let mut set = MemorySet::open_or_create(folder, &plan()).unwrap();
    match set.take(1) {
        Ok(_seat) => {
            say("sits");
            listen();
        }
        Err(error) => say(error),
    }
}

#[test]
fn a_seat_is_kept_until_its_process_dies() {
    let scratch = Scratch::new();
    let mut set = MemorySet::open_or_create(&scratch.set(), &plan()).unwrap();
    let nobody = set.memory(1).unwrap().watch().unwrap_err().to_string();
    assert!(nobody.contains("no process has run the replica of"), "{nobody}");

    let mut actor = Actor::start("sit", &scratch.set());
    assert_eq!(actor.hear().unwrap(), "sits");
    let taken = |replica: usize, pid: u32| {
        let folder = scratch.set().display().to_string();
        format!("replica {replica} of {folder} is run by process {pid} already; stop that one first")
    };
    let pid = actor.process.id();
    assert_eq!(set.take(1).unwrap_err().to_string(), taken(1, pid));
    let mut other = Actor::start("sit", &scratch.set());
    assert_eq!(other.hear().unwrap(), taken(1, pid));
    // Another replica has another seat, and this process has only one of each.
    let mine = set.take(0).unwrap();
    assert_eq!(set.take(0).unwrap_err().to_string(), taken(0, std::process::id()));
    drop(mine);
    drop(set.take(0).unwrap());

    let watch = set.memory(1).unwrap().watch().unwrap();
    assert_eq!(watch.process().pid, pid);
    assert!(!watch.is_dead());
    actor.process.kill().unwrap();
    let handle = watch.handle().unwrap();
    poll(&mut [PollFd::new(&handle, PollFlags::IN)], None).unwrap();
    // Its parent has not heard of it yet, and it is dead already: its seat is free, too.
    assert!(watch.is_dead());
    let seat = set.take(1).unwrap();
    assert_eq!(seat.replica(), 1);
    assert_eq!(set.memory(1).unwrap().owner().unwrap().pid, std::process::id());
    actor.process.wait().unwrap();
    assert!(watch.is_dead() && !set.memory(1).unwrap().watch().unwrap().is_dead());
}

#[test]
fn a_process_that_stands_still_is_not_dead_and_keeps_its_seat() {
    use rustix::process::{Pid, Signal, kill_process};
    let scratch = Scratch::new();
    let mut set = MemorySet::open_or_create(&scratch.set(), &plan()).unwrap();
    let mut actor = Actor::start("sit", &scratch.set());
    assert_eq!(actor.hear().unwrap(), "sits");
    kill_process(Pid::from_child(&actor.process), Signal::STOP).unwrap();
    let watch = set.memory(1).unwrap().watch().unwrap();
    assert!(!watch.is_dead());
    assert!(set.take(1).is_err());
    actor.kill();
    assert!(watch.is_dead());
}

#[test]
fn a_memory_that_is_lost_is_made_anew_and_blank() {
    let scratch = Scratch::new();
    let mut set = MemorySet::open_or_create(&scratch.set(), &plan()).unwrap();
    let mut other = MemorySet::open_or_create(&scratch.set(), &plan()).unwrap();
    set.memory(1).unwrap().words()[5].store(5, Relaxed);
    let seat = set.take(1).unwrap();
    assert!(set.renew(&seat).unwrap_err().to_string().contains("only a memory that was lost is made anew"));
    assert!(!set.look_again(1).unwrap());

    std::fs::remove_file(scratch.set().join("replica-1.memory")).unwrap();
    let late = MemorySet::open_or_create(&scratch.set(), &plan()).unwrap();
    assert!(late.memory(1).is_none() && late.memory(2).is_some());
    assert!(set.memory(1).unwrap().is_lost());
    assert_eq!(set.memory(1).unwrap().words()[5].load(Relaxed), 5, "whoever has it mapped keeps it");
    // Whoever had the seat before may have died in the middle of this.
    std::fs::write(scratch.set().join("replica-1.memory.new"), "half").unwrap();
    set.renew(&seat).unwrap();
    let memory = set.memory(1).unwrap().clone();
    assert!(memory.is_blank() && !memory.is_lost());
    assert_eq!(memory.owner().unwrap().pid, std::process::id());
    assert!(memory.words().iter().all(|word| word.load(Relaxed) == 0));

    // The others look again, and have the same.
    assert!(other.look_again(1).unwrap() && !other.look_again(1).unwrap());
    memory.words()[6].store(6, Relaxed);
    assert_eq!(other.memory(1).unwrap().words()[6].load(Relaxed), 6);
    drop((memory, seat));
    // It stays blank until somebody says that it is not.
    let mut set = MemorySet::open_or_create(&scratch.set(), &plan()).unwrap();
    assert!(set.memory(1).unwrap().is_blank() && !set.memory(0).unwrap().is_blank());
    set.take(1).unwrap();
    set.memory(1).unwrap().declare_filled();
    assert!(!other.memory(1).unwrap().is_blank());
}

#[test]
fn every_page_is_touched_before_anybody_stores() {
    let scratch = Scratch::new();
    let set = MemorySet::open_or_create(&scratch.set(), &plan()).unwrap();
    let clone = set.memory(0).unwrap().clone();
    drop(set);
    // What is mapped stays, as long as anybody has it.
    assert_eq!(resident(clone.path()), Some((28 * 1024, 28 * 1024)));
    clone.words()[0].store(1, Relaxed);
    let path = clone.path().to_owned();
    drop(clone);
    assert_eq!(resident(&path), None, "and no longer");
    let opened = SharedWords::open(&path, &plan(), 0).unwrap();
    assert_eq!(resident(opened.path()), Some((28 * 1024, 28 * 1024)));
}

/// How many bytes of a file are mapped here, and how many of them have been touched.
fn resident(path: &Path) -> Option<(u64, u64)> {
    let told = std::fs::read_to_string("/proc/self/smaps").unwrap();
    let mut lines = told.lines().skip_while(|line| !line.ends_with(path.to_str().unwrap())).skip(1);
    let mut field = |name: &str| {
        let line = lines.by_ref().find_map(|line| line.strip_prefix(name))?;
        Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? * 1024)
    };
    Some((field("Size:")?, field("Rss:")?))
}
