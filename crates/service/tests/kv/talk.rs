//! Random commands, family by family, with what makes trouble: wrong types,
//! wrong numbers of arguments, options that exclude each other, numbers at the
//! edge. A template is words; `$x` stands for something of a kind, `a|b|_` for one
//! of several words or none, `~` for a blank within a choice.

use skein_machine::Random;
use skein_service::kv::table;

pub(crate) struct Family {
    pub(crate) name: &'static str,
    pub(crate) templates: &'static [&'static str],
}

pub(crate) const FAMILIES: &[Family] = &[
    Family {
        name: "strings",
        templates: &[
            "SET $k $v",
            "SET $k $v NX|XX|GET|KEEPTTL|_ EX~$t|PX~$t|EXAT~$t|PXAT~$t|KEEPTTL|_ NX|XX|GET|_",
            "SETNX $k $v",
            "SETEX $k $t $v",
            "PSETEX $k $t $v",
            "GET $k",
            "GET $k",
            "GETEX $k PERSIST|EX~$t|PX~$t|EXAT~$t|PXAT~$t|_ PERSIST|_|_|_",
            "GETDEL $k",
            "GETSET $k $v",
            "APPEND $k $v",
            "STRLEN $k",
            "GETRANGE $k $i $i",
            "SUBSTR $k $n $n",
            "SETRANGE $k $n $v",
            "MGET $k $k $k",
            "MSET $k $v $k $v|_",
            "MSETNX $k $v $k $v",
            "LCS $k $k LEN|IDX|_ MINMATCHLEN~$n|_ WITHMATCHLEN|_",
            "LCS $k $k IDX WITHMATCHLEN|_",
            "TTL $k",
            "TYPE $k",
            "DEL $k",
            "LPUSH lst a b|_",
        ],
    },
    Family {
        name: "counters",
        templates: &[
            "SET $k $i",
            "SET $k $f",
            "INCR $k",
            "DECR $k",
            "INCRBY $k $i",
            "DECRBY $k $i",
            "INCRBYFLOAT $k $f",
            "INCRBYFLOAT $k $f",
            "INCRBYFLOAT $k $f",
            "GET $k",
            "HSET hsh $m $f",
            "HINCRBY hsh $m $i",
            "HINCRBYFLOAT hsh $m $f",
            "HINCRBYFLOAT $k $m $f",
            "HGET hsh $m",
            "INCR lst",
            "LPUSH lst a",
            "DEL $k",
        ],
    },
    Family {
        name: "bits",
        templates: &[
            "SETBIT $k $n $n",
            "SETBIT $k $b 0|1",
            "SETBIT $k $b 0|1",
            "GETBIT $k $b",
            "BITCOUNT $k",
            "BITCOUNT $k $n $n BYTE|BIT|_",
            "BITPOS $k 0|1|2",
            "BITPOS $k 0|1 $n",
            "BITPOS $k 0|1 $n $n BYTE|BIT|x|_",
            "BITOP AND|OR|XOR|NOT|NOR $k $k $k|_",
            "BITOP NOT $k $k",
            "SET $k $v",
            "GET $k",
            "BITFIELD $k GET|SET $w $b $n",
            "BITFIELD $k OVERFLOW~WRAP|OVERFLOW~SAT|OVERFLOW~FAIL|_ INCRBY $w $b $i GET $w $b|#1",
            "BITFIELD $k SET $w $b|#2 $i GET $w $b",
            "BITFIELD_RO $k GET $w $b",
            "BITFIELD_RO $k GET|SET $w $b $i|_",
            "DEL $k",
            "LPUSH lst a",
            "GETBIT lst $b",
        ],
    },
    Family {
        name: "keys",
        templates: &[
            "SET $k $v",
            "RPUSH $k a b c",
            "SADD $k a b c",
            "EXPIRE|PEXPIRE $k $t NX|XX|GT|LT|_|_ NX|XX|GT|LT|_|_|_|_",
            "EXPIREAT|PEXPIREAT $k $t NX|XX|GT|LT|_|_",
            "EXPIREAT $k 33177117420",
            "PEXPIREAT $k 33177117420000",
            "TTL|PTTL|EXPIRETIME|PEXPIRETIME $k",
            "PERSIST $k",
            "DEL|UNLINK|EXISTS|TOUCH $k $k|_ $k|_",
            "TYPE $k",
            "RENAME $k $k",
            "RENAMENX $k $k",
            "COPY $k $k REPLACE|_|DB~0|DB~x",
            "KEYS *",
            "KEYS $g",
            "SCAN 0 COUNT 1000|0|x|1000 MATCH~$g|TYPE~string|TYPE~list|TYPE~nothing|_",
            "SCAN x COUNT 1000",
            "DBSIZE",
            "GET $k",
            "RANDOMKEY",
            "FLUSHALL x|_",
            "OBJECT FREQ|NONSENSE $k $k|_|_|_",
        ],
    },
    Family {
        name: "hashes",
        templates: &[
            "HSET $k $m $v",
            "HSET $k $m $v $m $v|_",
            "HMSET $k $m $v $m $v",
            "HSETNX $k $m $v",
            "HGET $k $m",
            "HMGET $k $m $m",
            "HGETALL|HKEYS|HVALS|HLEN $k",
            "HDEL $k $m $m|_",
            "HEXISTS|HSTRLEN $k $m",
            "HINCRBY $k $m $i",
            "HRANDFIELD $k $n|_ WITHVALUES|x|_",
            "HSCAN $k 0|x|0 COUNT~1000|MATCH~$g|_",
            "SET str x",
            "HGETALL $k",
            "DEL $k",
        ],
    },
    Family {
        name: "lists",
        templates: &[
            "LPUSH|RPUSH|LPUSHX|RPUSHX $k $m $m|_",
            "RPUSH $k $m $m $m $m",
            "LPOP|RPOP $k $n|_|_ x|_|_|_|_",
            "LLEN $k",
            "LRANGE $k 0 -1",
            "LRANGE $k $n $n",
            "LINDEX $k $n",
            "LSET $k $n $m",
            "LINSERT $k BEFORE|AFTER|x $m $m",
            "LREM $k $n $m",
            "LTRIM $k $n $n",
            "LPOS $k $m RANK~$n|_ COUNT~$n|_ MAXLEN~$n|_",
            "LPOS $k $m RANK",
            "LMOVE $k $k LEFT|RIGHT|x LEFT|RIGHT",
            "RPOPLPUSH $k $k",
            "LMPOP $n $k $k|_ LEFT|RIGHT COUNT~$n|_",
            "LMPOP 2 $k $k LEFT|RIGHT COUNT~$n|_",
            "SORT $k ALPHA|_ DESC|ASC|_ LIMIT~$n~$n|_",
            "SORT $k BY~nosort|_ GET~#|_ GET~w_*|_ STORE~$k|_",
            "SORT $k BY w_*|h_*->f GET # GET w_*",
            "SORT_RO $k ALPHA STORE~$k|_",
            "SET w_$m $n",
            "SET str x",
            "DEL $k",
        ],
    },
    Family {
        name: "sets",
        templates: &[
            "SADD $k $m $m|_ $m|_",
            "SADD $k $n $n $n",
            "SREM $k $m $m|_",
            "SCARD|SMEMBERS $k",
            "SISMEMBER $k $m",
            "SMISMEMBER $k $m $m",
            "SINTER|SUNION|SDIFF $k $k|_ $k|_",
            "SINTERSTORE|SUNIONSTORE|SDIFFSTORE $k $k $k|_",
            "SINTERCARD $n $k $k|_ LIMIT~$n|_",
            "SINTERCARD 2 $k $k LIMIT~$n|_",
            "SMOVE $k $k $m",
            "SPOP $k 100|0|-1|x|100~x",
            "SRANDMEMBER $k $n|_ x|_|_|_",
            "SSCAN $k 0 COUNT~1000|MATCH~$g|_ COUNT~1000",
            "SMEMBERS $k",
            "SORT $k ALPHA|_ DESC|_ LIMIT~$n~$n|_ STORE~$k|_",
            "SET str x",
            "DEL $k",
        ],
    },
    Family {
        name: "sorted",
        templates: &[
            "ZADD $k $s $m",
            "ZADD $k $s $m $s $m",
            "ZADD $k NX|XX|_ GT|LT|_ CH|_ INCR|_ $s $m $s~$m|_|_",
            "ZINCRBY $k $s $m",
            "ZCARD $k",
            "ZSCORE|ZRANK|ZREVRANK $k $m",
            "ZMSCORE $k $m $m",
            "ZREM $k $m $m|_",
            "ZPOPMIN|ZPOPMAX $k $n|_ x|_|_|_|_",
            "ZMPOP $n $k $k|_ MIN|MAX COUNT~$n|_",
            "ZMPOP 2 $k $k MIN|MAX|x COUNT~$n|_",
            "ZRANGE $k 0 -1 WITHSCORES",
            "ZRANDMEMBER $k $n|_ WITHSCORES|x|_",
            "ZSCAN $k 0 MATCH~$g|_ COUNT~1000|COUNT~x",
            "ZUNION|ZINTER $n $k $k|_ WEIGHTS~$s~$s|_ AGGREGATE~SUM|AGGREGATE~MIN|AGGREGATE~MAX|_ WITHSCORES|_",
            "ZUNION|ZINTER|ZDIFF 2 $k $k WEIGHTS~$s~$s|_|_ AGGREGATE~SUM|AGGREGATE~MIN|AGGREGATE~x|_|_ WITHSCORES|_",
            "ZUNIONSTORE|ZINTERSTORE|ZDIFFSTORE $k 2 $k $k WEIGHTS~$s~$s|_|_ AGGREGATE~MIN|_|_",
            "ZDIFF|ZINTER 3 $k $k $k WITHSCORES|_",
            "ZINTERCARD $n $k $k LIMIT~$n|_",
            "SADD set a b c",
            "ZUNION 2 $k set WITHSCORES",
            "SORT $k ALPHA|BY~nosort DESC|_ LIMIT~$n~$n|_",
            "SET str x",
            "DEL $k",
        ],
    },
    Family {
        name: "ranges",
        templates: &[
            "ZADD $k $s $m $s $m $s $m",
            "ZADD lex 0 $m 0 $m 0 $m",
            "ZRANGE|ZREVRANGE $k $n $n WITHSCORES|LIMIT~0~1|_",
            "ZRANGE $k $n $n REV|BYLEX|_ WITHSCORES|LIMIT~0~1|_",
            "ZRANGE $k $r $r BYSCORE REV|_ LIMIT~$n~$n|_ WITHSCORES|_",
            "ZRANGE lex $l $l BYLEX REV|_ LIMIT~$n~$n|_ WITHSCORES|_|_|_",
            "ZRANGEBYSCORE|ZREVRANGEBYSCORE $k $r $r WITHSCORES|_ LIMIT~$n~$n|_",
            "ZRANGEBYLEX|ZREVRANGEBYLEX lex $l $l LIMIT~$n~$n|_",
            "ZRANGESTORE $k $k $n $n REV|BYSCORE|_ WITHSCORES|LIMIT~0~2|_|_",
            "ZRANGESTORE $k $k $r $r BYSCORE LIMIT~$n~$n|_",
            "ZCOUNT $k $r $r",
            "ZLEXCOUNT lex $l $l",
            "ZREMRANGEBYRANK $k $n $n",
            "ZREMRANGEBYSCORE $k $r $r",
            "ZREMRANGEBYLEX lex $l $l",
            "SET str x",
            "ZRANGE $k 0 -1 WITHSCORES",
        ],
    },
];

