//! Session settings: what there is, which values are taken, and the typed form that runs use.
//!
//! A setting that would change results in a way that is not built is refused, not ignored; one that
//! could only make PostgreSQL faster or less durable (`work_mem`, `synchronous_commit = off`) is
//! taken, because ignoring it breaks no promise.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::catalog::SearchPath;
use crate::error::{Error, Result, SqlState};
use crate::txn::Isolation;
use crate::types::text::{DateOrder, TextStyle, Zone};

/// PostgreSQL version that clients are told; they choose their catalog queries by it.
pub const SERVER_VERSION: &str = "15.18";

/// Bytes that all custom settings (`my.setting`) of a session may take together.
const MAX_CUSTOM_BYTES: usize = 1 << 20;

/// Which values a setting takes.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Bool,
    /// Only `true` works here.
    AlwaysOn,
    /// Only `false` works here.
    AlwaysOff,
    Integer(i64, i64),
    Real(f64, f64),
    /// Milliseconds, with an optional unit.
    Time,
    /// Kilobytes, with an optional unit.
    Memory,
    Text,
    Enum(&'static [&'static str]),
    /// One of these; other values of PostgreSQL's are refused with 0A000.
    Only(&'static [&'static str]),
    Zone,
    DateStyle,
    Encoding,
    ReadOnly,
}

struct Definition {
    name: &'static str,
    default: &'static str,
    kind: Kind,
    /// Sent to the client whenever it changes.
    reported: bool,
    description: &'static str,
}

const fn define(
    name: &'static str,
    default: &'static str,
    kind: Kind,
    description: &'static str,
) -> Definition {
    Definition {
        name,
        default,
        kind,
        reported: false,
        description,
    }
}

const fn report(
    name: &'static str,
    default: &'static str,
    kind: Kind,
    description: &'static str,
) -> Definition {
    Definition {
        name,
        default,
        kind,
        reported: true,
        description,
    }
}

const LEVELS: &[&str] = &[
    "debug5", "debug4", "debug3", "debug2", "debug1", "log", "notice", "warning", "error", "info",
];
const ISOLATION: &[&str] = &[
    "serializable",
    "repeatable read",
    "read committed",
    "read uncommitted",
];

