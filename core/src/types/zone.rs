//! Time zones: names, abbreviations and offsets, and what the offset is at an instant.

use chrono::{FixedOffset, LocalResult, NaiveDate, NaiveDateTime, Offset, TimeZone};
use chrono_tz::{TZ_VARIANTS, Tz};

use super::kinds::calendar::{Civil, USECS_PER_DAY, USECS_PER_SEC, is_leap};
use super::text::Zone;
use super::zone_abbreviations::ABBREVIATIONS;
use crate::error::{Error, Result, SqlState};

/// Largest offset that a zone may have, in hours.
const MAX_OFFSET_HOURS: i32 = 15;
/// The zone database's rules are spelled out up to this year; later years follow a year before it
/// that has the same calendar.
const LAST_RULE_YEAR: i32 = 2037;

/// What an abbreviation such as `EST` stands for.
pub enum Abbreviation {
    /// Seconds east of UTC.
    Offset(i32),
    Zone(Zone),
}

/// The zone abbreviation `word` (lower case), if it is one.
pub fn abbreviation(word: &str) -> Option<Abbreviation> {
    let at = ABBREVIATIONS
        .binary_search_by(|(name, _)| (*name).cmp(word))
        .ok()?;
    let (_, value) = ABBREVIATIONS.get(at)?;
    match value.parse() {
        Ok(seconds) => Some(Abbreviation::Offset(seconds)),
        Err(_) => Some(Abbreviation::Zone(by_name(value)?)),
    }
}

/// The zone of a name in any case, or of a POSIX specification such as `EST+5`.
pub fn by_name(name: &str) -> Option<Zone> {
    if let Ok(zone) = name.parse::<Tz>() {
        return Some(Zone::Named(zone));
    }
    if let Some(zone) = TZ_VARIANTS
        .iter()
        .find(|zone| zone.name().eq_ignore_ascii_case(name))
    {
        return Some(Zone::Named(*zone));
    }
    posix(name)
}

/// `<name>offset` without a daylight saving rule; the offset counts west of UTC.
fn posix(text: &str) -> Option<Zone> {
    let (name, offset) = if let Some(rest) = text.strip_prefix('<') {
        rest.split_once('>')?
    } else {
        let end = text.find(|c: char| !c.is_ascii_alphabetic())?;
        text.split_at(end)
    };
    if name.is_empty() && !text.starts_with(['+', '-']) {
        return None;
    }
    Some(Zone::Fixed(fixed(-signed_clock(offset)?)?))
}

/// `[+-]h[h][:mm[:ss]]` in seconds.
fn signed_clock(text: &str) -> Option<i32> {
    let (negative, body) = match text.as_bytes().first()? {
        b'-' => (true, text.get(1..)?),
        b'+' => (false, text.get(1..)?),
        _ => (false, text),
    };
    let mut seconds = 0_i32;
    for (at, (piece, unit)) in body.split(':').zip([3600, 60, 1, 0]).enumerate() {
        let number = piece.len() <= 2 && piece.bytes().all(|c| c.is_ascii_digit());
        let value: i32 = if number {
            piece.parse().ok()?
        } else {
            return None;
        };
        if unit == 0 || at > 0 && value > 59 || at == 0 && value > 24 {
            return None;
        }
        seconds += value * unit;
    }
    Some(if negative { -seconds } else { seconds })
}

fn fixed(seconds_east: i32) -> Option<FixedOffset> {
    FixedOffset::east_opt(seconds_east)
}

impl Zone {
    /// A zone from the value of the setting `TimeZone`: a name of the IANA database in any case, hours
    /// east of UTC (`+02`, `-3.5`), or a POSIX specification (`UTC+3`, `<-03>+3`, `-03:30`), whose
    /// offset counts west of UTC as PostgreSQL has it.
    ///
    /// # Errors
    /// 22023 when it is none of these.
    pub fn parse(text: &str) -> Result<Zone> {
        let trimmed = text.trim();
        let hours = trimmed
            .parse::<f64>()
            .ok()
            .filter(|hours| hours.is_finite());
        let zone = match hours {
            Some(hours) if hours.abs() < f64::from(MAX_OFFSET_HOURS) + 1.0 => {
                fixed((hours * 3600.0) as i32).map(Zone::Fixed)
            }
            Some(_) => None,
            None => by_name(trimmed),
        };
        zone.ok_or_else(|| {
            Error::new(
                SqlState::INVALID_PARAMETER_VALUE,
                format!("invalid value for parameter \"TimeZone\": \"{text}\""),
            )
        })
    }

