//! dbg
#[path = "../../app/src/edge_sim/mod.rs"]
#[allow(dead_code, unused_imports)]
mod edge_sim;
use edge_sim::figures::*;
use edge_sim::maps::Plan;
fn main() {
    let a: Vec<String> = std::env::args().collect();
    let t = std::time::Instant::now();
    match a[1].as_str() {
        "probe" => println!("{:?}", probing(1, 1000)),
        "catch" => println!("{}", catch_up_ratio(1, 20_000)),
        "heal" => {
            for s in 0..a[2].parse().unwrap() {
                for f in heal(s) {
                    println!("{s} {f}");
                }
            }
        }
        _ => {
            let n = |i: usize| a[i].parse::<usize>().unwrap();
            let s = spreading(
                &Plan { loss: a[6].parse().unwrap(), ..Plan::of(n(2) as u16, n(3) as u16, 1) },
                n(4),
                n(5),
                100_000_000,
            );
            println!(
                "local p50 {} p99 {} all p50 {} p99 {} lost {} bytes/s {}",
                s.local[s.local.len() / 2] as f64 / 1e9,
                p99(&s.local),
                s.all[s.all.len() / 2] as f64 / 1e9,
                p99(&s.all),
                s.lost,
                s.bytes_per_member_s
            );
        }
    }
    println!("{:?}", t.elapsed());
}
