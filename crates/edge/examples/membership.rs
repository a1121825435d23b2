//! Three members of a fleet: they find each other through the first, one is
//! killed and found dead, it starts again, and another leaves politely. Run it
//! with `cargo run -p skein-edge --example membership`.
//!
//! A member is a machine, so the network and the time are simulated here, and
//! each run tells the same story.

use std::cell::Cell;

use skein_edge::membership::{Command, Event, Pace, Settings};
use skein_edge::{Book, Member, Membership, Name, Planted};
use skein_machine::{Boot, ProcessId};
use skein_sim::{Datagrams, DiskHabits, Latency, Nanos, Occurrence, SECOND, World};

const NAMES: [&str; 3] = ["anna", "berta", "carla"];

/// A machine for a process that comes to life. Whoever starts members sees to it that no life is used twice.
fn member(process: ProcessId, life: u64) -> Membership {
    let name = Name::new(NAMES[usize::from(process.0)]).expect("a name of letters");
    let place = Name::new("copenhagen").expect("a name of letters");
    let me = Member::new(name, place, Book::ruled_address(process)).living(life);
    // All have the same list. Anna has nobody else to ask, so she founds the fleet.
    let seeds = vec![Book::ruled_address(ProcessId(0))];
    Membership::new(Settings { me, seeds, pace: Pace::of(3), planted: Planted::NONE }, Book::of_rule())
}

/// Lets some time pass, and prints what members tell their users.
fn watch(world: &mut World<Membership>, seconds: Nanos) {
    let horizon = world.now() + seconds * SECOND;
    while let Some(occurrence) = world.next(horizon) {
        let Occurrence::Told { process, event, .. } = occurrence else { continue };
        let who = NAMES[usize::from(process.0)];
        let what = match event {
            Event::Joined => "I am in".to_owned(),
            Event::Up(member) => format!("{member} is there"),
            Event::Suspect(member) => format!("{member} does not answer"),
            Event::Trusted(member) => format!("{member} does answer"),
            Event::Down(member) => format!("{member} is down"),
            Event::Left(member) => format!("{member} has left"),
            Event::Refused(why) => format!("they do not let me in: {why:?}"),
            Event::Renewed => "they took me for dead, and I am not".to_owned(),
            Event::Gone => "I have left".to_owned(),
        };
        println!("{:>7.3} s  {who}: {what}", world.now() as f64 / SECOND as f64);
    }
}

fn main() {
    let processes = [0, 1, 2].map(ProcessId);
    let lives = Cell::new(0);
    let maker = move |process, _: Boot| {
        lives.set(lives.get() + 1);
        member(process, lives.get())
    };
    let latency = Latency::edge(&processes, |_| 0);
    let mut world = World::new(&processes, latency, DiskHabits::INSTANT, 1, Box::new(maker));
    world.let_datagrams(Datagrams::COMMON.with_loss(0.05));

    println!("All three start.");
    world.start();
    watch(&mut world, 3);

    println!("Berta is killed.");
    world.crash(processes[1]);
    watch(&mut world, 10);

    println!("Berta starts again.");
    world.restart(processes[1]);
    watch(&mut world, 5);

    println!("Carla leaves.");
    world.command(processes[2], Command::Leave);
    watch(&mut world, 5);

    let anna = world.machine(processes[0]).expect("nobody stopped her");
    let living: Vec<String> = anna.living().map(ToString::to_string).collect();
    println!("Anna sees {}.", living.join(" and "));
    assert_eq!(living.len(), 2, "Anna and Berta are there");
}
