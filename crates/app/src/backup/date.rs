//! [`Date`]: a moment as people write it, in universal time. Only for names and
//! tables; nothing is decided by it.

use std::fmt;

/// A moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Date {
    year: u64,
    month: u64,
    day: u64,
    second: u64,
}

impl Date {
    /// So many milliseconds after 1970 began.
    pub(crate) fn of(time_ms: u64) -> Date {
        let (days, second) = (time_ms / 86_400_000, time_ms / 1000 % 86_400);
        // Years that begin in March, so that the day which some have and others have not is the last one. Day 719468
        // before 1970 is the first of such a year, and of 400 years that are like all other 400 years.
        let days = days + 719_468;
        let (era, day) = (days / 146_097, days % 146_097);
        let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
        let day = day - (365 * year + year / 4 - year / 100);
        let month = (5 * day + 2) / 153;
        let day = day - (153 * month + 2) / 5 + 1;
        let (month, next) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
        Date { year: era * 400 + year + next, month, day, second }
    }

    /// As a name of a file.
    pub(crate) fn compact(self) -> String {
        let Date { year, month, day, second } = self;
        format!("{year:04}{month:02}{day:02}T{:02}{:02}{:02}Z", second / 3600, second / 60 % 60, second % 60)
    }
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Date { year, month, day, second } = self;
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        write!(f, "{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}Z")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_written_as_calendars_have_them() {
        let cases = [
            (0, "1970-01-01 00:00:00Z"),
            (951_782_399_999, "2000-02-28 23:59:59Z"),
            (951_782_400_000, "2000-02-29 00:00:00Z"),
            (1_709_164_800_000, "2024-02-29 00:00:00Z"),
            (1_735_689_599_000, "2024-12-31 23:59:59Z"),
            (4_107_542_400_000, "2100-03-01 00:00:00Z"),
        ];
        for (time_ms, text) in cases {
            assert_eq!(Date::of(time_ms).to_string(), text);
        }
        assert_eq!(Date::of(951_782_399_999).compact(), "20000228T235959Z");
    }
}
