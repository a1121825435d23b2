//! [`Datagrams`]: what becomes of messages that travel alone. A link keeps
//! order and loses nothing; a datagram may be lost, overtakes others, is lost
//! where a link would wait for a cut to heal, and needs nobody to be connected.

/// How small messages travel in a world that lets them travel alone.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Datagrams {
    /// Messages of at most so many bytes travel alone; larger ones go over the link.
    pub at_most: usize,
    /// How likely it is that one is lost.
    pub loss: f64,
}

impl Datagrams {
    /// What fits a packet of the common size, with room for the headers and seals around it.
    pub const COMMON: Datagrams = Datagrams { at_most: 1_400, loss: 0.0 };

    /// The same with this loss.
    #[must_use]
    pub fn with_loss(self, loss: f64) -> Datagrams {
        assert!((0.0..=1.0).contains(&loss), "a loss of {loss} is no probability");
        Datagrams { loss, ..self }
    }
}