    /// The name as `SHOW TimeZone` prints it; `<+02>-02` for a fixed offset. [`Zone::parse`]
    /// reads it back.
    pub fn name(&self) -> String {
        match self {
            Zone::Named(zone) => zone.name().to_owned(),
            Zone::Fixed(offset) => {
                let east = offset.local_minus_utc();
                let clock = |negative: bool, plus: &str| {
                    let sign = if negative { "-" } else { plus };
                    let seconds = east.unsigned_abs();
                    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
                    match (minutes, seconds % 60) {
                        (0, 0) => format!("{sign}{hours:02}"),
                        (_, 0) => format!("{sign}{hours:02}:{minutes:02}"),
                        (_, rest) => format!("{sign}{hours:02}:{minutes:02}:{rest:02}"),
                    }
                };
                format!("<{}>{}", clock(east < 0, "+"), clock(east > 0, "+"))
            }
        }
    }

    /// A name that Arrow understands: an IANA name or `+hh:mm`.
    pub fn arrow_name(&self) -> String {
        match self {
            Zone::Named(zone) => zone.name().to_owned(),
            Zone::Fixed(offset) => {
                let east = offset.local_minus_utc();
                let sign = if east < 0 { '-' } else { '+' };
                let minutes = east.unsigned_abs() / 60;
                format!("{sign}{:02}:{:02}", minutes / 60, minutes % 60)
            }
        }
    }

    /// Seconds east of UTC at an instant (microseconds since 1970 UTC).
    pub fn offset_at(&self, utc: i64) -> i32 {
        match self {
            Zone::Fixed(offset) => offset.local_minus_utc(),
            Zone::Named(Tz::UTC) => 0,
            Zone::Named(zone) => naive(Civil::from_micros(utc)).map_or(0, |at| offset(*zone, at)),
        }
    }

    /// Seconds east of UTC for a local date and time. A time that the clocks skip counts as if they
    /// had not moved yet, one that they pass twice counts as the second: PostgreSQL's choice.
    pub fn offset_of_local(&self, civil: Civil) -> i32 {
        let zone = match self {
            Zone::Fixed(offset) => return offset.local_minus_utc(),
            Zone::Named(Tz::UTC) => return 0,
            Zone::Named(zone) => zone,
        };
        let Some(at) = naive(civil) else {
            return 0;
        };
        match zone.offset_from_local_datetime(&at) {
            LocalResult::Single(found) => found.fix().local_minus_utc(),
            LocalResult::Ambiguous(one, other) => {
                // The later instant is the one with the smaller offset.
                one.fix()
                    .local_minus_utc()
                    .min(other.fix().local_minus_utc())
            }
            LocalResult::None => {
                // The instant, if the offset of a day earlier still held.
                let day_before = at - chrono::TimeDelta::days(1);
                offset(
                    *zone,
                    day_before - chrono::TimeDelta::seconds(i64::from(offset(*zone, day_before))),
                )
            }
        }
    }

    /// Microseconds UTC of a local timestamp, `None` when out of range.
    pub fn to_utc(&self, local: i64) -> Option<i64> {
        let offset = self.offset_of_local(Civil::from_micros(local));
        local.checked_sub(i64::from(offset) * USECS_PER_SEC)
    }

    /// Local microseconds of an instant, `None` when out of range.
    pub fn to_local(&self, utc: i64) -> Option<i64> {
        utc.checked_add(i64::from(self.offset_at(utc)) * USECS_PER_SEC)
    }
}

fn offset(zone: Tz, utc: NaiveDateTime) -> i32 {
    zone.offset_from_utc_datetime(&utc).fix().local_minus_utc()
}

/// The date and time as chrono has it, in a year for which the zone's rules are known.
fn naive(civil: Civil) -> Option<NaiveDateTime> {
    let year = equivalent_year(civil.year);
    let date = NaiveDate::from_ymd_opt(year, civil.month as u32, civil.day as u32)?;
    let time = civil.time_of_day();
    let days = time.div_euclid(USECS_PER_DAY);
    let time = time.rem_euclid(USECS_PER_DAY);
    let time = chrono::NaiveTime::from_num_seconds_from_midnight_opt(
        (time / USECS_PER_SEC) as u32,
        (time % USECS_PER_SEC) as u32 * 1000,
    )?;
    date.and_time(time)
        .checked_add_signed(chrono::TimeDelta::days(days))
}

/// A year up to [`LAST_RULE_YEAR`] with the same weekdays and length.
fn equivalent_year(year: i32) -> i32 {
    const CHRONO_FIRST_YEAR: i32 = -262_000;
    if year <= LAST_RULE_YEAR {
        return year.max(CHRONO_FIRST_YEAR);
    }
    let first_weekday =
        |year: i32| super::kinds::calendar::days_from_civil(year, 1, 1).rem_euclid(7);
    (LAST_RULE_YEAR - 27..=LAST_RULE_YEAR)
        .find(|at| is_leap(*at) == is_leap(year) && first_weekday(*at) == first_weekday(year))
        .unwrap_or(LAST_RULE_YEAR)
}
