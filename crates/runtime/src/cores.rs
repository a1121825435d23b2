//! The cores of the machine: which of them this thread may use, how it keeps to
//! one, and how it waits for one.
//!
//! Whoever polls all the time is slow for a while whenever it is moved. To let
//! others have the core for a moment there is `std::thread::yield_now`, which
//! is what the system has for it.

use std::fmt;
use std::io;
use std::sync::Arc;

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// Why a thread does not keep to a core.
#[derive(Clone, Debug)]
#[allow(missing_docs)] // each variant says in its sentence what its fields are
pub enum CoreError {
    NotAllowed { core: usize, allowed: Vec<usize> },
    System { doing: &'static str, error: Arc<io::Error> },
}

impl fmt::Display for CoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CoreError::NotAllowed { core, allowed } => {
                let allowed: Vec<_> = allowed.iter().map(usize::to_string).collect();
                write!(f, "core {core} is none of those that may be used here; name one of {}", allowed.join(", "))
            }
            CoreError::System { doing, error } => write!(f, "cannot {doing}: {error}; do without"),
        }
    }
}

impl std::error::Error for CoreError {}

/// The cores that this thread may use, in order. A thread that keeps to one may use no other, nor may those that it
/// starts: so ask first.
pub fn allowed() -> Result<Vec<usize>, CoreError> {
    let failed = |error: rustix::io::Errno| CoreError::System {
        doing: "ask on which cores this thread may run",
        error: Arc::new(error.into()),
    };
    let set = sched_getaffinity(None).map_err(failed)?;
    Ok((0..CpuSet::MAX_CPU).filter(|core| set.is_set(*core)).collect())
}

/// Keeps this thread to a core, one of those that it may use.
pub fn keep_to(core: usize) -> Result<(), CoreError> {
    let allowed = allowed()?;
    if !allowed.contains(&core) {
        return Err(CoreError::NotAllowed { core, allowed });
    }
    let mut set = CpuSet::new();
    set.set(core);
    sched_setaffinity(None, &set)
        .map_err(|error| CoreError::System { doing: "keep to one core", error: Arc::new(error.into()) })
}

/// From now on this thread pushes no other off its core: when something comes up for it, it waits until a core is free,
/// or until its share is due. Threads that work for each other have longer turns so, and fewer of them. A thread for
/// which somebody has chosen another way than the usual one goes on in that. Where it may not be, all stays as it was.
pub fn be_patient() {
    if let Err(error) = try_to_be_patient() {
        tracing::info!(%error, "threads push each other off their cores here");
    }
}

#[allow(unsafe_code)]
fn try_to_be_patient() -> Result<(), CoreError> {
    let failed = || CoreError::System { doing: "be patient", error: Arc::new(io::Error::last_os_error()) };
    // SAFETY: the system is asked for a number that belongs to this thread.
    let present = unsafe { libc::sched_getscheduler(0) };
    if present < 0 {
        return Err(failed());
    }
    if present != libc::SCHED_OTHER {
        return Ok(());
    }
    let no_priority = libc::sched_param { sched_priority: 0 };
    // SAFETY: the system reads the one number that it is given, which is there for as long as it is asked.
    let set = unsafe { libc::sched_setscheduler(0, libc::SCHED_BATCH, &raw const no_priority) };
    if set == 0 { Ok(()) } else { Err(failed()) }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// The way in which this thread waits for a core, as the system numbers them.
    pub(crate) fn way() -> u32 {
        let stat = std::fs::read_to_string("/proc/thread-self/stat").unwrap();
        // The 41st word; the second one, in brackets, may have spaces.
        stat.rsplit_once(')').unwrap().1.split_whitespace().nth(38).unwrap().parse().unwrap()
    }

    /// The way of a patient thread that went this one before.
    pub(crate) fn patient(before: u32) -> u32 {
        if before == libc::SCHED_OTHER as u32 { libc::SCHED_BATCH as u32 } else { before }
    }

    #[test]
    fn a_thread_keeps_to_a_core() {
        let before = allowed().unwrap();
        let last = *before.last().unwrap();
        // Another thread, since nothing gives a core back.
        let kept = std::thread::spawn(move || {
            keep_to(last).unwrap();
            let of_child = std::thread::spawn(|| allowed().unwrap()).join().unwrap();
            (allowed().unwrap(), rustix::thread::sched_getcpu(), of_child)
        });
        assert_eq!(kept.join().unwrap(), (vec![last], last, vec![last]));
        assert_eq!(allowed().unwrap(), before, "the others go where they like");
    }

    #[test]
    fn patience_is_for_one_thread_and_what_it_starts() {
        let before = way();
        let thread = std::thread::spawn(move || {
            be_patient();
            be_patient();
            (way(), std::thread::spawn(way).join().unwrap())
        });
        assert_eq!(thread.join().unwrap(), (patient(before), patient(before)));
        assert_eq!(way(), before, "the others are as they were");
    }

    #[test]
    fn a_core_that_may_not_be_used_is_refused() {
        let before = allowed().unwrap();
        for core in [CpuSet::MAX_CPU - 1, CpuSet::MAX_CPU, usize::MAX] {
            if before.contains(&core) {
                continue;
            }
            let refusal = keep_to(core).unwrap_err().to_string();
            let expected = format!("core {core} is none of those that may be used here; name one of {}", before[0]);
            assert!(refusal.starts_with(&expected), "{refusal}");
        }
        assert_eq!(allowed().unwrap(), before);
    }
}
