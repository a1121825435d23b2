//! The table's rows for commands that Redis does not have.

use super::categories::{CONNECTION, DANGEROUS, KEYSPACE, SKEIN};
use super::flags::{ADMIN, FAST, NOSCRIPT, READONLY};
use super::{Command, Spread, command, range};
use crate::kv::commands::{backups, keys, ranges};

/// All of them.
pub(super) const ROWS: &[Command] = &[
    command("skein.backup", -2, ADMIN | NOSCRIPT, SKEIN)
        .documented("server", "0.1.0", "Depends on subcommand", "Copy the whole store as it is at one moment")
        .contains(&[
            command("skein.backup|close", 3, ADMIN | NOSCRIPT | FAST, SKEIN)
                .documented("server", "0.1.0", "O(1)", "Forget a backup")
                .runs(backups::close)
                .spread(Spread::AllOk),
            command("skein.backup|keep", 3, ADMIN | NOSCRIPT | FAST, SKEIN)
                .documented("server", "0.1.0", "O(1)", "Say that a backup is still needed")
                .runs(backups::keep)
                .spread(Spread::AllOk),
            command("skein.backup|open", 2, ADMIN | NOSCRIPT | FAST, SKEIN)
                .documented(
                    "server",
                    "0.1.0",
                    "O(1)",
                    "Hold all partitions as they are now; return a name, the timestamp, the time in milliseconds, and \
                     the number of partitions",
                )
                .runs(backups::open)
                .spread(Spread::AllOk),
            command("skein.backup|read", 5, ADMIN | NOSCRIPT | READONLY, SKEIN)
                .documented(
                    "server",
                    "0.1.0",
                    "O(N) with N being what a piece holds, about a megabyte",
                    "Return a piece of a partition of a backup, and the position behind it",
                )
                .runs(backups::read)
                .spread(Spread::Backup),
        ]),
    command("skein.consistency", -1, NOSCRIPT | FAST, SKEIN | CONNECTION).documented(
        "connection",
        "0.1.0",
        "O(1)",
        "Show or set how fresh the reads of this connection are: causal or linearizable",
    ),
    command("skein.range", -3, READONLY, SKEIN | KEYSPACE | DANGEROUS)
        .documented(
            "generic",
            "0.1.0",
            "O(log(N)+M) with N being the number of keys and M the number of keys returned",
            "Return keys in order from start up to, but not including, end",
        )
        .runs(ranges::range)
        .spread(Spread::Range),
    command("skein.session", 3, NOSCRIPT | FAST, SKEIN | CONNECTION).documented(
        "connection",
        "0.1.0",
        "O(1)",
        "Name the session of this connection, so that a command that is sent again happens once",
    ),
    command("skein.stats", 1, READONLY | FAST, SKEIN | KEYSPACE)
        .documented(
            "server",
            "0.1.0",
            "O(1)",
            "Return how many keys there are, how many of them have a deadline, and the memory they are said to take",
        )
        .runs(keys::stats)
        .spread(Spread::AllSums),
    command("skein.ts", 1, NOSCRIPT | FAST, SKEIN | CONNECTION).documented(
        "connection",
        "0.1.0",
        "O(1)",
        "Return the last timestamp that this connection has seen",
    ),
    command("skein.version", -2, READONLY | FAST, SKEIN | KEYSPACE)
        .documented(
            "transactions",
            "0.1.0",
            "O(N) with N being the number of keys",
            "Return the version of each key, which changes whenever the key does; 0 if there is none",
        )
        .keys(1, -1, 1, &[range("RO", 1, -1, 1)])
        .runs(keys::version)
        .spread(Spread::Positions),
    command("skein.where", 2, FAST, SKEIN | KEYSPACE)
        .documented("generic", "0.1.0", "O(1)", "Return the partition that holds a key")
        .keys(1, 1, 1, &[range("RO", 1, 0, 1)]),
];
