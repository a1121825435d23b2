//! Probes of origins that behave in all the ways that origins do, on sockets of
//! this process.

mod tls;

use std::future::Future;
use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::mpsc;

use super::names::MOST_LOOKUPS;
use super::visit::MAX_HEAD;
use super::*;

/// Longer than any probe takes here.
const PATIENT: Duration = Duration::from_secs(20);

/// For those that are to take too long.
const HASTY: Duration = Duration::from_millis(150);

fn run(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test);
}

fn recipe(target: &str) -> Recipe {
    let target = Target::parse(target).unwrap();
    Recipe { target, timeout: PATIENT, expect: Expect::default(), trust: Trust::System }
}

fn prober(recipes: &[Recipe]) -> Result<Prober, String> {
    Prober::new(&Name::new("a1").unwrap(), recipes)
}

/// Makes one probe by a recipe.
async fn probe(recipe: Recipe) -> Outcome {
    let outcome = prober(std::slice::from_ref(&recipe)).unwrap().probe(&recipe).await;
    let outcome = outcome.expect("this host can probe");
    assert!(outcome.why.len() <= MAX_WHY && outcome.took <= recipe.timeout + Duration::from_secs(5), "{outcome:?}");
    outcome
}

/// Why a probe fails.
async fn failure(recipe: Recipe) -> String {
    let outcome = probe(recipe).await;
    assert!(!outcome.is_well, "{outcome:?}");
    outcome.why
}

/// An origin that does this with everybody who comes.
async fn origin<F: Future<Output = ()> + Send + 'static>(
    serve: impl Fn(TcpStream) -> F + Send + 'static,
) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream));
        }
    });
    address
}

/// What whoever comes says, up to the end of a head.
async fn hear(stream: &mut TcpStream) -> String {
    let mut heard = Vec::new();
    while !heard.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => heard.push(byte),
            Err(_) => break,
        }
    }
    String::from_utf8(heard).unwrap()
}

/// An origin that hears a request, answers so, and closes.
async fn answers(answer: impl Into<Vec<u8>>) -> SocketAddr {
    let answer = answer.into();
    origin(move |mut stream| {
        let answer = answer.clone();
        async move {
            hear(&mut stream).await;
            let _ = stream.write_all(&answer).await;
        }
    })
    .await
}

/// A place where nobody listens.
async fn nowhere() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

fn at(address: SocketAddr) -> Recipe {
    recipe(&format!("http://{address}/health?x=1"))
}

fn hasty(recipe: Recipe) -> Recipe {
    Recipe { timeout: HASTY, ..recipe }
}

#[test]
fn an_origin_is_asked_as_by_any_visitor() {
    run(async {
        let (tell, mut told) = mpsc::unbounded_channel();
        let address = origin(move |mut stream| {
            let tell = tell.clone();
            async move {
                tell.send(hear(&mut stream).await).unwrap();
                stream.write_all(b"HTTP/1.1 200 Perfectly\r\nContent-Length: 4\r\n\r\n").await.unwrap();
                // The body never comes, and nobody waits for it.
                assert_eq!(hear(&mut stream).await, "");
            }
        })
        .await;
        let outcome = probe(at(address)).await;
        assert!(outcome.is_well, "{outcome:?}");
        assert_eq!(outcome.why, format!("200 in {} ms", outcome.took.as_millis()));
        let version = env!("CARGO_PKG_VERSION");
        let expected = format!(
            "GET /health?x=1 HTTP/1.1\r\nHost: {address}\r\nUser-Agent: skein/{version}\r\nAccept: */*\r\n\
             Connection: close\r\nX-Skein-Agent: a1\r\n\r\n"
        );
        assert_eq!(told.recv().await.unwrap(), expected);
    });
}

#[test]
fn statuses_are_judged_by_what_is_expected() {
    run(async {
        let status = |line: &str| answers(format!("HTTP/1.1 {line}\r\nLocation: /elsewhere\r\n\r\n"));
        assert_eq!(failure(at(status("503 Gone Fishing").await)).await, "503 Service Unavailable");
        assert_eq!(failure(at(status("404 No").await)).await, "404 Not Found");
        assert_eq!(failure(at(status("599 What").await)).await, "599");
        let moved = at(status("302 Found").await);
        assert!(probe(moved.clone()).await.why.starts_with("302 in "), "and nobody follows");
        assert_eq!(failure(Recipe { expect: "200".parse().unwrap(), ..moved }).await, "302 Found");
        let closed = Recipe { expect: "500-599".parse().unwrap(), ..at(status("503 No").await) };
        assert!(probe(closed).await.is_well);
        // What is said before the answer is none.
        let early = answers("HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\nHTTP/1.1 500 No\r\n\r\n").await;
        assert_eq!(failure(at(early)).await, "500 Internal Server Error");
        assert!(probe(at(answers("HTTP/1.0 200 OK\r\n\r\n").await)).await.is_well, "old ones are well, too");
    });
}

