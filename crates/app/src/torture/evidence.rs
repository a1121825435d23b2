//! What clients and replicas wrote down, put together in the order in which it
//! happened, as the history that the judges of the simulator read; and what of
//! the acknowledged a replica holds at the very end, after its last restart.

use std::collections::{BTreeMap, BTreeSet};
use std::iter;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use skein_machine::{Cluster, MessageId, Multicast, Position, ProcessId, Timestamp};
use skein_sim::History;

use super::journal::{Reader, Said};
use super::load::Notes;
use crate::cli::Mistake;

/// Something that happened, and where.
enum Event<'a> {
    Asked(ProcessId, &'a Multicast),
    Said(ProcessId, u32, Said),
    Told(ProcessId, MessageId, Timestamp),
}

/// Everything that was seen.
pub(crate) struct Evidence {
    pub(crate) history: History,
    /// Messages that were acknowledged and that some replica of their destinations does not hold, and which.
    pub(crate) lost: BTreeMap<MessageId, ProcessId>,
}

/// What the newest life of a replica has said that it holds.
#[derive(Default)]
struct Holds {
    life: u32,
    /// Everything before this, by the state that it began with or was given.
    installed: Position,
    delivered: BTreeSet<MessageId>,
}

type Source<'a> = iter::Peekable<Box<dyn Iterator<Item = Result<(u64, Event<'a>), String>> + 'a>>;

impl Evidence {
    /// Reads all journals from the beginning. Where no client has multicast anything, nobody has written down who
    /// did: a message counts as multicast by the one who is first seen to deliver it.
    pub(crate) fn gather(
        cluster: &Arc<Cluster>,
        notes: Option<&[Notes]>,
        journals: &BTreeMap<ProcessId, Vec<PathBuf>>,
    ) -> Result<Evidence, Mistake> {
        let mut history = History::new(cluster.clone(), None);
        let mut holds: BTreeMap<ProcessId, Holds> = BTreeMap::new();
        let is_derived = notes.is_none();
        let notes = notes.unwrap_or_default();
        in_order(notes, journals, |moment, event| match event {
            Event::Asked(process, message) => history.multicast(moment, process, message),
            Event::Told(process, id, timestamp) => history.done(process, id, timestamp),
            Event::Said(process, life, said) => {
                let holds = holds.entry(process).or_default();
                if holds.life != life {
                    *holds = Holds { life, ..Holds::default() };
                }
                match said {
                    Said::Delivered(delivery) => {
                        if is_derived && !history.casts().contains_key(&delivery.message.id) {
                            history.multicast(moment, process, &delivery.message);
                        }
                        history.delivered(moment, process, life, &delivery);
                        holds.delivered.insert(delivery.message.id);
                    }
                    Said::Installed(position) => {
                        history.installed(moment, process, life, position);
                        holds.installed = position;
                    }
                    Said::Done(id, timestamp) => history.done(process, id, timestamp),
                    Said::Expired(id) if is_derived && !history.casts().contains_key(&id) => {}
                    Said::Expired(id) => history.expired(process, id),
                    Said::SafeTime(timestamp) => history.safe_time(process, life, timestamp),
                }
            }
        })?;
        notes.iter().flat_map(|notes| &notes.given_up).for_each(|id| history.give_up(*id));
        for (process, lives) in journals {
            // A last life that has said nothing holds nothing.
            let holds = holds.entry(*process).or_default();
            if holds.life != lives.len() as u32 {
                *holds = Holds::default();
            }
            let before = history.deliveries(*process).take(holds.installed as usize).map(|entry| entry.id);
            holds.delivered.extend(before);
        }
        let mut lost = BTreeMap::new();
        for (.., id, _) in notes.iter().flat_map(|notes| &notes.told) {
            let lacks = |process: &ProcessId| !holds[process].delivered.contains(id);
            if let Some(process) = cluster.replicas(id.destinations).find(lacks) {
                lost.insert(*id, process);
            }
        }
        Ok(Evidence { history, lost })
    }
}

/// Writes down everything for a person to read.
pub(crate) fn write_down(
    notes: &[Notes],
    journals: &BTreeMap<ProcessId, Vec<PathBuf>>,
    path: &Path,
) -> Result<(), Mistake> {
    use std::io::Write;
    let fails = |error| Mistake(format!("cannot write {}: {error}", path.display()));
    let mut file = std::io::BufWriter::new(std::fs::File::create(path).map_err(fails)?);
    let mut outcome = Ok(());
    let mut first = None;
    in_order(notes, journals, |moment, event| {
        let micros = (moment - *first.get_or_insert(moment)) / 1000;
        let text = match event {
            Event::Asked(process, Multicast { id, floor, .. }) => {
                let groups = id.destinations;
                format!("{process} is asked to multicast {id} to {groups} above {floor}")
            }
            Event::Told(process, id, timestamp) => format!("{process} has acknowledged {id}@{timestamp}"),
            Event::Said(process, life, Said::Delivered(delivery)) => {
                let (position, timestamp, id) = (delivery.position, delivery.timestamp, delivery.message.id);
                let groups = id.destinations;
                format!("{process} in life {life} delivers #{position} {id}@{timestamp} to {groups}")
            }
            Event::Said(process, life, Said::Installed(position)) => {
                format!("{process} in life {life} takes over a state up to #{position}")
            }
            Event::Said(process, life, said) => format!("{process} in life {life} says {said:?}"),
        };
        if outcome.is_ok() {
            outcome = writeln!(file, "{micros:>12} us  {text}");
        }
    })?;
    outcome.and_then(|()| file.flush()).map_err(fails)
}

