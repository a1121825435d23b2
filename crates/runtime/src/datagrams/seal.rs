//! [`Keys`]: what the members of a fleet share, and how a datagram shows that it
//! comes from one of them. A sender draws a salt when it begins, derives a key
//! of its own from the fleet's and that, and counts what it seals: no two
//! datagrams are ever sealed alike, whoever sends how many.
//!
//! Whoever reads along learns nothing, and whoever makes something up is not
//! heard. What was sealed once can be said again by anybody who has heard it:
//! for the machines that is a late datagram, and late ones change nothing.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, MAX_TAG_LEN, Nonce, UnboundKey};
use ring::hkdf::{HKDF_SHA256, Salt};
use ring::rand::{SecureRandom, SystemRandom};
use skein_machine::wire::{OLDEST, VERSION, Version};

/// Bytes of a key.
const KEY: usize = 32;

/// Bytes of a salt: enough that no two are ever drawn alike.
pub(super) const SALT: usize = 16;

/// What stands before what is sealed: the version, the salt, the count.
const HEAD: usize = 2 + SALT + 8;

/// What a seal adds to a datagram. With the longest that machines say, and the headers beneath, it fits the packets of
/// common networks, IPv6 included.
pub(super) const AROUND: usize = HEAD + MAX_TAG_LEN;

/// Keys that open. One is in use, another comes or goes; a few more do no harm.
pub(super) const MOST_KEYS: usize = 8;

/// Senders whose keys are remembered. When there are more all are forgotten, and derived again from what comes in.
const MOST_SENDERS: usize = 8_192;

/// A key that the members of a fleet share.
#[derive(Clone, PartialEq, Eq)]
pub struct Key([u8; KEY]);

/// The keys of a fleet: the first one seals, and all of them open.
#[derive(Clone, Debug)]
pub struct Keys(Arc<[Key]>);

/// Whoever prints what it has must not print this.
impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(…)")
    }
}

impl Key {
    /// A new one.
    pub fn draw() -> Result<Key, String> {
        let mut key = [0; KEY];
        fill(&mut key)?;
        Ok(Key(key))
    }

    /// One that everybody knows who knows these words. It keeps apart fleets that are not to meet, and nothing else.
    pub fn of_words(words: &str) -> Key {
        let digest = ring::digest::digest(&ring::digest::SHA256, words.as_bytes());
        Key(digest.as_ref().try_into().expect("a digest is as long as a key"))
    }

    /// The one that is written so.
    pub fn parse(text: &str) -> Result<Key, String> {
        let wrong = || format!("a key is written by {} digits of 0 to 9 and a to f", 2 * KEY);
        let digits = text.as_bytes();
        if digits.len() != 2 * KEY {
            return Err(wrong());
        }
        let digit = |digit: u8| (digit as char).to_digit(16).ok_or_else(wrong);
        let mut key = [0; KEY];
        for (byte, pair) in key.iter_mut().zip(digits.chunks(2)) {
            *byte = (digit(pair[0])? << 4 | digit(pair[1])?) as u8;
        }
        Ok(Key(key))
    }

    /// How it is written, for the file that holds it.
    pub fn written(&self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Bytes of a key's name.
    pub(super) const NAME: usize = 8;

    /// By which those who have it know which one is meant. To others it says nothing.
    pub(super) fn name(&self) -> [u8; Key::NAME] {
        let mut named = Vec::from(*b"skein key name");
        named.extend_from_slice(&self.0);
        let digest = ring::digest::digest(&ring::digest::SHA256, &named);
        digest.as_ref()[..Key::NAME].try_into().expect("a digest is longer than that")
    }

    /// The key of one who has drawn this salt, for one purpose.
    pub(super) fn derive(&self, salt: &[u8], purpose: &[u8]) -> LessSafeKey {
        let derived = Salt::new(HKDF_SHA256, salt).extract(&self.0);
        let key = derived.expand(&[purpose], &AES_256_GCM).map(UnboundKey::from);
        LessSafeKey::new(key.expect("a key of this length can be derived"))
    }
}

impl Keys {
    /// These, the one that seals in front.
    pub fn of(keys: Vec<Key>) -> Result<Keys, String> {
        if keys.is_empty() || keys.len() > MOST_KEYS {
            return Err(format!("there are {} keys, and 1 to {MOST_KEYS} make sense", keys.len()));
        }
        Ok(Keys(keys.into()))
    }

