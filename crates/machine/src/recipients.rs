//! [`Recipients`]: whom one message is for. What a machine tells several
//! processes is one effect, so that a host encodes it once.

use core::fmt;

use crate::ProcessId;
use crate::cluster::MAX_REPLICAS;

/// The most that one message goes to at once: a whole group.
const MOST: usize = MAX_REPLICAS;

/// Processes that are told the same, in the order in which they were named.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Recipients {
    processes: [ProcessId; MOST],
    count: u8,
}

impl Recipients {
    /// Nobody yet.
    pub const fn new() -> Recipients {
        Recipients { processes: [ProcessId(0); MOST], count: 0 }
    }

    /// Takes as many of these as there is room for.
    pub(crate) fn take(processes: &mut impl Iterator<Item = ProcessId>) -> Recipients {
        let mut recipients = Recipients::new();
        for process in processes.take(MOST) {
            recipients.processes[usize::from(recipients.count)] = process;
            recipients.count += 1;
        }
        recipients
    }

    /// Who they are.
    pub fn as_slice(&self) -> &[ProcessId] {
        &self.processes[..usize::from(self.count)]
    }

    /// One after the other.
    pub fn iter(&self) -> impl Iterator<Item = ProcessId> {
        self.as_slice().iter().copied()
    }

    /// Takes one of them out.
    pub fn remove(&mut self, process: ProcessId) {
        let others = *self;
        *self = Recipients::take(&mut others.iter().filter(|other| *other != process));
    }

    /// Whether nobody is left.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }
}

impl Default for Recipients {
    fn default() -> Recipients {
        Recipients::new()
    }
}

impl From<ProcessId> for Recipients {
    fn from(process: ProcessId) -> Recipients {
        let mut recipients = Recipients { count: 1, ..Recipients::new() };
        recipients.processes[0] = process;
        recipients
    }
}

impl fmt::Debug for Recipients {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;

    #[test]
    fn they_stand_in_the_order_in_which_they_were_named() {
        let mut named = [5, 1, 7].map(ProcessId).into_iter();
        let mut recipients = Recipients::take(&mut named);
        recipients.remove(ProcessId(1));
        recipients.remove(ProcessId(9));
        assert_eq!((format!("{recipients:?}"), recipients.is_empty()), ("[p5, p7]".into(), false));
        recipients.remove(ProcessId(5));
        assert_eq!(recipients, Recipients::from(ProcessId(7)));
    }

    #[test]
    fn a_group_is_the_most() {
        let mut crowd = (0..12).map(ProcessId);
        assert_eq!(Recipients::take(&mut crowd).as_slice().len(), 9);
        assert_eq!(Recipients::take(&mut crowd).as_slice(), [9, 10, 11].map(ProcessId));
        assert!(Recipients::take(&mut crowd).is_empty());
    }
}
