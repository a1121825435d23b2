//! [`Names`]: the addresses of hosts. The system's resolver blocks a thread for
//! as long as it likes, and nobody can call it back; so few are asked at once,
//! each name once at a time, and who asked need not wait for it. Nothing is
//! remembered: a probe meets the name as any other visitor does now.

use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Instant, timeout_at};

use super::trouble::Trouble;

/// So many names are looked up at once. Each takes a thread, for half a minute if no server of names answers.
pub(super) const MOST_LOOKUPS: usize = 32;

/// A name with more addresses than this is tried at the first ones; no timeout is long enough for more.
const MOST_ADDRESSES: usize = 8;

/// What is known of a lookup: nothing yet, the addresses, or why there are none.
type Found = Option<Result<Arc<[SocketAddr]>, String>>;

pub(super) type Answer = Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send>>;

/// Whoever is asked for addresses.
pub(super) type Resolver = Box<dyn Fn(String) -> Answer + Send + Sync>;

/// The lookups that go on.
pub(super) struct Names {
    resolver: Resolver,
    places: Arc<Semaphore>,
    under_way: Arc<Mutex<UnderWay>>,
}

type UnderWay = BTreeMap<String, watch::Receiver<Found>>;

/// Why a lookup is not over in time.
pub(super) enum Late {
    /// The resolver says nothing.
    Silent,
    /// It has not been asked: too many other names wait for it.
    Crowded,
}

impl Names {
    pub(super) fn of_system() -> Names {
        let resolver = |name: String| -> Answer {
            Box::pin(async move {
                // Ports are nothing that a resolver knows.
                let found = tokio::net::lookup_host((name, 0)).await?;
                Ok(found.take(MOST_ADDRESSES).collect())
            })
        };
        Names::with(Box::new(resolver))
    }

    pub(super) fn with(resolver: Resolver) -> Names {
        Names { resolver, places: Arc::new(Semaphore::new(MOST_LOOKUPS)), under_way: Arc::default() }
    }

    /// The addresses of a name, with no port, if they are told in time.
    pub(super) async fn look_up(&self, name: &str, until: Instant) -> Result<Result<Arc<[SocketAddr]>, Trouble>, Late> {
        let mut lookup = match self.ongoing(name) {
            Some(lookup) => lookup,
            None => {
                let place = timeout_at(until, self.places.clone().acquire_owned()).await.map_err(|_| Late::Crowded)?;
                self.begin(name, place.expect("nobody closes it"))
            }
        };
        let told = timeout_at(until, lookup.wait_for(Option::is_some)).await.map_err(|_| Late::Silent)?;
        let Ok(told) = told else {
            return Ok(Err(Trouble::Ours("a lookup was given up, as its thread ends".to_owned())));
        };
        let found = told.clone().expect("it was waited for");
        Ok(found.map_err(Trouble::Theirs))
    }

    /// A lookup of the same name that somebody else has begun.
    fn ongoing(&self, name: &str) -> Option<watch::Receiver<Found>> {
        lock(&self.under_way).get(name).cloned()
    }

    /// Asks the resolver, unless somebody was quicker.
    fn begin(&self, name: &str, place: OwnedSemaphorePermit) -> watch::Receiver<Found> {
        let mut under_way = lock(&self.under_way);
        if let Some(lookup) = under_way.get(name) {
            return lookup.clone();
        }
        let (tell, lookup) = watch::channel(None);
        under_way.insert(name.to_owned(), lookup.clone());
        let ends = Ends { name: name.to_owned(), under_way: self.under_way.clone(), _place: place };
        let answer = (self.resolver)(name.to_owned());
        // On its own, since it goes on when nobody waits any more; until then it keeps its place.
        tokio::spawn(async move {
            let found = answer.await;
            drop(ends);
            let _ = tell.send(Some(found_in(found)));
        });
        lookup
    }
}

/// When it is dropped, a lookup is over, and the next probe begins another.
struct Ends {
    name: String,
    under_way: Arc<Mutex<UnderWay>>,
    _place: OwnedSemaphorePermit,
}