const KEYS: [&str; 6] = ["k1", "k2", "k3", "k4", "str", "lst"];
const MEMBERS: [&str; 9] = ["a", "b", "c", "d", "e", "aa", "10", "-3", "a b"];
const VALUES: [&str; 12] = [
    "",
    "x",
    "hello",
    "hello world",
    "12",
    "-7",
    "3.5",
    "abcabc",
    "\u{0}\u{1}\r\n",
    "ohmytext",
    "mynewtext",
    "9223372036854775807",
];
const NUMBERS: [&str; 16] = [
    "0",
    "1",
    "2",
    "3",
    "5",
    "-1",
    "-2",
    "-3",
    "-5",
    "100",
    "-100",
    "x",
    "",
    "1.5",
    "9223372036854775807",
    "-9223372036854775808",
];
const SMALL: [&str; 17] =
    ["0", "1", "2", "3", "4", "0", "1", "2", "3", "-1", "-2", "-3", "-100", "100", "x", "9223372036854775808", " 1"];
const FLOATS: [&str; 22] = [
    "0",
    "1",
    "0.1",
    "-0.1",
    "1.5",
    "3.0e3",
    "5.0e-3",
    "-2.25",
    "1e20",
    "123456789.123456789",
    "0.000001",
    "10.5",
    "99.99",
    "1e-17",
    "x",
    "",
    "inf",
    "nan",
    "1e400",
    "+5",
    ".5",
    "7.",
];
const SCORES: [&str; 20] = [
    "0",
    "1",
    "2",
    "3",
    "-1",
    "1.5",
    "0.1",
    "2.25",
    "-0.5",
    "inf",
    "-inf",
    "+inf",
    "1e10",
    "123456789012345678",
    "x",
    "nan",
    "1e3",
    "",
    "3.3333333333",
    "100",
];
const EDGES: [&str; 16] =
    ["0", "1", "2", "(1", "(2", "-inf", "+inf", "inf", "(-1", "1.5", "(0.1", "x", "(", "(inf", "100", "-5"];
