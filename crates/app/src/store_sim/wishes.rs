//! What clients of the store think of: by chance, but first what they have begun.

use skein_machine::{GroupId, Random};
use skein_sim::check::linear::{Element, Key};
use skein_sim::clients::{Asker, Habits};

use super::deed::Deed;
use super::names::{Kind, WINDOW};
use super::step::{Bound, Next, Step};
use super::tongue::StoreTongue;
use super::walk::Walk;

/// After so many appends for each key the next generation has its turn.
const APPENDS: u64 = 10;

/// How often somebody comes late to lists that others have left.
const LATE: f64 = 0.03;

/// How often a key is wanted that the asker's own replica has, unless its habits say.
const LOCAL: f64 = 0.3;

/// Deadlines lie so many milliseconds ahead.
const BURNS_MS: (u64, u64) = (20, 3_000);

impl StoreTongue {
    /// The lists that are in use.
    pub(super) fn generation(&self) -> u64 {
        self.appended / (APPENDS * self.names.width())
    }

    fn element(&mut self) -> Element {
        self.next_element += 1;
        self.next_element
    }

    pub(super) fn think_of(&mut self, asker: Asker, habits: &Habits, random: &mut Random) -> Vec<Deed> {
        if let Some(next) = self.next.entry(asker.number).or_default().pop_front() {
            return vec![self.go_on(next, asker, habits, random)];
        }
        let keys = self.some_keys(3, asker, habits, random);
        let lot = random.below(100);
        // Who names what it asks for changes something: there is nothing in looking twice.
        let deed = match lot {
            0..16 => self.append(keys[0]),
            16..28 if !asker.is_named => Deed::one(Step::See(keys[0])),
            28..34 if !asker.is_named => self.strings(random),
            16..52 => self.transaction(&keys, random),
            52..62 => {
                let count = random.between(1, 2) as usize;
                Deed::one(Step::Versions(keys[..count].to_vec()))
            }
            62..67 => Deed::one(Step::Keep(self.element())),
            67..74 => self.set_new(random),
            74..79 => Deed::one(Step::Copy(keys[0], self.element())),
            79..84 if !asker.is_named => self.walk(random.chance(0.3).then_some(asker.group), random),
            84..90 if !asker.is_named => self.lamp(random),
            90.. if !asker.is_named && habits.most_at_once > 1 => {
                return self.pipeline(&keys, asker, habits.most_at_once, random);
            }
            _ => self.transaction(&keys, random),
        };
        vec![deed]
    }

    /// Some things in one breath. What a client says in a row happens in a row.
    fn pipeline(&mut self, keys: &[Key], asker: Asker, most: u64, random: &mut Random) -> Vec<Deed> {
        if random.chance(0.3) {
            // Two walks begin in one message, and not everywhere both.
            let mut walks = vec![self.walk(Some(asker.group), random), self.walk(None, random)];
            random.shuffle(&mut walks);
            return walks;
        }
        let mut deeds = vec![self.append(keys[0]), Deed::one(Step::See(keys[0]))];
        for _ in 0..random.between(1, most) {
            match random.below(4) {
                0 => deeds.push(self.append(keys[1])),
                1 => deeds.push(Deed::one(Step::See(keys[2]))),
                2 => deeds.push(self.transaction(keys, random)),
                _ => deeds.extend(self.through_a_box(random).map(Deed::one)),
            }
        }
        deeds
    }

    /// What somebody has begun.
    fn go_on(&mut self, next: Next, asker: Asker, habits: &Habits, random: &mut Random) -> Deed {
        match next {
            Next::Look(versions) => {
                let see = versions.iter().map(|(key, _)| Step::See(*key)).collect();
                Deed { binds: versions, ..Deed::transaction(see) }
            }
            Next::Change(bound) => self.change(bound, asker, habits, random),
            Next::Move(element) if random.chance(0.4) => {
                let number = self.firsts + random.below(WINDOW);
                self.firsts += 1;
                Deed::one(Step::Name(element, self.names.first(number, Kind::List)))
            }
            Next::Move(element) => Deed::one(Step::Take(element, self.some_list(random))),
            Next::Fetch { copy, of, operation } => Deed::one(Step::Fetch { copy, of, operation }),
            Next::Page(walk) => Deed::one(Step::Page(walk)),
            Next::Glance(lamp) => Deed::one(Step::Glance(lamp)),
        }
    }

