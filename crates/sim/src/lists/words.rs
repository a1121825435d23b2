//! What clients ask of lists, and what they are told, as bytes.

use skein_machine::wire::{Reader, VERSION, WireError, Writer, from_bytes, to_bytes};
use skein_machine::{GroupId, GroupSet, Reply, Wire};

use crate::check::linear::{Element, Key};

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Deed {
    /// Append to each of these lists. No partition needs another for it.
    Append(Vec<(Key, Element)>),
    /// Look at these lists, at one place in the order.
    Look(Vec<Key>),
    /// Append to a list, noting how long others are, and tell what they hold.
    Gather {
        /// The others.
        from: Vec<Key>,
        /// The list, which is none of them.
        to: (Key, Element),
    },
}

/// What somebody saw: elements and the notes beside them, by list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct View(pub(super) Vec<(Key, Vec<(Element, u64)>)>);

/// What a reply says of each list.
pub fn saw(reply: &Reply) -> Vec<(Key, Vec<Element>)> {
    let elements = |list: Vec<(Element, u64)>| list.into_iter().map(|(element, _)| element).collect();
    View::from_reply(reply).0.into_iter().map(|(key, list)| (key, elements(list))).collect()
}

/// The partition that holds a list.
pub(super) fn home(key: Key, groups: usize) -> GroupId {
    GroupId::new((key % groups as u64) as usize).expect("a cluster has no more groups than that")
}

impl Deed {
    /// Every list that it concerns.
    pub(super) fn keys(&self) -> Vec<Key> {
        match self {
            Deed::Append(appends) => appends.iter().map(|(key, _)| *key).collect(),
            Deed::Look(keys) => keys.clone(),
            Deed::Gather { from, to } => from.iter().copied().chain([to.0]).collect(),
        }
    }

    /// The partitions that it concerns.
    pub(super) fn groups(&self, groups: usize) -> GroupSet {
        self.keys().into_iter().map(|key| home(key, groups)).collect()
    }

    /// What it appends.
    pub fn appends(&self) -> Vec<(Key, Element)> {
        match self {
            Deed::Append(appends) => appends.clone(),
            Deed::Look(_) => Vec::new(),
            Deed::Gather { to, .. } => vec![*to],
        }
    }
}

impl View {
    pub(super) fn from_reply(reply: &Reply) -> View {
        from_bytes(reply.0.clone(), VERSION).unwrap_or_else(|error| panic!("a list answered what is no view: {error}"))
    }

    pub(super) fn into_reply(self) -> Reply {
        Reply(to_bytes(&self))
    }

    /// How much there is in all of it: what is noted of it.
    pub(super) fn length(&self) -> u64 {
        self.0.iter().map(|(_, list)| list.len() as u64).sum()
    }
}

/// Words of either kind.
fn encode_words(writer: &mut Writer<'_>, words: impl ExactSizeIterator<Item = u64>) {
    writer.u32(words.len() as u32);
    words.for_each(|word| writer.u64(word));
}

fn decode_words(reader: &mut Reader) -> Result<Vec<u64>, WireError> {
    let count = reader.u32()?;
    (0..count).map(|_| reader.u64()).collect()
}

impl Wire for Deed {
    fn encode(&self, writer: &mut Writer<'_>) {
        match self {
            Deed::Append(appends) => {
                writer.u8(0);
                let words: Vec<u64> = appends.iter().flat_map(|(key, element)| [*key, *element]).collect();
                encode_words(writer, words.into_iter());
            }
            Deed::Look(keys) => {
                writer.u8(1);
                encode_words(writer, keys.iter().copied());
            }
            Deed::Gather { from, to } => {
                writer.u8(2);
                writer.words([to.0, to.1]);
                encode_words(writer, from.iter().copied());
            }
        }
    }

    fn decode(reader: &mut Reader) -> Result<Deed, WireError> {
        Ok(match reader.u8()? {
            0 => Deed::Append(decode_words(reader)?.chunks(2).map(|pair| (pair[0], pair[1])).collect()),
            1 => Deed::Look(decode_words(reader)?),
            2 => {
                let [key, element] = reader.words()?;
                Deed::Gather { to: (key, element), from: decode_words(reader)? }
            }
            tag => return Err(WireError::UnknownTag { what: "deed", tag }),
        })
    }
}

impl Wire for View {
    fn encode(&self, writer: &mut Writer<'_>) {
        writer.u32(self.0.len() as u32);
        for (key, list) in &self.0 {
            writer.u64(*key);
            let words: Vec<u64> = list.iter().flat_map(|(element, note)| [*element, *note]).collect();
            encode_words(writer, words.into_iter());
        }
    }

    fn decode(reader: &mut Reader) -> Result<View, WireError> {
        let count = reader.u32()?;
        let lists = (0..count).map(|_| {
            let key = reader.u64()?;
            Ok((key, decode_words(reader)?.chunks(2).map(|pair| (pair[0], pair[1])).collect()))
        });
        Ok(View(lists.collect::<Result<_, WireError>>()?))
    }
}
