//! The table's rows for sorted sets: names, arities, flags, categories and keys
//! as Redis 7.0 tells them to whoever asks with COMMAND.

use super::categories::SORTEDSET;
use super::flags::{DENYOOM, FAST, MOVABLEKEYS, READONLY, WRITE};
use super::{Command, command, counted, range};
use crate::kv::commands::{scans, sorted, sorted_combined, sorted_ranges};

/// All of them.
pub(super) const ROWS: &[Command] = &[
    command("zadd", -4, WRITE | DENYOOM | FAST, SORTEDSET)
        .documented(
            "sorted-set",
            "1.2.0",
            "O(log(N)) for each item added, where N is the number of elements in the sorted \
             set.",
            "Add one or more members to a sorted set, or update its score if it already \
             exists",
        )
        .keys(1, 1, 1, &[range("RW update", 1, 0, 1)])
        .runs(sorted::zadd),
    command("zcard", 2, READONLY | FAST, SORTEDSET)
        .documented("sorted-set", "1.2.0", "O(1)", "Get the number of members in a sorted set")
        .keys(1, 1, 1, &[range("RO", 1, 0, 1)])
        .runs(sorted::zcard),
    command("zcount", 4, READONLY | FAST, SORTEDSET)
        .documented(
            "sorted-set",
            "2.0.0",
            "O(log(N)) with N being the number of elements in the sorted set.",
            "Count the members in a sorted set with scores within the given values",
        )
        .keys(1, 1, 1, &[range("RO access", 1, 0, 1)])
        .runs(sorted_ranges::zcount),
    command("zdiff", -3, READONLY | MOVABLEKEYS, SORTEDSET)
        .documented(
            "sorted-set",
            "6.2.0",
            "O(L + (N-K)log(N)) worst case where L is the total number of elements in all \
             the sets, N is the size of the first set, and K is the size of the result set.",
            "Subtract multiple sorted sets",
        )
        .keys(0, 0, 0, &[counted("RO access", 1)])
        .runs(sorted_combined::zdiff),
    command("zdiffstore", -4, WRITE | DENYOOM | MOVABLEKEYS, SORTEDSET)
        .documented(
            "sorted-set",
            "6.2.0",
            "O(L + (N-K)log(N)) worst case where L is the total number of elements in all \
             the sets, N is the size of the first set, and K is the size of the result set.",
            "Subtract multiple sorted sets and store the resulting sorted set in a new key",
        )
        .keys(1, 1, 1, &[range("OW update", 1, 0, 1), counted("RO access", 2)])
        .runs(sorted_combined::zdiffstore)
        .overwrites(),
    command("zincrby", 4, WRITE | DENYOOM | FAST, SORTEDSET)
        .documented(
            "sorted-set",
            "1.2.0",
            "O(log(N)) where N is the number of elements in the sorted set.",
            "Increment the score of a member in a sorted set",
        )
        .keys(1, 1, 1, &[range("RW access update", 1, 0, 1)])
        .runs(sorted::zincrby),
    command("zinter", -3, READONLY | MOVABLEKEYS, SORTEDSET)
        .documented(
            "sorted-set",
            "6.2.0",
            "O(N*K)+O(M*log(M)) worst case with N being the smallest input sorted set, K \
             being the number of input sorted sets and M being the number of elements in the \
             resulting sorted set.",
            "Intersect multiple sorted sets",
        )
        .keys(0, 0, 0, &[counted("RO access", 1)])
        .runs(sorted_combined::zinter),
    command("zintercard", -3, READONLY | MOVABLEKEYS, SORTEDSET)
        .documented(
            "sorted-set",
            "7.0.0",
            "O(N*K) worst case with N being the smallest input sorted set, K being the \
             number of input sorted sets.",
            "Intersect multiple sorted sets and return the cardinality of the result",
        )
        .keys(0, 0, 0, &[counted("RO access", 1)])
        .runs(sorted_combined::zintercard),
    command("zinterstore", -4, WRITE | DENYOOM | MOVABLEKEYS, SORTEDSET)
        .documented(
            "sorted-set",
            "2.0.0",
            "O(N*K)+O(M*log(M)) worst case with N being the smallest input sorted set, K \
             being the number of input sorted sets and M being the number of elements in the \
             resulting sorted set.",
            "Intersect multiple sorted sets and store the resulting sorted set in a new key",
        )
        .keys(1, 1, 1, &[range("OW update", 1, 0, 1), counted("RO access", 2)])
        .runs(sorted_combined::zinterstore)
        .overwrites(),
    command("zlexcount", 4, READONLY | FAST, SORTEDSET)
        .documented(
            "sorted-set",
            "2.8.9",
            "O(log(N)) with N being the number of elements in the sorted set.",
            "Count the number of members in a sorted set between a given lexicographical \
             range",
        )
        .keys(1, 1, 1, &[range("RO access", 1, 0, 1)])
        .runs(sorted_ranges::zlexcount),
    command("zmpop", -4, WRITE | MOVABLEKEYS, SORTEDSET)
        .documented(
            "sorted-set",
            "7.0.0",
            "O(K) + O(M*log(N)) where K is the number of provided keys, N being the number \
             of elements in the sorted set, and M being the number of elements popped.",
            "Remove and return members with scores in a sorted set",
        )
        .keys(0, 0, 0, &[counted("RW access delete", 1)])
        .runs(sorted::zmpop),
    command("zmscore", -3, READONLY | FAST, SORTEDSET)
        .documented(
            "sorted-set",
            "6.2.0",
            "O(N) where N is the number of members being requested.",
            "Get the score associated with the given members in a sorted set",
        )
        .keys(1, 1, 1, &[range("RO access", 1, 0, 1)])
        .runs(sorted::zmscore),
    command("zpopmax", -2, WRITE | FAST, SORTEDSET)
        .documented(
            "sorted-set",
            "5.0.0",
            "O(log(N)*M) with N being the number of elements in the sorted set, and M being \
             the number of elements popped.",
            "Remove and return members with the highest scores in a sorted set",
        )
        .keys(1, 1, 1, &[range("RW access delete", 1, 0, 1)])
        .runs(sorted::zpopmax),
    command("zpopmin", -2, WRITE | FAST, SORTEDSET)
        .documented(
            "sorted-set",
            "5.0.0",
            "O(log(N)*M) with N being the number of elements in the sorted set, and M being \
             the number of elements popped.",
            "Remove and return members with the lowest scores in a sorted set",
        )
        .keys(1, 1, 1, &[range("RW access delete", 1, 0, 1)])
        .runs(sorted::zpopmin),
    command("zrandmember", -2, READONLY, SORTEDSET)
        .documented(
            "sorted-set",
            "6.2.0",
            "O(N) where N is the number of elements returned",
            "Get one or multiple random elements from a sorted set",
        )
        .keys(1, 1, 1, &[range("RO access", 1, 0, 1)])
        .hints(&["nondeterministic_output"])
        .runs(sorted::zrandmember),
    command("zrange", -4, READONLY, SORTEDSET)
        .documented(
            "sorted-set",
            "1.2.0",
            "O(log(N)+M) with N being the number of elements in the sorted set and M the \
             number of elements returned.",
            "Return a range of members in a sorted set",
        )
        .keys(1, 1, 1, &[range("RO access", 1, 0, 1)])
        .runs(sorted_ranges::zrange),
    command("zrangebylex", -4, READONLY, SORTEDSET)
        .documented(
            "sorted-set",
            "2.8.9",
            "O(log(N)+M) with N being the number of elements in the sorted set and M the \
             number of elements being returned. If M is constant (e.g. always asking for the \
             first 10 elements with LIMIT), you can consider it O(log(N)).",
            "Return a range of members in a sorted set, by lexicographical range",
        )
        .keys(1, 1, 1, &[range("RO access", 1, 0, 1)])
        .runs(sorted_ranges::zrangebylex),
    command("zrangebyscore", -4, READONLY, SORTEDSET)
        .documented(
            "sorted-set",
            "1.0.5",
            "O(log(N)+M) with N being the number of elements in the sorted set and M the \
             number of elements being returned. If M is constant (e.g. always asking for the \
             first 10 elements with LIMIT), you can consider it O(log(N)).",
            "Return a range of members in a sorted set, by score",
        )
        .keys(1, 1, 1, &[range("RO access", 1, 0, 1)])
        .runs(sorted_ranges::zrangebyscore),
    command("zrangestore", -5, WRITE | DENYOOM, SORTEDSET)
        .documented(
            "sorted-set",
            "6.2.0",
            "O(log(N)+M) with N being the number of elements in the sorted set and M the \
             number of elements stored into the destination key.",
            "Store a range of members from sorted set into another key",
        )
        .keys(1, 2, 1, &[range("OW update", 1, 0, 1), range("RO access", 2, 0, 1)])
        .runs(sorted_ranges::zrangestore)
        .overwrites(),
    command("zrank", 3, READONLY | FAST, SORTEDSET)
        .documented("sorted-set", "2.0.0", "O(log(N))", "Determine the index of a member in a sorted set")
        .keys(1, 1, 1, &[range("RO access", 1, 0, 1)])
        .runs(sorted::zrank),
    command("zrem", -3, WRITE | FAST, SORTEDSET)
        .documented(
            "sorted-set",
            "1.2.0",
            "O(M*log(N)) with N being the number of elements in the sorted set and M the \
             number of elements to be removed.",
            "Remove one or more members from a sorted set",
        )
        .keys(1, 1, 1, &[range("RW delete", 1, 0, 1)])
        .runs(sorted::zrem),
    command("zremrangebylex", 4, WRITE, SORTEDSET)
        .documented(
            "sorted-set",
            "2.8.9",
            "O(log(N)+M) with N being the number of elements in the sorted set and M the \
             number of elements removed by the operation.",
            "Remove all members in a sorted set between the given lexicographical range",
        )
        .keys(1, 1, 1, &[range("RW delete", 1, 0, 1)])
        .runs(sorted_ranges::zremrangebylex),
    command("zremrangebyrank", 4, WRITE, SORTEDSET)
        .documented(
            "sorted-set",
            "2.0.0",
            "O(log(N)+M) with N being the number of elements in the sorted set and M the \
             number of elements removed by the operation.",
            "Remove all members in a sorted set within the given indexes",
        )
        .keys(1, 1, 1, &[range("RW delete", 1, 0, 1)])
        .runs(sorted_ranges::zremrangebyrank),
    command("zremrangebyscore", 4, WRITE, SORTEDSET)
        .documented(
            "sorted-set",
            "1.2.0",
            "O(log(N)+M) with N being the number of elements in the sorted set and M the \
             number of elements removed by the operation.",
            "Remove all members in a sorted set within the given scores",
        )
        .keys(1, 1, 1, &[range("RW delete", 1, 0, 1)])
        .runs(sorted_ranges::zremrangebyscore),
    command("zrevrange", -4, READONLY, SORTEDSET)
        .documented(
            "sorted-set",
            "1.2.0",
            "O(log(N)+M) with N being the number of elements in the sorted set and M the \
             number of elements returned.",
            "Return a range of members in a sorted set, by index, with scores ordered from \
             high to low",
        )
        .keys(1, 1, 1, &[range("RO access", 1, 0, 1)])
        .runs(sorted_ranges::zrevrange),
    command("zrevrangebylex", -4, READONLY, SORTEDSET)
        .documented(
            "sorted-set",
            "2.8.9",
            "O(log(N)+M) with N being the number of elements in the sorted set and M the \
             number of elements being returned. If M is constant (e.g. always asking for the \
             first 10 elements with LIMIT), you can consider it O(log(N)).",
            "Return a range of members in a sorted set, by lexicographical range, ordered \
             from higher to lower strings.",
        )
        .keys(1, 1, 1, &[range("RO access", 1, 0, 1)])
        .runs(sorted_ranges::zrevrangebylex),
    command("zrevrangebyscore", -4, READONLY, SORTEDSET)
        .documented(
            "sorted-set",
            "2.2.0",
            "O(log(N)+M) with N being the number of elements in the sorted set and M the \
             number of elements being returned. If M is constant (e.g. always asking for the \
             first 10 elements with LIMIT), you can consider it O(log(N)).",
            "Return a range of members in a sorted set, by score, with scores ordered from \
             high to low",
        )
        .keys(1, 1, 1, &[range("RO access", 1, 0, 1)])
        .runs(sorted_ranges::zrevrangebyscore),
    command("zrevrank", 3, READONLY | FAST, SORTEDSET)
        .documented(
            "sorted-set",
            "2.0.0",
            "O(log(N))",
            "Determine the index of a member in a sorted set, with scores ordered from high \
             to low",
        )
        .keys(1, 1, 1, &[range("RO access", 1, 0, 1)])
        .runs(sorted::zrevrank),
    command("zscan", -3, READONLY, SORTEDSET)
        .documented(
            "sorted-set",
            "2.8.0",
            "O(1) for every call. O(N) for a complete iteration, including enough command \
             calls for the cursor to return back to 0. N is the number of elements inside \
             the collection..",
            "Incrementally iterate sorted sets elements and associated scores",
        )
        .keys(1, 1, 1, &[range("RO access", 1, 0, 1)])
        .hints(&["nondeterministic_output"])
        .runs(scans::zscan),
    command("zscore", 3, READONLY | FAST, SORTEDSET)
        .documented("sorted-set", "1.2.0", "O(1)", "Get the score associated with the given member in a sorted set")
        .keys(1, 1, 1, &[range("RO access", 1, 0, 1)])
        .runs(sorted::zscore),
    command("zunion", -3, READONLY | MOVABLEKEYS, SORTEDSET)
        .documented(
            "sorted-set",
            "6.2.0",
            "O(N)+O(M*log(M)) with N being the sum of the sizes of the input sorted sets, \
             and M being the number of elements in the resulting sorted set.",
            "Add multiple sorted sets",
        )
        .keys(0, 0, 0, &[counted("RO access", 1)])
        .runs(sorted_combined::zunion),
    command("zunionstore", -4, WRITE | DENYOOM | MOVABLEKEYS, SORTEDSET)
        .documented(
            "sorted-set",
            "2.0.0",
            "O(N)+O(M log(M)) with N being the sum of the sizes of the input sorted sets, \
             and M being the number of elements in the resulting sorted set.",
            "Add multiple sorted sets and store the resulting sorted set in a new key",
        )
        .keys(1, 1, 1, &[range("OW update", 1, 0, 1), counted("RO access", 2)])
        .runs(sorted_combined::zunionstore)
        .overwrites(),
];
