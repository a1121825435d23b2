//! What is said in a consensus in words, for traces: what a reader of an
//! interaction needs, which is less than what the messages hold.

use core::fmt;

use super::wire::{Message, Report};

impl<E: fmt::Debug, S> fmt::Debug for Message<E, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Message::Append { epoch, previous, entries } => {
                write!(f, "APPEND {epoch} after {previous}:")?;
                for (nth, slot) in entries.iter().enumerate() {
                    let comma = if nth == 0 { "" } else { "," };
                    write!(f, "{comma} {:?}", slot.content)?;
                }
                Ok(())
            }
            Message::Report(report) => write!(f, "{report:?}"),
            Message::Canvass => f.write_str("CANVASS"),
            Message::Silent => f.write_str("SILENT"),
            Message::NewEpoch(candidacy) => {
                write!(f, "NEW-EPOCH {} from log up to {}", candidacy.epoch, candidacy.outline.last())
            }
            Message::Promise(promise) => {
                let (last, more) = (promise.outline.last(), promise.entries.len());
                write!(f, "PROMISE {}, holds {} up to {last}, sends {more}", promise.epoch, promise.held)?;
                if promise.state.is_some() {
                    f.write_str(" and a state")?;
                }
                Ok(())
            }
            Message::NewState { reign, previous, entries, .. } => {
                write!(f, "NEW-STATE {}: {} entries after {previous}", reign.epoch, entries.len())
            }
            Message::Snapshot(reign, state) => {
                write!(f, "NEW-STATE {}: a state at {} and the log up to {}", reign.epoch, state.at, state.last())
            }
            Message::Rejoin(incarnation) => write!(f, "REJOIN as incarnation {incarnation}"),
            Message::Stand => f.write_str("STAND for election"),
        }
    }
}

impl fmt::Debug for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "REPORT holds {} up to {}", self.held, self.index)?;
        if self.promised != self.held {
            write!(f, ", promised {}", self.promised)?;
        }
        if self.is_leader {
            f.write_str(", leader")?;
        }
        Ok(())
    }
}
