//! What a connection is told without asking any replica: who it is, what it may
//! say, and whatever else concerns only itself.

use std::time::Instant;

use skein_service::kv::table::{Command, categories};
use skein_service::kv::{Answer, Failure, Protocol, table};

use super::client::{Answers, Client, Queue, Watched};
use super::face::{Face, failed};
use super::information;

/// What came of a command.
pub(super) enum Said {
    /// This.
    Reply(Vec<u8>),
    /// A replica will answer.
    Awaited,
}

/// Answers a command that no replica needs to see.
pub(super) fn answer(face: &mut Face, client: &mut Client, command: &'static Command, args: &[&[u8]]) -> Said {
    let mut answer = Answer::new(client.protocol);
    match say(face, client, command, args, &mut answer) {
        Ok(()) => Said::Reply(answer.into_bytes()),
        Err(failure) => failed(client.protocol, &failure),
    }
}

fn say(
    face: &mut Face,
    client: &mut Client,
    command: &'static Command,
    args: &[&[u8]],
    answer: &mut Answer,
) -> Result<(), Failure> {
    match command.name {
        "quit" => {
            client.is_leaving = true;
            answer.ok();
        }
        "reset" => {
            client.reset(face.directory.users.without_a_word());
            answer.simple("RESET");
        }
        "hello" => return hello(face, client, args, answer),
        "auth" => auth(face, client, &args[1..])?,
        "multi" => {
            client.queue = Some(Queue { bytes: client.watched.bytes, ..Queue::default() });
            answer.ok();
        }
        "discard" => {
            if client.queue.take().is_none() {
                return Err(Failure::of("ERR DISCARD without MULTI"));
            }
            client.watched = Watched::default();
            answer.ok();
        }
        "exec" => return Err(Failure::of("ERR EXEC without MULTI")),
        "unwatch" => {
            client.watched = Watched::default();
            answer.ok();
        }
        "info" => information::info(face, &args[1..], answer),
        name if name.starts_with("client|") => return client_command(face, client, name, args, answer),
        name if name.starts_with("config|") => return information::config(face, name, args, answer),
        name if name.starts_with("acl|") => return acl(face, client, name, args, answer),
        name if name.starts_with("skein.") => return skein(face, client, name, args, answer),
        name => return Err(absent(name)),
    }
    if command.name == "auth" {
        answer.ok();
    }
    Ok(())
}

/// Of a command that is in the table and that nobody has written.
pub(super) fn absent(name: &str) -> Failure {
    Failure::with(&[b"ERR command '", name.as_bytes(), b"' is not supported yet"])
}

/// `AUTH password`, or `AUTH user password`.
fn auth(face: &mut Face, client: &mut Client, words: &[&[u8]]) -> Result<(), Failure> {
    let (name, password) = match words {
        [password]
            if face.directory.users.without_a_word().is_some()
                && face.directory.users.identify("default", password).is_some() =>
        {
            return Err(Failure::of(
                "ERR AUTH <password> called without any password configured for the default user. Are you sure your \
                 configuration is correct?",
            ));
        }
        [password] => ("default".to_owned(), *password),
        [name, password] => (String::from_utf8_lossy(name).into_owned(), *password),
        _ => return Err(Failure::of("ERR syntax error")),
    };
    match face.directory.users.identify(&name, password) {
        Some(user) => {
            client.user = Some(user);
            Ok(())
        }
        None => Err(Failure::of("WRONGPASS invalid username-password pair or user is disabled.")),
    }
}

/// `HELLO [version [AUTH user password] [SETNAME name]]`
fn hello(face: &mut Face, client: &mut Client, args: &[&[u8]], answer: &mut Answer) -> Result<(), Failure> {
    let mut protocol = client.protocol;
    if let Some(version) = args.get(1) {
        let version = std::str::from_utf8(version).ok().and_then(|version| version.parse::<i64>().ok());
        protocol = match version.ok_or(Failure::of("ERR Protocol version is not an integer or out of range"))? {
            2 => Protocol::Two,
            3 => Protocol::Three,
            _ => return Err(Failure::of("NOPROTO unsupported protocol version")),
        };
    }
    let (mut rest, mut name) = (args.get(2..).unwrap_or_default(), None);
    let mut credentials = None;
    while let Some(word) = rest.first() {
        if word.eq_ignore_ascii_case(b"auth") && rest.len() >= 3 {
            credentials = Some(&rest[1..3]);
            rest = &rest[3..];
        } else if word.eq_ignore_ascii_case(b"setname") && rest.len() >= 2 {
            name = Some(checked_name(rest[1])?);
            rest = &rest[2..];
        } else {
            let word = String::from_utf8_lossy(word);
            let line = format!("ERR Syntax error in HELLO option '{word}'");
            return Err(Failure::with(&[line.as_bytes()]));
        }
    }
    if let Some(credentials) = credentials {
        auth(face, client, credentials)?;
    }
    if client.user.is_none() {
        return Err(Failure::of(
            "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO AUTH <user> \
             <pass> option can be used to authenticate the client and select the RESP protocol version at the same \
             time",
        ));
    }
    client.protocol = protocol;
    if let Some(name) = name {
        client.name = name;
    }
    let mut told = Answer::new(protocol);
    told.map(7);
    let text = |told: &mut Answer, key: &str, value: &str| {
        told.bulk(key.as_bytes());
        told.bulk(value.as_bytes());
    };
    text(&mut told, "server", "redis");
    text(&mut told, "version", information::REDIS_VERSION);
    told.bulk(b"proto");
    told.integer(if protocol == Protocol::Three { 3 } else { 2 });
    told.bulk(b"id");
    told.integer(client.number as i64);
    text(&mut told, "mode", "standalone");
    text(&mut told, "role", "master");
    told.bulk(b"modules");
    told.array(0);
    answer.raw(told.bytes());
    Ok(())
}

