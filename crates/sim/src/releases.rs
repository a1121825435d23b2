//! [`Releases`]: up to which place of the order one process has said, in
//! whichever of its lives, that answers may leave, and when.

use skein_machine::Stamp;

/// What one process has released, and at which moments.
#[derive(Clone, Debug, Default)]
pub(crate) struct Releases(Vec<(Stamp, u64)>);

impl Releases {
    /// Answers up to this place may leave. What an earlier life said is said again, and is no news.
    pub(crate) fn note(&mut self, upto: Stamp, moment: u64) {
        if self.0.last().is_none_or(|(last, _)| *last < upto) {
            self.0.push((upto, moment));
        }
    }

    /// The moment at which the answer at this place might leave.
    pub(crate) fn of(&self, stamp: Stamp) -> Option<u64> {
        let first = self.0.partition_point(|(upto, _)| *upto < stamp);
        self.0.get(first).map(|(_, moment)| *moment)
    }
}
