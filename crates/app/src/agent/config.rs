//! [`Config`]: what an agent is told in its file, and what its command line says
//! instead. One file does for a whole fleet: what differs from member to member
//! can be said at each start. Everything is checked before anything begins.

use std::collections::BTreeSet;
use std::fs;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use serde::Deserialize;
use skein_edge::health::{MAX_ORIGINS, Origin};
use skein_edge::membership::{MAX_SEEDS, Pace};
use skein_edge::owners::{MAX_WEIGHT, USUAL_WEIGHT};
use skein_edge::spread::Tempo;
use skein_edge::{Member, Name};
use skein_runtime::datagrams::{Key, Keys, Security};
use skein_runtime::tls::{Files, Tls};

use super::lives;
use super::probe::{Expect, Recipe, Target, Trust};

/// An agent as its operator describes it.
#[derive(Debug)]
pub(crate) struct Config {
    /// Which fleet it belongs to.
    pub(crate) fleet: Name,
    /// Who it is, in a life that begins now.
    pub(crate) me: Member,
    /// Where it listens to other members.
    pub(crate) listen: SocketAddr,
    /// Where members of its place may be found.
    pub(crate) seeds: Vec<SocketAddr>,
    /// Where members of other places may be found.
    pub(crate) gateways: Vec<SocketAddr>,
    /// Names among these that stand for no address.
    pub(crate) unknown: Vec<String>,
    pub(crate) pace: Pace,
    pub(crate) tempo: Tempo,
    pub(crate) security: Security,
    /// Where the key lies, if it has one, to be read again.
    pub(crate) key_file: Option<PathBuf>,
    /// Where it serves what it knows,
    pub(crate) http: Option<SocketAddr>,
    /// under which names besides its addresses,
    pub(crate) http_hosts: Vec<String>,
    /// and where clients of Redis are served.
    pub(crate) redis: Option<SocketAddr>,
    /// What whoever comes there has to know.
    pub(crate) password: Option<String>,
    /// What is watched, and how.
    pub(crate) origins: Vec<(Origin, Recipe)>,
    /// What it writes down of what it does.
    pub(crate) log: Option<String>,
}

/// What can be said at the start of an agent.
#[derive(Args, Clone, Debug, Default)]
#[command(
    next_help_heading = "Instead of what the configuration says (each also as SKEIN_EDGE_NAME, SKEIN_EDGE_SEEDS, …)"
)]
pub(crate) struct Flags {
    /// What this member is called.
    #[arg(long, value_name = "NAME", env = "SKEIN_EDGE_NAME", hide_env = true)]
    name: Option<String>,
    /// Where it stands: a datacenter, say.
    #[arg(long, value_name = "NAME", env = "SKEIN_EDGE_PLACE", hide_env = true)]
    place: Option<String>,
    /// Where it listens to other members.
    #[arg(long, value_name = "ADDRESS", env = "SKEIN_EDGE_LISTEN", hide_env = true)]
    listen: Option<SocketAddr>,
    /// Where they reach it, if that is called otherwise there.
    #[arg(long, value_name = "ADDRESS", env = "SKEIN_EDGE_ADVERTISE", hide_env = true)]
    advertise: Option<SocketAddr>,
    /// How much of the work is its own, beside others that have 100.
    #[arg(long, value_name = "N", env = "SKEIN_EDGE_WEIGHT", hide_env = true)]
    weight: Option<u32>,
    /// Where a member of its place may be found; several times for several.
    #[arg(long = "seed", value_name = "ADDRESS", env = "SKEIN_EDGE_SEEDS", hide_env = true, value_delimiter = ',')]
    seeds: Vec<String>,
    /// Where a member of another place may be found; several times for several.
    #[arg(
        long = "gateway",
        value_name = "ADDRESS",
        env = "SKEIN_EDGE_GATEWAYS",
        hide_env = true,
        value_delimiter = ','
    )]
    gateways: Vec<String>,
    /// Where it serves its page, and all that stands behind it.
    #[arg(long, value_name = "ADDRESS", env = "SKEIN_EDGE_HTTP", hide_env = true)]
    http: Option<SocketAddr>,
    /// Where it serves clients of Redis.
    #[arg(long, value_name = "ADDRESS", env = "SKEIN_EDGE_REDIS", hide_env = true)]
    redis: Option<SocketAddr>,
    /// What to write down, as in `info` or `skein=debug`.
    #[arg(long, value_name = "FILTER", env = "SKEIN_EDGE_LOG", hide_env = true)]
    log: Option<String>,
}

