//! `to_char(number, template)`: a port of what PostgreSQL's `NUM_processor` writes.

use crate::error::{Error, Result, SqlState};
use crate::types::kinds::numeric;
use crate::types::ops::{numeric_mul, roots};
use crate::types::{Datum, Numeric, PgType};

/// Digits that a double has for certain.
const FLOAT_DIGITS: usize = 15;
/// Width of a Roman number.
const ROMAN_WIDTH: usize = 15;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Key {
    Nine,
    Zero,
    Point,
    Comma,
    Group,
    Blank,
    Currency,
    Minus,
    Plus,
    Sign,
    Brackets,
    Roman(bool),
    Locale,
    Ordinal(bool),
    Shift,
    Exponent,
    Fill,
}

#[derive(Debug)]
pub(super) enum Node {
    Key(Key),
    Literal(char),
}

/// Keywords, longest first where one starts another.
const KEYS: &[(&str, Key)] = &[
    ("EEEE", Key::Exponent),
    ("eeee", Key::Exponent),
    ("FM", Key::Fill),
    ("fm", Key::Fill),
    ("MI", Key::Minus),
    ("mi", Key::Minus),
    ("PL", Key::Plus),
    ("pl", Key::Plus),
    ("PR", Key::Brackets),
    ("pr", Key::Brackets),
    ("RN", Key::Roman(true)),
    ("rn", Key::Roman(false)),
    ("SG", Key::Sign),
    ("sg", Key::Sign),
    ("TH", Key::Ordinal(true)),
    ("th", Key::Ordinal(false)),
    (",", Key::Comma),
    (".", Key::Point),
    ("0", Key::Zero),
    ("9", Key::Nine),
    ("B", Key::Blank),
    ("b", Key::Blank),
    ("D", Key::Point),
    ("d", Key::Point),
    ("G", Key::Group),
    ("g", Key::Group),
    ("L", Key::Currency),
    ("l", Key::Currency),
    ("S", Key::Locale),
    ("s", Key::Locale),
    ("V", Key::Shift),
    ("v", Key::Shift),
];

/// Where the sign of `S` stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Place {
    None,
    Before,
    After,
}

/// A template and what it says as a whole (`NUMDesc`).
#[derive(Debug)]
pub(super) struct Template {
    pub nodes: Vec<Node>,
    pub before: usize,
    pub after: usize,
    pub sign: Place,
    sign_at: usize,
    pub decimal: bool,
    pub locale: bool,
    pub fill: bool,
    pub plus: bool,
    pub minus: bool,
    pub brackets: bool,
    zero: bool,
    zero_start: usize,
    zero_end: usize,
    pub shift: Option<usize>,
    pub roman: bool,
    pub exponent: bool,
}

fn syntax(message: &str) -> Error {
    Error::new(SqlState::SYNTAX_ERROR, message)
}

impl Template {
    pub fn new(text: &str) -> Result<Template> {
        let mut template = Template {
            nodes: Vec::new(),
            before: 0,
            after: 0,
            sign: Place::None,
            sign_at: 0,
            decimal: false,
            locale: false,
            fill: false,
            plus: false,
            minus: false,
            brackets: false,
            zero: false,
            zero_start: 0,
            zero_end: 0,
            shift: None,
            roman: false,
            exponent: false,
        };
        let mut rest = text;
        while let Some(c) = rest.chars().next() {
            if let Some((word, key)) = KEYS.iter().find(|(word, _)| rest.starts_with(word)) {
                template.take(*key)?;
                template.nodes.push(Node::Key(*key));
                rest = rest.get(word.len()..).unwrap_or_default();
                continue;
            }
            rest = rest.get(c.len_utf8()..).unwrap_or_default();
            match c {
                '"' => {
                    let mut inside = rest.chars();
                    while let Some(c) = inside.next() {
                        match c {
                            '"' => break,
                            '\\' => template.nodes.extend(inside.next().map(Node::Literal)),
                            c => template.nodes.push(Node::Literal(c)),
                        }
                    }
                    rest = inside.as_str();
                }
                '\\' if rest.starts_with('"') => {
                    template.nodes.push(Node::Literal('"'));
                    rest = rest.get(1..).unwrap_or_default();
                }
                c => template.nodes.push(Node::Literal(c)),
            }
        }
        Ok(template)
    }

