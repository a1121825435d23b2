//! [`Users`]: who may do what. Users and their rights are said in the
//! configuration, in the words of Redis' ACL rules; nothing changes them while a
//! node runs. Passwords are kept as their SHA-256 and nothing else.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;

use ring::digest::{SHA256, digest};
use skein_service::kv::glob_matches;
use skein_service::kv::table::{self, Command, Spread, categories, touches_of};

/// Everybody who may say who he is.
#[derive(Clone, Debug)]
pub(crate) struct Users {
    users: BTreeMap<String, Arc<User>>,
}

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct User {
    pub(crate) name: String,
    is_on: bool,
    needs_no_password: bool,
    /// As hexadecimal digits.
    passwords: Vec<String>,
    /// Patterns of keys, and whether they may be read and written.
    keys: Vec<KeyPattern>,
    /// What is allowed and what not: the last that fits counts.
    commands: Vec<(bool, What)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct KeyPattern {
    pattern: Vec<u8>,
    reads: bool,
    writes: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum What {
    Everything,
    Category(u32),
    /// A command, or `container|subcommand`.
    Command(String),
}

/// What a user may not do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Forbidden {
    /// Run the command.
    Command(String),
    /// Touch one of its keys.
    Keys,
    /// Have this option of SORT look at keys that it makes up.
    Sorting(&'static str),
}

impl Users {
    /// Nobody has said anything of users: everybody is the default one, and may do everything.
    pub(crate) fn open() -> Users {
        Users::parse(&[("default", "on nopass allkeys allcommands")]).expect("these rules are good")
    }

    /// The users with these rules. Who is not named cannot come; that holds for the default user, too, unless it is
    /// the only one.
    pub(crate) fn parse(rules: &[(&str, &str)]) -> Result<Users, String> {
        let mut users = BTreeMap::new();
        for (name, rules) in rules {
            let user = User::parse(name, rules).map_err(|why| format!("user {name}: {why}"))?;
            if users.insert((*name).to_owned(), Arc::new(user)).is_some() {
                return Err(format!("user {name} stands there twice: give every user rules of its own"));
            }
        }
        Ok(Users { users })
    }

    /// As whom somebody begins who has said nothing yet.
    pub(crate) fn without_a_word(&self) -> Option<Arc<User>> {
        self.users.get("default").filter(|user| user.is_on && user.needs_no_password).cloned()
    }

    /// Whether somebody may come who knows no password.
    pub(crate) fn let_anybody_in(&self) -> bool {
        self.users.values().any(|user| user.is_on && user.needs_no_password)
    }

    /// Who this is, if the password is right.
    pub(crate) fn identify(&self, name: &str, password: &[u8]) -> Option<Arc<User>> {
        let user = self.users.get(name).filter(|user| user.is_on)?;
        let given = hexadecimal(password);
        let is_right = user.needs_no_password || user.passwords.iter().any(|known| is_same(known, &given));
        is_right.then(|| user.clone())
    }

    /// All of them by name.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<User>> {
        self.users.values()
    }
}

impl User {
    fn parse(name: &str, rules: &str) -> Result<User, String> {
        let nobody = || User {
            name: name.to_owned(),
            is_on: false,
            needs_no_password: false,
            passwords: Vec::new(),
            keys: Vec::new(),
            commands: Vec::new(),
        };
        let mut user = nobody();
        for rule in rules.split_whitespace() {
            match rule {
                "on" => user.is_on = true,
                "off" => user.is_on = false,
                "nopass" => user.needs_no_password = true,
                "resetpass" => (user.needs_no_password, user.passwords) = (false, Vec::new()),
                "allkeys" => user.keys.push(KeyPattern { pattern: b"*".to_vec(), reads: true, writes: true }),
                "resetkeys" => user.keys.clear(),
                "allcommands" => user.commands.push((true, What::Everything)),
                "nocommands" => user.commands.clear(),
                // There are no channels: what is said of them is true.
                "allchannels" | "resetchannels" => {}
                "reset" => user = nobody(),
                rule => user.rule(rule)?,
            }
        }
        Ok(user)
    }

    fn rule(&mut self, rule: &str) -> Result<(), String> {
        let (kind, rest) = rule.split_at_checked(1).ok_or_else(|| unknown(rule))?;
        match kind {
            ">" => self.passwords.push(hexadecimal(rest.as_bytes())),
            "<" => self.passwords.retain(|known| *known != hexadecimal(rest.as_bytes())),
            "#" => {
                let is_hash = rest.len() == 64 && rest.bytes().all(|byte| byte.is_ascii_hexdigit());
                if !is_hash {
                    return Err(format!("{rule} is no hash of a password: it has 64 hexadecimal digits"));
                }
                self.passwords.push(rest.to_ascii_lowercase());
            }
            "~" => self.keys.push(KeyPattern { pattern: rest.into(), reads: true, writes: true }),
            "%" => {
                let (how, pattern) = rest.split_once('~').ok_or_else(|| unknown(rule))?;
                let how = how.to_ascii_uppercase();
                if how.is_empty() || how.chars().any(|each| !"RW".contains(each)) {
                    return Err(unknown(rule));
                }
                let (reads, writes) = (how.contains('R'), how.contains('W'));
                self.keys.push(KeyPattern { pattern: pattern.into(), reads, writes });
            }
            "&" => {}
            "+" | "-" => {
                let what = what(rest).ok_or_else(|| format!("{rule} names no command and no category"))?;
                self.commands.push((kind == "+", what));
            }
            _ => return Err(unknown(rule)),
        }
        Ok(())
    }

    /// Whether this user may run a command with these arguments.
    pub(crate) fn may(&self, command: &Command, args: &[&[u8]]) -> Result<(), Forbidden> {
        let container = command.name.split('|').next().expect("a split has a first part");
        let mut is_allowed = false;
        for (allows, what) in &self.commands {
            let fits = match what {
                What::Everything => true,
                What::Category(category) => command.all_categories() & category != 0,
                What::Command(name) => name == command.name || name == container,
            };
            if fits {
                is_allowed = *allows;
            }
        }
        if !is_allowed {
            return Err(Forbidden::Command(command.name.to_owned()));
        }
        let everything = |key: &&KeyPattern| key.pattern == b"*";
        let reads_all = self.keys.iter().filter(everything).any(|key| key.reads);
        if reads_all && self.keys.iter().filter(everything).any(|key| key.writes) {
            return Ok(());
        }
        let may_touch = |touch: &table::Touch<'_>| {
            let fits = |allowed: &KeyPattern| {
                let is_enough = (allowed.reads || !touch.reads) && (allowed.writes || !touch.writes);
                is_enough && glob_matches(&allowed.pattern, touch.key)
            };
            self.keys.iter().any(fits)
        };
        if !touches_of(args).iter().all(may_touch) {
            return Err(Forbidden::Keys);
        }
        if reads_all { Ok(()) } else { names_what_it_reads(command, args) }
    }

    /// The user's rules, in one line.
    pub(crate) fn words(&self) -> String {
        let mut words = format!("user {} {}", self.name, if self.is_on { "on" } else { "off" });
        if self.needs_no_password {
            words += " nopass";
        }
        for password in &self.passwords {
            write!(words, " #{password}").expect("a string takes everything");
        }
        for KeyPattern { pattern, reads, writes } in &self.keys {
            let pattern = String::from_utf8_lossy(pattern);
            let how = match (reads, writes) {
                (true, true) => String::new(),
                (true, false) => "%R".to_owned(),
                _ => "%W".to_owned(),
            };
            write!(words, " {how}~{pattern}").expect("a string takes everything");
        }
        if self.commands.first().is_none_or(|(allows, what)| !allows || *what != What::Everything) {
            words += " -@all";
        }
        for (allows, what) in &self.commands {
            let sign = if *allows { '+' } else { '-' };
            match what {
                What::Everything => write!(words, " {sign}@all"),
                What::Category(category) => write!(words, " {sign}@{}", name_of(*category)),
                What::Command(name) => write!(words, " {sign}{name}"),
            }
            .expect("a string takes everything");
        }
        words
    }
}

