//! A store whose clients speak TLS: who is let in, who is believed, and what
//! the others hear.

use std::fs;
use std::io::Read;
use std::time::{Duration, Instant};

use super::place::Place;
use super::ports;
use super::redis::{Redis, Reply};

/// One node with certificates and a store that has a user; and where its clients find it.
fn started(name: &str) -> (Place, String) {
    let [address, redis] = ports::some();
    let config = format!(
        "cluster = \"00000000000000ad\"\ndata = \"data\"\nstorage = \"memory\"\n\
         [nodes.a]\naddress = \"{address}\"\nredis = \"{redis}\"\n\
         [store]\ntls = true\n[[store.users]]\nname = \"default\"\nrules = \"on >sesame ~* +@all\"\n\
         [tls]\nca = \"papers/ca.pem\"\ncert = \"papers/{{node}}.pem\"\nkey = \"papers/{{node}}.key\"\n\
         [[groups]]\nname = \"g\"\nreplicas = [\"a\"]\n"
    );
    let mut place = Place::with(&format!("store-tls-{name}"), &config);
    place.says(&["config", "certificates", "papers"]);
    place.says(&["config", "certificates", "others"]);
    place.start("skein.toml", "a", &[]);
    (place, redis.to_string())
}

/// What `skein kv` says to these words.
fn kv(place: &Place, words: &[&str], password: Option<&str>) -> String {
    let mut command = place.skein(&[&["kv"][..], words].concat());
    if let Some(password) = password {
        command.env("SKEIN_PASSWORD", password);
    }
    let output = command.output().unwrap();
    String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap()
}

#[test]
fn a_store_by_tls_is_for_those_who_speak_it_and_say_who_they_are() {
    let (place, redis) = started("users");
    let sesame = Some("sesame");
    let begin = Instant::now();
    while !kv(&place, &["put", "a", "1"], sesame).is_empty() {
        assert!(begin.elapsed() < Duration::from_secs(30), "{}", kv(&place, &["put", "a", "1"], sesame));
    }
    // By the configuration, and by an address and the authority; with a certificate of one's own, and with none.
    assert_eq!(kv(&place, &["get", "a"], sesame), "1\n");
    let by_address = ["--address", &redis, "--tls", "--ca", "papers/ca.pem"];
    assert_eq!(kv(&place, &[&by_address[..], &["get", "a"]].concat(), sesame), "1\n");
    let known = ["--cert", "papers/client.pem", "--key", "papers/client.key", "get", "a"];
    assert_eq!(kv(&place, &[&by_address[..], &known].concat(), sesame), "1\n");
    assert_eq!(kv(&place, &known, sesame), "1\n");

    // A certificate says nothing about what one may do: that takes a password all the same.
    let nobody = kv(&place, &known, None);
    assert!(nobody.contains("NOAUTH"), "{nobody}");
    let wrong = kv(&place, &["get", "a"], Some("salami"));
    assert!(wrong.contains("WRONGPASS"), "{wrong}");

    // Whoever speaks in the clear is told so, be it a command or a line of something else.
    let mut plain = Redis::connect(&redis);
    plain.say(&["AUTH", "sesame"]).unwrap();
    assert_eq!(plain.hear().unwrap(), Reply::Error("ERR only TLS is spoken here".into()));
    assert!(plain.hear().is_err(), "and nothing more is heard");
    let plain = kv(&place, &["--address", &redis, "get", "a"], sesame);
    assert!(plain.contains("only TLS is spoken here: add --tls, and --ca"), "{plain}");
}

#[test]
fn a_node_that_another_authority_has_signed_is_not_believed() {
    let (place, redis) = started("strangers");
    let config = fs::read_to_string(place.folder.join("skein.toml")).unwrap();
    fs::write(place.folder.join("other.toml"), config.replace("papers/ca.pem", "others/ca.pem")).unwrap();
    let wrong_ca = ["--address", &redis, "--tls", "--ca", "others/ca.pem", "get", "a"];
    for words in [&wrong_ca[..], &["--config", "other.toml", "get", "a"], &["--ca", "others/ca.pem", "get", "a"]] {
        let refused = kv(&place, words, Some("sesame"));
        assert!(refused.contains("is not trusted: its certificate was not signed by the authority"), "{refused}");
    }
    // A node of the right authority and with another name is not the one that the configuration means.
    let renamed = config.replace("nodes.a]", "nodes.b]").replace("[\"a\"]", "[\"b\"]");
    fs::write(place.folder.join("renamed.toml"), renamed).unwrap();
    let refused = kv(&place, &["--config", "renamed.toml", "get", "a"], Some("sesame"));
    assert!(refused.contains("its certificate names") && refused.contains("and not b"), "{refused}");
    // A certificate of another authority opens nothing either.
    let foreign = ["--address", &redis, "--tls", "--ca", "papers/ca.pem", "--cert", "others/client.pem"];
    let refused = kv(&place, &[&foreign[..], &["--key", "others/client.key", "get", "a"]].concat(), Some("sesame"));
    assert!(refused.contains("others/client.pem would be refused"), "{refused}");

    let blind = kv(&place, &["--address", &redis, "--tls", "get", "a"], None);
    assert!(blind.contains("name the certificate of the cluster's authority by --ca"), "{blind}");
    let half = kv(&place, &["--address", &redis, "--ca", "papers/ca.pem", "get", "a"], None);
    assert!(half.contains("are for TLS: add --tls"), "{half}");
}

/// The door is shut on somebody who says nothing, too: a handshake has to end.
#[test]
fn silence_is_not_waited_for_by_others() {
    let (place, redis) = started("silence");
    let mut silent: Vec<_> = (0..20).map(|_| std::net::TcpStream::connect(&redis).unwrap()).collect();
    assert!(kv(&place, &["get", "a"], Some("sesame")).contains("(nothing)"));
    // They hear nothing before they have said anything: it could still be TLS.
    silent[0].set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    assert!(silent[0].read(&mut [0; 10]).is_err());
}