const LEXES: [&str; 12] = ["-", "+", "[a", "(a", "[c", "(c", "[aa", "(zz", "a", "", "[", "--"];
const TIMES: [&str; 12] = [
    "100000",
    "200000",
    "7777777",
    "300000",
    "0",
    "-1",
    "x",
    "9223372036854775807",
    "9223372036854775",
    "-9223372036854775808",
    "33177117420",
    "400000",
];
const WIDTHS: [&str; 10] = ["u8", "i8", "u4", "i5", "u63", "i64", "u1", "u64", "i65", "x8"];
const OFFSETS: [&str; 12] = ["0", "1", "7", "8", "9", "15", "20", "63", "#1", "-1", "x", "4294967296"];
const PATTERNS: [&str; 9] = ["*", "k*", "k[12]", "?", "a*", "k?", "[^k]*", "\\k1", "x"];

/// One command after a template.
pub(crate) fn speak(family: &Family, random: &mut Random) -> Vec<Vec<u8>> {
    let template = random.pick(family.templates);
    let mut args: Vec<Vec<u8>> = Vec::new();
    for token in template.split(' ') {
        let choices: Vec<&str> = token.split('|').collect();
        let choice = random.pick(&choices);
        if *choice == "_" {
            continue;
        }
        for word in choice.split('~') {
            args.push(fill(word, random).into_bytes());
        }
    }
    match random.below(100) {
        0 if args.len() > 1 => drop(args.pop()),
        1 => args.push(b"extra".to_vec()),
        2 if args.len() > 1 => {
            let place = random.below(args.len() as u64 - 1) as usize + 1;
            args[place] = b"junk".to_vec();
        }
        3 => args[0] = args[0].to_ascii_lowercase(),
        _ => {}
    }
    if args.len() == 2 && args[0].eq_ignore_ascii_case(b"SPOP") {
        args.push(b"100".to_vec()); // which one it takes is nobody's business
    }
    args
}