impl Forbidden {
    /// In the words of Redis, without the minus.
    pub(crate) fn words(&self) -> String {
        match self {
            Forbidden::Command(name) => {
                format!("NOPERM this user has no permissions to run the '{name}' command")
            }
            Forbidden::Keys => {
                "NOPERM this user has no permissions to access one of the keys used as arguments".to_owned()
            }
            Forbidden::Sorting(option) => {
                format!("ERR {option} option of SORT denied due to insufficient ACL permissions.")
            }
        }
    }
}

/// Refuses what shows the values of keys that are not among its arguments.
fn names_what_it_reads(command: &Command, args: &[&[u8]]) -> Result<(), Forbidden> {
    match command.name {
        "sort" | "sort_ro" => {
            let made_up = |pair: &[&[u8]]| {
                let is = |word: &str| pair[0].eq_ignore_ascii_case(word.as_bytes());
                match () {
                    () if is("BY") && pair[1].contains(&b'*') => Some(Forbidden::Sorting("BY")),
                    () if is("GET") => Some(Forbidden::Sorting("GET")),
                    () => None,
                }
            };
            args.get(2..).unwrap_or_default().windows(2).find_map(made_up).map_or(Ok(()), Err)
        }
        _ if command.spread == Spread::Range && args.iter().any(|word| word.eq_ignore_ascii_case(b"VALUES")) => {
            Err(Forbidden::Keys)
        }
        _ => Ok(()),
    }
}

fn what(name: &str) -> Option<What> {
    let name = name.to_ascii_lowercase();
    if name == "@all" {
        return Some(What::Everything);
    }
    if let Some(category) = name.strip_prefix('@') {
        let found = categories::WORDS.iter().find(|(_, word)| *word == category);
        return found.map(|(bit, _)| What::Category(*bit));
    }
    let container = name.split('|').next().unwrap_or_default();
    let command = table::find(container.as_bytes())?;
    let is_there = match name.split_once('|') {
        Some((_, subcommand)) => command.subcommand(subcommand.as_bytes()).is_some(),
        None => true,
    };
    is_there.then_some(What::Command(name))
}

