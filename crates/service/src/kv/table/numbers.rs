//! [`number_of`]: a small number for each command, subcommands included, for
//! whoever counts them in an array. It follows from the table and may be
//! another in another build: it never travels and is never kept.

use super::{Command, FAMILIES, SLOTS, slot};

/// How many commands there are, subcommands included. No command has this number.
pub const COUNT: usize = count();

/// So that a name is found soon, half of the slots are free.
const _: () = assert!(COUNT <= SLOTS / 2);

static NAMES: [&str; COUNT] = names();

/// Numbers by the hash of the name, made while this is compiled.
static NUMBERS: [u16; SLOTS] = numbers();

const fn count() -> usize {
    let (mut count, mut family) = (0, 0);
    while family < FAMILIES.len() {
        let mut row = 0;
        while row < FAMILIES[family].len() {
            count += 1 + FAMILIES[family][row].subcommands.len();
            row += 1;
        }
        family += 1;
    }
    count
}

const fn names() -> [&'static str; COUNT] {
    let mut names = [""; COUNT];
    let (mut next, mut family) = (0, 0);
    while family < FAMILIES.len() {
        let mut row = 0;
        while row < FAMILIES[family].len() {
            let command = &FAMILIES[family][row];
            names[next] = command.name;
            next += 1;
            let mut nth = 0;
            while nth < command.subcommands.len() {
                names[next] = command.subcommands[nth].name;
                next += 1;
                nth += 1;
            }
            row += 1;
        }
        family += 1;
    }
    names
}

const fn numbers() -> [u16; SLOTS] {
    let (mut numbers, names) = ([u16::MAX; SLOTS], names());
    let mut number = 0;
    while number < COUNT {
        let mut slot = slot(names[number].as_bytes());
        while numbers[slot] != u16::MAX {
            slot = (slot + 1) % SLOTS;
        }
        numbers[slot] = number as u16;
        number += 1;
    }
    numbers
}

/// The number of a command of the table, below [`COUNT`].
pub fn number_of(command: &Command) -> usize {
    let mut slot = slot(command.name.as_bytes());
    loop {
        match NAMES.get(usize::from(NUMBERS[slot])) {
            Some(name) if *name == command.name => return usize::from(NUMBERS[slot]),
            Some(_) => slot = (slot + 1) % SLOTS,
            None => return COUNT, // of no command that is in the table
        }
    }
}

/// The name of the command with a number, if there is one.
pub fn name_of(number: usize) -> Option<&'static str> {
    NAMES.get(number).copied()
}

#[cfg(test)]
mod tests {
    use super::super::all;
    use super::*;
    use alloc::collections::BTreeSet;

    #[test]
    fn every_command_has_a_number_of_its_own() {
        let mut numbers = BTreeSet::new();
        for command in all().flat_map(|command| core::iter::once(command).chain(command.subcommands)) {
            let number = number_of(command);
            assert_eq!(name_of(number), Some(command.name));
            assert!(numbers.insert(number), "{} has the number of another", command.name);
        }
        assert_eq!((numbers.len(), name_of(COUNT)), (COUNT, None));
    }
}
