//! A load for etcd, as its own clients make it: gRPC over HTTP/2, a connection
//! for each client with one request on the way. The few messages that are needed
//! are put together here.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::client::SendRequest;
use hdrhistogram::Histogram;
use http::{Method, Request};

/// Before anything is counted.
const WARM_UP: Duration = Duration::from_millis(1500);

/// What clients ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Load {
    Put,
    Get,
}

/// A measurement.
pub(crate) struct Plan {
    pub(crate) leader: SocketAddr,
    pub(crate) load: Load,
    pub(crate) clients: usize,
    pub(crate) value: usize,
    pub(crate) keys: u64,
    pub(crate) seconds: f64,
}

/// Runs it: how long requests took, in nanoseconds, and what `spent` says of the time in between.
pub(crate) fn run(plan: &Plan, spent: impl Fn() -> Duration) -> (Histogram<u64>, Duration) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, async {
        let mut filling = Vec::new();
        for client in 0..plan.clients as u64 {
            let (leader, clients, keys, value) = (plan.leader, plan.clients as u64, plan.keys, plan.value);
            filling.push(tokio::task::spawn_local(async move {
                let mut channel = connect(leader).await;
                for key in (client..keys).step_by(clients as usize) {
                    put(&mut channel, key, value).await;
                }
                channel
            }));
        }
        let mut tasks = Vec::new();
        let mut channels = Vec::new();
        for task in filling {
            channels.push(task.await.expect("etcd takes every key"));
        }
        let count_from = Instant::now() + WARM_UP;
        let until = count_from + Duration::from_secs_f64(plan.seconds);
        for (client, mut channel) in channels.into_iter().enumerate() {
            let (load, keys, value) = (plan.load, plan.keys, plan.value);
            tasks.push(tokio::task::spawn_local(async move {
                let mut random = skein_machine::Random::new(client as u64);
                let mut times = Histogram::<u64>::new_with_bounds(1, 600_000_000_000, 3).expect("sound bounds");
                loop {
                    let begun = Instant::now();
                    if begun >= until {
                        return times;
                    }
                    let key = random.below(keys);
                    match load {
                        Load::Put => put(&mut channel, key, value).await,
                        Load::Get => get(&mut channel, key, value).await,
                    }
                    let now = Instant::now();
                    if now >= count_from && now < until {
                        times.saturating_record((now - begun).as_nanos() as u64);
                    }
                }
            }));
        }
        tokio::time::sleep_until(count_from.into()).await;
        let before = spent();
        tokio::time::sleep_until(until.into()).await;
        let spent = spent().saturating_sub(before);
        let mut all = Histogram::<u64>::new_with_bounds(1, 600_000_000_000, 3).expect("sound bounds");
        for task in tasks {
            all.add(task.await.expect("etcd answers")).expect("the same bounds");
        }
        (all, spent)
    })
}

/// The member that leads.
pub(crate) fn leader(members: &[SocketAddr], patience: Duration) -> SocketAddr {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, async {
        let begin = Instant::now();
        loop {
            for member in members {
                let mut channel = connect(*member).await;
                let status = call(&mut channel, "/etcdserverpb.Maintenance/Status", &[]).await;
                let header = field(&status, 1).and_then(Field::bytes).unwrap_or_default();
                let (own, leader) = (field(header, 2), field(&status, 4));
                if leader.is_some() && own.and_then(Field::number) == leader.and_then(Field::number) {
                    return *member;
                }
            }
            assert!(begin.elapsed() < patience, "etcd has no leader");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    })
}

async fn connect(address: SocketAddr) -> SendRequest<Bytes> {
    let stream = tokio::net::TcpStream::connect(address).await.expect("etcd listens");
    stream.set_nodelay(true).expect("it is a socket");
    let (channel, connection) = h2::client::handshake(stream).await.expect("etcd speaks HTTP/2");
    tokio::task::spawn_local(async move {
        // It ends when the load is over.
        let _ = connection.await;
    });
    channel
}

