//! Numbers whose place, length or label says which part of a date or time they are.

use super::fields::{digits_end, fraction, int};
use super::token::{Token, Unit, token};
use super::{Decoder, Fault, Want, part};
use crate::types::kinds::calendar::{self, Civil, USECS_PER_DAY};
use crate::types::text::DateOrder;

impl Decoder<'_> {
    /// A date in one field: `2001-02-03`, `02/03/01`, `3-feb-2001`.
    pub(super) fn date(&mut self, field: &str) -> Result<u32, Fault> {
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
        // PostgreSQL takes nothing but a zone before a date in one field.
        if all != part::DATE || before & part::DATE & found != 0 {
            return Err(Fault::BadFormat);
        }
        Ok(found)
    }

    /// One number whose place in the date decides its meaning.
    pub(super) fn number(&mut self, field: &str, text_month: bool) -> Result<u32, Fault> {
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
        let order = self.style.date_order;
        let found = match so_far {
            0 if length >= 3 || order == DateOrder::YearMonthDay => part::YEAR,
            0 if order == DateOrder::DayMonthYear => part::DAY,
            0 => part::MONTH,
            part::YEAR => part::MONTH,
            part::MONTH if text_month && (length >= 3 || order == DateOrder::YearMonthDay) => {
                part::YEAR
            }
            part::MONTH => part::DAY,
            // The year came first by mistake: DD-MON-YYYY.
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
    pub(super) fn run_together(&mut self, field: &str, seen: u32) -> Result<u32, Fault> {
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
    pub(super) fn number_field(&mut self, field: &str) -> Result<u32, Fault> {
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
    pub(super) fn labelled(&mut self, unit: Unit, field: &str) -> Result<u32, Fault> {
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

    pub(super) fn set_julian(&mut self, day: i32) -> Result<(), Fault> {
        let days = i64::from(day) - i64::from(calendar::EPOCH_JULIAN);
        (self.civil.year, self.civil.month, self.civil.day) = calendar::civil_from_days(days);
        self.julian = true;
        Ok(())
    }
}
