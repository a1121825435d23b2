//! Answers whether a licence expression can be met with licences from a list.
//!
//! It reads the expressions that Cargo manifests carry: `OR`, `AND`, `WITH` and parentheses, and
//! the slash that stood for `OR` before. It will never interpret a licence text, and it holds no
//! list of its own: which licences are welcome is a rule's decision.

/// Whether someone who accepts the `allowed` licences may use what the expression covers. The
/// error is half a sentence about the expression.
pub(crate) fn is_met(expression: &str, allowed: &[&str]) -> Result<bool, String> {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let mut reader = Reader { words: spaced.split_whitespace().peekable(), allowed };
    let met = reader.either()?;
    match reader.words.next() {
        None => Ok(met),
        Some(word) => Err(format!("has an unexpected `{word}`")),
    }
}

struct Reader<'a, Words: Iterator<Item = &'a str>> {
    words: std::iter::Peekable<Words>,
    allowed: &'a [&'a str],
}

impl<'a, Words: Iterator<Item = &'a str>> Reader<'a, Words> {
    /// `OR` binds the least.
    fn either(&mut self) -> Result<bool, String> {
        let mut met = self.both()?;
        while self.words.next_if_eq(&"OR").is_some() {
            met |= self.both()?;
        }
        Ok(met)
    }

    fn both(&mut self) -> Result<bool, String> {
        let mut met = self.one()?;
        while self.words.next_if_eq(&"AND").is_some() {
            met &= self.one()?;
        }
        Ok(met)
    }

    fn one(&mut self) -> Result<bool, String> {
        let word = self.words.next().ok_or("ends too early")?;
        match word {
            "(" => {
                let met = self.either()?;
                match self.words.next() {
                    Some(")") => Ok(met),
                    _ => Err("has a parenthesis that is never closed".to_owned()),
                }
            }
            ")" | "OR" | "AND" | "WITH" => Err(format!("has an unexpected `{word}`")),
            licence => self.licence(licence),
        }
    }

    /// A licence and its exception are one name: an exception can only be accepted as a pair.
    fn licence(&mut self, licence: &str) -> Result<bool, String> {
        if self.words.next_if_eq(&"WITH").is_none() {
            return Ok(self.allowed.contains(&licence));
        }
        let exception = self.words.next().ok_or("ends with `WITH`")?;
        let pair = format!("{licence} WITH {exception}");
        Ok(self.allowed.contains(&pair.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALLOWED: &[&str] = &["MIT", "Apache-2.0", "Apache-2.0 WITH LLVM-exception"];

    #[test]
    fn one_side_of_a_choice_is_enough() {
        assert_eq!(is_met("MIT", ALLOWED), Ok(true));
        assert_eq!(is_met("GPL-3.0", ALLOWED), Ok(false));
        assert_eq!(is_met("GPL-3.0 OR MIT", ALLOWED), Ok(true));
        assert_eq!(is_met("GPL-3.0/MIT", ALLOWED), Ok(true));
    }

    #[test]
    fn all_of_a_sum_are_needed() {
        assert_eq!(is_met("MIT AND Apache-2.0", ALLOWED), Ok(true));
        assert_eq!(is_met("MIT AND GPL-3.0", ALLOWED), Ok(false));
    }

    #[test]
    fn and_binds_more_than_or_unless_parentheses_say_so() {
        assert_eq!(is_met("MIT OR Zlib AND GPL-3.0", ALLOWED), Ok(true));
        assert_eq!(is_met("(MIT OR Zlib) AND GPL-3.0", ALLOWED), Ok(false));
        assert_eq!(is_met("((MIT)) AND (GPL-3.0 OR MIT)", ALLOWED), Ok(true));
    }

    #[test]
    fn an_exception_belongs_to_its_licence() {
        assert_eq!(is_met("Apache-2.0 WITH LLVM-exception", ALLOWED), Ok(true));
        assert_eq!(is_met("MIT WITH LLVM-exception", ALLOWED), Ok(false));
    }

    #[test]
    fn what_cannot_be_read_is_no_licence() {
        for broken in ["", "MIT OR", "(MIT", "MIT)", "MIT Zlib", "AND MIT", "MIT WITH"] {
            assert!(is_met(broken, ALLOWED).is_err(), "{broken:?} was read");
        }
    }
}