async fn put(channel: &mut SendRequest<Bytes>, key: u64, value: usize) {
    let mut message = Vec::with_capacity(value + 32);
    write_bytes(&mut message, 1, &name(key));
    write_bytes(&mut message, 2, &vec![b'x'; value]);
    let answer = call(channel, "/etcdserverpb.KV/Put", &message).await;
    assert!(field(&answer, 1).is_some(), "an answer has a header");
}

async fn get(channel: &mut SendRequest<Bytes>, key: u64, value: usize) {
    let mut message = Vec::with_capacity(32);
    write_bytes(&mut message, 1, &name(key));
    let answer = call(channel, "/etcdserverpb.KV/Range", &message).await;
    let found = field(&answer, 2).and_then(Field::bytes).and_then(|entry| field(entry, 5)).and_then(Field::bytes);
    assert_eq!(found.map(<[u8]>::len), Some(value), "every key is there");
}

fn name(key: u64) -> Vec<u8> {
    format!("string:{key:010}").into_bytes()
}

/// One call, with one message each way.
async fn call(channel: &mut SendRequest<Bytes>, path: &str, message: &[u8]) -> Vec<u8> {
    let request = Request::builder()
        .method(Method::POST)
        .uri(format!("http://etcd{path}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(())
        .expect("a request");
    std::future::poll_fn(|context| channel.poll_ready(context)).await.expect("the connection stands");
    let (response, mut body) = channel.send_request(request, false).expect("the connection stands");
    let mut framed = Vec::with_capacity(message.len() + 5);
    framed.push(0);
    framed.extend_from_slice(&u32::try_from(message.len()).expect("it is short").to_be_bytes());
    framed.extend_from_slice(message);
    body.send_data(framed.into(), true).expect("there is room for so little");
    let mut stream = response.await.expect("etcd answers").into_body();
    let mut answer = Vec::new();
    while let Some(piece) = stream.data().await {
        let piece = piece.expect("etcd answers");
        stream.flow_control().release_capacity(piece.len()).expect("so much was taken");
        answer.extend_from_slice(&piece);
    }
    let trailers = stream.trailers().await.expect("etcd says how it went");
    let is_well =
        trailers.as_ref().and_then(|trailers| trailers.get("grpc-status")).is_some_and(|status| status == "0");
    assert!(is_well, "{trailers:?}");
    answer.drain(..5.min(answer.len()));
    answer
}

/// A field of a message.
#[derive(Clone, Copy, Debug)]
enum Field<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

impl<'a> Field<'a> {
    fn number(self) -> Option<u64> {
        match self {
            Field::Number(number) => Some(number),
            Field::Bytes(_) => None,
        }
    }

    fn bytes(self) -> Option<&'a [u8]> {
        match self {
            Field::Bytes(bytes) => Some(bytes),
            Field::Number(_) => None,
        }
    }
}

fn write_bytes(out: &mut Vec<u8>, field: u8, bytes: &[u8]) {
    out.push(field << 3 | 2);
    let mut length = bytes.len();
    while length >= 0x80 {
        out.push(length as u8 | 0x80);
        length >>= 7;
    }
    out.push(length as u8);
    out.extend_from_slice(bytes);
}

/// The first field of this number.
fn field(mut message: &[u8], wanted: u64) -> Option<Field<'_>> {
    while !message.is_empty() {
        let key = number(&mut message)?;
        let found = match key & 7 {
            0 => Field::Number(number(&mut message)?),
            2 => {
                let length = usize::try_from(number(&mut message)?).ok()?;
                let (bytes, rest) = message.split_at_checked(length)?;
                message = rest;
                Field::Bytes(bytes)
            }
            _ => return None,
        };
        if key >> 3 == wanted {
            return Some(found);
        }
    }
    None
}

fn number(message: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = message.split_first()?;
        *message = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}
