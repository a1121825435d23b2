//! `skein explain`: the steps that one message took, as every replica that it
//! concerns saw them, and a sentence that says what was waited for.

use std::collections::BTreeMap;

use clap::Args;
use serde::Serialize;
use skein_machine::chronicle::MESSAGES;

use super::ask::{Answers, ask_all};
use super::talk::{Identity, Where};
use super::{Mistake, Verdict, output, thousands};
use crate::config::Config;
use crate::serve::story::{self, NodeList, NodeStories, ReplicaStory, Told};

/// A list for people is no longer.
const MOST_LINES: usize = 20;

#[derive(Args)]
#[command(
    group(clap::ArgGroup::new("what").required(true).args(["message", "slow", "waiting"])),
    after_help = "Every node is asked at its `http` address. Moments are counted at each replica from when it first heard of the
message, so clocks need not agree. A replica remembers the last few thousand messages, and the slowest for longer.

Examples:
  skein explain s17759537082593190473.1
  skein explain --slow
  skein explain --waiting"
)]
pub(crate) struct Arguments {
    #[command(flatten)]
    place: Where,
    #[command(flatten)]
    identity: Identity,
    /// The message, as `skein multicast` or `--slow` calls it.
    #[arg(value_name = "MESSAGE")]
    message: Option<String>,
    /// List the slowest messages that are remembered.
    #[arg(long)]
    slow: bool,
    /// List messages that are known and not delivered, and what they wait for.
    #[arg(long)]
    waiting: bool,
    /// One JSON object: a replica a line, or a message a line of a list.
    #[arg(long)]
    json: bool,
}

pub(crate) fn command(arguments: &Arguments) -> Verdict {
    let config = arguments.identity.put_into(arguments.place.read()?);
    match &arguments.message {
        Some(message) => explain(&config, message, arguments.json),
        None if arguments.slow => list(&config, "/slow", "nothing was delivered lately", arguments.json),
        None => list(&config, "/waiting", "nothing waits", arguments.json),
    }
}

fn explain(config: &Config, message: &str, is_json: bool) -> Verdict {
    let Some((session, sequence)) = story::parse(message) else {
        return Err(Mistake(format!(
            "\"{message}\" names no message: it is called as `skein multicast` prints it, as in s17.2"
        )));
    };
    let path = format!("/explain?message=s{}.{sequence}", session.0);
    let answers: Answers<NodeStories> = ask_all(config, &path)?;
    let replicas: Vec<&ReplicaStory> = answers.nodes.iter().flat_map(|node| &node.replicas).collect();
    let mut stories: Vec<&Told> = replicas.iter().filter_map(|replica| replica.story.as_ref()).collect();
    stories.sort_by_key(|told| place_of(config, &told.process));
    tell_of_the_dead(&answers.dead);
    let Some(first) = stories.first() else { return Err(unknown(message, &replicas)) };
    if is_json {
        stories.iter().for_each(output::json);
        return Ok(true);
    }
    let timestamp = stories.iter().find_map(|told| told.timestamp);
    let timestamp = timestamp.map_or(String::new(), |timestamp| format!(" at {timestamp}"));
    output::line(format_args!("{} to {}{timestamp}\n", first.message, first.groups.join(",")));
    table(config, &stories);
    output::line(format_args!("\n{}", verdict(config, first, &stories)));
    for told in &stories {
        for want in &told.waits_for {
            output::line(format_args!("! {} of {} waits for {want}", told.process, told.group));
        }
    }
    Ok(true)
}

fn tell_of_the_dead(dead: &[(String, String)]) {
    for (name, why) in dead {
        eprintln!("node {name} does not answer ({why}), and what it knows is missing here");
    }
}

fn place_of(config: &Config, process: &str) -> Option<usize> {
    config.homes.keys().position(|other| other.to_string() == process)
}

fn unknown(message: &str, replicas: &[&ReplicaStory]) -> Mistake {
    let alive = replicas.iter().filter(|replica| replica.is_alive);
    let longest = alive.map(|replica| replica.remembers_s).fold(0.0, f64::max);
    Mistake(format!(
        "nobody remembers {message}. A replica remembers its last {} deliveries as long as it runs, and the slowest \
         for at least ten minutes. The oldest one here was {} ago",
        thousands(MESSAGES as u64),
        span(longest * 1e6)
    ))
}

/// A time as a reader wants it.
fn span(micros: f64) -> String {
    match micros {
        _ if micros < 1000.0 => format!("{micros:.0} us"),
        _ if micros < 1e6 => format!("{:.1} ms", micros / 1e3),
        _ if micros < 120e6 => format!("{:.1} s", micros / 1e6),
        _ => format!("{:.0} min", micros / 60e6),
    }
}

