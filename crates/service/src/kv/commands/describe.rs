//! COMMAND: the table of commands, told to clients as Redis tells it. What came
//! to a command with which version is not told.

use alloc::vec::Vec;

use crate::kv::answer::Answer;
use crate::kv::execute::Context;
use crate::kv::failure::Failure;
use crate::kv::glob;
use crate::kv::table::{self, Command, KeySpec, Place, arguments, categories, flags, synopsis};

type Outcome = Result<(), Failure>;

pub(crate) fn command(context: &mut Context<'_>) -> Outcome {
    let all: Vec<&Command> = table::all().collect();
    context.answer.array(all.len());
    all.into_iter().for_each(|command| write_info(context.answer, command));
    Ok(())
}

pub(crate) fn count(context: &mut Context<'_>) -> Outcome {
    context.answer.count(table::all().count());
    Ok(())
}

pub(crate) fn info(context: &mut Context<'_>) -> Outcome {
    let names = &context.args[2..];
    if names.is_empty() {
        return command(context);
    }
    context.answer.array(names.len());
    for name in names {
        match table::find_full(name) {
            Some(command) => write_info(context.answer, command),
            None => context.answer.null(),
        }
    }
    Ok(())
}

pub(crate) fn docs(context: &mut Context<'_>) -> Outcome {
    let names = &context.args[2..];
    let found: Vec<&Command> = if names.is_empty() {
        table::all().collect()
    } else {
        names.iter().filter_map(|name| table::find_full(name)).collect()
    };
    context.answer.map(found.len());
    found.into_iter().for_each(|command| write_docs(context.answer, command));
    Ok(())
}

pub(crate) fn list(context: &mut Context<'_>) -> Outcome {
    let args = context.args;
    let by = |word: &str| args.len() == 5 && context.is(2, "FILTERBY") && context.is(3, word);
    let found: Vec<&str> = if args.len() == 2 {
        table::all().map(|command| command.name).collect()
    } else if by("PATTERN") {
        let wanted = |command: &&Command| glob::matches(&args[4].to_ascii_lowercase(), command.name.as_bytes());
        table::all().filter(wanted).map(|command| command.name).collect()
    } else if by("ACLCAT") {
        let bit = categories::WORDS.iter().find(|(_, word)| args[4].eq_ignore_ascii_case(word.as_bytes()));
        let bit = bit.map_or(0, |(bit, _)| *bit);
        table::all().filter(|command| command.all_categories() & bit != 0).map(|command| command.name).collect()
    } else if by("MODULE") {
        Vec::new()
    } else {
        return Err(Failure::SYNTAX);
    };
    context.answer.array(found.len());
    found.into_iter().for_each(|name| context.answer.bulk(name.as_bytes()));
    Ok(())
}

pub(crate) fn getkeys(context: &mut Context<'_>) -> Outcome {
    let keys = table::keys_of(&context.args[2..])?;
    context.answer.array(keys.len());
    keys.iter().for_each(|key| context.answer.bulk(key));
    Ok(())
}

pub(crate) fn getkeysandflags(context: &mut Context<'_>) -> Outcome {
    let args = &context.args[2..];
    let (command, places) = table::key_places_of(args)?;
    context.answer.array(places.len());
    for place in places {
        let spec = command.specs.iter().find(|spec| spec.covers(args, place));
        context.answer.array(2);
        context.answer.bulk(args[place]);
        write_words(context.answer, spec.map_or("", |spec| spec.flags));
    }
    Ok(())
}

pub(crate) fn help(context: &mut Context<'_>) -> Outcome {
    let lines = [
        "COMMAND <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
        "(no subcommand)",
        "    Return details about all Redis commands.",
        "COUNT",
        "    Return the total number of commands in this Redis server.",
        "LIST",
        "    Return a list of all commands in this Redis server.",
        "INFO [<command-name> ...]",
        "    Return details about multiple Redis commands.",
        "    If no command names are given, documentation details for all",
        "    commands are returned.",
        "DOCS [<command-name> ...]",
        "    Return documentation details about multiple Redis commands.",
        "    If no command names are given, documentation details for all",
        "    commands are returned.",
        "GETKEYS <full-command>",
        "    Return the keys from a full Redis command.",
        "GETKEYSANDFLAGS <full-command>",
        "    Return the keys and the access flags from a full Redis command.",
        "HELP",
        "    Prints this help.",
    ];
    context.answer.array(lines.len());
    lines.into_iter().for_each(|line| context.answer.simple(line));
    Ok(())
}

fn write_words(answer: &mut Answer, words: &str) {
    let words: Vec<&str> = words.split_ascii_whitespace().collect();
    answer.set(words.len());
    words.into_iter().for_each(|word| answer.simple(word));
}

