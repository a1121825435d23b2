//! The bounds of a server, each reached.

use std::io::Write;
use std::time::{Duration, Instant};

use skein_runtime::streams::Settings;

use crate::lines::{Client, Lines, PATIENCE, Saw, Stage};

const SOON: Duration = Duration::from_millis(300);

/// Says a byte now and then until it is cut off.
fn drips(client: &mut Client) {
    client.stream.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    let begin = Instant::now();
    while client.stream.write_all(b"x").is_ok() && !client.is_cut() {
        assert!(begin.elapsed() < PATIENCE, "nobody cuts it off");
    }
}

#[test]
fn whoever_says_nothing_whole_is_cut_off() {
    let stage = Stage::new(Settings { first_word: SOON, ..Settings::default() });
    let mut speaks = stage.client();
    speaks.asks("here\n");
    let (mut mute, mut slow) = (stage.client(), stage.client());
    drips(&mut slow);
    assert!(mute.is_cut());
    stage.wait_until_gone(2);
    speaks.asks("still here\n");
}

#[test]
fn whoever_does_not_come_to_an_end_is_cut_off() {
    let stage = Stage::new(Settings { unfinished: SOON, ..Settings::default() });
    let (mut idle, mut slow, mut announces) = (stage.client(), stage.client(), stage.client());
    for client in [&mut idle, &mut slow, &mut announces] {
        client.asks("here\n");
    }
    announces.say("=1000000\n");
    drips(&mut announces);
    drips(&mut slow);
    stage.wait_until_gone(2);
    idle.asks("still here\n");
}

