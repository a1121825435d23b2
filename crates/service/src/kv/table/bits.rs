//! The table's rows for bits of strings: names, arities, flags, categories and keys
//! as Redis 7.0 tells them to whoever asks with COMMAND.

use super::categories::BITMAP;
use super::flags::{DENYOOM, FAST, READONLY, WRITE};
use super::{Command, command, range};
use crate::kv::commands::{bitfield, bits};

/// All of them.
pub(super) const ROWS: &[Command] = &[
    command("bitcount", -2, READONLY, BITMAP)
        .documented("bitmap", "2.6.0", "O(N)", "Count set bits in a string")
        .keys(1, 1, 1, &[range("RO access", 1, 0, 1)])
        .runs(bits::bitcount),
    command("bitfield", -2, WRITE | DENYOOM, BITMAP)
        .documented(
            "bitmap",
            "3.2.0",
            "O(1) for each subcommand specified",
            "Perform arbitrary bitfield integer operations on strings",
        )
        .keys(1, 1, 1, &[range("RW access update variable_flags", 1, 0, 1)])
        .runs(bitfield::bitfield),
    command("bitfield_ro", -2, READONLY | FAST, BITMAP)
        .documented(
            "bitmap",
            "6.0.0",
            "O(1) for each subcommand specified",
            "Perform arbitrary bitfield integer operations on strings. Read-only variant of \
             BITFIELD",
        )
        .keys(1, 1, 1, &[range("RO access", 1, 0, 1)])
        .runs(bitfield::bitfield_ro),
    command("bitop", -4, WRITE | DENYOOM, BITMAP)
        .documented("bitmap", "2.6.0", "O(N)", "Perform bitwise operations between strings")
        .keys(2, -1, 1, &[range("OW update", 2, 0, 1), range("RO access", 3, -1, 1)])
        .runs(bits::bitop)
        .overwrites(),
    command("bitpos", -3, READONLY, BITMAP)
        .documented("bitmap", "2.8.7", "O(N)", "Find first bit set or clear in a string")
        .keys(1, 1, 1, &[range("RO access", 1, 0, 1)])
        .runs(bits::bitpos),
    command("getbit", 3, READONLY | FAST, BITMAP)
        .documented("bitmap", "2.2.0", "O(1)", "Returns the bit value at offset in the string value stored at key")
        .keys(1, 1, 1, &[range("RO access", 1, 0, 1)])
        .runs(bits::getbit),
    command("setbit", 4, WRITE | DENYOOM, BITMAP)
        .documented("bitmap", "2.2.0", "O(1)", "Sets or clears the bit at offset in the string value stored at key")
        .keys(1, 1, 1, &[range("RW access update", 1, 0, 1)])
        .runs(bits::setbit),
];