#[test]
fn whoever_says_nothing_is_given_up() {
    run(async {
        let silent = origin(|mut stream| async move { while !hear(&mut stream).await.is_empty() {} }).await;
        let begin = Instant::now();
        assert_eq!(failure(hasty(at(silent))).await, "no answer within 150 ms");
        assert!(begin.elapsed() >= HASTY);
        let drips = origin(|mut stream| async move {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n").await;
            while stream.write_all(b"A: b\r\n").await.is_ok() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
        assert_eq!(failure(hasty(at(drips))).await, "no answer within 150 ms");
    });
}

#[test]
fn whoever_is_not_there_refuses() {
    run(async {
        let nowhere = nowhere().await;
        assert_eq!(failure(at(nowhere)).await, "connection refused");
        let secret = Recipe { trust: Trust::Anybody, ..recipe(&format!("https://{nowhere}/")) };
        assert_eq!(failure(secret).await, "connection refused");
        assert_eq!(failure(recipe(&format!("tcp://{nowhere}"))).await, "connection refused");
        let named = recipe(&format!("http://localhost:{}/", nowhere.port()));
        assert_eq!(failure(named).await, "connection refused", "whatever other addresses the name has");
    });
}

#[test]
fn a_port_is_well_that_takes_connections() {
    run(async {
        let address =
            origin(|mut stream| async move { assert_eq!(hear(&mut stream).await, "", "nobody speaks") }).await;
        let outcome = probe(recipe(&format!("tcp://{address}"))).await;
        assert!(outcome.is_well && outcome.why.starts_with("connected in "), "{outcome:?}");
    });
}

/// However much of an answer comes, and however the connection ends, the reason is the same.
#[test]
fn half_an_answer_is_none() {
    run(async {
        let closed = "connection closed before an answer";
        for half in ["", "HTTP/1.1 2", "HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n"] {
            assert_eq!(failure(at(answers(half).await)).await, closed, "{half:?}");
        }
        // Whoever closes without having read what was said resets the connection.
        let resets = origin(|stream| async move {
            let _ = stream.readable().await;
            drop(stream);
        })
        .await;
        assert_eq!(failure(at(resets)).await, closed);
    });
}

#[test]
fn a_head_has_an_end() {
    run(async {
        let head = |size: usize| {
            let line = format!("X-Long: {}\r\n", "x".repeat(1000));
            format!("HTTP/1.1 200 OK\r\n{}\r\n", line.repeat(size / line.len()))
        };
        assert!(probe(at(answers(head(MAX_HEAD - 2000)).await)).await.is_well);
        assert_eq!(failure(at(answers(head(MAX_HEAD + 2000)).await)).await, "head of the answer is too long");
        let endless = origin(|mut stream| async move {
            hear(&mut stream).await;
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nX-Endless: ").await;
            while stream.write_all(&[b'x'; 4096]).await.is_ok() {}
        })
        .await;
        assert_eq!(failure(at(endless)).await, "head of the answer is too long");
        let preludes = origin(|mut stream| async move {
            hear(&mut stream).await;
            while stream.write_all(b"HTTP/1.1 103 Early Hints\r\n\r\n").await.is_ok() {}
        })
        .await;
        assert_eq!(failure(at(preludes)).await, "connection closed before an answer");
        let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "A: b\r\n".repeat(1000));
        assert_eq!(failure(at(answers(many).await)).await, "head of the answer is too long");
    });
}

#[test]
fn whatever_follows_the_head_is_left_alone() {
    run(async {
        let endless = origin(|mut stream| async move {
            hear(&mut stream).await;
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await;
            while stream.write_all(&[b'x'; 4096]).await.is_ok() {}
        })
        .await;
        assert!(probe(at(endless)).await.is_well);
    });
}

#[test]
fn what_is_no_http_is_told_so() {
    run(async {
        for other in [&b"SSH-2.0-OpenSSH_9.9\r\n"[..], b"220 mail.example ESMTP\r\n", b"\x15\x03\x01\x00\x02\x02\x46"] {
            assert_eq!(failure(at(answers(other).await)).await, "answer is no HTTP", "{}", other.escape_ascii());
        }
    });
}

/// A probe of `http://shop.example` where names are looked up so.
async fn probe_named<F: Future<Output = io::Result<Vec<SocketAddr>>> + Send + 'static>(
    port: u16,
    timeout: Duration,
    look_up: impl Fn() -> F + Send + Sync + 'static,
) -> Outcome {
    let recipe = Recipe { timeout, ..recipe(&format!("http://shop.example:{port}/")) };
    let mut prober = prober(std::slice::from_ref(&recipe)).unwrap();
    prober.names = Names::with(Box::new(move |name| {
        assert_eq!(name, "shop.example");
        Box::pin(look_up())
    }));
    prober.probe(&recipe).await.expect("this host can probe")
}

