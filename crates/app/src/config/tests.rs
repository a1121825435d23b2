//! Configurations that are right, and what is said of those that are not.

use super::*;

const GOOD: &str = r#"
cluster = "00000000000000ab"
storage = "memory"

[nodes.a]
region = "north"
address = "127.0.0.1:7001"
[nodes.b]
address = "127.0.0.1:7002"
[nodes.c]
address = "127.0.0.1:7003"

[[groups]]
name = "users"
replicas = ["a", "b", "c"]
[[groups]]
name = "orders"
replicas = ["b"]
"#;

fn mistake(from: &str, to: &str) -> String {
    assert!(GOOD.contains(from), "{from}");
    Config::parse(&GOOD.replace(from, to)).unwrap_err().to_string()
}

#[test]
fn replicas_are_numbered_in_the_order_of_the_file() {
    let config = Config::parse(GOOD).unwrap();
    assert_eq!(config.replicas_at("b"), [ProcessId(1), ProcessId(3)]);
    assert_eq!(config.group("orders").unwrap().index(), 1);
    assert_eq!(config.addresses()[&ProcessId(3)].port(), 7002);
    let again = Config::parse(&config.to_text()).unwrap();
    assert_eq!((again.cluster, again.nodes, again.homes), (config.cluster, config.nodes, config.homes));
}

#[test]
fn mistakes_are_explained() {
    let unknown = mistake("storage =", "storrage =");
    assert!(unknown.contains("line 3") && unknown.contains("storrage"), "{unknown}");
    assert!(mistake("00000000000000ab", "ab").contains("sixteen hexadecimal digits"));
    assert!(mistake("\"memory\"", "\"tape\"").contains("line 3"));
    assert!(
        mistake("storage =", "protocol = \"paxos\"\nstorage =").contains("there are skeen, skeen-extended, primcast")
    );
    assert!(mistake("[\"b\"]", "[\"d\"]").contains("there is no such node: there are a, b, c"));
    assert!(mistake("[\"b\"]", "[\"a\", \"b\"]").contains("take one more or one less"));
    assert!(mistake("[\"b\"]", "[\"a\", \"b\", \"a\"]").contains("would die together"));
    let whitebox = "protocol = \"whitebox\"\nordering = \"global-order\"\nstorage =";
    assert!(mistake("storage =", whitebox).contains("whitebox does not offer that"));
    assert!(mistake("7002", "7001").contains("same address"));
    assert!(mistake("7002", "0").contains("port 0"));
    assert!(mistake("storage =", "wan = \"planet\"\nstorage =").contains("it knows us-west-2"));
    assert!(mistake("storage =", "wan_jitter_percent = 101\nstorage =").contains("100 hundredths of its way"));
    assert!(mistake("orders", "users").contains("two groups are called users"));
}

