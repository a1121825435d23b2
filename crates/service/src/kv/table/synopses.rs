//! What the arguments of each command are called, what they are, and which may
//! be left out or repeated: the synopsis that COMMAND DOCS tells, and from which
//! clients complete what is typed. Nothing is judged by it: what a command takes
//! is known by whoever runs it.
//!
//! A synopsis is a line of arguments. `name:t` is a value of the type that the
//! letter stands for, with the number of its key specification behind it if it
//! is a key; a bare name is a word. `name[a b]` is one of these, `name(a b)` all
//! of them in a row. Then, in this order: `=WORD` has the word before it,
//! `^1.2.3` came with that version and `~1.2.3` went out of use, `?` may be left
//! out, `*` may come more than once, and `+` with its word each time.

use core::iter;

/// All of them, in the order of their names.
const ROWS: &[(&str, &str)] = &[
    ("acl|cat", "categoryname:s?"),
    ("append", "key:k0 value:s"),
    ("auth", "username:s^6.0.0? password:s"),
    ("bitcount", "key:k0 index(start:i end:i index_unit[byte=BYTE bit=BIT]^7.0.0?)?"),
    (
        "bitfield",
        "key:k0 operation[encoding_offset(encoding:s offset:i)=GET write(wrap_sat_fail[wrap=WRAP sat=SAT fail=FAIL]=OVERFLOW? write_operation[encoding_offset_value(encoding:s offset:i value:i)=SET encoding_offset_increment(encoding:s offset:i increment:i)=INCRBY])]?*",
    ),
    ("bitfield_ro", "key:k0 encoding_offset(encoding:s offset:i)=GET?*+"),
    ("bitop", "operation:s destkey:k0 key:k1*"),
    ("bitpos", "key:k0 bit:i index(start:i end_index(end:i index_unit[byte=BYTE bit=BIT]^7.0.0?)?)?"),
    (
        "client|list",
        "normal_master_replica_pubsub[normal=NORMAL master=MASTER replica=REPLICA pubsub=PUBSUB]=TYPE^5.0.0? id(client-id:i*)=ID^6.2.0?",
    ),
    ("client|no-evict", "enabled[on=ON off=OFF]"),
    ("client|no-touch", "enabled[on=ON off=OFF]"),
    ("client|reply", "on_off_skip[on=ON off=OFF skip=SKIP]"),
    ("client|setinfo", "attr[libname:s=LIB-NAME libver:s=LIB-VER]"),
    ("client|setname", "connection-name:s"),
    ("command|docs", "command-name:s?*"),
    ("command|info", "command-name:s?*"),
    ("command|list", "filterby[module-name:s=MODULE category:s=ACLCAT pattern:p=PATTERN]=FILTERBY?"),
    ("config|get", "parameter(parameter:s)*"),
    ("config|set", "parameter_value(parameter:s value:s)*"),
    ("copy", "source:k0 destination:k1 destination-db:i=DB? replace=REPLACE?"),
    ("decr", "key:k0"),
    ("decrby", "key:k0 decrement:i"),
    ("del", "key:k0*"),
    ("echo", "message:s"),
    ("exists", "key:k0*"),
    ("expire", "key:k0 seconds:i condition[nx=NX xx=XX gt=GT lt=LT]^7.0.0?"),
    ("expireat", "key:k0 unix-time-seconds:u condition[nx=NX xx=XX gt=GT lt=LT]^7.0.0?"),
    ("expiretime", "key:k0"),
    ("flushall", "async[async=ASYNC^4.0.0 sync=SYNC^6.2.0]?"),
    ("flushdb", "async[async=ASYNC^4.0.0 sync=SYNC^6.2.0]?"),
    ("get", "key:k0"),
    ("getbit", "key:k0 offset:i"),
    ("getdel", "key:k0"),
    (
        "getex",
        "key:k0 expiration[seconds:i=EX milliseconds:i=PX unix-time-seconds:u=EXAT unix-time-milliseconds:u=PXAT persist=PERSIST]?",
    ),
    ("getrange", "key:k0 start:i end:i"),
    ("getset", "key:k0 value:s"),
    ("hdel", "key:k0 field:s*"),
    ("hello", "arguments(protover:i username_password(username:s password:s)=AUTH? clientname:s=SETNAME?)?"),
    ("hexists", "key:k0 field:s"),
    ("hget", "key:k0 field:s"),
    ("hgetall", "key:k0"),
    ("hincrby", "key:k0 field:s increment:i"),
    ("hincrbyfloat", "key:k0 field:s increment:d"),
    ("hkeys", "key:k0"),
    ("hlen", "key:k0"),
    ("hmget", "key:k0 field:s*"),
    ("hmset", "key:k0 field_value(field:s value:s)*"),
    ("hrandfield", "key:k0 options(count:i withvalues=WITHVALUES?)?"),
    ("hscan", "key:k0 cursor:i pattern:p=MATCH? count:i=COUNT?"),
    ("hset", "key:k0 field_value(field:s value:s)*"),
    ("hsetnx", "key:k0 field:s value:s"),
    ("hstrlen", "key:k0 field:s"),
    ("hvals", "key:k0"),
    ("incr", "key:k0"),
    ("incrby", "key:k0 increment:i"),
    ("incrbyfloat", "key:k0 increment:d"),
    ("info", "section:s?*"),
    ("keys", "pattern:p"),
    ("lcs", "key1:k0 key2:k0 len=LEN? idx=IDX? len:i=MINMATCHLEN? withmatchlen=WITHMATCHLEN?"),
    ("lindex", "key:k0 index:i"),
    ("linsert", "key:k0 where[before=BEFORE after=AFTER] pivot:s element:s"),
    ("llen", "key:k0"),
    ("lmove", "source:k0 destination:k1 wherefrom[left=LEFT right=RIGHT] whereto[left=LEFT right=RIGHT]"),
    ("lmpop", "numkeys:i key:k0* where[left=LEFT right=RIGHT] count:i=COUNT?"),
    ("lpop", "key:k0 count:i^6.2.0?"),
    ("lpos", "key:k0 element:s rank:i=RANK? num-matches:i=COUNT? len:i=MAXLEN?"),
    ("lpush", "key:k0 element:s*"),
    ("lpushx", "key:k0 element:s*"),
    ("lrange", "key:k0 start:i stop:i"),
    ("lrem", "key:k0 count:i element:s"),
    ("lset", "key:k0 index:i element:s"),
    ("ltrim", "key:k0 start:i stop:i"),
    ("mget", "key:k0*"),
    ("mset", "key_value(key:k0 value:s)*"),
    ("msetnx", "key_value(key:k0 value:s)*"),
    ("object|encoding", "key:k0"),
    ("object|freq", "key:k0"),
    ("object|idletime", "key:k0"),
    ("object|refcount", "key:k0"),
    ("persist", "key:k0"),
    ("pexpire", "key:k0 milliseconds:i condition[nx=NX xx=XX gt=GT lt=LT]^7.0.0?"),
    ("pexpireat", "key:k0 unix-time-milliseconds:u condition[nx=NX xx=XX gt=GT lt=LT]^7.0.0?"),
    ("pexpiretime", "key:k0"),
    ("ping", "message:s?"),
    ("psetex", "key:k0 milliseconds:i value:s"),
    ("pttl", "key:k0"),
    ("rename", "key:k0 newkey:k1"),
    ("renamenx", "key:k0 newkey:k1"),
    ("rpop", "key:k0 count:i^6.2.0?"),
    ("rpoplpush", "source:k0 destination:k1"),
    ("rpush", "key:k0 element:s*"),
    ("rpushx", "key:k0 element:s*"),
    ("sadd", "key:k0 member:s*"),
    ("scan", "cursor:i pattern:p=MATCH? count:i=COUNT? type:s=TYPE^6.0.0?"),
    ("scard", "key:k0"),
    ("sdiff", "key:k0*"),
    ("sdiffstore", "destination:k0 key:k1*"),
    ("select", "index:i"),
    (
        "set",
        "key:k0 value:s condition[nx=NX xx=XX]^2.6.12? get=GET^6.2.0? expiration[seconds:i=EX^2.6.12 milliseconds:i=PX^2.6.12 unix-time-seconds:u=EXAT^6.2.0 unix-time-milliseconds:u=PXAT^6.2.0 keepttl=KEEPTTL^6.0.0]?",
    ),
    ("setbit", "key:k0 offset:i value:i"),
    ("setex", "key:k0 seconds:i value:s"),
    ("setnx", "key:k0 value:s"),
    ("setrange", "key:k0 offset:i value:s"),
    ("sinter", "key:k0*"),
    ("sintercard", "numkeys:i key:k0* limit:i=LIMIT?"),
    ("sinterstore", "destination:k0 key:k1*"),
    ("sismember", "key:k0 member:s"),
    ("skein.backup|close", "name:s"),
    ("skein.backup|keep", "name:s"),
    ("skein.backup|read", "name:s partition:i position:s"),
    ("skein.consistency", "consistency[causal=CAUSAL linearizable=LINEARIZABLE]?"),
    ("skein.range", "start:s end:s limit:i=LIMIT? rev=REV? values=VALUES? cursor:s=CURSOR?"),
    ("skein.session", "session:i number:i"),
    ("skein.version", "key:k0*"),
    ("skein.where", "key:k0"),
    ("smembers", "key:k0"),
    ("smismember", "key:k0 member:s*"),
    ("smove", "source:k0 destination:k1 member:s"),
    (
        "sort",
        "key:k0 pattern:p1=BY? offset_count(offset:i count:i)=LIMIT? pattern:p1=GET?*+ order[asc=ASC desc=DESC]? sorting=ALPHA? destination:k2=STORE?",
    ),
    (
        "sort_ro",
        "key:k0 pattern:p1=BY? offset_count(offset:i count:i)=LIMIT? pattern:p1=GET?*+ order[asc=ASC desc=DESC]? sorting=ALPHA?",
    ),
    ("spop", "key:k0 count:i^3.2.0?"),
    ("srandmember", "key:k0 count:i^2.6.0?"),
    ("srem", "key:k0 member:s*"),
    ("sscan", "key:k0 cursor:i pattern:p=MATCH? count:i=COUNT?"),
    ("strlen", "key:k0"),
    ("substr", "key:k0 start:i end:i"),
    ("sunion", "key:k0*"),
    ("sunionstore", "destination:k0 key:k1*"),
    ("touch", "key:k0*"),
    ("ttl", "key:k0"),
    ("type", "key:k0"),
    ("unlink", "key:k0*"),
    ("watch", "key:k0*"),
    (
        "zadd",
        "key:k0 condition[nx=NX xx=XX]^3.0.2? comparison[gt=GT lt=LT]^6.2.0? change=CH^3.0.2? increment=INCR^3.0.2? score_member(score:d member:s)*",
    ),
    ("zcard", "key:k0"),
    ("zcount", "key:k0 min:d max:d"),
    ("zdiff", "numkeys:i key:k0* withscores=WITHSCORES?"),
    ("zdiffstore", "destination:k0 numkeys:i key:k1*"),
    ("zincrby", "key:k0 increment:i member:s"),
    (
        "zinter",
        "numkeys:i key:k0* weight:i=WEIGHTS?* aggregate[sum=SUM min=MIN max=MAX]=AGGREGATE? withscores=WITHSCORES?",
    ),
    ("zintercard", "numkeys:i key:k0* limit:i=LIMIT?"),
    (
        "zinterstore",
        "destination:k0 numkeys:i key:k1* weight:i=WEIGHTS?* aggregate[sum=SUM min=MIN max=MAX]=AGGREGATE?",
    ),
    ("zlexcount", "key:k0 min:s max:s"),
    ("zmpop", "numkeys:i key:k0* where[min=MIN max=MAX] count:i=COUNT?"),
    ("zmscore", "key:k0 member:s*"),
    ("zpopmax", "key:k0 count:i?"),
    ("zpopmin", "key:k0 count:i?"),
    ("zrandmember", "key:k0 options(count:i withscores=WITHSCORES?)?"),
    (
        "zrange",
        "key:k0 start:s stop:s sortby[byscore=BYSCORE bylex=BYLEX]^6.2.0? rev=REV^6.2.0? offset_count(offset:i count:i)=LIMIT^6.2.0? withscores=WITHSCORES?",
    ),
    ("zrangebylex", "key:k0 min:s max:s offset_count(offset:i count:i)=LIMIT?"),
    ("zrangebyscore", "key:k0 min:d max:d withscores=WITHSCORES^2.0.0? offset_count(offset:i count:i)=LIMIT?"),
    (
        "zrangestore",
        "dst:k0 src:k1 min:s max:s sortby[byscore=BYSCORE bylex=BYLEX]? rev=REV? offset_count(offset:i count:i)=LIMIT?",
    ),
    ("zrank", "key:k0 member:s"),
    ("zrem", "key:k0 member:s*"),
    ("zremrangebylex", "key:k0 min:s max:s"),
    ("zremrangebyrank", "key:k0 start:i stop:i"),
    ("zremrangebyscore", "key:k0 min:d max:d"),
    ("zrevrange", "key:k0 start:i stop:i withscores=WITHSCORES?"),
    ("zrevrangebylex", "key:k0 max:s min:s offset_count(offset:i count:i)=LIMIT?"),
    ("zrevrangebyscore", "key:k0 max:d min:d withscores=WITHSCORES? offset_count(offset:i count:i)=LIMIT?"),
    ("zrevrank", "key:k0 member:s"),
    ("zscan", "key:k0 cursor:i pattern:p=MATCH? count:i=COUNT?"),
    ("zscore", "key:k0 member:s"),
    (
        "zunion",
        "numkeys:i key:k0* weight:i=WEIGHTS?* aggregate[sum=SUM min=MIN max=MAX]=AGGREGATE? withscores=WITHSCORES?",
    ),
    (
        "zunionstore",
        "destination:k0 numkeys:i key:k1* weight:i=WEIGHTS?* aggregate[sum=SUM min=MIN max=MAX]=AGGREGATE?",
    ),
];

