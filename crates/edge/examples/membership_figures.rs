//! The figures of membership, measured in the simulator: how long a death stays
//! unknown, who is declared dead without being so, what a member sends, and how
//! fleets come out of storms. A few seeds unless it is told how many: `cargo run
//! --release -p skein-edge --example membership_figures 200`.

#[path = "../../app/src/edge_sim/mod.rs"]
#[allow(dead_code, unused_imports)] // tests need more of it
mod edge_sim;

use edge_sim::{Plan, calm, crowd, detection, storm};
use skein_sim::{Nanos, SECOND};

fn main() {
    let seeds: u64 = std::env::args().nth(1).map_or(3, |seeds| seeds.parse().expect("a number of seeds"));
    let seconds = |nanos: Nanos| nanos as f64 / SECOND as f64;

    for loss in [0.0, 0.05] {
        let took = |seed| detection(Plan::of(64, seed).losing(loss)).unwrap_or(Nanos::MAX);
        let mut took: Vec<Nanos> = (0..seeds).map(took).collect();
        took.sort_unstable();
        let at = |part: u64| seconds(took[((seeds * part).div_ceil(100) - 1) as usize]);
        let (half, most, all) = (at(50), at(99), at(100));
        println!("loss {loss}: all of 64 know of a death after {half:.2} s (p50), {most:.2} s (p99), {all:.2} s (max)");
    }

    // Three minutes for each seed: half an hour where there are ten.
    let span = 180 * SECOND;
    let lossy: Vec<_> = (0..seeds).map(|seed| calm(Plan::of(64, seed).losing(0.05), span)).collect();
    let deaths: u64 = lossy.iter().map(|calm| calm.false_deaths).sum();
    let suspicions: u64 = lossy.iter().map(|calm| calm.suspicions).sum();
    let minutes = seeds * span / SECOND / 60;
    println!("of 100 datagrams 5 lost, {minutes} minutes of 64: {deaths} false deaths, {suspicions} told suspicions");

    let quiet = calm(Plan::of(64, 0), span).bytes_per_member_s;
    println!("bytes a member sends in a second: {quiet:.0}, and {:.0} with that loss", lossy[0].bytes_per_member_s);

    let stormy: Vec<_> = (0..seeds * 10).map(|seed| storm(Plan::of(12, seed).losing(0.02), 60 * SECOND)).collect();
    let wrong = stormy.iter().filter(|took| took.is_err()).count();
    let slowest = stormy.iter().flatten().max().copied().unwrap_or_default();
    println!(
        "after {} storms {wrong} fleets of 12 were wrong, the slowest right after {} s",
        seeds * 10,
        seconds(slowest)
    );

    let places = if seeds > 10 { 50 } else { 2 };
    let crowd = crowd(Plan::of(64, 0).in_places(places), 10);
    println!("{places} places of 64 began in {:.1?}; a second takes {:.3?}", crowd.beginning, crowd.a_second);
}
