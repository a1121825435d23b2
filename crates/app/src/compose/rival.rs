//! [`Rival`]: whichever of the protocols that PrimCast is measured against, as
//! one machine. A service with everything that hosts it is the largest thing
//! that is built around an order, and the compiler builds it once for each kind
//! of order; so it meets two kinds, PrimCast and this one.
//!
//! What a rival says and writes down has one byte in front that says whose it
//! is. So whoever counts bytes or looks at a watch is given the protocols
//! themselves, and never this.

use std::fmt;

use skein_machine::wire::{Reader, Version, WireError, Writer};
use skein_machine::{Down, Effect, Machine, MessageId, Ordering, Out, Outlook, ProcessId, SessionId, Time, Up, Wire};
use skein_order::fastcast::{self, FastCast};
use skein_order::multiring::{self, MultiRing};
use skein_order::whitebox::{self, WhiteBox};

/// One of the protocols, or something of one of them: what it says, what it writes down, what it waits for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Of<W, F, M> {
    /// White-Box, or its.
    WhiteBox(W),
    /// FastCast, or its.
    FastCast(F),
    /// Multi-Ring Paxos, or its.
    MultiRing(M),
}

/// A process that runs one of them.
pub(super) type Rival = Of<WhiteBox, FastCast, MultiRing>;

/// The letters of [`Of`] as bytes: none begins a message or a record of one of the protocols.
const WHITEBOX: u8 = b'w';
const FASTCAST: u8 = b'f';
const MULTIRING: u8 = b'm';

/// Does the same with whichever it is.
macro_rules! whichever {
    ($of:expr, $it:ident => $do:expr) => {
        match $of {
            Of::WhiteBox($it) => $do,
            Of::FastCast($it) => $do,
            Of::MultiRing($it) => $do,
        }
    };
}

/// Does something with a rival and what is its own, or something else if that is another's.
macro_rules! with_its_own {
    ($rival:expr, $of:expr, $order:ident, $its:ident => $do:expr, else $otherwise:expr) => {
        match ($rival, $of) {
            (Of::WhiteBox($order), Of::WhiteBox($its)) => $do,
            (Of::FastCast($order), Of::FastCast($its)) => $do,
            (Of::MultiRing($order), Of::MultiRing($its)) => $do,
            _ => $otherwise,
        }
    };
}

impl Machine for Rival {
    type Command = Down;
    type Message = Of<whitebox::Message, fastcast::Message, multiring::Message>;
    type Timer = Of<whitebox::Timer, fastcast::Timer, multiring::Timer>;
    type Record = Of<whitebox::Record, fastcast::Record, multiring::Record>;
    type Event = Up;

    fn restore(&mut self, record: Self::Record) {
        with_its_own!(self, record, order, record => order.restore(record),
            else panic!("a record of another protocol, which no host of this process has written"));
    }

    fn start(&mut self, now: Time, seed: u64, out: &mut Out<Self>) {
        whichever!(self, order => step(order, out, |order, inner| order.start(now, seed, inner)));
    }

    fn on_command(&mut self, now: Time, command: Down, out: &mut Out<Self>) {
        whichever!(self, order => step(order, out, |order, inner| order.on_command(now, command, inner)));
    }

    fn on_message(&mut self, now: Time, from: ProcessId, message: Self::Message, out: &mut Out<Self>) {
        with_its_own!(self, message, order, message =>
            step(order, out, |order, inner| order.on_message(now, from, message, inner)),
            else panic!("{from} speaks another protocol, and was not asked whether it may"));
    }

    fn may_say(&self, from: ProcessId, message: &Self::Message) -> Result<(), String> {
        with_its_own!(self, message, order, message => order.may_say(from, message),
            else Err(format!("{from} speaks another protocol")))
    }

    fn on_timer(&mut self, now: Time, timer: Self::Timer, out: &mut Out<Self>) {
        with_its_own!(self, timer, order, timer =>
            step(order, out, |order, inner| order.on_timer(now, timer, inner)),
            else panic!("a timer of another protocol, which this process has not armed"));
    }

    fn on_reconnect(&mut self, now: Time, peer: ProcessId, out: &mut Out<Self>) {
        whichever!(self, order => step(order, out, |order, inner| order.on_reconnect(now, peer, inner)));
    }

    fn finish(&mut self, now: Time, out: &mut Out<Self>) {
        whichever!(self, order => step(order, out, |order, inner| order.finish(now, inner)));
    }

    fn check(&self) {
        whichever!(self, order => order.check());
    }

