//! Reads dates and times as PostgreSQL's `ParseDateTime` and `DecodeDateTime` do: the text is cut
//! into fields, and each field says or suggests which part of the date or time it is. The field
//! order is month, day, year (`DateStyle = ISO, MDY`).

use super::calendar::{self, Civil, USECS_PER_DAY, USECS_PER_SEC};
use crate::error::{Error, SqlState};
use crate::types::text::{TextStyle, Zone};
use crate::types::zone;

/// Fields of one input, as in PostgreSQL.
const MAX_FIELDS: usize = 25;

/// Why a text is not a date, a time or an interval.
#[derive(Debug)]
pub enum Fault {
    BadFormat,
    FieldOverflow,
    /// A month or day out of range, which another field order might accept.
    MonthDayOverflow,
    IntervalOverflow,
    ZoneOverflow,
    UnknownZone(String),
}

impl Fault {
    pub fn error(self, type_name: &str, text: &str) -> Error {
        let out_of_range =
            |state, what: &str| Error::new(state, format!("{what} out of range: \"{text}\""));
        match self {
            Fault::BadFormat => Error::new(
                SqlState::INVALID_DATETIME_FORMAT,
                format!("invalid input syntax for type {type_name}: \"{text}\""),
            ),
            Fault::FieldOverflow => {
                out_of_range(SqlState::DATETIME_FIELD_OVERFLOW, "date/time field value")
            }
            Fault::MonthDayOverflow => {
                out_of_range(SqlState::DATETIME_FIELD_OVERFLOW, "date/time field value")
                    .hint("Perhaps you need a different \"datestyle\" setting.")
            }
            Fault::IntervalOverflow => {
                out_of_range(SqlState::INTERVAL_FIELD_OVERFLOW, "interval field value")
            }
            Fault::ZoneOverflow => out_of_range(
                SqlState::INVALID_TIME_ZONE_DISPLACEMENT,
                "time zone displacement",
            ),
            Fault::UnknownZone(name) => Error::new(
                SqlState::INVALID_PARAMETER_VALUE,
                format!("time zone \"{name}\" not recognized"),
            ),
        }
    }
}

/// What a field looks like before its meaning is known.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum FieldKind {
    Number,
    Date,
    Time,
    /// A signed number: a zone offset, or part of an interval.
    Signed,
    Word,
    /// A sign and a word: `-infinity`.
    Special,
}

/// Cuts `text` into fields, lower-cased where words are.
pub fn fields(text: &str) -> Result<Vec<(FieldKind, String)>, Fault> {
    let bytes = text.as_bytes();
    let at = |i: usize| bytes.get(i).copied().unwrap_or(0);
    let digit = |i: usize| at(i).is_ascii_digit();
    let mut found = Vec::new();
    let mut i = 0;
    while i < bytes.len() {
        let start = i;
        let first = at(i);
        if is_space(first) {
            i += 1;
            continue;
        }
        if found.len() >= MAX_FIELDS {
            return Err(Fault::BadFormat);
        }
        let run = |mut i: usize, keep: &dyn Fn(u8) -> bool| {
            while i < bytes.len() && keep(at(i)) {
                i += 1;
            }
            i
        };
        let digits = |c: u8| c.is_ascii_digit();
        let kind = if first.is_ascii_digit() {
            i = run(i, &digits);
            match at(i) {
                b':' => {
                    i = run(i, &|c| c.is_ascii_digit() || c == b':' || c == b'.');
                    FieldKind::Time
                }
                delimiter @ (b'-' | b'/' | b'.') => {
                    i += 1;
                    if digit(i) {
                        i = run(i, &digits);
                        if at(i) == delimiter {
                            i = run(i, &|c| c.is_ascii_digit() || c == delimiter);
                            FieldKind::Date
                        } else if delimiter == b'.' {
                            FieldKind::Number
                        } else {
                            FieldKind::Date
                        }
                    } else {
                        i = run(i, &|c| c.is_ascii_alphanumeric() || c == delimiter);
                        FieldKind::Date
                    }
                }
                _ => FieldKind::Number,
            }
        } else if first == b'.' {
            i = run(i + 1, &digits);
            FieldKind::Number
        } else if first.is_ascii_alphabetic() {
            i = run(i, &|c| c.is_ascii_alphabetic());
            let next = at(i);
            let word = text.get(start..i).unwrap_or("").to_ascii_lowercase();
            let is_date = match next {
                b'-' | b'/' | b'.' => true,
                b'+' | b'0'..=b'9' => token(&word).is_none(),
                _ => false,
            };
            if is_date {
                i = run(i, &|c| {
                    c.is_ascii_alphanumeric()
                        || matches!(c, b'+' | b'-' | b'/' | b'_' | b'.' | b':')
                });
                FieldKind::Date
            } else {
                FieldKind::Word
            }
        } else if first == b'+' || first == b'-' {
            i += 1;
            while is_space(at(i)) && i < bytes.len() {
                i += 1;
            }
            let body = i;
            let kind = if digit(i) {
                i = run(i, &|c| {
                    c.is_ascii_digit() || matches!(c, b':' | b'.' | b'-')
                });
                FieldKind::Signed
            } else if at(i).is_ascii_alphabetic() {
                i = run(i, &|c| c.is_ascii_alphabetic());
                FieldKind::Special
            } else {
                return Err(Fault::BadFormat);
            };
            let body = text.get(body..i).unwrap_or("").to_ascii_lowercase();
            found.push((kind, format!("{}{body}", first as char)));
            continue;
        } else if first.is_ascii_punctuation() {
            i += 1;
            continue;
        } else {
            return Err(Fault::BadFormat);
        };
        let field = text.get(start..i).unwrap_or("").to_ascii_lowercase();
        found.push((kind, field));
    }
    Ok(found)
}