fn checked_name(name: &[u8]) -> Result<Vec<u8>, Failure> {
    if name.iter().any(|byte| !(b'!'..=b'~').contains(byte)) {
        return Err(Failure::of("ERR Client names cannot contain spaces, newlines or special characters."));
    }
    Ok(name.to_vec())
}

fn client_command(
    face: &mut Face,
    client: &mut Client,
    name: &str,
    args: &[&[u8]],
    answer: &mut Answer,
) -> Result<(), Failure> {
    match name {
        "client|id" => answer.integer(client.number as i64),
        "client|getname" => answer.bulk_or_null(Some(client.name.as_slice()).filter(|name| !name.is_empty())),
        "client|setname" => {
            client.name = checked_name(args[2])?;
            answer.ok();
        }
        "client|setinfo" => {
            let place = match args[2].to_ascii_lowercase().as_slice() {
                b"lib-name" => 0,
                b"lib-ver" => 1,
                other => {
                    let other = String::from_utf8_lossy(other);
                    return Err(Failure::with(&[format!("ERR Unrecognized option '{other}'").as_bytes()]));
                }
            };
            client.library[place] = checked_name(args[3])?;
            answer.ok();
        }
        "client|info" => answer.text(&format!("{}\n", client.line(Instant::now()))),
        "client|list" => {
            let is_wanted = wanted(&args[2..])?;
            let (now, all) = (Instant::now(), face.clients.values().chain([&*client]));
            let mut lines: Vec<(u64, String)> = all
                .filter(|client| is_wanted.as_ref().is_none_or(|wanted| wanted.contains(&client.number)))
                .map(|client| (client.number, client.line(now)))
                .collect();
            lines.sort_unstable();
            let text: String = lines.into_iter().map(|(_, line)| line + "\n").collect();
            answer.text(&text);
        }
        "client|help" => help(
            answer,
            "CLIENT",
            &[
                ("GETNAME", "Return the name of the current connection."),
                ("ID", "Return the ID of the current connection."),
                ("INFO", "Return information about the current client connection."),
                ("LIST [TYPE <type> | ID <id> [<id> ...]]", "Return information about client connections."),
                ("NO-EVICT (ON|OFF)", "Accepted; nobody is evicted."),
                ("NO-TOUCH (ON|OFF)", "Accepted; nothing notes when keys were used."),
                ("REPLY (ON|OFF|SKIP)", "Control the replies sent to the current connection."),
                ("SETINFO (LIB-NAME|LIB-VER) <value>", "Say which library this connection uses."),
                ("SETNAME <name>", "Assign the name <name> to the current connection."),
            ],
        ),
        "client|no-evict" | "client|no-touch" => {
            on_or_off(args[2])?;
            answer.ok();
        }
        "client|reply" => match args[2].to_ascii_lowercase().as_slice() {
            b"on" => {
                client.answers = Answers::On;
                answer.ok();
            }
            b"off" => client.answers = Answers::Off,
            b"skip" => client.answers = Answers::Skip(1),
            _ => return Err(Failure::of("ERR syntax error")),
        },
        name => return Err(absent(name)),
    }
    Ok(())
}

