//! Nodes as processes, as an operator runs them: with certificates, when a
//! machine is lost, and when messages are long.

mod explain;
mod large;
mod place;
mod replace;
mod tls;