fn is_space(c: u8) -> bool {
    matches!(c, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c)
}

/// Parts of a date or time that an input has given so far, as a bit set.
mod part {
    pub const YEAR: u32 = 1;
    pub const MONTH: u32 = 1 << 1;
    pub const DAY: u32 = 1 << 2;
    pub const HOUR: u32 = 1 << 3;
    pub const MINUTE: u32 = 1 << 4;
    pub const SECOND: u32 = 1 << 5;
    pub const ZONE: u32 = 1 << 6;
    pub const DAY_OF_YEAR: u32 = 1 << 7;
    pub const RESERVED: u32 = 1 << 8;
    pub const AM_PM: u32 = 1 << 9;
    pub const ERA: u32 = 1 << 10;
    pub const DAY_OF_WEEK: u32 = 1 << 11;
    pub const DST: u32 = 1 << 12;
    pub const DATE: u32 = YEAR | MONTH | DAY;
    pub const TIME: u32 = HOUR | MINUTE | SECOND;
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Unit {
    Year,
    Month,
    Day,
    Hour,
    Minute,
    Second,
    Julian,
    Time,
    Other,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Token {
    Month(i32),
    DayOfWeek,
    Ignore,
    Am,
    Pm,
    Ad,
    Bc,
    Dst,
    Now,
    Today,
    Tomorrow,
    Yesterday,
    Allballs,
    Epoch,
    Late,
    Early,
    Unit(Unit),
    IsoTime,
}

fn token(word: &str) -> Option<Token> {
    Some(match word {
        "-infinity" => Token::Early,
        "ad" => Token::Ad,
        "allballs" => Token::Allballs,
        "am" => Token::Am,
        "at" | "on" => Token::Ignore,
        "bc" => Token::Bc,
        "d" => Token::Unit(Unit::Day),
        "dow" | "doy" | "isodow" | "isoyear" => Token::Unit(Unit::Other),
        "dst" => Token::Dst,
        "epoch" => Token::Epoch,
        "h" => Token::Unit(Unit::Hour),
        "infinity" => Token::Late,
        "j" | "jd" | "julian" => Token::Unit(Unit::Julian),
        "jan" | "january" => Token::Month(1),
        "feb" | "february" => Token::Month(2),
        "mar" | "march" => Token::Month(3),
        "apr" | "april" => Token::Month(4),
        "may" => Token::Month(5),
        "jun" | "june" => Token::Month(6),
        "jul" | "july" => Token::Month(7),
        "aug" | "august" => Token::Month(8),
        "sep" | "sept" | "september" => Token::Month(9),
        "oct" | "october" => Token::Month(10),
        "nov" | "november" => Token::Month(11),
        "dec" | "december" => Token::Month(12),
        "m" => Token::Unit(Unit::Month),
        "mm" => Token::Unit(Unit::Minute),
        "mon" | "monday" | "tue" | "tues" | "tuesday" | "wed" | "weds" | "wednesday" | "thu"
        | "thur" | "thurs" | "thursday" | "fri" | "friday" | "sat" | "saturday" | "sun"
        | "sunday" => Token::DayOfWeek,
        "now" => Token::Now,
        "pm" => Token::Pm,
        "s" => Token::Unit(Unit::Second),
        "t" => Token::IsoTime,
        "today" => Token::Today,
        "tomorrow" => Token::Tomorrow,
        "y" => Token::Unit(Unit::Year),
        "yesterday" => Token::Yesterday,
        _ => return None,
    })
}

/// What an input turned out to be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Moment {
    /// A date with a time of day; `offset` is seconds east of UTC, from the input or the session.
    /// `complete` is false when only a time was given.
    Local {
        civil: Civil,
        offset: i32,
        complete: bool,
    },
    Epoch,
    Late,
    Early,
}

/// What the caller wants to read.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Want {
    Date,
    Time,
}

