//! How soon the map gets about, what that costs, and what stays right when a
//! fleet is parted: the figures of `skein sim edge` that concern the map.

use std::collections::BTreeMap;
use std::time::Duration;

use skein_edge::Name;
use skein_edge::health::Origin;
use skein_edge::spread::Tempo;
use skein_machine::{ProcessId, Random};
use skein_sim::{MILLISECOND, Nanos, SECOND};

use super::maps::{Maps, Plan};

/// How writes got about.
#[derive(Clone, Debug)]
pub(crate) struct Spreading {
    /// After how long a write was everywhere in its own place, each, in order.
    pub(crate) local: Vec<Nanos>,
    /// And in all places.
    pub(crate) all: Vec<Nanos>,
    /// Bytes that a member sent in a second, on average, while that went on.
    pub(crate) bytes_per_member_s: f64,
    /// Writes that did not get everywhere in time.
    pub(crate) lost: usize,
}

/// In a fleet that holds so many keys, so many writes are made, `every` so often, at random members.
pub(crate) fn spreading(plan: &Plan, keys: usize, writes: usize, every: Nanos) -> Spreading {
    let mut random = Random::new(plan.seed ^ 0x5bd1);
    let processes = plan.places * plan.members;
    let mut maps = Maps::settled(Plan { trusts: true, ..plan.clone() });
    for nth in 0..keys {
        // As much as an agent says of an origin.
        maps.put(ProcessId((nth % usize::from(processes)) as u16), &format!("origin-{nth}.example"), &"v".repeat(40));
        if nth % 200 == 199 {
            maps.run(100 * MILLISECOND);
            // Who heard of these nobody asks, and to remember it for each member takes an eighth of all memory.
            maps.forget();
        }
    }
    maps.run(10 * SECOND);
    maps.forget();
    let (began, sent) = (maps.world().now(), maps.world().bytes_sent());
    let mut made = BTreeMap::new();
    for nth in 0..writes {
        let (at, key) = (ProcessId(random.below(u64::from(processes)) as u16), format!("written-{nth}"));
        made.insert(key.clone(), (at, maps.world().now()));
        maps.put(at, &key, "v");
        maps.run(every);
    }
    maps.run(10 * SECOND);
    let span = (maps.world().now() - began) as f64 / SECOND as f64;
    let bytes_per_member_s = (maps.world().bytes_sent() - sent) as f64 / span / f64::from(processes);

    let mut heard: BTreeMap<&str, Vec<(Nanos, ProcessId)>> = BTreeMap::new();
    for change in maps.changes() {
        if let Ok(key) = core::str::from_utf8(&change.key) {
            heard.entry(key).or_default().push((change.at, change.by));
        }
    }
    let mut spreading = Spreading { local: Vec::new(), all: Vec::new(), bytes_per_member_s, lost: 0 };
    for (key, (at, when)) in &made {
        let heard = heard.get(key.as_str()).map_or(&[][..], Vec::as_slice);
        let place = maps.plan().place_of(*at);
        let here: Vec<Nanos> =
            heard.iter().filter(|(_, by)| maps.plan().place_of(*by) == place).map(|(at, _)| *at).collect();
        if here.len() < usize::from(maps.plan().members) || heard.len() < usize::from(processes) {
            spreading.lost += 1;
            continue;
        }
        spreading.local.push(here.iter().max().expect("somebody heard") - when);
        spreading.all.push(heard.iter().map(|(at, _)| *at).max().expect("somebody heard") - when);
    }
    spreading.local.sort_unstable();
    spreading.all.sort_unstable();
    spreading
}

/// Bytes that a member with nothing is sent until it is ready, for each byte that the records take by themselves.
pub(crate) fn catch_up_ratio(seed: u64, keys: usize) -> f64 {
    let mut maps = Maps::new(Plan { trusts: true, ..Plan::of(1, 3, seed) });
    (0..2).for_each(|process| maps.start(ProcessId(process)));
    maps.run(8 * SECOND);
    for nth in 0..keys {
        maps.put(ProcessId((nth % 2) as u16), &format!("origin-{nth}.example"), &"v".repeat(40));
        if nth % 1000 == 999 {
            maps.run(SECOND);
        }
    }
    maps.run(20 * SECOND);
    assert!(maps.agree(), "two members hold the same");
    let newcomer = ProcessId(2);
    let encoded: usize = maps.agent(ProcessId(0)).expect("it lives").spread().map().encoded_len();
    maps.start(newcomer);
    let before = maps.world().bytes_sent();
    maps.run_until(10 * SECOND, |maps| maps.agent(newcomer).is_some_and(|agent| agent.spread().is_ready()))
        .expect("it is told everything");
    (maps.world().bytes_sent() - before) as f64 / encoded as f64
}

