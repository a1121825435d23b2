//! The table's rows for connections and servers, which the face answers: names, arities, flags, categories and keys
//! as Redis 7.0 tells them to whoever asks with COMMAND.

use super::categories::{CONNECTION, DANGEROUS, TRANSACTION};
use super::flags::{ADMIN, ALLOW_BUSY, FAST, LOADING, NO_AUTH, NONE, NOSCRIPT, SKIP_SLOWLOG, STALE};
use super::{Command, command, range};
use crate::kv::commands::{connection, describe};

/// All of them.
pub(super) const ROWS: &[Command] = &[
    command("acl", -2, NONE, 0)
        .documented("server", "6.0.0", "Depends on subcommand.", "A container for Access List Control commands ")
        .contains(&[
            command("acl|cat", -2, NOSCRIPT | LOADING | STALE, 0).documented(
                "server",
                "6.0.0",
                "O(1) since the categories and commands are a fixed set.",
                "List the ACL categories or the commands inside a category",
            ),
            command("acl|help", 2, LOADING | STALE, 0).documented(
                "server",
                "6.0.0",
                "O(1)",
                "Show helpful text about the different subcommands",
            ),
            command("acl|list", 2, ADMIN | NOSCRIPT | LOADING | STALE, 0).documented(
                "server",
                "6.0.0",
                "O(N). Where N is the number of configured users.",
                "List the current ACL rules in ACL config file format",
            ),
            command("acl|users", 2, ADMIN | NOSCRIPT | LOADING | STALE, 0).documented(
                "server",
                "6.0.0",
                "O(N). Where N is the number of configured users.",
                "List the username of all the configured ACL rules",
            ),
            command("acl|whoami", 2, NOSCRIPT | LOADING | STALE, 0).documented(
                "server",
                "6.0.0",
                "O(1)",
                "Return the name of the user associated to the current connection",
            ),
        ]),
    command("auth", -2, NOSCRIPT | LOADING | STALE | FAST | NO_AUTH | ALLOW_BUSY, CONNECTION).documented(
        "connection",
        "1.0.0",
        "O(N) where N is the number of passwords defined for the user",
        "Authenticate to the server",
    ),
    command("client", -2, NONE, 0)
        .documented("connection", "2.4.0", "Depends on subcommand.", "A container for client connection commands")
        .contains(&[
            command("client|getname", 2, NOSCRIPT | LOADING | STALE, CONNECTION).documented(
                "connection",
                "2.6.9",
                "O(1)",
                "Get the current connection name",
            ),
            command("client|help", 2, LOADING | STALE, CONNECTION).documented(
                "connection",
                "5.0.0",
                "O(1)",
                "Show helpful text about the different subcommands",
            ),
            command("client|id", 2, NOSCRIPT | LOADING | STALE, CONNECTION).documented(
                "connection",
                "5.0.0",
                "O(1)",
                "Returns the client ID for the current connection",
            ),
            command("client|info", 2, NOSCRIPT | LOADING | STALE, CONNECTION)
                .documented("connection", "6.2.0", "O(1)", "Returns information about the current client connection.")
                .hints(&["nondeterministic_output"]),
            command("client|list", -2, ADMIN | NOSCRIPT | LOADING | STALE, CONNECTION)
                .documented(
                    "connection",
                    "2.4.0",
                    "O(N) where N is the number of client connections",
                    "Get the list of client connections",
                )
                .hints(&["nondeterministic_output"]),
            command("client|no-evict", 3, ADMIN | NOSCRIPT | LOADING | STALE, CONNECTION).documented(
                "connection",
                "7.0.0",
                "O(1)",
                "Set client eviction mode for the current connection",
            ),
            command("client|no-touch", 3, NOSCRIPT | LOADING | STALE, CONNECTION).documented(
                "connection",
                "7.2.0",
                "O(1)",
                "Controls whether commands sent by the client affect the LRU/LFU of accessed keys",
            ),
            command("client|reply", 3, NOSCRIPT | LOADING | STALE, CONNECTION).documented(
                "connection",
                "3.2.0",
                "O(1)",
                "Instruct the server whether to reply to commands",
            ),
            command("client|setinfo", 4, NOSCRIPT | LOADING | STALE, CONNECTION).documented(
                "connection",
                "7.2.0",
                "O(1)",
                "Sets information specific to the client or connection",
            ),
            command("client|setname", 3, NOSCRIPT | LOADING | STALE, CONNECTION).documented(
                "connection",
                "2.6.9",
                "O(1)",
                "Set the current connection name",
            ),
        ]),
    command("command", -1, LOADING | STALE, CONNECTION)
        .documented(
            "server",
            "2.8.13",
            "O(N) where N is the total number of Redis commands",
            "Get array of Redis command details",
        )
        .hints(&["nondeterministic_output_order"])
        .runs(describe::command)
        .contains(&[
            command("command|count", 2, LOADING | STALE, CONNECTION)
                .documented("server", "2.8.13", "O(1)", "Get total number of Redis commands")
                .runs(describe::count),
            command("command|docs", -2, LOADING | STALE, CONNECTION)
                .documented(
                    "server",
                    "7.0.0",
                    "O(N) where N is the number of commands to look up",
                    "Get array of specific Redis command documentation",
                )
                .hints(&["nondeterministic_output_order"])
                .runs(describe::docs),
            command("command|getkeys", -4, LOADING | STALE, CONNECTION)
                .documented(
                    "server",
                    "2.8.13",
                    "O(N) where N is the number of arguments to the command",
                    "Extract keys given a full Redis command",
                )
                .runs(describe::getkeys),
            command("command|getkeysandflags", -4, LOADING | STALE, CONNECTION)
                .documented(
                    "server",
                    "7.0.0",
                    "O(N) where N is the number of arguments to the command",
                    "Extract keys and access flags given a full Redis command",
                )
                .runs(describe::getkeysandflags),
            command("command|help", 2, LOADING | STALE, CONNECTION)
                .documented("server", "5.0.0", "O(1)", "Show helpful text about the different subcommands")
                .runs(describe::help),
            command("command|info", -2, LOADING | STALE, CONNECTION)
                .documented(
                    "server",
                    "2.8.13",
                    "O(N) where N is the number of commands to look up",
                    "Get array of specific Redis command details, or all when no argument is given.",
                )
                .hints(&["nondeterministic_output_order"])
                .runs(describe::info),
            command("command|list", -2, LOADING | STALE, CONNECTION)
                .documented(
                    "server",
                    "7.0.0",
                    "O(N) where N is the total number of Redis commands",
                    "Get an array of Redis command names",
                )
                .hints(&["nondeterministic_output_order"])
                .runs(describe::list),
        ]),
    command("config", -2, NONE, 0)
        .documented("server", "2.0.0", "Depends on subcommand.", "A container for server configuration commands")
        .contains(&[
            command("config|get", -3, ADMIN | NOSCRIPT | LOADING | STALE, 0).documented(
                "server",
                "2.0.0",
                "O(N) when N is the number of configuration parameters provided",
                "Get the values of configuration parameters",
            ),
            command("config|help", 2, LOADING | STALE, 0).documented(
                "server",
                "5.0.0",
                "O(1)",
                "Show helpful text about the different subcommands",
            ),
            command("config|resetstat", 2, ADMIN | NOSCRIPT | LOADING | STALE, 0).documented(
                "server",
                "2.0.0",
                "O(1)",
                "Reset the stats returned by INFO",
            ),
            command("config|set", -4, ADMIN | NOSCRIPT | LOADING | STALE, 0)
                .documented(
                    "server",
                    "2.0.0",
                    "O(N) when N is the number of configuration parameters provided",
                    "Set configuration parameters to the given values",
                )
                .hints(&["request_policy:all_nodes", "response_policy:all_succeeded"]),
        ]),
    command("discard", 1, NOSCRIPT | LOADING | STALE | FAST | ALLOW_BUSY, TRANSACTION).documented(
        "transactions",
        "2.0.0",
        "O(N), when N is the number of queued commands",
        "Discard all commands issued after MULTI",
    ),
    command("echo", 2, LOADING | STALE | FAST, CONNECTION)
        .documented("connection", "1.0.0", "O(1)", "Echo the given string")
        .runs(connection::echo),
    command("exec", 1, NOSCRIPT | LOADING | STALE | SKIP_SLOWLOG, TRANSACTION).documented(
        "transactions",
        "1.2.0",
        "Depends on commands in the transaction",
        "Execute all commands issued after MULTI",
    ),
    command("hello", -1, NOSCRIPT | LOADING | STALE | FAST | NO_AUTH | ALLOW_BUSY, CONNECTION).documented(
        "connection",
        "6.0.0",
        "O(1)",
        "Handshake with Redis",
    ),
    command("info", -1, LOADING | STALE, DANGEROUS)
        .documented("server", "1.0.0", "O(1)", "Get information and statistics about the server")
        .hints(&["nondeterministic_output", "request_policy:all_shards", "response_policy:special"]),
    command("multi", 1, NOSCRIPT | LOADING | STALE | FAST | ALLOW_BUSY, TRANSACTION).documented(
        "transactions",
        "1.2.0",
        "O(1)",
        "Mark the start of a transaction block",
    ),
    command("ping", -1, FAST, CONNECTION)
        .documented("connection", "1.0.0", "O(1)", "Ping the server")
        .hints(&["request_policy:all_shards", "response_policy:all_succeeded"])
        .runs(connection::ping),
    command("quit", -1, NOSCRIPT | LOADING | STALE | FAST | NO_AUTH | ALLOW_BUSY, CONNECTION).documented(
        "connection",
        "1.0.0",
        "O(1)",
        "Close the connection",
    ),
    command("reset", 1, NOSCRIPT | LOADING | STALE | FAST | NO_AUTH | ALLOW_BUSY, CONNECTION).documented(
        "connection",
        "6.2.0",
        "O(1)",
        "Reset the connection",
    ),
    command("select", 2, LOADING | STALE | FAST, CONNECTION)
        .documented("connection", "1.0.0", "O(1)", "Change the selected database for the current connection")
        .runs(connection::select),
    command("time", 1, LOADING | STALE | FAST, 0)
        .documented("server", "2.6.0", "O(1)", "Return the current server time")
        .hints(&["nondeterministic_output"])
        .runs(connection::time),
    command("unwatch", 1, NOSCRIPT | LOADING | STALE | FAST | ALLOW_BUSY, TRANSACTION).documented(
        "transactions",
        "2.2.0",
        "O(1)",
        "Forget about all watched keys",
    ),
    command("watch", -2, NOSCRIPT | LOADING | STALE | FAST | ALLOW_BUSY, TRANSACTION)
        .documented(
            "transactions",
            "2.2.0",
            "O(1) for every key.",
            "Watch the given keys to determine execution of the MULTI/EXEC block",
        )
        .keys(1, -1, 1, &[range("RO", 1, -1, 1)]),
];