struct Decoder<'a> {
    style: &'a TextStyle,
    want: Want,
    /// Whether a date may stand here: a time's input takes one only as its first field.
    date_allowed: bool,
    civil: Civil,
    day_of_year: i32,
    seen: u32,
    two_digit_year: bool,
    text_month: bool,
    julian: bool,
    bc: bool,
    meridian: Option<Token>,
    /// Seconds east of UTC.
    offset: Option<i32>,
    zone: Option<Zone>,
    pending: Option<Unit>,
    special: Option<Moment>,
}

/// Reads the fields of a date with or without a time, or of a time alone.
pub fn decode(text: &str, style: &TextStyle, want: Want) -> Result<Moment, Fault> {
    let fields = fields(text)?;
    let mut decoder = Decoder {
        style,
        want,
        date_allowed: true,
        civil: Civil::default(),
        day_of_year: 0,
        seen: 0,
        two_digit_year: false,
        text_month: false,
        julian: false,
        bc: false,
        meridian: None,
        offset: None,
        zone: None,
        pending: None,
        special: None,
    };
    for (at, (kind, field)) in fields.iter().enumerate() {
        let next = fields.get(at + 1).map(|(kind, _)| *kind);
        decoder.date_allowed = want == Want::Date
            || at == 0
                && (next == Some(FieldKind::Time)
                    || next.is_some()
                        && fields
                            .last()
                            .is_some_and(|(kind, _)| *kind == FieldKind::Date));
        let found = decoder.field(*kind, field, next)?;
        if found & decoder.seen != 0 {
            return Err(Fault::BadFormat);
        }
        decoder.seen |= found;
    }
    decoder.finish()
}

