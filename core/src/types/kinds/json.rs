//! `json` and `jsonb`: `json` is checked and kept as it came; `jsonb` is normalised as PostgreSQL
//! prints it: keys sorted by length, then bytes, the last of equal keys wins, `": "` and `", "`.

use std::collections::BTreeMap;

use super::string;
use crate::error::{Error, Result, SqlState};

/// Objects and arrays inside each other.
const MAX_DEPTH: usize = 512;
/// Bytes of an object key in `jsonb`, as in PostgreSQL.
const MAX_STRING: usize = 0x0fff_ffff;

/// Checks a `json` text.
pub fn check(text: &str) -> Result<()> {
    string::check(text.as_bytes())?;
    Parser {
        text,
        at: 0,
        keep: false,
    }
    .document()
    .map(|_| ())
}

/// The normal form of a `jsonb` text.
pub fn normalize(text: &str) -> Result<String> {
    string::check(text.as_bytes())?;
    let value = Parser {
        text,
        at: 0,
        keep: true,
    }
    .document()?;
    let mut out = String::with_capacity(text.len());
    value.write(&mut out);
    Ok(out)
}

/// Object keys in `jsonb` order.
#[derive(PartialEq, Eq)]
struct Key(String);

impl Ord for Key {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0
            .len()
            .cmp(&other.0.len())
            .then_with(|| self.0.cmp(&other.0))
    }
}

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

enum Value {
    /// `null`, `true`, `false` or a number, as printed.
    Plain(String),
    Text(String),
    Array(Vec<Value>),
    Object(BTreeMap<Key, Value>),
}

impl Value {
    fn write(&self, out: &mut String) {
        match self {
            Value::Plain(text) => out.push_str(text),
            Value::Text(text) => write_string(text, out),
            Value::Array(items) => {
                out.push('[');
                for (at, item) in items.iter().enumerate() {
                    if at > 0 {
                        out.push_str(", ");
                    }
                    item.write(out);
                }
                out.push(']');
            }
            Value::Object(members) => {
                out.push('{');
                for (at, (key, value)) in members.iter().enumerate() {
                    if at > 0 {
                        out.push_str(", ");
                    }
                    write_string(&key.0, out);
                    out.push_str(": ");
                    value.write(out);
                }
                out.push('}');
            }
        }
    }
}

/// Appends a JSON string, escaped as PostgreSQL's `escape_json` does.
pub fn write_string(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c < ' ' => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    /// Whether values are built (`jsonb`) or only checked (`json`).
    keep: bool,
}

