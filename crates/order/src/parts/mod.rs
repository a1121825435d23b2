//! What several protocols need: plain structs that a protocol owns and calls.
//! None of them calls back or knows which protocol it serves, and none sends
//! anything, but for the [`Sender`], which has no other work.

mod by_group;
mod clock;
mod election;
mod epoch;
mod few;
mod log;
mod pause;
mod queue;
mod quorum;
mod recent;
mod row;
mod sender;
mod settings;
mod table;
mod timer;
mod window;

pub use by_group::ByGroup;
pub use clock::Clock;
pub use election::{Election, Rebirth, Role, SILENT, Urge};
pub use epoch::Epoch;
pub use few::Few;
pub use log::{Entry, Fate, Index, Log, Logged, Outline, Run};
pub use pause::Pause;
pub use queue::Queue;
pub use quorum::reached_by;
pub use recent::Recent;
pub use row::Row;
pub use sender::{Desk, MAX_PENDING, MAX_PENDING_BYTES, Refusal, Sender, Starts};
pub use settings::Settings;
pub use table::{Spot, Table};
pub use timer::Timer;
pub use window::{Mark, Marks, Stream, Window, Windows};