    /// Appends if nobody has changed what was seen, to some of that or to something else.
    fn change(&mut self, bound: Vec<Bound>, asker: Asker, habits: &Habits, random: &mut Random) -> Deed {
        let element = self.element();
        let strings: Vec<(Key, Vec<Element>)> = bound
            .iter()
            .filter(|bound| self.names.kind_of(bound.key) == Kind::String)
            .map(|bound| (bound.key, bound.list.iter().copied().chain([element]).collect()))
            .collect();
        let step = match random.below(4) {
            0 | 1 if !strings.is_empty() => {
                self.appended += strings.len() as u64;
                vec![Step::Write(strings)]
            }
            2 => self.through_a_box(random).to_vec(),
            _ => {
                let other = self.some_keys(1, asker, habits, random)[0];
                let mut keys = vec![bound[0].key];
                if random.chance(0.5) && other != keys[0] {
                    keys.push(other);
                }
                self.appended += keys.len() as u64;
                keys.into_iter().map(|key| Step::Append(key, element)).collect()
            }
        };
        Deed { bound, ..Deed::transaction(step) }
    }

    fn append(&mut self, key: Key) -> Deed {
        self.appended += 1;
        Deed::one(Step::Append(key, self.element()))
    }

    /// Sees some lists, or copies them, and appends one element to some of them and to others.
    fn transaction(&mut self, keys: &[Key], random: &mut Random) -> Deed {
        let mut steps: Vec<Step> = keys[..random.between(0, 2) as usize].iter().map(|key| Step::See(*key)).collect();
        if random.chance(0.2) {
            steps.push(Step::Copy(keys[0], self.element()));
        }
        if random.chance(0.2) {
            steps.extend(self.through_a_box(random));
        }
        let element = self.element();
        let appends = match random.below(4) {
            0 => vec![keys[0], keys[2]],
            1 => vec![keys[1], keys[2], keys[0]],
            2 if !steps.is_empty() => vec![],
            _ => vec![keys[2]],
        };
        self.appended += appends.len() as u64;
        steps.extend(appends.into_iter().map(|key| Step::Append(key, element)));
        Deed::transaction(steps)
    }

    /// An element goes to a list by way of another partition.
    fn through_a_box(&mut self, random: &mut Random) -> [Step; 2] {
        let element = self.element();
        [Step::Fill(element), Step::Take(element, self.some_list(random))]
    }

    /// Strings in several places, by one command.
    fn strings(&mut self, random: &mut Random) -> Deed {
        if random.chance(0.3) {
            let keys = (self.firsts..self.firsts + WINDOW).map(|number| self.names.first(number, Kind::String));
            return Deed::one(Step::SeeStrings(keys.collect()));
        }
        let (keys, ..) = self.names.strings_of(self.generation());
        Deed::one(Step::SeeStrings(keys))
    }

    /// Several strings at once, if there is none of them.
    fn set_new(&mut self, random: &mut Random) -> Deed {
        let mut keys: Vec<Key> =
            (self.firsts..self.firsts + WINDOW).map(|number| self.names.first(number, Kind::String)).collect();
        random.shuffle(&mut keys);
        keys.truncate(random.between(2, 3) as usize);
        self.firsts += u64::from(random.chance(0.7));
        Deed::one(Step::SetNew(keys, self.element()))
    }

    fn walk(&mut self, at: Option<GroupId>, random: &mut Random) -> Deed {
        let (keys, start, end) = match at {
            Some(group) => self.names.strings_at(group, self.generation()),
            None => self.names.strings_of(self.generation()),
        };
        Deed::one(Step::Page(Walk::new(keys, start, end, random.between(1, 3), &self.names)))
    }

    fn lamp(&mut self, random: &mut Random) -> Deed {
        if self.lamps.is_empty() || random.chance(0.15) {
            return Deed::one(Step::Light(self.element(), random.between(BURNS_MS.0, BURNS_MS.1)));
        }
        let lamp = self.lamps[random.below(self.lamps.len() as u64) as usize];
        if random.chance(0.15) { Deed::one(Step::Share(lamp, self.element())) } else { Deed::one(Step::Glance(lamp)) }
    }

    /// Different keys of one generation.
    fn some_keys(&mut self, count: usize, asker: Asker, habits: &Habits, random: &mut Random) -> Vec<Key> {
        let mut generation = self.generation();
        // What is late may come to a list that others have left.
        if generation > 0 && random.chance(LATE) {
            generation -= 1;
        }
        let mut keys: Vec<Key> = self.names.generation(generation).collect();
        random.shuffle(&mut keys);
        if random.chance(habits.local.unwrap_or(LOCAL)) {
            keys.sort_by_key(|key| self.names.group_of(*key) != asker.group);
        }
        keys.truncate(count);
        keys
    }

    fn some_list(&mut self, random: &mut Random) -> Key {
        let all = self.names.generation(self.generation());
        let lists: Vec<Key> = all.filter(|key| self.names.kind_of(*key) == Kind::List).collect();
        self.appended += 1;
        *random.pick(&lists)
    }
}