impl Decoder<'_> {
    fn has(&self, parts: u32) -> bool {
        self.seen & parts == parts
    }

    /// Takes one field; returns the parts that it gave.
    fn field(
        &mut self,
        kind: FieldKind,
        field: &str,
        next: Option<FieldKind>,
    ) -> Result<u32, Fault> {
        match kind {
            FieldKind::Date => self.date_field(field),
            FieldKind::Time => {
                if self.pending.take().is_some_and(|unit| unit != Unit::Time) {
                    return Err(Fault::BadFormat);
                }
                self.clock(field)?;
                Ok(part::TIME)
            }
            FieldKind::Signed => {
                self.offset = Some(zone_offset(field)?);
                Ok(part::ZONE)
            }
            FieldKind::Number => match self.pending.take() {
                Some(unit) => self.labelled(unit, field),
                None => self.number_field(field),
            },
            FieldKind::Word | FieldKind::Special => self.word(field, next),
        }
    }

    fn date_field(&mut self, field: &str) -> Result<u32, Fault> {
        if self.pending == Some(Unit::Julian) {
            self.pending = None;
            let end = digits_end(field, 0);
            let days = int(field.get(..end).unwrap_or(""))?;
            self.set_julian(days)?;
            self.offset = Some(zone_offset(field.get(end..).unwrap_or(""))?);
            return Ok(part::DATE | part::TIME | part::ZONE);
        }
        let starts_with_digit = field.starts_with(|c: char| c.is_ascii_digit());
        let has_date = self.has(part::MONTH | part::DAY);
        if self.pending.is_none() && !has_date && self.date_allowed {
            return self.date(field);
        }
        if !starts_with_digit && self.pending.is_none() {
            self.zone = Some(named_zone(field)?);
            return Ok(part::ZONE);
        }
        if self.pending.take().is_some_and(|unit| unit != Unit::Time) || self.has(part::TIME) {
            return Err(Fault::BadFormat);
        }
        let (time, zone) = field.split_at(field.find('-').ok_or(Fault::BadFormat)?);
        self.offset = Some(zone_offset(zone)?);
        let found = self.run_together(time, self.seen | part::DATE)?;
        Ok(found | part::ZONE)
    }

    /// A date in one field: `2001-02-03`, `02/03/01`, `3-feb-2001`.
    fn date(&mut self, field: &str) -> Result<u32, Fault> {
        let mut parts = Vec::new();
        let mut rest = field;
        while !rest.is_empty() {
            rest = rest.trim_start_matches(|c: char| !c.is_ascii_alphanumeric());
            let first = rest.chars().next().ok_or(Fault::BadFormat)?;
            let end = if first.is_ascii_digit() {
                digits_end(rest, 0)
            } else {
                rest.find(|c: char| !c.is_ascii_alphabetic())
                    .unwrap_or(rest.len())
            };
            let (piece, tail) = rest.split_at(end);
            parts.push(piece);
            let mut tail = tail.chars();
            tail.next();
            rest = tail.as_str();
        }
        let before = self.seen;
        let mut text_month = false;
        for piece in parts
            .iter()
            .filter(|p| p.starts_with(|c: char| c.is_ascii_alphabetic()))
        {
            match token(piece) {
                Some(Token::Ignore) => {}
                Some(Token::Month(month)) => {
                    if self.seen & part::MONTH != 0 {
                        return Err(Fault::BadFormat);
                    }
                    self.civil.month = month;
                    self.seen |= part::MONTH;
                    text_month = true;
                }
                _ => return Err(Fault::BadFormat),
            }
        }
        for piece in parts
            .iter()
            .filter(|p| p.starts_with(|c: char| c.is_ascii_digit()))
        {
            let found = self.number(piece, text_month)?;
            if found & self.seen != 0 {
                return Err(Fault::BadFormat);
            }
            self.seen |= found;
        }
        let found = self.seen & !before;
        let all = self.seen & !(part::DAY_OF_YEAR | part::ZONE);
        self.seen = before;
        // Whatever came before the date (a time, a weekday) is allowed to stand there.
        if all & part::DATE != part::DATE || all & !before & !part::DATE != 0 {
            return Err(Fault::BadFormat);
        }
        if before & (part::DATE & found) != 0 {
            return Err(Fault::BadFormat);
        }
        Ok(found)
    }

    /// One number whose place in the date decides its meaning.
    fn number(&mut self, field: &str, text_month: bool) -> Result<u32, Fault> {
        let end = digits_end(field, 0);
        let value = int(field.get(..end).unwrap_or(""))?;
        let rest = field.get(end..).unwrap_or("");
        if rest.starts_with('.') {
            if end > 2 {
                return self.run_together(field, self.seen | part::DATE);
            }
            self.civil.micros = fraction(rest)?;
        } else if !rest.is_empty() {
            return Err(Fault::BadFormat);
        }
        let length = field.len();
        let so_far = self.seen & part::DATE;
        if length == 3 && so_far == part::YEAR && (1..=366).contains(&value) {
            self.day_of_year = value;
            return Ok(part::DAY_OF_YEAR | part::MONTH | part::DAY);
        }
        const YEAR_MONTH: u32 = part::YEAR | part::MONTH;
        const MONTH_DAY: u32 = part::MONTH | part::DAY;
        let found = match so_far {
            0 if length >= 3 => part::YEAR,
            0 => part::MONTH,
            part::YEAR => part::MONTH,
            part::MONTH if text_month && length >= 3 => part::YEAR,
            part::MONTH => part::DAY,
            YEAR_MONTH if text_month && length >= 3 && self.two_digit_year => {
                self.civil.day = self.civil.year;
                self.civil.year = value;
                self.two_digit_year = false;
                return Ok(part::DAY);
            }
            YEAR_MONTH => part::DAY,
            part::DAY => part::MONTH,
            MONTH_DAY => part::YEAR,
            part::DATE => return self.run_together(field, self.seen),
            _ => return Err(Fault::BadFormat),
        };
        match found {
            part::YEAR => {
                self.civil.year = value;
                self.two_digit_year = length <= 2;
            }
            part::MONTH => self.civil.month = value,
            _ => self.civil.day = value,
        }
        Ok(found)
    }

    /// Digits written together: `20010203`, `040506`, `0405`, `040506.789`.
    fn run_together(&mut self, field: &str, seen: u32) -> Result<u32, Fault> {
        let mut digits = field;
        if let Some(point) = field.find('.') {
            let (whole, tail) = field.split_at(point);
            let number = format!("0{}", tail);
            let value: f64 = number.parse().map_err(|_| Fault::BadFormat)?;
            self.civil.micros = (value * 1e6).round_ties_even() as i32;
            digits = whole;
        } else if seen & part::DATE != part::DATE && digits.len() >= 6 {
            let (year, month_day) = digits.split_at(digits.len() - 4);
            let (month, day) = month_day.split_at(2);
            self.civil.year = int(year)?;
            self.civil.month = int(month)?;
            self.civil.day = int(day)?;
            if year.len() == 2 {
                self.two_digit_year = true;
            }
            return Ok(part::DATE);
        }
        if seen & part::TIME != part::TIME && matches!(digits.len(), 4 | 6) {
            self.civil.hour = int(digits.get(0..2).unwrap_or(""))?;
            self.civil.minute = int(digits.get(2..4).unwrap_or(""))?;
            self.civil.second = digits.get(4..6).map_or(Ok(0), int)?;
            return Ok(part::TIME);
        }
        Err(Fault::BadFormat)
    }

    /// A bare number: part of a date, or a run-together date or time.
    fn number_field(&mut self, field: &str) -> Result<u32, Fault> {
        let point = field.find('.');
        if self.want == Want::Time && !self.has(part::YEAR) {
            if let Some(point) = point {
                if point > 2 {
                    return self.run_together(field, self.seen | part::DATE);
                }
                return Err(Fault::BadFormat);
            }
            if matches!(field.len(), 4 | 6) && self.seen & part::DATE == 0 {
                return self.run_together(field, self.seen | part::DATE);
            }
        }
        match point {
            Some(_) if self.seen & part::DATE == 0 => self.date(field),
            Some(point) if point > 2 => self.run_together(field, self.seen),
            _ if field.len() >= 6
                && (self.seen & part::DATE == 0 || self.seen & part::TIME == 0) =>
            {
                self.run_together(field, self.seen)
            }
            _ => self.number(field, self.text_month),
        }
    }

    /// A number after a unit: `y2001 m02 d04`, `j2451187`, `t040506`.
    fn labelled(&mut self, unit: Unit, field: &str) -> Result<u32, Fault> {
        let end = digits_end(field, 0);
        let value = int(field.get(..end).unwrap_or(""))?;
        let rest = field.get(end..).unwrap_or("");
        if !rest.is_empty() && !matches!(unit, Unit::Julian | Unit::Time | Unit::Second) {
            return Err(Fault::BadFormat);
        }
        Ok(match unit {
            Unit::Year => {
                self.civil.year = value;
                part::YEAR
            }
            Unit::Month if self.has(part::MONTH | part::HOUR) => {
                self.civil.minute = value;
                part::MINUTE
            }
            Unit::Month => {
                self.civil.month = value;
                part::MONTH
            }
            Unit::Day => {
                self.civil.day = value;
                part::DAY
            }
            Unit::Hour => {
                self.civil.hour = value;
                part::HOUR
            }
            Unit::Minute => {
                self.civil.minute = value;
                part::MINUTE
            }
            Unit::Second => {
                self.civil.second = value;
                if !rest.is_empty() {
                    self.civil.micros = fraction(rest)?;
                }
                part::SECOND
            }
            Unit::Julian => {
                self.set_julian(value)?;
                if rest.is_empty() {
                    return Ok(part::DATE);
                }
                let day: f64 = format!("0{rest}").parse().map_err(|_| Fault::BadFormat)?;
                let time = Civil::from_micros((day * USECS_PER_DAY as f64) as i64);
                self.civil = Civil {
                    year: self.civil.year,
                    month: self.civil.month,
                    day: self.civil.day,
                    ..time
                };
                part::DATE | part::TIME
            }
            Unit::Time => {
                let found = self.run_together(field, self.seen | part::DATE)?;
                if found != part::TIME {
                    return Err(Fault::BadFormat);
                }
                found
            }
            Unit::Other => return Err(Fault::BadFormat),
        })
    }

    fn set_julian(&mut self, day: i32) -> Result<(), Fault> {
        let days = i64::from(day) - i64::from(calendar::EPOCH_JULIAN);
        (self.civil.year, self.civil.month, self.civil.day) = calendar::civil_from_days(days);
        self.julian = true;
        Ok(())
    }

    /// `hh:mm`, `hh:mm:ss`, `hh:mm:ss.ffffff`, `mm:ss.ffffff`.
    fn clock(&mut self, field: &str) -> Result<(), Fault> {
        let (hour, minute, second, micros) = clock(field)?;
        let hour = i32::try_from(hour).map_err(|_| Fault::FieldOverflow)?;
        self.civil.hour = hour;
        self.civil.minute = minute;
        self.civil.second = second;
        self.civil.micros = micros;
        if self.civil.time_of_day() > USECS_PER_DAY || hour > 24 {
            return Err(Fault::FieldOverflow);
        }
        Ok(())
    }

    fn word(&mut self, word: &str, next: Option<FieldKind>) -> Result<u32, Fault> {
        if let Some(abbreviation) = zone::abbreviation(word) {
            match abbreviation {
                zone::Abbreviation::Offset(seconds) => self.offset = Some(seconds),
                zone::Abbreviation::Zone(zone) => self.zone = Some(zone),
            }
            return Ok(part::ZONE);
        }
        let Some(token) = token(word) else {
            self.zone = Some(zone::by_name(word).ok_or(Fault::BadFormat)?);
            return Ok(part::ZONE);
        };
        Ok(match token {
            Token::Ignore => 0,
            Token::Now => {
                self.now(0);
                part::RESERVED | part::DATE | part::TIME | part::ZONE
            }
            Token::Today => self.day(0),
            Token::Tomorrow => self.day(1),
            Token::Yesterday => self.day(-1),
            Token::Allballs => {
                self.offset = Some(0);
                part::TIME | part::ZONE
            }
            Token::Epoch => self.special(Moment::Epoch),
            Token::Late => self.special(Moment::Late),
            Token::Early => self.special(Moment::Early),
            Token::Month(month) => {
                let mut found = part::MONTH;
                if self.has(part::MONTH)
                    && !self.text_month
                    && self.seen & part::DAY == 0
                    && (1..=31).contains(&self.civil.month)
                {
                    self.civil.day = self.civil.month;
                    found = part::DAY;
                }
                self.text_month = true;
                self.civil.month = month;
                found
            }
            Token::Dst => {
                self.offset = Some(self.offset.unwrap_or(0).saturating_add(3600));
                part::DST
            }
            Token::Am | Token::Pm => {
                self.meridian = Some(token);
                part::AM_PM
            }
            Token::Ad | Token::Bc => {
                self.bc = token == Token::Bc;
                part::ERA
            }
            Token::DayOfWeek => part::DAY_OF_WEEK,
            Token::Unit(unit) => {
                self.pending = Some(unit);
                0
            }
            Token::IsoTime => {
                if self.want == Want::Date && !self.has(part::DATE) {
                    return Err(Fault::BadFormat);
                }
                if !matches!(
                    next,
                    Some(FieldKind::Number | FieldKind::Time | FieldKind::Date)
                ) {
                    return Err(Fault::BadFormat);
                }
                self.pending = Some(Unit::Time);
                0
            }
        })
    }

    fn special(&mut self, moment: Moment) -> u32 {
        self.special = Some(moment);
        part::RESERVED
    }

    fn now(&mut self, days: i64) {
        let offset = self.style.time_zone.offset_at(self.style.now);
        let local = self
            .style
            .now
            .saturating_add(i64::from(offset) * USECS_PER_SEC)
            .saturating_add(days * USECS_PER_DAY);
        self.civil = Civil::from_micros(local);
        self.offset = Some(offset);
    }

    fn day(&mut self, days: i64) -> u32 {
        let time = self.civil;
        let offset = self.offset;
        self.now(days);
        self.offset = offset;
        self.civil = Civil {
            year: self.civil.year,
            month: self.civil.month,
            day: self.civil.day,
            ..time
        };
        part::DATE
    }

    /// Checks the whole, and settles the zone.
    fn finish(mut self) -> Result<Moment, Fault> {
        if let Some(special) = self.special {
            return Ok(special);
        }
        if self.want == Want::Date || self.seen & part::DATE != 0 {
            self.check_date()?;
        }
        if let Some(meridian) = self.meridian {
            if self.civil.hour > 12 {
                return Err(Fault::FieldOverflow);
            }
            if meridian == Token::Am && self.civil.hour == 12 {
                self.civil.hour = 0;
            } else if meridian == Token::Pm && self.civil.hour != 12 {
                self.civil.hour += 12;
            }
        }
        if !(0..=59).contains(&self.civil.minute)
            || !(0..=60).contains(&self.civil.second)
            || self.civil.hour < 0
            || self.civil.time_of_day() > USECS_PER_DAY
        {
            return Err(Fault::FieldOverflow);
        }
        let complete = self.has(part::DATE);
        match self.want {
            Want::Date if !complete => return Err(Fault::BadFormat),
            Want::Time if !self.has(part::TIME) => return Err(Fault::BadFormat),
            Want::Time if self.zone.is_some() && !complete && !self.zone_is_fixed() => {
                return Err(Fault::BadFormat);
            }
            _ => {}
        }
        if self.has(part::DST) && (self.zone.is_some() || self.offset.is_none()) {
            return Err(Fault::BadFormat);
        }
        let offset = match (self.zone, self.offset) {
            (Some(zone), _) => zone.offset_of_local(self.civil),
            (None, Some(offset)) => offset,
            (None, None) if complete => self.style.time_zone.offset_of_local(self.civil),
            (None, None) => 0,
        };
        Ok(Moment::Local {
            civil: self.civil,
            offset,
            complete,
        })
    }

    fn zone_is_fixed(&self) -> bool {
        matches!(
            self.zone,
            Some(Zone::Fixed(_)) | Some(Zone::Named(chrono_tz::UTC))
        )
    }

    fn check_date(&mut self) -> Result<(), Fault> {
        let civil = &mut self.civil;
        if self.seen & part::YEAR != 0 && !self.julian && self.seen & part::RESERVED == 0 {
            if self.bc {
                if civil.year <= 0 {
                    return Err(Fault::FieldOverflow);
                }
                civil.year = 1 - civil.year;
            } else if self.two_digit_year {
                civil.year += match civil.year {
                    0..70 => 2000,
                    70..100 => 1900,
                    _ => 0,
                };
            } else if civil.year <= 0 {
                return Err(Fault::FieldOverflow);
            }
        }
        if self.seen & part::DAY_OF_YEAR != 0 {
            let first = calendar::days_from_civil(civil.year, 1, 1);
            let days = first + i64::from(self.day_of_year) - 1;
            (civil.year, civil.month, civil.day) = calendar::civil_from_days(days);
        }
        if self.seen & part::MONTH != 0 && !(1..=12).contains(&civil.month)
            || self.seen & part::DAY != 0 && !(1..=31).contains(&civil.day)
        {
            return Err(Fault::MonthDayOverflow);
        }
        if self.seen & part::DATE == part::DATE
            && civil.day > calendar::days_in_month(civil.year, civil.month)
        {
            return Err(Fault::FieldOverflow);
        }
        Ok(())
    }
}