fn name_of(category: u32) -> &'static str {
    categories::WORDS.iter().find(|(bit, _)| *bit == category).map_or("", |(_, word)| word)
}

fn unknown(rule: &str) -> String {
    format!(
        "{rule} is no rule: there are on, off, nopass, >password, #hash, ~pattern, %R~pattern, %W~pattern, allkeys, \
         +command, -command, +@category, -@category, allcommands, nocommands, resetkeys, resetpass, reset"
    )
}

fn hexadecimal(password: &[u8]) -> String {
    digest(&SHA256, password).as_ref().iter().fold(String::new(), |mut digits, byte| {
        write!(digits, "{byte:02x}").expect("a string takes everything");
        digits
    })
}

/// However much of it is the same, it takes as long.
fn is_same(one: &str, other: &str) -> bool {
    one.len() == other.len() && one.bytes().zip(other.bytes()).fold(0, |differ, (a, b)| differ | (a ^ b)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn may(user: &User, line: &str) -> Result<(), Forbidden> {
        let args: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
        user.may(table::find(args[0]).unwrap(), &args)
    }

    #[test]
    fn everybody_may_do_everything_where_nothing_is_said() {
        let users = Users::open();
        let user = users.without_a_word().unwrap();
        for line in ["flushall", "set a 1", "sort a BY b* GET c*", "skein.range a b VALUES"] {
            assert_eq!(may(&user, line), Ok(()));
        }
        assert_eq!(user.words(), "user default on nopass ~* +@all");
    }

    #[test]
    fn the_last_rule_that_fits_counts() {
        let rules = "on >secret ~eu:* %R~all:* +@all -@dangerous -set +keys";
        let users = Users::parse(&[("ann", rules)]).unwrap();
        assert!(
            !users.let_anybody_in()
                && users.identify("ann", b"wrong").is_none()
                && users.identify("bob", b"").is_none()
        );
        let ann = users.identify("ann", b"secret").unwrap();
        assert_eq!(may(&ann, "mget eu:1 all:2"), Ok(()));
        assert_eq!(may(&ann, "del all:2"), Err(Forbidden::Keys), "it may only be read");
        assert_eq!(may(&ann, "get us:1"), Err(Forbidden::Keys));
        assert_eq!(may(&ann, "set eu:1 x"), Err(Forbidden::Command("set".into())));
        assert_eq!(may(&ann, "flushall"), Err(Forbidden::Command("flushall".into())));
        assert_eq!(may(&ann, "keys *"), Ok(()));
    }

    /// Key by key, not command by command, and nothing that a pattern forbids by way of another.
    #[test]
    fn who_may_write_a_key_may_not_read_it_so() {
        let users = Users::parse(&[("ann", "on nopass %R~from:* %W~to:* +@all")]).unwrap();
        let ann = users.identify("ann", b"").unwrap();
        for good in [
            "copy from:1 to:1",
            "set to:1 x EX 5",
            "exists from:1 to:1",
            "sort from:1 BY nosort STORE to:1",
            "bitfield from:1 GET u8 0",
            "skein.range a b LIMIT 2",
        ] {
            assert_eq!(may(&ann, good), Ok(()), "{good}");
        }
        for bad in [
            "get to:1",
            "getset to:1 x",
            "getdel to:1",
            "lpop to:1",
            "set to:1 x GET",
            "copy to:1 from:1",
            "copy from:1 other",
            "exists other",
            "bitfield from:1 SET u8 0 1",
            "skein.range from: from:z VALUES",
        ] {
            assert_eq!(may(&ann, bad), Err(Forbidden::Keys), "{bad}");
        }
        assert_eq!(may(&ann, "sort from:1 BY other:*"), Err(Forbidden::Sorting("BY")));
        assert_eq!(may(&ann, "sort_ro from:1 GET #"), Err(Forbidden::Sorting("GET")));

        let users = Users::parse(&[("reader", "on nopass ~public:* %R~* +@read")]).unwrap();
        let reader = users.identify("reader", b"").unwrap();
        for good in ["skein.range a b VALUES", "sort_ro a BY b* GET c*", "get a"] {
            assert_eq!(may(&reader, good), Ok(()), "{good}");
        }
    }

    #[test]
    fn a_hash_is_as_good_as_its_password() {
        let hash = "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b";
        let users = Users::parse(&[("ann", &format!("on #{hash} +ping"))]).unwrap();
        assert!(users.identify("ann", b"secret").is_some());
        assert!(users.iter().next().unwrap().words().contains(hash));
    }

    #[test]
    fn what_is_no_rule_is_named() {
        for (rules, word) in [("+nonsense", "names no command"), ("maybe", "is no rule"), ("#12", "64 hexadecimal")] {
            let refused = Users::parse(&[("ann", rules)]).unwrap_err();
            assert!(refused.starts_with("user ann: ") && refused.contains(word), "{refused}");
        }
        assert!(Users::parse(&[("ann", "on"), ("ann", "off")]).unwrap_err().contains("twice"));
    }
}
