//! One-dimensional arrays: `{a,"b c",NULL}`; `int2vector` and `oidvector`: `1 2 3`.

use super::{invalid_binary, is_space, short_binary};
use crate::error::{Error, Result, SqlState};
use crate::types::pg_type::{PgType, oid};
use crate::types::text::{self, TextStyle};
use crate::types::{Array, Datum, binary, names};

/// Items of one array, as in PostgreSQL.
pub const MAX_ITEMS: usize = 0x07ff_ffff;

/// The type of the items of an array type; the modifier is the items'.
pub fn element(ty: PgType) -> Option<PgType> {
    names::element_of(ty.oid).map(|element| PgType::with_typmod(element, ty.typmod))
}

fn is_vector(ty: PgType) -> bool {
    matches!(ty.oid, oid::INT2VECTOR | oid::OIDVECTOR)
}

fn element_or_error(ty: PgType) -> Result<PgType> {
    element(ty).ok_or_else(|| Error::internal(format!("type {} is not an array", ty.oid)))
}

pub fn parse(ty: PgType, text: &str, style: &TextStyle) -> Result<Array> {
    let element = element_or_error(ty)?;
    if is_vector(ty) {
        let items = text
            .split(is_space)
            .filter(|item| !item.is_empty())
            .map(|item| text::parse(element, item, style))
            .collect::<Result<_>>()?;
        return Ok(Array { element, items });
    }
    let mut items = Vec::new();
    for item in Scanner::new(text).items()? {
        items.push(match item {
            Some(item) => text::parse(element, &item, style)?,
            None => Datum::Null,
        });
    }
    Ok(Array { element, items })
}

struct Scanner<'a> {
    text: &'a str,
    rest: &'a str,
}

impl<'a> Scanner<'a> {
    fn new(text: &'a str) -> Self {
        Scanner { text, rest: text }
    }

    fn malformed(&self, detail: &str) -> Error {
        Error::new(
            SqlState::INVALID_TEXT_REPRESENTATION,
            format!("malformed array literal: \"{}\"", self.text),
        )
        .detail(detail)
    }

    fn skip_spaces(&mut self) {
        self.rest = self.rest.trim_start_matches(is_space);
    }

    fn take(&mut self, c: char) -> bool {
        match self.rest.strip_prefix(c) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    /// The items as text, `None` for NULL.
    fn items(mut self) -> Result<Vec<Option<String>>> {
        self.skip_spaces();
        if self.rest.starts_with('[') {
            self.bounds()?;
        }
        if !self.take('{') {
            return Err(
                self.malformed("Array value must start with \"{\" or dimension information.")
            );
        }
        let mut items = Vec::new();
        self.skip_spaces();
        if self.take('}') {
            return self.end(items);
        }
        loop {
            self.skip_spaces();
            items.push(self.item()?);
            if items.len() > MAX_ITEMS {
                return Err(too_large());
            }
            self.skip_spaces();
            if self.take(',') {
                continue;
            }
            if self.take('}') {
                return self.end(items);
            }
            return Err(match self.rest.chars().next() {
                None => self.malformed("Unexpected end of input."),
                Some('{') => self.malformed("Unexpected \"{\" character."),
                Some(_) => self.malformed("Unexpected array element."),
            });
        }
    }

    fn end(mut self, items: Vec<Option<String>>) -> Result<Vec<Option<String>>> {
        self.skip_spaces();
        if self.rest.is_empty() {
            Ok(items)
        } else {
            Err(self.malformed("Junk after closing right brace."))
        }
    }

    /// `[1:3]=`: only a lower bound of 1 is one that we keep.
    fn bounds(&mut self) -> Result<()> {
        let inner = self.rest.strip_prefix('[').unwrap_or(self.rest);
        let rest = inner.trim_start_matches(|c: char| c.is_ascii_digit() || "+-:".contains(c));
        if !rest.starts_with(']') {
            return Err(self.malformed("Missing \"]\" after array dimensions."));
        }
        let found = self
            .rest
            .split_once('=')
            .filter(|(bounds, _)| bounds.starts_with("[1:"));
        let Some((_, rest)) = found else {
            return Err(Error::unsupported(
                "an array with bounds",
                "Use a one-dimensional array whose first subscript is 1.",
            ));
        };
        self.rest = rest.trim_start_matches(is_space);
        Ok(())
    }

    fn item(&mut self) -> Result<Option<String>> {
        let mut item = String::new();
        if self.take('"') {
            loop {
                let mut chars = self.rest.chars();
                match chars.next() {
                    Some('"') => {
                        self.rest = chars.as_str();
                        return Ok(Some(item));
                    }
                    Some('\\') => item.extend(chars.next()),
                    Some(c) => item.push(c),
                    None => return Err(self.malformed("Unexpected end of input.")),
                }
                self.rest = chars.as_str();
            }
        }
        let mut kept = 0;
        let mut escaped = false;
        loop {
            let mut chars = self.rest.chars();
            match chars.next() {
                Some(',' | '}') => break,
                Some('{') if item.is_empty() => return Err(multidimensional()),
                Some(c @ ('{' | '"')) => {
                    let what = match c {
                        '"' => "Unexpected array element.".to_owned(),
                        c => format!("Unexpected \"{c}\" character."),
                    };
                    return Err(self.malformed(&what));
                }
                Some('\\') => {
                    escaped = true;
                    item.extend(chars.next());
                    kept = item.len();
                }
                Some(c) => {
                    item.push(c);
                    if !is_space(c) {
                        kept = item.len();
                    }
                }
                None => return Err(self.malformed("Unexpected end of input.")),
            }
            self.rest = chars.as_str();
        }
        item.truncate(kept);
        if item.is_empty() {
            let c = self.rest.chars().next().unwrap_or('}');
            return Err(self.malformed(&format!("Unexpected \"{c}\" character.")));
        }
        let null = !escaped && item.eq_ignore_ascii_case("null");
        Ok((!null).then_some(item))
    }
}

fn multidimensional() -> Error {
    Error::unsupported(
        "an array of more than one dimension",
        "Use a one-dimensional array or jsonb.",
    )
}

fn too_large() -> Error {
    Error::new(
        SqlState::PROGRAM_LIMIT_EXCEEDED,
        format!("array size exceeds the maximum allowed ({MAX_ITEMS})"),
    )
}

pub fn write(array: &Array, ty: PgType, style: &TextStyle, out: &mut Vec<u8>) {
    let mut item_text = Vec::new();
    if is_vector(ty) {
        for (at, item) in array.items.iter().enumerate() {
            if at > 0 {
                out.push(b' ');
            }
            text::write(item, array.element, style, out);
        }
        return;
    }
    out.push(b'{');
    for (at, item) in array.items.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        if item.is_null() {
            out.extend_from_slice(b"NULL");
            continue;
        }
        item_text.clear();
        text::write(item, array.element, style, &mut item_text);
        write_item(&item_text, out);
    }
    out.push(b'}');
}

