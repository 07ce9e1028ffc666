//! `to_char(number, template)`.

use super::number_writer::Writer;
use super::template::{Key, Node, Template};
use crate::error::Result;
use crate::types::kinds::numeric;
use crate::types::ops::{numeric_mul, roots};
use crate::types::{Datum, Numeric, PgType};

/// Digits that a double has for certain.
const FLOAT_DIGITS: usize = 15;
/// Width of a Roman number.
const ROMAN_WIDTH: usize = 15;

/// The number as `to_char` writes it.
pub(super) fn to_char(value: &Datum<'_>, template: &str) -> Result<String> {
    let mut template = Template::new(template)?;
    if template.roman {
        return Ok(template.roman_text(value));
    }
    if template.exponent {
        return Ok(template.scientific(value));
    }
    let power = template.shift.unwrap_or(0);
    template.before += power;
    let plain = match value {
        Datum::Float8(_) | Datum::Float4(_) => template.float_digits(value, power),
        _ => template.exact_digits(value, power)?,
    };
    let (sign, digits) = match plain.strip_prefix('-') {
        Some(digits) => ('-', digits),
        None => ('+', plain.as_str()),
    };
    let whole = digits.find('.').unwrap_or(digits.len());
    if whole > template.before {
        let hashes = format!(
            "{}.{}",
            "#".repeat(template.before),
            "#".repeat(template.after)
        );
        return Ok(Writer::new(&template, &hashes, 0, sign).run());
    }
    let spaces = template.before - whole;
    Ok(Writer::new(&template, digits, spaces, sign).run())
}

impl Template {
    fn exact_digits(&self, value: &Datum<'_>, power: usize) -> Result<String> {
        let mut value = exact(value);
        if power > 0 {
            let factor = roots::numeric_power(&Numeric::from(10), &Numeric::from(power as i64))?;
            value = numeric_mul(&value, &factor)?;
        }
        if let Numeric::Finite(finite) = &value {
            value = Numeric::Finite(numeric::round(finite, self.after as i64));
        }
        Ok(shown(&value))
    }

    /// A float is written with no more digits than it has.
    fn float_digits(&mut self, value: &Datum<'_>, power: usize) -> String {
        let float = match value {
            Datum::Float8(value) => *value,
            Datum::Float4(value) => f64::from(*value),
            _ => 0.0,
        } * 10_f64.powi(power as i32);
        if !float.is_finite() {
            return shown_float(float);
        }
        let digits = if matches!(value, Datum::Float4(_)) {
            6
        } else {
            FLOAT_DIGITS
        };
        let whole = format!("{:.0}", float.abs()).len();
        if whole >= digits {
            self.after = 0;
        } else if whole + self.after > digits {
            self.after = digits - whole;
        }
        let after = self.after;
        format!("{float:.after$}")
    }

    fn scientific(&self, value: &Datum<'_>) -> String {
        let after = self.after;
        let text = match value {
            Datum::Float8(value) if !value.is_finite() => None,
            Datum::Float4(value) if !value.is_finite() => None,
            Datum::Float8(value) => Some(format!("{value:.after$e}")),
            Datum::Float4(value) => Some(format!("{value:.after$e}")),
            other => match exact(other) {
                Numeric::Finite(value) => Some(exact_scientific(&value, after)),
                _ => None,
            },
        };
        let Some(text) = text else {
            let mut hashes = vec!['#'; self.before + self.after + 6];
            if let Some(first) = hashes.first_mut() {
                *first = ' ';
            }
            if let Some(point) = hashes.get_mut(self.before + 1) {
                *point = '.';
            }
            return hashes.into_iter().collect();
        };
        let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let exponent: i64 = exponent.parse().unwrap_or(0);
        let space = if mantissa.starts_with('-') { "" } else { " " };
        let sign = if exponent < 0 { '-' } else { '+' };
        format!("{space}{mantissa}e{sign}{:02}", exponent.abs())
    }

