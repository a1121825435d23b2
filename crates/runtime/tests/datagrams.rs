//! A machine whose peers come and go, on real sockets: what it says arrives by
//! whatever way it takes, from members and from nobody else.

use std::collections::{BTreeMap, HashSet};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use bytes::Bytes;
use skein_machine::wire::{Nothing, Reader, WireError, Writer};
use skein_machine::{Machine, Out, ProcessId, Time, Wire};
use skein_runtime::datagrams::{Addresses, Handle, Host, Key, Keys, MOST_FRAME, Security, Socket, Unheard};
use skein_runtime::tls::{Authority, Files, Tls, Validity};

/// Says what it is told to say, and tells what it hears.
#[derive(Default)]
struct Parrot {
    known: Vec<SocketAddr>,
    heard: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Word(Bytes);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Event {
    Began,
    Heard(SocketAddr, Bytes),
    Rang(u8),
    Told(u8),
}

#[derive(Debug)]
enum Command {
    Say(SocketAddr, Bytes),
    Ring(u8),
}

impl Wire for Word {
    fn encode(&self, writer: &mut Writer<'_>) {
        writer.bytes(&self.0);
    }

    fn decode(reader: &mut Reader) -> Result<Word, WireError> {
        reader.bytes("a word", MOST_FRAME).map(Word)
    }
}

impl Machine for Parrot {
    type Command = Command;
    type Message = Word;
    type Timer = u8;
    type Record = Nothing;
    type Event = Event;

    fn restore(&mut self, record: Nothing) {
        match record {}
    }

    fn start(&mut self, _: Time, _: u64, out: &mut Out<Parrot>) {
        out.emit(Event::Began);
    }

    fn on_command(&mut self, _: Time, command: Command, out: &mut Out<Parrot>) {
        match command {
            Command::Say(to, word) => {
                let to = Book::name(self, to).unwrap();
                out.send(to, Word(word));
            }
            Command::Ring(nth) => {
                out.arm(nth, Duration::from_millis(10));
                out.emit(Event::Told(nth));
            }
        }
    }

    fn on_message(&mut self, _: Time, from: ProcessId, word: Word, out: &mut Out<Parrot>) {
        self.heard += 1;
        out.emit(Event::Heard(self.known[usize::from(from.0)], word.0));
    }

    fn on_timer(&mut self, _: Time, timer: u8, out: &mut Out<Parrot>) {
        out.emit(Event::Rang(timer));
    }

    fn check(&self) {}
}

struct Book;

impl Addresses<Parrot> for Book {
    fn name(parrot: &mut Parrot, address: SocketAddr) -> Option<ProcessId> {
        let found = parrot.known.iter().position(|known| *known == address);
        let nth = found.unwrap_or_else(|| {
            parrot.known.push(address);
            parrot.known.len() - 1
        });
        Some(ProcessId(u16::try_from(nth).unwrap()))
    }

    fn address(parrot: &mut Parrot, process: ProcessId) -> Option<SocketAddr> {
        parrot.known.get(usize::from(process.0)).copied()
    }
}

/// One of them on a socket of its own.
struct Cage {
    address: SocketAddr,
    handle: Handle<Parrot>,
    events: Receiver<Event>,
    host: Option<Host>,
}

impl Cage {
    fn open(security: &Security) -> Cage {
        let socket = Socket::open("127.0.0.1:0".parse().unwrap(), security).unwrap();
        let (address, (tell, events)) = (socket.address(), channel());
        let observe = move |_: &Parrot, _, event| drop(tell.send(event));
        let (handle, host) = Host::start::<_, Book>("parrot", socket, address, Parrot::default(), observe).unwrap();
        let cage = Cage { address, handle, events, host: Some(host) };
        assert_eq!(cage.next(), Event::Began);
        cage
    }

    fn next(&self) -> Event {
        self.events.recv_timeout(Duration::from_secs(20)).expect("it tells something")
    }

    fn says(&self, to: &Cage, word: &[u8]) {
        let word = Bytes::copy_from_slice(word);
        self.handle.command(Command::Say(to.address, word), |_, _, _| {}).unwrap();
    }

    /// Whether what one says reaches the other, as it was said.
    fn reaches(&self, other: &Cage, word: &[u8]) {
        self.says(other, word);
        assert_eq!(other.next(), Event::Heard(self.address, Bytes::copy_from_slice(word)));
    }