fn write_item(text: &[u8], out: &mut Vec<u8>) {
    let plain = !text.is_empty()
        && !text.eq_ignore_ascii_case(b"null")
        && !text
            .iter()
            .any(|c| matches!(c, b'"' | b'\\' | b'{' | b'}' | b',') || is_space(char::from(*c)));
    if plain {
        return out.extend_from_slice(text);
    }
    out.push(b'"');
    for c in text {
        if matches!(c, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(*c);
    }
    out.push(b'"');
}

/// Dimensions, a null flag, the item type, then each dimension's length and lower bound, then the
/// items with their lengths.
pub fn recv(ty: PgType, bytes: &[u8]) -> Result<Array> {
    let element = element_or_error(ty)?;
    let mut reader = Reader(bytes);
    let dimensions = reader.i32()?;
    let flags = reader.i32()?;
    let sent = reader.i32()? as u32;
    if !matches!(flags, 0 | 1) {
        return Err(invalid_binary("invalid array flags"));
    }
    if sent != element.oid {
        return Err(Error::new(
            SqlState::DATATYPE_MISMATCH,
            format!(
                "binary data has array element type {sent} ({}) instead of expected {} ({})",
                names::sql_name(sent),
                element.oid,
                names::sql_name(element.oid),
            ),
        ));
    }
    let count = match dimensions {
        0 => 0,
        1 => {
            let count = reader.i32()?;
            reader.i32()?;
            usize::try_from(count).map_err(|_| invalid_binary("invalid array size"))?
        }
        2..=6 => return Err(multidimensional()),
        _ => return Err(invalid_binary("invalid number of dimensions")),
    };
    if count > MAX_ITEMS {
        return Err(too_large());
    }
    let mut items = Vec::with_capacity(count.min(bytes.len() / 4));
    for _ in 0..count {
        let length = reader.i32()?;
        items.push(match length {
            -1 => Datum::Null,
            _ => {
                let length = usize::try_from(length).map_err(|_| short_binary())?;
                binary::parse(element, reader.bytes(length)?)?
            }
        });
    }
    if !reader.0.is_empty() {
        return Err(invalid_binary("incorrect binary data format"));
    }
    Ok(Array { element, items })
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn bytes(&mut self, length: usize) -> Result<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or_else(short_binary)?;
        self.0 = rest;
        Ok(taken)
    }

    fn i32(&mut self) -> Result<i32> {
        super::exact(self.bytes(4)?).map(i32::from_be_bytes)
    }
}

pub fn send(array: &Array, ty: PgType, out: &mut Vec<u8>) -> Result<()> {
    let nulls = i32::from(array.items.iter().any(Datum::is_null));
    let length = |length: usize| i32::try_from(length).map_err(|_| too_large());
    let vector = is_vector(ty);
    let dimensions = i32::from(vector || !array.items.is_empty());
    for word in [dimensions, nulls, array.element.oid as i32] {
        out.extend_from_slice(&word.to_be_bytes());
    }
    if dimensions == 1 {
        let first = i32::from(!vector);
        for word in [length(array.items.len())?, first] {
            out.extend_from_slice(&word.to_be_bytes());
        }
    }
    for item in &array.items {
        if item.is_null() {
            out.extend_from_slice(&(-1_i32).to_be_bytes());
            continue;
        }
        let start = out.len();
        out.extend_from_slice(&[0; 4]);
        binary::write(item, array.element, out)?;
        let written = length(out.len() - start - 4)?;
        if let Some(slot) = out.get_mut(start..start + 4) {
            slot.copy_from_slice(&written.to_be_bytes());
        }
    }
    Ok(())
}
