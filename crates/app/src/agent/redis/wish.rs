//! [`Wish`]: what a client asks for, out of the words of its command. What this
//! map cannot do is refused with a sentence that says what it can.

use bytes::Bytes;
use skein_service::kv::{Failure, Protocol};

/// What a client asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    Ping(Option<Bytes>),
    Echo(Bytes),
    Quit,
    Reset,
    Hello { protocol: Option<Protocol>, password: Option<Bytes>, name: Option<Bytes> },
    Auth(Bytes),
    Say(&'static str),
    Count(i64),
    Nothing,
    ClientId,
    ClientName,
    SetClientName(Bytes),
    Info,
    Read(Read),
    Keys(Bytes),
    Set(Bytes, Bytes),
    Remove(Vec<Bytes>),
    Subscribe { channels: Vec<Bytes>, are_patterns: bool },
    Unsubscribe { channels: Vec<Bytes>, are_patterns: bool },
}

/// What is read of the map at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Read {
    Get(Bytes),
    GetAll(Vec<Bytes>),
    Exists(Vec<Bytes>),
    Length(Bytes),
    Type(Bytes),
    Size,
}

impl Wish {
    /// Whether somebody who listens may ask for it, where the protocol cannot mark what comes unasked.
    pub(super) fn suits_listeners(&self) -> bool {
        use Wish::{Ping, Quit, Reset, Subscribe, Unsubscribe};
        matches!(self, Ping(_) | Quit | Reset | Subscribe { .. } | Unsubscribe { .. })
    }

    /// Whether somebody may ask for it who has not said who it is.
    pub(super) fn suits_strangers(&self) -> bool {
        matches!(self, Wish::Auth(_) | Wish::Hello { .. } | Wish::Quit | Wish::Reset)
    }

    /// What these words ask for. There is at least one.
    pub(super) fn parse(args: &[&[u8]]) -> Result<Wish, Failure> {
        let name = args[0].to_ascii_lowercase();
        let own = |arg: &&[u8]| Bytes::copy_from_slice(arg);
        let all = || args[1..].iter().map(own).collect::<Vec<Bytes>>();
        let count = args.len() - 1;
        let arity = || Err(Failure::arity(&String::from_utf8_lossy(&name)));
        Ok(match (&name[..], count) {
            (b"ping", 0 | 1) => Wish::Ping(args.get(1).map(own)),
            (b"echo", 1) => Wish::Echo(own(&args[1])),
            (b"quit", _) => Wish::Quit,
            (b"reset", 0) => Wish::Reset,
            (b"hello", _) => hello(&args[1..])?,
            (b"auth", 1 | 2) => Wish::Auth(own(&args[count])),
            (b"select", 1) if args[1] == b"0" => Wish::Say("OK"),
            (b"select", 1) => return Err(Failure::of("ERR there is one map here, and its number is 0")),
            (b"command", 1..) if args[1].eq_ignore_ascii_case(b"count") => Wish::Count(COMMANDS),
            (b"command", _) => Wish::Nothing,
            // What is asked before load is put on a server, and by libraries that look what it is.
            (b"config", 2..) if args[1].eq_ignore_ascii_case(b"get") => Wish::Nothing,
            (b"client", 1..) => client(&args[1..])?,
            (b"info", _) => Wish::Info,
            (b"dbsize", 0) => Wish::Read(Read::Size),
            (b"get", 1) => Wish::Read(Read::Get(own(&args[1]))),
            (b"mget", 1..) => Wish::Read(Read::GetAll(all())),
            (b"exists", 1..) => Wish::Read(Read::Exists(all())),
            (b"strlen", 1) => Wish::Read(Read::Length(own(&args[1]))),
            (b"type", 1) => Wish::Read(Read::Type(own(&args[1]))),
            (b"keys", 1) => Wish::Keys(own(&args[1])),
            (b"set", 2) => Wish::Set(own(&args[1]), own(&args[2])),
            (b"set", 3..) => {
                return Err(Failure::of(
                    "ERR SET takes a key and a value here: whoever writes without asking others can promise no NX, and \
                     a map that is merged has no deadlines",
                ));
            }
            (b"del" | b"unlink", 1..) => Wish::Remove(all()),
            (b"subscribe", 1..) => Wish::Subscribe { channels: all(), are_patterns: false },
            (b"psubscribe", 1..) => Wish::Subscribe { channels: all(), are_patterns: true },
            (b"unsubscribe", _) => Wish::Unsubscribe { channels: all(), are_patterns: false },
            (b"punsubscribe", _) => Wish::Unsubscribe { channels: all(), are_patterns: true },
            (b"publish", _) => {
                return Err(Failure::of(
                    "ERR what is published here is what changes: SET a key, and all who listen hear",
                ));
            }
            (b"scan", _) => return Err(Failure::of("ERR there is no SCAN here: KEYS does not hold up the agent")),
            (
                b"ping" | b"echo" | b"reset" | b"auth" | b"select" | b"client" | b"config" | b"dbsize" | b"get"
                | b"mget" | b"exists" | b"strlen" | b"type" | b"keys" | b"set" | b"del" | b"unlink" | b"subscribe"
                | b"psubscribe",
                _,
            ) => return arity(),
            _ => return Err(Failure::unknown(args)),
        })
    }
}