/// Every setting, sorted by its name in lower case.
static DEFINITIONS: &[Definition] = &[
    report(
        "application_name",
        "",
        Kind::Text,
        "The client's name, shown in statistics and logs.",
    ),
    define(
        "array_nulls",
        "on",
        Kind::AlwaysOn,
        "NULL elements in array input.",
    ),
    define(
        "backslash_quote",
        "safe_encoding",
        Kind::Only(&["safe_encoding"]),
        "Whether \\' is allowed in string literals.",
    ),
    define(
        "bytea_output",
        "hex",
        Kind::Enum(&["hex", "escape"]),
        "Output format of bytea.",
    ),
    define(
        "check_function_bodies",
        "on",
        Kind::Bool,
        "Checks function bodies when they are created; there are none.",
    ),
    report(
        "client_encoding",
        "UTF8",
        Kind::Encoding,
        "The client's character set.",
    ),
    define(
        "client_min_messages",
        "notice",
        Kind::Enum(LEVELS),
        "Messages below this level are not sent.",
    ),
    report(
        "DateStyle",
        "ISO, MDY",
        Kind::DateStyle,
        "Output format of dates, and how ambiguous input is read.",
    ),
    define(
        "default_table_access_method",
        "heap",
        Kind::Only(&["heap"]),
        "Access method of new tables.",
    ),
    define(
        "default_tablespace",
        "",
        Kind::Only(&[""]),
        "Tablespace of new tables.",
    ),
    define(
        "default_transaction_deferrable",
        "off",
        Kind::Bool,
        "Default deferrable mode of new transactions.",
    ),
    define(
        "default_transaction_isolation",
        "read committed",
        Kind::Enum(ISOLATION),
        "Isolation level of new transactions.",
    ),
    report(
        "default_transaction_read_only",
        "off",
        Kind::Bool,
        "Whether new transactions are read-only.",
    ),
    define(
        "enable_seqscan",
        "on",
        Kind::Bool,
        "Planner hint of PostgreSQL; has no effect.",
    ),
    define(
        "escape_string_warning",
        "on",
        Kind::Bool,
        "Warns about backslashes in plain literals; has no effect.",
    ),
    define(
        "extra_float_digits",
        "1",
        Kind::Integer(-15, 3),
        "Digits of floating-point output.",
    ),
    define(
        "idle_in_transaction_session_timeout",
        "0",
        Kind::Time,
        "Ends sessions that idle in a transaction for longer, in ms; 0 is never.",
    ),
    define(
        "idle_session_timeout",
        "0",
        Kind::Time,
        "Ends idle sessions, in ms; 0 is never.",
    ),
    report(
        "in_hot_standby",
        "off",
        Kind::ReadOnly,
        "Whether the server is a standby.",
    ),
    report(
        "integer_datetimes",
        "on",
        Kind::ReadOnly,
        "Dates and times are integers.",
    ),
    report(
        "IntervalStyle",
        "postgres",
        Kind::Only(&["postgres"]),
        "Output format of intervals.",
    ),
    report(
        "is_superuser",
        "on",
        Kind::ReadOnly,
        "Whether the session's user is a superuser.",
    ),
    define(
        "jit",
        "off",
        Kind::Bool,
        "Just-in-time compilation of PostgreSQL; has no effect.",
    ),
    define("lc_collate", "C", Kind::ReadOnly, "Collation order."),
    define(
        "lc_ctype",
        "C.UTF-8",
        Kind::ReadOnly,
        "Character classification.",
    ),
    define("lc_messages", "C", Kind::Text, "Language of messages."),
    define("lc_monetary", "C", Kind::Text, "Format of money."),
    define("lc_numeric", "C", Kind::Text, "Format of numbers."),
    define("lc_time", "C", Kind::Text, "Format of dates."),
    define(
        "lock_timeout",
        "0",
        Kind::Time,
        "Longest wait for a lock, in ms; 0 is for ever.",
    ),
    define(
        "log_statement",
        "none",
        Kind::Enum(&["none", "ddl", "mod", "all"]),
        "Which statements are logged; has no effect.",
    ),
    define(
        "maintenance_work_mem",
        "65536",
        Kind::Memory,
        "Memory of PostgreSQL's maintenance; has no effect.",
    ),
    define(
        "max_connections",
        "100",
        Kind::ReadOnly,
        "Most sessions at once.",
    ),
    define(
        "max_identifier_length",
        "63",
        Kind::ReadOnly,
        "Longest identifier, in bytes.",
    ),
    define(
        "max_index_keys",
        "32",
        Kind::ReadOnly,
        "Most columns of an index.",
    ),
    define(
        "max_parallel_workers_per_gather",
        "2",
        Kind::Integer(0, 1024),
        "Workers of PostgreSQL's plans; has no effect.",
    ),
    define(
        "password_encryption",
        "scram-sha-256",
        Kind::Only(&["scram-sha-256"]),
        "How passwords are stored.",
    ),
    define(
        "plan_cache_mode",
        "auto",
        Kind::Enum(&["auto", "force_generic_plan", "force_custom_plan"]),
        "How prepared statements are planned; has no effect.",
    ),
    define(
        "random_page_cost",
        "4",
        Kind::Real(0.0, 1e10),
        "Planner cost of PostgreSQL; has no effect.",
    ),
    define("role", "none", Kind::Text, "The current role."),
    define(
        "row_security",
        "on",
        Kind::Bool,
        "Row security; there are no policies.",
    ),
    define(
        "search_path",
        "\"$user\", public",
        Kind::Text,
        "Schemas in which names are looked for.",
    ),
    define(
        "seq_page_cost",
        "1",
        Kind::Real(0.0, 1e10),
        "Planner cost of PostgreSQL; has no effect.",
    ),
    report(
        "server_encoding",
        "UTF8",
        Kind::ReadOnly,
        "The database's character set.",
    ),
    report(
        "server_version",
        SERVER_VERSION,
        Kind::ReadOnly,
        "The PostgreSQL version that this server stands in for.",
    ),
    define(
        "server_version_num",
        "150018",
        Kind::ReadOnly,
        "The same as a number.",
    ),
    report(
        "session_authorization",
        "",
        Kind::Text,
        "The session's user.",
    ),
    define(
        "session_replication_role",
        "origin",
        Kind::Only(&["origin"]),
        "Triggers and rules mode.",
    ),
    report(
        "standard_conforming_strings",
        "on",
        Kind::AlwaysOn,
        "Backslashes in plain literals are literal.",
    ),
    define(
        "statement_timeout",
        "0",
        Kind::Time,
        "Longest run of a statement, in ms; 0 is for ever.",
    ),
    define(
        "synchronize_seqscans",
        "on",
        Kind::Bool,
        "Scan hint of PostgreSQL; has no effect.",
    ),
    define(
        "synchronous_commit",
        "on",
        Kind::Enum(&["on", "off", "local", "remote_write", "remote_apply"]),
        "Commits are always synchronous here.",
    ),
    define(
        "tcp_keepalives_idle",
        "0",
        Kind::Integer(0, i32::MAX as i64),
        "Socket setting; has no effect.",
    ),
    define(
        "temp_buffers",
        "1024",
        Kind::Memory,
        "Memory for temporary tables; has no effect.",
    ),
    report("TimeZone", "UTC", Kind::Zone, "The session's time zone."),
    define(
        "transaction_deferrable",
        "off",
        Kind::Bool,
        "Deferrable mode of the transaction.",
    ),
    define(
        "transaction_isolation",
        "read committed",
        Kind::Enum(ISOLATION),
        "Isolation level of the transaction.",
    ),
    define(
        "transaction_read_only",
        "off",
        Kind::Bool,
        "Whether the transaction is read-only.",
    ),
    define(
        "transform_null_equals",
        "off",
        Kind::AlwaysOff,
        "Treats `= NULL` as IS NULL.",
    ),
    define(
        "vacuum_cost_delay",
        "0",
        Kind::Real(0.0, 100.0),
        "Vacuum pace; has no effect.",
    ),
    define(
        "wal_level",
        "replica",
        Kind::ReadOnly,
        "Level of PostgreSQL's log.",
    ),
    define(
        "work_mem",
        "4096",
        Kind::Memory,
        "Memory of PostgreSQL's sorts; queries here share one pool.",
    ),
    define(
        "xmloption",
        "content",
        Kind::Enum(&["content", "document"]),
        "XML mode; there is no XML type.",
    ),
];