/// A line for each replica: when it heard of each step, in milliseconds.
fn table(config: &Config, stories: &[&Told]) {
    let groups = &stories[0].groups;
    let mut head = format!("{:<8}{:<8}{:<10}{:<12}", "group", "process", "node", "heard from");
    for group in groups {
        head += &format!("{:>12}{:>10}", format!("{group} says"), "holds");
    }
    head += &format!("{:>10}{:>11}", "clocks", "delivered");
    output::line(head);
    for told in stories {
        let home = config.homes.iter().find(|(process, _)| process.to_string() == told.process);
        let home = home.map_or("-", |(_, node)| node.as_str());
        let from = told.heard_from.as_deref().unwrap_or("-");
        let mut line = format!("{:<8}{:<8}{home:<10}{from:<12}", told.group, told.process);
        for group in groups {
            let steps = told.steps.iter().find(|steps| steps.group == *group);
            let proposed = steps.and_then(|steps| Some((steps.timestamp?, steps.proposed_us?)));
            let proposed = proposed.map_or("-".to_owned(), |(timestamp, us)| format!("{timestamp} {}", millis(us)));
            line += &format!("{proposed:>12}{:>10}", moment(steps.and_then(|steps| steps.majority_us)));
        }
        let clocks = told.primary_clock_us.into_iter().chain(told.majority_clocks_us).reduce(f64::max);
        line += &format!("{:>10}{:>11}", moment(clocks), moment(told.delivered_us));
        output::line(line);
    }
}

fn millis(micros: f64) -> String {
    format!("{:.3}", micros / 1e3)
}

fn moment(micros: Option<f64>) -> String {
    micros.map_or("-".to_owned(), millis)
}

/// What became of it, in a sentence or two.
fn verdict(config: &Config, first: &Told, stories: &[&Told]) -> String {
    let concerned = first.groups.iter().filter_map(|group| config.group(group));
    let concerned: usize = concerned.map(|group| config.cluster.members(group).len()).sum();
    let delivered: Vec<&&Told> = stories.iter().filter(|told| told.delivered_us.is_some()).collect();
    if delivered.is_empty() {
        let longest = stories.iter().map(|told| told.took_us).fold(0.0, f64::max);
        return format!("Delivered nowhere yet, {} after it was first heard of; so it waits:", span(longest));
    }
    let everywhere = match delivered.len() {
        count if count == concerned => format!("Delivered at all {count} replicas"),
        count => format!("Delivered at {count} of {concerned} replicas"),
    };
    let slowest = delivered.iter().max_by(|one, other| one.took_us.total_cmp(&other.took_us));
    let slowest = slowest.expect("somebody is the slowest");
    let Some(waited_for) = &slowest.waited_for else { return format!("{everywhere}, at once.") };
    let mut text = format!(
        "{everywhere}; the slowest, {} of {}, took {} and waited {} of that for {waited_for}",
        slowest.process,
        slowest.group,
        span(slowest.took_us),
        span(slowest.longest_us)
    );
    if let Some(why) = because(slowest) {
        text += &format!(", because {why}");
    }
    text + "."
}

/// Why what was waited for took so long, as far as that can be told.
fn because(told: &Told) -> Option<String> {
    if let Some(primary) = told.new_primaries.last() {
        return Some(format!("{primary} came to lead {} meanwhile", told.group));
    }
    let last = told.steps.iter().filter(|steps| steps.proposed_us.is_some());
    let last = last.max_by(|one, other| one.proposed_us.unwrap_or(0.0).total_cmp(&other.proposed_us.unwrap_or(0.0)))?;
    let waits = &told.waits;
    let (proposals, primary) = (waits.proposals_us, last.proposed_by.as_ref()?);
    if proposals < told.longest_us || told.steps.len() < 2 {
        return None;
    }
    Some(format!("its primary {primary} said so {} after it was first heard of here", span(last.proposed_us?)))
}

/// One message of a list, where it was slowest.
#[derive(Serialize)]
struct Line<'a> {
    message: &'a str,
    groups: &'a [String],
    process: &'a str,
    took_us: f64,
    waited_for: Option<&'a str>,
    longest_us: f64,
    /// What it still waits for.
    waits_for: &'a [String],
    /// How many replicas know of it.
    replicas: usize,
}

