//! Two copies of a map that are changed apart and meet again: what both wrote,
//! what one removed, and what a counter adds up to.

use bytes::Bytes;
use skein_edge::dots::Actor;
use skein_edge::map::Map;
use skein_edge::map::views::Counter;
use skein_edge::{MemberId, Name};

/// A datagram of the common size.
const LIMIT: usize = 1_400;

fn member(name: &str) -> MemberId {
    Name::new(name).expect("a short word").id()
}

/// One tells the other what that lacks, and nothing else.
fn tell(from: &mut Map, to: &mut Map) -> usize {
    let deltas = from.beyond(to.actor(), to.seen(), LIMIT);
    deltas.into_iter().map(|delta| to.merge(delta).expect("it has room").new.spans().count()).sum()
}

fn show(who: &str, map: &Map) {
    let values = |key: &str| map.values(key.as_bytes()).map(|(_, value)| value.clone()).collect::<Vec<Bytes>>();
    println!("{who:<6} door: {:?}, shown {:?}; lamp: {:?}", values("door"), map.get(b"door"), map.get(b"lamp"));
}

fn main() {
    let [mut anna, mut berta] = ["anna", "berta"].map(|name| Map::new(Actor { member: member(name), life: 1 }));
    let visits = Counter::new(b"visits").expect("a name without a zero");

    anna.put(b"door", "closed".into()).expect("there is room");
    anna.put(b"lamp", "on".into()).expect("there is room");
    println!("berta hears of {} spans of changes", tell(&mut anna, &mut berta));

    println!("\nThey are parted. Both write `door`, berta removes `lamp`, and both count.");
    anna.put(b"door", "open".into()).expect("there is room");
    berta.put(b"door", "ajar".into()).expect("there is room");
    berta.remove(b"lamp").expect("it is there");
    visits.add(&mut anna, 2).expect("there is room");
    visits.add(&mut berta, 3).expect("there is room");
    show("anna", &anna);
    show("berta", &berta);

    println!(
        "\nThey meet. Neither knew what the other wrote, so both values stand, and everybody is shown the same one."
    );
    tell(&mut anna, &mut berta);
    tell(&mut berta, &mut anna);
    show("anna", &anna);
    show("berta", &berta);
    println!("visits: {} and {}", visits.value(&anna), visits.value(&berta));
    assert_eq!(anna, berta);

    println!("\nWhoever writes next has seen both, and one value is left.");
    anna.put(b"door", "closed".into()).expect("there is room");
    tell(&mut anna, &mut berta);
    show("berta", &berta);

    let mut all = anna.report().expect("it has everything");
    assert!(all.join(&berta.report().expect("it has everything")), "both have forgotten the same");
    let lives = [(member("anna"), 1), (member("berta"), 1)].into();
    let cut = anna.next_cut(&all, &lives).expect("there is something to forget");
    println!("\nBoth have all of it: {} removal is kept before that is known,", anna.removals());
    anna.adopt(&cut);
    berta.adopt(&cut);
    println!("and {} after.", anna.removals());
}
