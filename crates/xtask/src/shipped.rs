//! Cuts out of a file what only a test build compiles.
//!
//! Some rules concern what ships and let tests do as they like. The cut follows
//! `#[cfg(test)]` alone. It will never guess from names: a module called `tests` without the
//! attribute ships, and is judged.

/// What is left of a file for a normal build.
pub(crate) struct Shipped {
    /// The code, as long as before, with spaces where tests stood.
    pub(crate) code: String,
    /// The modules `NAME` of `#[cfg(test)] mod NAME;`, whose files are tests as a whole.
    pub(crate) test_modules: Vec<String>,
}

/// Takes code that went through the lexer: a brace in a string would confuse it.
pub(crate) fn without_tests(code: &str) -> Shipped {
    let mut shipped = Shipped { code: code.to_owned(), test_modules: Vec::new() };
    if code.trim_start().starts_with("#![cfg(test)]") {
        shipped.code = blank(code);
        return shipped;
    }
    let mut from = 0;
    while let Some(start) = next_test_item(code, from) {
        let end = end_of_item(code, start);
        let item = &code[start..end];
        shipped.test_modules.extend(module_elsewhere(item));
        shipped.code.replace_range(start..end, &blank(item));
        from = end;
    }
    shipped
}

/// Formatted code writes the attribute in one way only; a form that is missed here is judged as
/// if it shipped, which is the safe mistake.
fn next_test_item(code: &str, from: usize) -> Option<usize> {
    ["#[cfg(test)]", "#[cfg(all(test,"]
        .iter()
        .filter_map(|attribute| code[from..].find(attribute))
        .min()
        .map(|offset| from + offset)
}

/// An item ends with its closing brace or its semicolon, a field or an arm with its comma.
fn end_of_item(code: &str, start: usize) -> usize {
    let mut depth = 0_usize;
    for (offset, byte) in code[start..].bytes().enumerate() {
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            // The brace closes what the item stands in: a last field without a comma.
            b')' | b']' | b'}' if depth == 0 => return start + offset,
            b')' | b']' | b'}' => {
                depth -= 1;
                if depth == 0 && byte == b'}' {
                    return start + offset + 1;
                }
            }
            b';' | b',' if depth == 0 => return start + offset + 1,
            _ => {}
        }
    }
    code.len()
}

/// The name, if the item is a module that lies in a file of its own.
fn module_elsewhere(item: &str) -> Option<String> {
    let declaration = item.strip_suffix(';')?;
    let mut words = declaration.split_whitespace().rev();
    let name = words.next()?;
    (words.next()? == "mod").then(|| name.to_owned())
}

fn blank(code: &str) -> String {
    code.chars()
        .flat_map(|letter| {
            let stays = letter == '\n';
            let (filler, count) = if stays { ('\n', 1) } else { (' ', letter.len_utf8()) };
            std::iter::repeat_n(filler, count)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn left(code: &str) -> String {
        let shipped = without_tests(code);
        assert_eq!(shipped.code.len(), code.len());
        let words: Vec<_> = shipped.code.split_whitespace().collect();
        words.join(" ")
    }

    #[test]
    fn a_test_module_at_the_end_is_cut() {
        assert_eq!(left("fn a() {}\n#[cfg(test)]\nmod tests { fn b() {} }\n"), "fn a() {}");
    }

    #[test]
    fn what_follows_a_cut_item_stays() {
        assert_eq!(left("#[cfg(test)]\nextern crate std;\nfn a() {}"), "fn a() {}");
        assert_eq!(left("#[cfg(test)]\n#[allow(x)]\nfn a() {}\nfn b() {}"), "fn b() {}");
        assert_eq!(left("S { a, #[cfg(test)] b, c }"), "S { a, c }");
        assert_eq!(left("S { a, #[cfg(test)] b }"), "S { a, }");
        assert_eq!(left("#[cfg(all(test, x))] mod a { 1 } fn b() {}"), "fn b() {}");
    }

    #[test]
    fn a_module_called_tests_without_the_attribute_ships() {
        assert_eq!(left("mod tests { fn b() {} }"), "mod tests { fn b() {} }");
        assert_eq!(left("#[cfg(not(test))] fn b() {}"), "#[cfg(not(test))] fn b() {}");
    }

    #[test]
    fn a_file_may_be_a_test_as_a_whole() {
        assert_eq!(left("#![cfg(test)]\nfn a() {}"), "");
    }

    #[test]
    fn test_modules_in_other_files_are_named() {
        let shipped = without_tests("#[cfg(test)]\npub(crate) mod example;\nmod real;");
        assert_eq!(shipped.test_modules, ["example"]);
        assert_eq!(shipped.code.trim(), "mod real;");
    }
}
