//! Tells Rust code from what is written around it: comments, and the insides of literals.
//!
//! The rules ask questions like "does the word occur in code?", and a search through the plain
//! text would find the word in the sentence that forbids it. This is not a parser: it knows
//! nothing of items or expressions, and it will never judge whether a file compiles.

/// One file seen twice. Both texts are as long as the original, byte for byte and line for line,
/// with spaces where the other kind stood, so that a line number in one holds in all.
pub(crate) struct Lexed {
    /// What the compiler acts on. Literals keep their quotes and lose their insides.
    pub(crate) code: String,
    /// What people read, doc comments included.
    pub(crate) comments: String,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Code,
    Comment,
    Literal,
}

/// Separates code from comments and literals.
pub(crate) fn lex(text: &str) -> Lexed {
    let mut lexer = Lexer { bytes: text.as_bytes(), kinds: Vec::with_capacity(text.len()) };
    lexer.run();
    Lexed { code: keep(text, &lexer.kinds, Kind::Code), comments: keep(text, &lexer.kinds, Kind::Comment) }
}

fn keep(text: &str, kinds: &[Kind], wanted: Kind) -> String {
    let mut kept = String::with_capacity(text.len());
    for (at, letter) in text.char_indices() {
        if kinds[at] == wanted || letter == '\n' {
            kept.push(letter);
        } else {
            // One space per byte, not per letter, or offsets would drift apart.
            kept.extend(std::iter::repeat_n(' ', letter.len_utf8()));
        }
    }
    kept
}

/// Every byte before `kinds.len()` is decided; the next one is looked at.
struct Lexer<'a> {
    bytes: &'a [u8],
    kinds: Vec<Kind>,
}

impl Lexer<'_> {
    fn run(&mut self) {
        if self.sees(b"#!/") {
            self.line_comment();
        }
        while let Some(byte) = self.peek(0) {
            match byte {
                b'/' if self.sees(b"//") => self.line_comment(),
                b'/' if self.sees(b"/*") => self.block_comment(),
                b'"' => self.string(),
                b'\'' => self.quote(),
                _ if is_of_word(byte) => self.word(),
                _ => self.take(1, Kind::Code),
            }
        }
    }

    fn line_comment(&mut self) {
        while self.peek(0).is_some_and(|byte| byte != b'\n') {
            self.take(1, Kind::Comment);
        }
    }

    /// Block comments nest: the first `*/` closes only the innermost.
    fn block_comment(&mut self) {
        let mut depth = 0;
        loop {
            if self.sees(b"/*") {
                depth += 1;
                self.take(2, Kind::Comment);
            } else if self.sees(b"*/") {
                depth -= 1;
                self.take(2, Kind::Comment);
            } else if self.peek(0).is_some() {
                self.take(1, Kind::Comment);
            }
            if depth == 0 || self.peek(0).is_none() {
                return;
            }
        }
    }

    fn string(&mut self) {
        self.take(1, Kind::Code);
        while let Some(byte) = self.peek(0) {
            match byte {
                b'"' => return self.take(1, Kind::Code),
                b'\\' => self.take(2, Kind::Literal),
                _ => self.take(1, Kind::Literal),
            }
        }
    }

    fn raw_string(&mut self, hashes: usize) {
        self.take(hashes + 1, Kind::Code);
        while let Some(byte) = self.peek(0) {
            let closes = byte == b'"' && (1..=hashes).all(|ahead| self.peek(ahead) == Some(b'#'));
            if closes {
                return self.take(hashes + 1, Kind::Code);
            }
            self.take(1, Kind::Literal);
        }
    }

    /// A quote opens a character or names a lifetime. It is a character if an escape follows, or
    /// if a second quote stands right behind the next letter.
    fn quote(&mut self) {
        let insides = match self.peek(1) {
            // The escaped byte itself may be a quote; longer escapes run to the closing one.
            Some(b'\\') => (3..)
                .take_while(|&ahead| self.peek(ahead).is_some())
                .find(|&ahead| self.peek(ahead) == Some(b'\''))
                .map(|closing| closing - 1),
            Some(first) => {
                let length = length_of_letter(first);
                (self.peek(1 + length) == Some(b'\'')).then_some(length)
            }
            None => None,
        };
        self.take(1, Kind::Code);
        if let Some(insides) = insides {
            self.take(insides, Kind::Literal);
            self.take(1, Kind::Code);
        }
    }

    /// Words are read whole, so that the `r` of `for"…"` is no prefix but the one of `r"…"` is.
    fn word(&mut self) {
        let start = self.kinds.len();
        while self.peek(0).is_some_and(is_of_word) {
            self.take(1, Kind::Code);
        }
        if matches!(&self.bytes[start..self.kinds.len()], b"r" | b"br" | b"cr") {
            let hashes = (0..).take_while(|&ahead| self.peek(ahead) == Some(b'#')).count();
            // Without the quote it is a raw identifier such as `r#match`.
            if self.peek(hashes) == Some(b'"') {
                self.raw_string(hashes);
            }
        }
    }

    fn peek(&self, ahead: usize) -> Option<u8> {
        self.bytes.get(self.kinds.len() + ahead).copied()
    }

    fn sees(&self, what: &[u8]) -> bool {
        self.bytes[self.kinds.len()..].starts_with(what)
    }

    /// Decides the next bytes; an unfinished literal at the end of a file has fewer than it says.
    fn take(&mut self, count: usize, kind: Kind) {
        let end = (self.kinds.len() + count).min(self.bytes.len());
        self.kinds.resize(end, kind);
    }
}

