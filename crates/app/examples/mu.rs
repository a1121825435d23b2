//! A counter that three processes hold in shared memory, in microseconds. One of
//! them is killed in the middle, and another goes on where it was. Run it with
//! `cargo run --release --example mu`.
//!
//! The process that is started starts the three; they tell it what they do.

use std::error::Error;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use bytes::Bytes;
use skein::machine::{Call, Frozen, Reply, Service, Shares, Timestamp};
use skein::mu::{Mu, MuConfig, MuError, Role};

const REPLICAS: usize = 3;

/// A deterministic state that commands change: each adds a number.
#[derive(Default)]
struct Counter(u64);

impl Service for Counter {
    /// Nobody holds a part of it that others need: there is one log.
    fn share(&self, _: &Call<'_>) -> Option<Bytes> {
        None
    }

    fn apply(&mut self, call: &Call<'_>, _: &Shares) -> Reply {
        self.0 += call.command.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
        self.read(call.stamp.timestamp, &Bytes::new())
    }

    fn read(&self, _: Timestamp, _: &Bytes) -> Reply {
        Reply(Bytes::copy_from_slice(&self.0.to_le_bytes()))
    }

    fn snapshot(&self) -> Box<dyn Frozen> {
        Box::new(Some(self.read(Timestamp(0), &Bytes::new()).0))
    }

    fn restore(&mut self, snapshot: Bytes) -> Result<(), String> {
        self.0 = u64::from_le_bytes(*snapshot.first_chunk().ok_or("a counter is eight bytes")?);
        Ok(())
    }
}

/// One replica: whoever leads adds one, a hundred times, then tells what it came to.
fn replica(name: &str, number: usize) -> Result<(), MuError> {
    let mut mu = Mu::open(&MuConfig::new(name, number, REPLICAS), Box::new(Counter::default()))?;
    let mut next = Instant::now();
    loop {
        if mu.role() != Role::Leading || Instant::now() < next {
            mu.poll();
            continue;
        }
        next = Instant::now() + Duration::from_millis(100);
        let began = Instant::now();
        let mut count = 0;
        for _ in 0..100 {
            match mu.propose(&1_u64.to_le_bytes()) {
                Ok(Reply(count_now)) => count = count_now.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes)),
                // Another one took over in the middle.
                Err(error) => eprintln!("replica {number}: {error}"),
            }
        }
        println!("replica {number} has counted to {count}, each in {:?}", began.elapsed() / 100);
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    if let [_, name, number] = &std::env::args().collect::<Vec<_>>()[..] {
        return Ok(replica(name, number.parse()?)?);
    }
    let name = format!("example-{}", std::process::id());
    let (say, heard) = channel();
    let mut children = Vec::new();
    for number in 0..REPLICAS {
        let mut command = Command::new(std::env::current_exe()?);
        let mut child = command.args([&name, &number.to_string()]).stdout(Stdio::piped()).spawn()?;
        let lines = BufReader::new(child.stdout.take().expect("it is a pipe")).lines();
        let say = say.clone();
        std::thread::spawn(move || lines.map_while(Result::ok).try_for_each(|line| say.send(line)));
        children.push(child);
    }
    show(&heard, "replica 0", 3)?;
    println!("replica 0 is killed");
    children[0].kill()?;
    children[0].wait()?;
    show(&heard, "replica 1", 3)?;
    children.iter_mut().try_for_each(Child::kill)?;
    MuConfig::new(&name, 0, REPLICAS).folder().map_or(Ok(()), std::fs::remove_dir_all)?;
    Ok(())
}

/// Shows what is said, until one of them has said so much.
fn show(heard: &Receiver<String>, who: &str, lines: usize) -> Result<(), Box<dyn Error>> {
    let mut left = lines;
    while left > 0 {
        let line = heard.recv_timeout(Duration::from_secs(10))?;
        println!("{line}");
        left -= usize::from(line.starts_with(who));
    }
    Ok(())
}
