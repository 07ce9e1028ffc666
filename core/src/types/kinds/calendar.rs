//! The proleptic Gregorian calendar as PostgreSQL counts it: dates to day numbers and back, and
//! the limits of `date` and `timestamp`.

/// Julian day number of 1970-01-01.
pub const EPOCH_JULIAN: i32 = 2_440_588;
pub const USECS_PER_SEC: i64 = 1_000_000;
pub const USECS_PER_MINUTE: i64 = 60 * USECS_PER_SEC;
pub const USECS_PER_HOUR: i64 = 60 * USECS_PER_MINUTE;
pub const USECS_PER_DAY: i64 = 24 * USECS_PER_HOUR;
/// First date: 4714-11-24 BC, day 0 of the Julian count.
pub const MIN_DATE: i32 = -EPOCH_JULIAN;
/// First date after the last one: 5874898-01-01.
pub const END_DATE: i32 = 2_147_483_494 - EPOCH_JULIAN;
/// First timestamp: 4714-11-24 BC 00:00:00.
pub const MIN_TIMESTAMP: i64 = MIN_DATE as i64 * USECS_PER_DAY;
/// The infinities keep the ends of `i64` for themselves.
pub const MAX_TIMESTAMP: i64 = i64::MAX - 1;

pub fn is_leap(year: i32) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

/// Days of a month (1..=12).
pub fn days_in_month(year: i32, month: i32) -> i32 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if is_leap(year) => 29,
        2 => 28,
        _ => 31,
    }
}

/// Days since 1970-01-01; the year is astronomical (0 is 1 BC), `month` in 1..=12.
pub fn days_from_civil(year: i32, month: i32, day: i32) -> i64 {
    let year = i64::from(year) - i64::from(month <= 2);
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let shifted = i64::from((month + 9) % 12);
    let of_year = (153 * shifted + 2) / 5 + i64::from(day) - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// `(year, month, day)` of a day since 1970-01-01.
pub fn civil_from_days(days: i64) -> (i32, i32, i32) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = (of_year - (153 * shifted + 2) / 5 + 1) as i32;
    let month = if shifted < 10 {
        shifted + 3
    } else {
        shifted - 9
    } as i32;
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year as i32, month, day)
}

/// Whether `days` is a finite date that PostgreSQL accepts.
pub fn date_in_range(days: i64) -> bool {
    (i64::from(MIN_DATE)..i64::from(END_DATE)).contains(&days)
}

/// Whether `micros` is a finite timestamp. PostgreSQL counts from 2000 and so reaches 30 years
/// further than a count from 1970: the last year here is 294247.
pub fn timestamp_in_range(micros: i64) -> bool {
    (MIN_TIMESTAMP..=MAX_TIMESTAMP).contains(&micros)
}

/// A timestamp broken down; the year is astronomical.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Civil {
    pub year: i32,
    pub month: i32,
    pub day: i32,
    pub hour: i32,
    pub minute: i32,
    pub second: i32,
    pub micros: i32,
}

impl Civil {
    pub fn from_micros(micros: i64) -> Civil {
        let (year, month, day) = civil_from_days(micros.div_euclid(USECS_PER_DAY));
        let time = micros.rem_euclid(USECS_PER_DAY);
        Civil {
            year,
            month,
            day,
            hour: (time / USECS_PER_HOUR) as i32,
            minute: (time / USECS_PER_MINUTE % 60) as i32,
            second: (time / USECS_PER_SEC % 60) as i32,
            micros: (time % USECS_PER_SEC) as i32,
        }
    }

    /// Microseconds of the time of day.
    pub fn time_of_day(&self) -> i64 {
        i64::from(self.hour) * USECS_PER_HOUR
            + i64::from(self.minute) * USECS_PER_MINUTE
            + i64::from(self.second) * USECS_PER_SEC
            + i64::from(self.micros)
    }

    /// Microseconds since 1970, or `None` when they do not fit.
    pub fn to_micros(self) -> Option<i64> {
        days_from_civil(self.year, self.month, self.day)
            .checked_mul(USECS_PER_DAY)?
            .checked_add(self.time_of_day())
    }
}

/// Rounds to `precision` fractional digits of a second (0..=6), halves away from zero.
pub fn round_micros(micros: i64, precision: i32) -> i64 {
    let digits = u32::try_from(6 - precision.clamp(0, 6)).unwrap_or(0);
    let unit = 10_i64.pow(digits);
    let half = unit / 2;
    let rounded = if micros >= 0 {
        micros.saturating_add(half)
    } else {
        micros.saturating_sub(half)
    };
    rounded / unit * unit
}
