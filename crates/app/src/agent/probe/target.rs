//! [`Target`]: what is probed, as its operator writes it down: a page by HTTP, a
//! page by HTTPS, or a port that takes connections. It is read strictly, for a
//! probe of something else than was meant finds nothing out.

use std::fmt;
use std::net::IpAddr;

use hyper::Uri;
use hyper::header::HeaderValue;
use tokio_rustls::rustls::pki_types::ServerName;

/// Longer ones fit no list that a person reads.
const MAX_TARGET: usize = 2048;

/// What to write instead.
const FORMS: &str = "write http://HOST/PATH, https://HOST/PATH or tcp://HOST:PORT";

/// What is probed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    pub(super) scheme: Scheme,
    /// A name, or an address; certificates are held against it.
    pub(super) host: ServerName<'static>,
    pub(super) port: u16,
    /// What is asked for, as the first line of a request has it.
    pub(super) page: Uri,
    /// What the header `Host` says.
    pub(super) called: HeaderValue,
}

/// How it is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scheme {
    Http,
    Https,
    Tcp,
}

impl Scheme {
    /// Where such a thing is found, unless something else is said. A port says nothing about itself.
    fn usual_port(self) -> Option<u16> {
        match self {
            Scheme::Http => Some(80),
            Scheme::Https => Some(443),
            Scheme::Tcp => None,
        }
    }

    fn text(self) -> &'static str {
        match self {
            Scheme::Http => "http",
            Scheme::Https => "https",
            Scheme::Tcp => "tcp",
        }
    }
}

impl Target {
    /// Reads one. The error is a sentence on what is wrong and what to write.
    pub(crate) fn parse(text: &str) -> Result<Target, String> {
        if text.len() > MAX_TARGET {
            return Err(format!("a target of {} bytes is too long: {MAX_TARGET} are the most", text.len()));
        }
        if let Some(letter) = text.chars().find(|letter| !letter.is_ascii_graphic()) {
            return Err(format!(
                "{text:?} has {letter:?} in it, which is never sent as it is: write it as %XX in a path, and in its \
                 xn-- form in a name"
            ));
        }
        let (scheme, rest) = text.split_once("://").ok_or_else(|| format!("{text:?} does not say how: {FORMS}"))?;
        let scheme = match scheme.to_ascii_lowercase().as_str() {
            "http" => Scheme::Http,
            "https" => Scheme::Https,
            "tcp" => Scheme::Tcp,
            _ => return Err(format!("{text:?} cannot be probed, for {scheme} is not known here: {FORMS}")),
        };
        let (authority, tail) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        if authority.contains('@') {
            return Err(format!(
                "{text:?} names a user, and probes have no account anywhere: leave out what is before @"
            ));
        }
        if tail.contains('#') {
            return Err(format!("{text:?} has a part after #, which is never sent: leave it out"));
        }
        if scheme == Scheme::Tcp && !tail.is_empty() {
            return Err(format!("{text:?} has a path, and a port has none: write tcp://{authority}"));
        }
        let (host, port) = divide(authority).map_err(|why| format!("{text:?} {why}"))?;
        let usual = scheme.usual_port();
        let port = port.or(usual).ok_or_else(|| format!("{text:?} names no port: write tcp://{authority}:PORT"))?;
        let mut path = tail.to_owned();
        if !path.starts_with('/') {
            path.insert(0, '/');
        }
        let page = Uri::try_from(path).map_err(|error| {
            format!("{text:?} has a path that HTTP does not know ({error}): write such letters as %XX")
        })?;
        let mut called = written(&host);
        if Some(port) != usual {
            called += &format!(":{port}");
        }
        let called = HeaderValue::try_from(called).expect("a name or an address is made of plain letters");
        Ok(Target { scheme, host, port, page, called })
    }
}