/// The file as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    fleet: String,
    name: Option<String>,
    place: Option<String>,
    listen: Option<SocketAddr>,
    advertise: Option<SocketAddr>,
    weight: Option<u32>,
    #[serde(default)]
    seeds: Vec<String>,
    #[serde(default)]
    gateways: Vec<String>,
    key_file: Option<PathBuf>,
    tls: Option<Papers>,
    #[serde(default)]
    insecure: bool,
    http: Option<SocketAddr>,
    #[serde(default)]
    http_hosts: Vec<String>,
    redis: Option<SocketAddr>,
    password_file: Option<PathBuf>,
    #[serde(default)]
    insecure_faces: bool,
    log: Option<String>,
    #[serde(default)]
    tempo: TempoFile,
    #[serde(default)]
    origins: Vec<OriginFile>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Papers {
    ca: PathBuf,
    cert: PathBuf,
    key: PathBuf,
}

/// How large the fleet is, and how long it waits.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct TempoFile {
    /// About so many members in each place.
    members: u16,
    /// What everybody has is forgotten so often.
    cut_every_s: u64,
    /// Who was not heard of for so long is expelled.
    expel_after_s: u64,
}

impl Default for TempoFile {
    fn default() -> TempoFile {
        let tempo = Tempo::default();
        let (cut_every_s, expel_after_s) = (tempo.cut_every.as_secs(), tempo.expel_after.as_secs());
        TempoFile { members: 64, cut_every_s, expel_after_s }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct OriginFile {
    name: String,
    url: String,
    #[serde(default = "usual_interval")]
    interval_ms: u64,
    #[serde(default = "usual_timeout")]
    timeout_ms: u64,
    #[serde(default)]
    expect: Option<String>,
    #[serde(default = "usual_fall")]
    fall: u32,
    #[serde(default = "usual_rise")]
    rise: u32,
    ca: Option<PathBuf>,
    #[serde(default)]
    insecure: bool,
}

fn usual_interval() -> u64 {
    5_000
}

fn usual_timeout() -> u64 {
    2_000
}

fn usual_fall() -> u32 {
    3
}

fn usual_rise() -> u32 {
    2
}

/// A probe is made no more often than this, and no less often than that.
const INTERVALS_MS: std::ops::RangeInclusive<u64> = 100..=86_400_000;

/// More in a row than anybody waits for.
const MOST_IN_A_ROW: u32 = 1_000;

/// A password is a line, and a key file a few.
const MOST_SECRET: u64 = 4_096;

/// Where members listen unless told.
const USUAL_PORT: u16 = 7_946;

impl Config {
    /// Reads what an agent is told, and checks all of it.
    pub(crate) fn read(path: &Path, flags: &Flags) -> Result<Config, String> {
        let text = fs::read_to_string(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
        Config::parse(&text, flags).map_err(|wrong| format!("{}: {wrong}", path.display()))
    }

    /// By what members know each other, in words.
    pub(crate) fn known_by(&self) -> &'static str {
        match (&self.security, &self.key_file) {
            (Security::Certificates(..), _) => "certificates",
            (Security::Keys(_), Some(_)) => "a key",
            (Security::Keys(_), None) => "the name of the fleet, which is no secret",
        }
    }

    fn parse(text: &str, flags: &Flags) -> Result<Config, String> {
        let file: File = toml::from_str(text).map_err(|error| error.to_string())?;
        let fleet = name_of("fleet", &file.fleet)?;
        let name = match flags.name.clone().or(file.name.clone()) {
            Some(name) => name_of("name", &name)?,
            None => name_of("name (the name of this host, since none is given)", &host_name()?)?,
        };
        let place = flags.place.clone().or(file.place.clone());
        let place = name_of("place", place.as_deref().unwrap_or("here"))?;
        let listen = flags.listen.or(file.listen).unwrap_or(SocketAddr::from(([127, 0, 0, 1], USUAL_PORT)));
        let advertise = flags.advertise.or(file.advertise).unwrap_or(listen);
        if advertise.ip().is_unspecified() {
            return Err(format!(
                "nobody can be reached at {advertise}: say at which address others find this member, by advertise = \
                 \"ADDRESS:PORT\" or --advertise"
            ));
        }
        let weight = flags.weight.or(file.weight).unwrap_or(USUAL_WEIGHT);
        if weight > MAX_WEIGHT {
            return Err(format!("weight = {weight}: {MAX_WEIGHT} is the most, and {USUAL_WEIGHT} is usual"));
        }
        let me = Member::new(name, place, advertise).weighing(weight).living(lives::draw()?);
        let seeds = if flags.seeds.is_empty() { &file.seeds } else { &flags.seeds };
        let gateways = if flags.gateways.is_empty() { &file.gateways } else { &flags.gateways };
        let (http, redis) = (flags.http.or(file.http), flags.redis.or(file.redis));
        let password = file.password_file.as_deref().map(password).transpose()?;
        for (what, face) in [("http", http), ("redis", redis)] {
            let is_open = face.is_some_and(|face| !face.ip().is_loopback()) && password.is_none();
            if is_open && !file.insecure_faces {
                return Err(format!(
                    "{what} listens beyond this machine, where anybody could then read and change what the fleet \
                     knows: ask for a password (password_file), or say insecure_faces = true"
                ));
            }
        }
        let security = security(&file, &fleet, listen.ip())?;
        let mut unknown = Vec::new();
        Ok(Config {
            me,
            listen,
            seeds: resolve("seeds", seeds, &mut unknown)?,
            gateways: resolve("gateways", gateways, &mut unknown)?,
            unknown,
            pace: Pace::of(usize::from(file.tempo.members)),
            tempo: tempo(&file.tempo)?,
            security,
            key_file: file.key_file,
            http,
            http_hosts: file.http_hosts,
            redis,
            password,
            origins: origins(&file.origins)?,
            log: flags.log.clone().or(file.log),
            fleet,
        })
    }
}

fn name_of(what: &str, text: &str) -> Result<Name, String> {
    Name::new(text).map_err(|wrong| format!("{what} = \"{text}\": {wrong}"))
}

fn host_name() -> Result<String, String> {
    let uname = rustix::system::uname();
    let name =
        uname.nodename().to_str().map_err(|_| "this host has no name in letters: say name = \"…\"".to_owned())?;
    Ok(name.to_owned())
}

fn security(file: &File, fleet: &Name, listen: IpAddr) -> Result<Security, String> {
    match (&file.key_file, &file.tls) {
        (Some(_), Some(_)) => Err("there is a key_file and [tls]: members know each other by one of them".to_owned()),
        (Some(path), None) => keys(path).map(Security::Keys),
        (None, Some(Papers { ca, cert, key })) => {
            let files = Files { ca: ca.clone(), cert: cert.clone(), key: key.clone() };
            let tls = Tls::open(files, Some(fleet.as_str()), &Default::default()).map_err(|wrong| wrong.to_string())?;
            Ok(Security::Certificates(tls, fleet.as_str().to_owned()))
        }
        (None, None) if listen.is_loopback() || file.insecure => {
            // Fleets of other names are kept apart all the same.
            Keys::of(vec![Key::of_words(fleet.as_str())]).map(Security::Keys)
        }
        (None, None) => Err(format!(
            "members listen beyond this machine (at {listen}), and anybody who reaches them would be one: make a key \
             by `skein edge key FILE` and say key_file = \"FILE\", or say insecure = true"
        )),
    }
}

/// The keys in a file.
pub(crate) fn keys(path: &Path) -> Result<Keys, String> {
    Keys::parse(&secret(path)?).map_err(|wrong| format!("{}: {wrong}", path.display()))
}

fn password(path: &Path) -> Result<String, String> {
    let text = secret(path)?;
    let password = text.trim_end_matches(['\r', '\n']);
    if password.is_empty() || password.contains(['\r', '\n']) {
        return Err(format!("{}: the password is one line, and not an empty one", path.display()));
    }
    Ok(password.to_owned())
}

fn secret(path: &Path) -> Result<String, String> {
    use std::io::Read;
    let mut text = String::new();
    let read = fs::File::open(path).and_then(|file| file.take(MOST_SECRET + 1).read_to_string(&mut text));
    read.map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    if text.len() as u64 > MOST_SECRET {
        return Err(format!("{} is longer than any such file: is it another one?", path.display()));
    }
    Ok(text)
}

/// Where others may be found. Names are looked up once: what they stand for later is found out through those who are
/// there.
fn resolve(what: &str, given: &[String], unknown: &mut Vec<String>) -> Result<Vec<SocketAddr>, String> {
    let mut found = BTreeSet::new();
    let before = unknown.len();
    for text in given.iter().filter(|text| !text.is_empty()) {
        match text.to_socket_addrs() {
            Ok(addresses) => found.extend(addresses),
            Err(error) => unknown.push(format!("{text} ({error})")),
        }
    }
    // Whoever finds none of those it was told of must not begin a fleet of its own.
    if found.is_empty() && unknown.len() > before {
        return Err(format!("none of the {what} is known: {}", unknown[before..].join(", ")));
    }
    Ok(found.into_iter().take(MAX_SEEDS).collect())
}

fn tempo(file: &TempoFile) -> Result<Tempo, String> {
    let (cut_every, expel_after) = (Duration::from_secs(file.cut_every_s), Duration::from_secs(file.expel_after_s));
    let day = Duration::from_secs(86_400);
    if cut_every.is_zero() || cut_every > day {
        return Err(format!("cut_every_s = {}: from a second to a day makes sense", file.cut_every_s));
    }
    if !(Duration::from_secs(60)..=365 * day).contains(&expel_after) {
        return Err(format!("expel_after_s = {}: from a minute to a year makes sense", file.expel_after_s));
    }
    Ok(Tempo { cut_every, expel_after, ..Tempo::default() })
}

fn origins(files: &[OriginFile]) -> Result<Vec<(Origin, Recipe)>, String> {
    if files.len() > MAX_ORIGINS {
        return Err(format!("there are {} origins, and {MAX_ORIGINS} are the most", files.len()));
    }
    let mut names = BTreeSet::new();
    let mut origins = Vec::with_capacity(files.len());
    for file in files {
        let origin = origin(file).map_err(|wrong| format!("origin {}: {wrong}", file.name))?;
        if !names.insert(origin.0.name.clone()) {
            return Err(format!("there are two origins {}: give one another name", file.name));
        }
        origins.push(origin);
    }
    Ok(origins)
}

fn origin(file: &OriginFile) -> Result<(Origin, Recipe), String> {
    let OriginFile { name, url, interval_ms, timeout_ms, expect, fall, rise, ca, insecure } = file;
    if !INTERVALS_MS.contains(interval_ms) {
        return Err(format!("interval_ms = {interval_ms}: from a tenth of a second to a day makes sense"));
    }
    if *timeout_ms == 0 || timeout_ms > interval_ms {
        return Err(format!("timeout_ms = {timeout_ms}: up to interval_ms, which is {interval_ms}, makes sense"));
    }
    for (what, count) in [("fall", *fall), ("rise", *rise)] {
        if !(1..=MOST_IN_A_ROW).contains(&count) {
            return Err(format!("{what} = {count}: 1 to {MOST_IN_A_ROW} in a row make sense"));
        }
    }
    let trust = match (ca, insecure) {
        (Some(_), true) => return Err("it has a ca and is insecure: one of them".to_owned()),
        (Some(ca), false) => Trust::Authority(ca.clone()),
        (None, true) => Trust::Anybody,
        (None, false) => Trust::System,
    };
    let recipe = Recipe {
        target: Target::parse(url)?,
        timeout: Duration::from_millis(*timeout_ms),
        expect: expect.as_deref().map(str::parse::<Expect>).transpose()?.unwrap_or_default(),
        trust,
    };
    let interval = Duration::from_millis(*interval_ms);
    Ok((Origin { name: name_of("name", name)?, interval, fall: *fall, rise: *rise }, recipe))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example with everything in it that can be said, taken at its word.
    const EXAMPLE: &str = include_str!("../../../../docs/edge.toml");

    fn parse(text: &str) -> Result<Config, String> {
        Config::parse(text, &Flags::default())
    }

    #[test]
    fn the_example_is_sound() {
        let flags = Flags { name: Some("a".into()), http: "127.0.0.1:1".parse().ok(), ..Flags::default() };
        let config = Config::parse(EXAMPLE, &flags).unwrap();
        assert_eq!((config.fleet.as_str(), config.me.name.as_str(), config.seeds.len()), ("tour", "a", 3));
        assert_eq!((config.origins.len(), config.http.map(|http| http.port()), config.redis), (2, Some(1), None));
        assert_eq!((config.tempo, config.pace), (Tempo::default(), Pace::of(64)), "what it names is what is usual");
    }

    #[test]
    fn all_that_the_example_leaves_out_can_be_said() {
        let folder = std::env::temp_dir().join(format!("skein-edge-example-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("edge.key"), Key::draw().unwrap().written()).unwrap();
        fs::write(folder.join("edge.password"), "secret\n").unwrap();
        let said = EXAMPLE.lines().filter_map(|line| {
            let is_setting = |line: &str| {
                let name = line.split_once(" = ").map_or("", |(name, _)| name);
                !name.is_empty() && name.chars().all(|letter| letter.is_ascii_lowercase() || letter == '_')
            };
            let hidden = line.strip_prefix("# ").filter(|line| is_setting(line) || *line == "[tempo]");
            let is_papers = |line: &str| ["ca = \"p", "cert = ", "key = "].iter().any(|start| line.starts_with(start));
            let line = hidden.filter(|line| !line.starts_with("insecure")).unwrap_or(line);
            (!is_papers(line) && !line.starts_with("ca = ")).then_some(line)
        });
        let text = said.collect::<Vec<_>>().join("\n");
        let text = text.replace("edge.key", &folder.join("edge.key").display().to_string());
        let text = text.replace("edge.password\"  #", &format!("{}\"  #", folder.join("edge.password").display()));
        let config = parse(&text).unwrap_or_else(|wrong| panic!("{wrong}\n{text}"));
        fs::remove_dir_all(&folder).unwrap();
        assert_eq!((config.known_by(), config.password.as_deref(), config.me.weight), ("a key", Some("secret"), 200));
        assert_eq!((config.gateways.len(), config.http_hosts.len(), config.redis.is_some()), (1, 1, true));
        let (toy, recipe) = &config.origins[0];
        assert_eq!((toy.fall, toy.rise, recipe.timeout.as_millis()), (3, 2, 500));
    }

    #[test]
    fn a_seed_that_is_not_known_is_told_if_another_is() {
        let seeds = |seeds: &str| parse(&format!("fleet = \"f\"\nname = \"a\"\nseeds = [{seeds}]"));
        let config = seeds("\"127.0.0.1:7\", \"no.such.host.invalid:7\"").unwrap();
        assert_eq!((config.seeds.len(), config.unknown.len()), (1, 1));
        assert!(config.unknown[0].starts_with("no.such.host.invalid:7 ("), "{:?}", config.unknown);
        assert!(seeds("\"no.such.host.invalid:7\"").unwrap_err().contains("none of the seeds is known"));
    }

    #[test]
    fn what_makes_no_sense_is_said_with_what_does() {
        let refused = |more: &str| parse(&format!("fleet = \"f\"\nname = \"a\"\n{more}")).unwrap_err();
        assert!(refused("weight = 100001").contains("100000 is the most"));
        assert!(refused("[tempo]\ncut_every_s = 0").contains("from a second to a day"));
        assert!(refused("[tempo]\nexpel_after_s = 1").contains("from a minute to a year"));
        assert!(refused("[tempo]\nsize = 1").contains("unknown field `size`"));
        assert!(refused("key_file = \"k\"\n[tls]\nca = \"c\"\ncert = \"c\"\nkey = \"k\"").contains("by one of them"));
        let origin = |more: &str| refused(&format!("[[origins]]\nname = \"o\"\nurl = \"https://h/\"\n{more}"));
        assert!(origin("ca = \"ca.pem\"\ninsecure = true").contains("one of them"));
        assert!(origin("expect = \"fine\"").contains("no status"));
        assert!(origin("rise = 1001").contains("1 to 1000 in a row"));
    }
}
