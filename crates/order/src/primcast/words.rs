//! PrimCast's messages in words, for traces: what a reader of an interaction
//! needs, which is less than what the messages hold.

use core::fmt;

use super::wire::{Candidacy, Header, Message, Promise, Question, Report, Standing, Start};

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Message::Start(start) => write!(f, "{start:?}"),
            Message::Primary(epoch) => write!(f, "PRIMARY is {} in {epoch}", epoch.leader),
            Message::Done(id, timestamp) => write!(f, "DONE {id}@{timestamp}"),
            Message::Refused(id, refusal) => write!(f, "REFUSED {id}: {refusal:?}"),
            Message::Append { epoch, previous, entries } => {
                write!(f, "APPEND {epoch} after {previous}: ")?;
                for (nth, entry) in entries.iter().enumerate() {
                    let comma = if nth == 0 { "" } else { ", " };
                    write!(f, "{comma}{}@{}", entry.message.id, entry.timestamp)?;
                }
                Ok(())
            }
            Message::Report(report) => write!(f, "{report:?}"),
            Message::Raise(timestamp) => write!(f, "RAISE to {timestamp}"),
            // The name is drawn by lot and tells a reader nothing.
            Message::Inquire { clock, .. } => write!(f, "INQUIRE from clock {clock}"),
            Message::Reply { report, .. } => write!(f, "REPLY {report:?}"),
            Message::Headers { epoch, headers, .. } => {
                write!(f, "HEADER {epoch}:")?;
                for header in headers {
                    write!(f, " {header:?}")?;
                }
                Ok(())
            }
            Message::Acknowledge { held, index, .. } => write!(f, "ACK {held} up to {index}"),
            Message::Settled(places) => write!(f, "SETTLED {places:?}"),
            Message::Ask(questions) => write!(f, "ASK {questions:?}"),
            Message::Canvass => f.write_str("CANVASS"),
            Message::Silent => f.write_str("SILENT"),
            Message::NewEpoch(candidacy) => {
                let Candidacy { epoch, outline, delivered, .. } = candidacy;
                write!(f, "NEW-EPOCH {epoch} from log up to {} and #{delivered}", outline.last())
            }
            Message::Promise(promise) => {
                let Promise { epoch, clock, held, outline, entries, delivered, .. } = &**promise;
                let (last, more) = (outline.last(), entries.len());
                write!(f, "PROMISE {epoch} at {clock}, holds {held} up to {last} and #{delivered}, sends {more}")
            }
            Message::NewState { reign, previous, entries, .. } => {
                write!(f, "NEW-STATE {} at {}: {} entries after {previous}", reign.epoch, reign.clock, entries.len())
            }
            Message::Snapshot(reign, state) => {
                write!(f, "NEW-STATE {} at {}: {state:?}", reign.epoch, reign.clock)
            }
            Message::Outcomes(position, outcomes) => write!(f, "OUTCOMES from #{position}: {outcomes:?}"),
            Message::Rejoin(incarnation) => write!(f, "REJOIN as incarnation {incarnation}"),
            Message::Stand => f.write_str("STAND for election"),
            Message::Ahead => f.write_str("AHEAD is your clock"),
            Message::Standing(standing) => {
                let Standing { promised, clock, leads, front, .. } = &**standing;
                write!(f, "STANDING at {clock} in {promised}")?;
                if *leads {
                    f.write_str(", leads")?;
                }
                front.map_or(Ok(()), |front| write!(f, ", behind {front}"))
            }
            Message::Certify(timestamp) => write!(f, "CERTIFY up to {timestamp}"),
        }
    }
}

impl fmt::Debug for Start {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "START {:?}", self.message)?;
        if self.follows > 0 {
            write!(f, " after .{}", self.follows)?;
        }
        if let Some(proposed) = &self.proposed {
            write!(f, ", proposed at {} in {}", proposed.last, proposed.epoch)?;
        }
        Ok(())
    }
}

impl fmt::Debug for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "REPORT holds {} up to {}, clock {}", self.held, self.index, self.clock)?;
        if self.promised != self.held {
            write!(f, ", promised {}", self.promised)?;
        }
        if self.is_primary {
            f.write_str(", primary")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Header {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{} at {}", self.id, self.timestamp, self.index)
    }
}

impl fmt::Debug for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}", self.id, self.index)
    }
}
