//! Memory that processes share, with real processes: what outlives them, who
//! may be which replica, what is refused, and what happens when there is no
//! room.

mod lives;
mod race;
mod refusals;
mod room;
mod stage;

/// What other processes do: this binary again, with a role. Does nothing in an ordinary run.
#[test]
fn child() {
    let Some((role, folder)) = stage::role() else { return };
    match role.as_str() {
        "count" => lives::count(&folder),
        "answer" => lives::answer(&folder),
        "sit" => lives::sit(&folder),
        "race" => race::race(&folder),
        "begin" => race::begin(&folder),
        "room" => room::fill(&folder),
        "holes" => room::no_room_aside(&folder),
        "limit" => room::exceed_the_limit(&folder),
        role => panic!("nobody knows the role {role}"),
    }
}
