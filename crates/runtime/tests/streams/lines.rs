//! [`Lines`]: a protocol whose lines come back as they are, but for a few that
//! ask for something. Whatever else a test wants, it calls.
//!
//! ```text
//! !100      is answered by a hundred bytes and a line's end
//! =100      announces a value of a hundred bytes behind it, and is answered by `got 100`
//! later     is answered when a call says so
//! wait      pauses the stream
//! bye       is answered, and closes it
//! bad       is no request
//! ```

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use skein_runtime::streams::{Caller, Desk, Input, Protocol, Server, Settings, StreamId};
use skein_runtime::tls::Tls;

/// Nothing takes so long, on any machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Saw {
    Came(StreamId),
    Ended(StreamId),
    Gone(StreamId),
}

pub(crate) type Do = Box<dyn FnOnce(&mut Lines, &mut Desk) + Send>;

#[derive(Default)]
pub(crate) struct Lines {
    pub(crate) here: Vec<StreamId>,
    pub(crate) owed: Vec<StreamId>,
    /// Who has ended and is owed something stays.
    pub(crate) answers_late: bool,
    /// Nobody is told more than it takes, or may have taken soon.
    pub(crate) asks_for_room: bool,
    pub(crate) ticks: u64,
    pub(crate) turns: u64,
    /// The most that was kept of what was read.
    pub(crate) most_kept: usize,
    pub(crate) seen: Arc<Mutex<Vec<Saw>>>,
}

impl Lines {
    fn line(&mut self, client: StreamId, input: &mut Input, desk: &mut Desk) -> Result<bool, String> {
        if self.asks_for_room && !desk.has_room(client) {
            return Ok(false);
        }
        let bytes = input.bytes();
        let Some(end) = bytes.iter().position(|byte| *byte == b'\n') else { return Ok(false) };
        let (line, mut whole) = (bytes[..end].to_vec(), end + 1);
        match &line[..] {
            [b'!', length @ ..] => {
                let out = desk.write(client);
                out.resize(out.len() + number(length), b'x');
                out.push(b'\n');
            }
            [b'=', length @ ..] => {
                whole += number(length);
                if input.len() < whole {
                    desk.expect(client, whole);
                    return Ok(false);
                }
                desk.expect(client, 0);
                let out = desk.write(client);
                out.extend_from_slice(format!("got {}\n", number(length)).as_bytes());
            }
            b"later" => self.owed.push(client),
            b"wait" => desk.pause(client),
            b"bye" => {
                desk.write(client).extend_from_slice(b"bye\n");
                desk.close(client);
            }
            b"bad" => {
                desk.write(client).extend_from_slice(b"that is no request\n");
                return Err("a bad line".to_owned());
            }
            _ => desk.write(client).extend_from_slice(&bytes[..=end]),
        }
        input.consume(whole);
        desk.settled(client);
        Ok(line != b"wait")
    }

    fn saw(&self, saw: Saw) {
        self.seen.lock().unwrap().push(saw);
    }
}

fn number(digits: &[u8]) -> usize {
    str::from_utf8(digits).unwrap().parse().unwrap()
}

impl Protocol for Lines {
    type Call = Do;

    fn on_client(&mut self, client: StreamId, _: SocketAddr, _: &mut Desk) {
        self.here.push(client);
        self.saw(Saw::Came(client));
    }

    fn on_bytes(&mut self, client: StreamId, input: &mut Input, desk: &mut Desk) -> Result<(), String> {
        while self.line(client, input, desk)? {}
        self.most_kept = self.most_kept.max(desk.input_kept());
        Ok(())
    }

    fn on_end(&mut self, client: StreamId, desk: &mut Desk) {
        self.saw(Saw::Ended(client));
        if !self.answers_late {
            desk.close(client);
        }
    }

    fn on_call(&mut self, call: Do, desk: &mut Desk) {
        call(self, desk);
    }

    fn end_turn(&mut self, _: &mut Desk) {
        self.turns += 1;
    }

    fn on_tick(&mut self, _: Instant, _: &mut Desk) {
        self.ticks += 1;
    }

