//! The table's rows for keys, whatever they hold: names, arities, flags, categories and keys
//! as Redis 7.0 tells them to whoever asks with COMMAND.

use super::categories::{DANGEROUS, KEYSPACE, LIST, SET, SORTEDSET};
use super::flags::{DENYOOM, FAST, LOADING, MOVABLEKEYS, NONE, READONLY, STALE, WRITE};
use super::{Command, Spread, command, range, unknown};
use crate::kv::commands::{deadlines, keys, scans, sort};

/// All of them.
pub(super) const ROWS: &[Command] = &[
    command("copy", -3, WRITE | DENYOOM, KEYSPACE)
        .documented(
            "generic",
            "6.2.0",
            "O(N) worst case for collections, where N is the number of nested items. O(1) \
             for string values.",
            "Copy a key",
        )
        .keys(1, 2, 1, &[range("RO access", 1, 0, 1), range("OW update", 2, 0, 1)])
        .runs(keys::copy),
    command("dbsize", 1, READONLY | FAST, KEYSPACE)
        .documented("server", "1.0.0", "O(1)", "Return the number of keys in the selected database")
        .hints(&["request_policy:all_shards", "response_policy:agg_sum"])
        .runs(keys::dbsize)
        .spread(Spread::AllSum),
    command("del", -2, WRITE, KEYSPACE)
        .documented(
            "generic",
            "1.0.0",
            "O(N) where N is the number of keys that will be removed. When a key to remove \
             holds a value other than a string, the individual complexity for this key is \
             O(M) where M is the number of elements in the list, set, sorted set or hash. \
             Removing a single key that holds a string value is O(1).",
            "Delete a key",
        )
        .keys(1, -1, 1, &[range("RM delete", 1, -1, 1)])
        .hints(&["request_policy:multi_shard", "response_policy:agg_sum"])
        .runs(keys::del)
        .spread(Spread::Sum),
    command("exists", -2, READONLY | FAST, KEYSPACE)
        .documented("generic", "1.0.0", "O(N) where N is the number of keys to check.", "Determine if a key exists")
        .keys(1, -1, 1, &[range("RO", 1, -1, 1)])
        .hints(&["request_policy:multi_shard", "response_policy:agg_sum"])
        .runs(keys::exists)
        .spread(Spread::Sum),
    command("expire", -3, WRITE | FAST, KEYSPACE)
        .documented("generic", "1.0.0", "O(1)", "Set a key's time to live in seconds")
        .keys(1, 1, 1, &[range("RW update", 1, 0, 1)])
        .runs(deadlines::expire),
    command("expireat", -3, WRITE | FAST, KEYSPACE)
        .documented("generic", "1.2.0", "O(1)", "Set the expiration for a key as a UNIX timestamp")
        .keys(1, 1, 1, &[range("RW update", 1, 0, 1)])
        .runs(deadlines::expireat),
    command("expiretime", 2, READONLY | FAST, KEYSPACE)
        .documented("generic", "7.0.0", "O(1)", "Get the expiration Unix timestamp for a key")
        .keys(1, 1, 1, &[range("RO access", 1, 0, 1)])
        .runs(deadlines::expiretime),
    command("flushall", -1, WRITE, KEYSPACE | DANGEROUS)
        .documented(
            "server",
            "1.0.0",
            "O(N) where N is the total number of keys in all databases",
            "Remove all keys from all databases",
        )
        .hints(&["request_policy:all_shards", "response_policy:all_succeeded"])
        .runs(keys::flushall)
        .spread(Spread::AllOk),
    command("flushdb", -1, WRITE, KEYSPACE | DANGEROUS)
        .documented(
            "server",
            "1.0.0",
            "O(N) where N is the number of keys in the selected database",
            "Remove all keys from the current database",
        )
        .hints(&["request_policy:all_shards", "response_policy:all_succeeded"])
        .runs(keys::flushdb)
        .spread(Spread::AllOk),
    command("keys", 2, READONLY, KEYSPACE | DANGEROUS)
        .documented(
            "generic",
            "1.0.0",
            "O(N) with N being the number of keys in the database, under the assumption \
             that the key names in the database and the given pattern have limited length.",
            "Find all keys matching the given pattern",
        )
        .hints(&["request_policy:all_shards", "nondeterministic_output_order"])
        .runs(keys::keys)
        .spread(Spread::AllKeys),
    command("object", -2, NONE, 0)
        .documented("generic", "2.2.3", "Depends on subcommand.", "A container for object introspection commands")
        .contains(&[
            command("object|encoding", 3, READONLY, KEYSPACE)
                .documented("generic", "2.2.3", "O(1)", "Inspect the internal encoding of a Redis object")
                .keys(2, 2, 1, &[range("RO", 2, 0, 1)])
                .hints(&["nondeterministic_output"])
                .runs(keys::object_encoding),
            command("object|freq", 3, READONLY, KEYSPACE)
                .documented(
                    "generic",
                    "4.0.0",
                    "O(1)",
                    "Get the logarithmic access frequency counter of a Redis object",
                )
                .keys(2, 2, 1, &[range("RO", 2, 0, 1)])
                .hints(&["nondeterministic_output"])
                .runs(keys::object_freq),
            command("object|help", 2, LOADING | STALE, KEYSPACE)
                .documented("generic", "6.2.0", "O(1)", "Show helpful text about the different subcommands")
                .runs(keys::object_help),
            command("object|idletime", 3, READONLY, KEYSPACE)
                .documented("generic", "2.2.3", "O(1)", "Get the time since a Redis object was last accessed")
                .keys(2, 2, 1, &[range("RO", 2, 0, 1)])
                .hints(&["nondeterministic_output"])
                .runs(keys::object_idletime),
            command("object|refcount", 3, READONLY, KEYSPACE)
                .documented("generic", "2.2.3", "O(1)", "Get the number of references to the value of the key")
                .keys(2, 2, 1, &[range("RO", 2, 0, 1)])
                .hints(&["nondeterministic_output"])
                .runs(keys::object_refcount),
        ]),
    command("persist", 2, WRITE | FAST, KEYSPACE)
        .documented("generic", "2.2.0", "O(1)", "Remove the expiration from a key")
        .keys(1, 1, 1, &[range("RW update", 1, 0, 1)])
        .runs(deadlines::persist),
    command("pexpire", -3, WRITE | FAST, KEYSPACE)
        .documented("generic", "2.6.0", "O(1)", "Set a key's time to live in milliseconds")
        .keys(1, 1, 1, &[range("RW update", 1, 0, 1)])
        .runs(deadlines::pexpire),
    command("pexpireat", -3, WRITE | FAST, KEYSPACE)
        .documented(
            "generic",
            "2.6.0",
            "O(1)",
            "Set the expiration for a key as a UNIX timestamp specified in milliseconds",
        )
        .keys(1, 1, 1, &[range("RW update", 1, 0, 1)])
        .runs(deadlines::pexpireat),
    command("pexpiretime", 2, READONLY | FAST, KEYSPACE)
        .documented("generic", "7.0.0", "O(1)", "Get the expiration Unix timestamp for a key in milliseconds")
        .keys(1, 1, 1, &[range("RO access", 1, 0, 1)])
        .runs(deadlines::pexpiretime),
    command("pttl", 2, READONLY | FAST, KEYSPACE)
        .documented("generic", "2.6.0", "O(1)", "Get the time to live for a key in milliseconds")
        .keys(1, 1, 1, &[range("RO access", 1, 0, 1)])
        .hints(&["nondeterministic_output"])
        .runs(deadlines::pttl),
    command("randomkey", 1, READONLY, KEYSPACE)
        .documented("generic", "1.0.0", "O(1)", "Return a random key from the keyspace")
        .hints(&["request_policy:all_shards", "nondeterministic_output"])
        .runs(keys::randomkey)
        .spread(Spread::AllOne),
    command("rename", 3, WRITE, KEYSPACE)
        .documented("generic", "1.0.0", "O(1)", "Rename a key")
        .keys(1, 2, 1, &[range("RW access delete", 1, 0, 1), range("OW update", 2, 0, 1)])
        .runs(keys::rename),
    command("renamenx", 3, WRITE | FAST, KEYSPACE)
        .documented("generic", "1.0.0", "O(1)", "Rename a key, only if the new key does not exist")
        .keys(1, 2, 1, &[range("RW access delete", 1, 0, 1), range("OW insert", 2, 0, 1)])
        .runs(keys::renamenx),
    command("scan", -2, READONLY, KEYSPACE)
        .documented(
            "generic",
            "2.8.0",
            "O(1) for every call. O(N) for a complete iteration, including enough command \
             calls for the cursor to return back to 0. N is the number of elements inside \
             the collection.",
            "Incrementally iterate the keys space",
        )
        .hints(&["nondeterministic_output", "request_policy:special"])
        .runs(scans::scan)
        .spread(Spread::Cursor),
    command("sort", -2, WRITE | DENYOOM | MOVABLEKEYS, SET | SORTEDSET | LIST | DANGEROUS)
        .documented(
            "generic",
            "1.0.0",
            "O(N+M*log(M)) where N is the number of elements in the list or set to sort, \
             and M the number of returned elements. When the elements are not sorted, \
             complexity is O(N).",
            "Sort the elements in a list, set or sorted set",
        )
        .keys(1, 1, 1, &[range("RO access", 1, 0, 1), unknown("RO access"), unknown("OW update")])
        .runs(sort::sort),
    command("sort_ro", -2, READONLY | MOVABLEKEYS, SET | SORTEDSET | LIST | DANGEROUS)
        .documented(
            "generic",
            "7.0.0",
            "O(N+M*log(M)) where N is the number of elements in the list or set to sort, \
             and M the number of returned elements. When the elements are not sorted, \
             complexity is O(N).",
            "Sort the elements in a list, set or sorted set. Read-only variant of SORT.",
        )
        .keys(1, 1, 1, &[range("RO access", 1, 0, 1), unknown("RO access")])
        .runs(sort::sort_ro),
    command("touch", -2, READONLY | FAST, KEYSPACE)
        .documented(
            "generic",
            "3.2.1",
            "O(N) where N is the number of keys that will be touched.",
            "Alters the last access time of a key(s). Returns the number of existing keys \
             specified.",
        )
        .keys(1, -1, 1, &[range("RO", 1, -1, 1)])
        .hints(&["request_policy:multi_shard", "response_policy:agg_sum"])
        .runs(keys::touch)
        .spread(Spread::Sum),
    command("ttl", 2, READONLY | FAST, KEYSPACE)
        .documented("generic", "1.0.0", "O(1)", "Get the time to live for a key in seconds")
        .keys(1, 1, 1, &[range("RO access", 1, 0, 1)])
        .hints(&["nondeterministic_output"])
        .runs(deadlines::ttl),
    command("type", 2, READONLY | FAST, KEYSPACE)
        .documented("generic", "1.0.0", "O(1)", "Determine the type stored at key")
        .keys(1, 1, 1, &[range("RO", 1, 0, 1)])
        .runs(keys::kind),
    command("unlink", -2, WRITE | FAST, KEYSPACE)
        .documented(
            "generic",
            "4.0.0",
            "O(1) for each key removed regardless of its size. Then the command does O(N) \
             work in a different thread in order to reclaim memory, where N is the number of \
             allocations the deleted objects where composed of.",
            "Delete a key asynchronously in another thread. Otherwise it is just as DEL, \
             but non blocking.",
        )
        .keys(1, -1, 1, &[range("RM delete", 1, -1, 1)])
        .hints(&["request_policy:multi_shard", "response_policy:agg_sum"])
        .runs(keys::unlink)
        .spread(Spread::Sum),
];
