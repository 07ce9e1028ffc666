//! Numbers and moments written and read by a template: `to_char`, `to_date`, `to_number`.

mod moment;
mod moment_input;
mod number;
mod number_input;
mod number_writer;
mod template;

use super::dates::{local, utc};
use super::registry::Definitions;
use super::strings::str_at;
use crate::error::{Error, SqlState};
use crate::types::Datum;
use crate::types::kinds::calendar::{USECS_PER_DAY, date_in_range};

pub(super) fn define(all: &mut Definitions) {
    all.add("to_char", "timestamp,text", "text", |_, a| {
        match a.first() {
            Some(Datum::Timestamp(value)) => {
                Ok(or_null(moment::to_char(*value, str_at(a, 1), None)))
            }
            _ => Ok(Datum::Null),
        }
    });
    all.add("to_char", "timestamptz,text", "text", |c, a| {
        match a.first() {
            Some(Datum::Timestamptz(value)) => {
                let zone = c.style().time_zone;
                Ok(or_null(moment::to_char(
                    local(c, *value)?,
                    str_at(a, 1),
                    Some((zone, *value)),
                )))
            }
            _ => Ok(Datum::Null),
        }
    })
    .stable();
    all.add("to_char", "interval,text", "text", |_, a| match a.first() {
        Some(Datum::Interval(value)) => Ok(or_null(moment::interval_to_char(value, str_at(a, 1)))),
        _ => Ok(Datum::Null),
    });
    for ty in ["int4", "int8", "numeric", "float4", "float8"] {
        all.add("to_char", &format!("{ty},text"), "text", |_, a| {
            let Some(value) = a.first() else {
                return Ok(Datum::Null);
            };
            number::to_char(value, str_at(a, 1)).map(Datum::text)
        });
    }
    all.add("to_date", "text,text", "date", |_, a| {
        let micros = moment_input::from_format(str_at(a, 0), str_at(a, 1))?;
        let days = micros.div_euclid(USECS_PER_DAY);
        i32::try_from(days)
            .ok()
            .filter(|days| date_in_range(i64::from(*days)))
            .map(Datum::Date)
            .ok_or_else(|| {
                Error::new(
                    SqlState::DATETIME_FIELD_OVERFLOW,
                    format!("date out of range: \"{}\"", str_at(a, 0)),
                )
            })
    });
    all.add("to_timestamp", "text,text", "timestamptz", |c, a| {
        let micros = moment_input::from_format(str_at(a, 0), str_at(a, 1))?;
        Ok(Datum::Timestamptz(utc(c, micros)?))
    })
    .stable();
    all.add("to_number", "text,text", "numeric", |_, a| {
        if str_at(a, 1).is_empty() {
            return Ok(Datum::Null);
        }
        number_input::to_number(str_at(a, 0), str_at(a, 1)).map(Datum::Numeric)
    });
}

fn or_null(text: Option<String>) -> Datum<'static> {
    text.map_or(Datum::Null, Datum::text)
}
