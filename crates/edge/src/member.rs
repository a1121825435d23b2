//! [`Member`]: one server of a fleet, as it tells others about itself. Whether
//! it lives is no part of it: that is what [`Membership`](crate::Membership) finds out.

use core::fmt;
use core::net::{IpAddr, SocketAddr};

use skein_machine::Wire;
use skein_machine::wire::{Reader, WireError, Writer};

use crate::dots::LAST_LIFE;
use crate::owners::{MAX_WEIGHT, USUAL_WEIGHT};
use crate::{MemberId, Name};

/// One server of a fleet, in one of its lives.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Member {
    /// What its operator calls it: no two that live have the same.
    pub name: Name,
    /// Where it stands, such as a datacenter.
    pub place: Name,
    /// Where others reach it.
    pub address: SocketAddr,
    /// How much of the work is its own, beside others: 100 unless it is told otherwise, and with 0 none.
    pub weight: u32,
    /// Tells its lives apart: higher in each than in all before. Whoever starts a member promises that no life was
    /// ever used before, for what a member writes is named by it.
    pub life: u64,
}

impl Member {
    /// An ordinary member in its first life.
    pub fn new(name: Name, place: Name, address: SocketAddr) -> Member {
        Member { name, place, address, weight: USUAL_WEIGHT, life: 1 }
    }

    /// The same with another weight.
    #[must_use]
    pub fn weighing(self, weight: u32) -> Member {
        assert!(weight <= MAX_WEIGHT, "a member weighs at most {MAX_WEIGHT}, and {weight} is more");
        Member { weight, ..self }
    }

    /// The same in another life.
    #[must_use]
    pub fn living(self, life: u64) -> Member {
        Member { life, ..self }
    }

    /// The number that stands for its name.
    pub fn id(&self) -> MemberId {
        self.name.id()
    }

    /// The same with memory of its own: what was read from a datagram holds all of it for as long as it is kept.
    #[must_use]
    pub(crate) fn copied(&self) -> Member {
        let copy = |name: &Name| Name::new(name.as_str()).expect("a name stays one");
        Member { name: copy(&self.name), place: copy(&self.place), ..self.clone() }
    }
}

impl fmt::Display for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.name, self.life)
    }
}

impl fmt::Debug for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}@{}", self.address)
    }
}

impl Wire for Member {
    fn encode(&self, writer: &mut Writer<'_>) {
        self.name.encode(writer);
        self.place.encode(writer);
        encode_address(&self.address, writer);
        writer.u32(self.weight);
        writer.u64(self.life);
    }

    fn decode(reader: &mut Reader) -> Result<Member, WireError> {
        let (name, place) = (Name::decode(reader)?, Name::decode(reader)?);
        let address = decode_address(reader)?;
        let (weight, life) = (reader.u32()?, reader.u64()?);
        if weight > MAX_WEIGHT {
            return Err(WireError::Invalid { what: "a member of such a weight" });
        }
        if life > LAST_LIFE {
            return Err(WireError::Invalid { what: "a life of this number" });
        }
        Ok(Member { name, place, address, weight, life })
    }
}

const V4: u8 = 4;
const V6: u8 = 6;

/// The zone of a local address means something on one host only, so it does not travel.
pub(crate) fn encode_address(address: &SocketAddr, writer: &mut Writer<'_>) {
    match address.ip() {
        IpAddr::V4(ip) => {
            writer.u8(V4);
            writer.u32(ip.to_bits());
        }
        IpAddr::V6(ip) => {
            writer.u8(V6);
            writer.words([(ip.to_bits() >> 64) as u64, ip.to_bits() as u64]);
        }
    }
    writer.u16(address.port());
}

pub(crate) fn decode_address(reader: &mut Reader) -> Result<SocketAddr, WireError> {
    let ip = match reader.u8()? {
        V4 => IpAddr::V4(reader.u32()?.into()),
        V6 => {
            let [high, low] = reader.words()?;
            IpAddr::V6(((u128::from(high) << 64) | u128::from(low)).into())
        }
        tag => return Err(WireError::UnknownTag { what: "an address", tag }),
    };
    let port = reader.u16()?;
    if port == 0 || ip.is_unspecified() {
        return Err(WireError::Invalid { what: "an address where nobody can be reached" });
    }
    Ok(SocketAddr::new(ip, port))
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;
    use alloc::vec::Vec;
    use bytes::Bytes;
    use proptest::prelude::*;
    use skein_machine::wire::{VERSION, examine, from_bytes, to_bytes};

    fn member(address: &str) -> Member {
        let name = |text| Name::new(text).unwrap();
        Member::new(name("cph-1"), name("cph"), address.parse().unwrap())
    }

    #[test]
    fn travels_as_it_is() {
        for address in ["10.0.0.7:7000", "[2001:db8::7]:65535"] {
            let member = member(address).weighing(MAX_WEIGHT).living(LAST_LIFE);
            assert_eq!(from_bytes::<Member>(to_bytes(&member), VERSION).unwrap(), member);
            assert_eq!(member.copied(), member);
        }
        assert_eq!(format!("{:?}", member("10.0.0.7:7000").living(3)), "cph-1.3@10.0.0.7:7000");
    }

    #[test]
    fn a_member_that_cannot_be_is_refused() {
        let refused = |member: Member| from_bytes::<Member>(to_bytes(&member), VERSION).is_err();
        assert!(refused(member("10.0.0.7:0")) && refused(member("0.0.0.0:7000")) && refused(member("[::]:7000")));
        assert!(refused(Member { weight: MAX_WEIGHT + 1, ..member("10.0.0.7:7000") }));
        assert!(refused(Member { life: LAST_LIFE + 1, ..member("10.0.0.7:7000") }));
        let mut other = to_bytes(&member("10.0.0.7:7000")).to_vec();
        other[16] = 5;
        assert_eq!(
            from_bytes::<Member>(Bytes::from(other), VERSION),
            Err(WireError::UnknownTag { what: "an address", tag: 5 })
        );
    }

    #[test]
    #[should_panic(expected = "at most 100000, and 100001 is more")]
    fn nobody_weighs_more_than_the_most() {
        let _ = member("10.0.0.7:7000").weighing(0).weighing(MAX_WEIGHT + 1);
    }

    proptest! {
        #[test]
        fn any_bytes_decode_or_are_refused(bytes: Vec<u8>) {
            examine::<Member>(&bytes);
        }
    }
}
