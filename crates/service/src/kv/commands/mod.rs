//! The commands, family by family. Each is one function that reads its
//! arguments, refuses what Redis refuses in the order in which Redis looks, then
//! changes keys and writes its reply. None fails after it has changed anything.

pub(super) mod backups;
pub(super) mod bitfield;
pub(super) mod bits;
pub(super) mod connection;
pub(super) mod counters;
pub(super) mod deadlines;
pub(super) mod describe;
pub(super) mod hashes;
pub(super) mod keys;
pub(super) mod lcs;
pub(super) mod lists;
pub(super) mod ranges;
pub(super) mod scans;
pub(super) mod sets;
pub(super) mod sets_combined;
pub(super) mod sort;
pub(super) mod sorted;
pub(super) mod sorted_combined;
pub(super) mod sorted_ranges;
pub(super) mod strings;
