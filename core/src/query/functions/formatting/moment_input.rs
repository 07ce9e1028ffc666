//! `to_date` and `to_timestamp`: reads what the template expects.

use super::super::dates::civil_days;
use super::moment::{MONTHS, pattern_of};
use crate::error::{Error, Result, SqlState};
use crate::types::kinds::calendar::{USECS_PER_DAY, USECS_PER_SEC};

const HOUR: i64 = 3_600 * USECS_PER_SEC;
const MINUTE: i64 = 60 * USECS_PER_SEC;

/// Reads a timestamp by a template: the numeric patterns and names of months.
pub(super) fn from_format(text: &str, template: &str) -> Result<i64> {
    let (mut year, mut month, mut day) = (1_i64, 1_i64, 1_i64);
    let (mut hour, mut minute, mut second, mut micros) = (0_i64, 0_i64, 0_i64, 0_i64);
    let mut afternoon = None;
    let mut doy = None;
    let mut input = text.trim_start();
    let mut rest = template;
    let bad = |pattern: &str, input: &str| {
        Error::new(
            SqlState::INVALID_DATETIME_FORMAT,
            format!(
                "invalid value \"{}\" for \"{pattern}\"",
                input.chars().take(pattern.len()).collect::<String>()
            ),
        )
    };
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix("FM").or_else(|| rest.strip_prefix("fm")) {
            rest = after;
        }
        let Some(pattern) = pattern_of(rest) else {
            let mut chars = rest.chars();
            let expected = chars.next();
            rest = chars.as_str();
            let mut given = input.chars();
            if given
                .next()
                .is_some_and(|c| !c.is_alphanumeric() || Some(c) == expected)
            {
                input = given.as_str();
            }
            continue;
        };
        rest = rest.get(pattern.len()..).unwrap_or_default();
        input = input.trim_start();
        if matches!(pattern, "MONTH" | "MON") {
            let found = MONTHS.iter().position(|name| {
                let name = if pattern == "MON" {
                    name.get(..3).unwrap_or(name)
                } else {
                    name
                };
                input
                    .get(..name.len())
                    .is_some_and(|start| start.eq_ignore_ascii_case(name))
            });
            let Some(found) = found else {
                return Err(bad(pattern, input));
            };
            month = found as i64 + 1;
            let length = if pattern == "MON" {
                3
            } else {
                MONTHS.get(found).map_or(3, |name| name.len())
            };
            input = input.get(length..).unwrap_or_default();
            continue;
        }
        if matches!(pattern, "DAY" | "DY" | "AM" | "PM" | "A.M." | "P.M.") {
            let length = input
                .find(|c: char| !c.is_alphabetic() && c != '.')
                .unwrap_or(input.len());
            if matches!(pattern, "AM" | "PM" | "A.M." | "P.M.") {
                afternoon = Some(input.to_lowercase().starts_with('p'));
            }
            input = input.get(length..).unwrap_or_default();
            continue;
        }
        let width = match pattern {
            "YYYY" | "IYYY" | "HH24" | "HH12"
                if pattern.starts_with('Y') || pattern.starts_with('I') =>
            {
                4
            }
            "HH24" | "HH12" => 2,
            "US" => 6,
            "MS" => 3,
            "DDD" => 3,
            other => other.len(),
        };
        let length = input
            .chars()
            .take(width)
            .take_while(char::is_ascii_digit)
            .count();
        let digits = input.get(..length).unwrap_or_default();
        let value: i64 = digits.parse().map_err(|_| bad(pattern, input))?;
        input = input.get(length..).unwrap_or_default();
        match pattern {
            "YYYY" | "IYYY" => year = value,
            "YY" => {
                year = if value < 70 {
                    2000 + value
                } else {
                    1900 + value
                }
            }
            "MM" => month = value,
            "DD" => day = value,
            "DDD" => doy = Some(value),
            "HH24" | "HH12" | "HH" => hour = value,
            "MI" => minute = value,
            "SS" => second = value,
            "MS" => micros = value * 1000 * 10_i64.pow(3_u32.saturating_sub(length as u32)),
            "US" => micros = value * 10_i64.pow(6_u32.saturating_sub(length as u32)),
            _ => {}
        }
    }
    match afternoon {
        Some(true) if hour < 12 => hour += 12,
        Some(false) if hour == 12 => hour = 0,
        _ => {}
    }
    let out_of_range = || {
        Error::new(
            SqlState::DATETIME_FIELD_OVERFLOW,
            format!("date/time field value out of range: \"{text}\""),
        )
    };
    let days = match doy {
        Some(doy) => civil_days(year, 1, 1).map_err(|_| out_of_range())? + doy - 1,
        None => civil_days(year, month, day).map_err(|_| out_of_range())?,
    };
    if hour > 23 || minute > 59 || second > 59 {
        return Err(out_of_range());
    }
    days.checked_mul(USECS_PER_DAY)
        .and_then(|start| {
            start.checked_add(hour * HOUR + minute * MINUTE + second * USECS_PER_SEC + micros)
        })
        .ok_or_else(out_of_range)
}