fn named_zone(name: &str) -> Result<Zone, Fault> {
    zone::by_name(name).ok_or_else(|| Fault::UnknownZone(name.to_owned()))
}

/// Index after the digits that start at `from`.
pub fn digits_end(text: &str, from: usize) -> usize {
    text.bytes()
        .enumerate()
        .skip(from)
        .find(|(_, c)| !c.is_ascii_digit())
        .map_or(text.len(), |(at, _)| at)
}

/// Unsigned digits as an `i32`.
pub fn int(digits: &str) -> Result<i32, Fault> {
    if digits.is_empty() || !digits.bytes().all(|c| c.is_ascii_digit()) {
        return Err(Fault::BadFormat);
    }
    digits.parse().map_err(|_| Fault::FieldOverflow)
}

/// `.123456` in microseconds, rounded.
pub fn fraction(text: &str) -> Result<i32, Fault> {
    let digits = text.strip_prefix('.').ok_or(Fault::BadFormat)?;
    if !digits.bytes().all(|c| c.is_ascii_digit()) {
        return Err(Fault::BadFormat);
    }
    let value: f64 = format!("0.{digits}0")
        .parse()
        .map_err(|_| Fault::BadFormat)?;
    Ok((value * 1e6).round_ties_even() as i32)
}

/// Hours, minutes, seconds, microseconds of `hh:mm[:ss[.f]]` or `mm:ss.f`.
pub fn clock(field: &str) -> Result<(i64, i32, i32, i32), Fault> {
    let end = digits_end(field, 0);
    let mut hour: i64 = field
        .get(..end)
        .unwrap_or("")
        .parse()
        .map_err(|_| Fault::FieldOverflow)?;
    let rest = field
        .get(end..)
        .unwrap_or("")
        .strip_prefix(':')
        .ok_or(Fault::BadFormat)?;
    let end = digits_end(rest, 0);
    let digits = rest.get(..end).unwrap_or("");
    let mut minute = if digits.is_empty() { 0 } else { int(digits)? };
    let rest = rest.get(end..).unwrap_or("");
    let (mut second, mut micros) = (0, 0);
    if rest.starts_with('.') {
        micros = fraction(rest)?;
        second = minute;
        minute = i32::try_from(hour).map_err(|_| Fault::FieldOverflow)?;
        hour = 0;
    } else if let Some(rest) = rest.strip_prefix(':') {
        let end = digits_end(rest, 0);
        let digits = rest.get(..end).unwrap_or("");
        second = if digits.is_empty() { 0 } else { int(digits)? };
        let rest = rest.get(end..).unwrap_or("");
        if !rest.is_empty() {
            micros = fraction(rest)?;
        }
    } else if !rest.is_empty() {
        return Err(Fault::BadFormat);
    }
    if minute > 59 || second > 60 {
        return Err(Fault::FieldOverflow);
    }
    Ok((hour, minute, second, micros))
}

