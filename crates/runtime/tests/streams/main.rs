//! A server of streams among clients by hand: patient ones, crowds, and some
//! that mean no good. Its protocol speaks in lines.

mod crowd;
mod echo;
mod ends;
mod limits;
mod lines;
mod tls;
