//! Statements that differ only in their values: read and planned once.
//!
//! A client of the simple protocol writes values into the text. A statement that compiles (see
//! [`crate::sql`], the compiled way) is kept under its text with the values taken out, as if it had
//! been prepared; the next one with other values is bound to the same plan. Whatever is not plainly
//! of this kind is read whole, which is always right.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use super::Session;
use super::prepared::{Planned, Prepared, Way};
use crate::error::Result;
use crate::sql::parse;
use crate::sql::settings::Settings;
use crate::types::text::{TextStyle, parse as parse_text};
use crate::types::{Datum, PgType};

/// Templates that a session keeps.
const MAX_TEMPLATES: usize = 64;
/// Shapes seen once that are known by their hash. A power of two.
const MAX_SEEN: usize = 256;
/// Bytes of a statement that is looked at.
const MAX_TEXT: usize = 2048;
/// Values of a statement that is looked at.
const MAX_VALUES: usize = 64;

/// What a statement is without its values.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Shape {
    /// The text, with `$1 …` for its values.
    text: String,
    types: Vec<PgType>,
}

/// Templates of a session, all read under the same settings.
#[derive(Default)]
pub(super) struct Templates {
    settings: Option<Arc<Settings>>,
    known: HashMap<String, Vec<Template>>,
    count: usize,
    hasher: RandomState,
    /// Hashes of texts seen once: a shape is learnt when it comes again.
    seen: Vec<u64>,
}

struct Template {
    types: Vec<PgType>,
    /// `None` when such statements have to be read whole.
    prepared: Option<Arc<Prepared>>,
}

/// What is known of a shape.
enum Found {
    New,
    /// Such statements are read whole.
    Unfit,
    Kept(Arc<Prepared>),
}

impl Templates {
    fn find(&mut self, shape: &Shape, settings: &Arc<Settings>) -> Found {
        let same = |known: &Arc<Settings>| Arc::ptr_eq(known, settings);
        if !self.settings.as_ref().is_some_and(same) {
            self.known.clear();
            self.count = 0;
            self.settings = Some(settings.clone());
        }
        let templates = self.known.get(&shape.text).map_or(&[][..], Vec::as_slice);
        match templates.iter().find(|it| it.types == shape.types) {
            None => Found::New,
            Some(Template { prepared: None, .. }) => Found::Unfit,
            Some(Template {
                prepared: Some(prepared),
                ..
            }) => Found::Kept(prepared.clone()),
        }
    }

    /// Whether the shape came before.
    fn is_known(&mut self, shape: &Shape) -> bool {
        let hash = self.hasher.hash_one(&shape.text);
        self.seen.resize(MAX_SEEN, 0);
        let place = self.seen.get_mut(hash as usize % MAX_SEEN);
        place.is_some_and(|seen| std::mem::replace(seen, hash) == hash)
    }

    fn keep(&mut self, shape: Shape, prepared: Option<Arc<Prepared>>) {
        if self.count >= MAX_TEMPLATES {
            self.known.clear();
            self.count = 0;
        }
        self.count += 1;
        let template = Template {
            types: shape.types,
            prepared,
        };
        self.known.entry(shape.text).or_default().push(template);
    }
}

