//! [`Prober`]: how an origin is probed, once. Who probes which origin, and when,
//! is said by the machine, and what a failure means, too: nothing here is
//! repeated or remembered. Each probe is a first visit, so that it meets what
//! any other visitor would meet.

mod expect;
mod names;
mod target;
mod trouble;
mod trust;
mod visit;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hyper::StatusCode;
use hyper::header::HeaderValue;
use skein_edge::Name;
use skein_edge::health::MAX_WHY;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;

pub(crate) use expect::Expect;
use names::Names;
use target::Scheme;
pub(crate) use target::Target;
use trouble::Trouble;
pub(crate) use trust::Trust;
pub(crate) use visit::AGENT;
use visit::{Found, Visitor};

/// So many probes go on at once: half of the 1,024 files that a process may have open where nobody has said more. With
/// timeouts of two seconds, and all origins silent, that is 256 probes a second.
const MOST_PROBES: usize = 512;

/// How an origin is probed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Recipe {
    /// What is visited.
    pub(crate) target: Target,
    /// Everything together takes no longer.
    pub(crate) timeout: Duration,
    /// Which answers are those of somebody who is well.
    pub(crate) expect: Expect,
    /// Who may vouch for who answers by TLS.
    pub(crate) trust: Trust,
}

/// What came of a probe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// The origin does what is expected of it.
    pub(crate) is_well: bool,
    /// Why, in a few words; at most [`MAX_WHY`] bytes.
    pub(crate) why: String,
    /// How long it took.
    pub(crate) took: Duration,
}

/// Whoever makes the probes of an agent.
pub(crate) struct Prober {
    agent: HeaderValue,
    places: Semaphore,
    names: Names,
    /// Ready for every kind of trust that a recipe asks for.
    tls: BTreeMap<Trust, TlsConnector>,
    unmade: AtomicU64,
}

impl Prober {
    /// One that can probe by these recipes. The files that they name are read now, and those of the system if a recipe
    /// needs them; the error is a sentence on what is wrong and what to do.
    pub(crate) fn new<'a>(agent: &Name, recipes: impl IntoIterator<Item = &'a Recipe>) -> Result<Prober, String> {
        let agent = HeaderValue::from_str(agent.as_str()).expect("a name is made of plain letters");
        let mut tls = BTreeMap::new();
        for recipe in recipes {
            if recipe.target.scheme == Scheme::Https && !tls.contains_key(&recipe.trust) {
                tls.insert(recipe.trust.clone(), recipe.trust.connector()?);
            }
        }
        let (places, names) = (Semaphore::new(MOST_PROBES), Names::of_system());
        Ok(Prober { agent, places, names, tls, unmade: AtomicU64::new(0) })
    }

    /// Probes an origin, which takes no longer than its timeout. If too many others are probed just now, it waits for
    /// as long again.
    ///
    /// Nothing comes of it if this host could not probe, for want of files, say. Then nothing is known of the origin,
    /// which need not suffer for it: the next probe may tell.
    pub(crate) async fn probe(&self, recipe: &Recipe) -> Option<Outcome> {
        let Ok(place) = timeout(recipe.timeout, self.places.acquire()).await else {
            self.give_up("too many probes go on, and most of them wait: give the origins shorter timeouts");
            return None;
        };
        let began = Instant::now();
        let tls = (recipe.target.scheme == Scheme::Https)
            .then(|| self.tls.get(&recipe.trust).expect("a prober is made for all recipes that it is given"));
        let (agent, names) = (&self.agent, &self.names);
        let visitor = Visitor { agent, names, tls, timeout: recipe.timeout, until: began + recipe.timeout };
        let found = visitor.visit(&recipe.target).await;
        let took = began.elapsed();
        drop(place);
        let (is_well, why) = match found {
            Ok(Found::Connected) => (true, format!("connected in {} ms", took.as_millis())),
            Ok(Found::Answered(status)) if recipe.expect.includes(status.as_u16()) => {
                (true, format!("{} in {} ms", status.as_u16(), took.as_millis()))
            }
            Ok(Found::Answered(status)) => (false, named(status)),
            Err(Trouble::Theirs(why)) => (false, why),
            Err(Trouble::Ours(why)) => {
                self.give_up(&why);
                return None;
            }
        };
        Some(Outcome { is_well, why: cut(why), took })
    }

    /// How many probes this host could not make.
    pub(crate) fn unmade(&self) -> u64 {
        self.unmade.load(Ordering::Relaxed)
    }

    fn give_up(&self, why: &str) {
        let count = self.unmade.fetch_add(1, Ordering::Relaxed) + 1;
        // Twice as many before it is told again: whoever has this trouble has it often.
        if count.is_power_of_two() {
            tracing::warn!(count, why, "probes could not be made");
        }
    }
}

/// What others have written may be long: a name in a certificate, the words of a library.
fn cut(mut why: String) -> String {
    let end = (0..=why.len().min(MAX_WHY)).rev().find(|end| why.is_char_boundary(*end));
    why.truncate(end.unwrap_or_default());
    why
}

/// A status with the words that everybody has for it. An origin's own words are not repeated.
fn named(status: StatusCode) -> String {
    match status.canonical_reason() {
        Some(words) => format!("{} {words}", status.as_u16()),
        None => status.as_u16().to_string(),
    }
}

#[cfg(test)]
mod tests;
