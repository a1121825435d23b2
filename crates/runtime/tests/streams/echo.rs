//! What is said comes back: in pieces, together, from several threads, and no
//! faster than the protocol wants it.

use std::io::{ErrorKind, Write};
use std::time::Duration;

use skein_runtime::streams::Settings;

use crate::lines::{PATIENCE, Saw, Stage};

#[test]
fn lines_come_back_however_they_were_cut() {
    let stage = Stage::new(Settings::default());
    let mut client = stage.client();
    client.asks("one\n");
    for byte in ["t", "w", "o", "\n", "th", "ree\nfour", "\n"] {
        client.say(byte);
        std::thread::sleep(Duration::from_millis(1));
    }
    assert_eq!([client.hear(), client.hear(), client.hear()], ["two\n", "three\n", "four\n"]);
    // Far more than is read at once, answered while it is said.
    let mut writer = client.stream.try_clone().unwrap();
    let speaker = std::thread::spawn(move || {
        for number in 0..100_000 {
            writeln!(writer, "line {number}").unwrap();
            if number % 1000 == 0 {
                writer.write_all(&b"x".repeat(number)).unwrap();
                writer.write_all(b"\n").unwrap();
            }
        }
    });
    for number in 0..100_000 {
        assert_eq!(client.hear(), format!("line {number}\n"));
        if number % 1000 == 0 {
            assert_eq!(client.hear().len(), number + 1);
        }
    }
    speaker.join().unwrap();
}

#[test]
fn every_address_is_served() {
    let stage = Stage::new(Settings::default());
    let [one, two] = stage.server.addresses() else { panic!("two were asked for") };
    assert_ne!(one, two);
    for address in [one, two] {
        crate::lines::Client::connect(*address).asks("here\n");
    }
    let error =
        skein_runtime::streams::Server::open(vec![*one], None, Settings::default(), crate::lines::Lines::default());
    let error = error.map(|_| ()).unwrap_err().to_string();
    assert!(error.contains(&format!("cannot listen at {one}: ")), "{error}");
}

#[test]
fn long_values_come_and_go_whole() {
    let stage = Stage::new(Settings::default());
    let mut client = stage.client();
    for length in [0, 1, 65_535, 1 << 20, 40 << 20] {
        client.say(&format!("={length}\n"));
        client.say(&"v".repeat(length));
        assert_eq!(client.hear(), format!("got {length}\n"));
        client.say(&format!("!{length}\n"));
        assert_eq!(client.hear().len(), length + 1);
    }
    assert_eq!(stage.ask(|_, desk| (desk.input_kept(), desk.backlog_kept())), (0, 0));
}

/// From eight threads at once: none is lost, and those of one thread stay in order.
#[test]
fn calls_come_from_other_threads() {
    let stage = Stage::new(Settings::default());
    let mut client = stage.client();
    client.asks("here\n");
    let id = stage.ask(|lines, _| lines.here[0]);
    let threads: Vec<_> = (0..8)
        .map(|thread| {
            let caller = stage.caller();
            std::thread::spawn(move || {
                for number in 0..5000 {
                    let said = format!("{thread} {number}\n");
                    caller.call(Box::new(move |_, desk| desk.write(id).extend_from_slice(said.as_bytes()))).unwrap();
                    // Now and then the server sleeps in between.
                    if number % 500 == 0 {
                        std::thread::sleep(Duration::from_millis(1));
                    }
                }
            })
        })
        .collect();
    let mut next = [0; 8];
    for _ in 0..8 * 5000 {
        let line = client.hear();
        let (thread, number) = line.trim().split_once(' ').unwrap();
        let expected = &mut next[thread.parse::<usize>().unwrap()];
        assert_eq!(number.parse::<usize>().unwrap(), *expected);
        *expected += 1;
    }
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}

