//! Every route, through real sockets, of an agent that has lived with others for
//! a while and heard of other places.

mod served;
mod town;

use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use skein_edge::Agent;
use skein_edge::health::{self, State};
use skein_edge::membership::{self, Refusal};
use skein_edge::{Book, Member};
use skein_machine::ProcessId;

use super::events::MOST_LISTENERS;
use super::glance::MOST_LINES;
use super::history::MOST_CHANGES;
use crate::agent::What;
use crate::serve::metrics::tests::parse;
use served::{Served, about, door};
use town::{Town, afar, found, name, write_finding, write_line};

const MOST_NEWS: usize = 1_024;

fn origins() -> Vec<String> {
    ["shop", "mail", "search", "images", "login"].map(str::to_owned).to_vec()
}

/// An agent of a place of three, one of whom has died, with a place far away.
fn town() -> Town {
    let mut town = Town::of(3, &origins());
    town.unwell = vec![1];
    town.start();
    town.run(Duration::from_secs(15));
    let mut map = afar("fra-1");
    for (nth, is_up) in [(1, true), (2, true), (3, false)] {
        write_line(&mut map, &format!("fra-{nth}"), "fra", is_up);
    }
    for (origin, state) in [("shop", State::Down), ("mail", State::Down), ("far", State::Up)] {
        write_finding(&mut map, "fra", origin, state, "fra-2", "as seen from there");
    }
    town.hear(&mut map);
    town.kill(2);
    town.run(Duration::from_secs(20));
    town
}

/// An agent alone that has begun.
pub(super) fn agent() -> Agent {
    let mut town = Town::of(1, &[]);
    town.start();
    town.run(Duration::from_secs(10));
    town.take()
}

fn alone() -> Town {
    let mut town = Town::of(1, &[]);
    town.start();
    town.run(Duration::from_secs(10));
    town
}

fn open(town: impl FnOnce() -> Town + Send + 'static) -> Served {
    let served = Served::open(about(), door(town, MOST_NEWS));
    // It looks through the map before it says anything of origins.
    served.until(|served| (served.get("/healthz").0 == 200).then_some(()));
    served
}

fn named<'a>(list: &'a Value, name: &str) -> &'a Value {
    let found = list.as_array().unwrap().iter().find(|it| it["name"] == name || it["place"] == name);
    found.unwrap_or_else(|| panic!("no {name} in {list}"))
}

#[test]
fn origins_are_told_with_what_every_place_found() {
    let served = open(town);
    let list = served.until(|served| {
        let list = served.json("/origins?history=1");
        (list["origins"].as_array().unwrap().len() == 6).then_some(list)
    });
    assert_eq!((&list["agent"], &list["place"], &list["next"]), (&json!("cph-1"), &json!("cph"), &Value::Null));
    assert_eq!(list["counts"], json!({"down": 1, "partly": 1, "unknown": 0, "up": 4}));
    assert_eq!(list["places"], json!(["cph", "fra"]));
    let shop = named(&list["origins"], "shop");
    assert_eq!((&shop["url"], &shop["condition"]), (&json!("https://shop.example/health"), &json!("partly")));
    let here = named(&shop["places"], "cph");
    assert_eq!((&here["state"], &here["why"], &here["changes"]), (&json!("up"), &json!("200 in 12 ms"), &json!(1)));
    assert!(here["since_ms"].as_u64().unwrap() > 1_700_000_000_000, "{here}");
    assert_eq!(shop["history"][0]["state"], "up");
    let there = named(&shop["places"], "fra");
    assert_eq!((&there["by"], &there["state"]), (&json!("fra-2"), &json!("down")));
    assert_eq!(named(&named(&list["origins"], "mail")["places"], "cph")["why"], "no answer within 3 s");
    for origin in list["origins"].as_array().unwrap().iter().filter(|origin| origin["name"] != "far") {
        let owner = origin["owner"].as_str().unwrap();
        assert!(["cph-1", "cph-2"].contains(&owner), "whoever is dead owns nothing: {origin}");
    }
    let far = named(&list["origins"], "far");
    assert_eq!((&far["owner"], &far["is_watched"], &far["url"]), (&Value::Null, &json!(false), &Value::Null));
}