    /// Those that a text holds, one a line; what begins with # is for people.
    pub fn parse(text: &str) -> Result<Keys, String> {
        let mut keys = Vec::new();
        for (nth, line) in (1..).zip(text.lines()) {
            let line = line.trim();
            if !line.is_empty() && !line.starts_with('#') {
                keys.push(Key::parse(line).map_err(|wrong| format!("line {nth}: {wrong}"))?);
            }
        }
        Keys::of(keys)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Key> {
        self.0.iter()
    }

    pub(super) fn first(&self) -> &Key {
        &self.0[0]
    }
}

/// Fills with what nobody can guess.
pub(super) fn fill(bytes: &mut [u8]) -> Result<(), String> {
    SystemRandom::new().fill(bytes).map_err(|_| "the system gives no random numbers".to_owned())
}

/// A number that nobody can guess.
pub(super) fn draw() -> Result<u64, String> {
    let mut bytes = [0; 8];
    fill(&mut bytes)?;
    Ok(u64::from_le_bytes(bytes))
}

/// The number of what is sealed, as the cipher wants it.
pub(super) fn nonce(nth: u64) -> Nonce {
    let mut nonce = [0; 12];
    nonce[..8].copy_from_slice(&nth.to_le_bytes());
    Nonce::assume_unique_for_key(nonce)
}

const DATAGRAM: &[u8] = b"skein datagram";

/// Seals and opens datagrams.
pub(super) struct Seal {
    keys: Keys,
    salt: [u8; SALT],
    own: LessSafeKey,
    sealed: u64,
    senders: HashMap<[u8; SALT], LessSafeKey>,
}

impl Seal {
    pub(super) fn new(keys: Keys) -> Result<Seal, String> {
        let mut salt = [0; SALT];
        fill(&mut salt)?;
        let own = keys.first().derive(&salt, DATAGRAM);
        Ok(Seal { keys, salt, own, sealed: 0, senders: HashMap::new() })
    }

    /// Puts what is said into a buffer, sealed.
    pub(super) fn seal(&mut self, said: &[u8], sealed: &mut Vec<u8>) {
        self.sealed += 1;
        sealed.clear();
        sealed.extend_from_slice(&VERSION.to_le_bytes());
        sealed.extend_from_slice(&self.salt);
        sealed.extend_from_slice(&self.sealed.to_le_bytes());
        sealed.extend_from_slice(said);
        let (head, body) = sealed.split_at_mut(HEAD);
        let around = Aad::from(&head[..2]);
        let tag = self.own.seal_in_place_separate_tag(nonce(self.sealed), around, body);
        let tag = tag.expect("no datagram is longer than the cipher takes");
        sealed.extend_from_slice(tag.as_ref());
    }

