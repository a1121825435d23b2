//! The table's rows for strings and counters: names, arities, flags, categories and keys
//! as Redis 7.0 tells them to whoever asks with COMMAND.

use super::categories::STRING;
use super::flags::{DENYOOM, FAST, READONLY, WRITE};
use super::{Command, Spread, command, range};
use crate::kv::commands::{counters, lcs, strings};

/// All of them.
pub(super) const ROWS: &[Command] = &[
    command("append", 3, WRITE | DENYOOM | FAST, STRING)
        .documented(
            "string",
            "2.0.0",
            "O(1). The amortized time complexity is O(1) assuming the appended value is \
             small and the already present value is of any size, since the dynamic string \
             library used by Redis will double the free space available on every \
             reallocation.",
            "Append a value to a key",
        )
        .keys(1, 1, 1, &[range("RW insert", 1, 0, 1)])
        .runs(strings::append),
    command("decr", 2, WRITE | DENYOOM | FAST, STRING)
        .documented("string", "1.0.0", "O(1)", "Decrement the integer value of a key by one")
        .keys(1, 1, 1, &[range("RW access update", 1, 0, 1)])
        .runs(counters::decr),
    command("decrby", 3, WRITE | DENYOOM | FAST, STRING)
        .documented("string", "1.0.0", "O(1)", "Decrement the integer value of a key by the given number")
        .keys(1, 1, 1, &[range("RW access update", 1, 0, 1)])
        .runs(counters::decrby),
    command("get", 2, READONLY | FAST, STRING)
        .documented("string", "1.0.0", "O(1)", "Get the value of a key")
        .keys(1, 1, 1, &[range("RO access", 1, 0, 1)])
        .runs(strings::get),
    command("getdel", 2, WRITE | FAST, STRING)
        .documented("string", "6.2.0", "O(1)", "Get the value of a key and delete the key")
        .keys(1, 1, 1, &[range("RW access delete", 1, 0, 1)])
        .runs(strings::getdel),
    command("getex", -2, WRITE | FAST, STRING)
        .documented("string", "6.2.0", "O(1)", "Get the value of a key and optionally set its expiration")
        .keys(1, 1, 1, &[range("RW access update", 1, 0, 1)])
        .runs(strings::getex),
    command("getrange", 4, READONLY, STRING)
        .documented(
            "string",
            "2.4.0",
            "O(N) where N is the length of the returned string. The complexity is \
             ultimately determined by the returned length, but because creating a substring \
             from an existing string is very cheap, it can be considered O(1) for small \
             strings.",
            "Get a substring of the string stored at a key",
        )
        .keys(1, 1, 1, &[range("RO access", 1, 0, 1)])
        .runs(strings::getrange),
    command("getset", 3, WRITE | DENYOOM | FAST, STRING)
        .documented("string", "1.0.0", "O(1)", "Set the string value of a key and return its old value")
        .keys(1, 1, 1, &[range("RW access update", 1, 0, 1)])
        .runs(strings::getset),
    command("incr", 2, WRITE | DENYOOM | FAST, STRING)
        .documented("string", "1.0.0", "O(1)", "Increment the integer value of a key by one")
        .keys(1, 1, 1, &[range("RW access update", 1, 0, 1)])
        .runs(counters::incr),
    command("incrby", 3, WRITE | DENYOOM | FAST, STRING)
        .documented("string", "1.0.0", "O(1)", "Increment the integer value of a key by the given amount")
        .keys(1, 1, 1, &[range("RW access update", 1, 0, 1)])
        .runs(counters::incrby),
    command("incrbyfloat", 3, WRITE | DENYOOM | FAST, STRING)
        .documented("string", "2.6.0", "O(1)", "Increment the float value of a key by the given amount")
        .keys(1, 1, 1, &[range("RW access update", 1, 0, 1)])
        .runs(counters::incrbyfloat),
    command("lcs", -3, READONLY, STRING)
        .documented(
            "string",
            "7.0.0",
            "O(N*M) where N and M are the lengths of s1 and s2, respectively",
            "Find longest common substring",
        )
        .keys(1, 2, 1, &[range("RO access", 1, 1, 1)])
        .runs(lcs::lcs),
    command("mget", -2, READONLY | FAST, STRING)
        .documented(
            "string",
            "1.0.0",
            "O(N) where N is the number of keys to retrieve.",
            "Get the values of all the given keys",
        )
        .keys(1, -1, 1, &[range("RO access", 1, -1, 1)])
        .hints(&["request_policy:multi_shard"])
        .runs(strings::mget)
        .spread(Spread::Positions),
    command("mset", -3, WRITE | DENYOOM, STRING)
        .documented(
            "string",
            "1.0.1",
            "O(N) where N is the number of keys to set.",
            "Set multiple keys to multiple values",
        )
        .keys(1, -1, 2, &[range("OW update", 1, -1, 2)])
        .hints(&["request_policy:multi_shard", "response_policy:all_succeeded"])
        .runs(strings::mset)
        .spread(Spread::Pairs),
    command("msetnx", -3, WRITE | DENYOOM, STRING)
        .documented(
            "string",
            "1.0.1",
            "O(N) where N is the number of keys to set.",
            "Set multiple keys to multiple values, only if none of the keys exist",
        )
        .keys(1, -1, 2, &[range("OW insert", 1, -1, 2)])
        .hints(&["request_policy:multi_shard", "response_policy:agg_min"])
        .runs(strings::msetnx),
    command("psetex", 4, WRITE | DENYOOM, STRING)
        .documented("string", "2.6.0", "O(1)", "Set the value and expiration in milliseconds of a key")
        .keys(1, 1, 1, &[range("OW update", 1, 0, 1)])
        .runs(strings::psetex),
    command("set", -3, WRITE | DENYOOM, STRING)
        .documented("string", "1.0.0", "O(1)", "Set the string value of a key")
        .keys(1, 1, 1, &[range("RW access update variable_flags", 1, 0, 1)])
        .runs(strings::set),
    command("setex", 4, WRITE | DENYOOM, STRING)
        .documented("string", "2.0.0", "O(1)", "Set the value and expiration of a key")
        .keys(1, 1, 1, &[range("OW update", 1, 0, 1)])
        .runs(strings::setex),
    command("setnx", 3, WRITE | DENYOOM | FAST, STRING)
        .documented("string", "1.0.0", "O(1)", "Set the value of a key, only if the key does not exist")
        .keys(1, 1, 1, &[range("OW insert", 1, 0, 1)])
        .runs(strings::setnx),
    command("setrange", 4, WRITE | DENYOOM, STRING)
        .documented(
            "string",
            "2.2.0",
            "O(1), not counting the time taken to copy the new string in place. Usually, \
             this string is very small so the amortized complexity is O(1). Otherwise, \
             complexity is O(M) with M being the length of the value argument.",
            "Overwrite part of a string at key starting at the specified offset",
        )
        .keys(1, 1, 1, &[range("RW update", 1, 0, 1)])
        .runs(strings::setrange),
    command("strlen", 2, READONLY | FAST, STRING)
        .documented("string", "2.2.0", "O(1)", "Get the length of the value stored in a key")
        .keys(1, 1, 1, &[range("RO", 1, 0, 1)])
        .runs(strings::strlen),
    command("substr", 4, READONLY, STRING)
        .documented(
            "string",
            "1.0.0",
            "O(N) where N is the length of the returned string. The complexity is \
             ultimately determined by the returned length, but because creating a substring \
             from an existing string is very cheap, it can be considered O(1) for small \
             strings.",
            "Get a substring of the string stored at a key",
        )
        .keys(1, 1, 1, &[range("RO access", 1, 0, 1)])
        .runs(strings::substr),
];
