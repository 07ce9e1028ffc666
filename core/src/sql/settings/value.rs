//! Values of settings: checked as PostgreSQL checks them, and shown as it shows them.

use super::definitions::{Definition, Effect, Kind, Unit};
use crate::error::{Error, Result, SqlState};
use crate::types::text::Zone;

/// Units of time, the largest first, in µs.
const TIMES: [(&str, f64); 6] = [
    ("d", 864e8),
    ("h", 36e8),
    ("min", 60e6),
    ("s", 1e6),
    ("ms", 1e3),
    ("us", 1.0),
];
/// Units of memory, the largest first, in bytes.
const SIZES: [(&str, f64); 5] = [
    ("TB", 1_099_511_627_776.0),
    ("GB", 1_073_741_824.0),
    ("MB", 1_048_576.0),
    ("kB", 1024.0),
    ("B", 1.0),
];

/// Character sets of PostgreSQL, without the marks that names may have between their letters.
const ENCODINGS: &str = "abc alt big5 eucchn euccn eucjis2004 eucjp euckr euctw gb18030 gbk \
    iso88591 iso885910 iso885913 iso885914 iso885915 iso885916 iso88592 iso88593 iso88594 iso88595 \
    iso88596 iso88597 iso88598 iso88599 johab koi8 koi8r koi8u latin1 latin10 latin2 latin3 latin4 \
    latin5 latin6 latin7 latin8 latin9 mskanji muleinternal shiftjis shiftjis2004 sjis sqlascii \
    tcvn tcvn5712 uhc vscii win win1250 win1251 win1252 win1253 win1254 win1255 win1256 win1257 \
    win1258 win866 win874 win932 win936 win949 win950 windows1250 windows1251 windows1252 \
    windows1253 windows1254 windows1255 windows1256 windows1257 windows1258 windows866 windows874 \
    windows932 windows936 windows949 windows950";

/// Whether PostgreSQL has a character set of this name, in lower case and without marks.
pub fn is_encoding(name: &str) -> bool {
    let mut known = ENCODINGS.split_whitespace();
    matches!(name, "utf8" | "unicode") || known.any(|known| known == name)
}

impl Unit {
    /// How much one of it is in the smallest unit of its kind, and the names of all of them.
    fn family(self) -> Option<(f64, &'static [(&'static str, f64)])> {
        match self {
            Unit::None => None,
            Unit::Milliseconds => Some((1e3, &TIMES)),
            Unit::Seconds => Some((1e6, &TIMES)),
            Unit::Bytes => Some((1.0, &SIZES)),
            Unit::Kilobytes => Some((1024.0, &SIZES)),
            Unit::Pages => Some((8192.0, &SIZES)),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Unit::None => "",
            Unit::Milliseconds => " ms",
            Unit::Seconds => " s",
            Unit::Bytes => " B",
            Unit::Kilobytes => " kB",
            Unit::Pages => " 8kB",
        }
    }

    /// What the hint of a wrong unit lists.
    fn hint(self) -> &'static str {
        match self {
            Unit::None => "",
            Unit::Milliseconds | Unit::Seconds => {
                "Valid units for this parameter are \"us\", \"ms\", \"s\", \"min\", \"h\", and \"d\"."
            }
            Unit::Bytes | Unit::Kilobytes | Unit::Pages => {
                "Valid units for this parameter are \"B\", \"kB\", \"MB\", \"GB\", and \"TB\"."
            }
        }
    }
}

/// Checks a value that a client gave, and gives its canonical text.
///
/// # Errors
/// 22023 for a wrong value, 55P02 for a setting that cannot be set, 0A000 for what PostgreSQL does
/// and this engine does not.
pub(super) fn check(definition: &Definition, text: &str) -> Result<String> {
    let name = definition.name;
    let unchangeable = |how: &str| {
        Error::new(
            SqlState::CANT_CHANGE_RUNTIME_PARAM,
            format!("parameter \"{name}\" cannot be changed{how}"),
        )
    };
    match definition.effect {
        Effect::Fixed => return Err(unchangeable("")),
        Effect::Restart => return Err(unchangeable(" without restarting the server")),
        Effect::Works | Effect::Idle | Effect::Only => {}
    }
    let value = canonical(definition, text)?;
    if definition.effect == Effect::Only && value != definition.default {
        return Err(refused(definition, text));
    }
    Ok(value)
}

