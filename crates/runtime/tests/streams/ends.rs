//! How streams come to an end, and how the server does.

use std::io::Write;
use std::net::{Shutdown, TcpStream};

use skein_runtime::streams::{Settings, StreamId};

use crate::lines::{Lines, Saw, Stage};

#[test]
fn whoever_says_nothing_more_is_answered_and_closed() {
    let stage = Stage::new(Settings::default());
    let mut client = stage.client();
    client.say("one\n!5000000\ntwo\ntor");
    client.stream.shutdown(Shutdown::Write).unwrap();
    let rest = client.rest();
    assert!(rest.starts_with("one\nxxx") && rest.ends_with("x\ntwo\n") && rest.len() == 5_000_009, "{}", rest.len());
    stage.wait_until_gone(1);
    let [Saw::Came(came), Saw::Ended(ended), Saw::Gone(gone)] = stage.seen()[..] else { panic!("{:?}", stage.seen()) };
    assert!(came == ended && ended == gone);
}

#[test]
fn an_answer_that_is_owed_comes_after_the_end() {
    let stage = Stage::with(Settings::default(), None, Lines { answers_late: true, ..Lines::default() });
    let mut client = stage.client();
    client.say("later\n");
    client.stream.shutdown(Shutdown::Write).unwrap();
    stage.wait_for("the end", || stage.count(|saw| matches!(saw, Saw::Ended(_))) == 1);
    stage.act(|lines, desk| {
        let client = lines.owed.pop().unwrap();
        desk.write(client).extend_from_slice(b"here it is\n");
        desk.close(client);
    });
    assert_eq!(client.rest(), "here it is\n");
}

/// Whoever owns the server has to know, for nobody else can do anything about it.
#[test]
fn a_server_whose_protocol_panics_says_that_it_has_ended() {
    let stage = Stage::new(Settings::default());
    assert!(!stage.has_ended());
    stage.act(|_, _| panic!("on purpose"));
    stage.wait_for("the end of its thread", || stage.has_ended());
}

/// Also when nothing is read of it, as of one that waits for something.
#[test]
fn whoever_vanishes_while_paused_is_noticed() {
    let stage = Stage::new(Settings::default());
    for is_polite in [true, false] {
        let mut client = stage.client();
        client.asks("here\n");
        client.say("wait\nand more\n");
        let id = stage.ask(|lines, _| *lines.here.last().unwrap());
        stage.wait_for("the line", || stage.ask(|_, desk| desk.input_kept()) == "and more\n".len());
        if !is_polite {
            // What was not read when it is closed makes it a reset.
            stage.act(move |_, desk| desk.write(id).extend_from_slice(b"not read\n"));
            let mut byte = [0];
            assert_eq!(client.stream.peek(&mut byte).unwrap(), 1);
        }
        drop(client);
        stage.wait_for("its end", || stage.seen().contains(&Saw::Gone(id)));
    }
}

/// A farewell is heard to its last byte, although there was more to say to us.
#[test]
fn what_was_written_is_taken_before_the_end() {
    let stage = Stage::new(Settings::default());
    for (last, farewell) in [("bye\n", "bye\n"), ("bad\n", "that is no request\n")] {
        let mut client = stage.client();
        // More than is read at once: were it unread at the end, the system would take back what was written.
        client.say(&format!("!3000000\n{last}{}", "too late\n".repeat(30_000)));
        let rest = client.rest();
        assert!(rest.len() == 3_000_001 + farewell.len() && rest.ends_with(&format!("x\n{farewell}")));
    }
    stage.wait_until_gone(2);
    assert_eq!(stage.ask(|lines, desk| (lines.here.len(), desk.count())), (0, 0));
}

/// A name that was one client's is never another's, even in the same place.
#[test]
fn nobody_gets_what_is_for_another() {
    let stage = Stage::new(Settings::default());
    let mut first = stage.client();
    first.asks("here\n");
    let gone = stage.ask(|lines, _| lines.here[0]);
    first.say("bye\n");
    assert_eq!(first.rest(), "bye\n");
    drop(first);
    stage.wait_for("room", || stage.server.streams() == 0);
    let mut second = stage.client();
    second.asks("here\n");
    let here: StreamId = stage.ask(|lines, _| lines.here[0]);
    assert!(here > gone && here.number() == gone.number() + 1);
    stage.act(move |_, desk| {
        desk.write(gone).extend_from_slice(b"for somebody else\n");
        desk.pause(gone);
        desk.expect(gone, 1 << 30);
        desk.settled(gone);
        desk.close(gone);
        assert!(desk.backlog(gone) == 0 && !desk.listens(gone) && desk.listens(here));
    });
    second.asks("mine\n");
}

#[test]
fn a_stop_is_an_end_for_everybody() {
    let stage = Stage::new(Settings::default());
    let mut clients: Vec<_> = (0..10).map(|_| stage.client()).collect();
    clients.iter_mut().for_each(|client| client.asks("here\n"));
    let (caller, address) = (stage.caller(), stage.address());
    drop(stage);
    clients.iter_mut().for_each(|client| assert!(client.is_cut()));
    assert!(caller.call(Box::new(|_, _| ())).is_err());
    assert!(TcpStream::connect(address).is_err());
}

/// Who is busy stays until it is not.
#[test]
fn whoever_retires_lets_go_of_the_idle() {
    let stage = Stage::new(Settings::default());
    let (mut idle, mut owed, mut torn) = (stage.client(), stage.client(), stage.client());
    idle.asks("here\n");
    owed.asks("here\n");
    owed.say("later\n");
    torn.asks("here\n");
    torn.say("I am not yet");
    stage.wait_for("all that", || stage.ask(|lines, desk| (lines.owed.len(), desk.input_kept())) == (1, 12));
    stage.server.retire();
    assert_eq!(idle.rest(), "");
    let ticks = stage.ask(|lines, _| lines.ticks);
    stage.wait_for("ticks", || stage.ask(|lines, _| lines.ticks) > ticks + 1);
    assert!(TcpStream::connect(stage.address()).is_err());
    assert_eq!(stage.ask(|_, desk| desk.count()), 2);
    torn.say(" done\n");
    assert_eq!(torn.rest(), "I am not yet done\n");
    stage.act(|lines, desk| desk.write(lines.owed.pop().unwrap()).extend_from_slice(b"there\n"));
    assert_eq!(owed.rest(), "there\n");
    drop((idle, owed, torn));
    stage.wait_for("nobody", || stage.server.streams() == 0);
}

/// Clients that come and go, in every state, leave nothing behind.
#[test]
fn a_thousand_come_and_go() {
    let stage = Stage::new(Settings::default());
    for round in 0..1000 {
        let mut client = stage.client();
        match round % 6 {
            0 => {}
            1 => client.asks("here\n"),
            2 => client.say("torn"),
            3 => client.say("!1000000\n"),
            4 => client.say("wait\nmore\n"),
            _ => {
                client.say("bye\nmore\n");
                let _ = client.stream.write(b"and more\n");
            }
        }
    }
    stage.wait_for("nobody", || stage.server.streams() == 0 && stage.ask(|_, desk| desk.count()) == 0);
    let (came, gone) = (stage.count(|saw| matches!(saw, Saw::Came(_))), stage.count(|saw| matches!(saw, Saw::Gone(_))));
    assert_eq!(came, gone);
    assert_eq!(stage.ask(|_, desk| (desk.input_kept(), desk.backlog_kept())), (0, 0));
}
