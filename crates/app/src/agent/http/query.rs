//! [`Query`]: what stands behind the question mark of an address. Values are
//! bytes, since keys of a map are; what an address cannot say as it is comes as
//! `%` and two digits.

use std::fmt::Write;

/// Addresses are short: the longest key, each byte as three letters, and room for the rest.
pub(super) const LONGEST: usize = 8 << 10;

/// Names and values, in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Query(Vec<(String, Vec<u8>)>);

impl Query {
    /// Reads what a visitor asked for, if it makes sense.
    pub(super) fn read(text: Option<&str>) -> Result<Query, String> {
        let text = text.unwrap_or_default();
        if text.len() > LONGEST {
            return Err(format!(
                "what stands behind the `?` has at most {LONGEST} letters, and this has {}",
                text.len()
            ));
        }
        let mut pairs = Vec::new();
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let wrong = || format!("`{pair}` is not what an address may say: after a `%` come two digits");
            let name = String::from_utf8(plain(name).ok_or_else(wrong)?).map_err(|_| wrong())?;
            pairs.push((name, plain(value).ok_or_else(wrong)?));
        }
        Ok(Query(pairs))
    }

    /// The first value of this name.
    pub(super) fn bytes(&self, name: &str) -> Option<&[u8]> {
        self.0.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_slice())
    }

    /// The same as text.
    pub(super) fn text(&self, name: &str) -> Result<Option<&str>, String> {
        let text = self.bytes(name).map(std::str::from_utf8).transpose();
        text.map_err(|_| format!("`{name}` is no text in UTF-8"))
    }

    /// How many are asked for: the usual number unless it says another, from 1 up to the most.
    pub(super) fn limit(&self, usual: usize, most: usize) -> Result<usize, String> {
        let Some(text) = self.text("limit")? else { return Ok(usual) };
        match text.parse() {
            Ok(limit) if (1..=most).contains(&limit) => Ok(limit),
            _ => Err(format!("`limit` is a number from 1 to {most}, and not {text:?}")),
        }
    }

    /// Only these names have a meaning here. A slip that is passed over in silence would be answered with something else.
    pub(super) fn expect(&self, names: &[&str]) -> Result<(), String> {
        match self.0.iter().find(|(name, _)| name != TOKEN && !names.contains(&name.as_str())) {
            Some((name, _)) if names.is_empty() => Err(format!("nothing can be asked for here, and so not `{name}`")),
            Some((name, _)) => Err(format!("`{name}` cannot be asked for here; what can be is {}", names.join(", "))),
            None => Ok(()),
        }
    }
}

/// Whoever cannot set headers says the token so.
pub(super) const TOKEN: &str = "token";

/// What a part of an address stands for.
fn plain(coded: &str) -> Option<Vec<u8>> {
    let mut plain = Vec::with_capacity(coded.len());
    let mut rest = coded.as_bytes();
    while let [first, others @ ..] = rest {
        rest = others;
        plain.push(match first {
            b'+' => b' ',
            b'%' => {
                let (digits, others) = rest.split_at_checked(2)?;
                rest = others;
                let digit = |byte: u8| char::from(byte).to_digit(16);
                (digit(digits[0])? * 16 + digit(digits[1])?) as u8
            }
            other => *other,
        });
    }
    Some(plain)
}

/// How an address says these bytes.
pub(super) fn coded(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for byte in bytes {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => text.push(char::from(*byte)),
            _ => drop(write!(text, "%{byte:02X}")),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_back_from_an_address() {
        let bytes: Vec<u8> = (0..=255).collect();
        let text = format!("after={}&limit=3&limit=4&x", coded(&bytes));
        let query = Query::read(Some(&text)).unwrap();
        assert_eq!(query.bytes("after").unwrap(), bytes);
        assert_eq!((query.limit(1, 10), query.bytes("x"), query.bytes("y")), (Ok(3), Some(&[][..]), None));
        assert_eq!(Query::read(Some("a=b+c%2b")).unwrap().text("a").unwrap(), Some("b c+"));
        assert!(query.text("after").unwrap_err().contains("UTF-8"));
    }

    #[test]
    fn what_makes_no_sense_is_said() {
        for odd in ["a=%", "a=%2", "a=%zz", "%ff=1"] {
            assert!(Query::read(Some(odd)).unwrap_err().contains("two digits"), "{odd}");
        }
        assert!(Query::read(Some(&"a".repeat(LONGEST + 1))).unwrap_err().contains("8192"));
        let limit = |text: &str| Query::read(Some(text)).unwrap().limit(5, 10);
        assert_eq!((limit(""), limit("limit=10")), (Ok(5), Ok(10)));
        ["limit=0", "limit=11", "limit=-1", "limit=x"].iter().for_each(|odd| assert!(limit(odd).is_err(), "{odd}"));
        let query = Query::read(Some("prefix=a&token=b")).unwrap();
        assert_eq!(query.expect(&["prefix"]), Ok(()));
        assert!(query.expect(&["limit"]).unwrap_err().contains("`prefix` cannot be asked for here"));
        assert!(query.expect(&[]).unwrap_err().contains("nothing"));
    }
}