    /// What a member has said, and in which version; nothing if it was none.
    pub(super) fn open(&mut self, sealed: &mut [u8]) -> Option<(Version, Bytes)> {
        if sealed.len() < AROUND {
            return None;
        }
        let (head, body) = sealed.split_at_mut(HEAD);
        let version = Version::from_le_bytes([head[0], head[1]]);
        let salt: [u8; SALT] = head[2..2 + SALT].try_into().expect("a salt is as long as a salt");
        let nth = u64::from_le_bytes(head[2 + SALT..].try_into().expect("what is left is the count"));
        // Whoever throws back at us what we said has no key for it.
        if !(OLDEST..=VERSION).contains(&version) || salt == self.salt {
            return None;
        }
        let around = Aad::from(&head[..2]);
        if let Some(key) = self.senders.get(&salt) {
            let opened = key.open_in_place(nonce(nth), around, body).ok()?;
            return Some((version, Bytes::copy_from_slice(opened)));
        }
        for key in self.keys.iter() {
            let key = key.derive(&salt, DATAGRAM);
            let mut attempt = body.to_vec();
            if let Ok(opened) = key.open_in_place(nonce(nth), around, &mut attempt) {
                let opened = Bytes::copy_from_slice(opened);
                if self.senders.len() >= MOST_SENDERS {
                    self.senders.clear();
                }
                self.senders.insert(salt, key);
                return Some((version, opened));
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(text: &str) -> Keys {
        Keys::of(text.split(' ').map(Key::of_words).collect()).unwrap()
    }

    fn sealed(seal: &mut Seal, said: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        seal.seal(said, &mut bytes);
        bytes
    }

    #[test]
    fn members_hear_each_other_and_nobody_else() {
        let [mut a, mut b, mut stranger] = [keys("k"), keys("k"), keys("other")].map(|keys| Seal::new(keys).unwrap());
        for said in [&b"hello"[..], b"", &[7; 1_400]] {
            let bytes = sealed(&mut a, said);
            assert_eq!(bytes.len(), said.len() + AROUND);
            assert_eq!(b.open(&mut bytes.clone()), Some((VERSION, Bytes::copy_from_slice(said))));
            assert_eq!(stranger.open(&mut bytes.clone()), None);
            assert_eq!(a.open(&mut bytes.clone()), None, "it was thrown back");
            // However it is bent, and wherever it is cut off.
            for at in 0..bytes.len() {
                let mut bent = bytes.clone();
                bent[at] ^= 1;
                assert_eq!(b.open(&mut bent), None, "byte {at}");
                assert_eq!(b.open(&mut bytes[..at].to_vec()), None, "up to {at}");
            }
        }
        assert_ne!(sealed(&mut a, b"hello"), sealed(&mut a, b"hello"));
    }

    #[test]
    fn a_key_is_replaced_while_all_go_on() {
        let [mut old, mut between, mut new] =
            [keys("old"), keys("new old"), keys("new")].map(|keys| Seal::new(keys).unwrap());
        assert!(
            between.open(&mut sealed(&mut old, b"x")).is_some() && between.open(&mut sealed(&mut new, b"x")).is_some()
        );
        assert!(new.open(&mut sealed(&mut between, b"x")).is_some());
        assert!(old.open(&mut sealed(&mut between, b"x")).is_none(), "the first one seals");
    }

    #[test]
    fn many_senders_fill_no_memory() {
        let mut ours = Seal::new(keys("k")).unwrap();
        for _ in 0..MOST_SENDERS + 10 {
            let mut theirs = Seal::new(keys("k")).unwrap();
            assert!(ours.open(&mut sealed(&mut theirs, b"x")).is_some());
            assert!(ours.senders.len() <= MOST_SENDERS);
        }
        let mut stranger = Seal::new(keys("other")).unwrap();
        let before = ours.senders.len();
        assert!(ours.open(&mut sealed(&mut stranger, b"x")).is_none() && ours.senders.len() == before);
    }

    #[test]
    fn keys_are_written_and_read() {
        let key = Key::draw().unwrap();
        assert!(Key::parse(&key.written()).unwrap() == key && format!("{key:?}") == "Key(…)");
        let text = format!("# of the fleet\n{}\n\n  {}\n", key.written(), Key::of_words("x").written());
        assert_eq!(Keys::parse(&text).unwrap().0.len(), 2);
        assert!(Keys::parse("# nothing\n").unwrap_err().contains("there are 0 keys"));
        assert!(Keys::parse("\nabc").unwrap_err().starts_with("line 2: a key is written by 64 digits"));
        let long = format!("{}é", "0".repeat(62));
        assert!(Keys::parse(&long).is_err(), "as many bytes, but not digits");
    }
}
