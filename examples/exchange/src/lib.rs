//! # A matching engine, to be replicated
//!
//! The worked application of replication by one-sided writes: an exchange on
//! which orders meet, small enough to be read in an evening and made as one
//! would make it. An [`Engine`](engine::Engine) is a
//! [`Service`](skein_machine::Service), so that whoever replicates services
//! replicates it, and no order and no trade is lost, doubled or reordered when
//! processes die.
//!
//! Read [`words`] first, then [`book`], [`engine`]. Beside them stands what one
//! needs to believe it: a generator of orders ([`flow`]), what is written down
//! while it runs ([`journal`]), a slow and plain engine ([`model`]), and the
//! auditor who holds all of it together ([`audit`]). [`alone`] runs the flow
//! against one engine and nobody else, [`replicated`] against replicas that are
//! processes, and are killed.
//!
//! The engine touches nothing: no clock, no file, no thread. Only [`alone`] and
//! [`replicated`] look at a clock, and only the latter starts processes.

#![forbid(unsafe_code)]

pub mod alone;
pub mod audit;
pub mod book;
pub mod digest;
pub mod engine;
pub mod flow;
pub mod histogram;
pub mod journal;
pub mod model;
pub mod replicated;
pub mod words;
