//! The table's rows for lists: names, arities, flags, categories and keys
//! as Redis 7.0 tells them to whoever asks with COMMAND.

use super::categories::LIST;
use super::flags::{DENYOOM, FAST, MOVABLEKEYS, READONLY, WRITE};
use super::{Command, command, counted, range};
use crate::kv::commands::lists;

/// All of them.
pub(super) const ROWS: &[Command] = &[
    command("lindex", 3, READONLY, LIST)
        .documented(
            "list",
            "1.0.0",
            "O(N) where N is the number of elements to traverse to get to the element at \
             index. This makes asking for the first or the last element of the list O(1).",
            "Get an element from a list by its index",
        )
        .keys(1, 1, 1, &[range("RO access", 1, 0, 1)])
        .runs(lists::lindex),
    command("linsert", 5, WRITE | DENYOOM, LIST)
        .documented(
            "list",
            "2.2.0",
            "O(N) where N is the number of elements to traverse before seeing the value \
             pivot. This means that inserting somewhere on the left end on the list (head) \
             can be considered O(1) and inserting somewhere on the right end (tail) is \
             O(N).",
            "Insert an element before or after another element in a list",
        )
        .keys(1, 1, 1, &[range("RW insert", 1, 0, 1)])
        .runs(lists::linsert),
    command("llen", 2, READONLY | FAST, LIST)
        .documented("list", "1.0.0", "O(1)", "Get the length of a list")
        .keys(1, 1, 1, &[range("RO", 1, 0, 1)])
        .runs(lists::llen),
    command("lmove", 5, WRITE | DENYOOM, LIST)
        .documented("list", "6.2.0", "O(1)", "Pop an element from a list, push it to another list and return it")
        .keys(1, 2, 1, &[range("RW access delete", 1, 0, 1), range("RW insert", 2, 0, 1)])
        .runs(lists::lmove),
    command("lmpop", -4, WRITE | MOVABLEKEYS, LIST)
        .documented(
            "list",
            "7.0.0",
            "O(N+M) where N is the number of provided keys and M is the number of elements \
             returned.",
            "Pop elements from a list",
        )
        .keys(0, 0, 0, &[counted("RW access delete", 1)])
        .runs(lists::lmpop),
    command("lpop", -2, WRITE | FAST, LIST)
        .documented(
            "list",
            "1.0.0",
            "O(N) where N is the number of elements returned",
            "Remove and get the first elements in a list",
        )
        .keys(1, 1, 1, &[range("RW access delete", 1, 0, 1)])
        .runs(lists::lpop),
    command("lpos", -3, READONLY, LIST)
        .documented(
            "list",
            "6.0.6",
            "O(N) where N is the number of elements in the list, for the average case. When \
             searching for elements near the head or the tail of the list, or when the \
             MAXLEN option is provided, the command may run in constant time.",
            "Return the index of matching elements on a list",
        )
        .keys(1, 1, 1, &[range("RO access", 1, 0, 1)])
        .runs(lists::lpos),
    command("lpush", -3, WRITE | DENYOOM | FAST, LIST)
        .documented(
            "list",
            "1.0.0",
            "O(1) for each element added, so O(N) to add N elements when the command is \
             called with multiple arguments.",
            "Prepend one or multiple elements to a list",
        )
        .keys(1, 1, 1, &[range("RW insert", 1, 0, 1)])
        .runs(lists::lpush),
    command("lpushx", -3, WRITE | DENYOOM | FAST, LIST)
        .documented(
            "list",
            "2.2.0",
            "O(1) for each element added, so O(N) to add N elements when the command is \
             called with multiple arguments.",
            "Prepend an element to a list, only if the list exists",
        )
        .keys(1, 1, 1, &[range("RW insert", 1, 0, 1)])
        .runs(lists::lpushx),
    command("lrange", 4, READONLY, LIST)
        .documented(
            "list",
            "1.0.0",
            "O(S+N) where S is the distance of start offset from HEAD for small lists, from \
             nearest end (HEAD or TAIL) for large lists; and N is the number of elements in \
             the specified range.",
            "Get a range of elements from a list",
        )
        .keys(1, 1, 1, &[range("RO access", 1, 0, 1)])
        .runs(lists::lrange),
    command("lrem", 4, WRITE, LIST)
        .documented(
            "list",
            "1.0.0",
            "O(N+M) where N is the length of the list and M is the number of elements \
             removed.",
            "Remove elements from a list",
        )
        .keys(1, 1, 1, &[range("RW delete", 1, 0, 1)])
        .runs(lists::lrem),
    command("lset", 4, WRITE | DENYOOM, LIST)
        .documented(
            "list",
            "1.0.0",
            "O(N) where N is the length of the list. Setting either the first or the last \
             element of the list is O(1).",
            "Set the value of an element in a list by its index",
        )
        .keys(1, 1, 1, &[range("RW update", 1, 0, 1)])
        .runs(lists::lset),
    command("ltrim", 4, WRITE, LIST)
        .documented(
            "list",
            "1.0.0",
            "O(N) where N is the number of elements to be removed by the operation.",
            "Trim a list to the specified range",
        )
        .keys(1, 1, 1, &[range("RW delete", 1, 0, 1)])
        .runs(lists::ltrim),
    command("rpop", -2, WRITE | FAST, LIST)
        .documented(
            "list",
            "1.0.0",
            "O(N) where N is the number of elements returned",
            "Remove and get the last elements in a list",
        )
        .keys(1, 1, 1, &[range("RW access delete", 1, 0, 1)])
        .runs(lists::rpop),
    command("rpoplpush", 3, WRITE | DENYOOM, LIST)
        .documented(
            "list",
            "1.2.0",
            "O(1)",
            "Remove the last element in a list, prepend it to another list and return it",
        )
        .keys(1, 2, 1, &[range("RW access delete", 1, 0, 1), range("RW insert", 2, 0, 1)])
        .runs(lists::rpoplpush),
    command("rpush", -3, WRITE | DENYOOM | FAST, LIST)
        .documented(
            "list",
            "1.0.0",
            "O(1) for each element added, so O(N) to add N elements when the command is \
             called with multiple arguments.",
            "Append one or multiple elements to a list",
        )
        .keys(1, 1, 1, &[range("RW insert", 1, 0, 1)])
        .runs(lists::rpush),
    command("rpushx", -3, WRITE | DENYOOM | FAST, LIST)
        .documented(
            "list",
            "2.2.0",
            "O(1) for each element added, so O(N) to add N elements when the command is \
             called with multiple arguments.",
            "Append an element to a list, only if the list exists",
        )
        .keys(1, 1, 1, &[range("RW insert", 1, 0, 1)])
        .runs(lists::rpushx),
];