/// Bytes beyond ASCII count as letters: identifiers may have them, operators may not.
fn is_of_word(byte: u8) -> bool {
    byte == b'_' || byte.is_ascii_alphanumeric() || !byte.is_ascii()
}

fn length_of_letter(first: u8) -> usize {
    match first {
        0xF0.. => 4,
        0xE0.. => 3,
        0xC0.. => 2,
        _ => 1,
    }
}

/// One whole identifier, keyword or number, and where it stands.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Word<'a> {
    pub(crate) text: &'a str,
    pub(crate) line: usize,
    /// Everything behind the word.
    pub(crate) after: &'a str,
}

/// The words of a text in their order; `unsafe_code` is one word and does not contain `unsafe`.
pub(crate) fn words(text: &str) -> impl Iterator<Item = Word<'_>> {
    let mut rest = text;
    let mut line = 1;
    std::iter::from_fn(move || {
        let start = rest.bytes().position(is_of_word)?;
        line += newlines(&rest[..start]);
        let tail = &rest[start..];
        let end = tail.bytes().position(|byte| !is_of_word(byte)).unwrap_or(tail.len());
        rest = &tail[end..];
        Some(Word { text: &tail[..end], line, after: rest })
    })
}

fn newlines(text: &str) -> usize {
    text.bytes().filter(|&byte| byte == b'\n').count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(text: &str) -> String {
        let lexed = lex(text);
        assert_eq!(lexed.code.len(), text.len(), "offsets must hold in the code");
        assert_eq!(lexed.comments.len(), text.len(), "and in the comments");
        assert_eq!(newlines(&lexed.code), newlines(text));
        // Runs of blanks say nothing here; only what is left does.
        lexed.code.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn comments_are_no_code() {
        assert_eq!(code("let a = 1; // unsafe\nlet b;"), "let a = 1; let b;");
        assert_eq!(code("//! doc\n/// doc\nfn f() {}"), "fn f() {}");
        assert_eq!(code("a /* b */ c"), "a c");
        assert_eq!(code("a /* b /* c */ d */ e"), "a e");
        assert_eq!(code("a /**/ b / c"), "a b / c");
        assert_eq!(code("a /* never closed"), "a");
        assert_eq!(code("#!/usr/bin/env run\nfn f() {}"), "fn f() {}");
        assert_eq!(code("#![no_std]\n"), "#![no_std]");
    }

    #[test]
    fn comments_can_be_read_alone() {
        let lexed = lex("let a = \"// no\"; // yes\n/* too */ b");
        let comments: Vec<_> = lexed.comments.split_whitespace().collect();
        assert_eq!(comments, ["//", "yes", "/*", "too", "*/"]);
    }

    #[test]
    fn strings_lose_their_insides() {
        assert_eq!(code(r#"f("unsafe")"#), r#"f(" ")"#);
        assert_eq!(code(r#"f("a\"b", c)"#), r#"f(" ", c)"#);
        assert_eq!(code(r#"f("\\", c)"#), r#"f(" ", c)"#);
        assert_eq!(code(r#"f("// no", c)"#), r#"f(" ", c)"#);
        assert_eq!(code("f(\"two\nlines\", c)"), "f(\" \", c)");
        assert_eq!(code(r#"f(b"a", c"b")"#), r#"f(b" ", c" ")"#);
        assert_eq!(code("f(\"ä€🦀\", c)"), "f(\" \", c)");
        assert_eq!(code("f(\"never closed"), "f(\"");
    }

    #[test]
    fn raw_strings_end_at_their_own_hashes() {
        assert_eq!(code(r##"f(r"a\", c)"##), r##"f(r" ", c)"##);
        assert_eq!(code(r###"f(r#"a "quoted" b"#, c)"###), r###"f(r#" "#, c)"###);
        assert_eq!(code(r####"f(br##"a"# b"##, c)"####), r####"f(br##" "##, c)"####);
        assert_eq!(code("let r#match = r#type;"), "let r#match = r#type;");
    }

    #[test]
    fn characters_are_told_from_lifetimes() {
        assert_eq!(code("f('\"', c)"), "f(' ', c)");
        assert_eq!(code(r"f('\'', '\\', c)"), "f(' ', ' ', c)");
        assert_eq!(code(r"f('\u{1F980}', b'\n', c)"), "f(' ', b' ', c)");
        assert_eq!(code("f('€', '🦀', 'ä')"), "f(' ', ' ', ' ')");
        assert_eq!(code("fn f<'a, 'b>(x: &'a str)"), "fn f<'a, 'b>(x: &'a str)");
        assert_eq!(code("'outer: loop { break 'outer; }"), "'outer: loop { break 'outer; }");
        assert_eq!(code("f('{')"), "f(' ')");
        assert_eq!(code("'"), "'");
    }

    #[test]
    fn words_are_whole_and_know_their_line() {
        let found: Vec<_> = words("fn unsafe_one()\n{ todo!() }")
            .map(|word| (word.text, word.line, word.after.starts_with('!')))
            .collect();
        let expected = [("fn", 1, false), ("unsafe_one", 1, false), ("todo", 2, true)];
        assert_eq!(found, expected);
    }
}