/// A value's canonical text.
pub(super) fn canonical(definition: &Definition, text: &str) -> Result<String> {
    Ok(match &definition.kind {
        Kind::Bool => {
            let value = parse_bool(text).ok_or_else(|| {
                Error::new(
                    SqlState::INVALID_PARAMETER_VALUE,
                    format!("parameter \"{}\" requires a Boolean value", definition.name),
                )
            })?;
            if value { "on" } else { "off" }.to_owned()
        }
        Kind::Integer(least, most) => {
            let value = number(definition, text)?.round();
            if value.abs() > f64::from(i32::MAX) {
                return Err(invalid(definition, text).hint("Value exceeds integer range."));
            }
            let value = value as i64;
            if !(*least..=*most).contains(&value) {
                return Err(out_of_range(definition, &value.to_string(), least, most));
            }
            value.to_string()
        }
        Kind::Real(least, most) => {
            let value = number(definition, text)?;
            if !(*least..=*most).contains(&value) {
                let most = if *most > 1e300 {
                    "1.79769e+308".to_owned()
                } else {
                    most.to_string()
                };
                return Err(out_of_range(definition, &value.to_string(), least, &most));
            }
            value.to_string()
        }
        Kind::Text if definition.name == "application_name" => text
            .bytes()
            .map(|byte| match byte {
                b' '..=b'~' => char::from(byte),
                _ => '?',
            })
            .collect(),
        Kind::Text => text.to_owned(),
        Kind::Enum(values) => {
            let known = values.iter().find(|known| known.eq_ignore_ascii_case(text));
            let known = known.ok_or_else(|| {
                let list = values.join(", ");
                invalid(definition, text).hint(format!("Available values: {list}."))
            })?;
            (*known).to_owned()
        }
        Kind::Zone if text.trim().is_empty() => return Err(invalid(definition, text)),
        Kind::Zone => match Zone::parse(text)? {
            zone @ Zone::Named(_) => zone.name(),
            zone if text.trim().parse::<f64>().is_ok() => zone.name(),
            Zone::Fixed(_) => text.to_owned(),
        },
        Kind::DateStyle => date_style(definition, text)?,
        Kind::Encoding => {
            // Only letters and digits count; some drivers send the quotes of a literal along.
            let name: String = text.chars().filter(char::is_ascii_alphanumeric).collect();
            match name.to_ascii_lowercase().as_str() {
                "utf8" | "unicode" => "UTF8".to_owned(),
                name if is_encoding(name) => {
                    return Err(refused(definition, text));
                }
                _ => return Err(invalid(definition, text)),
            }
        }
    })
}

/// A list of an output style and the order of day, month and year in ambiguous input.
fn date_style(definition: &Definition, text: &str) -> Result<String> {
    let mut style = None;
    let mut order = None;
    let wrong = |detail: String| Err(invalid(definition, text).detail(detail));
    for word in text.split(',') {
        let word = word.trim();
        let lower = word.to_ascii_lowercase();
        let (slot, value) = match lower.as_str() {
            "iso" => (&mut style, "ISO"),
            "sql" => (&mut style, "SQL"),
            "german" => (&mut style, "German"),
            "ymd" => (&mut order, "YMD"),
            "dmy" => (&mut order, "DMY"),
            "mdy" | "us" => (&mut order, "MDY"),
            "default" => continue,
            other if other.starts_with("postgres") => (&mut style, "Postgres"),
            other if other.starts_with("euro") => (&mut order, "DMY"),
            other if other.starts_with("noneuro") => (&mut order, "MDY"),
            _ => return wrong(format!("Unrecognized key word: \"{word}\".")),
        };
        if slot.is_some_and(|known| known != value) {
            return wrong("Conflicting \"datestyle\" specifications.".to_owned());
        }
        *slot = Some(value);
    }
    match (style.unwrap_or("ISO"), order.unwrap_or("MDY")) {
        ("ISO", order) => Ok(format!("ISO, {order}")),
        _ => Err(Error::unsupported(
            format!("{} = {text}", definition.name),
            "Dates are written in ISO form: set ISO and an order, as in \"ISO, DMY\".",
        )),
    }
}

