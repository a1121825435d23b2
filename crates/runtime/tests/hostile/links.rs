//! The law of links, between two replicas and through a bad wire: whenever a
//! link stands, what comes on it is what was said since it stood, in order,
//! without a gap.

use std::ops::RangeInclusive;
use std::time::Duration;

use crate::ports;
use crate::proxy::Proxy;
use crate::stage::{Do, Ground, HERE_I_AM, Saw, Stage};
use crate::tls::Office;

/// Reads what a replica heard of a peer, and answers how many links stood.
fn judge(stage: &Stage, peer: u16) -> usize {
    let (mut links, mut has_begun, mut last) = (0, false, 0);
    for saw in stage.seen() {
        match saw {
            Saw::Reconnect(from) if from == peer => (links, has_begun) = (links + 1, false),
            Saw::Heard(from, HERE_I_AM) if from == peer => {
                assert!(links > 0 && !has_begun, "the beginning of a link was heard twice, or before it stood");
                has_begun = true;
            }
            // Echoes are said in another order than what is counted.
            Saw::Heard(from, number) if from == peer && number < HERE_I_AM => {
                assert!(has_begun, "{number} is of an earlier link");
                assert!(number > last, "{number} came behind {last}");
                last = number;
            }
            _ => {}
        }
    }
    links
}

/// Between two beginnings, nothing is left out.
fn assert_no_gap(stage: &Stage, peer: u16) {
    let mut previous = None;
    for saw in stage.seen() {
        match saw {
            Saw::Heard(from, HERE_I_AM) if from == peer => previous = None,
            Saw::Heard(from, number) if from == peer && number < HERE_I_AM => {
                if let Some(previous) = previous {
                    assert_eq!(number, previous + 1, "a gap in the middle of a link");
                }
                previous = Some(number);
            }
            _ => {}
        }
    }
}

#[test]
fn a_link_keeps_the_order_and_loses_only_an_end() {
    keeps_the_order(1..=3, None);
}

/// What is cut, split and delayed under TLS are records, in any place.
#[test]
fn so_does_one_by_tls() {
    keeps_the_order(4..=4, Some(&Office::new("links")));
}

fn keeps_the_order(seeds: RangeInclusive<u64>, office: Option<&Office>) {
    for seed in seeds {
        let (here, there) = (ports::free(), ports::free());
        let proxy = Proxy::to(there, seed);
        let disk = Duration::from_millis(3);
        let mut near = Ground::of(0).with_peer(1, proxy.address).with_slow_disk(disk);
        near.addresses.insert(skein_machine::ProcessId(0), here);
        let mut far = Ground::of(1).with_peer(0, here).with_slow_disk(disk);
        far.addresses.insert(skein_machine::ProcessId(1), there);
        (near.tls, far.tls) = (office.map(|office| office.node(0)), office.map(|office| office.node(1)));
        let (near, far) = (near.start(), far.start());
        const WORDS: u64 = 3000;
        for number in 1..=WORDS {
            if number.is_multiple_of(5) {
                near.ask(&[Do::Persist(1)]);
                far.ask(&[Do::Persist(1)]);
            }
            near.ask(&[Do::Send(1, number)]);
            far.ask(&[Do::Send(0, number)]);
            if number.is_multiple_of(20) {
                std::thread::sleep(Duration::from_millis(10));
            }
            if number == WORDS - 500 {
                proxy.calm_down();
                std::thread::sleep(Duration::from_millis(1500));
            }
        }
        let has_last = |seen: &[Saw]| seen.iter().any(|saw| matches!(saw, Saw::Heard(_, WORDS)));
        near.wait_for("the last word", has_last);
        far.wait_for("the last word", has_last);
        for (stage, peer) in [(&near, 1), (&far, 0)] {
            assert!(judge(stage, peer) > 2, "the wire was good");
            assert_no_gap(stage, peer);
        }
    }
}