/// A statement whose shape is known, with its values.
pub(super) struct Bound {
    pub prepared: Arc<Prepared>,
    pub planned: Arc<Planned>,
    pub values: Arc<[Datum<'static>]>,
}

impl Session {
    /// The statement's template with its values; else, perhaps, the shape to learn.
    pub(super) fn bind_template(&mut self, sql: &str) -> (Option<Bound>, Option<Shape>) {
        let Some((shape, values)) = shape(sql) else {
            return (None, None);
        };
        let settings = self.shared.settings();
        let prepared = match self.templates.find(&shape, &settings) {
            Found::New if self.templates.is_known(&shape) => return (None, Some(shape)),
            Found::New => return (None, None),
            Found::Unfit => return (None, None),
            Found::Kept(prepared) => prepared,
        };
        // What goes wrong here is reported with its place when the statement is read whole.
        let Ok(Some(planned)) = self.kept_plan(&prepared) else {
            prepared.forget_plan();
            self.templates.known.remove(&shape.text);
            return (None, Some(shape));
        };
        let style = &self.value_style(&settings, &planned.parameters);
        let values = values.into_iter().zip(&planned.parameters);
        let values: Option<Arc<[Datum<'static>]>> =
            values.map(|(value, ty)| value.datum(*ty, style)).collect();
        let bound = values.map(|values| Bound {
            prepared,
            planned,
            values,
        });
        (bound, None)
    }

    /// A statement of this shape was planned: keeps its template if it gives the same plan.
    pub(super) async fn learn_template(&mut self, shape: Shape, planned: &Planned) {
        let template = match is_compiled(planned) {
            true => self.plan_template(&shape, planned).await,
            false => Ok(None),
        };
        self.templates.keep(shape, template.unwrap_or(None));
    }

    async fn plan_template(
        &mut self,
        shape: &Shape,
        like: &Planned,
    ) -> Result<Option<Arc<Prepared>>> {
        let mut statements = parse(&shape.text)?;
        let (Some(statement), true) = (statements.pop(), statements.is_empty()) else {
            return Ok(None);
        };
        let prepared = Arc::new(Prepared::new(statement, shape.types.clone(), false));
        let planned = self.planned(&prepared).await?;
        let declared = shape.types.iter().zip(&planned.parameters);
        let fits = is_compiled(&planned)
            && planned.parameters.len() == shape.types.len()
            && declared.fold(true, |fits, (declared, ty)| {
                fits && (*declared == PgType::UNKNOWN || declared == ty)
            })
            && planned.columns == like.columns;
        Ok(fits.then_some(prepared))
    }
}

fn is_compiled(planned: &Planned) -> bool {
    matches!(&planned.way, Way::Dml(plan) if plan.is_compiled())
}

/// A value as it stands in a text.
#[derive(Clone, Debug, PartialEq)]
enum Value {
    /// An integer; its type is [`int_type`].
    Int(i64),
    /// A string without a type.
    Text(String),
}

impl Value {
    fn datum(self, ty: PgType, style: &TextStyle) -> Option<Datum<'static>> {
        match self {
            Value::Int(value) if ty == PgType::INT4 => i32::try_from(value).ok().map(Datum::Int4),
            Value::Int(value) if ty == PgType::INT8 => Some(Datum::Int8(value)),
            Value::Int(_) => None,
            Value::Text(text) => parse_text(ty, &text, style).ok(),
        }
    }
}

/// Takes the values out of a text: integers and plain strings. `None` for texts with anything that
/// needs more than a glance (comments, several statements, parameters, other kinds of strings).
fn shape(sql: &str) -> Option<(Shape, Vec<Value>)> {
    let bytes = sql.as_bytes();
    if bytes.len() > MAX_TEXT || !writes_or_reads(sql) {
        return None;
    }
    let mut shape = Shape::default();
    shape.text.reserve(bytes.len());
    let mut values = Vec::new();
    let mut at = 0;
    // Where what was not yet copied begins; the byte before, white space left out.
    let (mut copied, mut before) = (0, b'(');
    while let Some(&byte) = bytes.get(at) {
        let next = bytes.get(at + 1).copied().unwrap_or(b' ');
        let end = match byte {
            b'\'' if !is_word(before_byte(bytes, at)) && before_byte(bytes, at) != b'&' => {
                let (text, end) = string(sql, at)?;
                values.push(Value::Text(text));
                shape.types.push(PgType::UNKNOWN);
                end
            }
            b'0'..=b'9' if !is_word(before_byte(bytes, at)) && before_byte(bytes, at) != b'.' => {
                let (value, ty, end) = integer(sql, at, false)?;
                values.push(value);
                shape.types.push(ty);
                end
            }
            // A sign, where nothing stands before from which to subtract.
            b'-' if next.is_ascii_digit() && b"(,=<>+-*/%".contains(&before) => {
                let (value, ty, end) = integer(sql, at + 1, true)?;
                values.push(value);
                shape.types.push(ty);
                end
            }
            b'"' => {
                let end = sql.get(at + 1..)?.find('"')?;
                (at, before) = (at + end + 2, b'"');
                continue;
            }
            b'-' if next == b'-' => return None,
            b'/' if next == b'*' => return None,
            b'\'' | b'$' | b'\\' | b'[' | 0 => return None,
            b';' if !sql.get(at + 1..)?.trim().is_empty() => return None,
            byte => {
                if !byte.is_ascii_whitespace() {
                    before = byte;
                }
                at += 1;
                continue;
            }
        };
        if values.len() > MAX_VALUES {
            return None;
        }
        shape.text.push_str(sql.get(copied..at)?);
        push_parameter(&mut shape.text, values.len());
        (at, copied, before) = (end, end, b'0');
    }
    if values.is_empty() {
        return None;
    }
    shape.text.push_str(sql.get(copied..)?);
    Some((shape, values))
}

fn push_parameter(text: &mut String, number: usize) {
    text.push('$');
    if number >= 10 {
        text.push(char::from(b'0' + (number / 10) as u8));
    }
    text.push(char::from(b'0' + (number % 10) as u8));
}

/// Whether a text begins as the statements do that may compile.
fn writes_or_reads(sql: &str) -> bool {
    let word = sql.trim_start().get(..6).unwrap_or_default();
    ["select", "insert", "update", "delete"]
        .iter()
        .any(|verb| word.eq_ignore_ascii_case(verb))
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'$' || byte >= 0x80
}

fn before_byte(bytes: &[u8], at: usize) -> u8 {
    let before = at.checked_sub(1).and_then(|at| bytes.get(at));
    before.copied().unwrap_or(b' ')
}

/// The string that begins at `at`, and where it ends.
fn string(sql: &str, at: usize) -> Option<(String, usize)> {
    let mut text = String::new();
    let mut from = at + 1;
    loop {
        let rest = sql.get(from..)?;
        let quote = rest.find('\'')?;
        text.push_str(rest.get(..quote)?);
        from += quote + 1;
        match sql.as_bytes().get(from) {
            Some(b'\'') => {
                text.push('\'');
                from += 1;
            }
            // Of a kind that is not looked at, or followed by a word.
            Some(&next) if is_word(next) => return None,
            _ => return Some((text, from)),
        }
    }
}

/// The integer whose digits begin at `at`, its type, and where it ends.
fn integer(sql: &str, at: usize, negative: bool) -> Option<(Value, PgType, usize)> {
    let rest = sql.get(at..)?;
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    let follows = rest.as_bytes().get(digits).copied().unwrap_or(b' ');
    if is_word(follows) || follows == b'.' {
        return None;
    }
    let value: i64 = rest.get(..digits)?.parse().ok()?;
    // PostgreSQL types the digits, then applies the sign.
    let ty = match i32::try_from(value) {
        Ok(_) => PgType::INT4,
        Err(_) => PgType::INT8,
    };
    let value = if negative {
        value.checked_neg()?
    } else {
        value
    };
    Some((Value::Int(value), ty, at + digits))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text_of(sql: &str) -> Option<String> {
        shape(sql).map(|(shape, _)| shape.text)
    }

    #[test]
    fn values_are_taken_out() {
        let (shape, values) = shape(
            "UPDATE t1 SET a = a + -12, \"b 3\"='it''s', c=3000000000 WHERE id = 7 - 5 AND d>-1;",
        )
        .unwrap();
        assert_eq!(
            shape.text,
            "UPDATE t1 SET a = a + $1, \"b 3\"=$2, c=$3 WHERE id = $4 - $5 AND d>$6;"
        );
        let int = PgType::INT4;
        assert_eq!(
            shape.types,
            [int, PgType::UNKNOWN, PgType::INT8, int, int, int]
        );
        assert_eq!(
            values,
            [
                Value::Int(-12),
                Value::Text("it's".into()),
                Value::Int(3_000_000_000),
                Value::Int(7),
                Value::Int(5),
                Value::Int(-1),
            ]
        );
        let many: Vec<String> = (0..12).map(|n| n.to_string()).collect();
        let list = format!("select {}", many.join(","));
        assert!(text_of(&list).unwrap().ends_with(",$11,$12"));
    }

    #[test]
    fn what_needs_more_than_a_glance_is_left() {
        for sql in [
            "SELECT a FROM t",
            "SELECT 1; SELECT 2",
            "SELECT 1 -- one",
            "SELECT /* one */ 1",
            "SELECT $1, 1",
            "SELECT E'a', 1",
            "SELECT U&'a', 1",
            "SELECT 'a'b, 1",
            "SELECT 1.5",
            "SELECT 1e5",
            "SELECT 0x1F",
            "SELECT 1_000",
            "SELECT 99999999999999999999",
            "SELECT a[1] FROM t",
            "SELECT 'open",
            "CREATE TABLE t (a int DEFAULT 1)",
            "BEGIN",
            "",
        ] {
            assert_eq!(text_of(sql), None, "{sql}");
        }
        // Digits in names are no values.
        assert_eq!(
            text_of("SELECT c1 FROM t2 WHERE é3 = 4").as_deref(),
            Some("SELECT c1 FROM t2 WHERE é3 = $1")
        );
    }
}