fn list(config: &Config, path: &str, nothing: &str, is_json: bool) -> Verdict {
    let answers: Answers<NodeList> = ask_all(config, path)?;
    tell_of_the_dead(&answers.dead);
    // Each message once, where it was slowest.
    let mut messages: BTreeMap<&str, (usize, &Told)> = BTreeMap::new();
    for told in answers.nodes.iter().flat_map(|node| &node.messages) {
        let entry = messages.entry(&told.message).or_insert((0, told));
        entry.0 += 1;
        if entry.1.took_us < told.took_us {
            entry.1 = told;
        }
    }
    let mut messages: Vec<(usize, &Told)> = messages.into_values().collect();
    messages.sort_by(|(_, one), (_, other)| other.took_us.total_cmp(&one.took_us));
    if is_json {
        for (replicas, told) in messages {
            let Told { message, groups, process, took_us, longest_us, waits_for, .. } = told;
            let (took_us, longest_us, waited_for) = (*took_us, *longest_us, told.waited_for.as_deref());
            output::json(&Line { message, groups, process, took_us, waited_for, longest_us, waits_for, replicas });
        }
        return Ok(true);
    }
    if messages.is_empty() {
        output::line(nothing);
        return Ok(true);
    }
    output::line(format_args!("{:>9}  {:<8}{:<26}{:<10}waits", "took", "at", "message", "to"));
    for (_, told) in messages.iter().take(MOST_LINES) {
        let Told { message, groups, process, .. } = told;
        let waited = match (told.waits_for.first(), &told.waited_for) {
            (Some(want), _) => format!("for {want}"),
            (None, Some(waited_for)) => format!("{} for {waited_for}", span(told.longest_us)),
            (None, None) => "for nothing".to_owned(),
        };
        output::line(format_args!(
            "{:>9}  {process:<8}{message:<26}{:<10}{waited}",
            span(told.took_us),
            groups.join(",")
        ));
    }
    let more = messages.len().saturating_sub(MOST_LINES);
    if more > 0 {
        output::line(format_args!("and {more} more: --json has them all"));
    }
    output::line("\n`skein explain MESSAGE` tells more of one.");
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serve::story::{GroupSteps, WaitsTold};

    fn told(process: &str, took_us: f64) -> Told {
        let steps = |group: &str, us: f64, by: &str| GroupSteps {
            group: group.to_owned(),
            timestamp: Some(4),
            proposed_us: Some(us),
            proposed_by: Some(by.to_owned()),
            ..GroupSteps::default()
        };
        Told {
            message: "s1.1".to_owned(),
            groups: vec!["g".to_owned(), "h".to_owned()],
            process: process.to_owned(),
            group: "g".to_owned(),
            steps: vec![steps("g", 0.0, "p0"), steps("h", took_us - 100.0, "p1")],
            delivered_us: Some(took_us),
            took_us,
            waits: WaitsTold { proposals_us: took_us - 100.0, majorities_us: 100.0, ..WaitsTold::default() },
            waited_for: Some("h to propose it".to_owned()),
            longest_us: took_us - 100.0,
            ..Told::default()
        }
    }

    fn config() -> Config {
        let text = "cluster = \"00000000000000ab\"\ndata = \"d\"\nnodes.a.address = \"127.0.0.1:7001\"\n\
                    [[groups]]\nname = \"g\"\nreplicas = [\"a\"]\n[[groups]]\nname = \"h\"\nreplicas = [\"a\"]\n";
        Config::parse(text).unwrap()
    }

    #[test]
    fn the_verdict_names_the_slowest_and_why() {
        let (fast, slow) = (told("p0", 900.0), told("p1", 3200.0));
        let text = verdict(&config(), &fast, &[&fast, &slow]);
        assert_eq!(
            text,
            "Delivered at all 2 replicas; the slowest, p1 of g, took 3.2 ms and waited 3.1 ms of that for h to \
             propose it, because its primary p1 said so 3.1 ms after it was first heard of here."
        );
        assert!(verdict(&config(), &fast, &[&fast]).starts_with("Delivered at 1 of 2 replicas; the slowest, p0"));
        let open = Told { delivered_us: None, waited_for: None, ..told("p0", 900.0) };
        assert!(verdict(&config(), &open, &[&open]).starts_with("Delivered nowhere yet, 900 us after"));
        let elected = Told { new_primaries: vec!["p7".to_owned()], ..told("p0", 900.0) };
        assert!(verdict(&config(), &elected, &[&elected]).ends_with("because p7 came to lead g meanwhile."));
    }

    #[test]
    fn times_are_readable() {
        assert_eq!([span(7.4), span(3100.0), span(2.5e6), span(600e6)], ["7 us", "3.1 ms", "2.5 s", "10 min"]);
    }

    #[test]
    fn what_nobody_remembers_is_told_with_how_long_they_do() {
        let replica = ReplicaStory { is_alive: true, remembered: 12, remembers_s: 90.0, ..Default::default() };
        let said = unknown("s1.1", &[&replica]).0;
        assert!(said.contains("nobody remembers s1.1") && said.contains("4,096 deliveries"), "{said}");
        assert!(said.contains("was 90.0 s ago"), "{said}");
    }
}