#[test]
fn names_that_do_not_resolve_are_told_so() {
    run(async {
        let gone =
            || async { Err(io::Error::other("failed to lookup address information: Name or service not known")) };
        let told = probe_named(80, PATIENT, gone).await;
        assert_eq!((told.is_well, &told.why[..]), (false, "name does not resolve: Name or service not known"));
        assert_eq!(probe_named(80, PATIENT, || async { Ok(vec![]) }).await.why, "name has no address");
        let silent = || async { std::future::pending().await };
        assert_eq!(probe_named(80, HASTY, silent).await.why, "name does not resolve within 150 ms");
    });
}

#[test]
fn all_addresses_of_a_name_are_tried_and_each_has_its_share_of_the_time() {
    run(async {
        // Where nobody takes in those who come, whoever comes later hears nothing at all.
        let full = TcpSocket::new_v4().unwrap();
        full.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let full = full.listen(1).unwrap();
        let address = full.local_addr().unwrap();
        let mut guests = Vec::new();
        while let Ok(guest) = timeout(HASTY, TcpStream::connect(address)).await {
            guests.push(guest.unwrap());
            assert!(guests.len() < 100, "it is full some time");
        }
        assert_eq!(failure(hasty(at(address))).await, "no connection within 150 ms");

        let at = |last| SocketAddr::from(([127, 0, 0, last], 0));
        let listener = TcpListener::bind(("127.0.0.3", address.port())).await.unwrap();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                hear(&mut stream).await;
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await;
            }
        });
        let found = probe_named(address.port(), 4 * HASTY, move || async move { Ok(vec![at(1), at(2), at(3)]) }).await;
        assert!(found.is_well && found.took >= HASTY, "{found:?}");
        // Of several reasons one is told, whichever address is the first.
        for order in [[at(1), at(2)], [at(2), at(1)]] {
            let found = probe_named(address.port(), HASTY, move || async move { Ok(order.to_vec()) }).await;
            assert_eq!(found.why, "connection refused");
        }
    });
}

/// An origin does not suffer for others that take all places.
#[test]
fn nothing_comes_of_a_probe_for_which_there_is_no_place() {
    run(async {
        let recipe = at(answers("HTTP/1.1 200 OK\r\n\r\n").await);
        let prober = prober(std::slice::from_ref(&recipe)).unwrap();
        let places = prober.places.acquire_many(MOST_PROBES as u32).await.unwrap();
        assert_eq!((prober.probe(&hasty(recipe.clone())).await, prober.unmade()), (None, 1));
        drop(places);
        assert!(prober.probe(&recipe).await.is_some_and(|outcome| outcome.is_well));
        assert_eq!((prober.unmade(), prober.places.available_permits()), (1, MOST_PROBES));

        // The same where too many names are looked up.
        let mut prober = prober;
        prober.names = Names::with(Box::new(|_| Box::pin(std::future::pending())));
        for nth in 0..MOST_LOOKUPS {
            let silent = Recipe { timeout: Duration::from_millis(1), ..self::recipe(&format!("http://host{nth}/")) };
            assert!(prober.probe(&silent).await.is_some());
        }
        assert_eq!((prober.probe(&hasty(self::recipe("http://another/"))).await, prober.unmade()), (None, 2));
    });
}

#[test]
fn reasons_have_a_bound() {
    assert_eq!(cut("ä".repeat(150)), "ä".repeat(MAX_WHY / 2));
    assert_eq!(cut(format!("x{}", "ä".repeat(150))).len(), MAX_WHY - 1);
}
