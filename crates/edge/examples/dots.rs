//! What was seen of whom, exactly: a few letters that come out of turn, doubled,
//! and not at all; and what a version vector would have made of that.

use skein_edge::Name;
use skein_edge::dots::{Actor, Dot, Dots};

fn main() {
    let actor = |name: &str, life| Actor { member: Name::new(name).expect("a short word").id(), life };
    let (anna, berta) = (actor("anna", 1), actor("berta", 1));
    let names = |of: Actor| if of == anna { "anna" } else { "berta" };
    let show = |what: &str, dots: &Dots| {
        let spans = dots.spans().map(|(of, span)| format!("{} {}..={}", names(of), span.first, span.last));
        println!("{what:<34} {}", spans.collect::<Vec<_>>().join(", "));
    };

    // Anna has written seven letters and berta two. Some of them arrive.
    let mut seen = Dots::new();
    for nth in [1, 2, 3, 6, 2, 5] {
        seen.insert(Dot { actor: anna, nth });
    }
    seen.insert(Dot { actor: berta, nth: 1 });
    show("seen so far:", &seen);

    // "Up to 6 of anna" would be a lie about the fourth, and a map that believes it never asks for that one.
    let written: Dots =
        (1..=7).map(|nth| Dot { actor: anna, nth }).chain([1, 2].map(|nth| Dot { actor: berta, nth })).collect();
    let missing = written.without(&seen);
    show("so these are missing:", &missing);
    assert!(!seen.contains(Dot { actor: anna, nth: 4 }) && missing.contains(Dot { actor: anna, nth: 4 }));

    // Whoever hears of all that is missing has seen everything, in whatever order it came.
    seen.join(&missing);
    show("and once they have come:", &seen);
    assert!(seen.covers(&written) && written.covers(&seen));
    assert_eq!(seen.spans().count(), 2, "what has no gaps is a version vector");

    // A member that starts again is another actor: its first change is not the one that it made long ago.
    let again = Dot { actor: actor("anna", 2), nth: 1 };
    assert!(!seen.contains(again));
    println!("\nThe first letter of anna's next life is news.");
}
