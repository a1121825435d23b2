//! [`Releases`]: up to which place of the order one process has said, in
//! whichever of its lives, that answers may leave, and when.

use skein_machine::Stamp;

use crate::Nanos;

/// When an answer might leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Release {
    /// When.
    pub at: Nanos,
    /// The same in moments, which order everything observed.
    pub moment: u64,
}

/// What one process has released.
#[derive(Clone, Debug, Default)]
pub(crate) struct Releases(Vec<(Stamp, Release)>);

impl Releases {
    /// Answers up to this place may leave. What an earlier life said is said again, and is no news.
    pub(crate) fn note(&mut self, upto: Stamp, release: Release) {
        if self.0.last().is_none_or(|(last, _)| *last < upto) {
            self.0.push((upto, release));
        }
    }

    /// When the answer at this place might leave.
    pub(crate) fn of(&self, stamp: Stamp) -> Option<Release> {
        let first = self.0.partition_point(|(upto, _)| *upto < stamp);
        self.0.get(first).map(|(_, release)| *release)
    }
}
