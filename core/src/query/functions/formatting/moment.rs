//! `to_char(moment, template)`.

use super::super::dates::iso_week;
use super::number_writer::ordinal;
use crate::types::Interval;
use crate::types::kinds::calendar::{Civil, USECS_PER_DAY, USECS_PER_SEC, days_from_civil};
use crate::types::text::Zone;

pub(super) const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] = [
    "Sunday",
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
];

/// Template patterns, longest first; upper case, as they are compared.
const PATTERNS: &[&str] = &[
    "HH24", "HH12", "YYYY", "Y,YYY", "MONTH", "IYYY", "SSSSS", "SSSS", "A.D.", "B.C.", "A.M.",
    "P.M.", "DDD", "DAY", "MON", "YYY", "IYY", "TZH", "TZM", "AD", "BC", "AM", "PM", "CC", "DD",
    "DY", "FF1", "FF2", "FF3", "FF4", "FF5", "FF6", "HH", "ID", "IW", "IY", "MI", "MM", "MS", "OF",
    "RM", "SS", "TZ", "US", "WW", "YY", "D", "I", "J", "Q", "W", "Y",
];

/// The pattern that a template begins with.
pub(super) fn pattern_of(template: &str) -> Option<&'static str> {
    let start = template.chars().take(8);
    let upper: String = start.map(|c| c.to_ascii_uppercase()).collect();
    let mut patterns = PATTERNS.iter().copied();
    patterns.find(|pattern| upper.starts_with(pattern))
}

pub(super) fn to_char(micros: i64, template: &str, zone: Option<(Zone, i64)>) -> Option<String> {
    if matches!(micros, i64::MIN | i64::MAX) {
        return None;
    }
    let civil = Civil::from_micros(micros);
    let days = micros.div_euclid(USECS_PER_DAY);
    let doy = days - days_from_civil(civil.year, 1, 1) + 1;
    Some(write(&civil, days, doy, template, zone))
}

/// An interval's fields, as if they were those of a moment.
pub(super) fn interval_to_char(it: &Interval, template: &str) -> Option<String> {
    if template.is_empty() {
        return None;
    }
    const HOUR: i64 = 3_600 * USECS_PER_SEC;
    let civil = Civil {
        year: it.months / 12,
        month: it.months % 12,
        day: it.days,
        hour: i32::try_from(it.micros / HOUR).unwrap_or(i32::MAX),
        minute: (it.micros / (60 * USECS_PER_SEC) % 60) as i32,
        second: (it.micros / USECS_PER_SEC % 60) as i32,
        micros: (it.micros % USECS_PER_SEC) as i32,
    };
    // A month of an interval has thirty days.
    let doy = i64::from(it.months) * 30 + i64::from(it.days);
    Some(write(&civil, doy, doy, template, None))
}