/// The synopsis of a command; nothing for one without arguments.
pub(crate) fn synopsis(name: &str) -> &'static str {
    ROWS.binary_search_by_key(&name, |(have, _)| have).map_or("", |place| ROWS[place].1)
}

/// One argument of a synopsis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Argument<'a> {
    /// What it is called.
    pub(crate) name: &'a str,
    /// Its type, in the words of Redis.
    pub(crate) kind: &'static str,
    /// Its key specification, if it is a key.
    pub(crate) spec: Option<u8>,
    /// The word before it, or that it is.
    pub(crate) token: Option<&'a str>,
    /// The version that brought it, if the command is older.
    pub(crate) since: Option<&'a str>,
    /// The version from which on it should not be used.
    pub(crate) until: Option<&'a str>,
    /// It may be left out.
    pub(crate) optional: bool,
    /// It may come more than once,
    pub(crate) multiple: bool,
    /// and each time with its word.
    pub(crate) multiple_token: bool,
    /// The synopsis of what it is made of.
    pub(crate) inner: &'a str,
}

/// The arguments of a synopsis, in order.
pub(crate) fn arguments(synopsis: &str) -> impl Iterator<Item = Argument<'_>> + Clone {
    let mut rest = synopsis;
    iter::from_fn(move || {
        let mut depth = 0;
        let is_end = |letter| {
            match letter {
                '(' | '[' => depth += 1,
                ')' | ']' => depth -= 1,
                _ => {}
            }
            letter == ' ' && depth == 0
        };
        let (first, others) = rest.split_at(rest.find(is_end).unwrap_or(rest.len()));
        rest = others.trim_start();
        (!first.is_empty()).then(|| Argument::read(first))
    })
}