fn fill(word: &str, random: &mut Random) -> String {
    let Some(place) = word.find('$') else { return word.into() };
    let kind = word[place + 1..].chars().next().expect("a kind");
    // Mostly what is right, for otherwise little happens; sometimes what is not.
    let sane = |random: &mut Random, many: &'static [&'static str], right: usize| {
        if random.below(10) < 8 { *random.pick(&many[..right]) } else { *random.pick(many) }
    };
    let filled = match kind {
        'k' => sane(random, &KEYS, 4),
        'm' => random.pick(&MEMBERS),
        'v' => random.pick(&VALUES),
        'i' => sane(random, &NUMBERS, 9),
        'n' => sane(random, &SMALL, 12),
        'f' => sane(random, &FLOATS, 14),
        's' => sane(random, &SCORES, 14),
        'r' => sane(random, &EDGES, 11),
        'l' => sane(random, &LEXES, 8),
        't' => sane(random, &TIMES, 3),
        'w' => sane(random, &WIDTHS, 7),
        'b' => sane(random, &OFFSETS, 8),
        'g' => random.pick(&PATTERNS),
        other => panic!("nothing is called ${other}"),
    };
    format!("{}{filled}{}", &word[..place], &word[place + 2..])
}

/// Words of all commands, and numbers at every edge: what no template would put together.
const WORDS: [&str; 64] = [
    "k1",
    "k2",
    "k3",
    "k4",
    "str",
    "lst",
    "k1",
    "k2",
    "",
    "a",
    "b",
    "10",
    "0",
    "1",
    "2",
    "3",
    "-1",
    "-2",
    "100",
    "1000",
    "9223372036854775807",
    "-9223372036854775808",
    "4294967296",
    "-4294967296",
    "1.5",
    "-0",
    "inf",
    "-inf",
    "nan",
    "1e400",
    "1e-400",
    "(1",
    "[a",
    "(a",
    "-",
    "+",
    "(",
    "[",
    "*",
    "[",
    "\\",
    "#1",
    "u63",
    "i64",
    "LIMIT",
    "COUNT",
    "WEIGHTS",
    "AGGREGATE",
    "WITHSCORES",
    "BYSCORE",
    "BYLEX",
    "REV",
    "LEFT",
    "RIGHT",
    "MIN",
    "MAX",
    "GET",
    "STORE",
    "RANK",
    "XX",
    "EX",
    "MATCH",
    "AND",
    "BEFORE",
];

/// Commands whose replies nobody can compare, or nobody wants to read.
const UNTOLD: [&str; 6] = ["scan", "spop", "command", "skein.version", "skein.range", "skein.backup"];

/// Any command with anything behind it.
pub(crate) fn chaos(random: &mut Random) -> Vec<Vec<u8>> {
    let commands: Vec<&table::Command> =
        table::all().filter(|command| command.runs_here() && !UNTOLD.contains(&command.name)).collect();
    let command = random.pick(&commands);
    let mut args = vec![command.name.as_bytes().to_vec()];
    if !command.subcommands.is_empty() {
        let name = random.pick(command.subcommands).name;
        args.push(name.split_once('|').map_or(name, |(_, bare)| bare).into());
    }
    let least = command.arity.unsigned_abs() as usize;
    let count = least + if command.arity < 0 { random.below(7) as usize } else { 0 };
    while args.len() < count {
        args.push(random.pick(&WORDS).as_bytes().to_vec());
    }
    args
}