    fn take(&mut self, key: Key) -> Result<()> {
        if self.exponent && key != Key::Exponent {
            return Err(syntax("\"EEEE\" must be the last pattern used"));
        }
        match key {
            Key::Nine => {
                if self.brackets {
                    return Err(syntax("\"9\" must be ahead of \"PR\""));
                }
                match &mut self.shift {
                    Some(count) => *count += 1,
                    None if self.decimal => self.after += 1,
                    None => self.before += 1,
                }
            }
            Key::Zero => {
                if self.brackets {
                    return Err(syntax("\"0\" must be ahead of \"PR\""));
                }
                if !self.zero && !self.decimal {
                    self.zero = true;
                    self.zero_start = self.before;
                }
                if self.decimal {
                    self.after += 1;
                } else {
                    self.before += 1;
                }
                self.zero_end = self.before + self.after;
            }
            Key::Point => {
                if self.decimal {
                    return Err(syntax("multiple decimal points"));
                }
                if self.shift.is_some() {
                    return Err(syntax("cannot use \"V\" and decimal point together"));
                }
                self.decimal = true;
            }
            Key::Fill => self.fill = true,
            Key::Locale => {
                if self.locale {
                    return Err(syntax("cannot use \"S\" twice"));
                }
                if self.plus || self.minus || self.brackets {
                    return Err(syntax(
                        "cannot use \"S\" and \"PL\"/\"MI\"/\"SG\"/\"PR\" together",
                    ));
                }
                self.sign = if self.decimal {
                    Place::After
                } else {
                    self.sign_at = self.before;
                    Place::Before
                };
                self.locale = true;
            }
            Key::Minus | Key::Plus | Key::Sign => {
                if self.locale {
                    return Err(syntax(match key {
                        Key::Minus => "cannot use \"S\" and \"MI\" together",
                        Key::Plus => "cannot use \"S\" and \"PL\" together",
                        _ => "cannot use \"S\" and \"SG\" together",
                    }));
                }
                self.minus |= key != Key::Plus;
                self.plus |= key != Key::Minus;
            }
            Key::Brackets => {
                if self.locale || self.plus || self.minus {
                    return Err(syntax(
                        "cannot use \"PR\" and \"S\"/\"PL\"/\"MI\"/\"SG\" together",
                    ));
                }
                self.brackets = true;
            }
            Key::Roman(_) => self.roman = true,
            Key::Shift => {
                if self.decimal {
                    return Err(syntax("cannot use \"V\" and decimal point together"));
                }
                self.shift = Some(self.shift.unwrap_or(0));
            }
            Key::Exponent => {
                if self.exponent {
                    return Err(syntax("cannot use \"EEEE\" twice"));
                }
                let other = self.fill
                    || self.locale
                    || self.brackets
                    || self.minus
                    || self.plus
                    || self.roman
                    || self.shift.is_some();
                if other {
                    return Err(syntax("\"EEEE\" is incompatible with other formats").detail(
                        "\"EEEE\" may only be used together with digit and decimal point patterns.",
                    ));
                }
                self.exponent = true;
            }
            _ => {}
        }
        Ok(())
    }
}

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

/// `st`, `nd`, `rd`, `th`.
pub(super) fn ordinal(digits: &str, upper: bool) -> String {
    let tail: Vec<char> = digits.chars().rev().take(2).collect();
    let ending = match tail.as_slice() {
        [_, '1'] => "th",
        ['1', ..] => "st",
        ['2', ..] => "nd",
        ['3', ..] => "rd",
        _ => "th",
    };
    if upper {
        ending.to_uppercase()
    } else {
        ending.to_owned()
    }
}

struct Writer<'a> {
    template: &'a Template,
    number: Vec<char>,
    /// Place in `number`.
    at: usize,
    /// The last digit after the point that is worth writing, with `FM`.
    last: Option<usize>,
    spaces: usize,
    sign: char,
    written: bool,
    place: Place,
    brackets: bool,
    /// Whether a digit has just been written.
    inside: bool,
    current: usize,
    count: usize,
    out: String,
}

