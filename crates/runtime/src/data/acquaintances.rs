//! [`Acquaintances`]: the peers that a process has met, as a small file of text
//! beside its identity. By it, whoever has forgotten what it promised is told
//! from whoever remembers. This file decides and writes nothing itself.

use std::collections::BTreeMap;
use std::fmt;

use skein_machine::ProcessId;

use crate::hello::Peer;

const HEAD: &str = "skein peers, format 1\n";

/// Every peer as it was met last.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Acquaintances {
    peers: BTreeMap<ProcessId, Peer>,
}

/// What a peer is, compared with what was known of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Meeting {
    /// The same as ever.
    Known,
    /// Met for the first time, or newer than before: to be remembered before anything else is done.
    New(Acquaintances),
}

/// Why a peer is not who it says it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stale {
    /// Another data directory, and no word about what was in the one before.
    Forgetful { peer: Peer, known: Peer },
    /// A copy of its directory, or what is left of an earlier life.
    Old { peer: Peer, known: Peer },
}

impl fmt::Display for Stale {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Stale::Forgetful { peer, known } => write!(
                f,
                "{} comes with another data directory than before, so it has forgotten what it promised: give it \
                 its directory back, or, if that is lost, move the new one away and start it once with \
                 `--rejoin {}`",
                peer.process,
                known.incarnation.saturating_add(1)
            ),
            Stale::Old { peer, known } => write!(
                f,
                "{peer} was met in incarnation {} already, so this is an old copy of it: stop it, or, if nothing \
                 newer is left, move its data directory away and start it once with `--rejoin {}`",
                known.incarnation,
                known.incarnation.saturating_add(1)
            ),
        }
    }
}

impl Acquaintances {
    /// Whether this may be the peer that was met before, or a newer life of it.
    pub(crate) fn meet(&self, peer: Peer) -> Result<Meeting, Stale> {
        if let Some(&known) = self.peers.get(&peer.process) {
            if known == peer {
                return Ok(Meeting::Known);
            }
            if peer.incarnation < known.incarnation {
                return Err(Stale::Old { peer, known });
            }
            if peer.incarnation == known.incarnation {
                return Err(Stale::Forgetful { peer, known });
            }
        }
        let mut newer = self.clone();
        newer.peers.insert(peer.process, peer);
        Ok(Meeting::New(newer))
    }

    pub(crate) fn to_text(&self) -> String {
        let lines = self.peers.values().map(|Peer { process, incarnation, birth }| {
            format!("process {} incarnation {incarnation} birth {birth:016x}\n", process.0)
        });
        let body: String = std::iter::once(HEAD.to_owned()).chain(lines).collect();
        format!("{body}checksum {:08x}\n", crc32c::crc32c(body.as_bytes()))
    }

    pub(crate) fn from_text(text: &[u8]) -> Result<Acquaintances, String> {
        let text = str::from_utf8(text).map_err(|_| "it is no text".to_owned())?;
        let body = text.strip_prefix(HEAD).ok_or("it does not say that it is one of format 1")?;
        let peers = body.lines().take_while(|line| !line.starts_with("checksum")).map(|line| {
            let peer = peer_of(line).ok_or_else(|| format!("`{line}` names no peer"))?;
            Ok((peer.process, peer))
        });
        let acquaintances = Acquaintances { peers: peers.collect::<Result<_, String>>()? };
        // One text for one set of peers, so every byte is covered.
        if acquaintances.to_text() == text { Ok(acquaintances) } else { Err("its checksum does not match".to_owned()) }
    }
}

fn peer_of(line: &str) -> Option<Peer> {
    let mut words = line.split(' ');
    let mut field = |name| words.next().filter(|word| *word == name).and_then(|_| words.next());
    Some(Peer {
        process: ProcessId(field("process")?.parse().ok()?),
        incarnation: field("incarnation")?.parse().ok()?,
        birth: u64::from_str_radix(field("birth")?, 16).ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(process: u16, incarnation: u32, birth: u64) -> Peer {
        Peer { process: ProcessId(process), incarnation, birth }
    }

    fn known(peers: &[Peer]) -> Acquaintances {
        let mut all = Acquaintances::default();
        for peer in peers {
            let Ok(Meeting::New(newer)) = all.meet(*peer) else { panic!("{peer} is not new") };
            all = newer;
        }
        all
    }

    #[test]
    fn a_peer_may_grow_older_and_not_forget() {
        let all = known(&[peer(1, 0, 7), peer(2, 3, 8)]);
        assert_eq!(all.meet(peer(2, 3, 8)), Ok(Meeting::Known));
        assert!(matches!(all.meet(peer(2, 4, 8)), Ok(Meeting::New(_))), "its log was damaged");
        assert!(matches!(all.meet(peer(2, 4, 9)), Ok(Meeting::New(_))), "it has rejoined");
        let forgetful = all.meet(peer(1, 0, 9)).unwrap_err().to_string();
        assert!(forgetful.contains("p1 comes with another") && forgetful.contains("--rejoin 1`"), "{forgetful}");
        for birth in [8, 9] {
            let old = all.meet(peer(2, 2, birth)).unwrap_err().to_string();
            assert!(
                old.contains("p2 in incarnation 2 was met in incarnation 3") && old.contains("--rejoin 4`"),
                "{old}"
            );
        }
    }

    #[test]
    fn it_is_text_of_which_no_byte_can_change_unnoticed() {
        let all = known(&[peer(1, 0, 7), peer(300, 2, u64::MAX)]);
        let text = all.to_text();
        assert_eq!(
            text,
            "skein peers, format 1\nprocess 1 incarnation 0 birth 0000000000000007\n\
             process 300 incarnation 2 birth ffffffffffffffff\nchecksum 086879a6\n"
        );
        assert_eq!(Acquaintances::from_text(text.as_bytes()), Ok(all));
        for place in 0..text.len() {
            for bit in 0..8 {
                let mut bytes = text.clone().into_bytes();
                bytes[place] ^= 1 << bit;
                assert!(Acquaintances::from_text(&bytes).is_err(), "byte {place}, bit {bit}");
            }
            assert!(Acquaintances::from_text(&text.as_bytes()[..place]).is_err(), "cut at {place}");
        }
    }
}
