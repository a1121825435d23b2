//! The table's rows for sets: names, arities, flags, categories and keys
//! as Redis 7.0 tells them to whoever asks with COMMAND.

use super::categories::SET;
use super::flags::{DENYOOM, FAST, MOVABLEKEYS, READONLY, WRITE};
use super::{Command, command, counted, range};
use crate::kv::commands::{scans, sets, sets_combined};

/// All of them.
pub(super) const ROWS: &[Command] = &[
    command("sadd", -3, WRITE | DENYOOM | FAST, SET)
        .documented(
            "set",
            "1.0.0",
            "O(1) for each element added, so O(N) to add N elements when the command is \
             called with multiple arguments.",
            "Add one or more members to a set",
        )
        .keys(1, 1, 1, &[range("RW insert", 1, 0, 1)])
        .runs(sets::sadd),
    command("scard", 2, READONLY | FAST, SET)
        .documented("set", "1.0.0", "O(1)", "Get the number of members in a set")
        .keys(1, 1, 1, &[range("RO", 1, 0, 1)])
        .runs(sets::scard),
    command("sdiff", -2, READONLY, SET)
        .documented(
            "set",
            "1.0.0",
            "O(N) where N is the total number of elements in all given sets.",
            "Subtract multiple sets",
        )
        .keys(1, -1, 1, &[range("RO access", 1, -1, 1)])
        .hints(&["nondeterministic_output_order"])
        .runs(sets_combined::sdiff),
    command("sdiffstore", -3, WRITE | DENYOOM, SET)
        .documented(
            "set",
            "1.0.0",
            "O(N) where N is the total number of elements in all given sets.",
            "Subtract multiple sets and store the resulting set in a key",
        )
        .keys(1, -1, 1, &[range("OW update", 1, 0, 1), range("RO access", 2, -1, 1)])
        .runs(sets_combined::sdiffstore)
        .overwrites(),
    command("sinter", -2, READONLY, SET)
        .documented(
            "set",
            "1.0.0",
            "O(N*M) worst case where N is the cardinality of the smallest set and M is the \
             number of sets.",
            "Intersect multiple sets",
        )
        .keys(1, -1, 1, &[range("RO access", 1, -1, 1)])
        .hints(&["nondeterministic_output_order"])
        .runs(sets_combined::sinter),
    command("sintercard", -3, READONLY | MOVABLEKEYS, SET)
        .documented(
            "set",
            "7.0.0",
            "O(N*M) worst case where N is the cardinality of the smallest set and M is the \
             number of sets.",
            "Intersect multiple sets and return the cardinality of the result",
        )
        .keys(0, 0, 0, &[counted("RO access", 1)])
        .runs(sets_combined::sintercard),
    command("sinterstore", -3, WRITE | DENYOOM, SET)
        .documented(
            "set",
            "1.0.0",
            "O(N*M) worst case where N is the cardinality of the smallest set and M is the \
             number of sets.",
            "Intersect multiple sets and store the resulting set in a key",
        )
        .keys(1, -1, 1, &[range("RW update", 1, 0, 1), range("RO access", 2, -1, 1)])
        .runs(sets_combined::sinterstore)
        .overwrites(),
    command("sismember", 3, READONLY | FAST, SET)
        .documented("set", "1.0.0", "O(1)", "Determine if a given value is a member of a set")
        .keys(1, 1, 1, &[range("RO", 1, 0, 1)])
        .runs(sets::sismember),
    command("smembers", 2, READONLY, SET)
        .documented("set", "1.0.0", "O(N) where N is the set cardinality.", "Get all the members in a set")
        .keys(1, 1, 1, &[range("RO access", 1, 0, 1)])
        .hints(&["nondeterministic_output_order"])
        .runs(sets::smembers),
    command("smismember", -3, READONLY | FAST, SET)
        .documented(
            "set",
            "6.2.0",
            "O(N) where N is the number of elements being checked for membership",
            "Returns the membership associated with the given elements for a set",
        )
        .keys(1, 1, 1, &[range("RO access", 1, 0, 1)])
        .runs(sets::smismember),
    command("smove", 4, WRITE | FAST, SET)
        .documented("set", "1.0.0", "O(1)", "Move a member from one set to another")
        .keys(1, 2, 1, &[range("RW access delete", 1, 0, 1), range("RW insert", 2, 0, 1)])
        .runs(sets::smove),
    command("spop", -2, WRITE | FAST, SET)
        .documented(
            "set",
            "1.0.0",
            "Without the count argument O(1), otherwise O(N) where N is the value of the \
             passed count.",
            "Remove and return one or multiple random members from a set",
        )
        .keys(1, 1, 1, &[range("RW access delete", 1, 0, 1)])
        .hints(&["nondeterministic_output"])
        .runs(sets::spop),
    command("srandmember", -2, READONLY, SET)
        .documented(
            "set",
            "1.0.0",
            "Without the count argument O(1), otherwise O(N) where N is the absolute value \
             of the passed count.",
            "Get one or multiple random members from a set",
        )
        .keys(1, 1, 1, &[range("RO access", 1, 0, 1)])
        .hints(&["nondeterministic_output"])
        .runs(sets::srandmember),
    command("srem", -3, WRITE | FAST, SET)
        .documented(
            "set",
            "1.0.0",
            "O(N) where N is the number of members to be removed.",
            "Remove one or more members from a set",
        )
        .keys(1, 1, 1, &[range("RW delete", 1, 0, 1)])
        .runs(sets::srem),
    command("sscan", -3, READONLY, SET)
        .documented(
            "set",
            "2.8.0",
            "O(1) for every call. O(N) for a complete iteration, including enough command \
             calls for the cursor to return back to 0. N is the number of elements inside \
             the collection..",
            "Incrementally iterate Set elements",
        )
        .keys(1, 1, 1, &[range("RO access", 1, 0, 1)])
        .hints(&["nondeterministic_output"])
        .runs(scans::sscan),
    command("sunion", -2, READONLY, SET)
        .documented(
            "set",
            "1.0.0",
            "O(N) where N is the total number of elements in all given sets.",
            "Add multiple sets",
        )
        .keys(1, -1, 1, &[range("RO access", 1, -1, 1)])
        .hints(&["nondeterministic_output_order"])
        .runs(sets_combined::sunion),
    command("sunionstore", -3, WRITE | DENYOOM, SET)
        .documented(
            "set",
            "1.0.0",
            "O(N) where N is the total number of elements in all given sets.",
            "Add multiple sets and store the resulting set in a key",
        )
        .keys(1, -1, 1, &[range("OW update", 1, 0, 1), range("RO access", 2, -1, 1)])
        .runs(sets_combined::sunionstore)
        .overwrites(),
];
