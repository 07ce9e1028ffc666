//! Session settings: what there is, which values are taken, and the typed form that runs use.
//!
//! A setting that would change results in a way that is not built is refused, not ignored; one that
//! could only make PostgreSQL faster or less durable (`work_mem`, `synchronous_commit = off`) is
//! taken, because ignoring it breaks no promise.

mod definitions;
mod lists;
mod value;

use std::collections::BTreeMap;
use std::sync::Arc;

use definitions::{Definition, all, find, reported};
use lists::{command_line, quote_schema, split_path};
pub use value::is_encoding;
use value::{check, shown};

use super::statement::IsolationLevel;
use crate::catalog::SearchPath;
use crate::error::{Error, Result, SqlState};
use crate::types::text::{DateOrder, TextStyle, Zone};

/// Bytes that all custom settings (`my.setting`) of a session may take together.
const MAX_CUSTOM_BYTES: usize = 1 << 20;

fn unrecognized(name: &str) -> Error {
    Error::new(
        SqlState::UNDEFINED_OBJECT,
        format!("unrecognized configuration parameter \"{name}\""),
    )
}

/// A switch as SET takes it, in any of PostgreSQL's spellings.
///
/// # Errors
/// 22023, naming the setting.
pub fn switch(name: &str, text: &str) -> Result<bool> {
    value::parse_bool(text).ok_or_else(|| {
        Error::new(
            SqlState::INVALID_PARAMETER_VALUE,
            format!("parameter \"{name}\" requires a Boolean value"),
        )
    })
}

/// The settings of a session at one moment. Cloning is cheap enough for once a transaction.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Values that differ from the session's start, by canonical name.
    values: BTreeMap<String, String>,
    /// What RESET returns to, where it is not the built-in default.
    defaults: Arc<BTreeMap<String, String>>,
    pub typed: Typed,
}

/// Settings that running statements read, checked and converted.
#[derive(Clone, Debug)]
pub struct Typed {
    /// The current role, whose privileges count.
    pub user: Arc<str>,
    pub session_user: Arc<str>,
    pub style: Arc<TextStyle>,
    pub zone: String,
    pub search_path: SearchPath,
    pub isolation: IsolationLevel,
    pub read_only: bool,
    pub deferrable: bool,
    /// Microseconds; `None` is no limit.
    pub lock_timeout: Option<u64>,
    pub statement_timeout: Option<u64>,
    /// Milliseconds; 0 is never.
    pub idle_in_transaction: u64,
    /// Index into PostgreSQL's message levels: notices below it are not sent.
    pub min_messages: usize,
}

impl Settings {
    /// The settings of a new session of `user`, with the values from its start-up message.
    pub fn new(user: &str, startup: &[(String, String)]) -> Result<Settings> {
        let mut settings = Settings {
            values: BTreeMap::new(),
            defaults: Arc::default(),
            typed: Typed {
                user: Arc::from(user),
                session_user: Arc::from(user),
                style: Arc::default(),
                zone: String::new(),
                search_path: SearchPath(Arc::from([])),
                isolation: IsolationLevel::ReadCommitted,
                read_only: false,
                deferrable: false,
                lock_timeout: None,
                statement_timeout: None,
                idle_in_transaction: 0,
                min_messages: 0,
            },
        };
        settings
            .values
            .insert("session_authorization".into(), user.to_owned());
        settings.refresh()?;
        for (name, value) in startup {
            if name == "options" {
                for (name, value) in command_line(value)? {
                    settings.set_text(&name, &value)?;
                }
            } else {
                settings.set_text(name, value)?;
            }
        }
        let role = settings.get("role").unwrap_or("none");
        if role != "none" || settings.get("session_authorization") != Some(user) {
            return Err(Error::unsupported(
                "another role in the start-up message",
                "Send SET ROLE once connected.",
            ));
        }
        settings.defaults = Arc::new(std::mem::take(&mut settings.values));
        settings.refresh()?;
        Ok(settings)
    }

    /// The value of a setting as text.
    pub fn get(&self, name: &str) -> Option<&str> {
        let canonical = canonical(name);
        self.values
            .get(canonical.as_str())
            .or_else(|| self.defaults.get(canonical.as_str()))
            .map(String::as_str)
            .or_else(|| find(name).map(|definition| definition.default))
    }