/// The host and the port of `HOST:PORT`.
fn divide(authority: &str) -> Result<(ServerName<'static>, Option<u16>), String> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']').ok_or("opens a bracket and does not close it")?;
            if !port.is_empty() && !port.starts_with(':') {
                return Err("goes on after the bracket with something that is no port".to_owned());
            }
            let address = host.parse::<std::net::Ipv6Addr>();
            let address = address.map_err(|_| format!("has {host:?} in brackets, which is no IPv6 address"))?;
            (ServerName::from(IpAddr::V6(address)), port.strip_prefix(':'))
        }
        None => {
            let (host, port) = authority.split_once(':').map_or((authority, None), |(host, port)| (host, Some(port)));
            if port.is_some_and(|port| port.contains(':')) {
                return Err("has several colons: write an IPv6 address in brackets".to_owned());
            }
            let host = ServerName::try_from(host.to_owned())
                .map_err(|_| format!("names the host {host:?}, which is neither a name nor an address"))?;
            (host, port)
        }
    };
    let port = port.map(|port| match port.parse() {
        Ok(0) | Err(_) => Err(format!("names the port {port:?}: ports are numbers from 1 to 65535")),
        Ok(port) => Ok(port),
    });
    Ok((host, port.transpose()?))
}

/// A host as it stands in front of a port.
fn written(host: &ServerName<'_>) -> String {
    match host {
        ServerName::IpAddress(address) => match IpAddr::from(*address) {
            IpAddr::V4(address) => address.to_string(),
            IpAddr::V6(address) => format!("[{address}]"),
        },
        host => host.to_str().into_owned(),
    }
}

/// In full, whatever was left out.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}:{}", self.scheme.text(), written(&self.host), self.port)?;
        if self.scheme == Scheme::Tcp { Ok(()) } else { write!(f, "{}", self.page) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_read_and_written() {
        let both = |text: &str| {
            let target = Target::parse(text).unwrap();
            (target.to_string(), target.called.to_str().unwrap().to_owned())
        };
        let of = |text: &str, called: &str| (text.to_owned(), called.to_owned());
        assert_eq!(
            both("https://shop.example:8443/health?x=1"),
            of("https://shop.example:8443/health?x=1", "shop.example:8443")
        );
        assert_eq!(both("http://10.0.0.1/up"), of("http://10.0.0.1:80/up", "10.0.0.1"));
        assert_eq!(both("HTTPS://shop.example"), of("https://shop.example:443/", "shop.example"));
        assert_eq!(both("https://shop.example:443?x"), of("https://shop.example:443/?x", "shop.example"));
        assert_eq!(both("tcp://[::1]:5432"), of("tcp://[::1]:5432", "[::1]:5432"));
        assert_eq!(both("http://[fe80:0::1]"), of("http://[fe80::1]:80/", "[fe80::1]"));
        assert_eq!(both("http://a_b//c/../d"), of("http://a_b:80//c/../d", "a_b"));
    }

    #[test]
    fn mistakes_say_what_to_write() {
        for (text, why) in [
            ("shop.example/health", "does not say how: write http://HOST/PATH"),
            ("ftp://shop.example", "ftp is not known here"),
            ("http://", "neither a name nor an address"),
            ("http:///up", "neither a name nor an address"),
            ("http://me:secret@shop.example/", "leave out what is before @"),
            ("http://shop.example/#top", "leave it out"),
            ("http://shop.example/a b", "write it as %XX"),
            ("http://shop.example/ä", "write it as %XX"),
            ("http://shöp.example/", "xn-- form"),
            ("http://shop.example/a\r\nX-Evil: 1", "write it as %XX"),
            ("http://shop.example/<", "write such letters as %XX"),
            ("http://shop.example:0/", "from 1 to 65535"),
            ("http://shop.example:65536/", "from 1 to 65535"),
            ("http://shop.example:/", "from 1 to 65535"),
            ("http://::1/", "in brackets"),
            ("http://[::1/", "does not close it"),
            ("http://[::1]x/", "no port"),
            ("http://[shop.example]/", "no IPv6 address"),
            ("http://10.0.0.256/", "neither a name nor an address"),
            ("http://-shop.example/", "neither a name nor an address"),
            ("tcp://shop.example", "write tcp://shop.example:PORT"),
            ("tcp://shop.example:1/", "write tcp://shop.example:1"),
        ] {
            let told = Target::parse(text).map(|target| target.to_string()).unwrap_err();
            assert!(told.contains(why), "{text:?}: {told}");
        }
        let longest = format!("http://a/{}", "x".repeat(MAX_TARGET - 9));
        assert!(Target::parse(&longest).is_ok() && Target::parse(&(longest + "x")).unwrap_err().contains("2048"));
    }
}
