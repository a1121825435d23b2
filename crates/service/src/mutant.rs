//! Bugs to plant. A checker that has never failed proves nothing, so a replica
//! can be built with one of its rules broken, and the simulator must catch it.
//! Only the feature `mutants` can plant one; in every other build
//! [`Planted::is`] is `false` and the compiler removes the branch.

/// One broken rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mutant {
    /// An answer leaves while the last messages before it are not settled.
    ReplicaSettlesEarly,
    /// A question is answered from what is here, as if nobody could know more.
    ReplicaReadsWithoutAsking,
    /// What a partition tells the others is taken when the message comes, not when its turn comes.
    ReplicaSharesTooEarly,
    /// What was applied under a name is not remembered.
    ReplicaForgetsNames,
    /// What other partitions told is forgotten with the process.
    ReplicaForgetsShares,
    /// What another group says of third groups counts for nothing: only with whom it shares messages itself.
    ReplicaTrustsItsNeighbours,
    /// What was told is forgotten as soon as one replica of each other partition holds it.
    ReplicaForgetsWhatItTold,
    /// A question is answered from what is here, whatever its asker has seen elsewhere.
    ReplicaRecallsTooLittle,
    /// Answers to questions leave although what they show is not settled.
    ReplicaReadsTheUnsettled,
}

impl Mutant {
    /// Every bug, by the name that people type.
    pub const ALL: [(&'static str, Mutant); 9] = [
        ("replica-settles-early", Mutant::ReplicaSettlesEarly),
        ("replica-reads-without-asking", Mutant::ReplicaReadsWithoutAsking),
        ("replica-shares-too-early", Mutant::ReplicaSharesTooEarly),
        ("replica-forgets-names", Mutant::ReplicaForgetsNames),
        ("replica-forgets-shares", Mutant::ReplicaForgetsShares),
        ("replica-trusts-its-neighbours", Mutant::ReplicaTrustsItsNeighbours),
        ("replica-forgets-what-it-told", Mutant::ReplicaForgetsWhatItTold),
        ("replica-recalls-too-little", Mutant::ReplicaRecallsTooLittle),
        ("replica-reads-the-unsettled", Mutant::ReplicaReadsTheUnsettled),
    ];
}

/// The bug that a replica was built with, if any.
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
