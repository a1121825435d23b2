//! The two yardsticks against which figures are read: what it costs this
//! machine, today, to send one small message over loopback, and how long a
//! small message takes there and back.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Instant;

use mio::{Events, Interest, Poll, Token};

use crate::processor_time;

/// The size of the message.
const SIZE: usize = 64;

/// So many messages are paid for,
const MESSAGES: u32 = 100_000;

/// and so many go there and back.
const ROUNDS: usize = 5_000;

/// What one loopback message costs and takes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Yardsticks {
    /// Processor time to write a message alone and to read it at the other end.
    pub(crate) message_us: f64,
    /// The median of its way there and back, between two threads that sleep until it comes.
    pub(crate) round_trip_us: f64,
}

impl Yardsticks {
    /// Measures both. Nothing else should run.
    pub(crate) fn measure() -> io::Result<Yardsticks> {
        Ok(Yardsticks { message_us: message()?, round_trip_us: round_trip()? })
    }

    /// Halfway between what was measured before a load and after it.
    pub(crate) fn between(self, other: Yardsticks) -> Yardsticks {
        Yardsticks {
            message_us: (self.message_us + other.message_us) / 2.0,
            round_trip_us: (self.round_trip_us + other.round_trip_us) / 2.0,
        }
    }
}

fn pair() -> io::Result<(TcpStream, TcpStream)> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let one = TcpStream::connect(listener.local_addr()?)?;
    let (other, _) = listener.accept()?;
    one.set_nodelay(true)?;
    other.set_nodelay(true)?;
    Ok((one, other))
}

fn message() -> io::Result<f64> {
    let (mut one, mut other) = pair()?;
    let mut bytes = [0; SIZE];
    let before = processor_time();
    for _ in 0..MESSAGES {
        one.write_all(&bytes)?;
        other.read_exact(&mut bytes)?;
    }
    let spent = processor_time() - before;
    Ok(spent.as_secs_f64() * 1e6 / f64::from(MESSAGES))
}

fn round_trip() -> io::Result<f64> {
    let (one, other) = pair()?;
    let echo = std::thread::spawn(move || -> io::Result<()> {
        let mut end = End::new(other)?;
        let mut bytes = [0; SIZE];
        for _ in 0..ROUNDS {
            end.read(&mut bytes)?;
            end.stream.write_all(&bytes)?;
        }
        Ok(())
    });
    let mut end = End::new(one)?;
    let mut bytes = [0; SIZE];
    let mut times = Vec::with_capacity(ROUNDS);
    for _ in 0..ROUNDS {
        let begin = Instant::now();
        end.stream.write_all(&bytes)?;
        end.read(&mut bytes)?;
        times.push(begin.elapsed());
    }
    echo.join().expect("the echo does not panic")?;
    times.sort_unstable();
    Ok(times[ROUNDS / 2].as_secs_f64() * 1e6)
}

/// One end of a connection that sleeps in the system's poll.
struct End {
    poll: Poll,
    events: Events,
    stream: mio::net::TcpStream,
}

impl End {
    fn new(stream: TcpStream) -> io::Result<End> {
        stream.set_nonblocking(true)?;
        let mut stream = mio::net::TcpStream::from_std(stream);
        let poll = Poll::new()?;
        poll.registry().register(&mut stream, Token(0), Interest::READABLE)?;
        Ok(End { poll, events: Events::with_capacity(4), stream })
    }

    fn read(&mut self, bytes: &mut [u8]) -> io::Result<()> {
        let mut filled = 0;
        while filled < bytes.len() {
            match self.stream.read(&mut bytes[filled..]) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.poll.poll(&mut self.events, None)?,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}