    /// Sets a setting to the arguments of SET; `None` is DEFAULT.
    ///
    /// # Errors
    /// 42704 for an unknown name, 22023 for a wrong value, 55P02 for one that cannot be changed.
    pub fn set(&mut self, name: &str, values: Option<&[String]>) -> Result<()> {
        let Some(values) = values else {
            if find(name).is_none() && !name.contains('.') {
                return Err(unrecognized(name));
            }
            return self.change(&canonical(name), None);
        };
        match (canonical(name).as_str(), values) {
            ("search_path" | "temp_tablespaces", values) => {
                let names: Vec<String> = values.iter().map(|value| quote_schema(value)).collect();
                self.set_text(name, &names.join(", "))
            }
            ("DateStyle", values) => self.set_text(name, &values.join(", ")),
            (_, [value]) => self.set_text(name, value),
            _ => Err(Error::new(
                SqlState::INVALID_PARAMETER_VALUE,
                format!("SET {name} takes only one argument"),
            )),
        }
    }

    /// Sets a setting to a text, as a start-up message and `set_config` do.
    ///
    /// # Errors
    /// As [`Settings::set`].
    pub fn set_text(&mut self, name: &str, text: &str) -> Result<()> {
        let text = match find(name) {
            Some(definition) => {
                self.refuse_others(definition, text)?;
                check(definition, text)?
            }
            None if name.contains('.') => {
                let used: usize = self.values.iter().map(|(k, v)| k.len() + v.len()).sum();
                if used + name.len() + text.len() > MAX_CUSTOM_BYTES {
                    return Err(Error::new(
                        SqlState::PROGRAM_LIMIT_EXCEEDED,
                        format!("custom settings may take at most {MAX_CUSTOM_BYTES} bytes"),
                    ));
                }
                text.to_owned()
            }
            None => return Err(unrecognized(name)),
        };
        self.change(&canonical(name), Some(text))
    }

    /// The transaction's modes are not texts to be set.
    fn refuse_others(&self, definition: &Definition, text: &str) -> Result<()> {
        let name = definition.name;
        let instead = match name {
            "transaction_isolation" | "transaction_read_only" | "transaction_deferrable" => {
                "Use SET TRANSACTION in a transaction block."
            }
            _ => return Ok(()),
        };
        Err(Error::unsupported(format!("{name} = {text} here"), instead))
    }

    fn change(&mut self, name: &str, value: Option<String>) -> Result<()> {
        let before = match value {
            Some(value) => self.values.insert(name.to_owned(), value),
            // A custom setting that was reset stays known, and is empty.
            None if name.contains('.') && self.get(name).is_some() => {
                self.values.insert(name.to_owned(), String::new())
            }
            None => self.values.remove(name),
        };
        let result = self.refresh();
        if result.is_err() {
            match before {
                Some(before) => self.values.insert(name.to_owned(), before),
                None => self.values.remove(name),
            };
        }
        result
    }

    /// RESET ALL.
    pub fn reset_all(&mut self) -> Result<()> {
        let keep = [
            "role",
            "session_authorization",
            "transaction_deferrable",
            "transaction_isolation",
            "transaction_read_only",
        ];
        self.values.retain(|name, value| {
            if name.contains('.') {
                value.clear();
            }
            name.contains('.') || keep.contains(&name.as_str())
        });
        self.refresh()
    }

    /// Whether it has custom settings (`my.setting`) that `other` does not know.
    pub fn has_more_names(&self, other: &Settings) -> bool {
        let mut names = self.values.keys();
        names.any(|name| name.contains('.') && other.get(name).is_none())
    }

    /// The same with the custom settings that `other` knows: one that was once set stays known,
    /// and is empty.
    pub fn with_names_of(&self, other: &Settings) -> Settings {
        let mut settings = self.clone();
        for name in other.values.keys() {
            if name.contains('.') && self.get(name).is_none() {
                settings.values.insert(name.clone(), String::new());
            }
        }
        settings
    }

    /// Every setting: name, value, description.
    pub fn all(&self) -> Vec<(String, String, String)> {
        all()
            .iter()
            .map(|definition| {
                let value = self.get(definition.name).unwrap_or_default().to_owned();
                (
                    definition.name.to_owned(),
                    shown(definition, &value),
                    described(definition),
                )
            })
            .collect()
    }

    /// The value as SHOW prints it.
    pub fn show(&self, name: &str) -> Result<(String, String)> {
        match (find(name), self.get(name)) {
            (Some(definition), Some(value)) => {
                Ok((definition.name.to_owned(), shown(definition, value)))
            }
            (None, Some(value)) => Ok((name.to_owned(), value.to_owned())),
            _ => Err(unrecognized(name)),
        }
    }

    /// Reported settings with their values.
    pub fn reported(&self) -> impl Iterator<Item = (&'static str, &str)> {
        reported().iter().map(|definition| {
            let value = self.get(definition.name).unwrap_or_default();
            (definition.name, value)
        })
    }