/// It takes many times as long as anything unfinished may stand still.
#[test]
fn what_is_long_may_take_its_time() {
    let stage = Stage::new(Settings { unfinished: Duration::from_secs(2), ..Settings::default() });
    let mut client = stage.client();
    client.say("=4000000\n");
    for _ in 0..40 {
        client.say(&"v".repeat(100_000));
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(client.hear(), "got 4000000\n");
}

#[test]
fn whoever_is_silent_is_cut_off_where_that_is_wanted() {
    let stage = Stage::new(Settings { idle: Some(SOON), ..Settings::default() });
    let (mut silent, mut listens) = (stage.client(), stage.client());
    listens.asks("here\n");
    stage.act(|lines, desk| lines.here.iter().for_each(|client| desk.may_be_silent(*client, true)));
    stage.ask(|lines, desk| desk.may_be_silent(lines.here[0], false));
    assert!(silent.is_cut());
    listens.asks("still here\n");
}

#[test]
fn whoever_never_takes_its_answers_is_cut_off_and_nobody_else() {
    let stage = Stage::new(Settings { most_backlog: 8 << 20, ..Settings::default() });
    let (mut deaf, mut other) = (stage.client(), stage.client());
    let begin = Instant::now();
    // More than the sockets hold, and far more in each request than is kept.
    while deaf.stream.write_all("!100000\n".repeat(1000).as_bytes()).is_ok() && stage.count(is_gone) == 0 {
        other.asks("meanwhile\n");
        let kept = stage.ask(|_, desk| desk.backlog_kept());
        assert!(kept <= (8 << 20) + 200_000, "{kept} bytes are kept");
        assert!(begin.elapsed() < PATIENCE, "nobody cuts it off");
    }
    stage.wait_until_gone(1);
    other.asks("still here\n");
    assert_eq!(stage.ask(|_, desk| (desk.count(), desk.backlog_kept())), (1, 0));
}

fn is_gone(saw: &Saw) -> bool {
    matches!(saw, Saw::Gone(_))
}

/// A protocol that asks whether there is room cuts nobody off who takes its answers, however many it asks for at once;
/// and whoever takes none makes it keep no more, until it is gone.
#[test]
fn whoever_takes_its_answers_may_ask_for_any_number_of_them() {
    let settings = Settings { most_backlog: 8 << 20, unfinished: Duration::from_secs(2), ..Settings::default() };
    let stage = Stage::with(settings, None, Lines { asks_for_room: true, ..Lines::default() });
    let (mut takes, mut deaf) = (stage.client(), stage.client());
    for client in [&mut takes, &mut deaf] {
        client.say(&"!1000000\n".repeat(300));
    }
    for number in 0..300 {
        assert_eq!(takes.hear().len(), 1_000_001);
        if number % 10 == 0 {
            let kept = stage.ask(|_, desk| desk.backlog_kept());
            assert!(kept <= 2 * ((4 << 20) + 1_500_000), "{kept} bytes are kept");
        }
    }
    takes.asks("here\n");
    stage.wait_until_gone(1);
    takes.asks("still here\n");
}

/// One answer may be longer than what is called slow, and comes whole.
#[test]
fn a_long_answer_is_no_delay() {
    let stage = Stage::new(Settings { most_backlog: 1 << 20, ..Settings::default() });
    let mut client = stage.client();
    client.say("!50000000\n");
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(client.hear().len(), 50_000_001);
    client.asks("here\n");
}

/// Everybody stays below the bound of one, and together they are too much: those who have most go first.
#[test]
fn a_crowd_that_takes_nothing_is_held_within_bounds() {
    let most_backlog_all = 64 << 20;
    let stage = Stage::new(Settings { most_backlog: 32 << 20, most_backlog_all, ..Settings::default() });
    let mut modest = stage.client();
    modest.say("!10000000\n");
    let mut crowd: Vec<Client> = (0..12).map(|_| stage.client()).collect();
    for client in &mut crowd {
        client.say("!25000000\n");
        let kept = stage.ask(|_, desk| desk.backlog_kept());
        assert!(kept <= most_backlog_all, "{kept} bytes are kept");
    }
    stage.wait_until_gone(5);
    assert_eq!(modest.hear().len(), 10_000_001);
    assert!(stage.ask(|_, desk| desk.count()) > 1, "no more are cut off than have to be");
}

/// What this process has in memory, where that can be known.
fn resident() -> Option<usize> {
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    Some(statm.split(' ').nth(1)?.parse::<usize>().ok()? * 4096)
}

/// A hundred announce 50 GB together, and send a little of it.
#[test]
fn what_is_announced_costs_nothing_before_it_comes() {
    let stage = Stage::new(Settings::default());
    let before = resident();
    let mut clients: Vec<Client> = (0..100).map(|_| stage.client()).collect();
    for client in &mut clients {
        client.say("=536870912\n");
        client.say(&"v".repeat(100_000));
    }
    let come = 100 * (11 + 100_000);
    stage.wait_for("all that was sent", || stage.ask(|_, desk| desk.input_kept()) == come);
    if let (Some(before), Some(after)) = (before, resident()) {
        // Other tests have their own at the same time, but nothing like what was announced.
        assert!(after < before + (1 << 30), "{before} bytes were resident, and now {after}");
    }
}

#[test]
fn those_who_say_too_much_together_are_held_within_bounds() {
    let stage = Stage::new(Settings { most_input_all: 8 << 20, ..Settings::default() });
    let mut small = stage.client();
    small.say("=1000000\nhalf of it");
    stage.wait_for("its half", || stage.ask(|_, desk| desk.input_kept()) > 0);
    let mut large: Vec<Client> = (0..3).map(|_| stage.client()).collect();
    for client in &mut large {
        let _ = client.stream.write_all(format!("=100000000\n{}", "v".repeat(3 << 20)).as_bytes());
    }
    stage.wait_until_gone(1);
    let (kept, count) = stage.ask(|lines, desk| (lines.most_kept, desk.count()));
    assert!(kept <= (8 << 20) + (512 << 10) && count == 3, "{kept} bytes of {count} clients");
    small.say(&"v".repeat(1_000_000 - "half of it".len()));
    assert_eq!(small.hear(), "got 1000000\n");
}

/// It is read no further than its bound, and then there is nothing to wait for.
#[test]
fn a_line_without_an_end_is_read_up_to_the_bound() {
    let settings = Settings { most_input: 256 << 10, unfinished: Duration::from_secs(1), ..Settings::default() };
    let stage = Stage::new(settings);
    let mut client = stage.client();
    let begin = Instant::now();
    client.stream.set_write_timeout(Some(Duration::from_millis(20))).unwrap();
    while stage.count(is_gone) == 0 {
        let _ = client.stream.write(&[b'x'; 10_000]);
        let kept = stage.ask(|_, desk| desk.input_kept());
        assert!(kept <= 768 << 10, "{kept} bytes are kept");
        assert!(begin.elapsed() < PATIENCE, "nobody cuts it off");
    }
}

/// No protocol can expect more than the server has set.
#[test]
fn an_expectation_is_bounded() {
    let settings = Settings { most_expected: 1 << 20, unfinished: Duration::from_secs(1), ..Settings::default() };
    let stage = Stage::new(settings);
    let mut client = stage.client();
    client.stream.set_write_timeout(Some(Duration::from_millis(20))).unwrap();
    client.say("=536870912\n");
    let begin = Instant::now();
    while stage.count(is_gone) == 0 {
        let _ = client.stream.write(&[b'x'; 10_000]);
        assert!(stage.ask(|_, desk| desk.input_kept()) <= (1 << 20) + (512 << 10));
        assert!(begin.elapsed() < PATIENCE, "nobody cuts it off");
    }
}

#[test]
fn whoever_comes_too_late_is_told() {
    let refusal = b"there are too many\n".to_vec();
    let stage = Stage::new(Settings { most_streams: 5, refusal, ..Settings::default() });
    let mut clients: Vec<Client> = (0..5).map(|_| stage.client()).collect();
    clients.iter_mut().for_each(|client| client.asks("here\n"));
    for _ in 0..20 {
        let mut late = stage.client();
        assert_eq!(late.hear(), "there are too many\n");
        assert!(late.is_cut());
    }
    clients.iter_mut().for_each(|client| client.asks("still here\n"));
    // Five times two lines, there and back; what the others were told nobody counts as said to a client.
    let tally = stage.ask(|_, desk| desk.tally());
    assert_eq!((tally.refused, tally.unopened, tally.heard, tally.told), (20, 0, 80, 80));
    drop(clients.pop());
    stage.wait_for("room", || stage.server.streams() == 4);
    stage.client().asks("here\n");
}

/// The child: lets so many descriptors go by as it has, and goes on. Does nothing in an ordinary run.
#[test]
fn child_without_descriptors() {
    if std::env::var_os("SKEIN_TEST_FEW_DESCRIPTORS").is_none() {
        return;
    }
    let refusal = b"there are too many\n".to_vec();
    let stage = Stage::new(Settings { refusal, ..Settings::default() });
    let mut first = stage.client();
    first.asks("here\n");
    // The listening socket of somebody else takes no part: only descriptors are short.
    let mut hoard = Vec::new();
    while let Ok(file) = std::fs::File::open("/dev/null") {
        hoard.push(file);
    }
    // One for the near end: for the far end there is none.
    hoard.truncate(hoard.len() - 1);
    let waits = std::net::TcpStream::connect(stage.address()).unwrap();
    first.asks("still here\n");
    hoard.truncate(hoard.len() - 11);
    let mut waits = Client::over(waits);
    // There are some now, but they are not for streams.
    assert_eq!(waits.hear(), "there are too many\n");
    hoard.clear();
    stage.client().asks("here\n");
    println!("was let in");
}

#[test]
fn descriptors_are_left_for_others() {
    let test = std::env::current_exe().unwrap();
    let mut command = std::process::Command::new("sh");
    let script =
        format!("ulimit -n 400; exec {} limits::child_without_descriptors --exact --nocapture", test.display());
    let output = command.args(["-c", &script]).env("SKEIN_TEST_FEW_DESCRIPTORS", "1").output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("was let in"), "{said}{}", String::from_utf8_lossy(&output.stderr));
}
