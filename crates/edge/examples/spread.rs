//! Five copies of a map that talk by letters of which every tenth is lost: news
//! goes round, what was lost is found by comparing, and a sixth is told
//! everything at once. There is no socket and no clock here, and nobody to say
//! who lives: a spread needs a way to be carried, and to be told whom it may meet.

use std::collections::{BTreeMap, VecDeque};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use skein_edge::spread::{Event, Settings, Tempo, Tick, Way, Word};
use skein_edge::{Member, Name, Planted, Spread};
use skein_machine::{ProcessId, Random, Time};

/// What all of them want done.
struct Post {
    random: Random,
    letters: VecDeque<(usize, usize, Word)>,
    alarms: BTreeMap<(Time, usize, Tick), ()>,
    lost: usize,
    carried: usize,
}

fn later(now: Time, span: Duration) -> Time {
    Time::from_nanos(now.as_nanos() + span.as_nanos() as u64)
}

/// The hand of one of them.
struct Hand<'a> {
    me: usize,
    now: Time,
    post: &'a mut Post,
}

fn address(nth: usize) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, 9_000 + u16::try_from(nth).expect("there are few")))
}

impl Hand<'_> {
    fn carry(&mut self, to: usize, word: Word) {
        self.post.carried += 1;
        if self.post.random.below(10) == 0 {
            self.post.lost += 1;
        } else {
            self.post.letters.push_back((self.me, to, word));
        }
    }
}

impl Way for Hand<'_> {
    fn send(&mut self, to: SocketAddr, word: Word) {
        self.carry(usize::from(to.port() - 9_000), word);
    }

    fn answer(&mut self, to: ProcessId, word: Word) {
        self.carry(usize::from(to.0), word);
    }

    fn arm(&mut self, tick: Tick, after: Duration) {
        let me = self.me;
        self.post.alarms.retain(|(_, whose, which), ()| (*whose, *which) != (me, tick));
        self.post.alarms.insert((later(self.now, after), me, tick), ());
    }

    fn tell(&mut self, event: Event) {
        if event == Event::Ready {
            println!("{:>6.2} s: {} knows what the others know", self.now.as_nanos() as f64 / 1e9, self.me);
        }
    }
}

/// All of them, and the time.
struct Village {
    spreads: Vec<Spread>,
    post: Post,
    now: Time,
}

impl Village {
    fn add(&mut self) {
        let me = self.spreads.len();
        let name = Name::new(&format!("m{me}")).expect("a short word");
        let me_there = Member::new(name, Name::new("here").expect("a short word"), address(me));
        let settings = Settings { me: me_there, gateways: Vec::new(), tempo: Tempo::default(), planted: Planted::NONE };
        self.spreads.push(Spread::new(settings));
        let mut hand = Hand { me, now: self.now, post: &mut self.post };
        self.spreads[me].start(me as u64, &mut hand);
        // Somebody tells everybody who there is. Membership does, in an agent.
        let all: Vec<Member> = (0..self.spreads.len())
            .map(|nth| {
                let name = Name::new(&format!("m{nth}")).expect("a short word");
                Member::new(name, Name::new("here").expect("a short word"), address(nth))
            })
            .collect();
        for (nth, spread) in self.spreads.iter_mut().enumerate() {
            let others = all.iter().enumerate().filter(|(other, _)| *other != nth).map(|(_, member)| member.clone());
            spread.meet(
                self.now,
                others.collect::<Vec<_>>(),
                &mut Hand { me: nth, now: self.now, post: &mut self.post },
            );
        }
    }

    fn put(&mut self, at: usize, key: &str, value: &str) {
        let mut hand = Hand { me: at, now: self.now, post: &mut self.post };
        self.spreads[at].put(key.as_bytes(), value.to_owned().into(), &mut hand).expect("it is ready");
    }

    /// Lets so much time pass, or less if something is so before.
    fn run(&mut self, span: Duration, mut is_so: impl FnMut(&[Spread]) -> bool) -> Duration {
        let (began, until) = (self.now, later(self.now, span));
        loop {
            while let Some((from, to, word)) = self.post.letters.pop_front() {
                let mut hand = Hand { me: to, now: self.now, post: &mut self.post };
                self.spreads[to].on_word(self.now, ProcessId(from as u16), word, &mut hand);
            }
            if is_so(&self.spreads) {
                return self.now.since(began);
            }
            match self.post.alarms.pop_first() {
                Some(((at, whose, tick), ())) if at <= until => {
                    self.now = at;
                    let mut hand = Hand { me: whose, now: at, post: &mut self.post };
                    self.spreads[whose].on_tick(at, tick, &mut hand);
                }
                _ => {
                    self.now = until;
                    return span;
                }
            }
        }
    }
}

fn main() {
    let post = Post { random: Random::new(1), letters: VecDeque::new(), alarms: BTreeMap::new(), lost: 0, carried: 0 };
    let mut village = Village { spreads: Vec::new(), post, now: Time::ZERO };
    println!("Five begin, of whom nobody knows anything.");
    (0..5).for_each(|_| village.add());
    village.run(Duration::from_secs(20), |spreads| spreads.iter().all(Spread::is_ready));

    println!("\nThe first writes something.");
    village.put(0, "door", "open");
    let everywhere = |spreads: &[Spread]| spreads.iter().all(|spread| spread.map().get(b"door").is_some());
    let took = village.run(Duration::from_secs(20), everywhere);
    println!("after {:.2} s all have it", took.as_secs_f64());

    println!("\nEverybody writes a hundred keys, and a sixth comes.");
    for nth in 0..500 {
        village.put(nth % 5, &format!("key-{nth}"), "v");
    }
    village.add();
    let is_told = |spreads: &[Spread]| spreads[5].is_ready();
    village.run(Duration::from_secs(20), is_told);
    let equal = |spreads: &[Spread]| spreads.windows(2).all(|two| two[0].map() == two[1].map());
    let took = village.run(Duration::from_secs(60), equal);
    println!(
        "after {:.2} s more all hold the same {} keys, a line for each of them among these",
        took.as_secs_f64(),
        village.spreads[5].map().len()
    );
    assert!(equal(&village.spreads), "they come to hold the same");
    println!("{} of {} letters were lost on the way", village.post.lost, village.post.carried);
}
