//! The rules of a memory of Mu, under checkers that try the orders in which
//! processors may see each other's stores. What runs here is the code that
//! ships: only the words are the checkers' own. docs/mu-revocation.md has the
//! argument that these models are held against.

mod dying;
mod granting;
mod hardware;
mod modelled;
mod reading;
mod revocation;
mod stage;
mod stopped;
