//! Bugs to plant. A checker that has never failed proves nothing, so each
//! protocol can be built with one of its rules broken, and the simulator must
//! catch it. Only the feature `mutants` can plant one; in every other build
//! [`Planted::is`] is `false` and the compiler removes the branch.

/// One broken rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mutant {
    /// Skeen delivers a message again whenever another one becomes final.
    SkeenDeliversTwice,
    /// Skeen now and then takes a decided message for one that it has delivered.
    SkeenLosesADecision,
    /// Skeen delivers what is decided without waiting for what may come before.
    SkeenSkipsTheWait,
    /// Skeen breaks ties by its own process number, so by nothing that others share.
    SkeenBreaksTiesAlone,
    /// Skeen does not move its clock past the final timestamp.
    SkeenForgetsToRaise,
    /// Skeen sends START to everybody, "so that all know".
    SkeenTellsEverybody,
    /// Skeen ignores the floor that a session brings along.
    SkeenIgnoresTheFloor,
    /// Skeen sends START to one destination, which passes it on.
    SkeenRelaysTheStart,
    /// Skeen drops a proposal that arrives before the message itself.
    SkeenDropsEarlyProposals,
}

/// The bug that a machine was built with, if any.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Planted {
    #[cfg(feature = "mutants")]
    mutant: Option<Mutant>,
}

impl Planted {
    /// No bug, as in every build that ships.
    pub const NONE: Planted = Planted {
        #[cfg(feature = "mutants")]
        mutant: None,
    };

    /// This bug.
    #[cfg(feature = "mutants")]
    pub const fn bug(mutant: Mutant) -> Planted {
        Planted { mutant: Some(mutant) }
    }

    /// Whether this rule is broken.
    #[cfg(feature = "mutants")]
    pub fn is(self, mutant: Mutant) -> bool {
        self.mutant == Some(mutant)
    }

    /// Whether this rule is broken: no build without the feature breaks one.
    #[cfg(not(feature = "mutants"))]
    pub const fn is(self, _: Mutant) -> bool {
        false
    }
}
