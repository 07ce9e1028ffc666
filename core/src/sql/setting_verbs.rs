//! SET, RESET and SHOW, read token by token.

use datafusion::sql::sqlparser::tokenizer::Token;

use super::cursor::Cursor;
use super::session_verbs::modes;
use super::statement::{SetValue, Verb};
use crate::error::{Error, Result, SqlState};
use crate::types::{Datum, Interval, PgType, text};

pub(super) fn set(cursor: &mut Cursor<'_>) -> Result<Verb> {
    if cursor.keywords(&["SESSION", "CHARACTERISTICS", "AS", "TRANSACTION"]) {
        return Ok(Verb::SetSessionCharacteristics(modes(cursor)?));
    }
    if cursor.keyword("CONSTRAINTS") {
        if cursor.keyword("ALL") && (cursor.keyword("DEFERRED") || cursor.keyword("IMMEDIATE")) {
            return Ok(Verb::SetConstraints);
        }
        return Err(Error::unsupported(
            "SET CONSTRAINTS of other than ALL",
            "Constraints are checked at the end of each statement.",
        ));
    }
    let local = cursor.keyword("LOCAL");
    if !local {
        cursor.keyword("SESSION");
    }
    if cursor.keyword("TRANSACTION") {
        if cursor.keyword("SNAPSHOT") {
            return Err(Error::unsupported(
                "SET TRANSACTION SNAPSHOT",
                "Read in one REPEATABLE READ transaction instead.",
            ));
        }
        return Ok(Verb::SetTransaction(modes(cursor)?));
    }
    if cursor.keywords(&["TIME", "ZONE"]) {
        let value = if cursor.keyword("LOCAL") || cursor.keyword("DEFAULT") {
            SetValue::Default
        } else if cursor.keyword("INTERVAL") {
            SetValue::Values(vec![offset(cursor)?])
        } else {
            SetValue::Values(vec![set_value(cursor)?])
        };
        return Ok(Verb::Set {
            name: "timezone".into(),
            value,
            local,
        });
    }
    if cursor.keyword("NAMES") {
        let value = if cursor.is_end() || cursor.keyword("DEFAULT") {
            SetValue::Default
        } else {
            SetValue::Values(vec![set_value(cursor)?])
        };
        return Ok(Verb::Set {
            name: "client_encoding".into(),
            value,
            local,
        });
    }
    if cursor.keywords(&["AUTHORIZATION"]) {
        let value = if cursor.keyword("DEFAULT") {
            SetValue::Default
        } else {
            SetValue::Values(vec![set_value(cursor)?])
        };
        return Ok(Verb::Set {
            name: "session_authorization".into(),
            value,
            local,
        });
    }
    if cursor.keyword("ROLE") {
        return Ok(Verb::Set {
            name: "role".into(),
            value: SetValue::Values(vec![set_value(cursor)?]),
            local,
        });
    }
    let name = setting_name(cursor)?;
    if !cursor.keyword("TO") {
        cursor.expect(&Token::Eq)?;
    }
    if cursor.keyword("DEFAULT") {
        return Ok(Verb::Set {
            name,
            value: SetValue::Default,
            local,
        });
    }
    let mut values = vec![set_value(cursor)?];
    while cursor.token(&Token::Comma) {
        values.push(set_value(cursor)?);
    }
    Ok(Verb::Set {
        name,
        value: SetValue::Values(values),
        local,
    })
}

/// The hours east of UTC that an interval means.
fn offset(cursor: &mut Cursor<'_>) -> Result<String> {
    let Some(text) = cursor.string() else {
        return Err(cursor.unexpected());
    };
    let wrong = |what: &str| {
        Error::new(
            SqlState::INVALID_PARAMETER_VALUE,
            format!("invalid value for parameter \"TimeZone\": \"{text}\""),
        )
        .detail(format!("Cannot specify {what} in time zone interval."))
    };
    match text::parse(PgType::INTERVAL, &text, &Default::default())? {
        Datum::Interval(Interval { months, .. }) if months != 0 => Err(wrong("months")),
        Datum::Interval(Interval { days, .. }) if days != 0 => Err(wrong("days")),
        Datum::Interval(span) => Ok((span.micros as f64 / 3_600e6).to_string()),
        _ => Err(wrong("this")),
    }
}

/// A setting's name, which may have a dot.
fn setting_name(cursor: &mut Cursor<'_>) -> Result<String> {
    let mut name = cursor.identifier()?;
    while cursor.token(&Token::Period) {
        name.push('.');
        name.push_str(&cursor.identifier()?);
    }
    Ok(name.to_lowercase())
}

pub(super) fn set_value(cursor: &mut Cursor<'_>) -> Result<String> {
    if let Some(text) = cursor.string() {
        return Ok(text);
    }
    if let Some(number) = cursor.number() {
        return Ok(number);
    }
    cursor.identifier()
}

pub(super) fn reset(cursor: &mut Cursor<'_>) -> Result<Verb> {
    if cursor.keyword("ALL") {
        return Ok(Verb::Reset(None));
    }
    if cursor.keywords(&["TIME", "ZONE"]) {
        return Ok(Verb::Reset(Some("timezone".into())));
    }
    if cursor.keywords(&["SESSION", "AUTHORIZATION"]) {
        return Ok(Verb::Reset(Some("session_authorization".into())));
    }
    Ok(Verb::Reset(Some(setting_name(cursor)?)))
}

pub(super) fn show(cursor: &mut Cursor<'_>) -> Result<Verb> {
    if cursor.keyword("ALL") {
        return Ok(Verb::Show(None));
    }
    if cursor.keywords(&["TIME", "ZONE"]) {
        return Ok(Verb::Show(Some("timezone".into())));
    }
    if cursor.keywords(&["TRANSACTION", "ISOLATION", "LEVEL"]) {
        return Ok(Verb::Show(Some("transaction_isolation".into())));
    }
    if cursor.keywords(&["SESSION", "AUTHORIZATION"]) {
        return Ok(Verb::Show(Some("session_authorization".into())));
    }
    Ok(Verb::Show(Some(setting_name(cursor)?)))
}
