//! [`Supervisor`]: whoever has started this process and wants to know how far
//! it is, by the protocol of `sd_notify`: a datagram to the socket that the
//! environment names. Without one, nobody is told.

use std::os::unix::net::{SocketAddr, UnixDatagram};

/// Who is told, if anybody.
pub(crate) struct Supervisor(Option<SocketAddr>);

impl Supervisor {
    /// The one that the environment names.
    pub(crate) fn of_environment() -> Supervisor {
        Supervisor::named(std::env::var("NOTIFY_SOCKET").ok().as_deref())
    }

    fn named(name: Option<&str>) -> Supervisor {
        let address = name.and_then(|name| match name.strip_prefix('@') {
            Some(name) => without_file(name),
            None => SocketAddr::from_pathname(name).ok(),
        });
        Supervisor(address)
    }

    /// Everything is up.
    pub(crate) fn ready(&self) {
        self.tell("READY=1");
    }

    /// The configuration is being read again; the end of that is `ready`.
    pub(crate) fn reloading(&self) {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
        self.tell(&format!("RELOADING=1\nMONOTONIC_USEC={}", now.tv_sec * 1_000_000 + now.tv_nsec / 1000));
    }

    /// It comes to its end, as it was asked to.
    pub(crate) fn stopping(&self) {
        self.tell("STOPPING=1");
    }

    fn tell(&self, what: &str) {
        let Some(address) = &self.0 else { return };
        let told = UnixDatagram::unbound().and_then(|socket| socket.send_to_addr(what.as_bytes(), address));
        if let Err(error) = told {
            tracing::warn!(%error, what, "cannot tell the supervisor");
        }
    }
}

/// Linux has names of sockets that are no files.
#[cfg(target_os = "linux")]
fn without_file(name: &str) -> Option<SocketAddr> {
    use std::os::linux::net::SocketAddrExt;
    SocketAddr::from_abstract_name(name).ok()
}

#[cfg(not(target_os = "linux"))]
fn without_file(_: &str) -> Option<SocketAddr> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_supervisor_hears_how_far_it_is() {
        let path = std::env::temp_dir().join(format!("skein-notify-{}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        let socket = UnixDatagram::bind(&path).unwrap();
        let supervisor = Supervisor::named(path.to_str());
        supervisor.ready();
        supervisor.reloading();
        supervisor.stopping();
        Supervisor::named(None).ready();
        let mut bytes = [0; 100];
        let mut hear = || {
            let count = socket.recv(&mut bytes).unwrap();
            String::from_utf8(bytes[..count].to_vec()).unwrap()
        };
        assert_eq!(hear(), "READY=1");
        assert!(hear().starts_with("RELOADING=1\nMONOTONIC_USEC="));
        assert_eq!(hear(), "STOPPING=1");
        std::fs::remove_file(&path).unwrap();
    }
}