impl<'a> Argument<'a> {
    fn read(text: &'a str) -> Argument<'a> {
        let end = match text.rfind([')', ']']) {
            Some(bracket) => bracket + 1,
            None => text.find(['=', '^', '~', '?', '*', '+']).unwrap_or(text.len()),
        };
        let (head, tail) = text.split_at(end);
        let (tail, marks) = tail.split_at(tail.find(['?', '*', '+']).unwrap_or(tail.len()));
        let (tail, until) = split_off(tail, '~');
        let (tail, since) = split_off(tail, '^');
        let (_, token) = split_off(tail, '=');
        let (name, kind, spec, inner) = Argument::read_head(head);
        let [optional, multiple, multiple_token] = ['?', '*', '+'].map(|mark| marks.contains(mark));
        Argument { name, kind, spec, token, since, until, optional, multiple, multiple_token, inner }
    }

    /// Name, type, key specification, and what is in brackets.
    fn read_head(head: &'a str) -> (&'a str, &'static str, Option<u8>, &'a str) {
        if let Some(bracket) = head.find(['(', '[']) {
            let kind = if head[bracket..].starts_with('[') { "oneof" } else { "block" };
            return (&head[..bracket], kind, None, &head[bracket + 1..head.len() - 1]);
        }
        let Some((name, letter)) = head.rsplit_once(':') else { return (head, "pure-token", None, "") };
        let kind = match letter.as_bytes()[0] {
            b'k' => "key",
            b's' => "string",
            b'i' => "integer",
            b'd' => "double",
            b'p' => "pattern",
            b'u' => "unix-time",
            _ => unreachable!("a test reads them all"),
        };
        (name, kind, letter[1..].parse().ok(), "")
    }
}

fn split_off(text: &str, mark: char) -> (&str, Option<&str>) {
    text.split_once(mark).map_or((text, None), |(before, after)| (before, Some(after)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kv::table;
    use alloc::vec::Vec;

    #[test]
    fn an_argument_is_read_with_all_that_is_said_of_it() {
        let read: Vec<_> = arguments("ip:port:s=ADDR^6.2.0~7.0.0? row(key:k1 value:i)=ROW*+ now").collect();
        let plain = Argument {
            name: "now",
            kind: "pure-token",
            spec: None,
            token: None,
            since: None,
            until: None,
            optional: false,
            multiple: false,
            multiple_token: false,
            inner: "",
        };
        let (since, until) = (Some("6.2.0"), Some("7.0.0"));
        let first =
            Argument { name: "ip:port", kind: "string", token: Some("ADDR"), since, until, optional: true, ..plain };
        let (multiple, multiple_token, inner) = (true, true, "key:k1 value:i");
        let second =
            Argument { name: "row", kind: "block", token: Some("ROW"), multiple, multiple_token, inner, ..plain };
        assert_eq!(read, [first, second, plain]);
        let inner: Vec<_> = arguments(read[1].inner).map(|argument| (argument.kind, argument.spec)).collect();
        assert_eq!(inner, [("key", Some(1)), ("integer", None)]);
    }

    /// The least and the most words that all of these can be.
    fn words(synopsis: &str) -> (usize, Option<usize>) {
        arguments(synopsis)
            .map(|argument| words_of(&argument))
            .fold((0, Some(0)), |(least, most), (more_least, more)| {
                (least + more_least, most.zip(more).map(|(most, more)| most + more))
            })
    }

    fn words_of(argument: &Argument<'_>) -> (usize, Option<usize>) {
        let (least, most) = match argument.kind {
            "block" => words(argument.inner),
            "oneof" => {
                let each: Vec<_> = arguments(argument.inner).map(|inner| words_of(&inner)).collect();
                let most = each.iter().try_fold(0, |most, (_, other)| Some((*other)?.max(most)));
                (each.iter().map(|(least, _)| *least).min().unwrap(), most)
            }
            // A word that is not said otherwise would be lost.
            "pure-token" => (0, argument.token.map(|_| 0)),
            _ => (1, Some(1)),
        };
        let word = usize::from(argument.token.is_some());
        let least = if argument.optional { 0 } else { least + word };
        (least, most.filter(|_| !argument.multiple).map(|most| most + word))
    }

    #[test]
    fn a_synopsis_takes_as_many_words_as_its_command() {
        assert!(ROWS.is_sorted_by(|one, other| one.0 < other.0));
        for (name, _) in ROWS {
            assert!(table::find_full(name.as_bytes()).is_some(), "{name} is no command");
        }
        // Their synopses say less, or more, than Redis takes.
        let loose = ["command|list", "bitfield", "hello", "quit", "command|getkeys", "command|getkeysandflags"];
        let all = table::all().flat_map(|command| iter::once(command).chain(command.subcommands));
        for command in all.filter(|command| command.subcommands.is_empty() && !loose.contains(&command.name)) {
            let own_words = command.name.split('|').count();
            let (least, most) = words(synopsis(command.name));
            if command.arity >= 0 {
                let taken = command.arity as usize;
                assert_eq!((least + own_words, most), (taken, Some(taken - own_words)), "{}", command.name);
            } else {
                let takes = command.arity.unsigned_abs() as usize;
                assert_eq!(least + own_words, takes, "{} takes {takes} words or more", command.name);
                assert_ne!(most, Some(least), "{}", command.name);
            }
        }
    }
}