fn write(civil: &Civil, days: i64, doy: i64, template: &str, zone: Option<(Zone, i64)>) -> String {
    let weekday = (days + 4).rem_euclid(7) as usize;
    let (iso_year, week) = iso_week(days);
    // An interval has no era: its years may be negative.
    let interval = zone.is_none() && civil.month == 0;
    let year = if civil.year > 0 || interval {
        civil.year
    } else {
        1 - civil.year
    };
    let hour12 = if civil.hour % 12 == 0 {
        12
    } else {
        civil.hour % 12
    };
    let month = (civil.month - 1).max(0) as usize;
    let mut out = String::new();
    let mut rest = template;
    while !rest.is_empty() {
        if let Some(quoted) = rest.strip_prefix('"') {
            let end = quoted.find('"').unwrap_or(quoted.len());
            out.push_str(quoted.get(..end).unwrap_or_default());
            rest = quoted.get(end + 1..).unwrap_or_default();
            continue;
        }
        let mut fill = true;
        for prefix in ["FM", "fm", "TM", "tm"] {
            if let Some(after) = rest.strip_prefix(prefix) {
                fill = !prefix.eq_ignore_ascii_case("FM") && fill;
                rest = after;
            }
        }
        if let Some(after) = rest.strip_prefix("\\\"") {
            out.push('"');
            rest = after;
            continue;
        }
        let Some(pattern) = pattern_of(rest) else {
            let mut chars = rest.chars();
            if let Some(c) = chars.next() {
                out.push(c);
            }
            rest = chars.as_str();
            continue;
        };
        let written = rest.get(..pattern.len()).unwrap_or_default();
        rest = rest.get(pattern.len()..).unwrap_or_default();
        let number = |value: i64, width: usize| {
            if fill {
                // A sign takes a place of its own.
                let width = width + usize::from(value < 0);
                format!("{value:0width$}")
            } else {
                value.to_string()
            }
        };
        let cased = |name: &str, width: usize| {
            let name = if written.chars().all(char::is_uppercase) {
                name.to_uppercase()
            } else if written.chars().next().is_some_and(char::is_uppercase) {
                name.to_owned()
            } else {
                name.to_lowercase()
            };
            if fill {
                format!("{name:<width$}")
            } else {
                name
            }
        };
        let half = |am: &str, pm: &str| {
            let shown = if civil.hour < 12 { am } else { pm };
            if written.chars().next().is_some_and(char::is_uppercase) {
                shown.to_uppercase()
            } else {
                shown.to_lowercase()
            }
        };
        let offset = zone.map_or(0, |(zone, utc)| zone.offset_at(utc));
        let text = match pattern {
            "HH24" => number(civil.hour.into(), 2),
            "HH12" | "HH" => number(hour12.into(), 2),
            "MI" => number(civil.minute.into(), 2),
            "SS" => number(civil.second.into(), 2),
            "MS" => number(i64::from(civil.micros / 1000), 3),
            "US" => number(civil.micros.into(), 6),
            "FF1" | "FF2" | "FF3" | "FF4" | "FF5" | "FF6" => {
                let digits = usize::from(pattern.as_bytes().last().copied().unwrap_or(b'6') - b'0');
                format!("{:06}", civil.micros)
                    .get(..digits)
                    .unwrap_or_default()
                    .to_owned()
            }
            "SSSS" | "SSSSS" => number(civil.time_of_day() / USECS_PER_SEC, 1),
            "YYYY" => number(year.into(), 4),
            "Y,YYY" => format!("{},{:03}", year / 1000, year % 1000),
            "YYY" => number(i64::from(year % 1000), 3),
            "YY" => number(i64::from(year % 100), 2),
            "Y" => number(i64::from(year % 10), 1),
            "IYYY" => number(iso_year, 4),
            "IYY" => number(iso_year % 1000, 3),
            "IY" => number(iso_year % 100, 2),
            "I" => number(iso_year % 10, 1),
            "MM" => number(civil.month.into(), 2),
            "MONTH" => cased(MONTHS.get(month).copied().unwrap_or_default(), 9),
            "MON" => cased(
                MONTHS
                    .get(month)
                    .and_then(|name| name.get(..3))
                    .unwrap_or_default(),
                3,
            ),
            "DAY" => cased(DAYS.get(weekday).copied().unwrap_or_default(), 9),
            "DY" => cased(
                DAYS.get(weekday)
                    .and_then(|name| name.get(..3))
                    .unwrap_or_default(),
                3,
            ),
            "DDD" => number(doy, 3),
            "DD" => number(civil.day.into(), 2),
            "D" => number(weekday as i64 + 1, 1),
            "ID" => number(if weekday == 0 { 7 } else { weekday as i64 }, 1),
            "IW" => number(week, 2),
            "WW" => number((doy - 1) / 7 + 1, 2),
            "W" => number(i64::from((civil.day - 1) / 7 + 1), 1),
            "Q" => number(i64::from((civil.month - 1) / 3 + 1), 1),
            "CC" => number(i64::from((year + 99) / 100), 2),
            "J" => number(days + 2_440_588, 1),
            "AM" | "PM" => half("am", "pm"),
            "A.M." | "P.M." => half("a.m.", "p.m."),
            "AD" | "BC" => {
                if civil.year > 0 {
                    "AD".to_owned()
                } else {
                    "BC".to_owned()
                }
            }
            "A.D." | "B.C." => {
                if civil.year > 0 {
                    "A.D.".to_owned()
                } else {
                    "B.C.".to_owned()
                }
            }
            "RM" => {
                let roman = [
                    "I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX", "X", "XI", "XII",
                ];
                cased(roman.get(month).copied().unwrap_or_default(), 4)
            }
            "TZ" => zone
                .map(|(zone, _)| {
                    let name = zone.name();
                    if written == "tz" {
                        name.to_lowercase()
                    } else {
                        name
                    }
                })
                .unwrap_or_default(),
            "TZH" => format!(
                "{}{:02}",
                if offset < 0 { '-' } else { '+' },
                offset.abs() / 3600
            ),
            "TZM" => format!("{:02}", offset.abs() / 60 % 60),
            "OF" => {
                let minutes = offset.abs() / 60 % 60;
                let hours = format!(
                    "{}{:02}",
                    if offset < 0 { '-' } else { '+' },
                    offset.abs() / 3600
                );
                if minutes == 0 {
                    hours
                } else {
                    format!("{hours}:{minutes:02}")
                }
            }
            _ => String::new(),
        };
        out.push_str(&text);
        // Ordinal suffixes.
        for suffix in ["TH", "th"] {
            if let Some(after) = rest.strip_prefix(suffix) {
                if text.chars().last().is_some_and(|c| c.is_ascii_digit()) {
                    out.push_str(&ordinal(&text, suffix == "TH"));
                    rest = after;
                }
                break;
            }
        }
    }
    out
}
