//! [`Planted`]: the bug that a machine was built with. A checker that has never
//! failed proves nothing, so machines can be built with one of their rules
//! broken, and the simulator must catch it. Only the feature `mutants` can plant
//! one; in every other build [`Planted::is`] is `false`, the compiler removes
//! the branch, and nothing is stored. Which rules there are says each crate.

#[cfg(not(feature = "mutants"))]
use core::marker::PhantomData;

/// One of the bugs `B`, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Planted<B> {
    #[cfg(feature = "mutants")]
    bug: Option<B>,
    #[cfg(not(feature = "mutants"))]
    bug: PhantomData<B>,
}

impl<B: Copy + PartialEq> Planted<B> {
    /// No bug, as in every build that ships.
    pub const NONE: Planted<B> = Planted {
        #[cfg(feature = "mutants")]
        bug: None,
        #[cfg(not(feature = "mutants"))]
        bug: PhantomData,
    };

    /// This bug.
    #[cfg(feature = "mutants")]
    pub const fn bug(bug: B) -> Planted<B> {
        Planted { bug: Some(bug) }
    }

    /// Whether this rule is broken.
    #[cfg(feature = "mutants")]
    pub fn is(self, bug: B) -> bool {
        self.bug == Some(bug)
    }

    /// Whether this rule is broken: no build without the feature breaks one.
    #[cfg(not(feature = "mutants"))]
    pub const fn is(self, _: B) -> bool {
        false
    }
}

impl<B: Copy + PartialEq> Default for Planted<B> {
    fn default() -> Planted<B> {
        Planted::NONE
    }
}
