//! The words that a date or time may contain.

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Unit {
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
pub enum Token {
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

/// The meaning of a word in lower case.
pub fn token(word: &str) -> Option<Token> {
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