/// What is wrong after a fleet of one place was parted in halves for a minute, both of which went on writing, and met
/// again. The seed decides how much is lost.
pub(crate) fn heal(plan: Plan) -> Vec<String> {
    let mut random = Random::new(plan.seed);
    let members = plan.members;
    let mut maps = Maps::settled(Plan { loss: 0.1 * random.fraction(), ..plan });
    let keys: Vec<String> = (0..30).map(|nth| format!("key-{nth}")).collect();
    for key in &keys {
        maps.put(ProcessId(random.below(u64::from(members)) as u16), key, "before");
    }
    maps.run(5 * SECOND);
    let mut found = Vec::new();
    if !maps.agree() {
        found.push("members differ before they are parted".to_owned());
    }
    let mut sides: Vec<ProcessId> = (0..members).map(ProcessId).collect();
    random.shuffle(&mut sides);
    let half = sides.split_off(sides.len() / 2);
    let halves = [sides, half];
    maps.part(&halves[0], true);
    // Each key is removed on one side, or written on one or on both, once.
    let mut fates: BTreeMap<&str, Vec<Option<ProcessId>>> = BTreeMap::new();
    for key in &keys {
        let mut writers = halves.each_ref().map(|half| *random.pick(half));
        random.shuffle(&mut writers);
        match random.below(4) {
            0 => {
                maps.remove(writers[0], key);
                fates.insert(key, vec![None]);
            }
            1 => {
                maps.put(writers[0], key, &writers[0].to_string());
                fates.insert(key, vec![Some(writers[0])]);
            }
            2 => {
                for writer in writers {
                    maps.put(writer, key, &writer.to_string());
                }
                fates.insert(key, writers.map(Some).to_vec());
            }
            _ => {
                maps.remove(writers[0], key);
                maps.put(writers[1], key, &writers[1].to_string());
                fates.insert(key, vec![Some(writers[1])]);
            }
        }
        maps.run(random.below(3 * SECOND));
    }
    maps.run(60 * SECOND);
    maps.part(&halves[0], false);
    if maps.run_until(60 * SECOND, Maps::agree).is_none() {
        found.push("members differ a minute after they met again".to_owned());
        return found;
    }
    for (key, writers) in fates {
        let shown = maps.get(ProcessId(0), key).map(|value| String::from_utf8_lossy(&value).into_owned());
        let expected = writers.iter().flatten().max_by_key(|writer| {
            let id = maps.agent(**writer).expect("it lives").membership().me().id();
            skein_edge::owners::pull(id, key.as_bytes())
        });
        if shown != expected.map(ToString::to_string) {
            found.push(format!("{key} shows {shown:?}, and was written by {writers:?}"));
        }
    }
    if maps.anew() + maps.refused() > 0 {
        found.push(format!("{} began anew, {} changes were refused", maps.anew(), maps.refused()));
    }
    found
}