impl Drop for Ends {
    fn drop(&mut self) {
        lock(&self.under_way).remove(&self.name);
    }
}

fn lock(under_way: &Mutex<UnderWay>) -> MutexGuard<'_, UnderWay> {
    // Whoever died while holding the lock had nothing half done.
    under_way.lock().unwrap_or_else(PoisonError::into_inner)
}

fn found_in(found: io::Result<Vec<SocketAddr>>) -> Result<Arc<[SocketAddr]>, String> {
    match found {
        Ok(addresses) if addresses.is_empty() => Err("name has no address".to_owned()),
        Ok(addresses) => Ok(addresses.into()),
        Err(error) => {
            // What the resolver says tells a name that is not there from a server of names that is not.
            let text = error.to_string();
            let said = text.rsplit(": ").next().unwrap_or_default();
            Err(format!("name does not resolve: {said}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;
    use tokio::sync::Notify;

    const SOON: Duration = Duration::from_millis(50);
    const LATE: Duration = Duration::from_secs(20);

    fn run(test: impl Future<Output = ()>) {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test);
    }

    /// A resolver that answers nobody until it is told to.
    fn slow() -> (Names, Arc<AtomicUsize>, Arc<Notify>) {
        let (asked, go) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
        let (counts, waits) = (asked.clone(), go.clone());
        let resolver = move |_| -> Answer {
            counts.fetch_add(1, Ordering::Relaxed);
            let waits = waits.clone();
            Box::pin(async move {
                waits.notified().await;
                Ok(vec!["10.0.0.1:0".parse().unwrap()])
            })
        };
        (Names::with(Box::new(resolver)), asked, go)
    }

    #[test]
    fn a_name_is_looked_up_once_at_a_time_and_nobody_has_to_wait() {
        run(async {
            let (names, asked, go) = slow();
            for _ in 0..3 {
                assert!(matches!(names.look_up("a", Instant::now() + SOON).await, Err(Late::Silent)));
            }
            assert_eq!(asked.load(Ordering::Relaxed), 1);
            go.notify_one();
            let found = names.look_up("a", Instant::now() + LATE).await.ok().unwrap();
            assert_eq!(&found.unwrap()[..], ["10.0.0.1:0".parse().unwrap()]);
            assert_eq!(asked.load(Ordering::Relaxed), 1, "whoever comes while it goes on is told of it, too");
            go.notify_one();
            assert!(names.look_up("a", Instant::now() + LATE).await.is_ok());
            assert_eq!(asked.load(Ordering::Relaxed), 2, "nothing is remembered");
            assert!(lock(&names.under_way).is_empty());
        });
    }

    #[test]
    fn no_more_than_the_bound_are_looked_up_at_once() {
        run(async {
            let (names, asked, go) = slow();
            for nth in 0..MOST_LOOKUPS {
                let late = names.look_up(&format!("host{nth}"), Instant::now() + Duration::from_millis(1)).await;
                assert!(matches!(late, Err(Late::Silent)));
            }
            assert!(matches!(names.look_up("another", Instant::now() + SOON).await, Err(Late::Crowded)));
            assert_eq!(asked.load(Ordering::Relaxed), MOST_LOOKUPS);
            assert!(matches!(names.look_up("host7", Instant::now() + SOON).await, Err(Late::Silent)), "it is asked");
            go.notify_waiters();
            go.notify_one();
            assert!(names.look_up("another", Instant::now() + LATE).await.is_ok());
        });
    }

    #[test]
    fn the_resolver_of_the_system_knows_this_host_and_not_everything() {
        run(async {
            let names = Names::of_system();
            let found = names.look_up("localhost", Instant::now() + LATE).await.ok().unwrap().unwrap();
            assert!(found.iter().any(|address| address.ip().is_loopback()), "{found:?}");
            // A name with an empty label is refused before any server is asked.
            let nowhere = names.look_up("no..such", Instant::now() + LATE).await.ok().unwrap().unwrap_err();
            assert!(
                matches!(&nowhere, Trouble::Theirs(why) if why.starts_with("name does not resolve")),
                "{nowhere:?}"
            );
        });
    }
}
