//! How long the store takes for a point read and a point write, alone and as a
//! replica applies them. `cargo run --release --example kv_speed [keys]`

use std::sync::Arc;
use std::time::Instant;

use skein_machine::{Call, GroupId, GroupSet, MessageId, Random, Service, Shares, Stamp, Timestamp};
use skein_service::kv::{Kv, Limits, Placement, Protocol, Request, Tree};

fn main() {
    let count: u64 = std::env::args().nth(1).map_or(1_000_000, |count| count.parse().expect("a number of keys"));
    let mut random = Random::new(1);
    let time = |what: &str, mut each: Box<dyn FnMut(u64) + '_>| {
        let start = Instant::now();
        (0..count).for_each(&mut each);
        println!("{what:<28} {:>6} ns", start.elapsed().as_nanos() as u64 / count);
    };

    let mut tree: Tree<u64, u64> = Tree::new();
    let keys: Vec<u64> = (0..count).map(|_| random.word()).collect();
    time("tree: insert", Box::new(|nth| assert!(tree.insert(keys[nth as usize], nth).is_none())));
    time(
        "tree: get",
        Box::new(|nth| {
            let key = keys[(nth * 7919 % count) as usize];
            assert!(tree.get(|have| have.cmp(&key)).is_some());
        }),
    );

    let placement = Arc::new(Placement::new(Vec::new(), GroupSet::first(1)).expect("one group"));
    let group = GroupId::new(0).expect("the first");
    let mut kv = Kv::new(group, placement, Limits::default());
    let name = |nth: u64| format!("user:{:012}", nth.wrapping_mul(0x9e37_79b9_7f4a_7c15) % count);
    let commands = |word: &'static str, value: Option<&'static [u8]>| {
        let mut all = Vec::new();
        for nth in 0..count {
            let key = name(nth);
            let mut args = vec![word.as_bytes(), key.as_bytes()];
            args.extend(value);
            all.push(Request::command(Protocol::Two, &args).encode());
        }
        all
    };
    let (sets, gets) = (commands("SET", Some(b"0123456789abcdef")), commands("GET", None));
    let stamp = |nth: u64| Stamp { timestamp: Timestamp(nth * 1000), id: MessageId::new(1, nth, 1) };
    for round in ["apply: SET of new keys", "apply: SET of old keys"] {
        time(
            round,
            Box::new(|nth| {
                let call = Call { stamp: stamp(nth), nth: 0, group, command: &sets[nth as usize] };
                kv.apply(&call, &Shares::none());
            }),
        );
    }
    time(
        "apply: GET",
        Box::new(|nth| {
            let call = Call { stamp: stamp(nth), nth: 0, group, command: &gets[nth as usize] };
            kv.apply(&call, &Shares::none());
        }),
    );
    time("read: GET", Box::new(|nth| drop(kv.read(Timestamp(nth), &gets[nth as usize]))));
    let frozen = kv.snapshot();
    time(
        "apply: SET under a snapshot",
        Box::new(|nth| {
            let call = Call { stamp: stamp(nth), nth: 0, group, command: &sets[nth as usize] };
            kv.apply(&call, &Shares::none());
        }),
    );
    drop(frozen);
    let start = Instant::now();
    let (mut frozen, mut bytes) = (kv.snapshot(), 0);
    while let Some(piece) = frozen.next(1 << 20) {
        bytes += piece.len();
    }
    println!("snapshot: {} MB in {} ms", bytes / 1_000_000, start.elapsed().as_millis());
}
