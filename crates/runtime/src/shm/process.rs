//! [`Process`]: one process of this machine, named so that no other is ever
//! taken for it, and [`start_of_machine`], which does the same for the machine.
//!
//! Process numbers are used again. Together with the moment at which it began,
//! a number means one process only.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::ShmError;

/// One process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Process {
    /// Its number.
    pub pid: u32,
    /// When it began, in ticks since the machine was started.
    began: u64,
    /// Where its number and its ticks are counted: two containers may count differently.
    world: u64,
}

/// The system counts its processes up to here.
const PID_BITS: u32 = 22;

/// The other bits of the word: enough ticks for a thousand years.
const BEGAN_BITS: u32 = u64::BITS - PID_BITS;

impl Process {
    /// This one.
    pub fn own() -> Result<Process, ShmError> {
        let pid = std::process::id();
        assert!(pid < 1 << PID_BITS, "process {pid} has a higher number than the system gives");
        let began = began(pid).map_err(ShmError::system("read when this process began in", Path::new("/proc")))?;
        Ok(Process { pid, began, world: own_world()? })
    }

    /// One word that says who, and one that says where.
    pub(super) fn to_words(self) -> [u64; 2] {
        [u64::from(self.pid) << BEGAN_BITS | self.began, self.world]
    }

    pub(super) fn of_words([who, world]: [u64; 2]) -> Process {
        Process { pid: (who >> BEGAN_BITS) as u32, began: who & ((1 << BEGAN_BITS) - 1), world }
    }

    /// Whether its number means something here.
    pub(super) fn is_of_this_world(self) -> Result<bool, ShmError> {
        Ok(self.world == own_world()?)
    }

    /// Whether the process that has its number now is this one.
    pub(super) fn has_its_number(self) -> io::Result<bool> {
        Ok(began(self.pid)? == self.began)
    }

    /// The same, as if it had begun a moment earlier.
    #[cfg(test)]
    pub(super) fn predecessor(self) -> Process {
        Process { began: self.began - 1, ..self }
    }

    /// The same number, in another container.
    #[cfg(test)]
    pub(super) fn elsewhere(self) -> Process {
        Process { world: self.world + 1, ..self }
    }
}

/// When the process began that has this number now.
fn began(pid: u32) -> io::Result<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    began_of(&stat).ok_or_else(|| io::Error::other(format!("/proc/{pid}/stat does not say when it began")))
}

/// The twenty-second field. The second is the name of the program, which may have anything in it; nothing behind has.
fn began_of(stat: &str) -> Option<u64> {
    let (_, behind_name) = stat.rsplit_once(')')?;
    let began: u64 = behind_name.split_whitespace().nth(19)?.parse().ok()?;
    (began < 1 << BEGAN_BITS).then_some(began)
}

/// The system's own numbers for the two name spaces that matter. Both have 32 bits.
fn own_world() -> Result<u64, ShmError> {
    let number = |name: &str| {
        let path = Path::new("/proc/self/ns").join(name);
        match fs::metadata(&path) {
            Ok(told) => Ok(told.ino()),
            // A system that does not know of one has only one.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
            Err(error) => Err(ShmError::system("read", &path)(error)),
        }
    };
    Ok(number("pid")? << 32 | number("time")? & u64::from(u32::MAX))
}

/// Which start of this machine it runs on since: drawn by the system each time.
pub(super) fn start_of_machine() -> Result<u128, ShmError> {
    let path = Path::new("/proc/sys/kernel/random/boot_id");
    let text = fs::read_to_string(path).map_err(ShmError::system("read", path))?;
    let digits: String = text.chars().filter(char::is_ascii_hexdigit).collect();
    let start = u128::from_str_radix(&digits, 16).map_err(io::Error::other);
    start.map_err(ShmError::system("make sense of", path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_two_words() {
        let own = Process::own().unwrap();
        assert_eq!(own.pid, std::process::id());
        assert_eq!(Process::of_words(own.to_words()), own);
        assert!(own.is_of_this_world().unwrap() && own.has_its_number().unwrap());
        assert!(!own.predecessor().has_its_number().unwrap());
        assert!(!own.elsewhere().is_of_this_world().unwrap());
        let last = Process { pid: (1 << PID_BITS) - 1, began: (1 << BEGAN_BITS) - 1, world: u64::MAX };
        assert_eq!(Process::of_words(last.to_words()), last);
    }

    #[test]
    fn a_program_may_have_any_name() {
        let behind = "S 1 2 3 4 -1 5 6 7 8 9 10 11 12 13 20 0 1 0 4711 14 15";
        assert_eq!(began_of(&format!("77 (a b) (c) S 9) {behind}")), Some(4711));
        assert_eq!(began_of("77 (a b) S 1 2"), None);
        assert_eq!(began_of("77"), None);
    }

    #[test]
    fn the_machine_was_started_once() {
        assert_ne!(start_of_machine().unwrap(), 0);
        assert_eq!(start_of_machine().unwrap(), start_of_machine().unwrap());
    }
}
