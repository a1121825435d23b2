//! Stores that are right, and what is said of those that are not.

use skein_service::replica::Mode;

use super::*;

const GOOD: &str = r#"
cluster = "00000000000000ab"
storage = "memory"

[store]
max_memory_mb = 64

[[store.placement]]
prefix = "eu:"
group = "users"
[[store.placement]]
prefix = "order:"
split = ["users", "orders"]
points = ["order:m"]
[[store.users]]
name = "default"
rules = "on >secret ~* +@all"

[nodes.a]
address = "127.0.0.1:7001"
redis = "10.0.0.1:6379"

[[groups]]
name = "users"
replicas = ["a"]
[[groups]]
name = "orders"
replicas = ["a"]
"#;

fn mistake(from: &str, to: &str) -> String {
    assert!(GOOD.contains(from), "{from}");
    Config::parse(&GOOD.replace(from, to)).unwrap_err().to_string()
}

#[test]
fn a_store_says_where_keys_are() {
    let config = Config::parse(GOOD).unwrap();
    let store = config.store.as_ref().unwrap();
    let group_of = |key: &str| store.placement.group_of(key.as_bytes()).index();
    assert_eq!([group_of("eu:1"), group_of("order:a"), group_of("order:z")], [0, 0, 1]);
    assert_eq!((config.choices.clock, store.limits.max_memory), (Clock::Hybrid, 64 << 20));
    let again = Config::parse(&config.to_text()).unwrap();
    assert_eq!((again.plan(), &again.store.unwrap().placement), (config.plan(), &store.placement));
    let other = Config::parse(&GOOD.replace("order:m", "order:n")).unwrap();
    assert_ne!(other.plan(), config.plan(), "nodes that were told different things must notice");
    let users = Config::parse(&GOOD.replace("secret", "other")).unwrap();
    assert_eq!(users.plan(), config.plan(), "passwords may change node by node");
}

#[test]
fn what_is_promised_is_part_of_the_plan() {
    let usual = Config::parse(GOOD).unwrap();
    let by_clocks = |error: &str| {
        let lines = format!("[store]\nordering = \"linearizable-clock\"\nclock_error_us = {error}");
        Config::parse(&GOOD.replace("[store]", &lines)).unwrap()
    };
    let (wide, narrow) = (by_clocks("5000"), by_clocks("50"));
    assert_eq!(wide.store.as_ref().unwrap().mode(), Mode::LinearizableClock(Duration::from_millis(5)));
    let global = Config::parse(&GOOD.replace("storage", "ordering = \"global-order\"\nstorage")).unwrap();
    assert_eq!(global.deliveries, Deliveries::GlobalOrder);
    for config in [&wide, &global] {
        let again = Config::parse(&config.to_text()).unwrap();
        assert_eq!((again.plan(), again.deliveries), (config.plan(), config.deliveries));
    }
    let plans = BTreeSet::from([&usual, &wide, &narrow, &global].map(Config::plan));
    assert_eq!(plans.len(), 4, "nodes that were told different things must notice");
}

#[test]
fn mistakes_in_a_store_are_explained() {
    assert!(mistake("group = \"users\"", "group = \"nobody\"").contains("there are users, orders"));
    assert!(mistake("group = \"users\"", "").contains("placement rule 1 says neither"));
    assert!(mistake("points = [\"order:m\"]", "points = []").contains("one split point less"));
    assert!(mistake("+@all", "+@everything").contains("user default: +@everything names no command"));
    assert!(mistake("[store]", "[store]\ntimeout_ms = 0").contains("nobody would ever have an answer"));
    let by_clocks = "[store]\nordering = \"linearizable-clock\"";
    assert!(mistake("[store]", by_clocks).contains("say by clock_error_us"));
    assert!(mistake("[store]", &format!("{by_clocks}\nclock_error_us = 100001")).contains("1 to 100000"));
    assert!(mistake("[store]", "[store]\nclock_error_us = 5").contains("take one of the lines out"));
    assert!(mistake("[store]", "[store]\ntls = true").contains("there are no certificates"));
    assert!(mistake("storage =", "clock = \"logical\"\nstorage =").contains("its clock is hybrid"));
    assert!(mistake("max_memory_mb", "max_memory").contains("line 6"));
    let without = GOOD[..GOOD.find("[store]").unwrap()].to_owned() + &GOOD[GOOD.find("[nodes.a]").unwrap()..];
    assert!(Config::parse(&without).unwrap_err().to_string().contains("add [store]"));
}

#[test]
fn nobody_serves_the_world_by_accident() {
    let users = "[[store.users]]\nname = \"default\"\nrules = \"on >secret ~* +@all\"\n";
    let why = mistake(users, "");
    assert!(why.contains("would serve anybody at 10.0.0.1:6379") && why.contains("insecure = true"), "{why}");
    assert!(mistake(">secret", "nopass").contains("would serve anybody"));
    let guest = "[[store.users]]\nname = \"guest\"\nrules = \"on nopass ~* +@all\"\n";
    assert!(mistake(users, &format!("{users}{guest}")).contains("would serve anybody"));
    assert!(
        Config::parse(&GOOD.replace(users, &format!("{users}{}", guest.replace("on nopass", "off nopass")))).is_ok()
    );
    assert!(Config::parse(&GOOD.replace(users, "").replace("storage =", "insecure = true\nstorage =")).is_ok());
    assert!(Config::parse(&GOOD.replace(users, "").replace("10.0.0.1", "127.0.0.1")).is_ok());
}