/// One call at a time, each to a server that is about to sleep or does: a lost wake would leave it until the next tick,
/// and a thousand of those would be seen.
#[test]
fn a_call_wakes_whoever_sleeps() {
    let stage = Stage::new(Settings::default());
    let before = stage.ask(|lines, _| lines.ticks);
    for number in 0..2000_u64 {
        std::thread::sleep(Duration::from_micros(number % 50));
        stage.ask(|_, _| ());
    }
    let ticks = stage.ask(|lines, _| lines.ticks) - before;
    assert!(ticks < 1000, "{ticks} ticks in 2000 calls");
}

#[test]
fn whoever_is_paused_cannot_go_on_and_loses_nothing() {
    let settings = Settings { unfinished: Duration::from_secs(1), ..Settings::default() };
    let stage = Stage::new(settings);
    let (mut client, mut other) = (stage.client(), stage.client());
    client.say("wait\n");
    stage.wait_for("a client", || stage.count(|saw| matches!(saw, Saw::Came(_))) == 2);
    let id = stage.ask(|lines, _| lines.here[0]);
    // Until the sockets at both ends are full.
    client.stream.set_write_timeout(Some(Duration::from_secs(2))).unwrap();
    let line = "0123456789".repeat(100) + "\n";
    let mut said = 0;
    let torn = loop {
        match client.stream.write(&line.as_bytes()[said % line.len()..]) {
            Ok(count) => said += count,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                break said % line.len();
            }
            Err(error) => panic!("{error}"),
        }
        assert!(said < 1 << 30, "nobody holds it up");
    };
    other.asks("meanwhile\n");
    assert!(stage.ask(|_, desk| desk.input_kept()) <= 2 << 20);
    // Longer than anything unfinished may take by now: a stream that is paused is not to blame.
    stage.act(move |_, desk| desk.resume(id));
    for _ in 0..said / line.len() {
        assert_eq!(client.hear(), line);
    }
    client.say(&line[torn..]);
    assert_eq!(client.hear(), line);
    // Twice in one turn, and with nothing there: that does no harm.
    stage.act(move |_, desk| {
        desk.resume(id);
        desk.pause(id);
        desk.resume(id);
        desk.resume(id);
    });
    client.asks("again\n");
    client.stream.set_write_timeout(Some(PATIENCE)).unwrap();
    // What stands behind the line that pauses is handed in again without another byte.
    client.say("wait\nbehind\n");
    std::thread::sleep(Duration::from_millis(20));
    assert_eq!(stage.ask(|_, desk| desk.input_kept()), "behind\n".len());
    stage.act(move |_, desk| desk.resume(id));
    assert_eq!(client.hear(), "behind\n");
    // What is unfinished while it waits has its time afterwards.
    client.say("wait\nun");
    std::thread::sleep(Duration::from_millis(1300));
    stage.act(move |_, desk| desk.resume(id));
    std::thread::sleep(Duration::from_millis(300));
    client.say("finished\n");
    assert_eq!(client.hear(), "unfinished\n");
}

/// Those who speak all the time do not make others wait: everybody has a turn.
#[test]
fn a_flood_leaves_room_for_others() {
    let stage = Stage::new(Settings::default());
    let floods: Vec<_> = (0..4)
        .map(|_| {
            let mut client = stage.client();
            client.stream.set_write_timeout(Some(Duration::from_millis(100))).unwrap();
            let mut reader = client.stream.try_clone().unwrap();
            let lines = "y\n".repeat(50_000);
            let takes = std::thread::spawn(move || std::io::copy(&mut reader, &mut std::io::sink()));
            let says = std::thread::spawn(move || while client.stream.write(lines.as_bytes()).is_ok() {});
            (takes, says)
        })
        .collect();
    let mut client = stage.client();
    for number in 0..50 {
        client.asks(&format!("{number}\n"));
    }
    drop(stage);
    for (takes, says) in floods {
        let _ = takes.join().unwrap();
        says.join().unwrap();
    }
}
