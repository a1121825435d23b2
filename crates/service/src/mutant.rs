//! Rules of a replica and of the store that can be broken on purpose: see [`skein_machine::Planted`].

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
    /// Where clocks are relied on, a question sees what its own group knew, and not what is over elsewhere.
    ReplicaReadsInThePast,
    /// A partition looks only after the watched keys that it owns: what others say of theirs counts for nothing.
    KvWatchesAlone,
    /// Of MSETNX each partition judges by its own keys.
    KvSetsAlone,
    /// What came from another partition, or was changed together with it, passes for unchanged.
    KvMovesUnnoticed,
    /// A question sees keys that the last command still saw, whatever time it is by now.
    KvReadsInThePast,
    /// Cursors are left out of snapshots.
    KvForgetsCursors,
}

impl Mutant {
    /// Every bug, by the name that people type.
    pub const ALL: [(&'static str, Mutant); 15] = [
        ("replica-settles-early", Mutant::ReplicaSettlesEarly),
        ("replica-reads-without-asking", Mutant::ReplicaReadsWithoutAsking),
        ("replica-shares-too-early", Mutant::ReplicaSharesTooEarly),
        ("replica-forgets-names", Mutant::ReplicaForgetsNames),
        ("replica-forgets-shares", Mutant::ReplicaForgetsShares),
        ("replica-trusts-its-neighbours", Mutant::ReplicaTrustsItsNeighbours),
        ("replica-forgets-what-it-told", Mutant::ReplicaForgetsWhatItTold),
        ("replica-recalls-too-little", Mutant::ReplicaRecallsTooLittle),
        ("replica-reads-the-unsettled", Mutant::ReplicaReadsTheUnsettled),
        ("replica-reads-in-the-past", Mutant::ReplicaReadsInThePast),
        ("kv-watches-alone", Mutant::KvWatchesAlone),
        ("kv-sets-alone", Mutant::KvSetsAlone),
        ("kv-moves-unnoticed", Mutant::KvMovesUnnoticed),
        ("kv-reads-in-the-past", Mutant::KvReadsInThePast),
        ("kv-forgets-cursors", Mutant::KvForgetsCursors),
    ];
}

/// The bug that a replica or a store was built with, if any.
pub type Planted = skein_machine::Planted<Mutant>;