#[test]
fn origins_are_searched_and_told_in_pieces() {
    let served = open(town);
    served.until(|served| (served.json("/origins")["origins"].as_array().unwrap().len() == 6).then_some(()));
    let names = |path: &str| -> Vec<String> {
        let list = served.json(path);
        list["origins"].as_array().unwrap().iter().map(|it| it["name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names("/origins?search=SHOP"), ["shop"]);
    assert_eq!(names("/origins?search=.example"), ["mail", "shop"], "by their addresses");
    assert_eq!(names("/origins?condition=down,partly"), ["mail", "shop"]);
    let (mut next, mut all) = ("/origins?limit=2&history=1&condition=up".to_owned(), Vec::new());
    while let Some(address) = served.json(&next)["next"].as_str() {
        all.extend(names(&next));
        next = address.to_owned();
    }
    assert!(next.contains("history=1") && next.contains("condition=up"), "{next}");
    all.extend(names(&next));
    assert_eq!(all, ["far", "images", "login", "search"]);
    for (path, why) in [
        ("/origins?limit=0", "from 1 to 10000"),
        ("/origins?condition=odd", "\"odd\""),
        ("/origins?serch=a", "`serch` cannot be asked for here"),
        ("/origins?search=%", "two digits"),
    ] {
        let (status, body) = served.get(path);
        assert!(status == 400 && body.contains(why), "{path}: {status} {body}");
    }
}

#[test]
fn one_origin_is_told_with_its_history() {
    let served = open(town);
    let shop = served.until(|served| Some(served.get("/origins/shop").1).filter(|text| text.contains("fra-2")));
    let shop: Value = serde_json::from_str(&shop).unwrap();
    assert_eq!(named(&shop["places"], "fra")["history"][0]["state"], "down");
    // It goes up and down there, more often than is remembered.
    let key = health::key(&name("fra"), &name("shop"));
    let mut listener = served.listen();
    for nth in 0..=MOST_CHANGES {
        let state = if nth % 2 == 0 { State::Up } else { State::Down };
        served.happens(key.clone(), Some(found(state, "fra-1", &format!("change {nth}"))));
        let told = listener.event("origin");
        assert_eq!((&told["is_change"], &told["place"], &told["name"]), (&json!(true), &json!("fra"), &json!("shop")));
    }
    served.happens(key, Some(found(State::Up, "fra-2", "the same, by another")));
    assert_eq!(listener.event("origin")["is_change"], false);
    let shop = served.json("/origins/shop");
    let there = named(&shop["places"], "fra");
    assert_eq!((&there["changes"], &there["by"]), (&json!(MOST_CHANGES + 2), &json!("fra-2")));
    let history = there["history"].as_array().unwrap();
    assert_eq!(history.len(), MOST_CHANGES);
    assert_eq!((&history[0]["why"], &history[1]["why"]), (&json!("change 32"), &json!("change 31")), "newest first");
    assert!(history.is_sorted_by_key(|change| std::cmp::Reverse(change["at_ms"].as_u64().unwrap())));
    assert_eq!(shop["condition"], "up");
    for path in ["/origins/nobody", "/origins/a%20b", "/origins/%ff"] {
        let (status, body) = served.get(path);
        assert!((400..500).contains(&status) && !body.is_empty(), "{path}: {status} {body}");
    }
    assert!(served.get("/origins/nobody").1.contains("no origin is called \"nobody\""));
}

#[test]
fn members_are_told_from_both_who_know_them() {
    let served = open(town);
    let list = served.json("/members");
    assert_eq!((&list["is_inside"], &list["is_ready"], &list["left_off"]), (&json!(true), &json!(true), &json!(0)));
    let all = list["members"].as_array().unwrap().iter();
    let all: Vec<_> =
        all.map(|it| ["name", "place", "state", "source"].map(|field| it[field].as_str().unwrap())).collect();
    assert_eq!(
        all,
        [
            ["cph-1", "cph", "alive", "itself"],
            ["cph-2", "cph", "alive", "gossip"],
            ["cph-3", "cph", "dead", "gossip"],
            ["fra-1", "fra", "alive", "map"],
            ["fra-2", "fra", "alive", "map"],
            ["fra-3", "fra", "dead", "map"],
        ]
    );
    let dead = named(&list["members"], "cph-3");
    let ago = list["at_ms"].as_u64().unwrap() - dead["since_ms"].as_u64().unwrap();
    assert!((25_000..60_000).contains(&ago), "it died {ago} ms ago");
    assert_eq!(named(&list["members"], "fra-1")["since_ms"], Value::Null);
}

#[test]
fn of_more_members_than_any_fleet_has_some_are_left_off() {
    let served = open(|| {
        let mut town = alone();
        let mut map = afar("fra-1");
        (0..MOST_LINES).for_each(|nth| write_line(&mut map, &format!("fra-{nth}"), "fra", true));
        town.hear(&mut map);
        town
    });
    let list = served.json("/members");
    assert_eq!(list["left_off"], 1, "its own line is one more");
    assert!(list["members"].as_array().unwrap().len() >= MOST_LINES);
}

#[test]
fn the_map_is_told_in_pieces_and_readable() {
    let served = open(town);
    for nth in 0..2_500 {
        served.put(&format!("fact/{nth:04}"), format!("value {nth}").as_bytes());
    }
    served.put("odd", &[0xff, 0]);
    let list = served.json("/map?prefix=fact/&limit=2000");
    assert_eq!(list["entries"].as_array().unwrap().len(), 2_000, "more than is read in one look");
    let rest = served.json(list["next"].as_str().unwrap());
    let entries = rest["entries"].as_array().unwrap();
    assert_eq!((entries.len(), &entries[0]["key"], &rest["next"]), (500, &json!("fact/2000"), &Value::Null));
    assert_eq!(entries[0], json!({"key": "fact/2000", "value": "value 2000", "length": 10, "by": "cph-1"}));
    let odd = &served.json("/map?prefix=odd")["entries"][0];
    assert_eq!(*odd, json!({"key": "odd", "value": "/wA=", "value_is_base64": true, "length": 2, "by": "cph-1"}));
    let far = served.json("/map?prefix=@origin/fra/&limit=1");
    let finding = json!({"finding": {"state": "up", "by": "fra-2", "why": "as seen from there"}});
    assert_eq!((&far["entries"][0]["decoded"], &far["entries"][0]["by"]), (&finding, &json!("fra-1")));
    let line = &served.json("/map?prefix=@member/fra-3")["entries"][0]["decoded"]["member"];
    assert_eq!((&line["place"], &line["is_up"], &line["life"]), (&json!("fra"), &json!(false), &json!(5)));
    assert_eq!(served.get("/map?limit=10001").0, 400);
    assert_eq!(served.json("/map?prefix=none"), json!({"entries": [], "next": null}));
}

#[test]
fn large_values_are_told_a_few_at_a_time() {
    let served = open(alone);
    (0..200).for_each(|nth| served.put(&format!("large/{nth:03}"), &vec![b'x'; 60_000]));
    let (mut next, mut pieces) = (Some("/map?prefix=large/".to_owned()), Vec::new());
    while let Some(address) = next {
        let list = served.json(&address);
        pieces.push(list["entries"].as_array().unwrap().len());
        next = list["next"].as_str().map(str::to_owned);
    }
    assert_eq!(pieces, [70, 70, 60]);
}

#[test]
fn what_happens_is_told_to_those_who_listen() {
    let served = open(town);
    let (_, head, _) = served.ask("/changes", "");
    assert!(head.contains("cache-control: no-store"), "{head}");
    let mut listener = served.listen();
    served.put("motd", "a < b & \u{2028} <script>".as_bytes());
    let told = listener.event("map");
    assert_eq!((&told["key"], &told["value"]), (&json!("motd"), &json!("a < b & \u{2028} <script>")));
    assert_eq!((&told["by"], &told["length"]), (&json!("cph-1"), &json!(20)));
    let arrivals: u64 = told["arrivals"].as_str().unwrap().parse().unwrap();
    let spread = listener.event("spread");
    let reached: Vec<&str> = spread["reached"].as_array().unwrap().iter().map(|at| at.as_str().unwrap()).collect();
    // Others have compared themselves with this one before, and nobody since.
    assert!(reached.len() == 2 && reached.iter().all(|at| at.parse::<u64>().unwrap() < arrivals), "{spread}");
    served.put("large", "é".repeat(1_000).as_bytes());
    let told = listener.event("map");
    assert_eq!((told["value"].as_str().unwrap().len(), &told["length"]), (256, &json!(2_000)), "its beginning");
    served.happens(b"motd".to_vec(), None);
    let told = listener.event("map");
    assert_eq!((&told["value"], &told["by"]), (&Value::Null, &Value::Null));
    let member = Member::new(name("cph-9"), name("cph"), Book::ruled_address(ProcessId(9)));
    served.tell(What::Member(membership::Event::Suspect(member.clone())));
    let told = listener.event("member");
    assert_eq!(
        (&told["name"], &told["state"], &told["source"]),
        (&json!("cph-9"), &json!("suspect"), &json!("gossip"))
    );
    served.happens(b"@member/fra-2".to_vec(), None);
    assert_eq!(listener.event("member")["state"], "gone");
    served.tell(What::BeginsAnew);
    assert_eq!(listener.event("agent")["what"], "begins_anew");
    let changes = served.json("/changes");
    let kinds: Vec<_> = changes["changes"].as_array().unwrap().iter().map(|it| it["event"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["agent", "member", "member", "map", "map", "map"]);
}

#[test]
fn whoever_listens_too_slowly_is_told_so() {
    let served = open(alone);
    let mut listener = served.listen();
    // More than sockets hold: what is told is forty million bytes.
    for nth in 0..60_000 {
        served.happens(format!("fact/{nth}").into_bytes(), Some(vec![b'x'; 600].into()));
        if nth % 500 == 0 {
            let key = format!("\"fact/{}\"", nth);
            served.until(|served| served.get("/changes").1.contains(&key).then_some(()));
        }
    }
    listener.until("event: missed\ndata: {}\n\n");
    served.happens(b"the last".to_vec(), None);
    listener.until("the last");
    let (_, text) = served.get("/metrics");
    let missed = parse(&text)["skein_edge_events_missed_total{agent=\"cph-1\",place=\"cph\"}"];
    assert!(missed >= 1.0, "{missed}");
}

#[test]
fn only_so_many_may_listen() {
    let served = open(alone);
    let mut all: Vec<_> = (0..MOST_LISTENERS).map(|_| served.listen()).collect();
    let (status, body) = served.get("/events");
    assert!(status == 503 && body.contains("256 listen already"), "{status} {body}");
    all.pop();
    let mut listener = served.until(|served| {
        (served.ask("/metrics", "").2.contains("listeners{agent=\"cph-1\",place=\"cph\"} 255")).then(|| served.listen())
    });
    served.put("fact", b"1");
    assert_eq!(listener.event("map")["key"], "fact");
}

#[test]
fn whatever_was_missed_here_is_looked_up() {
    let served = Served::open(about(), door(town, 4));
    served.until(|served| served.json("/origins")["origins"].get(5).map(drop));
    let mut listener = served.listen();
    // It was not so: the map says otherwise.
    served.happens(health::key(&name("fra"), &name("far")), Some(found(State::Down, "fra-1", "a mistake")));
    served.happens(health::key(&name("fra"), &name("never")), Some(found(State::Down, "fra-1", "a mistake")));
    served.until(|served| (served.json("/origins/far")["condition"] == "down").then_some(()));
    // All at once, so that most of it is lost.
    (0..500).for_each(|nth| served.happens(format!("fact/{nth}").into_bytes(), Some(Bytes::from_static(b"1"))));
    listener.until("event: missed");
    let far = served.json("/origins/far");
    assert_eq!((&far["condition"], &far["places"][0]["changes"]), (&json!("up"), &json!(3)));
    assert_eq!(served.json("/origins/never")["condition"], "unknown");
    assert_eq!(served.json("/origins/never")["places"][0]["history"][1]["state"], "down");
}

#[test]
fn numbers_are_for_prometheus() {
    let served = open(town);
    let (_, head, text) = served.ask("/metrics", "");
    assert!(head.contains("text/plain; version=0.0.4"), "{head}");
    let numbers = parse(&text);
    let number = |name: &str| numbers[&format!("skein_edge_{name}{{agent=\"cph-1\",place=\"cph\"}}")];
    assert_eq!(
        [number("members_alive"), number("members_down"), number("inside"), number("ready")],
        [2.0, 1.0, 1.0, 1.0]
    );
    assert_eq!(number("datagrams_received_total"), 17.0);
    assert!(number("map_keys") >= 12.0 && number("requests_total") >= 1.0);
    let duties = served.json("/origins");
    let owned = duties["origins"].as_array().unwrap().iter().filter(|origin| origin["owner"] == "cph-1").count();
    assert_eq!(number("origins_owned"), owned as f64, "as is told of owners");
}

#[test]
fn an_agent_says_whether_it_is_well_and_why_not() {
    let served = Served::open(about(), door(|| Town::of(1, &[]), MOST_NEWS));
    let unwell = |served: &Served| {
        let (status, why) = served.get("/healthz");
        assert_eq!(status, 503);
        why
    };
    assert!(unwell(&served).contains("nobody has let it in yet"));
    let holder = Member::new(name("cph-1"), name("cph"), Book::ruled_address(ProcessId(9)));
    let mut listener = served.listen();
    served.tell(What::Member(membership::Event::Refused(Refusal::Taken { holder })));
    assert!(listener.event("agent")["why"].as_str().unwrap().contains("10.0.0.9:7000"));
    assert!(unwell(&served).contains("its name belongs to another that lives, at 10.0.0.9:7000"));
    served.tell(What::Member(membership::Event::Joined));
    assert_eq!(listener.event("agent"), json!({"at_ms": listener_time(&served), "what": "joined", "why": null}));
    served.tell(What::Member(membership::Event::Gone));
    listener.event("agent");
    assert!(unwell(&served).contains("it has left"));
    let version = concat!(env!("CARGO_PKG_VERSION"), "\n").to_owned();
    assert_eq!((served.get("/livez"), served.get("/version")), ((200, "alive\n".into()), (200, version)));
    served.door.agent.stop();
    assert!(served.until(|served| Some(served.get("/healthz").1).filter(|why| why.contains("stopped"))).len() > 10);
    assert_eq!(served.get("/members").0, 503);
    let (status, body) = served.get("/nothing");
    assert!(status == 404 && body.contains("/origins/NAME"), "{body}");
}

#[test]
fn nobody_waits_for_ever_for_an_agent_that_is_stuck() {
    let served = open(alone);
    let (let_go, waits) = std::sync::mpsc::channel::<()>();
    served.door.agent.look(move |_, _| assert!(waits.recv().is_err(), "nobody says anything")).unwrap();
    let (status, why) = served.get("/members");
    assert!(status == 503 && why.contains("has not answered within 2 s"), "{status} {why}");
    assert_eq!(served.get("/livez").0, 200);
    drop(let_go);
    assert_eq!(served.get("/members").0, 200);
}

/// When the last thing was told.
fn listener_time(served: &Served) -> Value {
    served.json("/changes")["changes"][0]["data"]["at_ms"].clone()
}

#[test]
fn whoever_does_not_know_the_token_sees_nothing() {
    let served = Served::open(super::About { token: Some("a secret".into()), ..about() }, door(alone, MOST_NEWS));
    let closed = ["/", "/origins", "/origins/shop", "/members", "/map", "/changes", "/events", "/metrics"];
    for path in closed {
        let (status, head, body) = served.ask(path, "");
        assert!(status == 401 && head.contains("www-authenticate: bearer") && body.contains("token"), "{path}: {head}");
        assert_eq!(served.ask(path, "Authorization: Bearer another\r\n").0, 401, "{path}");
    }
    for path in ["/livez", "/version", "/healthz"] {
        assert_eq!(served.ask(path, "Host: any.example\r\n").0, 200, "{path}");
    }
    assert_eq!(served.ask("/members", "Host: any.example\r\nAuthorization: Bearer a secret\r\n").0, 200);
    assert_eq!(served.get("/map?token=a%20secret&limit=1").0, 200);
    assert_eq!(served.get("/origins?token=a+secret").0, 200);
}

#[test]
fn a_name_that_is_not_its_own_is_refused() {
    let served = open(alone);
    for host in ["evil.example", "", "localhost.evil.example"] {
        let (status, _, body) = served.ask("/members", &format!("Host: {host}\r\n"));
        assert!(status == 403 && body.contains("not known as"), "{host}: {status} {body}");
    }
    for host in ["localhost:80", "edge.example", "EDGE.example:8080", "10.0.0.1", "[::1]:80"] {
        assert_eq!(served.ask("/members", &format!("Host: {host}\r\n")).0, 200, "{host}");
    }
}

#[test]
fn the_page_is_told_what_it_may_do() {
    let served = open(alone);
    let (status, head, body) = served.ask("/", "");
    assert!(status == 200 && body.starts_with("<!doctype html>"), "{body}");
    for line in ["content-security-policy: default-src 'none'", "x-content-type-options: nosniff", "no-referrer"] {
        assert!(head.contains(line), "{head}");
    }
}
