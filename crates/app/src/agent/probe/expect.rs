//! [`Expect`]: which statuses of HTTP count as well. Whatever is not named is a
//! failure; there is nothing in between.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

/// Whoever means more than so many ranges has listed what is *not* well.
const MOST_RANGES: usize = 16;

/// Other numbers are no status.
const STATUSES: RangeInclusive<u16> = 100..=599;

/// The statuses that count as well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Expect(Vec<RangeInclusive<u16>>);

impl Expect {
    /// Whether a status is one of them.
    pub(crate) fn includes(&self, status: u16) -> bool {
        self.0.iter().any(|range| range.contains(&status))
    }
}

/// From 200 to 399, as HAProxy, NGINX and Kubernetes have it: a redirect is an answer by somebody who is well.
impl Default for Expect {
    fn default() -> Expect {
        Expect(vec![200..=399])
    }
}

impl FromStr for Expect {
    type Err = String;

    fn from_str(text: &str) -> Result<Expect, String> {
        let ranges: Vec<&str> = text.split(',').collect();
        if ranges.len() > MOST_RANGES {
            return Err(format!("{} ranges of statuses are too many: {MOST_RANGES} are the most", ranges.len()));
        }
        let status = |text: &str| text.trim().parse().ok().filter(|status| STATUSES.contains(status));
        let range = |text: &&str| {
            let (first, last) = text.split_once('-').unwrap_or((text, text));
            let (first, last) = status(first).zip(status(last)).ok_or_else(|| {
                format!("{text:?} is no status and no range of statuses: write them as in \"200,204,301-302\"")
            })?;
            let turned = format!("{text:?} ends before it begins: write \"{last}-{first}\"");
            if first <= last { Ok(first..=last) } else { Err(turned) }
        };
        ranges.iter().map(range).collect::<Result<_, _>>().map(Expect)
    }
}

/// As it is parsed.
impl fmt::Display for Expect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (nth, range) in self.0.iter().enumerate() {
            let comma = if nth == 0 { "" } else { "," };
            match (range.start(), range.end()) {
                (first, last) if first == last => write!(f, "{comma}{first}")?,
                (first, last) => write!(f, "{comma}{first}-{last}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_read_and_written() {
        let usual = Expect::default();
        assert_eq!("200-399".parse(), Ok(usual.clone()));
        assert!([200, 204, 302, 399].iter().all(|status| usual.includes(*status)));
        assert!(![199, 400, 404, 503].iter().any(|status| usual.includes(*status)));
        let some: Expect = " 200, 204,301 - 302".parse().unwrap();
        assert!([200, 204, 301, 302].iter().all(|status| some.includes(*status)));
        assert!(![201, 203, 205, 300, 303].iter().any(|status| some.includes(*status)));
        assert_eq!(some.to_string(), "200,204,301-302");
        assert_eq!("100-599".parse::<Expect>().unwrap().to_string(), "100-599");
    }

    #[test]
    fn mistakes_say_what_to_write() {
        for (text, why) in [
            ("", "write them as in"),
            ("ok", "write them as in"),
            ("200,", "write them as in"),
            ("2xx", "write them as in"),
            ("99", "write them as in"),
            ("200-600", "write them as in"),
            ("-200", "write them as in"),
            ("200-300-400", "write them as in"),
            ("399-200", "write \"200-399\""),
        ] {
            let told = text.parse::<Expect>().unwrap_err();
            assert!(told.contains(why), "{text:?}: {told}");
        }
        let many = |count| vec!["200"; count].join(",").parse::<Expect>();
        assert!(many(MOST_RANGES).is_ok() && many(MOST_RANGES + 1).unwrap_err().contains("16 are the most"));
    }
}
