//! Reads dates and times as PostgreSQL's `ParseDateTime` and `DecodeDateTime` do: the text is cut
//! into fields, and each field says or suggests which part of the date or time it is. The field
//! order of a date in numbers is the session's (`DateStyle`).

mod fields;
mod numbers;
mod token;

use super::calendar::{self, Civil, USECS_PER_DAY, USECS_PER_SEC};
use crate::error::{Error, SqlState};
use crate::types::text::{TextStyle, Zone};
use crate::types::zone;
use token::{Token, Unit, token};

pub use fields::{FieldKind, clock, digits_end, fields, int, zone_offset};

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

/// `yyyy-mm-dd` or `yyyy-mm-dd hh:mm:ss[.ffffff]` and nothing else, which is what programs send:
/// the same as [`decode`] would find, without cutting the text into fields.
pub fn plain(text: &str) -> Option<Civil> {
    let bytes = text.as_bytes();
    let number = |from: usize, to: usize| {
        bytes.get(from..to)?.iter().try_fold(0_i32, |sum, c| {
            c.is_ascii_digit().then(|| sum * 10 + i32::from(c - b'0'))
        })
    };
    let is = |at: usize, c: u8| bytes.get(at) == Some(&c);
    if !is(4, b'-') || !is(7, b'-') {
        return None;
    }
    let mut civil = Civil {
        year: number(0, 4).filter(|year| *year > 0)?,
        month: number(5, 7).filter(|month| (1..=12).contains(month))?,
        day: number(8, 10)?,
        ..Civil::default()
    };
    if !(1..=calendar::days_in_month(civil.year, civil.month)).contains(&civil.day) {
        return None;
    }
    if bytes.len() == 10 {
        return Some(civil);
    }
    if !is(10, b' ') || !is(13, b':') || !is(16, b':') {
        return None;
    }
    civil.hour = number(11, 13).filter(|hour| *hour < 24)?;
    civil.minute = number(14, 16).filter(|minute| *minute < 60)?;
    civil.second = number(17, 19).filter(|second| *second < 60)?;
    let digits = match bytes.len() {
        19 => return Some(civil),
        length @ 21..=26 if is(19, b'.') => length - 20,
        _ => return None,
    };
    civil.micros = number(20, bytes.len())? * 10_i32.pow(6 - digits as u32);
    Some(civil)
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