/// What is wrong after one member of a place was alone for so long that the others expelled it, and came back to them.
/// What it wrote meanwhile is lost, and what they did stands. The seed decides how much is lost on the way.
pub(crate) fn exile(plan: Plan) -> Vec<String> {
    let mut random = Random::new(plan.seed);
    let members = u64::from(plan.members);
    let tempo = Tempo { cut_every: Duration::from_secs(5), expel_after: Duration::from_secs(20), ..plan.tempo };
    let mut maps = Maps::settled(Plan { loss: 0.1 * random.fraction(), tempo, ..plan });
    let keys: Vec<String> = (0..30).map(|nth| format!("key-{nth}")).collect();
    for key in &keys {
        maps.put(ProcessId(random.below(members) as u16), key, "before");
    }
    maps.run(10 * SECOND);
    let mut all: Vec<ProcessId> = maps.living();
    random.shuffle(&mut all);
    let (alone, others) = all.split_last().expect("a fleet has members");
    maps.part(&[*alone], true);
    let mut expected: BTreeMap<&str, Option<&str>> = BTreeMap::new();
    for key in &keys {
        if random.chance(0.3) {
            maps.put(*alone, key, "unheard");
        }
        let other = *random.pick(others);
        match random.below(3) {
            0 => maps.remove(other, key),
            1 => maps.put(other, key, "after"),
            _ => {}
        }
        let shown = maps.get(other, key);
        expected.insert(key, shown.map(|value| if value == "after" { "after" } else { "before" }));
    }
    maps.run(120 * SECOND);
    maps.part(&[*alone], false);
    if maps.run_until(120 * SECOND, Maps::agree).is_none() {
        return vec!["members differ two minutes after the one that was expelled came back".to_owned()];
    }
    let wrong = expected.into_iter().filter_map(|(key, expected)| {
        let shown = maps.get(*alone, key);
        let is_right = shown.as_deref() == expected.map(str::as_bytes);
        (!is_right).then(|| format!("{key} shows {shown:?}, and those who stayed had {expected:?}"))
    });
    wrong.collect()
}

/// How origins were probed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Probing {
    /// Origins that in some place were not probed, or by more than one, while nobody came or went.
    pub(crate) wrongly: usize,
    /// The longest that an origin went without a probe in a place where its owner died, in seconds.
    pub(crate) gap_s: f64,
}

/// From one probe of an origin to the next.
const INTERVAL: Nanos = 5 * SECOND;

/// The longest that may be: an interval, and the six seconds in which a death is found.
pub(crate) const BAR_OF_GAP_S: f64 = (INTERVAL + 6 * SECOND) as f64 / SECOND as f64;

/// Watches so many origins from all places, for a while in peace, then past the death of a member.
pub(crate) fn probing(plan: &Plan, origins: usize) -> Probing {
    let (seed, places, processes) = (plan.seed, usize::from(plan.places), plan.places * plan.members);
    let origin = |nth| Origin {
        name: Name::new(&format!("origin-{nth}")).expect("a name of letters and numbers"),
        interval: Duration::from_nanos(INTERVAL),
        fall: 3,
        rise: 2,
    };
    let plan = Plan { origins: (0..origins).map(origin).collect(), trusts: true, ..plan.clone() };
    let mut maps = Maps::settled(plan);
    maps.run(2 * INTERVAL);
    maps.forget();
    maps.run(3 * INTERVAL);
    let mut seen: BTreeMap<(u16, u32), BTreeMap<ProcessId, usize>> = BTreeMap::new();
    for probe in maps.probes() {
        *seen.entry((maps.plan().place_of(probe.by), probe.origin)).or_default().entry(probe.by).or_default() += 1;
    }
    let is_right = |probes: &BTreeMap<ProcessId, usize>| probes.len() == 1 && probes.values().all(|count| *count == 3);
    let right = seen.values().filter(|probes| is_right(probes)).count();
    let wrongly = places * origins - right;

    let mut random = Random::new(seed ^ 0xdead);
    maps.run(random.below(INTERVAL));
    maps.kill(ProcessId(random.below(u64::from(processes)) as u16));
    maps.run(30 * SECOND);
    let end = maps.world().now();
    let mut last: BTreeMap<(u16, u32), Nanos> = BTreeMap::new();
    let mut gap = 0;
    for probe in maps.probes() {
        let former = last.insert((maps.plan().place_of(probe.by), probe.origin), probe.at);
        gap = gap.max(former.map_or(0, |former| probe.at - former));
    }
    let since = last.values().map(|at| end - at).max().unwrap_or(end);
    Probing { wrongly, gap_s: gap.max(since) as f64 / SECOND as f64 }
}

/// The value below which 99 of 100 are.
pub(crate) fn p99(sorted: &[Nanos]) -> f64 {
    let place = (sorted.len() * 99).div_ceil(100).max(1) - 1;
    sorted.get(place).map_or(f64::INFINITY, |nanos| *nanos as f64 / SECOND as f64)
}
