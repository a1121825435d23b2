//! Rules of the edge that can be broken on purpose: see [`skein_machine::Planted`].

/// One broken rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mutant {
    /// A part of a delta counts for all that its sender has seen, whether or not it came along.
    MapBelievesAheadOfItself,
}

impl Mutant {
    /// Every bug, by the name that people type.
    pub const ALL: [(&'static str, Mutant); 1] = [("map-believes-ahead-of-itself", Mutant::MapBelievesAheadOfItself)];
}

/// The bug that a piece was built with, if any.
pub type Planted = skein_machine::Planted<Mutant>;