pub(super) fn parse_bool(text: &str) -> Option<bool> {
    let text = text.trim().to_ascii_lowercase();
    let starts = |word: &str| !text.is_empty() && word.starts_with(&text);
    match text.as_str() {
        "on" | "1" => Some(true),
        "of" | "off" | "0" => Some(false),
        _ if starts("true") || starts("yes") => Some(true),
        _ if starts("false") || starts("no") => Some(false),
        _ => None,
    }
}

fn invalid(definition: &Definition, text: &str) -> Error {
    let name = definition.name;
    Error::new(
        SqlState::INVALID_PARAMETER_VALUE,
        format!("invalid value for parameter \"{name}\": \"{text}\""),
    )
}

fn refused(definition: &Definition, text: &str) -> Error {
    Error::unsupported(
        format!("{} = {text}", definition.name),
        format!(
            "The only value of this setting is \"{}\".",
            definition.default
        ),
    )
}

fn out_of_range(
    definition: &Definition,
    value: &str,
    least: &impl std::fmt::Display,
    most: &impl std::fmt::Display,
) -> Error {
    let (name, unit) = (definition.name, definition.unit.name());
    Error::new(
        SqlState::INVALID_PARAMETER_VALUE,
        format!(
            "{value}{unit} is outside the valid range for parameter \"{name}\" ({least} .. {most})"
        ),
    )
}

/// A number with an optional unit, in the setting's own unit.
fn number(definition: &Definition, text: &str) -> Result<f64> {
    let (value, rest) = leading_number(text).ok_or_else(|| invalid(definition, text))?;
    if rest.is_empty() {
        return Ok(value);
    }
    let Some((own, family)) = definition.unit.family() else {
        return Err(invalid(definition, text));
    };
    match family.iter().find(|(name, _)| *name == rest) {
        Some((_, size)) => Ok(value * size / own),
        None => Err(invalid(definition, text).hint(definition.unit.hint())),
    }
}

/// What `strtol` and `strtod` take from the start of a text, and what is left of it.
fn leading_number(text: &str) -> Option<(f64, &str)> {
    let text = text.trim();
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let run =
        |text: &str, accept: fn(char) -> bool| text.find(|c| !accept(c)).unwrap_or(text.len());
    let hexadecimal = digits.strip_prefix("0x").or(digits.strip_prefix("0X"));
    let (value, rest) = if let Some(digits) = hexadecimal {
        let (digits, rest) = digits.split_at(run(digits, |c| c.is_ascii_hexdigit()));
        (i64::from_str_radix(digits, 16).ok()? as f64, rest)
    } else {
        let mut end = run(digits, |c| c.is_ascii_digit());
        let mut whole = true;
        if let Some(fraction) = digits.get(end..).and_then(|rest| rest.strip_prefix('.')) {
            end += 1 + run(fraction, |c| c.is_ascii_digit());
            whole = false;
        }
        if let Some(rest) = digits.get(end..)
            && let Some(exponent) = rest.strip_prefix(['e', 'E'])
        {
            let signed = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
            let length = run(signed, |c| c.is_ascii_digit());
            if length > 0 {
                end += 1 + (exponent.len() - signed.len()) + length;
                whole = false;
            }
        }
        let (number, rest) = digits.split_at_checked(end)?;
        let octal = whole && number.len() > 1 && number.starts_with('0');
        let value = match i64::from_str_radix(number, 8) {
            Ok(value) if octal => value as f64,
            _ => number.parse().ok()?,
        };
        (value, rest)
    };
    Some((if negative { -value } else { value }, rest.trim()))
}

/// A value with its unit, as SHOW prints it: the largest unit that gives a whole number.
pub(super) fn shown(definition: &Definition, value: &str) -> String {
    let (Some((own, family)), Ok(number)) = (definition.unit.family(), value.parse::<f64>()) else {
        return value.to_owned();
    };
    if number <= 0.0 {
        return value.to_owned();
    }
    let total = number * own;
    let fits = family
        .iter()
        .find(|(_, size)| (total / size).fract() == 0.0);
    match fits {
        Some((name, size)) => format!("{}{name}", total / size),
        None => value.to_owned(),
    }
}
