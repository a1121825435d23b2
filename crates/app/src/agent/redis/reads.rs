//! What is read of the map, on the agent's thread: quickly, and a large map in
//! pieces.

use bytes::Bytes;
use skein_edge::Agent;
use skein_edge::map::Map;
use skein_service::kv::{Answer, Protocol, glob_matches};

use super::wish::Read;
use crate::agent::spoken;

/// So many keys are looked at before others have their turn.
const PIECE: usize = 4_096;

/// The answer to all of these, in their order.
pub(super) fn answer(agent: &Agent, reads: &[Read], protocol: Protocol) -> Vec<u8> {
    let (map, mut answer) = (agent.spread().map(), Answer::new(protocol));
    let get = |key: &Bytes| map.get(key).map(|value| spoken::value(key, value));
    for read in reads {
        match read {
            Read::Get(key) => answer.bulk_or_null(get(key).as_deref()),
            Read::GetAll(keys) => {
                answer.array(keys.len());
                keys.iter().for_each(|key| answer.bulk_or_null(get(key).as_deref()));
            }
            Read::Exists(keys) => answer.count(keys.iter().filter(|key| map.get(key).is_some()).count()),
            Read::Length(key) => answer.count(get(key).map_or(0, |value| value.len())),
            Read::Type(key) => answer.simple(if map.get(key).is_some() { "string" } else { "none" }),
            Read::Size => answer.count(map.len()),
        }
    }
    answer.into_bytes()
}

/// The keys that match, looked for in pieces.
#[derive(Debug)]
pub(super) struct Search {
    pattern: Bytes,
    /// All that match begin so.
    prefix: Bytes,
    /// It has got so far.
    after: Option<Bytes>,
    found: Vec<Bytes>,
    bytes: usize,
}

impl Search {
    pub(super) fn new(pattern: Bytes) -> Search {
        let literal = pattern.iter().take_while(|byte| !b"*?[\\".contains(byte)).count();
        Search { prefix: pattern.slice(..literal), pattern, after: None, found: Vec::new(), bytes: 0 }
    }

    /// Looks at the next piece. Answers whether that was all.
    pub(super) fn go_on(&mut self, map: &Map) -> bool {
        let mut looked_at = 0;
        let after = self.after.take();
        let mut keys: Box<dyn Iterator<Item = _>> = match &after {
            None => Box::new(map.with_prefix(&self.prefix)),
            Some(after) => Box::new(map.with_prefix_after(&self.prefix, after)),
        };
        for (key, _) in &mut keys {
            looked_at += 1;
            if glob_matches(&self.pattern, key) {
                self.found.push(Bytes::copy_from_slice(key));
                self.bytes += key.len() + 16;
            }
            if looked_at == PIECE {
                self.after = Some(Bytes::copy_from_slice(key));
                return false;
            }
        }
        true
    }

    /// How long the answer is by now.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn into_answer(self, protocol: Protocol) -> Vec<u8> {
        let mut answer = Answer::new(protocol);
        answer.array(self.found.len());
        self.found.iter().for_each(|key| answer.bulk(key));
        answer.into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use skein_edge::MemberId;
    use skein_edge::dots::Actor;

    #[test]
    fn all_keys_that_match_are_found_in_pieces() {
        let mut map = Map::new(Actor { member: MemberId(1), life: 1 });
        for nth in 0..10_000 {
            map.put(format!("k{nth:05}").as_bytes(), Bytes::new()).unwrap();
        }
        map.put(b"other", Bytes::new()).unwrap();
        for (pattern, expected, pieces) in [("*", 10_001, 3), ("k*7", 1_000, 3), ("k00001", 1, 1), ("x*", 0, 1)] {
            let mut search = Search::new(Bytes::from_static(pattern.as_bytes()));
            let took = 1 + std::iter::repeat_with(|| search.go_on(&map)).take_while(|is_done| !is_done).count();
            assert_eq!((search.found.len(), took), (expected, pieces), "{pattern}");
            assert!(search.into_answer(Protocol::Two).starts_with(format!("*{expected}\r\n").as_bytes()));
        }
    }
}