    fn meter(&self, name: &str) -> u64 {
        let mut found = None;
        self.handle.meters().tell(&mut |told, _, count| found = (told == name).then_some(count).or(found));
        found.unwrap_or_else(|| panic!("there is no {name}"))
    }

    /// Waits until a count has come so far.
    fn comes_to(&self, name: &str, count: u64) {
        for _ in 0..1_000 {
            if self.meter(name) >= count {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("{name} is {} and not {count}", self.meter(name));
    }
}

impl Drop for Cage {
    fn drop(&mut self) {
        self.handle.stop();
        let joined = self.host.take().is_none_or(Host::join);
        assert!(joined || std::thread::panicking(), "a host has panicked");
    }
}

fn keys(words: &str) -> Security {
    Security::Keys(Keys::of(words.split(' ').map(Key::of_words).collect()).unwrap())
}

/// Certificates of one authority, in a folder that is gone with this.
struct Office(PathBuf, Authority);

impl Office {
    fn open(name: &str) -> Office {
        let folder = std::env::temp_dir().join(format!("skein-datagrams-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let authority = Authority::new(name, Validity::days(1)).unwrap();
        std::fs::write(folder.join("ca.pem"), &authority.issued().cert).unwrap();
        Office(folder, authority)
    }

    /// The papers of a member of this fleet.
    fn papers(&self, fleet: &str) -> Security {
        let Office(folder, authority) = self;
        let issued = authority.node(fleet, Validity::days(1)).unwrap();
        let file = |suffix: &str| folder.join(format!("{fleet}.{suffix}"));
        let put = |path: &Path, text: &str| std::fs::write(path, text).unwrap();
        put(&file("pem"), &issued.cert);
        put(&file("key"), &issued.key);
        let files = Files { ca: folder.join("ca.pem"), cert: file("pem"), key: file("key") };
        Security::Certificates(Tls::open(files, Some(fleet), &BTreeMap::new()).unwrap(), fleet.to_owned())
    }
}

impl Drop for Office {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn short_words_go_by_datagrams_and_long_ones_by_connections() {
    let (a, b) = (Cage::open(&keys("k")), Cage::open(&keys("k")));
    a.reaches(&b, b"short");
    assert_eq!((a.meter("edge_streams_out_total"), b.meter("edge_datagrams_in_total")), (0, 1));
    a.reaches(&b, &vec![7; 1 << 20]);
    a.reaches(&b, &vec![8; 5_000]);
    b.reaches(&a, &vec![9; 5_000]);
    assert_eq!(a.meter("edge_streams_out_total"), 1, "one is enough for all");
    a.says(&b, &vec![0; MOST_FRAME + 1]);
    a.comes_to("edge_too_long_total", 1);
    a.reaches(&b, b"and on");
}

#[test]
fn where_there_are_certificates_everything_goes_by_tls() {
    let office = Office::open("office");
    let (a, b) = (Cage::open(&office.papers("fleet")), Cage::open(&office.papers("fleet")));
    for word in [&b"short"[..], &vec![7; 1 << 20]] {
        a.reaches(&b, word);
        b.reaches(&a, word);
    }
    assert_eq!((a.meter("edge_datagrams_out_total"), b.meter("edge_datagrams_in_total")), (0, 0));
    // Of the same authority, but of another fleet; of another authority; with a key; and in the clear.
    let elsewhere = Office::open("elsewhere");
    let strangers = [office.papers("other"), elsewhere.papers("fleet"), keys("k")].each_ref().map(Cage::open);
    for stranger in &strangers {
        stranger.says(&b, &vec![7; 5_000]);
        stranger.comes_to("edge_unreachable_total", 1);
    }
    // Of the same authority and another fleet, and believes of this one what it says.
    let Security::Certificates(papers, _) = office.papers("other") else { panic!("these are certificates") };
    let pretends = Cage::open(&Security::Certificates(papers, "fleet".to_owned()));
    pretends.says(&b, b"short");
    b.comes_to("edge_unverified_total", 4);
    TcpStream::connect(b.address).unwrap().write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    b.comes_to("edge_unverified_total", 5);
    assert!(b.events.try_recv().is_err(), "nobody of them was heard");
    a.reaches(&b, b"still");
}

#[test]
fn whoever_has_not_the_key_is_counted_and_not_heard() {
    let (a, b, stranger) = (Cage::open(&keys("k")), Cage::open(&keys("k")), Cage::open(&keys("other")));
    stranger.says(&b, b"short");
    b.comes_to("edge_unverified_total", 1);
    stranger.says(&b, &vec![7; 5_000]);
    b.comes_to("edge_unverified_total", 2);
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    for garbage in [&b""[..], b"?", &[0; 40], &[7; 1_500]] {
        socket.send_to(garbage, b.address).unwrap();
    }
    b.comes_to("edge_unverified_total", 6);
    assert!(b.events.try_recv().is_err());
    a.reaches(&b, b"still");
}

#[test]
fn what_was_said_on_a_connection_cannot_be_said_on_another() {
    let b = Cage::open(&keys("k"));
    // Somebody in the middle writes down a whole connection, and says it again.
    let middle = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let a = Cage::open(&keys("k"));
    let long = Bytes::from(vec![7; 5_000]);
    a.handle.command(Command::Say(middle.local_addr().unwrap(), long.clone()), |_, _, _| {}).unwrap();
    let (mut from_a, mut to_b) = (middle.accept().unwrap().0, TcpStream::connect(b.address).unwrap());
    let mut challenge = [0; 16];
    to_b.read_exact(&mut challenge).unwrap();
    from_a.write_all(&challenge).unwrap();
    from_a.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    let mut written_down = Vec::new();
    let _ = from_a.read_to_end(&mut written_down);
    assert!(written_down.len() > 5_000);
    to_b.write_all(&written_down).unwrap();
    assert_eq!(b.next(), Event::Heard(a.address, long), "passing it on is no crime");
    let mut again = TcpStream::connect(b.address).unwrap();
    again.write_all(&written_down).unwrap();
    b.comes_to("edge_unverified_total", 1);
    assert!(b.events.try_recv().is_err());
}

#[test]
fn a_parted_host_hears_nothing_until_it_does() {
    let (a, b) = (Cage::open(&keys("k")), Cage::open(&keys("k")));
    a.reaches(&b, b"before");
    b.handle.be_deaf_to(HashSet::from([a.address])).unwrap();
    b.handle.see_blocking();
    a.says(&b, b"lost");
    a.says(&b, &vec![7; 5_000]);
    b.comes_to("edge_frames_in_total", 1);
    b.says(&a, b"lost too");
    b.handle.be_deaf_to(HashSet::new()).unwrap();
    b.handle.see_blocking();
    a.reaches(&b, b"after");
    b.reaches(&a, b"after");
}

#[test]
fn a_key_is_changed_while_it_runs() {
    let (a, b) = (Cage::open(&keys("old")), Cage::open(&keys("old")));
    a.reaches(&b, b"old");
    for (security, cage) in
        [("old new", &a), ("old new", &b), ("new old", &a), ("new old", &b), ("new", &a), ("new", &b)]
    {
        cage.handle.secure(keys(security)).unwrap();
        cage.handle.see_blocking();
        a.reaches(&b, b"on");
        b.reaches(&a, &vec![7; 5_000]);
    }
}

#[test]
fn others_look_command_and_end_it() {
    let mut a = Cage::open(&keys("k"));
    let (tell, told) = channel();
    a.handle.command(Command::Ring(3), move |_, _, events| tell.send(events.to_vec()).unwrap()).unwrap();
    assert_eq!(told.recv().unwrap(), [Event::Told(3)], "what the command said, and nothing else");
    assert_eq!([a.next(), a.next()], [Event::Told(3), Event::Rang(3)]);
    assert_eq!(a.handle.see_blocking(), 0);
    a.handle.stop();
    assert!(a.host.take().unwrap().join());
    assert_eq!(a.handle.look(|_, _| {}), Err(Unheard::Stopped));
}

trait Blocking {
    fn see_blocking(&self) -> usize;
}

impl Blocking for Handle<Parrot> {
    /// How much it has heard; whatever it was called for before is done then.
    fn see_blocking(&self) -> usize {
        let (tell, told) = channel();
        self.look(move |parrot, _| tell.send(parrot.heard).unwrap()).unwrap();
        told.recv().unwrap()
    }
}