/// How many commands there are.
const COMMANDS: i64 = 25;

fn hello(args: &[&[u8]]) -> Result<Wish, Failure> {
    let protocol = match args.first().copied() {
        None => None,
        Some(b"2") => Some(Protocol::Two),
        Some(b"3") => Some(Protocol::Three),
        Some(_) => return Err(Failure::of("NOPROTO unsupported protocol version")),
    };
    let (mut rest, mut password, mut name) = (args.get(1..).unwrap_or_default(), None, None);
    while let Some(word) = rest.first() {
        if word.eq_ignore_ascii_case(b"auth") && rest.len() >= 3 {
            password = Some(Bytes::copy_from_slice(rest[2]));
            rest = &rest[3..];
        } else if word.eq_ignore_ascii_case(b"setname") && rest.len() >= 2 {
            name = Some(checked_name(rest[1])?);
            rest = &rest[2..];
        } else {
            return Err(Failure::with(&[b"ERR Syntax error in HELLO option '", &word[..word.len().min(64)], b"'"]));
        }
    }
    Ok(Wish::Hello { protocol, password, name })
}

fn client(args: &[&[u8]]) -> Result<Wish, Failure> {
    let name = args[0].to_ascii_lowercase();
    Ok(match (&name[..], args.len()) {
        (b"id", 1) => Wish::ClientId,
        (b"getname", 1) => Wish::ClientName,
        (b"setname", 2) => Wish::SetClientName(checked_name(args[1])?),
        // What libraries say of themselves, and what they ask for that there is no need for here.
        (b"setinfo", 3) | (b"no-evict" | b"no-touch", 2) => Wish::Say("OK"),
        _ => return Err(Failure::with(&[b"ERR unknown subcommand '", &name[..name.len().min(64)], b"' of CLIENT"])),
    })
}

fn checked_name(name: &[u8]) -> Result<Bytes, Failure> {
    if name.len() > 256 || name.iter().any(|byte| !(b'!'..=b'~').contains(byte)) {
        return Err(Failure::of("ERR Client names cannot contain spaces, newlines or special characters."));
    }
    Ok(Bytes::copy_from_slice(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Wish, String> {
        let args: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
        Wish::parse(&args).map_err(|failure| String::from_utf8(failure.line().to_vec()).unwrap())
    }

    #[test]
    fn what_is_asked_for_is_understood() {
        let bytes = |text: &'static str| Bytes::from_static(text.as_bytes());
        assert_eq!(parse("GET k"), Ok(Wish::Read(Read::Get(bytes("k")))));
        assert_eq!(parse("set k v"), Ok(Wish::Set(bytes("k"), bytes("v"))));
        assert_eq!(parse("DEL a b"), Ok(Wish::Remove(vec![bytes("a"), bytes("b")])));
        let subscribed = Wish::Subscribe { channels: vec![bytes("@*")], are_patterns: true };
        assert_eq!(parse("PSUBSCRIBE @*"), Ok(subscribed));
        let hello = Wish::Hello { protocol: Some(Protocol::Three), password: Some(bytes("p")), name: Some(bytes("n")) };
        assert_eq!(parse("HELLO 3 AUTH default p SETNAME n"), Ok(hello));
        assert_eq!(parse("AUTH default secret"), Ok(Wish::Auth(bytes("secret"))));
    }

    #[test]
    fn what_cannot_be_had_is_refused_with_what_can() {
        assert!(parse("GET").unwrap_err().contains("wrong number of arguments for 'get'"));
        assert!(parse("SET k v NX").unwrap_err().contains("no NX"));
        assert!(parse("SCAN 0").unwrap_err().contains("KEYS"));
        assert!(parse("PUBLISH a b").unwrap_err().contains("SET a key"));
        assert!(parse("SELECT 1").unwrap_err().contains("number is 0"));
        assert!(parse("HSET a b c").unwrap_err().contains("unknown command"));
        assert!(parse("HELLO 4").unwrap_err().starts_with("NOPROTO"));
        assert!(parse("CLIENT SETNAME a\u{7}").unwrap_err().contains("Client names"));
    }
}