impl<'a> Writer<'a> {
    fn new(template: &'a Template, number: &str, spaces: usize, sign: char) -> Self {
        let number: Vec<char> = number.chars().collect();
        let mut place = template.sign;
        let mut brackets = template.brackets;
        let written = if template.plus || template.minus {
            !(template.plus && !template.minus)
        } else {
            if sign != '-' && template.fill {
                brackets = false;
            }
            if place == Place::Before && template.before == template.sign_at {
                place = Place::After;
            }
            sign == '+' && template.fill && !template.locale
        };
        let mut last = None;
        if template.fill && template.decimal {
            last = number.iter().position(|c| *c == '.').map(|point| {
                let mut last = point;
                for (at, c) in number.iter().enumerate().skip(point + 1) {
                    if *c != '0' {
                        last = at;
                    }
                }
                last
            });
            if let Some(known) = last
                && template.zero_end > spaces
            {
                let zero = (number.len().saturating_sub(1)).min(template.zero_end - spaces);
                last = Some(known.max(zero));
            }
        }
        let mut count = (template.after + template.before).saturating_sub(1);
        if !written && spaces == 0 {
            count += 1;
        }
        Writer {
            template,
            number,
            at: 0,
            last,
            spaces,
            sign,
            written,
            place,
            brackets,
            inside: false,
            current: 0,
            count,
            out: String::new(),
        }
    }

    fn run(mut self) -> String {
        for node in &self.template.nodes {
            let key = match node {
                Node::Literal(c) => {
                    self.out.push(*c);
                    continue;
                }
                Node::Key(key) => *key,
            };
            let fill = self.template.fill;
            match key {
                Key::Nine | Key::Zero | Key::Point => self.digit(key),
                Key::Comma | Key::Group if self.inside => self.out.push(','),
                Key::Comma | Key::Group if fill => {}
                Key::Comma | Key::Group => self.out.push(' '),
                Key::Currency => self.out.push(' '),
                Key::Ordinal(upper) => {
                    let none = self.number.first() == Some(&'#')
                        || self.sign == '-'
                        || self.template.decimal;
                    if !none {
                        let digits: String = self.number.iter().collect();
                        self.out.push_str(&ordinal(&digits, upper));
                    }
                }
                Key::Minus if self.sign == '-' => self.out.push('-'),
                Key::Plus if self.sign == '+' => self.out.push('+'),
                Key::Minus | Key::Plus if !fill => self.out.push(' '),
                Key::Sign => self.out.push(self.sign),
                _ => {}
            }
        }
        self.out
    }

    fn last_is_point(&self) -> bool {
        self.last.and_then(|at| self.number.get(at)) == Some(&'.')
    }

    /// Whether the zero before the point is left out: `9.9` writes `.1`.
    fn before_point(&self) -> bool {
        !self.template.zero
            && self.at == 0
            && self.number.first() == Some(&'0')
            && self.template.after != 0
    }

    fn digit(&mut self, key: Key) {
        let template = self.template;
        self.inside = false;
        let starts =
            self.current >= self.spaces || template.zero && template.zero_start == self.current;
        if !self.written && starts && (!self.before_point() || self.last_is_point()) {
            if template.locale {
                if self.place == Place::Before {
                    self.out.push(self.sign);
                    self.written = true;
                }
            } else if self.brackets {
                self.out.push(if self.sign == '+' { ' ' } else { '<' });
                self.written = true;
            } else if self.sign == '+' {
                if !template.fill {
                    self.out.push(' ');
                }
                self.written = true;
            } else {
                self.out.push('-');
                self.written = true;
            }
        }
        if self.current < self.spaces && (template.zero_start > self.current || !template.zero) {
            if !template.fill {
                self.out.push(' ');
            }
        } else if template.zero && self.current < self.spaces {
            self.out.push('0');
            self.inside = true;
        } else {
            match self.number.get(self.at).copied() {
                Some('.') => {
                    if !self.last_is_point() || template.fill {
                        self.out.push('.');
                    }
                }
                digit => {
                    if self.last.is_some_and(|last| self.at > last) && key != Key::Zero {
                        // A zero that FM leaves out.
                    } else if self.before_point() {
                        if !template.fill {
                            self.out.push(' ');
                        } else if self.last_is_point() {
                            self.out.push('0');
                        }
                    } else {
                        self.out.extend(digit);
                        self.inside = true;
                    }
                }
            }
            if self.at < self.number.len() {
                self.at += 1;
            }
        }
        let mut end = self.count + usize::from(self.spaces > 0) + usize::from(template.decimal);
        if self.last.is_some_and(|last| last == self.at) {
            end = self.current;
        }
        if self.current + 1 == end {
            if self.written && self.brackets {
                self.out.push(if self.sign == '+' { ' ' } else { '>' });
            } else if template.locale && self.place == Place::After {
                self.out.push(self.sign);
            }
        }
        self.current += 1;
    }
}
