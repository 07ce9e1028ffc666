//! Where a statement ends: the scanner behind the prompt and scripts.

/// The length of the first statement of `text` with its semicolon; `None` when it has none yet.
pub fn statement_end(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let rest = bytes.get(at..).unwrap_or_default();
        at = match byte {
            b';' => return Some(at + 1),
            b'\'' => {
                let escapes = matches!(before(bytes, at), Some(b'e' | b'E'))
                    && !at
                        .checked_sub(2)
                        .and_then(|i| bytes.get(i))
                        .is_some_and(is_word);
                quoted_end(bytes, at, b'\'', escapes)?
            }
            b'"' => quoted_end(bytes, at, b'"', false)?,
            b'-' if rest.starts_with(b"--") => at + line_length(rest),
            b'/' if rest.starts_with(b"/*") => at + comment_length(rest)?,
            b'$' if !before(bytes, at).as_ref().is_some_and(is_word) => match dollar_tag(rest) {
                Some(tag) => {
                    let body = at + tag.len();
                    body + find(bytes.get(body..)?, tag)? + tag.len()
                }
                None => at + 1,
            },
            _ => at + 1,
        };
    }
    None
}

/// Whether there is nothing but white space and comments.
pub fn is_blank(text: &str) -> bool {
    let bytes = text.as_bytes();
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let rest = bytes.get(at..).unwrap_or_default();
        if byte.is_ascii_whitespace() {
            at += 1;
        } else if rest.starts_with(b"--") {
            at += line_length(rest);
        } else if rest.starts_with(b"/*") {
            match comment_length(rest) {
                Some(length) => at += length,
                None => return false,
            }
        } else {
            return false;
        }
    }
    true
}

fn before(bytes: &[u8], at: usize) -> Option<u8> {
    at.checked_sub(1).and_then(|i| bytes.get(i)).copied()
}

fn is_word(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$') || *byte >= 0x80
}

/// The place behind the quotation that begins at `start`. A doubled quote opens a new quotation
/// right behind, so it needs no care here.
fn quoted_end(bytes: &[u8], start: usize, quote: u8, escapes: bool) -> Option<usize> {
    let mut at = start + 1;
    loop {
        match bytes.get(at)? {
            b'\\' if escapes => at += 2,
            byte if *byte == quote => {
                // In an escape string a doubled quote must not end the escaping.
                if escapes && bytes.get(at + 1) == Some(&quote) {
                    at += 2;
                } else {
                    return Some(at + 1);
                }
            }
            _ => at += 1,
        }
    }
}

fn line_length(rest: &[u8]) -> usize {
    rest.iter()
        .position(|&byte| byte == b'\n')
        .map_or(rest.len(), |end| end + 1)
}

/// Comments nest.
fn comment_length(rest: &[u8]) -> Option<usize> {
    let mut depth = 0_usize;
    let mut at = 0;
    loop {
        let here = rest.get(at..).filter(|here| !here.is_empty())?;
        if here.starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if here.starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return Some(at);
            }
        } else {
            at += 1;
        }
    }
}

/// `$tag$` at the start of `rest`.
fn dollar_tag(rest: &[u8]) -> Option<&[u8]> {
    let end = rest.iter().skip(1).position(|&byte| byte == b'$')? + 1;
    let name = rest.get(1..end)?;
    let word = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_' || *byte >= 0x80;
    if name.iter().all(word) && !name.first().is_some_and(u8::is_ascii_digit) {
        rest.get(..=end)
    } else {
        None
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack
        .windows(needle.len())
        .position(|window| window == needle)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_end_of_a_statement() {
        let ends = [
            ("select 1; select 2", Some(9)),
            ("select ';'; x", Some(11)),
            ("select 'it''s;'; x", Some(16)),
            (r"select e'\';'; x", Some(14)),
            (r"select 'a\'; x", Some(12)),
            ("select \";\"; x", Some(11)),
            ("select 1 -- ;\n; x", Some(15)),
            ("/* ; /* ; */ ; */; x", Some(18)),
            ("select $a$ ; $b$ ; $a$; x", Some(23)),
            ("select a$1; x", Some(11)),
            ("select $1; x", Some(10)),
            ("select 'open;", None),
            ("select 1", None),
            ("/* open ;", None),
        ];
        for (text, end) in ends {
            assert_eq!(statement_end(text), end, "{text}");
        }
    }

    #[test]
    fn knows_what_is_blank() {
        assert!(is_blank(" \n-- nothing\n /* at /* all */ */ "));
        assert!(!is_blank(" x"));
        assert!(!is_blank("/* open"));
    }
}