impl Parser<'_> {
    fn document(mut self) -> Result<Value> {
        let value = self.value(0)?;
        self.skip_spaces();
        if self.at < self.text.len() {
            return Err(self.unexpected("end of input"));
        }
        Ok(value)
    }

    fn rest(&self) -> &str {
        self.text.get(self.at..).unwrap_or("")
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn skip_spaces(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    /// The token at the cursor, as error messages show it.
    fn token(&self) -> &str {
        let rest = self.rest();
        let end = match rest.chars().next() {
            None => 0,
            Some('"') => {
                let mut escaped = false;
                let close = rest.char_indices().skip(1).find(|(_, c)| {
                    let found = *c == '"' && !escaped;
                    escaped = *c == '\\' && !escaped;
                    found
                });
                close.map_or(rest.len(), |(at, _)| at + 1)
            }
            Some('-' | '0'..='9') => number_token(rest).0,
            Some(c) if is_word(c) => rest.find(|c| !is_word(c)).unwrap_or(rest.len()),
            Some(c) => c.len_utf8(),
        };
        rest.get(..end).unwrap_or("")
    }

    fn invalid(&self, detail: String) -> Error {
        Error::new(
            SqlState::INVALID_TEXT_REPRESENTATION,
            "invalid input syntax for type json",
        )
        .detail(detail)
    }

    fn unexpected(&self, expected: &str) -> Error {
        let token = self.token();
        if token.is_empty() {
            return self.invalid("The input string ended unexpectedly.".to_owned());
        }
        let punctuation = matches!(token, "{" | "}" | "[" | "]" | ":" | ",");
        if !punctuation && !token.starts_with('"') && !self.token_is_value() {
            return self.invalid(format!("Token \"{token}\" is invalid."));
        }
        if expected == "end of input" {
            return self.invalid(format!("Expected end of input, but found \"{token}\"."));
        }
        self.invalid(format!("Expected {expected}, but found \"{token}\"."))
    }

    fn token_is_value(&self) -> bool {
        let token = self.token();
        matches!(token, "true" | "false" | "null") || number_token(token) == (token.len(), true)
    }

    fn value(&mut self, depth: usize) -> Result<Value> {
        if depth > MAX_DEPTH {
            return Err(Error::new(
                SqlState::STATEMENT_TOO_COMPLEX,
                "stack depth limit exceeded",
            )
            .hint(format!(
                "JSON values may be nested {MAX_DEPTH} levels deep."
            )));
        }
        self.skip_spaces();
        match self.peek() {
            Some(b'{') => self.object(depth),
            Some(b'[') => self.array(depth),
            Some(b'"') => Ok(Value::Text(self.string()?)),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(_) => {
                let token = self.token();
                if matches!(token, "true" | "false" | "null") {
                    let value = Value::Plain(token.to_owned());
                    self.at += token.len();
                    return Ok(value);
                }
                if token.starts_with(is_word) {
                    return Err(self.invalid(format!("Token \"{token}\" is invalid.")));
                }
                let valid = matches!(token, "]" | "}" | ":" | ",");
                Err(self.invalid(if valid {
                    format!("Expected JSON value, but found \"{token}\".")
                } else {
                    format!("Token \"{token}\" is invalid.")
                }))
            }
            None => Err(self.unexpected("JSON value")),
        }
    }

    fn array(&mut self, depth: usize) -> Result<Value> {
        self.at += 1;
        let mut items = Vec::new();
        self.skip_spaces();
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(Value::Array(items));
        }
        loop {
            let item = self.value(depth + 1)?;
            if self.keep {
                items.push(item);
            }
            self.skip_spaces();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b']') => {
                    self.at += 1;
                    return Ok(Value::Array(items));
                }
                _ => return Err(self.unexpected("\",\" or \"]\"")),
            }
        }
    }

    fn object(&mut self, depth: usize) -> Result<Value> {
        self.at += 1;
        let mut members = BTreeMap::new();
        self.skip_spaces();
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(Value::Object(members));
        }
        let mut first = true;
        loop {
            self.skip_spaces();
            if self.peek() != Some(b'"') {
                return Err(self.unexpected(if first { "string or \"}\"" } else { "string" }));
            }
            first = false;
            let key = self.string()?;
            if self.keep && key.len() > MAX_STRING {
                return Err(Error::new(
                    SqlState::PROGRAM_LIMIT_EXCEEDED,
                    "string too long to represent as jsonb string",
                ));
            }
            self.skip_spaces();
            if self.peek() != Some(b':') {
                return Err(self.unexpected("\":\""));
            }
            self.at += 1;
            let value = self.value(depth + 1)?;
            if self.keep {
                members.insert(Key(key), value);
            }
            self.skip_spaces();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b'}') => {
                    self.at += 1;
                    return Ok(Value::Object(members));
                }
                _ => return Err(self.unexpected("\",\" or \"}\"")),
            }
        }
    }

    fn number(&mut self) -> Result<Value> {
        let token = self.token();
        if !number_token(token).1 {
            return Err(self.invalid(format!("Token \"{token}\" is invalid.")));
        }
        let length = token.len();
        let shown = if self.keep {
            let value = super::numeric::parse(token, crate::types::PgType::NUMERIC)?;
            let mut out = Vec::new();
            super::numeric::write(&value, &mut out);
            String::from_utf8_lossy(&out).into_owned()
        } else {
            String::new()
        };
        self.at += length;
        Ok(Value::Plain(shown))
    }

    fn string(&mut self) -> Result<String> {
        let start = self.at;
        self.at += 1;
        let mut out = String::new();
        loop {
            let Some(c) = self.rest().chars().next() else {
                let token = self.text.get(start..).unwrap_or("").to_owned();
                return Err(self.invalid(format!("Token \"{token}\" is invalid.")));
            };
            self.at += c.len_utf8();
            match c {
                '"' => return Ok(out),
                '\\' => {
                    let c = self.escape(start)?;
                    if self.keep {
                        out.push(c);
                    }
                }
                c if c < ' ' => {
                    return Err(self.invalid(format!(
                        "Character with value 0x{:02x} must be escaped.",
                        u32::from(c)
                    )));
                }
                c if self.keep => out.push(c),
                _ => {}
            }
        }
    }

    fn escape(&mut self, start: usize) -> Result<char> {
        let Some(c) = self.rest().chars().next() else {
            let token = self.text.get(start..).unwrap_or("").to_owned();
            return Err(self.invalid(format!("Token \"{token}\" is invalid.")));
        };
        self.at += c.len_utf8();
        Ok(match c {
            '"' | '\\' | '/' => c,
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'u' => return self.unicode_escape(),
            c => return Err(self.invalid(format!("Escape sequence \"\\{c}\" is invalid."))),
        })
    }

    fn unicode_escape(&mut self) -> Result<char> {
        let first = self.hex4()?;
        if !self.keep {
            // PostgreSQL looks at what an escape stands for only when it builds the string.
            return Ok(char::REPLACEMENT_CHARACTER);
        }
        match first {
            0 => Err(Error::new(
                SqlState::UNTRANSLATABLE_CHARACTER,
                "unsupported Unicode escape sequence",
            )
            .detail("\\u0000 cannot be converted to text.")),
            0xd800..=0xdbff => {
                let low_first = "Unicode low surrogate must follow a high surrogate.";
                if !self.rest().starts_with("\\u") {
                    return Err(self.invalid(low_first.to_owned()));
                }
                self.at += 2;
                let second = self.hex4()?;
                if !(0xdc00..=0xdfff).contains(&second) {
                    return Err(self.invalid(low_first.to_owned()));
                }
                let code = 0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00);
                Ok(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER))
            }
            0xdc00..=0xdfff => {
                Err(self.invalid("Unicode low surrogate must follow a high surrogate.".to_owned()))
            }
            code => Ok(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER)),
        }
    }

    fn hex4(&mut self) -> Result<u32> {
        let digits = self
            .rest()
            .get(..4)
            .filter(|hex| hex.bytes().all(|c| c.is_ascii_hexdigit()));
        let Some(digits) = digits else {
            return Err(
                self.invalid("\"\\u\" must be followed by four hexadecimal digits.".to_owned())
            );
        };
        let code = u32::from_str_radix(digits, 16).unwrap_or(0);
        self.at += 4;
        Ok(code)
    }
}

