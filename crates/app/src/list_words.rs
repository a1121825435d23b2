//! Lists in a store, in the words of Redis: how one appends to them and looks at
//! them, and what the replies say. Shared by those who judge a store by its
//! lists, real nodes under torture and simulated ones. It says nothing to
//! anybody by itself.

use skein_sim::check::linear::Element;

use crate::redis::{Command, Reply};

/// A command of these words.
pub(crate) fn words(words: &[&str]) -> Command {
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// Append to the list of this name.
pub(crate) fn append(name: &str, element: Element) -> Command {
    words(&["RPUSH", name, &element.to_string()])
}

/// All of the list of this name.
pub(crate) fn look(name: &str) -> Command {
    words(&["LRANGE", name, "0", "-1"])
}

/// The list that a reply to [`look`] shows.
pub(crate) fn list(reply: &Reply) -> Option<Vec<Element>> {
    let Reply::Array(Some(items)) = reply else { return None };
    items.iter().map(element).collect()
}

/// One element of a list.
pub(crate) fn element(reply: &Reply) -> Option<Element> {
    match reply {
        Reply::Bulk(Some(word)) => std::str::from_utf8(word).ok()?.parse().ok(),
        _ => None,
    }
}

/// How long a list is with what was appended, as a reply to [`append`] says.
pub(crate) fn length(reply: &Reply) -> Option<u64> {
    match reply {
        Reply::Integer(length) if *length > 0 => Some(*length as u64),
        _ => None,
    }
}