    fn roman_text(&self, value: &Datum<'_>) -> String {
        let number = match exact(value) {
            Numeric::Finite(value) => shown(&Numeric::Finite(numeric::round(&value, 0)))
                .parse::<i64>()
                .unwrap_or(0),
            _ => 0,
        };
        let text = roman(number);
        let mut out = String::new();
        for node in &self.nodes {
            match node {
                Node::Literal(c) => out.push(*c),
                Node::Key(Key::Roman(upper)) => {
                    let text = if *upper {
                        text.clone()
                    } else {
                        text.to_lowercase()
                    };
                    if self.fill {
                        out.push_str(&text);
                    } else {
                        out.push_str(&format!("{text:>ROMAN_WIDTH$}"));
                    }
                }
                Node::Key(_) => {}
            }
        }
        out
    }
}

fn exact(value: &Datum<'_>) -> Numeric {
    match value {
        Datum::Numeric(value) => value.clone(),
        Datum::Int2(value) => Numeric::from(i64::from(*value)),
        Datum::Int4(value) => Numeric::from(i64::from(*value)),
        Datum::Int8(value) => Numeric::from(*value),
        Datum::Float8(value) => match numeric::parse(&format!("{value}"), PgType::NUMERIC) {
            Ok(value) => value,
            Err(_) => Numeric::NaN,
        },
        Datum::Float4(value) => match numeric::parse(&format!("{value}"), PgType::NUMERIC) {
            Ok(value) => value,
            Err(_) => Numeric::NaN,
        },
        _ => Numeric::NaN,
    }
}

fn shown(value: &Numeric) -> String {
    let mut out = Vec::new();
    numeric::write(value, &mut out);
    String::from_utf8_lossy(&out).into_owned()
}

fn shown_float(value: f64) -> String {
    if value.is_nan() {
        "NaN".to_owned()
    } else if value > 0.0 {
        "Infinity".to_owned()
    } else {
        "-Infinity".to_owned()
    }
}

/// `d.ddde±x` of an exact number, rounded half away from zero.
fn exact_scientific(value: &bigdecimal::BigDecimal, after: usize) -> String {
    use bigdecimal::num_traits::Zero;
    if value.is_zero() {
        return format!("{:.after$e}", 0.0);
    }
    let (digits, scale) = numeric::parts(value);
    let length = digits.magnitude().to_str_radix(10).len() as i64;
    let mut exponent = length - 1 - scale;
    let rounded = numeric::round(value, after as i64 - exponent);
    let (digits, scale) = numeric::parts(&rounded);
    let mut text = digits.magnitude().to_str_radix(10);
    if text.len() as i64 - 1 - scale > exponent {
        exponent += 1;
    }
    // As many digits as are shown, whatever zeros rounding left.
    text.truncate(after + 1);
    while text.len() < after + 1 {
        text.push('0');
    }
    let sign = if digits.sign() == bigdecimal::num_bigint::Sign::Minus {
        "-"
    } else {
        ""
    };
    let (first, rest) = text.split_at(1);
    if after == 0 {
        format!("{sign}{first}e{exponent}")
    } else {
        format!("{sign}{first}.{rest}e{exponent}")
    }
}

fn roman(number: i64) -> String {
    const UNITS: [(i64, &str); 13] = [
        (1000, "M"),
        (900, "CM"),
        (500, "D"),
        (400, "CD"),
        (100, "C"),
        (90, "XC"),
        (50, "L"),
        (40, "XL"),
        (10, "X"),
        (9, "IX"),
        (5, "V"),
        (4, "IV"),
        (1, "I"),
    ];
    if !(1..=3999).contains(&number) {
        return "#".repeat(ROMAN_WIDTH);
    }
    let mut rest = number;
    let mut out = String::new();
    for (value, letters) in UNITS {
        while rest >= value {
            out.push_str(letters);
            rest -= value;
        }
    }
    out
}