fn definition(name: &str) -> Option<&'static Definition> {
    DEFINITIONS
        .iter()
        .find(|definition| definition.name.eq_ignore_ascii_case(name))
}

fn unrecognized(name: &str) -> Error {
    Error::new(
        SqlState::UNDEFINED_OBJECT,
        format!("unrecognized configuration parameter \"{name}\""),
    )
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
    pub style: Arc<TextStyle>,
    pub zone: String,
    pub search_path: SearchPath,
    pub isolation: Isolation,
    pub read_only: bool,
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
                style: Arc::default(),
                zone: String::new(),
                search_path: SearchPath(Arc::from([])),
                isolation: Isolation::ReadCommitted,
                read_only: false,
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
                    settings.set(&name, Some(&[value]))?;
                }
            } else {
                settings.set(name, Some(std::slice::from_ref(value)))?;
            }
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
            .or_else(|| definition(name).map(|definition| definition.default))
    }

    /// Sets a setting; `None` is DEFAULT. Gives back its canonical name.
    ///
    /// # Errors
    /// 42704 for an unknown name, 22023 for a wrong value, 55P02 for one that cannot be changed.
    pub fn set(&mut self, name: &str, values: Option<&[String]>) -> Result<()> {
        let before = self.values.clone();
        let result = self.assign(name, values).and_then(|()| self.refresh());
        if result.is_err() {
            self.values = before;
        }
        result
    }

    fn assign(&mut self, name: &str, values: Option<&[String]>) -> Result<()> {
        let canonical = canonical(name);
        let Some(values) = values else {
            if definition(name).is_none() && !name.contains('.') {
                return Err(unrecognized(name));
            }
            self.values.remove(&canonical);
            return Ok(());
        };
        let text = match (canonical.as_str(), values) {
            ("search_path", values) => values
                .iter()
                .map(|value| quote_schema(value))
                .collect::<Vec<_>>()
                .join(", "),
            ("DateStyle", values) => values.join(", "),
            (_, [value]) => value.clone(),
            _ => {
                return Err(Error::new(
                    SqlState::INVALID_PARAMETER_VALUE,
                    format!("SET {name} takes only one argument"),
                ));
            }
        };
        let text = match definition(name) {
            Some(definition) => check(definition, &text)?,
            None if name.contains('.') => {
                let used: usize = self.values.iter().map(|(k, v)| k.len() + v.len()).sum();
                if used + name.len() + text.len() > MAX_CUSTOM_BYTES {
                    return Err(Error::new(
                        SqlState::PROGRAM_LIMIT_EXCEEDED,
                        format!("custom settings may take at most {MAX_CUSTOM_BYTES} bytes"),
                    ));
                }
                text
            }
            None => return Err(unrecognized(name)),
        };
        self.values.insert(canonical, text);
        Ok(())
    }

    /// RESET ALL.
    pub fn reset_all(&mut self) -> Result<()> {
        let keep = [
            "session_authorization",
            "transaction_isolation",
            "transaction_read_only",
        ];
        self.values.retain(|name, _| keep.contains(&name.as_str()));
        self.refresh()
    }

    /// Every setting: name, value, description.
    pub fn all(&self) -> Vec<(String, String, String)> {
        DEFINITIONS
            .iter()
            .map(|definition| {
                let value = self.get(definition.name).unwrap_or_default().to_owned();
                (
                    definition.name.to_owned(),
                    shown(definition, &value),
                    definition.description.to_owned(),
                )
            })
            .collect()
    }

    /// The value as SHOW prints it.
    pub fn show(&self, name: &str) -> Result<(String, String)> {
        match (definition(name), self.get(name)) {
            (Some(definition), Some(value)) => {
                Ok((definition.name.to_owned(), shown(definition, value)))
            }
            (None, Some(value)) => Ok((name.to_owned(), value.to_owned())),
            _ => Err(unrecognized(name)),
        }
    }

    /// Reported settings with their values.
    pub fn reported(&self) -> impl Iterator<Item = (&'static str, &str)> {
        DEFINITIONS
            .iter()
            .filter(|definition| definition.reported)
            .map(|definition| {
                (
                    definition.name,
                    self.get(definition.name).unwrap_or_default(),
                )
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
            style: Arc::new(style),
            zone,
            search_path: self.search_path(),
            isolation: isolation(
                self.get("default_transaction_isolation")
                    .unwrap_or_default(),
            ),
            read_only: self.get("default_transaction_read_only") == Some("on"),
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

    fn search_path(&self) -> SearchPath {
        let user = self.get("session_authorization").unwrap_or_default();
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

/// The settings in a start-up message's `options`: `-c name=value` and `--name=value`, separated by
/// blanks; a backslash takes the next character as it is.
fn command_line(text: &str) -> Result<Vec<(String, String)>> {
    let mut words = vec![String::new()];
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        let Some(word) = words.last_mut() else { break };
        match c {
            '\\' => word.extend(chars.next()),
            c if c.is_whitespace() => words.push(String::new()),
            c => word.push(c),
        }
    }
    let mut words = words.into_iter().filter(|word| !word.is_empty());
    let mut settings = Vec::new();
    while let Some(word) = words.next() {
        let assignment = if word == "-c" {
            words.next()
        } else {
            let name = word.strip_prefix("--").or_else(|| word.strip_prefix("-c"));
            name.map(str::to_owned)
        };
        let pair = assignment.as_deref().and_then(|text| text.split_once('='));
        let (name, value) = pair.ok_or_else(|| {
            Error::new(
                SqlState::SYNTAX_ERROR,
                format!("invalid command-line argument for server process: {word}"),
            )
            .hint("Give settings as -c name=value.")
        })?;
        settings.push((name.to_owned(), value.to_owned()));
    }
    Ok(settings)
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
    definition(name).map_or_else(
        || name.to_lowercase(),
        |definition| definition.name.to_owned(),
    )
}

/// The isolation level that a checked setting names.
pub fn isolation(text: &str) -> Isolation {
    match text {
        "serializable" => Isolation::Serializable,
        "repeatable read" => Isolation::RepeatableRead,
        _ => Isolation::ReadCommitted,
    }
}

/// The name of an isolation level, as a setting shows it.
pub fn isolation_name(isolation: Isolation) -> &'static str {
    match isolation {
        Isolation::Serializable => "serializable",
        Isolation::RepeatableRead => "repeatable read",
        Isolation::ReadCommitted => "read committed",
    }
}

/// The schema names of a `search_path`, unquoted.
fn split_path(text: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let name;
        if let Some(quoted) = rest.strip_prefix('"') {
            let mut value = String::new();
            let mut chars = quoted.char_indices().peekable();
            let mut end = quoted.len();
            while let Some((at, c)) = chars.next() {
                if c != '"' {
                    value.push(c);
                } else if chars.peek().is_some_and(|(_, next)| *next == '"') {
                    value.push('"');
                    chars.next();
                } else {
                    end = at + 1;
                    break;
                }
            }
            rest = quoted.get(end..).unwrap_or("");
            name = value;
        } else {
            let end = rest.find(',').unwrap_or(rest.len());
            let (head, tail) = rest.split_at(end);
            name = head.trim().to_lowercase();
            rest = tail;
        }
        if !name.is_empty() {
            names.push(name);
        }
        rest = rest.trim_start().trim_start_matches(',').trim_start();
    }
    names
}

/// One SET search_path argument, quoted where it has to be. A string constant may hold a list.
fn quote_schema(value: &str) -> String {
    let plain = |name: &str| {
        name.chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
            && !name.is_empty()
    };
    if plain(value) || value.contains(',') || value.contains('"') {
        value.to_owned()
    } else {
        format!("\"{value}\"")
    }
}

fn parse_bool(text: &str) -> Option<bool> {
    let text = text.trim().to_ascii_lowercase();
    let starts = |word: &str| !text.is_empty() && word.starts_with(&text);
    match text.as_str() {
        "on" | "1" => Some(true),
        "of" | "off" | "0" => Some(false),
        _ if starts("true") || starts("yes") => Some(true),
        _ if starts("false") || starts("no") => Some(false),
        _ => None,
    }
}

fn invalid(definition: &Definition, text: &str) -> Error {
    Error::new(
        SqlState::INVALID_PARAMETER_VALUE,
        format!(
            "invalid value for parameter \"{}\": \"{text}\"",
            definition.name
        ),
    )
}

fn refused(definition: &Definition, text: &str, only: &str) -> Error {
    Error::unsupported(
        format!("{} = {text}", definition.name),
        format!("The only value of this setting is \"{only}\"."),
    )
}

/// `ISO` and an order of fields, in any order of the words; `DEFAULT` is ISO, MDY.
fn date_style(definition: &Definition, text: &str) -> Result<String> {
    let mut order = "MDY";
    for word in text.split(',') {
        match word.trim().to_ascii_lowercase().as_str() {
            "iso" => {}
            "mdy" | "us" | "noneuro" | "noneuropean" | "default" => order = "MDY",
            "dmy" | "euro" | "european" => order = "DMY",
            "ymd" => order = "YMD",
            "sql" | "postgres" | "german" => return Err(refused(definition, text, "ISO")),
            _ => {
                return Err(invalid(definition, text)
                    .detail(format!("Unrecognized key word: \"{}\".", word.trim())));
            }
        }
    }
    Ok(format!("ISO, {order}"))
}

/// Checks a value and gives its canonical text.
fn check(definition: &Definition, text: &str) -> Result<String> {
    let bad = || invalid(definition, text);
    let boolean = || {
        parse_bool(text).ok_or_else(|| {
            Error::new(
                SqlState::INVALID_PARAMETER_VALUE,
                format!("parameter \"{}\" requires a Boolean value", definition.name),
            )
        })
    };
    let on_off = |value: bool| if value { "on" } else { "off" }.to_owned();
    Ok(match definition.kind {
        Kind::ReadOnly => {
            return Err(Error::new(
                SqlState::CANT_CHANGE_RUNTIME_PARAM,
                format!("parameter \"{}\" cannot be changed", definition.name),
            ));
        }
        Kind::Bool => on_off(boolean()?),
        Kind::AlwaysOn if boolean()? => "on".into(),
        Kind::AlwaysOn => return Err(refused(definition, text, "on")),
        Kind::AlwaysOff if !boolean()? => "off".into(),
        Kind::AlwaysOff => return Err(refused(definition, text, "off")),
        Kind::Integer(min, max) => {
            let value: i64 = text.trim().parse().map_err(|_| bad())?;
            in_range(definition, value, min, max)?.to_string()
        }
        Kind::Real(min, max) => {
            let value: f64 = text.trim().parse().map_err(|_| bad())?;
            if !(min..=max).contains(&value) {
                return Err(bad());
            }
            value.to_string()
        }
        Kind::Time => {
            let units = [
                ("us", 0.001),
                ("ms", 1.0),
                ("min", 60e3),
                ("s", 1e3),
                ("h", 36e5),
                ("d", 864e5),
            ];
            let value = with_unit(text, &units).ok_or_else(bad)?;
            in_range(definition, value, 0, i64::from(i32::MAX))?.to_string()
        }
        Kind::Memory => {
            let units = [
                ("kB", 1.0),
                ("MB", 1024.0),
                ("GB", 1048576.0),
                ("TB", 1073741824.0),
                ("B", 1.0 / 1024.0),
            ];
            let value = with_unit(text, &units).ok_or_else(bad)?;
            in_range(definition, value, 0, i64::from(i32::MAX))?.to_string()
        }
        Kind::Text => text.to_owned(),
        Kind::Enum(values) => {
            let value = text.trim().to_ascii_lowercase();
            let known = values.iter().find(|known| **known == value);
            (*known.ok_or_else(bad)?).to_owned()
        }
        Kind::Only(values) => {
            let value = text.trim().to_ascii_lowercase();
            match values.iter().find(|known| **known == value) {
                Some(known) => (*known).to_owned(),
                None => return Err(refused(definition, text, values.first().unwrap_or(&""))),
            }
        }
        Kind::Zone => {
            Zone::parse(text)?;
            text.to_owned()
        }
        Kind::DateStyle => date_style(definition, text)?,
        Kind::Encoding => {
            // Some drivers send the quotes of a literal along.
            let name = text.trim().trim_matches('\'');
            let name = name.to_ascii_lowercase().replace(['-', '_'], "");
            match name.as_str() {
                "utf8" | "unicode" => "UTF8".to_owned(),
                _ => return Err(refused(definition, text, "UTF8")),
            }
        }
    })
}

fn in_range(definition: &Definition, value: i64, min: i64, max: i64) -> Result<i64> {
    if (min..=max).contains(&value) {
        return Ok(value);
    }
    Err(Error::new(
        SqlState::INVALID_PARAMETER_VALUE,
        format!(
            "{value} is outside the valid range for parameter \"{}\" ({min} .. {max})",
            definition.name
        ),
    ))
}

/// A number with an optional unit; the first unit that fits ends the text.
fn with_unit(text: &str, units: &[(&str, f64)]) -> Option<i64> {
    let text = text.trim();
    let (number, factor) = units
        .iter()
        .find_map(|(unit, factor)| Some((text.strip_suffix(unit)?, *factor)))
        .unwrap_or((text, 1.0));
    let value: f64 = number.trim().parse().ok()?;
    let value = (value * factor).round();
    (value.abs() < 1e15).then_some(value as i64)
}

/// A value with its unit, as SHOW prints it.
fn shown(definition: &Definition, value: &str) -> String {
    let number: i64 = value.parse().unwrap_or(0);
    match definition.kind {
        Kind::Time if number == 0 => "0".into(),
        Kind::Time => with_largest(
            number,
            &[
                ("d", 86_400_000),
                ("h", 3_600_000),
                ("min", 60_000),
                ("s", 1000),
                ("ms", 1),
            ],
        ),
        Kind::Memory => with_largest(number, &[("GB", 1 << 20), ("MB", 1 << 10), ("kB", 1)]),
        _ => value.to_owned(),
    }
}

fn with_largest(number: i64, units: &[(&str, i64)]) -> String {
    for (unit, size) in units {
        if number % size == 0 {
            return format!("{}{unit}", number / size);
        }
    }
    number.to_string()
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