/// Whom CLIENT LIST is about: those with these numbers, or all.
fn wanted(words: &[&[u8]]) -> Result<Option<Vec<u64>>, Failure> {
    match words {
        [] => Ok(None),
        [kind, name] if kind.eq_ignore_ascii_case(b"type") => {
            match name.to_ascii_lowercase().as_slice() {
                b"normal" => Ok(None),
                // There are none of these.
                b"master" | b"slave" | b"replica" | b"pubsub" => Ok(Some(Vec::new())),
                _ => Err(Failure::with(&[b"ERR Unknown client type '", name, b"'"])),
            }
        }
        [kind, numbers @ ..] if kind.eq_ignore_ascii_case(b"id") && !numbers.is_empty() => {
            let number = |word: &&[u8]| std::str::from_utf8(word).ok()?.parse::<i64>().ok();
            let numbers: Option<Vec<i64>> = numbers.iter().map(number).collect();
            let numbers = numbers.ok_or(Failure::of("ERR Invalid client ID"))?;
            Ok(Some(numbers.into_iter().filter_map(|number| u64::try_from(number).ok()).collect()))
        }
        _ => Err(Failure::of("ERR syntax error")),
    }
}

/// What stands behind a name, as Redis lays it out.
pub(super) fn help(answer: &mut Answer, name: &str, subcommands: &[(&str, &str)]) {
    answer.array(3 + 2 * subcommands.len());
    answer.simple(&format!("{name} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:"));
    for (subcommand, what) in subcommands.iter().chain([&("HELP", "Prints this help.")]) {
        answer.simple(subcommand);
        answer.simple(&format!("    {what}"));
    }
}

fn on_or_off(word: &[u8]) -> Result<bool, Failure> {
    match word.to_ascii_lowercase().as_slice() {
        b"on" => Ok(true),
        b"off" => Ok(false),
        _ => Err(Failure::of("ERR syntax error")),
    }
}

fn acl(face: &Face, client: &Client, name: &str, args: &[&[u8]], answer: &mut Answer) -> Result<(), Failure> {
    match name {
        "acl|whoami" => {
            let user = client.user.as_ref().expect("it may ask");
            answer.bulk(user.name.as_bytes());
        }
        "acl|users" => {
            answer.array(face.directory.users.iter().count());
            face.directory.users.iter().for_each(|user| answer.bulk(user.name.as_bytes()));
        }
        "acl|list" => {
            answer.array(face.directory.users.iter().count());
            face.directory.users.iter().for_each(|user| answer.bulk(user.words().as_bytes()));
        }
        "acl|help" => help(
            answer,
            "ACL",
            &[
                ("CAT [<category>]", "List all commands that belong to <category>, or all command categories."),
                ("LIST", "Show users details in config file format."),
                ("USERS", "List all the registered usernames."),
                ("WHOAMI", "Return the current connection username."),
            ],
        ),
        "acl|cat" => {
            let Some(category) = args.get(2) else {
                answer.array(categories::WORDS.len());
                categories::WORDS.iter().for_each(|(_, word)| answer.bulk(word.as_bytes()));
                return Ok(());
            };
            let known = categories::WORDS.iter().find(|(_, word)| category.eq_ignore_ascii_case(word.as_bytes()));
            let Some((bit, _)) = known else {
                let line = format!("ERR Unknown category '{}'", String::from_utf8_lossy(category));
                return Err(Failure::with(&[line.as_bytes()]));
            };
            let members: Vec<&str> = table::all()
                .filter(|command| command.all_categories() & bit != 0)
                .map(|command| command.name)
                .collect();
            answer.array(members.len());
            members.into_iter().for_each(|name| answer.bulk(name.as_bytes()));
        }
        name => return Err(absent(name)),
    }
    Ok(())
}

fn skein(face: &Face, client: &mut Client, name: &str, args: &[&[u8]], answer: &mut Answer) -> Result<(), Failure> {
    match name {
        "skein.consistency" => {
            match args.get(1).map(|word| word.to_ascii_lowercase()).as_deref() {
                None => {
                    let now = if client.is_causal { "causal" } else { "linearizable" };
                    answer.bulk(now.as_bytes());
                    return Ok(());
                }
                Some(b"causal") => client.is_causal = true,
                Some(b"linearizable") => client.is_causal = false,
                Some(_) => {
                    return Err(Failure::of("ERR a connection reads 'causal' or 'linearizable', nothing between"));
                }
            }
            answer.ok();
        }
        "skein.where" => {
            let group = face.directory.router.placement().group_of(args[1]);
            answer.bulk(face.directory.groups[group.index()].as_bytes());
        }
        "skein.ts" => answer.integer(client.seen.0 as i64),
        "skein.session" => {
            let number = |word: &[u8]| std::str::from_utf8(word).ok().and_then(|word| word.parse::<u64>().ok());
            let (Some(session), Some(next)) = (number(args[1]), number(args[2])) else {
                return Err(Failure::of("ERR a session and the number of its next command are whole numbers"));
            };
            client.session = Some((session, next));
            answer.ok();
        }
        name => return Err(absent(name)),
    }
    Ok(())
}