fn write_bits(answer: &mut Answer, bits: u32, words: &[(u32, &str)], before: &str) {
    let set: Vec<&str> = words.iter().filter(|(bit, _)| bits & bit != 0).map(|(_, word)| *word).collect();
    answer.set(set.len());
    set.into_iter().for_each(|word| answer.simple(&[before, word].concat()));
}

fn write_info(answer: &mut Answer, command: &Command) {
    let (first, last, step) = command.first_last_step;
    answer.array(10);
    answer.bulk(command.name.as_bytes());
    answer.integer(command.arity.into());
    write_bits(answer, command.flags, flags::WORDS, "");
    [first, last, step].into_iter().for_each(|place| answer.integer(place.into()));
    write_bits(answer, command.all_categories(), categories::WORDS, "@");
    answer.set(command.hints.len());
    command.hints.iter().for_each(|hint| answer.bulk(hint.as_bytes()));
    answer.set(command.specs.len());
    command.specs.iter().for_each(|spec| write_spec(answer, spec));
    if command.subcommands.is_empty() {
        answer.set(0);
    } else {
        answer.array(command.subcommands.len());
    }
    command.subcommands.iter().for_each(|command| write_info(answer, command));
}

fn write_spec(answer: &mut Answer, spec: &KeySpec) {
    answer.map(3);
    answer.bulk(b"flags");
    write_words(answer, spec.flags);
    let (begin, find, numbers): (Option<usize>, &str, &[(&str, i64)]) = match spec.place {
        Place::Range { index, last, step } => {
            (Some(index), "range", &[("lastkey", i64::from(last)), ("keystep", step as i64), ("limit", 0)])
        }
        Place::Counted(index) => (Some(index), "keynum", &[("keynumidx", 0), ("firstkey", 1), ("keystep", 1)]),
        Place::Unknown => (None, "unknown", &[]),
    };
    answer.bulk(b"begin_search");
    answer.map(2);
    answer.bulk(b"type");
    answer.bulk(if begin.is_some() { b"index" } else { b"unknown" });
    answer.bulk(b"spec");
    answer.map(usize::from(begin.is_some()));
    if let Some(index) = begin {
        answer.bulk(b"index");
        answer.count(index);
    }
    answer.bulk(b"find_keys");
    answer.map(2);
    answer.bulk(b"type");
    answer.bulk(find.as_bytes());
    answer.bulk(b"spec");
    answer.map(numbers.len());
    for (name, number) in numbers {
        answer.bulk(name.as_bytes());
        answer.integer(*number);
    }
}

fn write_docs(answer: &mut Answer, command: &Command) {
    answer.bulk(command.name.as_bytes());
    let words = [
        ("summary", command.summary),
        ("since", command.since),
        ("group", command.group),
        ("complexity", command.complexity),
    ];
    let words: Vec<(&str, &str)> = words.into_iter().filter(|(_, word)| !word.is_empty()).collect();
    let contains = !command.subcommands.is_empty();
    let synopsis = synopsis(command.name);
    answer.map(words.len() + usize::from(!synopsis.is_empty()) + usize::from(contains));
    for (name, word) in words {
        answer.bulk(name.as_bytes());
        answer.bulk(word.as_bytes());
    }
    if !synopsis.is_empty() {
        write_arguments(answer, synopsis);
    }
    if contains {
        answer.bulk(b"subcommands");
        answer.map(command.subcommands.len());
        command.subcommands.iter().for_each(|command| write_docs(answer, command));
    }
}

fn write_arguments(answer: &mut Answer, synopsis: &str) {
    let arguments = arguments(synopsis);
    answer.bulk(b"arguments");
    answer.array(arguments.clone().count());
    for argument in arguments {
        let words = [("token", argument.token), ("since", argument.since), ("deprecated_since", argument.until)];
        let words = words.into_iter().filter_map(|(name, word)| Some((name, word?)));
        let flags = [
            (argument.optional, "optional"),
            (argument.multiple, "multiple"),
            (argument.multiple_token, "multiple_token"),
        ];
        let flags = flags.into_iter().filter(|(set, _)| *set).map(|(_, word)| word);
        let others = [argument.spec.is_some(), flags.clone().count() > 0, !argument.inner.is_empty()];
        answer.map(2 + words.clone().count() + others.into_iter().filter(|there| *there).count());
        for (name, word) in [("name", argument.name), ("type", argument.kind)] {
            answer.bulk(name.as_bytes());
            answer.bulk(word.as_bytes());
        }
        if let Some(spec) = argument.spec {
            answer.bulk(b"key_spec_index");
            answer.integer(spec.into());
        }
        for (name, word) in words {
            answer.bulk(name.as_bytes());
            answer.bulk(word.as_bytes());
        }
        if flags.clone().count() > 0 {
            answer.bulk(b"flags");
            answer.set(flags.clone().count());
            flags.for_each(|word| answer.simple(word));
        }
        if !argument.inner.is_empty() {
            write_arguments(answer, argument.inner);
        }
    }
}
