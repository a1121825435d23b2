//! Rules of the edge that can be broken on purpose: see [`skein_machine::Planted`].

/// One broken rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mutant {
    /// A part of a delta counts for all that its sender has seen, whether or not it came along.
    MapBelievesAheadOfItself,
    /// A map forgets what everybody has although it lacks some of that itself.
    MapForgetsWhatItNeverSaw,
    /// A member takes each of its lives for the first.
    MembershipGoesBack,
    /// Who does not answer in time is left out when a cut is made, so a removal is forgotten that not everybody has.
    SpreadCountsWithoutTheSilent,
    /// The origins are divided once, among those who lived then.
    AgentDividesOnce,
}

impl Mutant {
    /// Every bug, by the name that people type.
    pub const ALL: [(&'static str, Mutant); 5] = [
        ("map-believes-ahead-of-itself", Mutant::MapBelievesAheadOfItself),
        ("map-forgets-what-it-never-saw", Mutant::MapForgetsWhatItNeverSaw),
        ("membership-goes-back", Mutant::MembershipGoesBack),
        ("spread-counts-without-the-silent", Mutant::SpreadCountsWithoutTheSilent),
        ("agent-divides-once", Mutant::AgentDividesOnce),
    ];
}

/// The bug that a piece was built with, if any.
pub type Planted = skein_machine::Planted<Mutant>;
