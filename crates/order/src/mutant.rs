//! Rules of the protocols that can be broken on purpose: see [`skein_machine::Planted`].

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
    /// Skeen tells its clock to those who want to read, whatever is on the way.
    SkeenReadsTooSoon,
    /// Skeen drops a proposal that arrives before the message itself.
    SkeenDropsEarlyProposals,
    /// A follower acknowledges an entry before it is on its disk.
    PrimCastAcknowledgesEarly,
    /// A replica counts itself among those that hold an entry before it is on its own disk.
    PrimCastCountsItselfEarly,
    /// A new primary takes the second newest of the logs that it was promised.
    PrimCastTakesTheSecondLog,
    /// The quorum clock is that of a single replica.
    PrimCastCountsAMinority,
    /// A message is delivered although the primary may still propose before it.
    PrimCastIgnoresTheLeaderClock,
    /// A message is delivered although one with a lower local timestamp is on the way.
    PrimCastIgnoresPendingStamps,
    /// After a restart the clock stands where the log ends, below its ceiling.
    PrimCastRestartsBelowItsCeiling,
    /// The clock of an epoch's leader counts after a restart, although it leads no more.
    PrimCastTrustsARestartedLeader,
    /// Now and then the window of a session is forgotten.
    PrimCastForgetsWindows,
    /// The primary shows its headers to groups that they do not concern.
    PrimCastTellsBystanders,
    /// The primary does not look at which message of its session comes before.
    PrimCastForgetsWhatItFollows,
    /// What is kept from those who can do without it for a moment is never said.
    PrimCastForgetsWhatCanWait,
    /// After it has promised a new epoch, a replica still holds what the old primary appends.
    PrimCastFollowsTwoPrimaries,
    /// A restarted process goes on as the primary that it was.
    PrimCastResumesAsPrimary,
    /// A new primary does not begin above the clocks that it was promised.
    PrimCastBeginsAtItsOwnClock,
    /// A new epoch is adopted behind the end of the own log, whatever stands there.
    PrimCastAdoptsWithoutCutting,
    /// Headers count with acknowledgements of any epoch.
    PrimCastForgetsTheHeadersEpoch,
    /// What the deposed primary of another group shows is believed, like what any primary shows.
    PrimCastHearsDeposedPrimaries,
    /// Clocks count even when they come with a promise to a later epoch.
    PrimCastCountsLaterClocks,
    /// One group refuses a late message that another has proposed.
    PrimCastRefusesAlone,
    /// Decisions are forgotten before the other destinations have learned them.
    PrimCastCutsTooEarly,
    /// A message is delivered early although one that conflicts with it can still come before.
    PrimCastOvertakesConflicts,
    /// A checkpoint does not say what was delivered before its turn.
    PrimCastForgetsEarlyDeliveries,
    /// A replica that lost its disk promises and acknowledges like any other.
    PrimCastVotesWithoutMemory,
    /// Whoever wants to read asks nobody: the own clock is enough.
    PrimCastReadsAlone,
    /// Whoever wants to read is content with one reply less than it takes.
    PrimCastReadsFromAMinority,
    /// Replies beyond those that it takes lower the point to read at by one clock more than they may.
    PrimCastLowersReadPointsTooFar,
    /// A reply to an earlier question counts for the next one.
    PrimCastReadsOnOldReplies,
    /// A replica that lost its disk tells its clock to those who want to read.
    PrimCastRepliesWithoutMemory,
    /// A point to read at is told before everything up to it is delivered.
    PrimCastReadsTooSoon,
    /// An answer leaves when its timestamp is past by the error of one clock instead of two.
    PrimCastWaitsHalfAsLong,
    /// A certificate does not say what of the log is still to come.
    PrimCastForgetsWhatIsInFront,
    /// The clock of one replica certifies what later primaries will propose.
    PrimCastCertifiesByAMinority,
    /// So does what a replica said before it lost its memory.
    PrimCastCertifiesByAFormerLife,
    /// A primary that all others can tell has a wrong clock proposes and answers as if it were right.
    PrimCastTrustsItsClock,
    /// A follower reports entries before they are on its disk.
    ConsensusAcknowledgesEarly,
    /// A new leader takes the second newest of the logs that it was promised.
    ConsensusTakesTheSecondLog,
    /// What a single replica holds is decided.
    ConsensusDecidesByAMinority,
    /// After it has promised a new epoch, a replica still holds what the old leader appends.
    ConsensusFollowsTwoLeaders,
    /// A restarted process goes on as the leader that it was.
    ConsensusResumesAsLeader,
    /// A new epoch is adopted behind the end of the own log, whatever stands there.
    ConsensusAdoptsWithoutCutting,
    /// A replica that lost its disk promises and acknowledges like any other.
    ConsensusVotesWithoutMemory,
    /// A message is delivered although the group's clock has not reached its final timestamp.
    FastCastIgnoresTheClock,
    /// A message is delivered although one that may come before it is on the way.
    FastCastIgnoresPendingStamps,
    /// What another leader guesses counts like what its group has decided.
    FastCastBelievesGuesses,
    /// One group refuses a late message that another has decided about.
    FastCastRefusesAlone,
    /// A leader proposes a message without the one of its session that stands before it.
    FastCastForgetsWhatItFollows,
    /// Local timestamps are forgotten before the other destinations have learned them.
    FastCastForgetsTooEarly,
    /// Now and then the window of a session is forgotten.
    FastCastForgetsWindows,
    /// Whoever wants to read asks nobody: the own log is enough.
    FastCastReadsAlone,
    /// A point to read at is told before everything up to it is delivered.
    FastCastReadsTooSoon,
    /// A replica acknowledges before what it has accepted is on its disk.
    WhiteBoxAcknowledgesEarly,
    /// Acknowledgements count whichever ballots they name.
    WhiteBoxMixesBallots,
    /// A message is committed with one acknowledgement less than a quorum of each destination.
    WhiteBoxCountsOneVoteLess,
    /// Whoever accepts does not move its clock past the proposals of the others.
    WhiteBoxForgetsToRaise,
    /// A leader delivers what is committed although something with a lower local timestamp is on the way.
    WhiteBoxSkipsTheWait,
    /// A message is accepted although the one of its session that comes before is not.
    WhiteBoxAcceptsWithGaps,
    /// A leader proposes a message although it does not know the one of its session that comes before.
    WhiteBoxForgetsWhatItFollows,
    /// After it has promised a new epoch, a replica still accepts what the old leader proposes.
    WhiteBoxFollowsTwoLeaders,
    /// A restarted process goes on as the leader that it was.
    WhiteBoxResumesAsLeader,
    /// After a restart the clock stands at zero, below its ceiling.
    WhiteBoxRestartsBelowItsCeiling,
    /// A new leader takes over what was accepted in the oldest epoch that it was promised from.
    WhiteBoxTakesAnOldState,
    /// A new leader does not begin above the clocks that it was promised.
    WhiteBoxBeginsAtItsOwnClock,
    /// The quorum clock is that of a single replica.
    WhiteBoxCountsAMinority,
    /// Clocks count even when they come with a promise to a later epoch.
    WhiteBoxCountsLaterClocks,
    /// A leader tells that everything up to its own clock is delivered, whatever the clocks of its group.
    WhiteBoxTellsItsOwnClock,
    /// A leader delivers what another group says is decided before a quorum of its own has passed it.
    WhiteBoxBelievesAnyFact,
    /// What the deposed leader of another group shows is believed, like what any leader shows.
    WhiteBoxHearsDeposedLeaders,
    /// One group refuses a late message that another has proposed.
    WhiteBoxRefusesAlone,
    /// A leader asks only those of another group who owe it an acknowledgement.
    WhiteBoxAsksNobodyElse,
    /// What was delivered is forgotten before the other destinations have learned it.
    WhiteBoxForgetsFacts,
    /// Now and then the window of a session is forgotten.
    WhiteBoxForgetsWindows,
    /// A follower delivers what it holds of a message, whichever proposal brought it.
    WhiteBoxDeliversAnyPayload,
    /// A leader shows its proposals to groups that they do not concern.
    WhiteBoxTellsBystanders,
    /// A replica that is given a state of the epoch that it holds forgets what it has acknowledged in it.
    WhiteBoxForgetsItsVotes,
    /// A replica that lost its disk promises like any other.
    WhiteBoxVotesWithoutMemory,
    /// A replica that lost its disk tells its clock to those who want to read.
    WhiteBoxRepliesWithoutMemory,
    /// Whoever wants to read asks nobody: the own clock is enough.
    WhiteBoxReadsAlone,
    /// A reply to an earlier question counts for the next one.
    WhiteBoxReadsOnOldReplies,
    /// A point to read at is told before everything up to it is delivered.
    WhiteBoxReadsTooSoon,
    /// At one process the merge takes one instance more of each ring in a round than at the others.
    MultiRingTakesOneTooMany,
    /// A coordinator takes instances for skipped before the ring has agreed on it.
    MultiRingSkipsWithoutAgreement,
    /// What one process of each group has in a checkpoint is trimmed.
    MultiRingTrimsAtAMinority,
    /// Whoever hands a vote on along the ring is taken for one who has voted.
    MultiRingCountsVotesTwice,
    /// Now and then the window of a session is forgotten.
    MultiRingForgetsWindows,
    /// A message gets the next instance, whatever floor its session brings along.
    MultiRingIgnoresTheFloor,
    /// The coordinator does not look at which message of its session comes before.
    MultiRingForgetsWhatItFollows,
    /// Whoever wants to read asks nobody: how far its own ring is here will do.
    MultiRingReadsAlone,
    /// A point to read at is told before everything up to it is delivered.
    MultiRingReadsTooSoon,
    /// Each learner begins to listen to a ring that slept when it gets round to it.
    MultiRingSubscribesAtLeisure,
    /// A ring that slept carries messages as soon as one of its groups has joined it.
    MultiRingWakesTooSoon,
    /// A coordinator whose ring has passed a message's last moment says that it came too late, wherever it may stand.
    MultiRingRefusesAlone,
    /// A write counts without another look at whether its grant still stood.
    MuTrustsTheWrite,
    /// A place is granted again while somebody who was granted it before may still write there.
    MuReusesPlaces,
    /// The log is copied for a new leader before the old one's grant is over.
    MuCopiesTooEarly,
    /// After an abort a leader goes on with its old number, and does not look at what others may have written.
    MuOmitsPrepare,
    /// A leader begins to write when its number stands in one memory.
    MuPreparesAtAMinority,
    /// The first undecided index moves on before a majority has a slot.
    MuDecidesByAMinority,
    /// A request is reported as done when its slot is, whatever the slot says by then.
    MuReportsWhatWasReplaced,
    /// A request that got into the log twice is applied twice.
    MuAppliesTwice,
    /// Slots are used again before the slowest confirmed follower has applied them.
    MuRecyclesTooEarly,
    /// A new leader adopts a value, and not the one with the highest number.
    MuAdoptsAny,
    /// Whoever joins late is written to without a look at what others wrote there.
    MuJoinsWithoutLooking,
    /// A memory that was lost counts before it has been told everything again.
    MuCountsLostMemories,
    /// A follower applies what it sees, decided or not.
    MuAppliesUndecided,
    /// A leader takes what its own memory was to go without for something that it holds, though nothing says that this was
    /// ever noted there.
    MuTrustsWhatItSkipped,
}

impl Mutant {
    /// Those of Mu.
    pub const MU: [Mutant; 14] = [
        Mutant::MuTrustsTheWrite,
        Mutant::MuReusesPlaces,
        Mutant::MuCopiesTooEarly,
        Mutant::MuOmitsPrepare,
        Mutant::MuPreparesAtAMinority,
        Mutant::MuDecidesByAMinority,
        Mutant::MuReportsWhatWasReplaced,
        Mutant::MuAppliesTwice,
        Mutant::MuRecyclesTooEarly,
        Mutant::MuAdoptsAny,
        Mutant::MuJoinsWithoutLooking,
        Mutant::MuCountsLostMemories,
        Mutant::MuAppliesUndecided,
        Mutant::MuTrustsWhatItSkipped,
    ];
}

/// The bug that a machine was built with, if any.
pub type Planted = skein_machine::Planted<Mutant>;