#[test]
fn rings_are_listed_by_the_groups_that_they_serve() {
    let third = "[[groups]]\nname = \"bills\"\nreplicas = [\"c\"]\n";
    let text = |rings: &str| format!("protocol = \"multiring\"\n{GOOD}{third}{rings}");
    let ring = |groups: &str| format!("[[rings]]\ngroups = [{groups}]\n");
    let listed = format!("{}{}on_demand = true\n", ring("\"orders\", \"users\""), ring("\"orders\", \"bills\""));
    let config = Config::parse(&text(&listed)).unwrap();
    let rings: Vec<_> =
        (0..config.rings.count()).map(|ring| (config.rings.served(ring).bits(), config.rings.sleeps(ring))).collect();
    assert_eq!(rings, [(0b1, false), (0b10, false), (0b100, false), (0b11, false), (0b110, true), (0b111, false)]);
    assert_eq!(Config::parse(&config.to_text()).unwrap().rings, config.rings);
    let plain = Config::parse(&text("")).unwrap();
    let awake = Config::parse(&text(&listed.replace("on_demand = true", ""))).unwrap();
    assert!(plain.plan() != config.plan() && config.plan() != awake.plan());

    let mistake = |rings: &str| Config::parse(&text(rings)).unwrap_err().0;
    assert!(mistake(&ring("\"orders\", \"bill\"")).contains("no such group: there are users, orders, bills"));
    assert!(mistake(&ring("\"orders\"")).contains("ring 1 serves only orders: each group has a ring of its own"));
    assert!(mistake(&ring("")).contains("ring 1 serves nobody"));
    assert!(mistake(&ring("\"orders\", \"orders\"")).contains("ring 1 serves orders twice"));
    assert!(mistake(&ring("\"orders\", \"users\", \"bills\"")).contains("serves all groups"));
    let twice = format!("{}{}", ring("\"orders\", \"users\""), ring("\"users\", \"orders\""));
    assert!(mistake(&twice).contains("rings 1 and 2 serve the same groups"));
    assert!(mistake(&ring("\"orders\", \"users\"").repeat(125)).contains("with 3 groups there may be 124"));
    assert!(mistake("[[rings]]\ngroup = []\n").contains("unknown field `group`"));
    let other = text(&listed).replace("multiring", "whitebox");
    assert!(Config::parse(&other).unwrap_err().0.contains("whitebox has no rings"));
}

#[test]
fn nobody_listens_to_the_world_by_accident() {
    let why = mistake("127.0.0.1:7002", "10.0.0.2:7002");
    assert!(why.contains("node b would listen at 10.0.0.2:7002") && why.contains("insecure = true"), "{why}");
    let why = mistake("\"127.0.0.1:7002\"", "\"127.0.0.1:7002\"\nlisten = \"0.0.0.0:7002\"");
    assert!(why.contains("would listen at 0.0.0.0:7002"), "{why}");
    let why = mistake("\"127.0.0.1:7002\"", "\"127.0.0.1:7002\"\nhttp = \"[::]:7080\"");
    assert!(why.contains("insecure_http = true"), "{why}");
    let far = GOOD.replace("127.0.0.1:7002", "10.0.0.2:7002");
    assert!(Config::parse(&format!("insecure = true\n{far}")).is_ok());
    let tls = "[tls]\nca = \"ca\"\ncert = \"{node}.pem\"\nkey = \"{node}.key\"\n";
    let config = Config::parse(&format!("{far}{tls}")).unwrap();
    assert!(Config::parse(&config.to_text()).unwrap().tls == config.tls && config.tls.is_some());
    let names = |from: &str, to: &str| Config::parse(&format!("{GOOD}{tls}").replace(from, to)).unwrap_err().0;
    assert!(names("[nodes.a]", "[nodes.C]").contains("no certificate can tell them apart"));
    assert!(names("[nodes.a]", "[nodes.\"b.\"]").contains("no certificate can tell them apart"));
    let why = names("[nodes.a]", "[nodes.\"a b\"]");
    assert!(why.contains("no certificate can name the node \"a b\""), "{why}");
}

#[test]
fn a_planet_has_jitter_unless_it_is_told_not_to() {
    let planet = GOOD.replace("\"north\"", "\"us-west-2\"");
    let planet = planet.replace("[nodes.b]", "[nodes.b]\nregion = \"us-east-1\"");
    let planet = planet.replace("[nodes.c]", "[nodes.c]\nregion = \"eu-west-1\"");
    let (near, far) = (ProcessId(0), ProcessId(1));
    let distance = |more: &str| {
        let config = Config::parse(&format!("{more}wan = \"planet\"\n{planet}")).unwrap();
        assert_eq!(Config::parse(&config.to_text()).unwrap().wan_jitter_percent, config.wan_jitter_percent);
        config.distances_from(near)[&far]
    };
    let usual = distance("");
    assert_eq!(usual.jitter, usual.delay / 20);
    assert_eq!(distance("wan_jitter_percent = 0\n"), Distance::fixed(usual.delay));
    assert_eq!(distance("wan_jitter_percent = 100\n").jitter, usual.delay);
}
