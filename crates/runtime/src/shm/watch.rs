//! [`Watch`]: sees the death of another process at once.
//!
//! It says nothing of processes that stand still: those come back. Whoever is
//! dead does not, and whatever it had stored in shared memory is there for all
//! to see, since the system takes a process off its processors before it calls
//! it dead.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::{Process, ShmError};

/// Watches one process.
#[derive(Debug)]
pub struct Watch {
    process: Process,
    /// The system's name for the process itself, and not for its number. None if it had died before.
    handle: Option<OwnedFd>,
}

impl Watch {
    /// Watches this process, which may have died long ago.
    pub fn on(process: Process) -> Result<Watch, ShmError> {
        if !process.is_of_this_world()? {
            return Err(ShmError::OtherWorld { pid: process.pid });
        }
        let hidden = |why: String| ShmError::Hidden { pid: process.pid, why };
        let pid = i32::try_from(process.pid).ok().and_then(Pid::from_raw);
        let pid = pid.ok_or_else(|| hidden("that is no number of a process".to_owned()))?;
        let dead = Watch { process, handle: None };
        let handle = match pidfd_open(pid, PidfdFlags::empty()) {
            Ok(handle) => handle,
            Err(Errno::SRCH) => return Ok(dead),
            Err(error) => return Err(hidden(error.to_string())),
        };
        // Who has the number now is asked after the handle was opened. If the handle is still alive after the answer,
        // the two are the same process.
        let is_it = process.has_its_number();
        let watch = Watch { process, handle: Some(handle) };
        match is_it {
            _ if watch.is_dead() => Ok(watch),
            Ok(true) => Ok(watch),
            Ok(false) => Ok(dead),
            Err(why) => Err(hidden(why.to_string())),
        }
    }

    /// Who is watched.
    pub fn process(&self) -> Process {
        self.process
    }

    /// Whether it is dead by now: killed, or ended, and not only about to. One system call that does not wait.
    pub fn is_dead(&self) -> bool {
        let Some(handle) = &self.handle else { return true };
        let mut asked = [PollFd::new(handle, PollFlags::IN)];
        let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
        // Whoever cannot be asked about is alive until it can: to call the living dead would be worse than being late.
        matches!(poll(&mut asked, Some(&at_once)), Ok(answers) if answers > 0)
    }

    /// Becomes readable when it dies, for whoever waits for several things. None if it had died before.
    pub fn handle(&self) -> Option<BorrowedFd<'_>> {
        self.handle.as_ref().map(AsFd::as_fd)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_has_the_number_of_a_dead_process_is_not_it() {
        let own = Process::own().unwrap();
        assert!(!Watch::on(own).unwrap().is_dead());
        let watch = Watch::on(own.predecessor()).unwrap();
        assert!(watch.is_dead() && watch.handle().is_none());
        let refusal = Watch::on(own.elsewhere()).unwrap_err().to_string();
        assert!(refusal.contains("lives in another container"), "{refusal}");
    }

    #[test]
    fn a_number_that_nobody_has_is_dead() {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let pid = child.id();
        child.wait().unwrap();
        let words = Process::own().unwrap().to_words();
        let gone = Process::of_words([u64::from(pid) << 42 | 1, words[1]]);
        assert!(Watch::on(gone).unwrap().is_dead());
        let nobody = Process::of_words([1, words[1]]);
        assert!(Watch::on(nobody).unwrap_err().to_string().contains("that is no number of a process"));
    }
}
