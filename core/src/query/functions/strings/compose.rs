//! Text put together: `concat`, `format`, quoting.

use super::super::limits::Text;
use super::super::registry::Definitions;
use super::super::row::Call;
use super::{pad, shown, str_at, t};
use crate::error::{Error, Result, SqlState};
use crate::types::Datum;

pub(super) fn define(all: &mut Definitions) {
    all.add("concat", "...any", "text", |c, a| {
        let mut out = Text::new(c.limit);
        for (value, ty) in a.iter().zip(c.types) {
            if !value.is_null() {
                out.push(&shown(c, value, *ty))?;
            }
        }
        Ok(out.into_datum())
    })
    .takes_null()
    .stable();
    all.add("concat_ws", "text,...any", "text", |c, a| {
        if a.first().is_none_or(Datum::is_null) {
            return Ok(Datum::Null);
        }
        let mut out = Text::new(c.limit);
        let values = a.iter().zip(c.types).skip(1);
        for (at, (value, ty)) in values.filter(|(value, _)| !value.is_null()).enumerate() {
            if at > 0 {
                out.push(str_at(a, 0))?;
            }
            out.push(&shown(c, value, *ty))?;
        }
        Ok(out.into_datum())
    })
    .takes_null()
    .stable();
    all.add("format", "text,...any", "text", format)
        .takes_null()
        .stable();
    all.add("format", "text", "text", format)
        .takes_null()
        .stable();
    all.add("quote_ident", "text", "text", |_, a| {
        t(crate::catalog::quote(str_at(a, 0)))
    });
    all.add("quote_literal", "text", "text", |_, a| {
        t(quote_literal(str_at(a, 0)))
    });
    all.add("quote_literal", "anyelement", "text", |c, a| {
        match (a.first(), c.types.first()) {
            (Some(value), Some(ty)) => t(quote_literal(&shown(c, value, *ty))),
            _ => Ok(Datum::Null),
        }
    })
    .stable();
    all.add("quote_nullable", "anyelement", "text", |c, a| {
        match (a.first(), c.types.first()) {
            (Some(value), Some(ty)) if !value.is_null() => t(quote_literal(&shown(c, value, *ty))),
            _ => t("NULL"),
        }
    })
    .takes_null()
    .stable();
    all.add("quote_nullable", "text", "text", |_, a| match a.first() {
        Some(Datum::Text(text)) => t(quote_literal(text)),
        _ => t("NULL"),
    })
    .takes_null();
}

fn quote_literal(text: &str) -> String {
    let doubled = text.replace('\'', "''");
    if text.contains('\\') {
        format!("E'{}'", doubled.replace('\\', "\\\\"))
    } else {
        format!("'{doubled}'")
    }
}

/// `format()`: `%s`, `%I`, `%L`, `%%`, with positions and widths.
fn format(call: &Call<'_>, args: &[Datum<'_>]) -> Result<Datum<'static>> {
    let Some(Datum::Text(template)) = args.first() else {
        return Ok(Datum::Null);
    };
    let wrong = |message: String| Error::new(SqlState::INVALID_PARAMETER_VALUE, message);
    let mut out = Text::new(call.limit);
    let mut chars = template.chars().peekable();
    let mut next = 1;
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push(c.encode_utf8(&mut [0; 4]))?;
            continue;
        }
        let mut number = String::new();
        let mut minus = false;
        let mut width = String::new();
        while let Some(digit) = chars.peek().copied().filter(char::is_ascii_digit) {
            number.push(digit);
            chars.next();
        }
        if chars.peek() == Some(&'$') {
            chars.next();
            next = number
                .parse()
                .map_err(|_| wrong("number is out of range".to_owned()))?;
            if next == 0 {
                return Err(wrong(
                    "format specifies argument 0, but arguments are numbered from 1".to_owned(),
                ));
            }
        } else {
            width = number;
        }
        if chars.peek() == Some(&'-') {
            minus = true;
            chars.next();
        }
        while let Some(digit) = chars.peek().copied().filter(char::is_ascii_digit) {
            width.push(digit);
            chars.next();
        }
        let kind = chars
            .next()
            .ok_or_else(|| wrong("unterminated format() type specifier".to_owned()))?;
        if kind == '%' {
            out.push("%")?;
            continue;
        }
        let (Some(value), Some(ty)) = (args.get(next), call.types.get(next)) else {
            return Err(wrong("too few arguments for format()".to_owned()));
        };
        next += 1;
        let text = match (kind, value) {
            ('s', Datum::Null) => String::new(),
            ('s', value) => shown(call, value, *ty),
            ('I', Datum::Null) => {
                return Err(Error::new(
                    SqlState::NULL_VALUE_NOT_ALLOWED,
                    "null values cannot be formatted as an SQL identifier",
                ));
            }
            ('I', value) => crate::catalog::quote(&shown(call, value, *ty)),
            ('L', Datum::Null) => "NULL".to_owned(),
            ('L', value) => quote_literal(&shown(call, value, *ty)),
            (other, _) => {
                return Err(wrong(format!(
                    "unrecognized format() type specifier \"{other}\""
                )));
            }
        };
        let width = match width.as_str() {
            "" => 0,
            width => width
                .parse::<i32>()
                .map(i64::from)
                .map_err(|_| wrong("number is out of range".to_owned()))?,
        };
        let length = text.chars().count() as i64;
        if length >= width {
            out.push(&text)?;
        } else {
            out.push(&pad(call, &text, width, " ", !minus)?)?;
        }
    }
    Ok(out.into_datum())
}
