//! Where a file stands in the house: which crate, and which part of it.
//!
//! It reads paths only; what a file says is the rules' business.

/// The crates that may not touch the world, by folder.
pub(super) const PURE: &[&str] = &["machine", "order", "service", "edge"];

/// A file of a crate, as `SHELF/CRATE/PART/REST`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Place<'a> {
    /// On which of the shelves the crate lies: a folder of the same name on the other is another crate.
    pub(super) shelf: Shelf,
    pub(super) crate_folder: &'a str,
    /// `src`, `tests`, `benches`, `examples`.
    pub(super) part: &'a str,
    pub(super) rest: &'a str,
}

/// The two folders in which crates lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shelf {
    /// The house.
    Crates,
    /// Worked applications, which use the house as anybody does.
    Examples,
}

/// Nothing for files that belong to no crate, or lie beside a crate's folders.
pub(super) fn place(path: &str) -> Option<Place<'_>> {
    let shelves = [("crates/", Shelf::Crates), ("examples/", Shelf::Examples)];
    let (rest, shelf) = shelves.into_iter().find_map(|(folder, shelf)| Some((path.strip_prefix(folder)?, shelf)))?;
    let mut pieces = rest.splitn(3, '/');
    Some(Place { shelf, crate_folder: pieces.next()?, part: pieces.next()?, rest: pieces.next()? })
}

/// Whether the file is the shipped source of one of these crates of the house.
pub(super) fn is_source_of(path: &str, crates: &[&str]) -> bool {
    place(path).is_some_and(|place| {
        place.shelf == Shelf::Crates && place.part == "src" && crates.contains(&place.crate_folder)
    })
}

impl Place<'_> {
    /// Whether the compiler starts reading a library or a binary here.
    pub(super) fn is_root(&self) -> bool {
        let of_binary = |name: &str| !name.contains('/') || name.ends_with("/main.rs");
        self.part == "src"
            && (self.rest == "lib.rs"
                || self.rest == "main.rs"
                || self.rest.strip_prefix("bin/").is_some_and(of_binary))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_names_its_place() {
        let expected = Place { shelf: Shelf::Crates, crate_folder: "order", part: "src", rest: "skeen/wire.rs" };
        assert_eq!(place("crates/order/src/skeen/wire.rs"), Some(expected));
        let expected = Place { shelf: Shelf::Examples, crate_folder: "order", part: "tests", rest: "a.rs" };
        assert_eq!(place("examples/order/tests/a.rs"), Some(expected));
        assert_eq!(place("crates/order/build.rs"), None);
        assert_eq!(place("docs/a.md"), None);
    }

    #[test]
    fn an_example_is_no_crate_of_the_house() {
        assert!(is_source_of("crates/order/src/a.rs", &["order"]));
        assert!(!is_source_of("examples/order/src/a.rs", &["order"]));
    }

    #[test]
    fn roots_are_where_the_compiler_starts() {
        let is_root = |path| place(path).unwrap().is_root();
        assert!(is_root("crates/a/src/lib.rs"));
        assert!(is_root("crates/a/src/bin/b.rs"));
        assert!(is_root("crates/a/src/bin/b/main.rs"));
        assert!(!is_root("crates/a/src/bin/b/part.rs"));
        assert!(!is_root("crates/a/src/b/lib.rs"));
        assert!(!is_root("crates/a/tests/main.rs"));
    }
}