/// Characters that make up one token together, as PostgreSQL's scanner has it.
fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || !c.is_ascii()
}

/// Length of the token at the start of `text`, which starts like a number, and whether it is one.
fn number_token(text: &str) -> (usize, bool) {
    let bytes = text.as_bytes();
    let mut valid = true;
    let mut digits = |from: usize| {
        let end = super::datetime::digits_end(text, from);
        valid &= end > from;
        end
    };
    let start = usize::from(bytes.first() == Some(&b'-'));
    let mut end = match bytes.get(start) {
        Some(b'0') => start + 1,
        _ => digits(start),
    };
    if bytes.get(end) == Some(&b'.') {
        end = digits(end + 1);
    }
    if matches!(bytes.get(end), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
        end = digits(end + 1 + sign);
    }
    let rest = text.get(end..).unwrap_or("");
    let trailing = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
    (end + trailing, valid && trailing == 0)
}

/// A binary `jsonb`: a version byte 1, then text.
pub fn recv_jsonb(bytes: &[u8]) -> Result<String> {
    match bytes {
        [1, text @ ..] => normalize(string::check(text)?),
        [version, ..] => Err(Error::new(
            SqlState::INVALID_BINARY_REPRESENTATION,
            format!("unsupported jsonb version number {version}"),
        )),
        [] => Err(super::invalid_binary("no data left in message")),
    }
}