/// `+hh`, `-hhmm`, `+hh:mm[:ss]` in seconds east of UTC.
pub fn zone_offset(text: &str) -> Result<i32, Fault> {
    const MAX_HOUR: i32 = 15;
    let negative = match text.as_bytes().first() {
        Some(b'-') => true,
        Some(b'+') => false,
        _ => return Err(Fault::BadFormat),
    };
    let body = text.get(1..).unwrap_or("");
    let zone_int = |digits: &str| match int(digits) {
        Err(Fault::FieldOverflow) => Err(Fault::ZoneOverflow),
        other => other,
    };
    let end = digits_end(body, 0);
    let mut hour = zone_int(body.get(..end).unwrap_or(""))?;
    let (mut minute, mut second) = (0, 0);
    let mut rest = body.get(end..).unwrap_or("");
    if let Some(tail) = rest.strip_prefix(':') {
        let end = digits_end(tail, 0);
        minute = zone_int(tail.get(..end).unwrap_or(""))?;
        rest = tail.get(end..).unwrap_or("");
        if let Some(tail) = rest.strip_prefix(':') {
            let end = digits_end(tail, 0);
            second = zone_int(tail.get(..end).unwrap_or(""))?;
            rest = tail.get(end..).unwrap_or("");
        }
    } else if rest.is_empty() && text.len() > 3 {
        minute = hour % 100;
        hour /= 100;
    }
    if hour > MAX_HOUR || minute >= 60 || second >= 60 {
        return Err(Fault::ZoneOverflow);
    }
    if !rest.is_empty() {
        return Err(Fault::BadFormat);
    }
    let seconds = (hour * 60 + minute) * 60 + second;
    Ok(if negative { -seconds } else { seconds })
}