    fn owes(&self, client: StreamId) -> bool {
        self.owed.contains(&client)
    }

    fn on_gone(&mut self, client: StreamId) {
        let before = self.here.len();
        self.here.retain(|other| *other != client);
        assert!(self.here.len() + 1 == before, "{client:?} is gone and was not there");
        self.saw(Saw::Gone(client));
    }
}

/// A server and what its protocol saw.
pub(crate) struct Stage {
    pub(crate) server: Server<Do>,
    pub(crate) seen: Arc<Mutex<Vec<Saw>>>,
}

impl Stage {
    pub(crate) fn new(settings: Settings) -> Stage {
        Stage::with(settings, None, Lines::default())
    }

    pub(crate) fn with(settings: Settings, tls: Option<Tls>, lines: Lines) -> Stage {
        let seen = lines.seen.clone();
        let addresses = vec!["127.0.0.1:0".parse().unwrap(); 2];
        Stage { server: Server::open(addresses, tls, settings, lines).unwrap(), seen }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.server.addresses()[0]
    }

    pub(crate) fn client(&self) -> Client {
        Client::connect(self.address())
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.server.has_ended()
    }

    pub(crate) fn caller(&self) -> Caller<Do> {
        self.server.caller()
    }

    /// Does something on the server's thread.
    pub(crate) fn act(&self, act: impl FnOnce(&mut Lines, &mut Desk) + Send + 'static) {
        self.caller().call(Box::new(act)).unwrap();
    }

    /// Asks something there.
    pub(crate) fn ask<T: Send + 'static>(&self, ask: impl FnOnce(&mut Lines, &mut Desk) -> T + Send + 'static) -> T {
        let (sender, answer): (_, Receiver<T>) = channel();
        self.act(move |lines, desk| sender.send(ask(lines, desk)).unwrap());
        answer.recv_timeout(PATIENCE).unwrap()
    }

    pub(crate) fn seen(&self) -> Vec<Saw> {
        self.seen.lock().unwrap().clone()
    }

    pub(crate) fn count(&self, is_meant: impl Fn(&Saw) -> bool) -> usize {
        self.seen().iter().filter(|saw| is_meant(saw)).count()
    }

    pub(crate) fn wait_for(&self, what: &str, is_there: impl Fn() -> bool) {
        let begin = Instant::now();
        while !is_there() {
            if begin.elapsed() > PATIENCE {
                let seen = self.seen();
                panic!("{what} never came: {:?}", &seen[seen.len().saturating_sub(20)..]);
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    pub(crate) fn wait_until_gone(&self, count: usize) {
        self.wait_for("the end", || self.count(|saw| matches!(saw, Saw::Gone(_))) >= count);
    }
}

/// One end, held by hand.
pub(crate) struct Client {
    pub(crate) stream: TcpStream,
    reader: BufReader<TcpStream>,
}

impl Client {
    pub(crate) fn connect(address: SocketAddr) -> Client {
        Client::over(TcpStream::connect(address).unwrap())
    }

    /// Takes a second descriptor for the same end.
    pub(crate) fn over(stream: TcpStream) -> Client {
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Client { reader: BufReader::new(stream.try_clone().unwrap()), stream }
    }

    pub(crate) fn say(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).unwrap();
    }

    pub(crate) fn hear(&mut self) -> String {
        let mut line = String::new();
        self.reader.read_line(&mut line).unwrap();
        line
    }

    pub(crate) fn asks(&mut self, line: &str) {
        self.say(line);
        assert_eq!(self.hear(), line);
    }

    /// All that still comes, to the end.
    pub(crate) fn rest(&mut self) -> String {
        let mut rest = String::new();
        self.reader.read_to_string(&mut rest).unwrap();
        rest
    }

    /// Whether the other end is closed, in whatever manner; waits for that.
    pub(crate) fn is_cut(&mut self) -> bool {
        match self.reader.read(&mut [0]) {
            Ok(count) => count == 0,
            Err(error) => !matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut),
        }
    }
}