    /// Computes the typed form again.
    fn refresh(&mut self) -> Result<()> {
        let zone = self.get("TimeZone").unwrap_or("UTC").to_owned();
        let style = TextStyle {
            time_zone: Zone::parse(&zone)?,
            bytea_escape: self.get("bytea_output") == Some("escape"),
            extra_float_digits: self.integer("extra_float_digits") as i32,
            date_order: match self.get("DateStyle") {
                Some("ISO, DMY") => DateOrder::DayMonthYear,
                Some("ISO, YMD") => DateOrder::YearMonthDay,
                _ => DateOrder::MonthDayYear,
            },
            now: 0,
        };
        let limit = |micros: i64| u64::try_from(micros).ok().filter(|ms| *ms > 0);
        self.typed = Typed {
            user: self.current_user().into(),
            session_user: self.get("session_authorization").unwrap_or_default().into(),
            style: Arc::new(style),
            zone,
            search_path: self.search_path(),
            isolation: self
                .get("default_transaction_isolation")
                .and_then(IsolationLevel::from_name)
                .unwrap_or(IsolationLevel::ReadCommitted),
            read_only: self.get("default_transaction_read_only") == Some("on"),
            deferrable: self.get("default_transaction_deferrable") == Some("on"),
            lock_timeout: limit(self.integer("lock_timeout")).map(|ms| ms.saturating_mul(1000)),
            statement_timeout: limit(self.integer("statement_timeout"))
                .map(|ms| ms.saturating_mul(1000)),
            idle_in_transaction: limit(self.integer("idle_in_transaction_session_timeout"))
                .unwrap_or(0),
            min_messages: severity(self.get("client_min_messages").unwrap_or_default()),
        };
        Ok(())
    }

    fn integer(&self, name: &str) -> i64 {
        self.get(name)
            .and_then(|value| value.parse().ok())
            .unwrap_or(0)
    }

    /// The role that SET ROLE chose, else the session's.
    fn current_user(&self) -> &str {
        match self.get("role") {
            None | Some("none") => self.get("session_authorization").unwrap_or_default(),
            Some(role) => role,
        }
    }

    fn search_path(&self) -> SearchPath {
        let user = self.current_user();
        let names = split_path(self.get("search_path").unwrap_or_default());
        let names = names.into_iter().map(|name| {
            if name == "$user" {
                user.to_owned()
            } else {
                name
            }
        });
        SearchPath(names.collect())
    }
}

/// Rank of a message level; what ranks below `client_min_messages` is not sent.
pub fn severity(level: &str) -> usize {
    match level.to_ascii_lowercase().as_str() {
        "error" => 3,
        "warning" => 2,
        "notice" => 1,
        _ => 0,
    }
}

fn canonical(name: &str) -> String {
    find(name).map_or_else(
        || name.to_lowercase(),
        |definition| definition.name.to_owned(),
    )
}

/// What a setting is for, and whether it does that here.
fn described(definition: &Definition) -> String {
    match definition.effect {
        definitions::Effect::Idle => format!("{} It has no effect here.", definition.description),
        _ => definition.description.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> Settings {
        Settings::new("ada", &[]).unwrap()
    }

    #[test]
    fn search_path_names_schemas() {
        let mut settings = settings();
        assert_eq!(settings.typed.search_path.0.to_vec(), ["ada", "public"]);
        settings
            .set("search_path", Some(&["a".into(), "B c".into()]))
            .unwrap();
        assert_eq!(settings.get("search_path"), Some("a, \"B c\""));
        assert_eq!(settings.typed.search_path.0.to_vec(), ["a", "B c"]);
    }

    #[test]
    fn times_and_sizes_have_units() {
        let mut settings = settings();
        settings
            .set("statement_timeout", Some(&["1min".into()]))
            .unwrap();
        assert_eq!(settings.typed.statement_timeout, Some(60_000_000));
        assert_eq!(settings.show("statement_timeout").unwrap().1, "1min");
        settings.set("work_mem", Some(&["64MB".into()])).unwrap();
        assert_eq!(settings.show("work_mem").unwrap().1, "64MB");
    }

    #[test]
    fn a_wrong_value_changes_nothing() {
        let mut settings = settings();
        for (name, value, state) in [
            (
                "TimeZone",
                "Nowhere/Land",
                SqlState::INVALID_PARAMETER_VALUE,
            ),
            ("lock_timeout", "-1", SqlState::INVALID_PARAMETER_VALUE),
            ("no_such_setting", "1", SqlState::UNDEFINED_OBJECT),
            ("server_version", "99", SqlState::CANT_CHANGE_RUNTIME_PARAM),
            (
                "standard_conforming_strings",
                "off",
                SqlState::FEATURE_NOT_SUPPORTED,
            ),
            ("DateStyle", "German", SqlState::FEATURE_NOT_SUPPORTED),
        ] {
            let error = settings.set(name, Some(&[value.into()])).unwrap_err();
            assert_eq!(error.state(), state, "{name}");
        }
        assert_eq!(settings.get("TimeZone"), Some("UTC"));
    }
}