/// Hands out everything that happened, in order.
fn in_order<'a>(
    notes: &'a [Notes],
    journals: &BTreeMap<ProcessId, Vec<PathBuf>>,
    mut each: impl FnMut(u64, Event<'a>),
) -> Result<(), Mistake> {
    let mut sources: Vec<Source<'a>> = Vec::new();
    let mut add = |source: Box<dyn Iterator<Item = Result<(u64, Event<'a>), String>> + 'a>| {
        sources.push(source.peekable());
    };
    // Of two in the same nanosecond the first here is taken for the cause of the other.
    for notes in notes {
        let asked = notes.asked.iter();
        add(Box::new(asked.map(|(moment, process, message)| Ok((*moment, Event::Asked(*process, message))))));
    }
    for (process, lives) in journals {
        let process = *process;
        let lives = lives.clone().into_iter().zip(1..);
        add(Box::new(lives.flat_map(move |(path, life)| {
            let mut reader = Reader::new(path);
            let said = move || reader.next().transpose();
            iter::from_fn(said).map(move |said| said.map(|(moment, said)| (moment, Event::Said(process, life, said))))
        })));
    }
    for notes in notes {
        let told = notes.told.iter();
        add(Box::new(told.map(|(moment, process, id, at)| Ok((*moment, Event::Told(*process, *id, *at))))));
    }
    loop {
        let mut earliest: Option<(u64, usize)> = None;
        for (nth, source) in sources.iter_mut().enumerate() {
            let moment = match source.peek() {
                None => continue,
                Some(Ok((moment, _))) => *moment,
                Some(Err(why)) => return Err(Mistake(why.clone())),
            };
            if earliest.is_none_or(|(other, _)| moment < other) {
                earliest = Some((moment, nth));
            }
        }
        let Some((_, nth)) = earliest else { return Ok(()) };
        let (moment, event) = sources[nth].next().and_then(Result::ok).expect("it was peeked at");
        each(moment, event);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use skein_machine::Delivery;
    use skein_sim::check::{Claims, judge};

    const TWO: [ProcessId; 2] = [ProcessId(0), ProcessId(1)];

    /// One message, acknowledged after both of a group have delivered it. What the second life of the second says
    /// is up to the test.
    fn evidence(name: &str, second_life: Option<&Said>) -> (Vec<&'static str>, usize) {
        let folder = std::env::temp_dir().join(format!("skein-evidence-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let id = MessageId::new(1, 1, 1);
        let message = |id| Multicast { id, floor: Timestamp::ZERO, expiry: Timestamp::MAX, payload: Bytes::new() };
        let delivered = Said::Delivered(Delivery { position: 0, timestamp: Timestamp(7), message: message(id) });
        let write = |name: &str, said: Option<(u64, &Said)>| {
            let mut line = String::new();
            said.inspect(|(moment, said)| said.write_line(*moment, &mut line));
            std::fs::write(folder.join(name), line).unwrap();
            folder.join(name)
        };
        let first = vec![write("p0.1", Some((20, &delivered)))];
        let second = vec![write("p1.1", Some((21, &delivered))), write("p1.2", second_life.map(|said| (50, said)))];
        let notes = Notes {
            asked: vec![(10, TWO[1], message(id))],
            told: vec![(30, TWO[1], id, Timestamp(7))],
            ..Notes::default()
        };
        let cluster = Arc::new(Cluster::regular(1, 2, 0).unwrap());
        let evidence =
            Evidence::gather(&cluster, Some(&[notes]), &TWO.into_iter().zip([first, second]).collect()).unwrap();
        std::fs::remove_dir_all(&folder).unwrap();
        let found = judge(&evidence.history, &Claims::CLASSIC);
        (found.iter().map(|violation| violation.property).collect(), evidence.lost.len())
    }

    #[test]
    fn a_replica_holds_what_its_last_life_says() {
        assert_eq!(evidence("installed", Some(&Said::Installed(1))), (vec![], 0));
        let other = Said::Delivered(Delivery {
            position: 0,
            timestamp: Timestamp(8),
            message: Multicast {
                id: MessageId::new(2, 1, 1),
                floor: Timestamp::ZERO,
                expiry: Timestamp::MAX,
                payload: Bytes::new(),
            },
        });
        assert!(matches!(evidence("other", Some(&other)), (found, 1) if found.contains(&"prefix order")));
    }

    /// Every life before has delivered it, so the history alone is sound.
    #[test]
    fn what_a_replica_has_forgotten_is_lost() {
        assert_eq!(evidence("nothing", None), (vec![], 1));
        assert_eq!(evidence("empty", Some(&Said::Installed(0))), (vec![], 1));
    }
}
