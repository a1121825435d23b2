//! [`Reminder`]: says in time, and not too often, that a certificate ends. It
//! reads no certificate, and stops nothing.

use std::time::{Duration, Instant};

/// A certificate that ends sooner is spoken of,
const NOTICE: Duration = Duration::from_secs(14 * 86400);

/// so often.
const REMIND: Duration = Duration::from_secs(86400);

/// When it was said last, or looked for.
#[derive(Default)]
pub(super) struct Reminder(Option<Instant>);

impl Reminder {
    /// Looks whether anything is to be said, if it is time to. `expires_within` knows how long a certificate is valid,
    /// if that is less than what it is asked.
    pub(super) fn look(&mut self, expires_within: impl FnOnce(Duration) -> Option<Duration>) {
        if self.0.is_none_or(|at| at.elapsed() > REMIND) {
            self.0 = Some(Instant::now());
            // A certificate that ends stops a cluster, one link after the other.
            if let Some(left) = expires_within(NOTICE) {
                let hours = left.as_secs() / 3600;
                tracing::warn!(hours, "the own certificate ends soon: make a new one, then send SIGHUP");
            }
        }
    }
}
