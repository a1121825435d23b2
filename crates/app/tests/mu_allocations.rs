//! What a leader does for a request takes no memory from the system. Alone in
//! its process, for all threads of one count.

use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use skein::machine::{Call, Frozen, Reply, Service, Shares, Timestamp};
use skein::mu::{Fabric, Mu, MuConfig, Role};

/// Counts requests, and says nothing.
#[derive(Default)]
struct Counter(u64);

impl Service for Counter {
    fn share(&self, _: &Call<'_>) -> Option<Bytes> {
        None
    }

    fn apply(&mut self, _: &Call<'_>, _: &Shares) -> Reply {
        self.0 += 1;
        Reply(Bytes::from_static(b"done"))
    }

    fn read(&self, _: Timestamp, _: &Bytes) -> Reply {
        Reply(Bytes::copy_from_slice(&self.0.to_le_bytes()))
    }

    fn snapshot(&self) -> Box<dyn Frozen> {
        Box::new(Some(self.read(Timestamp(0), &Bytes::new()).0))
    }

    fn restore(&mut self, state: Bytes) -> Result<(), String> {
        self.0 = u64::from_le_bytes(*state.first_chunk().ok_or("a count is eight bytes")?);
        Ok(())
    }
}

/// Gone with the test, whether it is well or not.
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn a_request_takes_no_memory() {
    let folder = Folder(PathBuf::from(format!("/dev/shm/skein-mu-allocations-{}", std::process::id())));
    let open = |replica| {
        let mut config = MuConfig::new("allocations", replica, 3);
        config.fabric = Fabric::Shared(folder.0.clone());
        // Whoever is not polled for a while is not taken for dead.
        config.pace.tick = Duration::from_millis(100);
        // What comes by again and again, between requests, may take some; it comes seldom here.
        config.pace.glance = Duration::from_millis(100);
        Mu::open(&config, Box::new(Counter::default())).unwrap()
    };
    let mut replicas: Vec<Mu> = (0..3).map(open).collect();
    while replicas[0].role() != Role::Leading || !replicas.iter().all(Mu::is_well) {
        replicas.iter_mut().for_each(|mu| drop(mu.poll()));
    }
    let mut rounds = Vec::new();
    for _ in 0..40 {
        let leader = &mut replicas[0];
        let taken = allocation_counter::measure(|| {
            for _ in 0..100 {
                leader.propose(&[7; 64]).unwrap();
            }
        });
        rounds.push(taken.count_total);
        // The others have to keep up.
        replicas.iter_mut().for_each(|mu| while mu.poll().is_some() {});
        let applied = replicas[0].applied();
        while replicas.iter().any(|mu| mu.applied() + 16 < applied) {
            replicas.iter_mut().for_each(|mu| drop(mu.poll()));
        }
    }
    // The first take some: they find the room that is used later.
    let without = rounds.iter().filter(|count| **count == 0).count();
    assert!(without >= 20, "{rounds:?}");
}
