//! The figures of real agents, each measured in a [`Town`] that lives on after it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use bytes::Bytes;
use skein_edge::dots::Actor;
use skein_edge::map::Map;
use skein_edge::{MemberId, Name, owners};
use skein_machine::Random;

use super::town::{INTERVAL, Town, name_of, now_ms};
use crate::cli::Mistake;
use crate::redis::Reply;

/// Nothing here takes longer unless something is wrong.
const PATIENCE: Duration = Duration::from_secs(60);

/// Writes that are followed, one each tenth of a second.
const WRITES: usize = 100;

/// Records that a member with nothing catches up on.
const RECORDS: usize = 20_000;

/// Keys that halves of a fleet fight about.
const KEYS: usize = 60;

/// How long halves do not hear of each other: until each takes the other for dead, and a while.
const APART: Duration = Duration::from_secs(20);

/// Waits until each sees all others of its place.
pub(super) fn meet(town: &Town) -> Result<(), Mistake> {
    let sees_all = |nth: usize| -> Result<bool, Mistake> {
        let here = town.living().into_iter().filter(|other| town.are_near(nth, *other));
        Ok(town.sees(nth)? == here.map(name_of).collect::<BTreeSet<String>>())
    };
    wait_for_all(town, "see each other", sees_all)
}

/// The same, and until each knows what the others know.
pub(super) fn settle(town: &Town) -> Result<(), Mistake> {
    meet(town)?;
    wait_for_all(town, "come together", |nth| Ok(town.ask(nth, "/healthz").is_ok()))
}