    fn gauges(&self, tell: &mut dyn FnMut(&'static str, u64)) {
        whichever!(self, order => order.gauges(tell));
    }

    fn outlook(&self, session: SessionId, sequence: u64) -> Option<Outlook> {
        whichever!(self, order => order.outlook(session, sequence))
    }

    fn waiting(&self, most: usize) -> Vec<MessageId> {
        whichever!(self, order => order.waiting(most))
    }

    fn remembers(&self) -> bool {
        whichever!(self, order => order.remembers())
    }
}

/// A protocol that is a rival: whose its words are.
trait Competes: Ordering {
    fn message(message: Self::Message) -> <Rival as Machine>::Message;
    fn record(record: Self::Record) -> <Rival as Machine>::Record;
    fn timer(timer: Self::Timer) -> <Rival as Machine>::Timer;
}

macro_rules! competes {
    ($($protocol:ident: $Name:ident),+) => {
        $(impl Competes for $Name {
            fn message(message: $protocol::Message) -> <Rival as Machine>::Message {
                Of::$Name(message)
            }

            fn record(record: $protocol::Record) -> <Rival as Machine>::Record {
                Of::$Name(record)
            }

            fn timer(timer: $protocol::Timer) -> <Rival as Machine>::Timer {
                Of::$Name(timer)
            }
        })+
    };
}

competes!(whitebox: WhiteBox, fastcast: FastCast, multiring: MultiRing);

/// Lets it take a step, and passes on what it wants done.
fn step<M: Competes>(order: &mut M, out: &mut Out<Rival>, step: impl FnOnce(&mut M, &mut Out<M>)) {
    let mut inner = Out::new();
    out.swap_chronicle(&mut inner);
    step(order, &mut inner);
    out.swap_chronicle(&mut inner);
    for effect in inner.drain() {
        out.push(match effect {
            Effect::Persist(record) => Effect::Persist(M::record(record)),
            Effect::Checkpoint(record) => Effect::Checkpoint(M::record(record)),
            Effect::Compact(record) => Effect::Compact(M::record(record)),
            Effect::Send(to, message) => Effect::Send(to, M::message(message)),
            Effect::SendEarly(to, message) => Effect::SendEarly(to, M::message(message)),
            Effect::Arm(timer, after) => Effect::Arm(M::timer(timer), after),
            Effect::Disarm(timer) => Effect::Disarm(M::timer(timer)),
            Effect::Emit(up) => Effect::Emit(up),
            Effect::EmitEarly(up) => Effect::EmitEarly(up),
        });
    }
}

impl<W: Wire, F: Wire, M: Wire> Wire for Of<W, F, M> {
    fn encode(&self, writer: &mut Writer<'_>) {
        writer.u8(match self {
            Of::WhiteBox(_) => WHITEBOX,
            Of::FastCast(_) => FASTCAST,
            Of::MultiRing(_) => MULTIRING,
        });
        whichever!(self, it => it.encode(writer));
    }

    fn decode(reader: &mut Reader) -> Result<Self, WireError> {
        Ok(match reader.u8()? {
            WHITEBOX => Of::WhiteBox(W::decode(reader)?),
            FASTCAST => Of::FastCast(F::decode(reader)?),
            MULTIRING => Of::MultiRing(M::decode(reader)?),
            tag => return Err(WireError::UnknownTag { what: "protocol", tag }),
        })
    }

    fn since(&self) -> Version {
        whichever!(self, it => it.since())
    }
}

/// Whoever reads a trace knows which protocol runs.
impl<W: fmt::Debug, F: fmt::Debug, M: fmt::Debug> fmt::Debug for Of<W, F, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        whichever!(self, it => it.fmt(f))
    }
}

#[cfg(test)]
mod tests {
    use std::hash::Hash;
    use std::sync::Arc;

    use skein_machine::{Boot, Cluster, wire};
    use skein_sim::check::Claims;
    use skein_sim::{Load, Mix, Plan, SECOND, Scenario, Trace, run_seed};

    use super::*;
    use crate::compose::{Employer, Protocol, Variant};

    const RIVALS: [Protocol; 3] = [Protocol::WhiteBox, Protocol::FastCast, Protocol::MultiRing];

    /// What happens in a few seconds of every fault, one line an event.
    struct Story<'a>(&'a Plan);

    impl Employer for Story<'_> {
        type Answer = String;

        fn employ<M>(self, maker: impl Fn(ProcessId, Boot) -> M + Clone + Send + 'static) -> String
        where
            M: Ordering + Clone + Hash + 'static,
        {
            run_seed(self.0, 1, Some(Trace::full()), maker).trace
        }
    }

    #[test]
    fn a_rival_does_what_its_protocol_does_on_its_own() {
        let cluster = Arc::new(Cluster::regular(2, 3, 1).unwrap());
        let load = Load {
            per_second: 40.0,
            mix: Mix::usual(&cluster),
            payload: 16,
            expiry: Some(60),
            misbehaves: true,
            readers: true,
            asks_for_read_points: true,
        };
        let plan = Plan {
            cluster: cluster.clone(),
            scenario: Scenario::Swarm,
            load,
            duration: 10 * SECOND,
            claims: Claims::CLASSIC,
            clock_bound: None,
            severity: 2.0,
        };
        let variant = Variant { is_tight: true, ..Variant::PLAIN };
        for protocol in RIVALS {
            let alone = protocol.employ(&cluster, variant, Story(&plan));
            assert!(alone.contains("crashes") && alone.contains("delivers"), "a dull story of {protocol}");
            assert!(alone == protocol.employ_to_serve(&cluster, variant, Story(&plan)), "{protocol} acts otherwise");
        }
    }

    #[test]
    fn nobody_takes_the_words_of_one_protocol_for_those_of_another() {
        let ask: <Rival as Machine>::Message = Of::FastCast(fastcast::Message::Inquire(7));
        let bytes = wire::to_bytes(&ask);
        assert_eq!(wire::from_bytes(bytes.clone(), wire::VERSION), Ok(ask.clone()));
        let bare = bytes.slice(1..);
        assert!(wire::from_bytes::<<Rival as Machine>::Message>(bare, wire::VERSION).is_err());
        let cluster = Arc::new(Cluster::regular(1, 1, 0).unwrap());
        let settings = whitebox::Settings::DEFAULT;
        let me = ProcessId(0);
        let whitebox = WhiteBox::new(me, cluster, Boot::First, settings, skein_order::Planted::NONE);
        let told = Rival::WhiteBox(whitebox).may_say(me, &ask);
        assert!(told.unwrap_err().contains("speaks another protocol"));
    }
}
