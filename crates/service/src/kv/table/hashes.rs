//! The table's rows for hashes: names, arities, flags, categories and keys
//! as Redis 7.0 tells them to whoever asks with COMMAND.

use super::categories::HASH;
use super::flags::{DENYOOM, FAST, READONLY, WRITE};
use super::{Command, command, range};
use crate::kv::commands::{hashes, scans};

/// All of them.
pub(super) const ROWS: &[Command] = &[
    command("hdel", -3, WRITE | FAST, HASH)
        .documented(
            "hash",
            "2.0.0",
            "O(N) where N is the number of fields to be removed.",
            "Delete one or more hash fields",
        )
        .keys(1, 1, 1, &[range("RW delete", 1, 0, 1)])
        .runs(hashes::hdel),
    command("hexists", 3, READONLY | FAST, HASH)
        .documented("hash", "2.0.0", "O(1)", "Determine if a hash field exists")
        .keys(1, 1, 1, &[range("RO", 1, 0, 1)])
        .runs(hashes::hexists),
    command("hget", 3, READONLY | FAST, HASH)
        .documented("hash", "2.0.0", "O(1)", "Get the value of a hash field")
        .keys(1, 1, 1, &[range("RO access", 1, 0, 1)])
        .runs(hashes::hget),
    command("hgetall", 2, READONLY, HASH)
        .documented("hash", "2.0.0", "O(N) where N is the size of the hash.", "Get all the fields and values in a hash")
        .keys(1, 1, 1, &[range("RO access", 1, 0, 1)])
        .hints(&["nondeterministic_output_order"])
        .runs(hashes::hgetall),
    command("hincrby", 4, WRITE | DENYOOM | FAST, HASH)
        .documented("hash", "2.0.0", "O(1)", "Increment the integer value of a hash field by the given number")
        .keys(1, 1, 1, &[range("RW access update", 1, 0, 1)])
        .runs(hashes::hincrby),
    command("hincrbyfloat", 4, WRITE | DENYOOM | FAST, HASH)
        .documented("hash", "2.6.0", "O(1)", "Increment the float value of a hash field by the given amount")
        .keys(1, 1, 1, &[range("RW access update", 1, 0, 1)])
        .runs(hashes::hincrbyfloat),
    command("hkeys", 2, READONLY, HASH)
        .documented("hash", "2.0.0", "O(N) where N is the size of the hash.", "Get all the fields in a hash")
        .keys(1, 1, 1, &[range("RO access", 1, 0, 1)])
        .hints(&["nondeterministic_output_order"])
        .runs(hashes::hkeys),
    command("hlen", 2, READONLY | FAST, HASH)
        .documented("hash", "2.0.0", "O(1)", "Get the number of fields in a hash")
        .keys(1, 1, 1, &[range("RO", 1, 0, 1)])
        .runs(hashes::hlen),
    command("hmget", -3, READONLY | FAST, HASH)
        .documented(
            "hash",
            "2.0.0",
            "O(N) where N is the number of fields being requested.",
            "Get the values of all the given hash fields",
        )
        .keys(1, 1, 1, &[range("RO access", 1, 0, 1)])
        .runs(hashes::hmget),
    command("hmset", -4, WRITE | DENYOOM | FAST, HASH)
        .documented(
            "hash",
            "2.0.0",
            "O(N) where N is the number of fields being set.",
            "Set multiple hash fields to multiple values",
        )
        .keys(1, 1, 1, &[range("RW update", 1, 0, 1)])
        .runs(hashes::hmset),
    command("hrandfield", -2, READONLY, HASH)
        .documented(
            "hash",
            "6.2.0",
            "O(N) where N is the number of fields returned",
            "Get one or multiple random fields from a hash",
        )
        .keys(1, 1, 1, &[range("RO access", 1, 0, 1)])
        .hints(&["nondeterministic_output"])
        .runs(hashes::hrandfield),
    command("hscan", -3, READONLY, HASH)
        .documented(
            "hash",
            "2.8.0",
            "O(1) for every call. O(N) for a complete iteration, including enough command \
             calls for the cursor to return back to 0. N is the number of elements inside \
             the collection..",
            "Incrementally iterate hash fields and associated values",
        )
        .keys(1, 1, 1, &[range("RO access", 1, 0, 1)])
        .hints(&["nondeterministic_output"])
        .runs(scans::hscan),
    command("hset", -4, WRITE | DENYOOM | FAST, HASH)
        .documented(
            "hash",
            "2.0.0",
            "O(1) for each field/value pair added, so O(N) to add N field/value pairs when \
             the command is called with multiple field/value pairs.",
            "Set the string value of a hash field",
        )
        .keys(1, 1, 1, &[range("RW update", 1, 0, 1)])
        .runs(hashes::hset),
    command("hsetnx", 4, WRITE | DENYOOM | FAST, HASH)
        .documented("hash", "2.0.0", "O(1)", "Set the value of a hash field, only if the field does not exist")
        .keys(1, 1, 1, &[range("RW insert", 1, 0, 1)])
        .runs(hashes::hsetnx),
    command("hstrlen", 3, READONLY | FAST, HASH)
        .documented("hash", "3.2.0", "O(1)", "Get the length of the value of a hash field")
        .keys(1, 1, 1, &[range("RO", 1, 0, 1)])
        .runs(hashes::hstrlen),
    command("hvals", 2, READONLY, HASH)
        .documented("hash", "2.0.0", "O(N) where N is the size of the hash.", "Get all the values in a hash")
        .keys(1, 1, 1, &[range("RO access", 1, 0, 1)])
        .hints(&["nondeterministic_output_order"])
        .runs(hashes::hvals),
];
