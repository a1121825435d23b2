//! White-Box's messages in words, for traces: what a reader of an interaction
//! needs, which is less than what the messages hold.

use core::fmt;

use super::record::Inheritance;
use super::wire::{Header, Message, Promise, Report, Start, Vote};

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Message::Start(start) => write!(f, "{start:?}"),
            Message::Leader(epoch) => write!(f, "LEADER is {} in {epoch}", epoch.leader),
            Message::Done(id, timestamp) => write!(f, "DONE {id}@{timestamp}"),
            Message::Refused(id, refusal) => write!(f, "REFUSED {id}: {refusal:?}"),
            Message::Propose { epoch, entries } => write!(f, "ACCEPT {epoch} with payload: {entries:?}"),
            Message::Accept { epoch, headers, .. } => {
                write!(f, "ACCEPT {epoch}:")?;
                headers.iter().try_for_each(|header| write!(f, " {header:?}"))
            }
            Message::Acknowledge { clock, votes, .. } => {
                write!(f, "ACK from clock {clock}:")?;
                votes.iter().try_for_each(|vote| write_vote(f, vote))
            }
            Message::Deliver { position, outcomes, safe } => {
                write!(f, "DELIVER from #{position}: {outcomes:?}, safe up to {safe}")
            }
            Message::Past(position, delivered) => write!(f, "PAST from #{position}: {delivered:?}"),
            Message::Facts(outcomes) => write!(f, "FACTS {outcomes:?}"),
            Message::Report(report) => write!(f, "{report:?}"),
            Message::Raise(timestamp) => write!(f, "RAISE to {timestamp}"),
            // The name is drawn by lot and tells a reader nothing.
            Message::Inquire(_) => f.write_str("INQUIRE"),
            Message::Reply(_, report) => write!(f, "REPLY {report:?}"),
            Message::Settled(timestamps) => write!(f, "SETTLED {timestamps:?}"),
            Message::Ask(questions) => write!(f, "ASK {questions:?}"),
            Message::Canvass => f.write_str("CANVASS"),
            Message::Silent => f.write_str("SILENT"),
            Message::NewLeader(candidacy) => {
                write!(f, "NEW-LEADER {} who has delivered #{}", candidacy.epoch, candidacy.delivered)
            }
            Message::Promise(promise) => {
                let Promise { epoch, clock, held, accepted, delivered, .. } = &**promise;
                write!(f, "PROMISE {epoch} at {clock}, holds {held} with #{delivered}, accepted {accepted:?}")
            }
            Message::NewState(inheritance) => {
                let Inheritance { reign, position, delivered, accepted, .. } = &**inheritance;
                write!(f, "NEW-STATE {} at {}: ", reign.epoch, reign.clock)?;
                write!(f, "from #{position} {delivered:?}, accepted {accepted:?}")
            }
            Message::Snapshot(reign, state) => write!(f, "NEW-STATE {} at {}: {state:?}", reign.epoch, reign.clock),
            Message::Rejoin(incarnation) => write!(f, "REJOIN as incarnation {incarnation}"),
            Message::Stand => f.write_str("STAND for election"),
        }
    }
}

fn write_vote(f: &mut fmt::Formatter<'_>, vote: &Vote) -> fmt::Result {
    write!(f, " {} in", vote.id)?;
    vote.ballots.iter().try_for_each(|ballot| write!(f, " {}:{}", ballot.group, ballot.epoch))
}

impl fmt::Debug for Start {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "START {:?}", self.message)?;
        if self.follows > 0 {
            write!(f, " after .{}", self.follows)?;
        }
        if let Some((epoch, timestamp)) = self.proposed {
            write!(f, ", proposed at {timestamp} in {epoch}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Header {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.id, self.timestamp)
    }
}

impl fmt::Debug for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "REPORT holds {}, clock {}, safe up to {}", self.held, self.clock, self.safe)?;
        if self.promised != self.held {
            write!(f, ", promised {}", self.promised)?;
        }
        if self.is_leader {
            f.write_str(", leader")?;
        }
        Ok(())
    }
}