fn wait_for_all(town: &Town, what: &str, is_so: impl Fn(usize) -> Result<bool, Mistake>) -> Result<(), Mistake> {
    let began = Instant::now();
    for nth in town.living() {
        while !is_so(nth)? {
            if began.elapsed() > PATIENCE {
                return Err(Mistake(format!("the agents do not {what}")));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
    Ok(())
}

/// How long writes took to be everywhere.
#[derive(Debug, Default)]
pub(super) struct Spreading {
    pub(super) local_ms: Vec<u64>,
    pub(super) all_ms: Vec<u64>,
    pub(super) bytes_per_member_s: f64,
    /// Processor time of each agent, in milliseconds a second.
    pub(super) processor_ms_s: f64,
    /// Writes that somebody has not heard of.
    pub(super) lost: usize,
}

/// Follows writes through the fleet.
pub(super) fn spreading(town: &Town) -> Result<Spreading, Mistake> {
    let living = town.living();
    let mut random = Random::new(1);
    let sent = |town: &Town| -> Result<f64, Mistake> {
        living.iter().map(|nth| town.meter(*nth, "skein_edge_bytes_out_total")).sum()
    };
    town.forget();
    let (before, used, began) = (sent(town)?, town.processor_time(), Instant::now());
    let mut made: BTreeMap<String, (usize, u64)> = BTreeMap::new();
    let mut heard: BTreeMap<String, Vec<(usize, u64)>> = BTreeMap::new();
    let mut note = |told: super::town::Heard| {
        if told.topic == "map"
            && let Some(key) = told.data["key"].as_str().filter(|key| key.starts_with("spread/"))
        {
            heard.entry(key.to_owned()).or_default().push((told.by, told.at_ms));
        }
        false
    };
    for nth in 0..WRITES {
        let (at, key) = (*random.pick(&living), format!("spread/{nth}"));
        made.insert(key.clone(), (at, now_ms()));
        town.say(at, &[vec!["SET", &key, "v"]])?;
        town.hear_until(began + Duration::from_millis(100) * (nth as u32 + 1), &mut note);
    }
    town.hear_until(Instant::now() + Duration::from_secs(5), &mut note);
    let (used, shares) = (town.processor_time() - used, began.elapsed().as_secs_f64() * living.len() as f64);
    let mut spreading = Spreading {
        bytes_per_member_s: (sent(town)? - before) / shares,
        processor_ms_s: used.as_secs_f64() * 1e3 / shares,
        ..Spreading::default()
    };
    for (key, (at, when)) in &made {
        let heard = heard.get(key).map_or(&[][..], Vec::as_slice);
        let who: BTreeSet<usize> = heard.iter().map(|(by, _)| *by).collect();
        if who.len() < living.len() {
            spreading.lost += 1;
            continue;
        }
        let near = heard.iter().filter(|(by, _)| town.are_near(*by, *at));
        let took = |last: Option<u64>| last.unwrap_or(*when).saturating_sub(*when);
        spreading.local_ms.push(took(near.map(|(_, at)| *at).max()));
        spreading.all_ms.push(took(heard.iter().map(|(_, at)| *at).max()));
    }
    spreading.local_ms.sort_unstable();
    spreading.all_ms.sort_unstable();
    Ok(spreading)
}

/// Origins that in some place are probed by none or by several, in peace.
pub(super) fn wrongly_probed(town: &Town) -> Result<usize, Mistake> {
    let mut wrong = BTreeSet::new();
    // Whoever has just begun to look after something has done so for a while by now.
    std::thread::sleep(4 * INTERVAL);
    for _ in 0..5 {
        std::thread::sleep(INTERVAL);
        for nth in 0..town.toys.len() {
            let mut probers: BTreeMap<&str, usize> = BTreeMap::new();
            for prober in town.seen(nth)?.agents {
                let lately = prober.last_ms_ago < 2 * INTERVAL.as_millis() as u64;
                if let Some(number) = prober.agent.strip_prefix('m').and_then(|nth| nth.parse().ok())
                    && lately
                {
                    *probers.entry(town.place_of(number)).or_default() += 1;
                }
            }
            if probers.len() != town.places() || probers.values().any(|count| *count != 1) {
                wrong.insert(nth);
            }
        }
    }
    Ok(wrong.len())
}

/// What came of deaths.
#[derive(Debug, Default)]
pub(super) struct Deaths {
    /// When each survivor of its place knew of a death.
    pub(super) known_ms: Vec<u64>,
    /// Others that were taken for dead.
    pub(super) false_deaths: u64,
    /// The longest that an origin of the dead went unprobed in its place.
    pub(super) gap_ms: u64,
}

/// Kills one after the other, so many times, and starts each again.
pub(super) fn deaths(town: &mut Town, rounds: usize) -> Result<Deaths, Mistake> {
    let mut random = Random::new(2);
    let mut deaths = Deaths::default();
    for _ in 0..rounds {
        let victim = *random.pick(&town.living());
        let name = name_of(victim);
        let mut owned = Vec::new();
        for nth in 0..town.toys.len() {
            let seen = town.seen(nth)?;
            let lately = 2 * INTERVAL.as_millis() as u64;
            if seen.agents.iter().any(|prober| prober.agent == name && prober.last_ms_ago < lately) {
                owned.push(nth);
            }
        }
        town.forget();
        town.kill(victim);
        let died = now_ms();
        let survivors: BTreeSet<usize> = town.living().into_iter().filter(|nth| town.are_near(*nth, victim)).collect();
        let mut known: BTreeMap<usize, u64> = BTreeMap::new();
        let mut false_deaths = 0;
        town.hear_until(Instant::now() + Duration::from_secs(15), |told| {
            let is_death = told.topic == "member" && told.data["source"] == "gossip" && told.data["state"] == "dead";
            if is_death && told.data["name"] == name.as_str() {
                known.entry(told.by).or_insert(told.at_ms.saturating_sub(died));
            } else if is_death {
                false_deaths += 1;
            }
            known.len() == survivors.len()
        });
        deaths.false_deaths += false_deaths;
        if known.len() < survivors.len() {
            return Err(Mistake(format!("only {} of {} know of the death of {name}", known.len(), survivors.len())));
        }
        deaths.known_ms.extend(known.into_values());
        deaths.gap_ms = deaths.gap_ms.max(gap(town, victim, &owned, died)?);
        town.start(victim)?;
        settle(town)?;
    }
    deaths.known_ms.sort_unstable();
    Ok(deaths)
}

/// How long after the last probe by the dead each of its origins was probed again from its place.
fn gap(town: &Town, victim: usize, owned: &[usize], died: u64) -> Result<u64, Mistake> {
    let (name, mut longest) = (name_of(victim), 0);
    for nth in owned {
        let until = Instant::now() + 4 * INTERVAL;
        loop {
            let seen = town.seen(*nth)?;
            let now = now_ms();
            let last = seen.agents.iter().find(|prober| prober.agent == name).map_or(0, |prober| prober.last_ms_ago);
            // The first probe by its heir was so long ago at least; whoever had it before the death is not counted.
            let heir = seen.agents.iter().filter(|prober| {
                let number = prober.agent.strip_prefix('m').and_then(|nth| nth.parse().ok());
                prober.agent != name && number.is_some_and(|number| town.are_near(number, victim))
            });
            let since_death = now.saturating_sub(died);
            let heir = heir.map(|prober| prober.last_ms_ago).filter(|ago| *ago < since_death).max();
            if let Some(ago) = heir {
                longest = longest.max(last.saturating_sub(ago));
                break;
            }
            if Instant::now() > until {
                return Err(Mistake(format!("origin {nth} is probed by nobody after the death of {name}")));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
    Ok(longest)
}

/// Bytes that a member with nothing hears until it knows all, for each byte that the records take by themselves.
pub(super) fn catch_up_ratio(town: &mut Town) -> Result<f64, Mistake> {
    let key = |nth: usize| format!("origin-{nth}.example");
    let value = "v".repeat(40);
    let sets: Vec<Vec<String>> = (0..RECORDS).map(|nth| vec!["SET".into(), key(nth), value.clone()]).collect();
    town.say(0, &sets)?;
    agree(town, PATIENCE)?;
    let mut map = Map::new(Actor { member: MemberId(1), life: 1 });
    for nth in 0..RECORDS {
        map.put(key(nth).as_bytes(), Bytes::copy_from_slice(value.as_bytes())).expect("it has room");
    }
    let newcomer = town.living().len();
    town.start(newcomer)?;
    let began = Instant::now();
    while town.ask(newcomer, "/healthz").is_err() {
        if began.elapsed() > PATIENCE {
            return Err(Mistake("a newcomer is told nothing".into()));
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    let heard = town.meter(newcomer, "skein_edge_bytes_in_total")?;
    settle(town)?;
    Ok(heard / map.encoded_len() as f64)
}

/// Waits until all hold the same, which is more than having as many keys.
fn agree(town: &Town, within: Duration) -> Result<(), Mistake> {
    let began = Instant::now();
    loop {
        let living = town.living();
        let sizes: Result<BTreeSet<String>, Mistake> =
            living.iter().map(|nth| Ok(format!("{:?}", town.say(*nth, &[vec!["DBSIZE"]])?))).collect();
        if sizes?.len() == 1 {
            return Ok(());
        }
        if began.elapsed() > within {
            return Err(Mistake("the agents do not come to hold the same".into()));
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// What is wrong after a fleet was parted in halves, both of which went on writing, and met again.
pub(super) fn heal(town: &Town) -> Result<Vec<String>, Mistake> {
    let mut random = Random::new(3);
    let mut living = town.living();
    let keys: Vec<String> = (0..KEYS).map(|nth| format!("heal/{nth}")).collect();
    for key in &keys {
        town.say(*random.pick(&living), &[vec!["SET", key, "before"]])?;
    }
    std::thread::sleep(Duration::from_secs(5));
    random.shuffle(&mut living);
    let (one, other) = living.split_at(living.len() / 2);
    town.part(one, true)?;
    std::thread::sleep(Duration::from_secs(1));
    let mut fates: BTreeMap<&str, Vec<Option<usize>>> = BTreeMap::new();
    for key in &keys {
        let mut writers = [*random.pick(one), *random.pick(other)];
        random.shuffle(&mut writers);
        let set = |nth: usize| town.say(nth, &[vec!["SET", key, &name_of(nth)]]);
        let fate = match random.below(4) {
            0 => vec![None],
            1 => vec![Some(writers[0])],
            2 => writers.map(Some).to_vec(),
            _ => vec![None, Some(writers[1])],
        };
        match fate[..] {
            [None] => drop(town.say(writers[0], &[vec!["DEL", key]])?),
            [None, Some(writer)] => {
                town.say(writers[0], &[vec!["DEL", key]])?;
                set(writer)?;
            }
            _ => fate.iter().flatten().try_for_each(|writer| set(*writer).map(|_| ()))?,
        }
        fates.insert(key, fate);
    }
    std::thread::sleep(APART);
    town.part(one, false)?;
    settle(town)?;
    agree(town, PATIENCE)?;
    std::thread::sleep(Duration::from_secs(5));
    let mut found = Vec::new();
    for (key, writers) in fates {
        let expected = writers.iter().flatten().max_by_key(|writer| {
            let id = Name::new(&name_of(**writer)).expect("it is a name").id();
            owners::pull(id, key.as_bytes())
        });
        let expected = expected.map(|writer| name_of(*writer).into_bytes());
        for nth in &living {
            let shown = town.say(*nth, &[vec!["GET", key]])?;
            if shown != [Reply::Bulk(expected.clone())] {
                found.push(format!("{} shows {shown:?} under {key}, which was written by {writers:?}", name_of(*nth)));
            }
        }
    }
    Ok(found)
}
